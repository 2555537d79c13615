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

// listen serves with the drivers that newDriver makes.
func listen(newDriver func() *h3driver.ServerDriver) *engine.Listener {
	certificate, _ := testcert.Get() // your own here
	l, err := engine.Listen(&engine.ListenConfig{
		QUIC:           &quic.Config{TLS: &tls.Config{Certificates: []tls.Certificate{certificate}, NextProtos: []string{h3.NextProto}}},
		NewApplication: func(engine.ConnInfo) (engine.ApplicationOverQUIC, error) { return newDriver(), nil },
	}, "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	return l
}

func dial(l *engine.Listener, cfg *h3driver.Config) *h3driver.ClientController {
	_, roots := testcert.Get()
	driver := h3driver.NewClient(cfg)
	if _, err := engine.Dial(context.Background(), l.Addr().String(), &engine.DialConfig{
		QUIC:           &quic.Config{TLS: &tls.Config{RootCAs: roots, NextProtos: []string{h3.NextProto}}},
		NewApplication: func(engine.ConnInfo) (engine.ApplicationOverQUIC, error) { return driver, nil },
	}); err != nil {
		log.Fatal(err)
	}
	return driver.Controller()
}

func request(method, path string, more ...h3.Field) []h3.Field {
	return append([]h3.Field{
		{Name: ":method", Value: method}, {Name: ":scheme", Value: "https"},
		{Name: ":authority", Value: "localhost"}, {Name: ":path", Value: path},
	}, more...)
}

// Events without a queue and a goroutine that follows it: OnEvent hears them in the connection's step, where it must not block,
// and has what may block done in a task.
func ExampleConfig() {
	l := listen(func() *h3driver.ServerDriver {
		var controller *h3driver.ServerController
		driver := h3driver.NewServer(&h3driver.Config{OnEvent: func(ev h3driver.Event) {
			if ev.Kind == h3driver.EventHeaders {
				controller.Go(&answer{ev.Stream, controller})
			}
		}})
		controller = driver.Controller()
		return driver
	})
	defer l.Close()

	c := dial(l, nil)
	defer c.Close()
	stream, err := c.OpenRequest(context.Background(), h3driver.Part{Header: request("GET", "/"), Fin: true}, nil)
	if err != nil {
		log.Fatal(err)
	}
	body, err := io.ReadAll(stream)
	fmt.Println(string(body), err)
	// Output: no goroutine was woken for this <nil>
}

// answer is a task: a request that is being answered.
type answer struct {
	stream     *h3driver.Stream
	controller *h3driver.ServerController
}

func (a *answer) Run() {
	a.stream.Leave(h3driver.Part{
		Header: []h3.Field{{Name: ":status", Value: "200"}},
		Body:   []byte("no goroutine was woken for this"),
		Fin:    true,
	})
}

func (a *answer) Flush() { a.controller.Flush() }

// A message in parts: header section, body, trailer section, both ways at a time.
func ExampleStream_Send() {
	ctx := context.Background()
	l := listen(func() *h3driver.ServerDriver {
		driver := h3driver.NewServer(nil)
		go func() {
			for {
				ev, err := driver.Controller().NextEvent(ctx)
				if err != nil {
					return
				}
				if ev.Kind == h3driver.EventHeaders {
					go func(s *h3driver.Stream) {
						s.SendHeaders([]h3.Field{{Name: ":status", Value: "200"}}, false)
						n, _ := io.Copy(s, s)
						s.SendTrailers([]h3.Field{{Name: "length", Value: fmt.Sprint(n)}})
					}(ev.Stream)
				}
			}
		}()
		return driver
	})
	defer l.Close()

	c := dial(l, nil)
	defer c.Close()
	stream, err := c.OpenRequest(ctx, h3driver.Part{Header: request("POST", "/echo")}, nil)
	if err != nil {
		log.Fatal(err)
	}
	stream.Send(h3driver.Part{Body: []byte("first, ")})
	stream.Send(h3driver.Part{Body: []byte("last"), Fin: true})
	body, err := io.ReadAll(stream)
	fmt.Println(string(body), err, stream.Trailers())
	// Output: first, last <nil> [{length 11 false}]
}

// Datagrams of a request: unreliable, and beside its body.
func ExampleStream_SendDatagram() {
	ctx := context.Background()
	l := listen(func() *h3driver.ServerDriver {
		driver := h3driver.NewServer(&h3driver.Config{H3: &h3.Config{ExtendedConnect: true}})
		go func() {
			for {
				ev, err := driver.Controller().NextEvent(ctx)
				if err != nil {
					return
				}
				if ev.Kind == h3driver.EventHeaders {
					go func(s *h3driver.Stream) {
						s.SendHeaders([]h3.Field{{Name: ":status", Value: "200"}}, false)
						p := make([]byte, 1500)
						for {
							n, err := s.ReceiveDatagram(ctx, p)
							if err != nil {
								return
							}
							s.SendDatagram(ctx, p[:n])
						}
					}(ev.Stream)
				}
			}
		}()
		return driver
	})
	defer l.Close()

	c := dial(l, nil)
	defer c.Close()
	if _, err := c.Settings(ctx); err != nil { // which say that the server takes such requests
		log.Fatal(err)
	}
	stream, err := c.OpenRequest(ctx, h3driver.Part{
		Header: request("CONNECT", "/", h3.Field{Name: ":protocol", Value: "echo"}),
	}, nil)
	if err != nil {
		log.Fatal(err)
	}
	for { // a datagram that comes before its request is lost
		ev, err := c.NextEvent(ctx)
		if err != nil {
			log.Fatal(err)
		}
		if ev.Kind == h3driver.EventHeaders {
			break
		}
	}
	if err := stream.SendDatagram(ctx, []byte("are you there?")); err != nil {
		log.Fatal(err)
	}
	p := make([]byte, 1500)
	n, err := stream.ReceiveDatagram(ctx, p)
	fmt.Println(string(p[:n]), err)
	// Output: are you there? <nil>
}
