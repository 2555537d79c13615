package engine

import "sync/atomic"

// runners are the goroutines that run steps which nobody else runs: those of handshakes above all. Such steps go deep, and a
// new goroutine begins with a small stack that has to be copied several times on the way down. So a few stay for the next
// step instead of ending.
type runners struct {
	next    chan *worker // received from by those that wait
	waiting atomic.Int32
	closed  chan struct{}
}

// maxWaitingRunners bounds the goroutines that wait for work: enough for a burst of handshakes, and hardly any memory.
const maxWaitingRunners = 8

func (r *runners) init() {
	r.next = make(chan *worker)
	r.closed = make(chan struct{})
}

// start runs w's step on another goroutine. It never blocks.
func (r *runners) start(w *worker) {
	select {
	case r.next <- w:
	default:
		go r.run(w)
	}
}

func (r *runners) run(w *worker) {
	for {
		w.run()
		if r.waiting.Add(1) > maxWaitingRunners {
			r.waiting.Add(-1)
			return
		}
		w = nil // a connection that ends meanwhile is garbage
		select {
		case w = <-r.next:
			r.waiting.Add(-1)
		case <-r.closed:
			return
		}
	}
}

// close ends those that wait, and those that would.
func (r *runners) close() { close(r.closed) }
