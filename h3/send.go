package h3

import (
	"math"

	"github.com/dunlin-quic/dunlin/internal/wire"
	"github.com/dunlin-quic/dunlin/quic"
)

// sendState says how far our message has come.
type sendState uint8

const (
	sendHeaders sendState = iota // the header section is to come
	sendBody                     // body, trailers or the end
	sendDone                     // complete, or abandoned
)

// SendHeaders sends the header section of the request or final response, pseudo-header fields first, names in lower
// case. With fin the message ends here. The fields are checked as a peer would check them: a malformed section sends
// nothing and returns an *Error with code MessageError. Bytes that QUIC has no room for are kept, and go first later.
// fields is not kept.
//
// Other errors: ErrSequence; ErrFieldSectionTooLarge; an *Error if the peer reads no more (EventStopSending); or why
// the connection ended.
func (s *Stream) SendHeaders(fields []Field, fin bool) error {
	if err := s.sendable(sendHeaders); err != nil {
		return err
	}
	if s.c.server {
		m, reason := parseResponse(fields)
		if reason == "" && m.status < 200 {
			reason = "interim :status in a final response"
		}
		if reason != "" {
			return s.malformed(reason)
		}
		s.tunnel = s.connect && m.status < 300
	} else {
		m, reason := parseRequest(fields)
		if reason != "" {
			return s.malformed(reason)
		}
		if m.protocol != "" && !s.c.peerExtended {
			return ErrExtendedConnect // RFC 8441, Section 3
		}
		s.head = m.method == "HEAD"
		s.connect = m.method == "CONNECT"
		s.extended = m.protocol != ""
	}
	if err := s.sendSection(fields, fin); err != nil {
		return err
	}
	s.send = sendBody
	if fin {
		s.send = sendDone
	}
	return nil
}

// SendInterim sends an interim response (RFC 9110, Section 15.2), whose :status is 1xx but not 101. Servers only,
// before SendHeaders. It returns quic.ErrWouldBlock, having sent nothing, while bytes of an earlier section wait;
// EventWritable says when they have gone. Other errors are those of SendHeaders.
func (s *Stream) SendInterim(fields []Field) error {
	if err := s.sendable(sendHeaders); err != nil {
		return err
	}
	if !s.c.server {
		return ErrSequence
	}
	m, reason := parseResponse(fields)
	if reason == "" && m.status >= 200 {
		reason = "final :status in an interim response"
	}
	if reason != "" {
		return s.malformed(reason)
	}
	if len(s.out) > 0 {
		s.wantWrite = true
		return quic.ErrWouldBlock
	}
	return s.sendSection(fields, false)
}

// SendTrailers sends the trailer section and ends the message. Errors are those of SendHeaders.
func (s *Stream) SendTrailers(fields []Field) error {
	if err := s.sendable(sendBody); err != nil {
		return err
	}
	if s.connect && (s.tunnel || !s.c.server) {
		return ErrSequence // RFC 9114, Section 4.4
	}
	if reason := checkTrailers(fields); reason != "" {
		return s.malformed(reason)
	}
	if err := s.sendSection(fields, true); err != nil {
		return err
	}
	s.send = sendDone
	return nil
}

// TryWriteBody sends as much of p as there is room for and, with fin, if all of p fitted, ends the message. It returns
// how many bytes it took, with quic.ErrWouldBlock if that is less than all, after which EventWritable says when to go
// on. Other errors are those of SendHeaders. p is not kept.
func (s *Stream) TryWriteBody(p []byte, fin bool) (int, error) { return s.sendBody(p, fin, nil) }

// TryLendBody is TryWriteBody without a copy: what it takes belongs to the connection until that calls owner.Release, once
// for each call that took any. See [quic.Stream.TryLend]. owner must not be nil.
func (s *Stream) TryLendBody(p []byte, fin bool, owner quic.Releaser) (int, error) {
	return s.sendBody(p, fin, owner)
}

// sendBody is TryWriteBody, and TryLendBody if there is an owner.
func (s *Stream) sendBody(p []byte, fin bool, owner quic.Releaser) (int, error) {
	if err := s.sendable(sendBody); err != nil {
		return 0, err
	}
	if err := s.flushOut(); err != nil {
		return 0, err
	}
	if len(s.out) > 0 {
		s.wantWrite = true
		return 0, quic.ErrWouldBlock
	}
	n := 0
	if len(p) > 0 {
		room := s.qs.Writable()
		n = min(len(p), room-2)
		if n >= 1<<6 {
			n = min(len(p), room-1-wire.VarintLen(uint64(n)))
		}
	}
	if n > 0 {
		t := s.c.borrow()
		t.buf = appendFrameHeader(t.buf[:0], frameData, n)
		if err := s.write(t.buf, false); err != nil {
			return 0, err
		}
		if s.c.q.Traced() {
			s.traceData(n)
		}
		end := fin && n == len(p)
		if owner != nil {
			// There is room for all of it, and nothing has failed since the header.
			_, _ = s.qs.TryLend(p[:n], end, owner)
		} else if err := s.write(p[:n], end); err != nil {
			return 0, err
		}
		if end {
			s.send = sendDone
		}
	} else if len(p) == 0 && fin {
		if err := s.write(nil, true); err != nil {
			return 0, err
		}
		s.send = sendDone
	}
	if n = max(n, 0); n < len(p) {
		s.wantWrite = true
		s.awaitRoom()
		return n, quic.ErrWouldBlock
	}
	return n, nil
}

// awaitRoom makes QUIC, which has no room for a DATA frame with content, tell when there is. It does so after a write
// that it took only in part: DATA frames without content do for that, whatever is taken of them.
func (s *Stream) awaitRoom() {
	emptyData := [...]byte{byte(frameData), 0}
	for {
		n, err := s.qs.TryWrite(emptyData[:], false)
		if n == 1 {
			s.out = append(s.out, emptyData[1:]...)
		}
		if n < len(emptyData) || err != nil {
			return
		}
	}
}

// Reset abandons our message: the peer learns that it is incomplete, and the code. It does nothing when the message has
// ended and the peer has all of it. A client that cancels uses RequestCancelled; so does a server, or
// RequestRejected if it has done nothing with the request (RFC 9114, Section 4.1.1).
func (s *Stream) Reset(code ErrCode) {
	s.send = sendDone
	s.out, s.finOut = nil, false
	s.wantWrite = false
	s.qs.Reset(uint64(code))
}

// sendable reports why a part of the message can't be sent now, which belongs where the state is want.
func (s *Stream) sendable(want sendState) error {
	if err := s.c.Err(); err != nil {
		return err
	}
	if s.sendErr != nil {
		return s.sendErr
	}
	if s.send != want {
		return ErrSequence
	}
	return nil
}

// malformed is the error of a section that the caller must not send.
func (s *Stream) malformed(reason string) error {
	return &Error{OnStream: true, StreamID: s.qs.ID(), Code: MessageError, Reason: reason}
}

// sendSection encodes and sends a HEADERS frame.
func (s *Stream) sendSection(fields []Field, fin bool) error {
	c := s.c
	if c.peerMaxSection != math.MaxUint64 {
		size := uint64(0)
		for i := range fields {
			size += fields[i].Size()
		}
		if size > c.peerMaxSection {
			return ErrFieldSectionTooLarge
		}
	}
	t := c.borrow()
	b := t.buf[:0]
	if !c.sent && !c.cfg.NoGrease {
		b = c.grease.appendFrame(b)
	}
	c.sent = true
	// The frame's length is known when the section is encoded; its header then goes just before it.
	grease := len(b)
	const maxHeader = 1 + 8
	b = append(b, make([]byte, maxHeader)...)
	b = c.enc.Encode(b, uint64(s.qs.ID()), fields)
	length := len(b) - grease - maxHeader
	if c.q.Traced() {
		if typ, _, n := parseFrameHeader(b[:grease]); n > 0 {
			c.traceSent(s.qs.ID(), typ, b[n:grease])
		}
		s.traceSection(false, fields, length)
	}
	header := 1 + wire.VarintLen(uint64(length))
	appendFrameHeader(b[:grease+maxHeader-header], frameHeaders, length)
	copy(b[maxHeader-header:], b[:grease])
	t.buf = b[:0]
	return s.write(b[maxHeader-header:], fin)
}

// write gives b to QUIC and keeps what it does not take; with fin the stream ends after b.
func (s *Stream) write(b []byte, fin bool) error {
	n := 0
	if len(s.out) == 0 {
		var err error
		n, err = s.qs.TryWrite(b, fin)
		if err != nil && err != quic.ErrWouldBlock {
			return s.writeError(err)
		}
	}
	if n < len(b) {
		s.out = append(s.out, b[n:]...)
		s.finOut = fin
	}
	return nil
}

// flushOut gives QUIC what it did not take before.
func (s *Stream) flushOut() error {
	if len(s.out) == 0 {
		return nil
	}
	n, err := s.qs.TryWrite(s.out, s.finOut)
	if err != nil && err != quic.ErrWouldBlock {
		return s.writeError(err)
	}
	if s.out = s.out[n:]; len(s.out) == 0 {
		s.out = nil
	}
	return nil
}

// writeError turns an error of the QUIC stream into one of HTTP/3's.
func (s *Stream) writeError(err error) error {
	s.out, s.finOut = nil, false
	if e, ok := err.(*quic.StreamError); ok {
		if s.sendErr == nil {
			s.sendErr = &Error{Remote: e.Remote, OnStream: true, StreamID: s.qs.ID(), Code: ErrCode(e.Code)}
		}
		return s.sendErr
	}
	if err == quic.ErrStreamDone {
		return ErrSequence
	}
	return err
}

// resumeSend goes on when QUIC has room again, or finds that the peer reads no more.
func (s *Stream) resumeSend() Event {
	err := s.flushOut()
	if err == nil && len(s.out) == 0 {
		if _, err = s.qs.TryWrite(nil, false); err != nil {
			err = s.writeError(err)
		}
	}
	if err == nil && len(s.out) == 0 && s.wantWrite {
		s.wantWrite = false
		return Event{Kind: EventWritable, Stream: s}
	}
	switch {
	case err == nil || s.sendErr == nil || s.stopTold:
	case !s.told:
		s.reject() // nobody wants the response to a request that has not arrived yet
	default:
		s.stopTold = true
		return Event{Kind: EventStopSending, Stream: s, Err: s.sendErr}
	}
	return Event{}
}
