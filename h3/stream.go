package h3

import "github.com/dunlin-quic/dunlin/quic"

// Stream is a request and its response.
type Stream struct {
	// Value is the application's own, for finding its state without a map.
	Value any
}

// ID returns the stream's ID.
func (s *Stream) ID() quic.StreamID { panic("skeleton") }

// SendHeaders sends the header section of the request or final response, pseudo-header fields first, names in lower
// case. With fin the message ends here. The fields are checked as a peer would check them; a malformed section sends
// nothing and returns an *Error with code MessageError. Bytes that QUIC has no room for are kept and go first later.
// fields is not kept.
func (s *Stream) SendHeaders(fields []Field, fin bool) error { panic("skeleton") }

// SendInterim sends an interim response, whose :status is 1xx but not 101. Servers only, before SendHeaders. It
// returns quic.ErrWouldBlock while bytes of an earlier section wait.
func (s *Stream) SendInterim(fields []Field) error { panic("skeleton") }

// TryWriteBody sends as much of p as there is room for, and with fin, if all of p fitted, ends the message. It returns
// the number of bytes taken, with quic.ErrWouldBlock when that is less than all; EventWritable says when to go on.
func (s *Stream) TryWriteBody(p []byte, fin bool) (int, error) { panic("skeleton") }

// SendTrailers sends the trailer section and ends the message.
func (s *Stream) SendTrailers(fields []Field) error { panic("skeleton") }

// TryReadBody copies received body bytes. It returns quic.ErrWouldBlock when there are none now, io.EOF when the
// message is complete (after EventTrailers, if it has trailers), or an *Error.
func (s *Stream) TryReadBody(p []byte) (int, error) { panic("skeleton") }

// Reset abandons our message: the peer learns that it is incomplete.
func (s *Stream) Reset(code ErrCode) { panic("skeleton") }

// StopSending asks the peer to stop its message; what has arrived of it is thrown away.
func (s *Stream) StopSending(code ErrCode) { panic("skeleton") }

// Priority returns the request's priority: the default, what the priority field said, or the last PRIORITY_UPDATE.
func (s *Stream) Priority() Priority { panic("skeleton") }

// SetPriority changes the order in which our message is sent among those of other streams.
func (s *Stream) SetPriority(p Priority) { panic("skeleton") }
