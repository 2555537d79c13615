package h3driver

import (
	"context"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dunlin-quic/dunlin/h3"
	"github.com/dunlin-quic/dunlin/internal/blocking"
	"github.com/dunlin-quic/dunlin/quic"
)

// Stream is a request and its response, with blocking methods for any goroutine. One goroutine may read while another
// writes; several that read, or several that write, take turns.
//
// Between the stream and its connection lie a bounded buffer for reading and one [Part] for writing. So a user who
// reads slowly slows down the peer by QUIC's flow control, and a peer who reads slowly makes Write wait.
type Stream struct {
	// Value is the user's own: set on a client with OpenRequest or LeaveRequest, on a server in OnEvent or when the request is
	// fetched.
	Value any

	d      *driver
	queued atomic.Bool // in d.ready
	left   bool        // by LeaveRequest

	// Owned by the connection's step.
	h          *h3.Stream // nil on a client until the request is opened, and again after the stream closed
	prev, next *Stream    // in d.live
	ended      error      // why the stream ended early, as the first event about it said

	// Guarded by d.mu: see eventQueue.
	queuedHeaders bool
	retracted     bool
	queuedInterim int
	datagrams     blocking.Gate // one has arrived, or none will any more; likewise

	writeLock sync.Mutex // makes writers take turns

	mu     sync.Mutex // guards what follows; held for short, also by the connection's step
	id     quic.StreamID
	opened bool // id is known and no error came before it
	early  bool // the request's beginning was early data
	closed bool // h3 will not speak of the stream any more
	in     incoming
	out    outgoing
	ctx    context.Context // made by Context
	cancel context.CancelCauseFunc
}

// Opened reports whether QUIC's stream was opened. Of a request that is not, the server knows nothing.
func (s *Stream) Opened() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.opened
}

// ID returns the stream's ID, on a client once it was opened.
func (s *Stream) ID() quic.StreamID {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.id
}

// Early reports, on servers, whether the request may be a replay: it came before the handshake was complete, and is none if
// that is ever completed (RFC 8470, Section 3). On clients, once the stream was opened, it reports whether the request
// was sent in early data, which the server may answer with status 425.
func (s *Stream) Early() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.early
}

// Context returns a context that ends when the peer abandons either half of the stream, when the user does, when the
// stream is closed or the connection ends. Its cause (see context.Cause) says which.
func (s *Stream) Context() context.Context {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx == nil {
		s.ctx, s.cancel = context.WithCancelCause(context.Background())
		if err := s.failure(); err != nil || s.closed {
			s.cancel(err)
		}
	}
	return s.ctx
}

// failure returns why one of the halves ended early, or nil.
func (s *Stream) failure() error {
	if err := s.in.Err; err != nil && !s.in.complete {
		return err
	}
	return s.out.err
}

func (s *Stream) endContext(cause error) {
	if s.cancel != nil {
		s.cancel(cause)
	}
}

// SetDeadline sets the deadlines of reading and writing. It returns nil.
func (s *Stream) SetDeadline(t time.Time) error {
	s.SetReadDeadline(t)
	return s.SetWriteDeadline(t)
}

// SetReadDeadline makes Reads that wait beyond t, now or later, fail with os.ErrDeadlineExceeded. Zero means never. It
// returns nil.
func (s *Stream) SetReadDeadline(t time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.in.SetDeadline(t)
	return nil
}

// SetWriteDeadline makes what waits to be sent beyond t, now or later, fail with os.ErrDeadlineExceeded. Zero means
// never. It returns nil.
func (s *Stream) SetWriteDeadline(t time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.out.deadline = t
	s.out.slot.Wake()
	return nil
}

// wait waits in a slot, with s.mu held: see [blocking.Slot.Wait].
func (s *Stream) wait(slot *blocking.Slot, deadline time.Time, cancel <-chan struct{}) {
	s.d.yield()
	slot.Wait(&s.mu, deadline, cancel)
}

// service does in the connection's step what the stream's user asked for.
func (s *Stream) service() {
	s.mu.Lock()
	if s.h == nil {
		s.mu.Unlock()
		return
	}
	if s.in.cancelled && !s.in.stopSent {
		s.in.stopSent = true
		s.h.StopSending(s.in.stopCode)
	}
	if s.out.cancelled && !s.out.resetSent {
		s.out.resetSent = true
		s.h.Reset(s.out.resetCode)
	}
	s.fill()
	done, fault := s.advance()
	if fault != nil {
		s.h.Reset(h3.InternalError)
		s.h.StopSending(h3.InternalError)
		if s.in.Err == nil {
			s.endRead(fault)
		}
		s.endContext(fault)
	}
	s.mu.Unlock()
	if done != nil {
		done.Release()
	}
	if fault != nil {
		s.d.tell(Event{Kind: EventReset, Stream: s, Err: fault})
	}
}

// failRead ends the read half: what is buffered can still be read, then err is returned.
func (s *Stream) failRead(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.in.Err == nil {
		s.endRead(err)
	}
	s.endContext(err)
}

// failWrite ends the write half, from the connection's step.
func (s *Stream) failWrite(err error) {
	s.mu.Lock()
	done := s.out.fail(err)
	s.endContext(err)
	s.mu.Unlock()
	if done != nil {
		done.Release()
	}
}

// close takes leave of the h3 stream: no event names it any more.
func (s *Stream) close(err error) {
	s.mu.Lock()
	done := s.closeLocked(err)
	s.mu.Unlock()
	if done != nil {
		done.Release()
	}
}

// closeLocked is close with s.mu held. It returns who wants to know that the Part is done.
func (s *Stream) closeLocked(err error) (done Releaser) {
	if s.h != nil {
		s.h.Value = nil
		s.h = nil
	}
	s.closed = true
	if s.in.Err == nil {
		s.endRead(err)
	}
	done = s.out.fail(err)
	s.endContext(s.failure())
	return done
}

var errDeadline = os.ErrDeadlineExceeded
