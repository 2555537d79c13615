package quicnet

import (
	"errors"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dunlin-quic/dunlin/internal/blocking"
	"github.com/dunlin-quic/dunlin/quic"
)

// Stream is one stream of a connection. One goroutine may read while another writes; several that read, or several that
// write, take turns. Reading from a stream that was opened for writing only, or the other way round, returns
// quic.ErrDirection.
type Stream struct {
	c     *Conn
	id    quic.StreamID
	local bool // we opened it

	queued atomic.Bool // in c.ready

	q *quic.Stream // owned by the connection's step; nil when QUIC is done with the stream

	writeLock sync.Mutex // makes writers take turns

	mu      sync.Mutex // guards what follows; held for short, also by the connection's step
	in      incoming
	out     outgoing
	urgency *priority // to be set
}

// incoming is the read half of a stream.
type incoming struct {
	blocking.Inflow

	cancelled, stopSent bool
	code                uint64
}

// outgoing is the write half of a stream.
type outgoing struct {
	src      []byte // of the Write that waits
	taken    int    // how much of src the connection has copied
	busy     bool   // a Write waits
	begun    bool   // the peer has heard of the stream, or will
	finished bool   // nothing may follow
	finTaken bool   // the connection knows
	err      error
	deadline time.Time
	slot     blocking.Slot

	cancelled, resetSent bool
	code                 uint64
}

type priority struct {
	urgency     uint8
	incremental bool
}

// ID returns the stream's ID.
func (s *Stream) ID() quic.StreamID { return s.id }

// SetPriority sets the order of sending: streams of urgency 0 go first, those of 7 last. Within an urgency, streams that are
// not incremental are sent one after another in order of ID, incremental ones take turns. A new stream has urgency 3 and is
// incremental.
func (s *Stream) SetPriority(urgency uint8, incremental bool) {
	s.mu.Lock()
	s.urgency = &priority{urgency, incremental}
	s.mu.Unlock()
	s.later()
}

// SetDeadline sets the deadlines of reading and writing.
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

// SetWriteDeadline makes Writes that wait beyond t, now or later, fail with os.ErrDeadlineExceeded. Zero means never. It
// returns nil.
func (s *Stream) SetWriteDeadline(t time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.out.deadline = t
	s.out.slot.Wake()
	return nil
}

// later has the next step service s, on another goroutine. It never blocks.
func (s *Stream) later() {
	if s.c.enqueue(s) {
		s.c.session.Wake()
	}
}

// Read reads what the peer has sent. It returns io.EOF at the end of the stream, a *quic.StreamError if the peer has reset
// it or CancelRead was called, os.ErrDeadlineExceeded after the deadline, and after the end of the connection what
// [Conn.Err] returns.
func (s *Stream) Read(p []byte) (int, error) { return s.in.Read(&s.mu, (*source)(s), p) }

// source is a Stream for its Inflow.
type source Stream

func (s *source) Kick()  { s.c.kick((*Stream)(s)) }
func (s *source) Waits() {}

func (s *source) Take(p []byte) (n int, more bool, err error) {
	n, err = s.q.TryRead(p)
	if errors.Is(err, quic.ErrWouldBlock) {
		return n, false, nil
	}
	return n, true, err
}

// CancelRead gives up reading: what has arrived is thrown away and the peer asked, with a code (at most 2^62-1) of the
// application protocol, to send no more (RFC 9000, Section 3.5). It never blocks.
func (s *Stream) CancelRead(code uint64) {
	s.mu.Lock()
	s.cancelRead(code)
	s.mu.Unlock()
	s.later()
}

// cancelRead is CancelRead with s.mu held, but for the step.
func (s *Stream) cancelRead(code uint64) {
	in := &s.in
	in.Drop()
	if in.Err != io.EOF && !in.cancelled {
		in.cancelled, in.code = true, code
	}
	if in.Err == nil || in.Err == io.EOF {
		in.End(&quic.StreamError{Stream: s.id, Code: code})
	}
}

// Write sends p. It returns when the connection has copied p, which waits for the peer's flow control and the network once
// the bounded send buffer is full. It returns a *quic.StreamError if the peer has asked for no more or CancelWrite was
// called, quic.ErrStreamDone after CloseWrite, os.ErrDeadlineExceeded after the deadline, and after the end of the
// connection what [Conn.Err] returns.
func (s *Stream) Write(p []byte) (int, error) {
	s.writeLock.Lock()
	defer s.writeLock.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	out := &s.out
	switch {
	case out.err != nil:
		return 0, out.err
	case out.finished:
		return 0, quic.ErrStreamDone
	case blocking.Expired(out.deadline):
		return 0, os.ErrDeadlineExceeded
	case len(p) == 0:
		return 0, nil
	}
	out.src, out.taken, out.busy = p, 0, true
	s.mu.Unlock()
	s.c.kick(s)
	s.mu.Lock()
	err := out.err
	for out.busy && err == nil {
		if blocking.Expired(out.deadline) {
			err = os.ErrDeadlineExceeded
			break
		}
		out.slot.Wait(&s.mu, out.deadline, nil)
		err = out.err
	}
	n := out.taken
	out.src, out.busy = nil, false
	if n == len(p) {
		err = nil
	}
	if out.finished && !out.finTaken {
		s.later() // CloseWrite was called meanwhile, and the end waits for this Write
	}
	return n, err
}

// CloseWrite ends the stream in this direction: the peer reads io.EOF after what was written, and what a Write that runs still
// writes. It does not wait.
func (s *Stream) CloseWrite() error {
	s.mu.Lock()
	out := &s.out
	if out.err != nil || out.finished {
		defer s.mu.Unlock()
		return out.err
	}
	out.finished = true
	s.mu.Unlock()
	s.c.kick(s)
	return nil
}

// CancelWrite abandons the stream in this direction: what is not sent yet is not sent, nor anything again, and the peer
// learns of the code, at most 2^62-1, of the application protocol. A Write that waits fails. It does nothing if the peer has
// everything already. It never blocks.
func (s *Stream) CancelWrite(code uint64) {
	s.mu.Lock()
	s.cancelWrite(code)
	s.mu.Unlock()
	s.later()
}

// cancelWrite is CancelWrite with s.mu held, but for the step.
func (s *Stream) cancelWrite(code uint64) {
	out := &s.out
	if !out.cancelled && out.err == nil {
		out.cancelled, out.code = true, code
		out.err = &quic.StreamError{Stream: s.id, Code: code}
		out.slot.Wake()
	}
}

// Close ends the stream in both directions: it does CloseWrite, or CancelWrite(0) if a Write waits, which then fails; and
// CancelRead(0). It does not wait, and what was written is sent all the same as long as the connection lives.
func (s *Stream) Close() error {
	s.mu.Lock()
	s.cancelRead(0)
	// At once with the look at who writes: another Write must not come in between, for whose end Close would not care.
	if s.out.busy {
		s.cancelWrite(0)
	} else {
		s.out.finished = true
	}
	s.mu.Unlock()
	s.c.kick(s)
	return nil
}

// readable is called in the step when there is something to read.
func (s *Stream) readable() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.in.More = s.in.Err == nil
	s.fill()
}

// service does in the step what the stream's users want done.
func (s *Stream) service() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.q == nil {
		return
	}
	in, out := &s.in, &s.out
	if p := s.urgency; p != nil {
		s.urgency = nil
		s.q.SetPriority(p.urgency, p.incremental)
	}
	if in.cancelled && !in.stopSent {
		in.stopSent = true
		s.q.StopSending(in.code)
	}
	if out.cancelled && !out.resetSent {
		out.resetSent = true
		s.q.Reset(out.code)
	}
	s.fill()
	s.advance()
	if in.Started() && s.local && !out.begun {
		// The peer may be the one who speaks first.
		out.begun = true
		s.q.Announce()
	}
}

// fill takes what has arrived, as far as somebody reads and there is room: in the step, with s.mu held.
func (s *Stream) fill() {
	if s.q == nil {
		return
	}
	if err := s.in.Fill((*source)(s), 0); err != nil {
		s.in.End(err)
	}
}

// advance gives to QUIC what it takes: in the step, with s.mu held.
func (s *Stream) advance() {
	out := &s.out
	if out.err != nil {
		return
	}
	if out.busy {
		n, err := s.q.TryWrite(out.src[out.taken:], false)
		out.taken += n
		out.begun = out.begun || n > 0
		if err != nil && !errors.Is(err, quic.ErrWouldBlock) {
			out.err = err
		}
		if out.err != nil || out.taken == len(out.src) {
			out.busy = false
			out.slot.Wake()
		}
	}
	if out.finished && !out.busy && !out.finTaken && out.err == nil {
		_, out.err = s.q.TryWrite(nil, true)
		out.begun, out.finTaken = true, true
	}
}

// over takes leave of a QUIC stream of which both halves have ended: in the step. What the peer did to a half while nobody
// used it, the next one to do so hears.
func (s *Stream) over() {
	_, inErr := s.q.TryRead(nil)
	_, outErr := s.q.TryWrite(nil, false)
	s.close(inErr, outErr)
}

// close takes leave of the QUIC stream: in the step.
func (s *Stream) close(inErr, outErr error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fill()
	if s.q != nil {
		s.q.Value = nil
		s.q = nil
	}
	if s.in.Err == nil {
		s.in.End(inErr)
	}
	if s.out.err == nil && !s.out.finTaken {
		s.out.err = outErr
	}
	s.out.busy = false
	s.out.slot.Wake()
}
