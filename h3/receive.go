package h3

import (
	"errors"
	"io"

	"github.com/dunlin-quic/dunlin/h3/qpack"
	"github.com/dunlin-quic/dunlin/quic"
)

// recvState says how far the peer's message has come.
type recvState uint8

const (
	recvHeaders  recvState = iota // the header section is to come, after interim responses perhaps
	recvBody                      // DATA frames, trailers or the end
	recvTrailers                  // only frames of unknown types, and the end
	recvDone
	recvFailed // see Stream.recvErr
)

// step is what advance came to.
type step uint8

const (
	stepWait    step = iota // for more bytes, or for the QPACK encoder stream
	stepData                // body bytes can be read
	stepSection             // a field section can be decoded
	stepEnd                 // the message is complete
	stepFailed              // the stream or the connection has ended with an error
)

// advance reads frame headers and passes over what nobody wants to see.
func (s *Stream) advance() step {
	if s.blocked {
		return stepWait
	}
	for {
		if !s.inFrame {
			if err := s.frameReader.next(); err != nil {
				return s.readError(err)
			}
			if s.c.q.Traced() {
				s.traceFrame()
			}
			if !s.acceptFrame() {
				return stepFailed
			}
		}
		var err error
		switch s.typ {
		case frameData:
			if s.left > 0 {
				if _, err = s.peek(); err == nil {
					return stepData
				}
			}
			s.inFrame = s.left > 0
		case frameHeaders:
			if _, err = s.collect(); err == nil {
				return stepSection
			}
		default:
			err = s.skip()
		}
		if err != nil {
			return s.readError(err)
		}
	}
}

// acceptFrame checks that the frame that begins may stand where it does (RFC 9114, Sections 4.1 and 7).
func (s *Stream) acceptFrame() bool {
	c := s.c
	switch s.typ {
	case frameData:
		if s.recv != recvBody {
			c.fail(FrameUnexpected, "DATA before the header section or after trailers")
			return false
		}
		if s.contentLength >= 0 && s.left > uint64(s.contentLength-s.received) {
			s.fail(MessageError, "more content than Content-Length says")
			return false
		}
		s.received += int64(s.left)
	case frameHeaders:
		if s.recv == recvTrailers || s.tunnel {
			c.fail(FrameUnexpected, "HEADERS after trailers or within a tunnel")
			return false
		}
		if s.left > uint64(c.cfg.MaxFieldSectionSize) {
			s.tooLarge()
			return false
		}
	case framePushPromise:
		switch {
		case c.server || s.tunnel:
			c.fail(FrameUnexpected, "PUSH_PROMISE from a client or within a tunnel")
		case s.left == 0:
			c.fail(FrameError, "PUSH_PROMISE without a push ID")
		default:
			c.fail(IDError, "PUSH_PROMISE without MAX_PUSH_ID") // RFC 9114, Section 7.2.5
		}
		return false
	default:
		if s.typ.known() {
			c.fail(FrameUnexpected, s.typ.String()+" on a request stream")
			return false
		}
	}
	return true
}

// readError deals with an error of the QUIC stream, among them that it has no more to read now.
func (s *Stream) readError(err error) step {
	if err == quic.ErrWouldBlock {
		return stepWait
	}
	if err == io.EOF {
		return s.end()
	}
	if err == io.ErrUnexpectedEOF {
		s.c.fail(FrameError, "the stream ends within a frame") // RFC 9114, Section 7.1
		return stepFailed
	}
	reset, ok := err.(*quic.StreamError)
	if !ok {
		return stepWait // the connection has ended: EventClosed follows
	}
	if !s.told {
		// RFC 9114, Section 4.1.1: nothing has been processed.
		s.Reset(RequestRejected)
	}
	s.failReceive(&Error{Remote: reset.Remote, OnStream: true, StreamID: s.qs.ID(), Code: ErrCode(reset.Code)})
	return stepFailed
}

// end deals with the end of the stream after a whole frame.
func (s *Stream) end() step {
	switch {
	case s.recv == recvHeaders && s.c.server:
		s.fail(RequestIncomplete, "the stream ends before the header section") // RFC 9114, Section 4.1
		return stepFailed
	case s.recv == recvHeaders:
		s.fail(MessageError, "the stream ends before the final response")
		return stepFailed
	case s.contentLength >= 0 && s.received != s.contentLength:
		s.fail(MessageError, "less content than Content-Length says") // RFC 9114, Section 4.1.2
		return stepFailed
	}
	s.recv = recvDone
	return stepEnd
}

// receive reads until there is an event.
func (s *Stream) receive() Event {
	for s.recv < recvDone && s.c.err == nil {
		switch s.advance() {
		case stepData:
			if s.dataTold {
				s.readable = false // until TryReadBody has read it
				return Event{}
			}
			s.dataTold = true
			return Event{Kind: EventData, Stream: s}
		case stepSection:
			if ev := s.receiveSection(); ev.Kind != EventNone {
				return ev
			}
		case stepEnd:
			s.readable = false
			return Event{Kind: EventFinished, Stream: s}
		default:
			s.readable = false
			return Event{}
		}
	}
	s.readable = false
	return Event{}
}

// receiveSection decodes the field section that has arrived whole and says what it is.
func (s *Stream) receiveSection() Event {
	c := s.c
	block, err := s.collect()
	if err != nil {
		s.readError(err)
		return Event{}
	}
	t := c.borrow()
	fields, err := c.dec.Decode(t.fields[:0], uint64(s.qs.ID()), block, uint64(c.cfg.MaxFieldSectionSize))
	t.fields = fields[:0]
	switch {
	case err == nil:
	case errors.Is(err, qpack.ErrBlocked):
		s.blocked = true
		return Event{}
	case errors.Is(err, qpack.ErrTooLarge):
		s.tooLarge()
		return Event{}
	default:
		c.failQPACK(err)
		return Event{}
	}
	if c.q.Traced() {
		s.traceSection(true, fields, len(block))
	}
	s.done()
	ev := Event{Kind: EventTrailers, Stream: s, Fields: fields}
	var reason string
	switch {
	case s.recv == recvBody:
		reason = checkTrailers(fields)
		s.recv = recvTrailers
	case c.server:
		ev.Kind = EventHeaders
		reason = s.request(fields)
	default:
		ev.Kind, reason = s.response(fields)
	}
	if reason != "" {
		s.fail(MessageError, reason)
		return Event{}
	}
	if ev.Kind == EventInterim {
		return ev
	}
	// If the end has arrived already, it is told at once; a message that turns out malformed is not told at all.
	if _, err := s.qs.Peek(); err == io.EOF {
		if s.end() == stepFailed {
			return Event{}
		}
		ev.Fin = true
	}
	if c.server && !s.told {
		s.told = true
		c.nextRequest = max(c.nextRequest, uint64(s.qs.ID())+4)
	}
	return ev
}

// request checks the header section of a request and notes what it says about the rest.
func (s *Stream) request(fields []Field) (reason string) {
	m, reason := parseRequest(fields)
	if reason != "" {
		return reason
	}
	if m.protocol != "" && !s.c.cfg.ExtendedConnect {
		return "CONNECT with :protocol, which was not offered"
	}
	s.recv = recvBody
	s.head = m.method == "HEAD"
	s.connect = m.method == "CONNECT"
	s.extended = m.protocol != ""
	if !s.connect {
		s.contentLength = m.contentLength
	}
	s.setPriority(m)
	return ""
}

// response does the same for a response.
func (s *Stream) response(fields []Field) (EventKind, string) {
	m, reason := parseResponse(fields)
	if reason != "" {
		return EventNone, reason
	}
	if m.status < 200 {
		return EventInterim, ""
	}
	s.recv = recvBody
	s.contentLength = m.contentLength
	switch {
	case s.connect && m.status < 300:
		s.tunnel = true
		s.contentLength = -1
	case s.head || m.status == 204 || m.status == 304:
		s.contentLength = 0 // RFC 9110, Section 6.4.1: whatever Content-Length says
	}
	return EventHeaders, ""
}

// tooLarge refuses a field section above the limit. RFC 9114, Section 4.2.2: a server may answer 431, for which it
// needs no more of the request.
func (s *Stream) tooLarge() {
	const reason = "field section too large"
	if s.told {
		s.fail(ExcessiveLoad, reason)
		return
	}
	s.failReceive(&Error{OnStream: true, StreamID: s.qs.ID(), Code: ExcessiveLoad, Reason: reason})
	if s.SendHeaders([]Field{{Name: ":status", Value: "431"}, {Name: "content-length", Value: "0"}}, true) != nil {
		s.Reset(ExcessiveLoad)
	}
	s.qs.StopSending(uint64(NoError)) // RFC 9114, Section 4.1
}

// TryReadBody copies received body bytes. It returns quic.ErrWouldBlock when there are none now, after which
// EventData, EventTrailers, EventFinished or EventReset says that there is something; io.EOF when the message is
// complete, after EventTrailers if it has trailers; an *Error if it will not be; or why the connection ended. Bytes
// that are not read stay in QUIC's flow-control window: a slow reader slows the peer down.
func (s *Stream) TryReadBody(p []byte) (int, error) {
	for {
		switch s.recv {
		case recvHeaders:
			return 0, s.wouldBlock()
		case recvDone:
			return 0, io.EOF
		case recvFailed:
			return 0, s.recvErr
		}
		if err := s.c.Err(); err != nil {
			return 0, err
		}
		switch s.advance() {
		case stepData:
			b := p[:min(uint64(len(p)), s.left)]
			n, err := s.qs.TryRead(b)
			s.left -= uint64(n)
			s.inFrame = s.left > 0
			return n, err
		case stepSection:
			s.readable = true // for NextEvent, which tells the trailers
			s.c.push(s)
			return 0, s.wouldBlock()
		case stepWait:
			return 0, s.wouldBlock()
		}
	}
}

// wouldBlock lets EventData be told again.
func (s *Stream) wouldBlock() error {
	s.dataTold = false
	if err := s.c.Err(); err != nil {
		return err
	}
	return quic.ErrWouldBlock
}

// StopSending asks the peer to stop its message with the given code; what has arrived of it is thrown away, and nothing
// more is told of it. It does nothing when the message has ended. A server that needs no more of a request uses
// NoError (RFC 9114, Section 4.1), clients and servers that cancel RequestCancelled.
func (s *Stream) StopSending(code ErrCode) {
	if s.recv >= recvDone {
		return
	}
	s.failReceive(&Error{OnStream: true, StreamID: s.qs.ID(), Code: code})
	s.tellReset = false
	s.qs.StopSending(uint64(code))
}
