package h3

import "github.com/dunlin-quic/dunlin/quic"

// Stream is a request and its response (RFC 9114, Section 4.1), on the client's or on the server's side. Like its Conn
// it belongs to one owner at a time, and no method blocks.
type Stream struct {
	// Value is the application's own, for finding its state without a map.
	Value any

	c          *Conn
	next, prev *Stream // in Conn.streams
	frameReader
	out []byte // of our message: bytes that QUIC has not taken yet

	contentLength int64 // of the peer's message: what DATA frames must sum up to, -1 if any sum will do
	received      int64 // what they summed up to so far
	recvErr       *Error
	sendErr       *Error
	priority      Priority
	recv          recvState
	send          sendState

	told      bool // the application knows of the stream
	queued    bool // in Conn.ready
	readable  bool // QUIC has something to read
	dataTold  bool // EventData was told, and TryReadBody has not returned ErrWouldBlock since
	blocked   bool // the section waits for the QPACK encoder stream
	writable  bool // QUIC has room again, or an error
	wantWrite bool // EventWritable is awaited
	finOut    bool // the stream ends after out
	tellReset bool // EventReset is still to be told, for recvErr
	stopTold  bool // EventStopSending was told
	closed    bool // QUIC is done with the stream
	updated   bool // PRIORITY_UPDATE has set the priority
	head      bool // the response has no content: the request's method is HEAD
	connect   bool // the request's method is CONNECT
	extended  bool // and it has a :protocol
	tunnel    bool // CONNECT has succeeded: only DATA frames follow

	datagrams *streamDatagrams // nil while there are none
}

// newStream makes the state of a request on qs.
func (c *Conn) newStream(qs *quic.Stream) *Stream {
	s := &Stream{c: c, frameReader: frameReader{qs: qs}, contentLength: -1, priority: DefaultPriority}
	qs.Value = s
	c.streams.add(s)
	if c.q.Traced() {
		s.traceRequest()
	}
	return s
}

// ID returns the stream's ID.
func (s *Stream) ID() quic.StreamID { return s.qs.ID() }

// nextEvent returns the next event about the stream.
func (s *Stream) nextEvent() Event {
	c := s.c
	alive := c.err == nil && c.closeErr == nil
	if s.closed && s.recv < recvDone {
		s.readable = true // all bytes were read, but nobody looked for the end behind them
	}
	if s.readable && alive {
		if ev := s.receive(); ev.Kind != EventNone {
			return ev
		}
	}
	if d := s.datagrams; d != nil && d.tell && s.told && alive {
		d.tell = false
		if s.wantsDatagrams() {
			return Event{Kind: EventDatagram, Stream: s}
		}
		s.fail(DatagramError, "HTTP datagram for a request that has no use for it")
	}
	if s.tellReset && c.err == nil {
		s.tellReset = false
		return Event{Kind: EventReset, Stream: s, Err: s.recvErr}
	}
	if s.writable && alive {
		s.writable = false
		if ev := s.resumeSend(); ev.Kind != EventNone {
			return ev
		}
	}
	if s.closed {
		s.closed = false
		s.dropDatagrams()
		c.streams.remove(s)
		if s.told {
			return Event{Kind: EventStreamClosed, Stream: s}
		}
	}
	return Event{}
}

// fail ends the stream in both directions with an error that this side found.
func (s *Stream) fail(code ErrCode, reason string) {
	s.failReceive(&Error{OnStream: true, StreamID: s.qs.ID(), Code: code, Reason: reason})
	s.qs.StopSending(uint64(code))
	s.sendErr = s.recvErr
	s.Reset(code)
}

// failReceive ends the peer's message with an error.
func (s *Stream) failReceive(err *Error) {
	if s.recv >= recvDone {
		return
	}
	s.recv = recvFailed
	s.recvErr = err
	s.readable = false
	s.blocked = false
	s.payload = nil
	s.c.dec.Cancel(uint64(s.qs.ID()))
	if s.told {
		s.tellReset = true
		s.c.push(s)
	}
}

// reject refuses a request of which the application has not been told (RFC 9114, Section 4.1.1).
func (s *Stream) reject() { s.fail(RequestRejected, "") }

// rejected notes that the server will not process the request, and lets go of the stream.
func (s *Stream) rejected() {
	s.failReceive(&Error{
		Remote: true, OnStream: true, StreamID: s.qs.ID(), Code: RequestRejected, Reason: "the server is going away",
	})
	s.qs.StopSending(uint64(RequestCancelled))
	s.sendErr = s.recvErr
	s.Reset(RequestCancelled)
}

// Priority returns the request's priority: the default, what its priority field said, or the last PRIORITY_UPDATE.
func (s *Stream) Priority() Priority { return s.priority }

// SetPriority changes the order in which our message is sent among those of other streams (RFC 9218, Section 10). On
// servers it is set as the client asks when the request arrives, and when the client changes its mind.
func (s *Stream) SetPriority(p Priority) {
	s.priority = p
	if s.c.q.Traced() {
		s.tracePriority(p)
	}
	s.qs.SetPriority(p.Urgency, p.Incremental)
}

// streamList is a list of streams in order of their opening.
type streamList struct{ head, tail *Stream }

func (l *streamList) add(s *Stream) {
	s.prev = l.tail
	if l.tail != nil {
		l.tail.next = s
	} else {
		l.head = s
	}
	l.tail = s
}

func (l *streamList) remove(s *Stream) {
	if s.prev != nil {
		s.prev.next = s.next
	} else {
		l.head = s.next
	}
	if s.next != nil {
		s.next.prev = s.prev
	} else {
		l.tail = s.prev
	}
	s.next, s.prev = nil, nil
}

func (l *streamList) find(id quic.StreamID) *Stream {
	for s := l.head; s != nil; s = s.next {
		if s.qs.ID() == id {
			return s
		}
	}
	return nil
}
