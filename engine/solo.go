package engine

import (
	"runtime"
	"sync/atomic"
	"time"

	"github.com/dunlin-quic/dunlin/udp"
)

// solo lets a router wait in a system call instead of Go's poller while it is the only goroutine that has anything to do: it
// runs the tasks of applications itself, or those whom it gives something to do have done it before it waits. One request
// at a time then takes half of the CPU time and less than half of the time. As soon as others have something to do as well
// it would be in their way, for such a call keeps a processor from them for a while.
type solo struct {
	socket udp.ThreadReader // nil if it can't wait so
	on     bool
	quiet  int // reads one after the other after which nobody else had anything to do
	asked  int // how many there must be
	reads  int // since it is on
}

const (
	// soloAfter and soloAfterMost are how many quiet reads there must be. It doubles whenever that proves too few.
	soloAfter, soloAfterMost = 32, 1 << 14
	// soloPatience is how long a router waits in a system call. A thread more for a socket that is idle would be wasted.
	soloPatience = 100 * time.Millisecond
)

// Routers of one process share its processors, whatever endpoints they are of.
var (
	lastRouter atomic.Pointer[router] // that has read something
	soloRouter atomic.Pointer[router] // that waits in a system call, or may: one at a time
)

func (s *solo) init(sock udp.Socket) {
	s.socket, _ = sock.(udp.ThreadReader)
	s.asked = soloAfter
}

// read reads as the router should now.
func (p *party) read() (int, error) {
	r := p.router
	s := &r.solo
	if s.socket == nil {
		return r.sock.ReadBatch(r.msgs)
	}
	s.judge(r, p.quiet, p.stirred)
	p.quiet, p.stirred = false, false
	if s.on {
		n, err := s.socket.ReadBatchInThread(r.msgs, soloPatience)
		if n > 0 || err != nil {
			s.reads++
			return n, err
		}
		s.leave(r)
	}
	return r.sock.ReadBatch(r.msgs)
}

// judge decides how to wait next. The reads since it last did were quiet if all whom they gave something to do have done it,
// and stirred if somebody has something to do still.
func (s *solo) judge(r *router, quiet, stirred bool) {
	if lastRouter.Load() != r {
		lastRouter.Store(r)
		stirred = true
	}
	switch {
	case stirred:
		s.quiet = 0
		if s.on {
			s.leave(r)
		}
	case quiet && !s.on:
		if s.quiet++; s.quiet >= s.asked && runtime.GOMAXPROCS(0) > 1 && soloRouter.CompareAndSwap(nil, r) {
			s.on, s.reads = true, 0
		}
	}
}

// leave ends the waiting in system calls.
func (s *solo) leave(r *router) {
	if s.reads > 8*s.asked {
		s.asked = soloAfter
	} else {
		s.asked = min(2*s.asked, soloAfterMost)
	}
	s.on, s.quiet = false, 0
	soloRouter.CompareAndSwap(r, nil)
}

// end forgets the router.
func (s *solo) end(r *router) {
	soloRouter.CompareAndSwap(r, nil)
	lastRouter.CompareAndSwap(r, nil)
}
