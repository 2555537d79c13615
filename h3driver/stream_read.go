package h3driver

import (
	"errors"
	"io"
	"time"

	"github.com/dunlin-quic/dunlin/h3"
	"github.com/dunlin-quic/dunlin/internal/blocking"
	"github.com/dunlin-quic/dunlin/quic"
)

// incoming is the read half of a Stream, guarded by its mutex.
type incoming struct {
	ring     blocking.Ring
	dst      []byte // the buffer of a Read that waits: the step copies into it directly
	copied   int    // how much of dst is filled
	more     bool   // the h3 stream may have more than has been taken
	started  bool   // the user has called Read
	complete bool   // err is io.EOF because the message ended as it should
	err      error  // what Read returns after the buffered bytes
	total    uint64 // of the body, taken
	trailers []h3.Field
	deadline time.Time
	slot     blocking.Slot

	cancelled, stopSent bool
	stopCode            h3.ErrCode
}

// endRead sets what Read returns after the buffered bytes; with s.mu held.
func (s *Stream) endRead(err error) {
	in := &s.in
	in.err = err
	in.complete = err == io.EOF
	in.more = false
	in.slot.Wake()
	s.openGates()
}

// Read reads the body of the peer's message; on a client that of the final response. It returns io.EOF at the end of
// the message, *h3.Error if it will not be complete, os.ErrDeadlineExceeded after the deadline.
func (s *Stream) Read(p []byte) (int, error) {
	s.readLock.Lock()
	defer s.readLock.Unlock()
	s.mu.Lock()
	in := &s.in
	in.started = true
	for {
		if in.ring.Len() > 0 {
			n := in.ring.Read(p)
			// The step stopped taking bytes when the buffer was full: let it go on in time.
			kick := in.more && in.ring.Len() <= blocking.LargeBuffer/2
			s.mu.Unlock()
			if kick {
				s.d.kick(s)
			}
			return n, nil
		}
		if in.err != nil || len(p) == 0 {
			err := in.err
			s.mu.Unlock()
			return 0, err
		}
		if expired(in.deadline) {
			s.mu.Unlock()
			return 0, errDeadline
		}
		in.dst, in.copied = p, 0
		if in.more {
			s.mu.Unlock()
			s.d.kick(s)
			s.mu.Lock()
		}
		if in.copied == 0 && in.err == nil && in.ring.Len() == 0 {
			s.wait(&in.slot, in.deadline, nil)
		}
		n := in.copied
		in.dst, in.copied = nil, 0
		if n > 0 {
			s.mu.Unlock()
			return n, nil
		}
	}
}

// fill takes what has arrived, as far as there is room: in the step, with s.mu held.
func (s *Stream) fill() {
	in := &s.in
	size := blocking.SmallBuffer
	if in.started {
		size = blocking.LargeBuffer
	}
	for full := false; in.more && in.err == nil && !full; {
		direct := in.ring.Len() == 0 && in.copied < len(in.dst)
		var p []byte
		if direct {
			p = in.dst[in.copied:]
		} else {
			p = in.ring.Room(size)
		}
		// Without room this tells whether the message ends here, before QUIC is done with the stream.
		n, err := s.h.TryReadBody(p)
		in.total += uint64(n)
		if direct {
			in.copied += n
		} else {
			in.ring.Added(n)
		}
		switch {
		case err == nil:
			full = len(p) == 0
		case errors.Is(err, quic.ErrWouldBlock):
			in.more = false
		default:
			s.endRead(err)
		}
	}
	if in.ring.Len() == 0 {
		in.ring.Release()
	}
	if in.copied > 0 || in.ring.Len() > 0 || in.err != nil {
		in.slot.Wake()
	}
}

// Trailers returns the trailer section of the peer's message: after Read has returned io.EOF, nil if there is none.
func (s *Stream) Trailers() []h3.Field {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.in.complete || s.in.ring.Len() > 0 {
		return nil
	}
	return s.in.trailers
}

// CancelRead asks the peer to stop its message, with code (RequestCancelled, or NoError once a server has answered),
// and throws away what has arrived; the peer does not hear of it if the message has ended. Read returns an error from
// now on. It never blocks.
func (s *Stream) CancelRead(code h3.ErrCode) {
	s.mu.Lock()
	in := &s.in
	err := &h3.Error{OnStream: true, StreamID: s.id, Code: code}
	in.ring.Release()
	if !s.opened && !s.closed {
		s.withdraw(err)
		return
	}
	if in.cancelled || in.complete || s.closed {
		in.err, in.complete = err, false
		s.mu.Unlock()
		return
	}
	in.dst = nil
	in.cancelled, in.stopCode = true, code
	s.endRead(err)
	if code != h3.NoError {
		s.endContext(err)
	}
	s.mu.Unlock()
	s.d.enqueue(s)
	s.d.wake()
}
