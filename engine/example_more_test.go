package engine_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"github.com/dunlin-quic/dunlin/engine"
	"github.com/dunlin-quic/dunlin/metrics"
	"github.com/dunlin-quic/dunlin/quic"
	"github.com/dunlin-quic/dunlin/udp"
)

// listen starts a server of greeters.
func listen(cfg engine.ListenConfig) *engine.Listener {
	serverTLS, _ := certificates()
	cfg.QUIC = &quic.Config{TLS: serverTLS}
	if cfg.NewApplication == nil {
		cfg.NewApplication = func(engine.ConnInfo) (engine.ApplicationOverQUIC, error) { return &greeter{}, nil }
	}
	l, err := engine.Listen(&cfg, "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	return l
}

// dial connects a guest.
func dial(l *engine.Listener, g *guest) *engine.Connection {
	_, clientTLS := certificates()
	c, err := engine.Dial(context.Background(), l.Addr().String(), &engine.DialConfig{
		QUIC:           &quic.Config{TLS: clientTLS},
		NewApplication: func(engine.ConnInfo) (engine.ApplicationOverQUIC, error) { return g, nil },
	})
	if err != nil {
		log.Fatal(err)
	}
	return c
}

// Somebody looks at each connection before it gets its application: here at its address, in a goroutine that may take its time.
func ExamplePauseAfterHandshake() {
	l := listen(engine.ListenConfig{NewApplication: engine.PauseAfterHandshake(5*time.Second, func(p *engine.Paused) {
		go func() {
			if !p.Info().Remote.Addr().IsLoopback() {
				p.Refuse(1, "not from here")
				return
			}
			p.Resume(func(engine.ConnInfo) (engine.ApplicationOverQUIC, error) { return &greeter{}, nil })
		}()
	})})
	defer l.Close()

	g := &guest{name: "Calidris", heard: make(chan string, 1)}
	c := dial(l, g)
	defer c.Close()
	fmt.Println(<-g.heard)
	// Output: Hello, Calidris!
}

// A goroutine outside of the step asks the connection something, and does something with it.
func ExampleConnection_Do() {
	l := listen(engine.ListenConfig{})
	defer l.Close()
	g := &guest{name: "Calidris", heard: make(chan string, 1)}
	c := dial(l, g)
	defer c.Close()
	<-g.heard

	err := c.Do(func(s *engine.Session) {
		fmt.Println("version", s.Conn().Version())
		if stream, err := s.Conn().OpenStream(quic.Bidi); err == nil {
			stream.TryWrite([]byte("Alpina"), true) // leaves with this step
		}
	})
	fmt.Println(<-g.heard, err)
	// Output:
	// version 1
	// Hello, Alpina! <nil>
}

// The account of a connection, for a log.
func ExampleConnection_Audit() {
	l := listen(engine.ListenConfig{})
	defer l.Close()
	g := &guest{name: "Calidris", heard: make(chan string, 1)}
	c := dial(l, g)
	<-g.heard
	c.CloseWithError(7, "thanks")
	<-c.Done()

	a := c.Audit()
	fmt.Printf("%s: code %d, %s; %d bytes read, handshake in time %v\n",
		a.Cause, a.Sent.Code, a.Sent.Reason, a.Stats.StreamBytesReceived, a.Handshake < a.Lifetime)
	// Output: application: code 7, thanks; 16 bytes read, handshake in time true
}

// handshakes counts what became of them.
type handshakes struct {
	metrics.Base
	complete, failed atomic.Int64
}

func (h *handshakes) HandshakeDone(metrics.Connection, time.Duration) { h.complete.Add(1) }

func (h *handshakes) ConnectionClosed(_ metrics.Connection, end metrics.End) {
	if end.Handshake {
		h.failed.Add(1)
	}
}

// Metrics hear of what happens on a whole endpoint. The module metrics/prometheus has some for Prometheus.
func ExampleEndpointConfig_metrics() {
	h := new(handshakes)
	l := listen(engine.ListenConfig{Endpoint: engine.EndpointConfig{Metrics: h}})
	for range 3 {
		g := &guest{name: "Calidris", heard: make(chan string, 1)}
		c := dial(l, g)
		<-g.heard
		c.Close()
		<-c.Done()
	}
	l.Close()
	fmt.Println(h.complete.Load(), "complete,", h.failed.Load(), "failed")
	// Output: 3 complete, 0 failed
}

// Another protocol on the same socket, such as STUN, by the first byte of its datagrams.
func ExampleEndpoint_WriteTo() {
	heard := make(chan string, 1)
	endpoint := func() *engine.Endpoint {
		s, err := udp.Listen("127.0.0.1:0", nil)
		if err != nil {
			log.Fatal(err)
		}
		e, err := engine.NewEndpoint(&engine.EndpointConfig{NonQUIC: func(d engine.Datagram) bool {
			if !strings.HasPrefix(string(d.Data), "\x00\x01") {
				return false // QUIC's
			}
			heard <- string(d.Data[2:])
			return true
		}}, s)
		if err != nil {
			log.Fatal(err)
		}
		if _, err := e.Listen(&engine.ListenConfig{
			QUIC:           &quic.Config{TLS: first(certificates())},
			NewApplication: func(engine.ConnInfo) (engine.ApplicationOverQUIC, error) { return &greeter{}, nil },
		}); err != nil {
			log.Fatal(err)
		}
		return e
	}
	a, b := endpoint(), endpoint()
	defer a.Close()
	defer b.Close()
	if err := a.WriteTo([]byte("\x00\x01who am I?"), b.LocalAddr()); err != nil {
		log.Fatal(err)
	}
	fmt.Println(<-heard)
	// Output: who am I?
}

func first[A, B any](a A, _ B) A { return a }

// Many connections from one socket: an endpoint dials as often as it likes.
func ExampleEndpoint_Dial() {
	l := listen(engine.ListenConfig{})
	defer l.Close()
	s, err := udp.Listen("127.0.0.1:0", &udp.Config{Errors: true})
	if err != nil {
		log.Fatal(err)
	}
	e, err := engine.NewEndpoint(nil, s)
	if err != nil {
		log.Fatal(err)
	}
	_, clientTLS := certificates()
	clientTLS.ServerName = "localhost" // the method Dial takes addresses, not names
	for _, name := range []string{"Calidris", "Alpina"} {
		g := &guest{name: name, heard: make(chan string, 1)}
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		c, err := e.Dial(ctx, l.Addr(), &engine.DialConfig{
			QUIC:           &quic.Config{TLS: clientTLS},
			NewApplication: func(engine.ConnInfo) (engine.ApplicationOverQUIC, error) { return g, nil },
		})
		cancel()
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(<-g.heard, c.LocalAddr() == s.LocalAddr())
	}
	e.Close()
	<-e.Done()
	fmt.Println("ended:", errors.Is(e.Err(), net.ErrClosed))
	// Output:
	// Hello, Calidris! true
	// Hello, Alpina! true
	// ended: true
}
