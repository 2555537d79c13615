package http3

import "sync/atomic"

// handlers are the goroutines that run a server's handlers. They go deep, and a new goroutine begins with a small stack
// that is copied several times on the way down. So some stay for the next request instead of ending.
type handlers struct {
	next    chan request // received from by those that wait
	waiting atomic.Int32
	closed  chan struct{}
}

// request is one that a handler is to answer.
type request struct {
	x      *exchange
	fields *fieldBuffer
	fin    bool // there is no body
}

// maxWaitingHandlers bounds the goroutines that wait for requests: as many as come in one burst, and at a few KiB each hardly
// any memory.
const maxWaitingHandlers = 64

func newHandlers() *handlers {
	return &handlers{next: make(chan request), closed: make(chan struct{})}
}

// start has r answered. It never blocks.
func (h *handlers) start(r request) {
	select {
	case h.next <- r:
	default:
		go h.run(r)
	}
}

func (h *handlers) run(r request) {
	for {
		r.x.serve(r.fields, r.fin)
		if h.waiting.Add(1) > maxWaitingHandlers {
			h.waiting.Add(-1)
			return
		}
		r = request{} // while it waits it keeps nothing
		select {
		case r = <-h.next:
			h.waiting.Add(-1)
		case <-h.closed:
			return
		}
	}
}

// close ends those that wait, and those that would.
func (h *handlers) close() { close(h.closed) }
