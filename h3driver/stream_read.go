package h3driver

import (
	"errors"
	"io"

	"github.com/dunlin-quic/dunlin/h3"
	"github.com/dunlin-quic/dunlin/internal/blocking"
	"github.com/dunlin-quic/dunlin/quic"
)

// incoming is the read half of a Stream, guarded by its mutex.
type incoming struct {
	blocking.Inflow
	complete bool   // err is io.EOF because the message ended as it should
	total    uint64 // of the body, taken
	trailers []h3.Field

	cancelled, stopSent bool
	stopCode            h3.ErrCode
}

// endRead sets what Read returns after the buffered bytes; with s.mu held.
func (s *Stream) endRead(err error) {
	s.in.End(err)
	s.in.complete = err == io.EOF
	s.openGates()
}

// Read reads the body of the peer's message; on a client that of the final response. It returns io.EOF at the end of
// the message, *h3.Error if it will not be complete, os.ErrDeadlineExceeded after the deadline.
func (s *Stream) Read(p []byte) (int, error) { return s.in.Read(&s.mu, (*source)(s), p) }

// source is a Stream for its Inflow.
type source Stream

func (s *source) Kick()  { _ = s.d.kick((*Stream)(s)) } // should the connection have ended, that has ended the reading
func (s *source) Waits() { s.d.yield() }

func (s *source) Take(p []byte) (n int, more bool, err error) {
	n, err = s.h.TryReadBody(p)
	s.in.total += uint64(n)
	if errors.Is(err, quic.ErrWouldBlock) {
		return n, false, nil
	}
	return n, true, err
}

// fill takes what has arrived, as far as there is room: in the step, with s.mu held.
func (s *Stream) fill() {
	if err := s.in.Fill((*source)(s), blocking.SmallBuffer); err != nil {
		s.endRead(err)
	}
}

// Trailers returns the trailer section of the peer's message: after Read has returned io.EOF, nil if there is none.
func (s *Stream) Trailers() []h3.Field {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.in.complete || s.in.Buffered() > 0 {
		return nil
	}
	return s.in.trailers
}

// CancelRead asks the peer to stop its message, with code (RequestCancelled, or NoError once a server has answered),
// and throws away what has arrived; the peer does not hear of it if the message has ended. Read returns an error from
// now on. A request that still stands in line is not sent at all. It never blocks.
func (s *Stream) CancelRead(code h3.ErrCode) {
	s.mu.Lock()
	in := &s.in
	err := &h3.Error{OnStream: true, StreamID: s.id, Code: code}
	in.Drop()
	if !s.opened && !s.closed {
		s.withdraw(err)
		return
	}
	if in.cancelled || in.complete || s.closed {
		in.Err, in.complete = err, false
		s.mu.Unlock()
		return
	}
	in.cancelled, in.stopCode = true, code
	s.endRead(err)
	if code != h3.NoError {
		s.endContext(err)
	}
	s.mu.Unlock()
	s.d.enqueue(s)
	s.d.wake()
}
