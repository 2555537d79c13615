package h3driver

import (
	"slices"

	"github.com/dunlin-quic/dunlin/engine"
	"github.com/dunlin-quic/dunlin/h3"
	"github.com/dunlin-quic/dunlin/quic"
)

// handshakeComplete ends the time of early data.
func (d *driver) handshakeComplete(s *engine.Session) {
	d.early = false
	d.negotiated(s.Conn())
	d.tell(Event{Kind: EventHandshakeComplete})
	held := d.held
	d.held = nil
	for _, s := range held {
		d.open(s)
		s.service()
	}
}

// negotiated notes what the handshake has led to.
func (d *driver) negotiated(c *quic.Conn) {
	d.version.Store(uint32(c.Version()))
	d.tls.Store(c.ConnectionState())
}

// hold puts s in the line of requests that wait for the handshake, or takes it out if nobody wants it any more. It
// returns false if s need not wait.
func (d *driver) hold(s *Stream) bool {
	if !d.early {
		return false
	}
	s.mu.Lock()
	closed, early := s.closed, s.out.part.Early
	s.mu.Unlock()
	i := slices.Index(d.held, s)
	switch {
	case closed && i >= 0:
		d.held = slices.Delete(d.held, i, i+1)
	case !closed && !early && i < 0:
		d.held = append(d.held, s)
	}
	return !early && !closed || i >= 0
}

// startOver begins HTTP/3 anew on a connection whose server did not take the early data and allows less now. It has seen
// nothing of the requests, which end with err.
func (d *driver) startOver(s *engine.Session, err error) {
	for s := d.live.head; s != nil; s = d.live.head {
		d.live.remove(s)
		s.close(err)
		d.tell(Event{Kind: EventStreamClosed, Stream: s, Err: err})
	}
	d.idleSince = s.Now()
	d.h3 = h3.NewConn(s.Conn(), d.cfg.H3)
	d.draining = min(d.draining, drainRequested) // a GOAWAY has to be sent again
	d.openWaiting()
}
