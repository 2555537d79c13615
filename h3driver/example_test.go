package h3driver_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"

	"github.com/dunlin-quic/dunlin/engine"
	"github.com/dunlin-quic/dunlin/h3"
	"github.com/dunlin-quic/dunlin/h3driver"
	"github.com/dunlin-quic/dunlin/internal/testcert"
	"github.com/dunlin-quic/dunlin/quic"
)

// A server that answers each request by its path, and a client that asks one thing. Programs of their own, which follow
// more events, are in the examples folder.
func Example() {
	certificate, roots := testcert.Get() // your own here

	// The engine makes a driver for each connection; a goroutine follows its events.
	listener, err := engine.Listen(&engine.ListenConfig{
		QUIC: &quic.Config{TLS: &tls.Config{Certificates: []tls.Certificate{certificate}, NextProtos: []string{h3.NextProto}}},
		NewApplication: func(engine.ConnInfo) (engine.ApplicationOverQUIC, error) {
			driver := h3driver.NewServer(nil)
			go serve(driver.Controller())
			return driver, nil
		},
	}, "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer listener.Close()

	ctx := context.Background()
	driver := h3driver.NewClient(nil)
	connection, err := engine.Dial(ctx, listener.Addr().String(), &engine.DialConfig{
		QUIC:           &quic.Config{TLS: &tls.Config{RootCAs: roots, NextProtos: []string{h3.NextProto}}},
		NewApplication: func(engine.ConnInfo) (engine.ApplicationOverQUIC, error) { return driver, nil },
	})
	if err != nil {
		log.Fatal(err)
	}
	controller := driver.Controller()
	stream, err := controller.OpenRequest(ctx, h3driver.Part{Header: []h3.Field{
		{Name: ":method", Value: "GET"}, {Name: ":scheme", Value: "https"},
		{Name: ":authority", Value: "localhost"}, {Name: ":path", Value: "/dunlin"},
	}, Fin: true}, nil)
	if err != nil {
		log.Fatal(err)
	}
	for {
		ev, err := controller.NextEvent(ctx)
		if err != nil {
			log.Fatal(err)
		}
		if ev.Kind == h3driver.EventHeaders {
			body, err := io.ReadAll(stream)
			fmt.Println(ev.Fields[0].Value, string(body), err)
			break
		}
	}
	controller.Close()
	<-connection.Done()
	// Output: 200 You asked for /dunlin <nil>
}

func serve(controller *h3driver.ServerController) {
	for {
		ev, err := controller.NextEvent(context.Background())
		if err != nil {
			return
		}
		if ev.Kind != h3driver.EventHeaders {
			continue
		}
		for _, f := range ev.Fields {
			if f.Name == ":path" {
				go ev.Stream.Respond([]h3.Field{{Name: ":status", Value: "200"}}, []byte("You asked for "+f.Value))
			}
		}
	}
}
