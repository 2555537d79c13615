package h3driver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/dunlin-quic/dunlin/h3"
	"github.com/dunlin-quic/dunlin/quic"
)

var tunnelFields = []h3.Field{{Name: ":method", Value: "CONNECT"}, {Name: ":protocol", Value: "test"}, {Name: ":scheme", Value: "https"},
	{Name: ":authority", Value: "127.0.0.1"}, {Name: ":path", Value: "/"}}

// tunnel opens an extended CONNECT request.
func (p *pair) tunnel(t *testing.T) (client, server *Stream) {
	t.Helper()
	settings, err := p.client.Settings(testContext(t))
	if err != nil || len(settings) == 0 {
		t.Fatal(settings, err)
	}
	client, server = p.open(t, Part{Header: tunnelFields})
	if err := server.SendHeaders(okFields, false); err != nil {
		t.Fatal(err)
	}
	next(t, p.client, EventHeaders)
	return client, server
}

// TestDatagrams sends datagrams both ways on two requests while others wait for them.
func TestDatagrams(t *testing.T) {
	p := newPair(t, &options{server: Config{H3: &h3.Config{ExtendedConnect: true}}})
	ctx := testContext(t)
	for i := range 2 {
		client, server := p.tunnel(t)
		for _, ends := range [][2]*Stream{{client, server}, {server, client}} {
			from, to := ends[0], ends[1]
			const count = 20
			failed := make(chan error)
			go func() {
				buf := make([]byte, 100)
				for n := range count {
					m, err := to.ReceiveDatagram(ctx, buf)
					if want := fmt.Sprint(i, n); err != nil || string(buf[:m]) != want {
						failed <- fmt.Errorf("got %q, want %q: %w", buf[:m], want, err)
						return
					}
				}
				failed <- nil
			}()
			for n := range count {
				if err := from.SendDatagram(ctx, fmt.Append(nil, i, n)); err != nil {
					t.Fatal(err)
				}
			}
			if err := <-failed; err != nil {
				t.Error(err)
			}
			if err := from.SendDatagram(ctx, make([]byte, from.MaxDatagramLen()+1)); err != quic.ErrDatagramTooLarge {
				t.Error(err)
			}
			from.SendDatagram(ctx, make([]byte, 10))
			if n, err := to.ReceiveDatagram(ctx, make([]byte, 5)); n != 5 || err != io.ErrShortBuffer {
				t.Errorf("short buffer: %d, %v", n, err)
			}
		}
	}
}

// TestDatagramWaits ends what waits for a datagram: by the context, the end of the message, its reset, and the end of the
// connection.
func TestDatagramWaits(t *testing.T) {
	p := newPair(t, &options{server: Config{H3: &h3.Config{ExtendedConnect: true}}})
	var e *h3.Error
	cause := errors.New("cause")
	for _, tt := range []struct {
		name string
		end  func(client, server *Stream, cancel context.CancelCauseFunc)
		want func(error) bool
	}{
		{"context", func(_, _ *Stream, cancel context.CancelCauseFunc) { cancel(cause) }, func(err error) bool { return err == cause }},
		{"end", func(c, s *Stream, _ context.CancelCauseFunc) {
			c.CloseWrite()
			io.ReadAll(s)
		}, func(err error) bool { return err == io.EOF }},
		{"reset", func(c, _ *Stream, _ context.CancelCauseFunc) { c.CancelWrite(h3.RequestCancelled) }, func(err error) bool {
			return errors.As(err, &e) && e.OnStream && e.Remote && e.Code == h3.RequestCancelled
		}},
		{"given up", func(_, s *Stream, _ context.CancelCauseFunc) { s.CancelRead(h3.RequestCancelled) }, func(err error) bool {
			return errors.As(err, &e) && e.OnStream && !e.Remote
		}},
		{"connection", func(_, _ *Stream, _ context.CancelCauseFunc) { p.client.Close() }, func(err error) bool {
			return errors.As(err, &e) && !e.OnStream && e.Remote
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			client, server := p.tunnel(t)
			ctx, cancel := context.WithCancelCause(testContext(t))
			failed := make(chan error)
			go func() {
				_, err := server.ReceiveDatagram(ctx, make([]byte, 10))
				failed <- err
			}()
			tt.end(client, server, cancel)
			if err := <-failed; !tt.want(err) {
				t.Error(err)
			}
			client.CancelRead(h3.RequestCancelled)
			client.CancelWrite(h3.RequestCancelled)
			for tt.name != "connection" {
				if ev, err := p.server.NextEvent(testContext(t)); err != nil || ev.Kind == EventStreamClosed {
					break
				}
			}
			for tt.name != "connection" {
				if ev, err := p.client.NextEvent(testContext(t)); err != nil || ev.Kind == EventStreamClosed {
					break
				}
			}
		})
	}
}
