package engine_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"

	"github.com/dunlin-quic/dunlin/engine"
	"github.com/dunlin-quic/dunlin/qlog"
	"github.com/dunlin-quic/dunlin/quic"
)

// A client writes a trace of its connection, and reads it when the connection is gone. Package qlogdir has a folder for the
// traces of many.
func ExampleDial_trace() {
	l := listen(engine.ListenConfig{})
	defer l.Close()

	var file bytes.Buffer
	_, clientTLS := certificates()
	g := &guest{name: "Calidris", heard: make(chan string, 1)}
	c, err := engine.Dial(context.Background(), l.Addr().String(), &engine.DialConfig{
		QUIC: &quic.Config{
			TLS: clientTLS,
			NewTracer: func(side quic.Side, odcid quic.ConnectionID) qlog.Tracer {
				return qlog.NewTrace(&file, qlog.Header{VantagePoint: qlog.VantagePoint(side.String()), GroupID: odcid.String()})
			},
		},
		NewApplication: func(engine.ConnInfo) (engine.ApplicationOverQUIC, error) { return g, nil },
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(<-g.heard)
	c.CloseWithError(7, "thanks")
	<-c.Done()

	r, err := qlog.NewReader(&file)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("trace of a", r.Header().Trace.VantagePoint.Type)
	for {
		e, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			log.Fatal(err)
		}
		if e.Name == "quic:connection_closed" {
			fmt.Printf("%s %s\n", e.Name, e.Data)
		}
	}
	// Output:
	// Hello, Calidris!
	// trace of a client
	// quic:connection_closed {"initiator":"local","application_error":"unknown","error_code":7,"reason":"thanks","trigger":"application"}
}
