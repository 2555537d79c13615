//go:build linux

package steering

import (
	"context"
	"crypto/tls"
	"io"
	"net/netip"
	"testing"
	"time"

	"github.com/dunlin-quic/dunlin/engine"
	"github.com/dunlin-quic/dunlin/internal/testcert"
	"github.com/dunlin-quic/dunlin/quic"
	"github.com/dunlin-quic/dunlin/udp"
)

// echo is a server's application that sends back what comes on every stream.
type echo struct{ engine.Base }

func newEcho(engine.ConnInfo) (engine.ApplicationOverQUIC, error) { return &echo{}, nil }

func (a *echo) ProcessReads(s *engine.Session) error {
	for {
		switch ev := s.Conn().NextEvent(); ev.Kind {
		case quic.EventNone:
			return nil
		case quic.EventStreamReadable, quic.EventStreamWritable:
			if err := echoStream(ev.Stream); err != nil && err != quic.ErrWouldBlock {
				return err
			}
		}
	}
}

func echoStream(s *quic.Stream) error {
	for {
		data, err := s.Peek()
		if err == io.EOF {
			_, err = s.TryWrite(nil, true)
			return err
		}
		if err != nil {
			return err
		}
		n, err := s.TryWrite(data, false)
		s.Discard(n)
		if err != nil {
			return err
		}
	}
}

// caller is a client's application: it sends something on a stream and counts what comes back, of which it reads only as much
// as it is told to.
type caller struct {
	engine.Base
	c      *engine.Connection
	stream *quic.Stream
	unsent []byte
	got    int
	limit  int
	done   chan error // tells that limit is reached, all has come, or the connection has ended
}

// newClient returns an endpoint for clients.
func newClient(t testing.TB) *engine.Endpoint {
	t.Helper()
	s, err := udp.Listen("127.0.0.1:0", &udp.Config{Errors: true})
	if err != nil {
		t.Fatal(err)
	}
	e, err := engine.NewEndpoint(nil, s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// dial connects to a server of this process or another, which has made itself a certificate.
func dial(ctx context.Context, e *engine.Endpoint, to netip.AddrPort) (*caller, error) {
	a := &caller{done: make(chan error, 1)}
	var err error
	a.c, err = e.Dial(ctx, to, &engine.DialConfig{
		QUIC: &quic.Config{TLS: &tls.Config{
			ServerName: "localhost", NextProtos: []string{"test"}, InsecureSkipVerify: true,
		}},
		NewApplication: func(engine.ConnInfo) (engine.ApplicationOverQUIC, error) { return a, nil },
	})
	return a, err
}

func serverQUIC() *quic.Config {
	cert, _ := testcert.Get()
	return &quic.Config{TLS: &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"test"}}}
}

func (a *caller) ProcessReads(s *engine.Session) error {
	for {
		switch s.Conn().NextEvent().Kind {
		case quic.EventNone:
			return nil
		case quic.EventStreamWritable:
			a.send()
		case quic.EventStreamReadable:
			a.receive()
		}
	}
}

func (a *caller) OnClose(_ *engine.Session, err error) { a.tell(err) }

func (a *caller) tell(err error) {
	select {
	case a.done <- err:
	default:
	}
}

func (a *caller) send() {
	if a.stream != nil && len(a.unsent) > 0 {
		n, _ := a.stream.TryWrite(a.unsent, true)
		a.unsent = a.unsent[n:]
	}
}

func (a *caller) receive() {
	for a.stream != nil && a.got < a.limit {
		data, err := a.stream.Peek()
		if err == quic.ErrWouldBlock {
			return
		}
		if err != nil {
			a.stream = nil
			if err == io.EOF {
				err = nil
			}
			a.tell(err)
			return
		}
		data = data[:min(len(data), a.limit-a.got)]
		a.got += len(data)
		a.stream.Discard(len(data))
		if a.got == a.limit {
			a.tell(nil)
		}
	}
}

// start sends n bytes.
func (a *caller) start(n int) error {
	var err error
	if e := a.c.Do(func(s *engine.Session) {
		a.got, a.limit, a.unsent = 0, 0, make([]byte, n)
		if a.stream, err = s.Conn().OpenStream(quic.Bidi); err == nil {
			a.send()
		}
	}); e != nil {
		return e
	}
	return err
}

// read waits until the first limit bytes have come back. One byte more than there are makes it wait for the end of the stream.
func (a *caller) read(limit int) error {
	if err := a.c.Do(func(*engine.Session) {
		a.limit = limit
		a.receive()
	}); err != nil {
		return err
	}
	return <-a.done
}

// call sends n bytes and waits until they have come back.
func (a *caller) call(n int) error {
	if err := a.start(n); err != nil {
		return err
	}
	return a.read(n + 1)
}

// move lets the client go on at another port.
func (a *caller) move(t *testing.T) {
	t.Helper()
	e := a.c.Endpoint()
	s, err := udp.Listen("127.0.0.1:0", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.AddSocket(s); err != nil {
		t.Fatal(err)
	}
	from := a.c.PathStats()[0].Path.Local
	if err := a.c.Migrate(testContext(t), s.LocalAddr()); err != nil {
		t.Fatal(err)
	}
	if err := e.RemoveSocket(from); err != nil {
		t.Fatal(err)
	}
}

// travel makes clients that move to other ports in the middle of what they receive.
func travel(t *testing.T, to netip.AddrPort, clients int) {
	t.Helper()
	const size, moves = 600_000, 4
	for range clients {
		a, err := dial(testContext(t), newClient(t), to)
		if err != nil {
			t.Fatal(err)
		}
		if err := a.start(size); err != nil {
			t.Fatal(err)
		}
		for i := range moves {
			if err := a.read(size * (i + 1) / (moves + 2)); err != nil {
				t.Fatal(err)
			}
			a.move(t)
		}
		if err := a.read(size + 1); err != nil || a.got != size {
			t.Fatalf("%d bytes came back: %v", a.got, err)
		}
		a.c.Close()
		<-a.c.Done()
	}
}
