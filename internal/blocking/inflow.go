package blocking

import (
	"os"
	"sync"
	"time"
)

// Inflow is the read half of a stream, between the connection's step, which fills it, and the goroutines of users, which
// read from it. Its methods and fields are used with the lock held that guards the stream, but for Read, which takes it.
type Inflow struct {
	// More says that the stream may have more than has been taken.
	More bool
	// Err is what Read returns after the buffered bytes. See End.
	Err error
	// Slot is where a Read waits.
	Slot Slot

	turn     sync.Mutex // makes readers take turns
	ring     Ring
	dst      []byte // the buffer of a Read that waits: the step copies into it directly
	copied   int    // how much of dst is filled
	started  bool   // somebody has called Read
	deadline time.Time
}

// Source is the stream as an Inflow sees it.
type Source interface {
	// Kick leads to a Fill: in the calling goroutine if the connection is idle, later in another. It is called without the lock.
	Kick()
	// Take copies to p what has arrived, in a step. It returns false if there is nothing more for now, and an error at the end.
	// With an empty p it tells whether the stream ends here.
	Take(p []byte) (n int, more bool, err error)
	// Waits is called before a goroutine waits.
	Waits()
}

// Started reports whether somebody has called Read.
func (in *Inflow) Started() bool { return in.started }

// Buffered returns how many bytes have been taken and not read.
func (in *Inflow) Buffered() int { return in.ring.Len() }

// Cap returns the size of the buffer that holds them.
func (in *Inflow) Cap() int { return in.ring.Cap() }

// End sets what Read returns after the buffered bytes.
func (in *Inflow) End(err error) {
	in.Err = err
	in.More = false
	in.Slot.Wake()
}

// Drop throws away what was not read.
func (in *Inflow) Drop() {
	in.ring.Release()
	in.dst = nil
}

// SetDeadline makes Reads that wait beyond t, now or later, fail with os.ErrDeadlineExceeded. Zero means never.
func (in *Inflow) SetDeadline(t time.Time) {
	in.deadline = t
	in.Slot.Wake()
}

// Read reads into p at least one byte of what the step takes from s. mu is the lock.
func (in *Inflow) Read(mu *sync.Mutex, s Source, p []byte) (int, error) {
	in.turn.Lock()
	defer in.turn.Unlock()
	mu.Lock()
	in.started = true
	for {
		if in.ring.Len() > 0 {
			n := in.ring.Read(p)
			// The step stopped taking bytes when the buffer was full: let it go on in time.
			kick := in.More && in.ring.Len() <= LargeBuffer/2
			mu.Unlock()
			if kick {
				s.Kick()
			}
			return n, nil
		}
		if in.Err != nil || len(p) == 0 {
			err := in.Err
			mu.Unlock()
			return 0, err
		}
		if Expired(in.deadline) {
			mu.Unlock()
			return 0, os.ErrDeadlineExceeded
		}
		in.dst, in.copied = p, 0
		if in.More {
			mu.Unlock()
			s.Kick()
			mu.Lock()
		}
		if in.copied == 0 && in.Err == nil && in.ring.Len() == 0 {
			s.Waits()
			in.Slot.Wait(mu, in.deadline, nil)
		}
		n := in.copied
		in.dst, in.copied = nil, 0
		if n > 0 {
			mu.Unlock()
			return n, nil
		}
	}
}

// Fill takes what has arrived, as far as there is room: in a step. Until somebody reads, unread bounds what is taken, in bytes.
// It returns the error of s at its end, which the caller passes to End.
func (in *Inflow) Fill(s Source, unread int) (err error) {
	size := unread
	if in.started {
		size = LargeBuffer
	}
	if size == 0 {
		return nil
	}
	for full := false; in.More && in.Err == nil && !full && err == nil; {
		direct := in.ring.Len() == 0 && in.copied < len(in.dst)
		var p []byte
		if direct {
			p = in.dst[in.copied:]
		} else {
			p = in.ring.Room(size)
		}
		var n int
		n, in.More, err = s.Take(p) // without room it tells of the end, before QUIC is done with the stream
		if direct {
			in.copied += n
		} else {
			in.ring.Added(n)
		}
		full = len(p) == 0
	}
	if in.ring.Len() == 0 {
		in.ring.Release()
	}
	if in.copied > 0 || in.ring.Len() > 0 || in.Err != nil {
		in.Slot.Wake()
	}
	return err
}

// Expired reports whether a deadline has passed. Zero means never.
func Expired(deadline time.Time) bool { return !deadline.IsZero() && !time.Now().Before(deadline) }
