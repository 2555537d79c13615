package quic

// Stream is one stream of a connection.
type Stream struct {
	// Value is the application's own, for finding its state without a map.
	Value any
}

// ID returns the stream's ID.
func (s *Stream) ID() StreamID { panic("skeleton") }

// TryRead copies received bytes in order. io.EOF after the last; ErrWouldBlock; *StreamError after a reset.
func (s *Stream) TryRead(p []byte) (int, error) { panic("skeleton") }

// Peek returns the next contiguous received bytes without consuming them, valid until the next call on the
// connection; io.EOF, ErrWouldBlock or *StreamError where TryRead would return them.
func (s *Stream) Peek() ([]byte, error) { panic("skeleton") }

// Discard consumes n bytes of what Peek returned.
func (s *Stream) Discard(n int) { panic("skeleton") }

// TryWrite copies as much of p as there is room for, and with fin, if all of p fitted, ends the stream.
func (s *Stream) TryWrite(p []byte, fin bool) (int, error) { panic("skeleton") }

// Writable returns how many bytes TryWrite would take now.
func (s *Stream) Writable() int { panic("skeleton") }

// Reset abandons the write half (RESET_STREAM).
func (s *Stream) Reset(code uint64) { panic("skeleton") }

// StopSending abandons the read half (STOP_SENDING).
func (s *Stream) StopSending(code uint64) { panic("skeleton") }

// SetPriority sets the order of sending: urgency 0 (first) to 7 (last), default 3; streams of one urgency are sent
// one after another in order of ID, incremental ones in turns (RFC 9218, Section 4).
func (s *Stream) SetPriority(urgency uint8, incremental bool) { panic("skeleton") }
