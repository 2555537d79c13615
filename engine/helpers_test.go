package engine

import (
	"context"
	"crypto/tls"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/dunlin-quic/dunlin/internal/testcert"
	"github.com/dunlin-quic/dunlin/quic"
	"github.com/dunlin-quic/dunlin/udp"
)

// testTLS returns the TLS configs of a server with a certificate of its own and of a client that trusts it.
var testTLS = sync.OnceValues(func() (server, client *tls.Config) {
	cert, roots := testcert.Get()
	server = &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"test"}}
	return server, &tls.Config{RootCAs: roots, ServerName: "localhost", NextProtos: []string{"test"}}
})

func serverQUIC() *quic.Config {
	server, _ := testTLS()
	return &quic.Config{TLS: server}
}

func clientQUIC() *quic.Config {
	_, client := testTLS()
	return &quic.Config{TLS: client}
}

// echo is a server's application that sends back what comes on every stream.
type echo struct {
	Base
	onClose func(error)
}

func newEcho(ConnInfo) (ApplicationOverQUIC, error) { return &echo{}, nil }

func (a *echo) ProcessReads(s *Session) error {
	for {
		switch ev := s.Conn().NextEvent(); ev.Kind {
		case quic.EventNone:
			return nil
		case quic.EventStreamReadable, quic.EventStreamWritable:
			echoStream(ev.Stream)
		}
	}
}

func echoStream(s *quic.Stream) {
	for {
		data, err := s.Peek()
		if err == io.EOF {
			s.TryWrite(nil, true)
			return
		}
		if err != nil {
			return
		}
		n, _ := s.TryWrite(data, false)
		s.Discard(n)
		if n < len(data) {
			return // an EventStreamWritable goes on
		}
	}
}

func (a *echo) OnClose(_ *Session, err error) {
	if a.onClose != nil {
		a.onClose(err)
	}
}

// caller is a client's application with which a test, on its own goroutine, sends something and waits for the answer.
type caller struct {
	Base
	closed chan error // what OnClose was told
	calls  map[*quic.Stream]*exchange
}

// exchange is one stream of a caller.
type exchange struct {
	unsent []byte
	got    []byte
	done   chan error
}

func newCaller() *caller {
	return &caller{closed: make(chan error, 2), calls: make(map[*quic.Stream]*exchange)}
}

func (a *caller) app(ConnInfo) (ApplicationOverQUIC, error) { return a, nil }

func (a *caller) ProcessReads(s *Session) error {
	for {
		ev := s.Conn().NextEvent()
		if ev.Kind == quic.EventNone {
			return nil
		}
		x := a.calls[ev.Stream]
		if x == nil {
			continue
		}
		switch ev.Kind {
		case quic.EventStreamWritable:
			x.send(ev.Stream)
		case quic.EventStreamReadable:
			if err := x.receive(ev.Stream); err != quic.ErrWouldBlock {
				delete(a.calls, ev.Stream)
				x.done <- err
			}
		}
	}
}

func (a *caller) OnClose(_ *Session, err error) {
	for _, x := range a.calls {
		x.done <- err
	}
	a.calls = nil
	a.closed <- err
}

func (x *exchange) send(s *quic.Stream) {
	n, _ := s.TryWrite(x.unsent, true)
	x.unsent = x.unsent[n:]
}

func (x *exchange) receive(s *quic.Stream) error {
	for {
		data, err := s.Peek()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		x.got = append(x.got, data...)
		s.Discard(len(data))
	}
}

// call sends data on a new stream and returns what comes back.
func (a *caller) call(c *Connection, data []byte) ([]byte, error) {
	x := &exchange{unsent: data, done: make(chan error, 1)}
	err := c.Do(func(s *Session) {
		st, err := s.Conn().OpenStream(quic.Bidi)
		if err != nil {
			x.done <- err
			return
		}
		a.calls[st] = x
		x.send(st)
	})
	if err != nil {
		return nil, err
	}
	err = <-x.done
	return x.got, err
}

// testListen listens with the echo application unless cfg has another.
func testListen(t testing.TB, cfg ListenConfig, addresses ...string) *Listener {
	t.Helper()
	if cfg.QUIC == nil {
		cfg.QUIC = serverQUIC()
	}
	if cfg.NewApplication == nil {
		cfg.NewApplication = newEcho
	}
	if len(addresses) == 0 {
		addresses = []string{"127.0.0.1:0"}
	}
	l, err := Listen(&cfg, addresses...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// testEndpoint returns an endpoint on one socket.
func testEndpoint(t testing.TB, cfg EndpointConfig, address string) *Endpoint {
	t.Helper()
	s, err := udp.Listen(address, &udp.Config{Errors: true})
	if err != nil {
		t.Fatal(err)
	}
	e, err := NewEndpoint(&cfg, s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

// testDial connects a caller to the listener.
func testDial(t testing.TB, e *Endpoint, l *Listener) (*caller, *Connection) {
	t.Helper()
	a := newCaller()
	c, err := e.Dial(testContext(t), l.Addr(), &DialConfig{QUIC: clientQUIC(), NewApplication: a.app})
	if err != nil {
		t.Fatal(err)
	}
	return a, c
}

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}
