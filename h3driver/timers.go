package h3driver

import (
	"time"

	"github.com/dunlin-quic/dunlin/engine"
	"github.com/dunlin-quic/dunlin/h3"
	"github.com/dunlin-quic/dunlin/quic"
)

// headerTimers knows the requests whose header section has not arrived, oldest first. There are no more of them than
// streams that the peer may have open, and nearly always none.
type headerTimers struct{ pending []headerTimer }

type headerTimer struct {
	stream *quic.Stream
	opened time.Time
}

func (t *headerTimers) opened(now time.Time, s *quic.Stream) {
	t.pending = append(t.pending, headerTimer{s, now})
}

func (t *headerTimers) forget(id quic.StreamID) {
	for i := range t.pending {
		if t.pending[i].stream.ID() == id {
			n := i + copy(t.pending[i:], t.pending[i+1:])
			t.pending[n] = headerTimer{}
			t.pending = t.pending[:n]
			return
		}
	}
}

// drainState says how far a graceful shutdown is (RFC 9114, Section 5.2).
type drainState uint8

const (
	drainNone      drainState = iota
	drainRequested            // GOAWAY is to be sent
	drainAnnounced            // a server has sent the first GOAWAY, which refuses nothing yet
	drainFinal                // no new requests: the connection closes when the last one is done
	drainLinger               // it was, and the client has a moment to read and to close the connection itself
)

// lingerTime is how long a server that drains leaves a connection to a client that has received everything, and
// acknowledged it, but may not have read it: what is unread at the close is lost.
const lingerTime = time.Second

// NextDeadline implements engine.ApplicationOverQUIC.
func (d *driver) NextDeadline() (time.Time, bool) {
	var deadline time.Time
	earlier := func(t time.Time) {
		if deadline.IsZero() || t.Before(deadline) {
			deadline = t
		}
	}
	if len(d.headers.pending) > 0 && d.cfg.HeaderTimeout > 0 {
		earlier(d.headers.pending[0].opened.Add(d.cfg.HeaderTimeout))
	}
	if !d.idleSince.IsZero() && d.cfg.IdleTimeout > 0 {
		earlier(d.idleSince.Add(d.cfg.IdleTimeout))
	}
	if d.awaitsFirst() {
		earlier(d.idleSince.Add(d.cfg.FirstRequestTimeout))
	}
	if d.draining == drainAnnounced || d.draining == drainLinger {
		earlier(d.drainAt)
	}
	if at, ok := d.h3.NextTimeout(); ok {
		earlier(at)
	}
	return deadline, !deadline.IsZero() && !d.closing && !d.closed
}

// handleTimeouts does what is due.
func (d *driver) handleTimeouts(s *engine.Session) {
	now := s.Now()
	for len(d.headers.pending) > 0 && d.cfg.HeaderTimeout > 0 {
		t := d.headers.pending[0]
		if now.Sub(t.opened) < d.cfg.HeaderTimeout {
			break
		}
		d.headers.forget(t.stream.ID())
		t.stream.StopSending(uint64(h3.RequestIncomplete))
		t.stream.Reset(uint64(h3.RequestIncomplete))
	}
	switch {
	case d.draining == drainRequested && d.side == quic.Client:
		d.h3.GoAway(0)
		d.draining = drainFinal
	case d.draining == drainRequested:
		// RFC 9114, Section 5.2: requests that are under way now are not to be refused, so the limit follows when they
		// have arrived.
		d.h3.GoAway(h3.MaxRequestID)
		d.draining = drainAnnounced
		d.drainAt = now.Add(s.Conn().Stats().RTT)
	case d.draining == drainAnnounced && !now.Before(d.drainAt):
		d.h3.GoAway(d.h3.NextRequestID())
		d.draining = drainFinal
	}
	if d.live.n.Load() > 0 {
		return
	}
	switch {
	case d.side == quic.Client && (d.goneAway || d.draining == drainFinal):
		d.close("")
	case d.draining == drainFinal && !d.served:
		d.close("")
	case d.draining == drainFinal:
		d.draining = drainLinger
		d.drainAt = now.Add(lingerTime)
	case d.draining == drainLinger && !now.Before(d.drainAt):
		d.close("")
	case d.awaitsFirst() && now.Sub(d.idleSince) >= d.cfg.FirstRequestTimeout:
		d.h3.GoAway(d.h3.NextRequestID())
		d.close("no request")
	case d.cfg.IdleTimeout > 0 && now.Sub(d.idleSince) >= d.cfg.IdleTimeout:
		if d.side == quic.Server {
			d.h3.GoAway(d.h3.NextRequestID())
		}
		d.close("idle")
	}
}

// awaitsFirst reports whether a server gives its client so much time to begin; it is idle since the handshake then.
func (d *driver) awaitsFirst() bool {
	return d.side == quic.Server && d.cfg.FirstRequestTimeout > 0 && !d.served && !d.idleSince.IsZero()
}

// countRequest ends the connection in good order once there were so many requests as there may be. RFC 9114, Section 5.2: what the
// client has sent since is known not to be processed.
func (d *driver) countRequest() {
	if d.side != quic.Server || d.cfg.MaxRequests <= 0 {
		return
	}
	if d.requests++; d.requests >= d.cfg.MaxRequests && d.draining < drainFinal {
		d.h3.GoAway(d.h3.NextRequestID())
		d.draining = drainFinal
	}
}

func (d *driver) close(reason string) {
	if !d.closing {
		d.closing = true
		d.h3.CloseWithError(h3.NoError, reason)
	}
}

// Drain implements engine.Drainer.
func (d *driver) Drain(s *engine.Session) error {
	if d.draining == drainNone {
		d.draining = drainRequested
	}
	return d.ProcessWrites(s)
}
