package h3driver

import (
	"errors"
	"net"
	"testing"

	"github.com/dunlin-quic/dunlin/engine"
	"github.com/dunlin-quic/dunlin/h3"
	"github.com/dunlin-quic/dunlin/quic"
)

// closedEvent returns the next EventStreamClosed of a client.
func closedEvent(t *testing.T, c *ClientController) Event {
	t.Helper()
	for {
		ev, err := c.NextEvent(testContext(t))
		if err != nil {
			t.Fatal(err)
		}
		if ev.Kind == EventStreamClosed {
			return ev
		}
	}
}

// Requests that were left go out when their turn comes, and those that were withdrawn from the line do not.
func TestLeaveRequest(t *testing.T) {
	p := newPair(t, &options{serverQUIC: quic.Config{MaxBidiStreams: 1}})
	leave := func(path string) (*Stream, *releases) {
		l := new(releases)
		fields := append([]h3.Field(nil), getFields...)
		fields[3].Value = path
		s, err := p.client.LeaveRequest(Part{Header: fields, Fin: true, Release: l}, path)
		if err != nil || s.Value != path {
			t.Fatal(s, err)
		}
		return s, l
	}
	a, ra := leave("/a")
	first := next(t, p.server, EventHeaders)
	b, rb := leave("/b")
	c, rc := leave("/c")
	d, rd := leave("/d")
	b.CancelRead(h3.RequestCancelled)
	c.CancelWrite(h3.RequestCancelled)
	rb.want(t, 1)
	rc.want(t, 1)
	if !a.Opened() || b.Opened() || c.Opened() || d.Opened() {
		t.Error("opened:", a.Opened(), b.Opened(), c.Opened(), d.Opened())
	}
	first.Stream.Respond(okFields, nil)
	if ev := next(t, p.server, EventHeaders); ev.Fields[3].Value != "/d" {
		t.Errorf("%v came second", ev.Fields[3].Value)
	}
	if !d.Opened() || d.ID() != 4 || b.Opened() || c.Opened() {
		t.Error("opened:", d.Opened(), d.ID(), b.Opened(), c.Opened())
	}
	ra.want(t, 1)
	rd.want(t, 1)
	p.client.Do(testContext(t), func(*engine.Session, *h3.Conn) {
		if n := len(p.client.d.waiting); n > 0 {
			t.Errorf("%d requests in line", n)
		}
	})
}

// Whoever left a request that can't be opened any more hears of it.
func TestLeftRequestIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		refuse func(p *pair, running *Stream)
		want   error
	}{
		"going away": {func(p *pair, running *Stream) {
			p.server.GoAway()
			next(t, p.client, EventGoAway)
		}, h3.ErrGoingAway},
		"the end": {func(p *pair, _ *Stream) { p.client.Close() }, net.ErrClosed},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPair(t, &options{serverQUIC: quic.Config{MaxBidiStreams: 1}})
			_, running := p.open(t, Part{Header: postFields})
			l := new(releases)
			s, err := p.client.LeaveRequest(Part{Header: getFields, Fin: true, Release: l}, nil)
			if err != nil {
				t.Fatal(err)
			}
			c.refuse(p, running)
			ev := closedEvent(t, p.client)
			for ev.Stream != s {
				ev = closedEvent(t, p.client)
			}
			if !errors.Is(ev.Err, c.want) || s.Opened() {
				t.Errorf("%v, opened: %v", ev.Err, s.Opened())
			}
			l.want(t, 1)
		})
	}
	t.Run("later", func(t *testing.T) {
		p := newPair(t, nil)
		p.client.Close()
		next(t, p.client, EventClosed)
		l := new(releases)
		if _, err := p.client.LeaveRequest(Part{Header: getFields, Fin: true, Release: l}, nil); !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
		l.want(t, 1)
	})
}
