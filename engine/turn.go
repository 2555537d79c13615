package engine

import (
	"sync/atomic"
	"time"
)

// turn keeps an application's method that takes long, or never returns, from stopping a router that runs it: meanwhile
// another goroutine becomes the router, and the one that comes back late finds itself replaced.
//
// While the router runs a step its count is odd. A timer that runs while the router is busy looks whether the count stands
// still at an odd number.
type turn struct {
	count   atomic.Uint64
	watched atomic.Bool
	timer   *time.Timer
	seen    uint64 // owned by the timer's function
}

// turnTime is how often the timer looks. A step may keep a router for two such times at most.
const turnTime = 2 * time.Millisecond

// lend begins a step of somebody else's.
func (t *turn) lend() uint64 {
	n := t.count.Add(1)
	t.watch()
	return n
}

// watch starts the timer unless it runs.
func (t *turn) watch() {
	if !t.watched.Load() && !t.watched.Swap(true) {
		t.timer.Reset(turnTime)
	}
}

// giveBack ends the step that lend returned n for. It returns false if the router has been taken over.
func (t *turn) giveBack(n uint64) bool { return t.count.CompareAndSwap(n, n+1) }

// watch takes the router over from a goroutine that is stuck in a step.
func (r *router) watch() {
	t := &r.turn
	n := t.count.Load()
	switch {
	case n != t.seen:
		t.seen = n
	case n%2 == 0:
		// The router rests. The next step starts the timer again.
		t.watched.Store(false)
		if t.count.Load() != n {
			t.watch() // it has just begun, and saw the timer running
		}
		return
	case t.count.CompareAndSwap(n, n+1):
		r.e.counters.takeovers.Add(1)
		r.e.reading.Go(r.run)
	}
	t.timer.Reset(turnTime)
}
