package h3driver

import (
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"testing"
	"time"

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

// What a user does with a stream that still stands in line.
func TestStreamInLine(t *testing.T) {
	p := newPair(t, &options{serverQUIC: quic.Config{MaxBidiStreams: 1}})
	p.open(t, Part{Header: postFields})
	l := new(releases)
	s, err := p.client.LeaveRequest(Part{Header: postFields, Release: l}, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx := testContext(t)
	if err := s.SendDatagram(ctx, []byte("x")); err != h3.ErrSequence {
		t.Error(err)
	}
	if _, err := s.ReceiveDatagram(ctx, nil); err != h3.ErrSequence {
		t.Error(err)
	}
	s.SetDeadline(time.Now())
	if _, err := s.Write([]byte("x")); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error(err)
	}
	if _, err := s.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error(err)
	}
	more := new(releases)
	if err := s.Send(Part{Body: []byte("x"), Release: more}); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error(err)
	}
	more.want(t, 1)
	l.want(t, 0)
	if s.Context().Err() != nil || s.ID() != 0 || s.Early() || s.MaxDatagramLen() != 0 {
		t.Error(s.Context().Err(), s.ID(), s.Early(), s.MaxDatagramLen())
	}
	s.CancelRead(h3.RequestCancelled)
	<-s.Context().Done()
	var e *h3.Error
	for _, err := range []error{s.SendDatagram(ctx, []byte("x")), s.Send(Part{Fin: true, Release: more}), s.Flush(), context.Cause(s.Context())} {
		if !errors.As(err, &e) || e.Code != h3.RequestCancelled {
			t.Error(err)
		}
	}
	l.want(t, 1)
	more.want(t, 2)
}

// Whenever a connection ends, each request that was left and not withdrawn has its last event, once, and each Part is given back.
func TestLeftRequestsEnd(t *testing.T) {
	type request struct {
		releases
		s         *Stream
		withdrawn bool
		closed    int
	}
	const users, each = 8, 50
	p := newPair(t, &options{serverQUIC: quic.Config{MaxBidiStreams: 3}})
	var served sync.WaitGroup
	served.Go(func() {
		for n := 0; ; n++ {
			ev, err := p.server.NextEvent(context.Background())
			if err != nil {
				return
			}
			if ev.Kind == EventHeaders {
				if ev.Stream.Respond(okFields, nil); n == users*each/8 {
					p.server.GoAway()
				}
			}
		}
	})
	var requests [users][each]*request
	var left sync.WaitGroup
	for i := range requests {
		left.Go(func() {
			for j := range requests[i] {
				r := new(request)
				s, err := p.client.LeaveRequest(Part{Header: getFields, Fin: true, Release: r}, r)
				requests[i][j] = r
				if r.s = s; err != nil {
					continue
				}
				switch r.withdrawn = j%4 < 2; j % 4 {
				case 0:
					s.CancelRead(h3.RequestCancelled)
				case 1:
					s.CancelWrite(h3.RequestCancelled)
					s.CancelRead(h3.RequestCancelled)
				}
			}
			if i == 0 {
				p.client.Close()
			}
		})
	}
	for {
		ev, err := p.client.NextEvent(testContext(t))
		if err != nil {
			t.Fatal(err)
		}
		if ev.Kind == EventClosed {
			break
		}
		if ev.Stream == nil {
			continue
		}
		r := ev.Stream.Value.(*request)
		if r.closed > 0 {
			t.Error(ev.Kind, "after the last event")
		}
		if ev.Kind == EventStreamClosed {
			r.closed++
		}
	}
	left.Wait()
	served.Wait()
	for i := range requests {
		for j, r := range requests[i] {
			r.want(t, 1)
			if r.s == nil && r.closed > 0 || r.s != nil && r.closed == 0 && !r.withdrawn {
				t.Errorf("%d.%d: left: %v, last events: %d", i, j, r.s != nil, r.closed)
			}
		}
	}
}
