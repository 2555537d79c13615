package h3driver

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/dunlin-quic/dunlin/quic"
)

// ClientDriver is the client's side of HTTP/3 as an engine.ApplicationOverQUIC: give it to the engine.
type ClientDriver struct{ driver }

// ClientController is the user's handle of a [ClientDriver].
type ClientController struct{ controller }

// NewClient makes the driver of one connection. cfg may be nil.
func NewClient(cfg *Config) *ClientDriver {
	d := new(ClientDriver)
	d.init(quic.Client, cfg)
	return d
}

// Controller returns the user's handle of d.
func (d *ClientDriver) Controller() *ClientController {
	return &ClientController{controller{&d.driver}}
}

// OpenRequest sends a request, or the beginning of one, and returns its stream, whose Value is value from before the
// first event about it. While the server allows no further stream it waits in line, until ctx ends; afterwards ctx has
// no meaning for the stream. It returns h3.ErrGoingAway, without having sent anything, after the server's GOAWAY.
// p.Release is told whatever OpenRequest returns.
//
// Where there is early data, a request without p.Early waits until the handshake is complete. One with it may end with
// quic.ErrEarlyDataRejected: the server has seen nothing of it, and will take it if it is sent again.
func (c *ClientController) OpenRequest(ctx context.Context, p Part, value any) (*Stream, error) {
	d := c.d
	s := newRequest(d, p, value)
	err := ctx.Err()
	if err == nil {
		err = d.kick(s)
	}
	s.mu.Lock()
	for err == nil && !s.opened {
		if err = s.out.err; err == nil {
			if err = ctx.Err(); err == nil {
				s.wait(&s.out.slot, time.Time{}, ctx.Done())
			}
		}
	}
	if s.opened {
		s.mu.Unlock()
		return s, nil
	}
	s.withdraw(err)
	return nil, err
}

// LeaveRequest is OpenRequest for who waits for the answer anyway: it returns while the stream may still stand in line. Should
// it not be opened at all, an EventStreamClosed says why, unless CancelRead or CancelWrite have taken it out of the line
// before. See [Stream.Opened]. The error is why the connection has ended, if it has.
func (c *ClientController) LeaveRequest(p Part, value any) (*Stream, error) {
	s := newRequest(c.d, p, value)
	s.left = true
	if err := c.d.kick(s); err != nil {
		s.close(err)
		return nil, err
	}
	return s, nil
}

func newRequest(d *driver, p Part, value any) *Stream {
	s := &Stream{Value: value, d: d}
	s.out.part, s.out.busy = p, true
	s.out.finished = p.Fin || p.Trailer != nil
	return s
}

// withdraw closes a stream that is not opened, with s.mu held, which it releases.
func (s *Stream) withdraw(err error) {
	done := s.closeLocked(err)
	s.mu.Unlock()
	if done != nil {
		done.Release()
	}
	s.d.enqueue(s) // for the step to take it out of the line
	s.d.wake()
}

// refuse closes a stream that can't be opened.
func (d *driver) refuse(s *Stream, err error) {
	s.mu.Lock()
	tell := s.left && !s.opened && !s.closed
	done := s.closeLocked(err)
	s.mu.Unlock()
	if done != nil {
		done.Release()
	}
	if tell {
		d.tell(Event{Kind: EventStreamClosed, Stream: s, Err: err})
	}
}

// open opens the request of s, or puts it in line.
func (d *driver) open(s *Stream) {
	s.mu.Lock()
	closed := s.closed
	s.mu.Unlock()
	switch {
	case d.hold(s):
	case closed:
		if i := slices.Index(d.waiting, s); i >= 0 {
			d.waiting = slices.Delete(d.waiting, i, i+1)
		}
	case len(d.waiting) > 0:
		if !slices.Contains(d.waiting, s) {
			d.waiting = append(d.waiting, s)
		}
	case !d.tryOpen(s):
		d.waiting = append(d.waiting, s)
	}
}

// tryOpen returns false while the server allows no further stream.
func (d *driver) tryOpen(s *Stream) bool {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return true
	}
	h, err := d.h3.OpenRequest()
	if err == nil {
		d.adopt(s, h)
		s.id, s.opened, s.early = h.ID(), true, d.early
		s.out.slot.Wake()
	}
	s.mu.Unlock()
	if errors.Is(err, quic.ErrStreamLimit) {
		return false
	}
	if err != nil {
		d.refuse(s, err)
	}
	return true
}

// openWaiting opens what the server now allows of the requests in line.
func (d *driver) openWaiting() {
	n := 0
	for ; n < len(d.waiting) && d.tryOpen(d.waiting[n]); n++ {
		d.waiting[n].service()
	}
	d.waiting = slices.Delete(d.waiting, 0, n)
}
