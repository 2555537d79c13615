package quic

// Stream is one stream of a connection (RFC 9000, Section 2). Its methods never block, and like those of its
// connection they belong to one owner at a time. A bidirectional stream has a read half and a write half, a
// unidirectional one has the one or the other: the methods of a half that is not there return [ErrDirection] or do
// nothing.
//
// After the connection has ended, reads and writes return the reason; see [Conn.Err].
type Stream struct {
	// Value is the application's own, for finding its state without a map.
	Value any

	table *streamTable
	id    StreamID
	send  *sendHalf // &noSendHalf for a stream that only the peer sends on
	recv  *recvHalf // &noRecvHalf for one that it does not

	links     [numLists]streamLink
	heapIndex int32 // in the scheduler's heap, or -1
	listed    uint8 // bits: the lists that it is in
	events    uint8 // bits: what the application is to be told
	control   uint8 // bits: the control frames to be sent
	urgency   uint8
	// incremental streams take turns with others of their urgency.
	incremental bool
	closed      bool // both halves are done; no longer in the table
	early       bool // the peer opened it in a 0-RTT packet
}

// A stream is one allocation together with the halves that it has.
type (
	bidiStream struct {
		Stream
		out sendHalf
		in  recvHalf
	}
	sendStream struct {
		Stream
		out sendHalf
	}
	recvStream struct {
		Stream
		in recvHalf
	}
)

// noSendHalf and noRecvHalf stand for the halves that are not there. All connections share them, so that nobody may write to
// them: every method that does asks their state first.
var (
	noSendHalf sendHalf
	noRecvHalf recvHalf
)

// newStream returns a stream with the halves that it has on this side.
func newStream(sends, receives bool) *Stream {
	switch {
	case sends && receives:
		s := &bidiStream{}
		s.send, s.recv = &s.out, &s.in
		return &s.Stream
	case sends:
		s := &sendStream{}
		s.send, s.recv = &s.out, &noRecvHalf
		return &s.Stream
	}
	s := &recvStream{}
	s.send, s.recv = &noSendHalf, &s.in
	return &s.Stream
}

// Announce has the peer hear of a bidirectional stream that this side opened, though nothing is written yet: by a
// MAX_STREAM_DATA frame, since a stream is created by any frame about it (RFC 9000, Section 3.2). Then the peer may be the
// one who speaks first. It does nothing on other streams.
func (s *Stream) Announce() {
	if s.id.Dir() == Bidi && s.id.Initiator() == s.table.side && s.recv.state == recvOpen {
		s.sendControl(controlMaxData)
	}
}

// ID returns the stream's ID.
func (s *Stream) ID() StreamID { return s.id }

// Early reports whether the client opened the stream, on this server, by early data: until [Conn.Established] reports true, what
// it says may be a replay of what it said on another connection (RFC 8446, Section 8), and should not change anything.
func (s *Stream) Early() bool { return s.early }

// TryRead copies up to len(p) received bytes in order. It returns io.EOF after the last byte of the stream,
// [ErrWouldBlock] if nothing has arrived (an EventStreamReadable follows when something has), or a *[StreamError] after
// the peer's reset or the own StopSending. The bytes returned give the peer credit to send as many more.
func (s *Stream) TryRead(p []byte) (int, error) {
	data, err := s.peek()
	if err != nil {
		return 0, err
	}
	n := 0
	for len(data) > 0 && n < len(p) {
		m := copy(p[n:], data)
		s.discard(m)
		n += m
		data = s.next()
	}
	return n, nil
}

// Peek returns the next received bytes without copying or consuming them, as many as lie together in memory: at least
// one. They are valid until the next call of any method of the connection or its streams. It returns io.EOF,
// [ErrWouldBlock] or *[StreamError] where TryRead would.
func (s *Stream) Peek() ([]byte, error) { return s.peek() }

// Discard consumes the first n bytes of what Peek returned, and returns how many it did: fewer than n only if fewer have
// arrived, none after the peer's reset or the own StopSending.
func (s *Stream) Discard(n int) int {
	if s.table.err != nil || s.recv.stopped || s.recv.state == recvReset {
		return 0
	}
	n = int(min(uint64(max(n, 0)), min(s.recv.buf.have, s.end())-s.recv.buf.read))
	if n > 0 {
		s.discard(n)
	}
	return n
}

// TryWrite copies as much of p as there is room for and, with fin, if all of p fitted, ends the stream. If less than
// len(p) bytes fitted, an EventStreamWritable follows when there is room again; if none did, it also returns
// [ErrWouldBlock]. After the peer's STOP_SENDING it returns a *[StreamError], after the own end or Reset
// [ErrStreamDone].
//
// There is room for what the peer's flow control lets the stream send, as long as the bytes that wait to be sent for the
// first time are no more than the congestion window, or 128 KiB if that is more, on the stream and on the whole
// connection; 4 KiB of each stream may always wait.
func (s *Stream) TryWrite(p []byte, fin bool) (int, error) { return s.write(p, fin, false, nil) }

// Writable returns how many bytes TryWrite would take now.
func (s *Stream) Writable() int {
	if s.writeError() != nil {
		return 0
	}
	return s.writeRoom()
}

// Reset abandons the write half: nothing more is sent, not even again, and the peer learns of the code, at most
// 2^62-1, of the application protocol (RFC 9000, Section 19.4). It does nothing if the peer has everything already or
// the half was reset before.
func (s *Stream) Reset(code uint64) {
	// RFC 9000, Section 11.2 (MUST 1).
	if s.table.err == nil {
		s.reset(code, false)
	}
}

// StopSending abandons the read half: what has arrived and what may still arrive is thrown away, and the peer is asked
// with the code, at most 2^62-1, of the application protocol to send no more (RFC 9000, Section 19.5). It does nothing
// if the half has ended or was stopped before.
func (s *Stream) StopSending(code uint64) { s.stopSending(code) }

// SetPriority sets the order of sending: streams of urgency 0 go first, those of 7 last. Within an urgency, streams that
// are not incremental are sent one after another in order of ID, incremental ones take turns (RFC 9218, Section 4). A
// new stream has urgency 3 and is incremental. Higher urgencies count as 7.
func (s *Stream) SetPriority(urgency uint8, incremental bool) {
	if s.table.err != nil {
		return
	}
	s.table.sched.remove(s)
	s.urgency = min(urgency, numUrgencies-1)
	s.incremental = incremental
	s.schedule()
}
