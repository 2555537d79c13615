package engine_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"log"

	"github.com/dunlin-quic/dunlin/engine"
	"github.com/dunlin-quic/dunlin/internal/testcert"
	"github.com/dunlin-quic/dunlin/quic"
	"github.com/dunlin-quic/dunlin/udp"
)

// greeter is a server: it greets by name whoever sends one on a stream.
type greeter struct{ engine.Base }

func (*greeter) ProcessReads(s *engine.Session) error {
	for event := s.Conn().NextEvent(); event.Kind != quic.EventNone; event = s.Conn().NextEvent() {
		if event.Kind != quic.EventStreamReadable {
			continue
		}
		var name [100]byte // comes in one piece: it is short
		if n, err := event.Stream.TryRead(name[:]); err == nil {
			event.Stream.TryWrite(fmt.Appendf(nil, "Hello, %s!", name[:n]), true)
		}
	}
	return nil
}

// guest is a client: it sends its name and passes on what it hears.
type guest struct {
	engine.Base
	name  string
	heard chan string
}

func (g *guest) OnEstablished(s *engine.Session) error {
	stream, err := s.Conn().OpenStream(quic.Bidi)
	if err != nil {
		return err
	}
	_, err = stream.TryWrite([]byte(g.name), true)
	return err
}

func (g *guest) ProcessReads(s *engine.Session) error {
	for event := s.Conn().NextEvent(); event.Kind != quic.EventNone; event = s.Conn().NextEvent() {
		if event.Kind != quic.EventStreamReadable {
			continue
		}
		var answer [200]byte
		if n, err := event.Stream.TryRead(answer[:]); err == nil {
			g.heard <- string(answer[:n])
		}
	}
	return nil
}

// certificates returns what a server shows and a client trusts: your own here.
func certificates() (server, client *tls.Config) {
	certificate, roots := testcert.Get()
	server = &tls.Config{Certificates: []tls.Certificate{certificate}, NextProtos: []string{"greeting"}}
	return server, &tls.Config{RootCAs: roots, NextProtos: []string{"greeting"}}
}

// A server and a client with a protocol of their own.
func Example() {
	serverTLS, clientTLS := certificates()
	l, err := engine.Listen(&engine.ListenConfig{
		QUIC:           &quic.Config{TLS: serverTLS},
		NewApplication: func(engine.ConnInfo) (engine.ApplicationOverQUIC, error) { return &greeter{}, nil },
	}, "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()

	g := &guest{name: "Calidris", heard: make(chan string, 1)}
	c, err := engine.Dial(context.Background(), l.Addr().String(), &engine.DialConfig{
		QUIC:           &quic.Config{TLS: clientTLS},
		NewApplication: func(engine.ConnInfo) (engine.ApplicationOverQUIC, error) { return g, nil },
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(<-g.heard)
	c.CloseWithError(0, "thanks")
	<-c.Done()
	// Output: Hello, Calidris!
}

// A client moves its connection to another socket, such as one on the network that its host has just joined.
func ExampleConnection_Migrate() {
	serverTLS, clientTLS := certificates()
	l, err := engine.Listen(&engine.ListenConfig{
		QUIC:           &quic.Config{TLS: serverTLS},
		NewApplication: func(engine.ConnInfo) (engine.ApplicationOverQUIC, error) { return &greeter{}, nil },
	}, "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()
	c, err := engine.Dial(context.Background(), l.Addr().String(), &engine.DialConfig{
		QUIC: &quic.Config{TLS: clientTLS},
		NewApplication: func(engine.ConnInfo) (engine.ApplicationOverQUIC, error) {
			return &guest{name: "Calidris", heard: make(chan string, 1)}, nil
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Endpoint().Close()

	s, err := udp.Listen("0.0.0.0:0", &udp.Config{Errors: true})
	if err != nil {
		log.Fatal(err)
	}
	if err := c.Endpoint().AddSocket(s); err != nil {
		log.Fatal(err)
	}
	// Once this returns, the server has answered there.
	if err := c.Migrate(context.Background(), s.LocalAddr()); err != nil {
		log.Fatal(err)
	}
	if err := c.Endpoint().RemoveSocket(c.LocalAddr()); err != nil {
		log.Fatal(err)
	}
	fmt.Println(c.PathStats()[0].Path.Local == s.LocalAddr())
	// Output: true
}
