// Package blocking is what lies between a connection's step, which must not block, and the goroutines of users, who
// want to: a place to wait at, and bounded, pooled memory for what has arrived.
package blocking

import (
	"sync"
	"time"
)

// Slot is where a goroutine waits for one condition of a stream. Its methods are called with the lock held that
// guards the condition.
type Slot struct {
	// ch has room for one. It is made by the first Wait, and the slot's own: channels from a pool of the whole process would
	// wander between the bubbles of testing/synctest, which forbids it.
	ch     chan struct{}
	timer  *time.Timer // made by the first Wait with a deadline
	parked bool
}

// Waiting reports whether a goroutine is parked in the slot.
func (s *Slot) Waiting() bool { return s.parked }

// Wake ends the wait of the goroutine in the slot, if there is one.
func (s *Slot) Wake() {
	if s.parked {
		s.parked = false
		s.ch <- struct{}{}
	}
}

// Wait releases mu, parks the goroutine until Wake, the deadline or cancel, and locks mu again. It may also return
// early: the caller looks at its condition again. One goroutine at a time may wait.
func (s *Slot) Wait(mu *sync.Mutex, deadline time.Time, cancel <-chan struct{}) {
	if s.ch == nil {
		s.ch = make(chan struct{}, 1)
	}
	s.parked = true
	mu.Unlock()
	signalled := s.wait(deadline, cancel)
	mu.Lock()
	if !signalled && !s.parked {
		<-s.ch // who woke us up was too late
	}
	s.parked = false
}

// wait returns true when woken up, false after the deadline (zero: none) or when cancel (nil: never) is closed.
func (s *Slot) wait(deadline time.Time, cancel <-chan struct{}) bool {
	if deadline.IsZero() && cancel == nil {
		<-s.ch
		return true
	}
	var expired <-chan time.Time
	if !deadline.IsZero() {
		d := time.Until(deadline)
		if s.timer == nil {
			s.timer = time.NewTimer(d)
		} else {
			s.timer.Reset(d)
		}
		defer s.timer.Stop()
		expired = s.timer.C
	}
	select {
	case <-s.ch:
		return true
	case <-expired:
	case <-cancel:
	}
	return false
}
