package engine

import (
	"sync/atomic"
	"time"
)

// runners are the goroutines that run tasks, and steps that nobody else runs: those of handshakes above all. Such things go
// deep, and a new goroutine begins with a small stack that has to be copied several times on the way down. So some stay
// for the next instead of ending.
type runners struct {
	pace    *pace
	next    chan any // *worker or Task: received from by those that wait
	waiting atomic.Int32
	closed  chan struct{}
}

// maxWaitingRunners bounds the goroutines that wait for work: enough for a burst of requests, and at a few KiB each hardly any
// memory.
const maxWaitingRunners = 64

func (r *runners) init(p *pace) {
	r.pace = p
	r.next = make(chan any)
	r.closed = make(chan struct{})
}

// start runs a task, or the step of a worker, on another goroutine. It never blocks.
func (r *runners) start(x any) {
	select {
	case r.next <- x:
	default:
		go r.run(x)
	}
}

func (r *runners) run(x any) {
	for {
		switch x := x.(type) {
		case *worker:
			x.run()
		case Task:
			r.pace.run(x, time.Now())
			x.Flush()
		}
		if r.waiting.Add(1) > maxWaitingRunners {
			r.waiting.Add(-1)
			return
		}
		x = nil // a connection that ends meanwhile is garbage
		select {
		case x = <-r.next:
			r.waiting.Add(-1)
		case <-r.closed:
			return
		}
	}
}

// close ends those that wait, and those that would.
func (r *runners) close() { close(r.closed) }
