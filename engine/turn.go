package engine

import (
	"sync/atomic"
	"time"
)

// turn keeps what an application does from stopping a router for long, or for ever: meanwhile another goroutine becomes the
// router, and the one that comes back late finds itself replaced.
//
// Its count says by its remainder what the router does, and changes whenever that does. A timer that runs while the router
// is busy looks whether the count stands still.
type turn struct {
	count   atomic.Uint64
	watched atomic.Bool
	timer   *time.Timer
	seen    uint64 // owned by the timer's function
}

// What a router does.
const (
	reading  = iota // or anything that does not depend on applications
	stepping        // running the step of a worker: it is the application's methods that may take long
	tasking         // running a task
	doings          // how many there are
)

// doing returns what the router does at count n.
func doing(n uint64) uint64 { return n % doings }

// turnTime is how often the timer looks. A step or a task may keep a router for two such times at most.
const turnTime = 2 * time.Millisecond

// init sets the timer's function.
func (t *turn) init(f func()) {
	t.timer = time.AfterFunc(turnTime, f)
	t.timer.Stop()
}

// move begins to do something else. It returns false if the goroutine whose turn it was at n has been replaced since.
func (t *turn) move(n *uint64, to uint64) bool {
	next := *n - doing(*n) + doings + to
	if !t.count.CompareAndSwap(*n, next) {
		return false
	}
	*n = next
	return true
}

// watch starts the timer unless it runs.
func (t *turn) watch() {
	if !t.watched.Load() && !t.watched.Swap(true) {
		t.timer.Reset(turnTime)
	}
}

// watch takes the router over from a goroutine that is stuck.
func (r *router) watch() {
	t := &r.turn
	n := t.count.Load()
	switch {
	case doing(n) == reading:
		// The next step starts the timer again.
		t.watched.Store(false)
		if t.count.Load() != n {
			t.watch() // it has just begun, and saw the timer running
		}
		return
	case n != t.seen:
		t.seen = n
	default:
		r.takeOver(n)
	}
	t.timer.Reset(turnTime)
}

// takeOver lets another goroutine be the router in place of the one whose turn it was at count n. If that was stuck in a step it
// keeps the worker: its application's method goes on. A task does not need the worker to go on.
func (r *router) takeOver(n uint64) {
	p := r.tasking.Load()
	if doing(n) != tasking {
		p = nil
	}
	if r.turn.move(&n, reading) {
		r.e.counters.takeovers.Add(1)
		go r.run(r.party(n), p)
	}
}
