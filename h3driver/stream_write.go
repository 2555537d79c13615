package h3driver

import (
	"errors"
	"net"
	"time"

	"github.com/dunlin-quic/dunlin/h3"
	"github.com/dunlin-quic/dunlin/internal/blocking"
	"github.com/dunlin-quic/dunlin/quic"
)

// Part is a piece of an outgoing message, from a whole response to a few bytes of a body. It reaches the connection as
// one command, so that what is small enough travels in one datagram.
type Part struct {
	// Header is the header section, pseudo-header fields first, names in lower case; nil if it has been sent.
	Header []h3.Field
	// Interim says that Header is that of an interim response (1xx) and that the Part has nothing else.
	Interim bool
	// Body is the next bytes of the body.
	Body []byte
	// Trailer is the trailer section; it ends the message.
	Trailer []h3.Field
	// Fin ends the message.
	Fin bool
	// Early allows a client to send the request in early data, which an attacker can replay: for safe methods only (RFC
	// 8470, Section 4). It means nothing where there is none, nor after the first Part.
	Early bool
	// Release, if set, is told once that Header, Body and Trailer are no longer in use, from any goroutine and before
	// or after Send has returned. It must neither block nor call methods of the Stream. A large Body is then sent
	// without a copy and in use until the peer has acknowledged it; without Release it is copied.
	Release Releaser
}

// Releaser takes back the memory of a [Part].
type Releaser = quic.Releaser

// outgoing is the write half of a Stream, guarded by its mutex.
type outgoing struct {
	part     Part
	busy     bool // part is not done
	taken    bool // part was done, and whole
	offset   int  // how much of part.Body is taken
	finished bool // the end of the message has been handed over
	err      error
	total    uint64 // of the body, taken by the connection

	blocked    time.Time // since when the header section has waited for flow control
	headerWait time.Duration
	deadline   time.Time
	slot       blocking.Slot

	cancelled, resetSent bool
	resetCode            h3.ErrCode
}

// ErrFinished is returned by what would send more after the end of the message.
var ErrFinished = errors.New("h3driver: write after the end of the message")

// Send hands p over to the connection and returns, usually before it is sent; p's memory is the connection's until
// p.Release. It waits while an earlier Part is not done, at most until the write deadline. Errors of an earlier Part's
// sending are returned by the next Send. p.Release is told whatever Send returns.
func (s *Stream) Send(p Part) error {
	err := s.Leave(p)
	if err == nil {
		s.d.flush()
	}
	return err
}

// Leave is Send, but what sends p is the step that follows an [engine.Task], or its Flush.
func (s *Stream) Leave(p Part) error {
	s.writeLock.Lock()
	defer s.writeLock.Unlock()
	if err := s.hand(p); err != nil {
		if p.Release != nil {
			p.Release.Release()
		}
		return err
	}
	s.d.enqueue(s) // should the connection have ended, an event tells
	return nil
}

// hand places p once the earlier Part is done.
func (s *Stream) hand(p Part) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := &s.out
	if err := s.waitIdle(); err != nil {
		return err
	}
	if out.finished {
		return ErrFinished
	}
	out.part, out.busy, out.taken, out.offset = p, true, false, 0
	out.finished = p.Fin || p.Trailer != nil
	return nil
}

// waitIdle waits until no Part is under way.
func (s *Stream) waitIdle() error {
	out := &s.out
	for out.busy && out.err == nil {
		if blocking.Expired(out.deadline) {
			return errDeadline
		}
		s.wait(&out.slot, out.deadline, nil)
	}
	if out.err == nil && !out.finished && blocking.Expired(out.deadline) {
		return errDeadline
	}
	return out.err
}

// sendAndWait is Send for memory that the caller wants back: it returns when the connection has taken all of p, or
// has given it up. The number is how much of the body was taken.
func (s *Stream) sendAndWait(p Part) (int, error) {
	s.writeLock.Lock()
	defer s.writeLock.Unlock()
	if err := s.hand(p); err != nil {
		return 0, err
	}
	s.d.kick(s)
	s.mu.Lock()
	defer s.mu.Unlock()
	out := &s.out
	for out.busy && out.err == nil {
		if blocking.Expired(out.deadline) {
			// Nobody else places a Part meanwhile, so this is p. The message has lost its end, if p was that.
			n := out.offset
			out.part, out.busy, out.finished = Part{}, false, false
			return n, errDeadline
		}
		s.wait(&out.slot, out.deadline, nil)
	}
	return out.result()
}

// result is what became of the latest Part. Of one that was taken, the peer may have received all and be done with us by the
// time that its sender looks: the error that this leaves is the next Part's.
func (out *outgoing) result() (int, error) {
	if out.taken {
		return out.offset, nil
	}
	return out.offset, out.err
}

// SendHeaders sends the header section of the message, with fin the whole message. Interim responses: see Send.
func (s *Stream) SendHeaders(fields []h3.Field, fin bool) error {
	_, err := s.sendAndWait(Part{Header: fields, Fin: fin})
	return err
}

// Write sends p as part of the body. It returns when the connection has copied p, which waits for the peer's flow
// control and the network once the bounded send buffer is full, or with os.ErrDeadlineExceeded after the deadline.
func (s *Stream) Write(p []byte) (int, error) { return s.sendAndWait(Part{Body: p}) }

// SendTrailers sends the trailer section, which ends the message.
func (s *Stream) SendTrailers(fields []h3.Field) error {
	_, err := s.sendAndWait(Part{Trailer: fields, Fin: true})
	return err
}

// Respond sends a whole message: on servers a response of one datagram if it is small.
func (s *Stream) Respond(fields []h3.Field, body []byte) error {
	_, err := s.sendAndWait(Part{Header: fields, Body: body, Fin: true})
	return err
}

// CloseWrite ends the message.
func (s *Stream) CloseWrite() error {
	_, err := s.sendAndWait(Part{Fin: true})
	return err
}

// Flush waits until the connection has taken all that was sent, at most until the write deadline, and returns the error
// of sending it.
func (s *Stream) Flush() error {
	s.writeLock.Lock()
	defer s.writeLock.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.out.busy {
		return s.out.err
	}
	return s.waitIdle()
}

// CancelWrite abandons our message: the peer learns that it is incomplete, for the reason that code gives. It does
// nothing once the end of the message was handed over and taken. A request that still stands in line is not sent at all. It
// never blocks.
func (s *Stream) CancelWrite(code h3.ErrCode) {
	s.mu.Lock()
	out := &s.out
	if out.cancelled || out.finished && !out.busy || s.closed {
		s.mu.Unlock()
		return
	}
	err := &h3.Error{OnStream: true, StreamID: s.id, Code: code}
	if !s.opened {
		s.withdraw(err)
		return
	}
	out.cancelled, out.resetCode = true, code
	done := out.fail(err)
	s.endContext(err)
	s.mu.Unlock()
	if done != nil {
		done.Release()
	}
	s.d.enqueue(s)
	s.d.wake()
}

// take notes that HTTP/3 has all of the Part, and returns who wants to know.
func (out *outgoing) take() (done Releaser) {
	done = out.part.Release
	out.part, out.busy, out.taken = Part{}, false, true
	out.slot.Wake()
	return done
}

// fail ends the write half and returns who wants to know that the Part is done.
func (out *outgoing) fail(err error) (done Releaser) {
	if out.err == nil && !(out.finished && !out.busy) {
		out.err = err
	}
	done = out.part.Release
	out.part, out.busy = Part{}, false
	out.slot.Wake()
	return done
}

// advance gives to HTTP/3 what it takes of the Part: in the step, with s.mu held. It returns who wants to know that the
// Part is done, and an error if the message can't go on for a fault of its own, such as a malformed header section.
func (s *Stream) advance() (done Releaser, fault error) {
	out := &s.out
	if !out.busy || out.err != nil {
		return nil, nil
	}
	err := s.advancePart()
	if out.part.Interim && errors.Is(err, h3.ErrSequence) {
		err = nil // the final response was faster
	}
	switch {
	case err == nil:
		return out.take(), nil
	case errors.Is(err, quic.ErrWouldBlock):
		return nil, nil
	}
	var e *h3.Error
	if errors.As(err, &e) && e.Remote || errors.Is(err, net.ErrClosed) {
		return out.fail(err), nil // an event has told or will tell
	}
	return out.fail(err), err
}

func (s *Stream) advancePart() error {
	out := &s.out
	p := &out.part
	if p.Interim {
		return s.h.SendInterim(p.Header)
	}
	if p.Header != nil {
		if err := s.h.SendHeaders(p.Header, p.Fin && len(p.Body) == 0 && p.Trailer == nil); err != nil {
			if out.blocked.IsZero() && errors.Is(err, quic.ErrWouldBlock) {
				out.blocked = time.Now()
			}
			return err
		}
		if !out.blocked.IsZero() && out.headerWait == 0 {
			out.headerWait = time.Since(out.blocked)
		}
		if p.Header = nil; p.Fin && len(p.Body) == 0 && p.Trailer == nil {
			return nil
		}
	}
	fin := p.Fin && p.Trailer == nil
	if out.offset < len(p.Body) || fin {
		n, err := s.sendBody(p.Body[out.offset:], fin)
		out.offset += n
		out.total += uint64(n)
		if err != nil {
			return err
		}
	}
	if p.Trailer != nil {
		return s.h.SendTrailers(p.Trailer)
	}
	return nil
}
