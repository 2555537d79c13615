package engine

import (
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dunlin-quic/dunlin/quic"
)

// drainer is an echo that, asked to drain, waits until its streams are done.
type drainer struct {
	echo
	open     int
	draining bool
}

func (a *drainer) ProcessReads(s *Session) error {
	for {
		switch ev := s.Conn().NextEvent(); ev.Kind {
		case quic.EventNone:
			return a.over()
		case quic.EventStreamOpened:
			a.open++
		case quic.EventStreamClosed:
			a.open--
		case quic.EventStreamReadable, quic.EventStreamWritable:
			echoStream(ev.Stream)
		}
	}
}

func (a *drainer) Drain(*Session) error {
	a.draining = true
	return a.over()
}

func (a *drainer) over() error {
	if a.draining && a.open == 0 {
		return &quic.ApplicationError{Code: 7, Reason: "done"}
	}
	return nil
}

// Shutdown lets work in progress end, refuses what is new, and then leaves.
func TestShutdownDrains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, ListenConfig{NewApplication: func(ConnInfo) (ApplicationOverQUIC, error) { return &drainer{}, nil }})
		defer p.close(t)
		idle, busy := newCaller(), newCaller()
		if _, err := p.dial(t.Context(), idle.app); err != nil {
			t.Fatal(err)
		}
		c, err := p.dial(t.Context(), busy.app)
		if err != nil {
			t.Fatal(err)
		}
		x := &exchange{done: make(chan error, 1)}
		var stream *quic.Stream
		c.Do(func(s *Session) {
			stream, _ = s.Conn().OpenStream(quic.Bidi)
			stream.TryWrite([]byte("first half, "), false)
			busy.calls[stream] = x
		})
		time.Sleep(time.Second)

		down := make(chan error, 1)
		go func() { down <- p.listener.Shutdown(t.Context()) }()
		isDone := func(err error) bool {
			e, ok := errors.AsType[*quic.ApplicationError](err)
			return ok && e.Remote && e.Code == 7
		}
		if err := <-idle.closed; !isDone(err) {
			t.Errorf("the idle connection was told %v", err)
		}
		_, err = p.dial(t.Context(), newCaller().app)
		if e, ok := errors.AsType[*quic.TransportError](err); !ok || !e.Remote || e.Code != quic.ConnectionRefused {
			t.Errorf("a late attempt was told %v", err)
		}
		select {
		case err := <-down:
			t.Fatalf("Shutdown returned with a request in progress: %v", err)
		case err := <-busy.closed:
			t.Fatalf("the busy connection was closed: %v", err)
		case <-time.After(5 * time.Second):
		}
		c.Do(func(*Session) { stream.TryWrite([]byte("second half"), true) })
		if err := <-x.done; err != nil || string(x.got) != "first half, second half" {
			t.Errorf("got %q, %v", x.got, err)
		}
		if err := <-busy.closed; !isDone(err) {
			t.Errorf("the busy connection was told %v", err)
		}
		if err := <-down; err != nil {
			t.Error(err)
		}
	})
}

// When the context ends first, Shutdown says so, and closes what is left with the application's own code.
func TestShutdownGivesUp(t *testing.T) {
	for _, app := range []struct {
		name string
		new  NewApplicationFunc
	}{
		{"no Drainer", newEcho},
		{"a Drainer that never ends", func(ConnInfo) (ApplicationOverQUIC, error) { return newScripted(), nil }},
	} {
		t.Run(app.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPair(t, ListenConfig{NewApplication: app.new, CloseError: &quic.ApplicationError{Code: 9, Reason: "bye"}})
				defer p.close(t)
				a := newCaller()
				qc := clientQUIC()
				qc.KeepAlive = time.Second
				_, err := p.client.Dial(t.Context(), p.server.LocalAddr(), &DialConfig{QUIC: qc, NewApplication: a.app})
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				start := time.Now()
				if err := p.server.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("Shutdown: %v", err)
				}
				if d := time.Since(start); d != time.Hour {
					t.Errorf("after %v", d)
				}
				err = <-a.closed
				if e, ok := errors.AsType[*quic.ApplicationError](err); !ok || !e.Remote || e.Code != 9 || e.Reason != "bye" {
					t.Errorf("the client was told %v", err)
				}
			})
		})
	}
}

func TestCloseEndpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newScripted()
		p := newPair(t, ListenConfig{NewApplication: server.app})
		defer p.close(t)
		client := newScripted()
		c, err := p.dial(t.Context(), client.app)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second) // until the server knows as well
		start := time.Now()
		if err := p.server.Close(); err != nil {
			t.Error(err)
		}
		if d := time.Since(start); d != 0 {
			t.Errorf("Close took %v", d)
		}
		if err := <-server.closed; err == nil || !errors.Is(err, net.ErrClosed) {
			t.Errorf("the server's application was told %v", err)
		}
		<-c.Done()
		if e, ok := errors.AsType[*quic.TransportError](c.Err()); !ok || !e.Remote || e.Code != quic.NoError {
			t.Errorf("the client was told %v", c.Err())
		}
		if err := p.server.Close(); err != nil {
			t.Errorf("a second Close: %v", err)
		}
	})
}

// A listener that shares its endpoint takes only its own connections with it.
func TestCloseListener(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, ListenConfig{})
		defer p.close(t)
		if _, err := p.client.Listen(&ListenConfig{QUIC: serverQUIC(), NewApplication: newEcho}); err != nil {
			t.Fatal(err)
		}
		there, back := newCaller(), newCaller()
		c, err := p.dial(t.Context(), there.app)
		if err != nil {
			t.Fatal(err)
		}
		d, err := p.server.Dial(t.Context(), p.client.LocalAddr(), &DialConfig{QUIC: clientQUIC(), NewApplication: back.app})
		if err != nil {
			t.Fatal(err)
		}
		if err := p.listener.Close(); err != nil {
			t.Error(err)
		}
		<-c.Done()
		if got, err := back.call(d, []byte("hello")); err != nil || string(got) != "hello" {
			t.Errorf("the endpoint's own connection: %q, %v", got, err)
		}
		// It may listen again.
		if _, err := p.server.Listen(&ListenConfig{QUIC: serverQUIC(), NewApplication: newEcho}); err != nil {
			t.Fatal(err)
		}
		if _, err := p.dial(t.Context(), newCaller().app); err != nil {
			t.Error(err)
		}
		if _, err := p.server.Listen(&ListenConfig{QUIC: serverQUIC(), NewApplication: newEcho}); err == nil {
			t.Error("two listeners on one endpoint")
		}
	})
}

// Shutdown does not wait for connections that their peers have closed: nothing that may still come would be answered.
func TestShutdownLeavesDraining(t *testing.T) {
	for _, when := range []string{"before", "while"} {
		t.Run(when+" Shutdown waits", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := newScripted()
				p := newPair(t, ListenConfig{NewApplication: server.app})
				defer p.close(t)
				c, err := p.dial(t.Context(), newCaller().app)
				if err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Second)
				down := make(chan error, 1)
				shutdown := func() { down <- p.listener.Shutdown(t.Context()) }
				if when == "while" {
					go shutdown()
					synctest.Wait()
				}
				c.Close()
				<-server.closed
				synctest.Wait() // the step that told so has ended
				closed := time.Now()
				if when == "before" {
					go shutdown()
				}
				if err := <-down; err != nil {
					t.Error(err)
				}
				if d := time.Since(closed); d != 0 {
					t.Errorf("Shutdown has waited %v", d)
				}
			})
		})
	}
}
