package engine

import (
	"sync/atomic"
	"time"
)

// timer runs a worker at its deadline. It is set lazily: deadlines move with almost every packet, mostly to later, so a timer
// set for an earlier time is left alone; when it fires, the step finds nothing due and sets it anew. An idle connection
// costs one entry among the runtime's timers, and no goroutine.
type timer struct {
	t     *time.Timer
	at    time.Time   // when it will fire, if set
	set   bool        // owned by the step
	fired atomic.Bool // it has, since the step last looked
}

// timerGrain is how long a deadline that is due and stays so must wait: the connection may lack the permission to do
// what it has to (RFC 9000, Section 8.1), and the step is not to spin.
const timerGrain = time.Millisecond

// arm makes sure that the worker runs at the deadline.
func (w *worker) arm(now, deadline time.Time) {
	t := &w.timer
	if t.fired.Load() {
		t.fired.Store(false)
		t.set = false
	}
	if !deadline.After(now) {
		deadline = now.Add(timerGrain)
	}
	// A connection that has ended has one deadline left, which does not move.
	if t.set && !deadline.Before(t.at) && (!w.ended || deadline.Equal(t.at)) {
		return
	}
	t.at, t.set = deadline, true
	if t.t == nil {
		t.t = time.AfterFunc(deadline.Sub(now), w.onTimer)
		return
	}
	t.t.Reset(deadline.Sub(now))
}

func (w *worker) onTimer() {
	w.timer.fired.Store(true)
	w.runHere(byRunner)
}

func (w *worker) disarm() {
	if w.timer.t != nil {
		w.timer.t.Stop()
	}
}
