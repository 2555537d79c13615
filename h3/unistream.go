package h3

import (
	"io"
	"time"

	"github.com/dunlin-quic/dunlin/internal/wire"
	"github.com/dunlin-quic/dunlin/qlog"
	"github.com/dunlin-quic/dunlin/quic"
)

// streamType is the type of a unidirectional stream (RFC 9114, Section 6.2).
type streamType uint64

const (
	streamControl streamType = 0x00
	streamPush    streamType = 0x01
	streamEncoder streamType = 0x02 // RFC 9204, Section 4.2
	streamDecoder streamType = 0x03
)

// inStream is a unidirectional stream of the peer's. Those of unknown type are no longer read once that is clear.
type inStream struct {
	frameReader // of a control stream; its header also collects the stream type
	typed       bool
	kind        streamType
}

// outStream is a critical stream of ours.
type outStream struct {
	qs  *quic.Stream
	buf []byte // what QUIC has not taken yet
}

// pending is a QPACK encoder or decoder, as far as its stream goes.
type pending interface {
	Pending() []byte
	Sent(n int)
}

// flush opens the stream if that has not been possible before and writes what is pending.
func (c *Conn) flush(s *outStream) {
	if s.qs == nil {
		qs, err := c.q.OpenStream(quic.Uni)
		if err != nil {
			return // more streams or the end of the connection will be told
		}
		s.qs = qs
		qs.Value = s
		qs.SetPriority(0, true)
		if c.q.Traced() {
			c.traceOpened(s)
		}
	}
	n := c.writeCritical(s, s.buf)
	if s.buf = s.buf[n:]; len(s.buf) == 0 {
		s.buf = nil
	}
}

// flushQPACK does the same and goes on with what p has pending.
func (c *Conn) flushQPACK(s *outStream, p pending) {
	if s.qs == nil {
		c.flush(s)
	}
	b := p.Pending()
	if len(b) == 0 {
		return
	}
	if s.qs != nil && len(s.buf) == 0 {
		n := c.writeCritical(s, b)
		p.Sent(n)
		b = b[n:]
	}
	if len(b) > maxPending {
		c.fail(ExcessiveLoad, "the QPACK streams get no flow-control credit")
	}
}

const (
	// holdTime is how long the decoder's instructions wait for company, as long as QUIC's acknowledgments do.
	holdTime = 25 * time.Millisecond
	// maxHeld bounds them: some dozens of acknowledged sections.
	maxHeld = 64
)

// flushDecoder is flushQPACK for the decoder, whose acknowledgments nobody waits for before the next request or response
// (RFC 9204, Section 4.4). They travel with that: a datagram of their own would cost as much as a small request.
func (c *Conn) flushDecoder(now time.Time) {
	n := len(c.dec.Pending())
	if c.decoder.qs != nil && n > 0 && n < maxHeld && !c.q.Sending() {
		if c.heldSince.IsZero() {
			c.heldSince = now
		}
		if now.Sub(c.heldSince) < holdTime {
			return
		}
	}
	c.heldSince = time.Time{}
	c.flushQPACK(&c.decoder, c.dec)
}

// NextTimeout returns when Flush is to be called at the latest, though nothing happens; false if that does not matter.
func (c *Conn) NextTimeout() (time.Time, bool) {
	return c.heldSince.Add(holdTime), !c.heldSince.IsZero() && c.closeErr == nil && c.err == nil
}

// writeCritical writes to a stream that the peer must not refuse (RFC 9114, Section 6.2.1; RFC 9204, Section 4.2).
func (c *Conn) writeCritical(s *outStream, b []byte) int {
	n, err := s.qs.TryWrite(b, false)
	if _, ok := err.(*quic.StreamError); ok {
		c.fail(ClosedCriticalStream, "the peer stopped a critical stream")
	}
	return n
}

// sendGreaseStream opens and ends a stream of a reserved type, once, if QUIC allows it when the critical streams are
// open (RFC 9114, Section 6.2.3).
func (c *Conn) sendGreaseStream() {
	if c.cfg.NoGrease || c.greased || c.control.qs == nil || c.encoder.qs == nil || c.decoder.qs == nil {
		return
	}
	c.greased = true
	qs, err := c.q.OpenStream(quic.Uni)
	if err != nil {
		return
	}
	qs.SetPriority(7, true)
	id := c.grease.id()
	if c.q.Traced() {
		c.traceType(qlog.Local, qs.ID(), streamType(id))
	}
	b := c.grease.appendFrame(wire.AppendVarint(nil, id))
	if n, _ := qs.TryWrite(b, true); n < len(b) {
		qs.Reset(uint64(NoError))
	}
}

// receiveUni reads a unidirectional stream until there is an event or it has nothing more.
func (c *Conn) receiveUni(s *inStream) Event {
	if !s.typed {
		if !c.receiveType(s) {
			return Event{}
		}
	}
	switch s.kind {
	case streamControl:
		return c.receiveControl(s)
	case streamEncoder:
		c.receiveQPACK(s, c.dec.HandleEncoderStream)
		c.unblock()
	case streamDecoder:
		c.receiveQPACK(s, c.enc.HandleDecoderStream)
	}
	return Event{}
}

// receiveType reads the stream type; false if it is not there yet, or the stream is not read any further.
func (c *Conn) receiveType(s *inStream) bool {
	for {
		b, err := s.qs.Peek()
		if err != nil {
			return false // RFC 9114, Section 6.2: a stream may end before its type is complete
		}
		had := int(s.partial)
		got := copy(s.header[had:8], b)
		v, n := wire.ParseVarint(s.header[:had+got])
		if n == 0 {
			s.qs.Discard(got)
			s.partial += uint8(got)
			continue
		}
		s.qs.Discard(n - had)
		s.partial = 0
		s.typed, s.kind = true, streamType(v)
		if c.q.Traced() {
			c.traceType(qlog.Remote, s.qs.ID(), s.kind)
		}
		return c.accept(s)
	}
}

// accept decides on a stream whose type is known.
func (c *Conn) accept(s *inStream) bool {
	var slot **inStream
	switch s.kind {
	case streamControl:
		slot = &c.peerControl
	case streamEncoder:
		slot = &c.peerEncoder
	case streamDecoder:
		slot = &c.peerDecoder
	case streamPush:
		if c.server {
			c.fail(StreamCreationError, "push stream from a client") // RFC 9114, Section 6.2.2
		} else {
			c.fail(IDError, "push stream without MAX_PUSH_ID") // RFC 9114, Section 4.6
		}
		return false
	default:
		s.qs.StopSending(uint64(StreamCreationError)) // RFC 9114, Section 6.2
		return false
	}
	if *slot != nil {
		c.fail(StreamCreationError, "critical stream twice")
		return false
	}
	*slot = s
	return true
}

// receiveQPACK gives what has arrived on a QPACK stream to handle.
func (c *Conn) receiveQPACK(s *inStream, handle func([]byte) error) {
	for c.err == nil {
		b, err := s.qs.Peek()
		if err != nil {
			c.criticalError(err)
			return
		}
		if err := handle(b); err != nil {
			c.failQPACK(err)
			return
		}
		s.qs.Discard(len(b))
	}
}

// criticalError ends the connection if a critical stream has ended (RFC 9114, Section 6.2.1; RFC 9204, Section 4.2).
func (c *Conn) criticalError(err error) {
	_, reset := err.(*quic.StreamError)
	if reset || err == io.EOF || err == io.ErrUnexpectedEOF {
		c.fail(ClosedCriticalStream, "the peer closed a critical stream")
	}
}

// unblock lets streams go on whose sections can be decoded now.
func (c *Conn) unblock() {
	for {
		id, ok := c.dec.NextUnblocked()
		if !ok {
			return
		}
		if s := c.streams.find(quic.StreamID(id)); s != nil {
			s.blocked = false
			s.readable = true
			c.push(s)
		}
	}
}
