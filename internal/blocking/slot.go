// Package blocking is what lies between a connection's step, which must not block, and the goroutines of users, who
// want to: a place to wait at, and bounded, pooled memory for what has arrived.
package blocking

import (
	"sync"
	"time"
)

// waiter parks one goroutine until it is signalled. A slot makes its own when it is first waited at: channels from a pool of
// the whole process would wander between the bubbles of testing/synctest, which forbids it.
type waiter struct {
	ch    chan struct{} // capacity 1
	timer *time.Timer   // made at the first wait with a deadline
}

// signal ends the wait. It is called once per wait at most.
func (w *waiter) signal() { w.ch <- struct{}{} }

// wait returns true when signalled, false after the deadline (zero: none) or when cancel (nil: never) is closed.
func (w *waiter) wait(deadline time.Time, cancel <-chan struct{}) bool {
	if deadline.IsZero() && cancel == nil {
		<-w.ch
		return true
	}
	var expired <-chan time.Time
	if !deadline.IsZero() {
		d := time.Until(deadline)
		if w.timer == nil {
			w.timer = time.NewTimer(d)
		} else {
			w.timer.Reset(d)
		}
		defer w.timer.Stop()
		expired = w.timer.C
	}
	select {
	case <-w.ch:
		return true
	case <-expired:
	case <-cancel:
	}
	return false
}

// Slot is where a goroutine waits for one condition of a stream. Its methods are called with the lock held that
// guards the condition.
type Slot struct {
	w      *waiter // made by the first Wait
	parked bool
}

// Waiting reports whether a goroutine is parked in the slot.
func (s *Slot) Waiting() bool { return s.parked }

// Wake ends the wait of the goroutine in the slot, if there is one.
func (s *Slot) Wake() {
	if s.parked {
		s.parked = false
		s.w.signal()
	}
}

// Wait releases mu, parks the goroutine until Wake, the deadline or cancel, and locks mu again. It may also return
// early: the caller looks at its condition again. One goroutine at a time may wait.
func (s *Slot) Wait(mu *sync.Mutex, deadline time.Time, cancel <-chan struct{}) {
	if s.w == nil {
		s.w = &waiter{ch: make(chan struct{}, 1)}
	}
	w := s.w
	s.parked = true
	mu.Unlock()
	signalled := w.wait(deadline, cancel)
	mu.Lock()
	if !signalled && !s.parked {
		<-w.ch // who woke us up was too late
	}
	s.parked = false
}
