package engine

import (
	"runtime"
	"runtime/metrics"
	"sync/atomic"
	"time"

	"github.com/dunlin-quic/dunlin/udp"
)

// solo lets a router wait in a system call instead of Go's poller while nobody else has anything to do. One request at a time
// then takes two thirds of the time and three quarters of the CPU time. Otherwise it would be in the way: for a while, such a
// call keeps a processor from those goroutines that are ready to run, and often these are the ones that the router has just
// woken up.
type solo struct {
	socket udp.ThreadReader // nil if it can't wait so
	on     bool
	looked time.Time // when it last looked around
	looks  int       // since it is on
	alone  int       // looks in a row that found nobody
	asked  int       // how many there must be
	crowd  int       // looks in a row that found somebody
	ready  [1]metrics.Sample
}

const (
	// soloLook is how often a router looks around at most. With many processors that takes microseconds, and a lock of the
	// scheduler.
	soloLook = 250 * time.Microsecond
	// soloAfter and soloAfterMost are how many looks must have found nobody. It doubles whenever that proves too few.
	soloAfter, soloAfterMost = 8, 1 << 12
	// soloUntil is how many looks must have found somebody.
	soloUntil = 2
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
	s.ready[0].Name = "/sched/goroutines/runnable:goroutines"
}

// read reads as the router should now.
func (r *router) read() (int, error) {
	s := &r.solo
	if s.socket == nil {
		return r.sock.ReadBatch(r.msgs)
	}
	if lastRouter.Load() != r {
		lastRouter.Store(r)
		s.judge(r, true)
	} else if now := r.msgs[0].Received; now.Sub(s.looked) >= soloLook {
		s.looked = now
		s.judge(r, s.somebody())
	}
	if s.on {
		if n, err := s.socket.ReadBatchInThread(r.msgs, soloPatience); n > 0 || err != nil {
			return n, err
		}
		s.leave(r)
	}
	return r.sock.ReadBatch(r.msgs)
}

// somebody reports whether a goroutine is ready to run and does not.
func (s *solo) somebody() bool {
	metrics.Read(s.ready[:])
	v := s.ready[0].Value
	return v.Kind() != metrics.KindUint64 || v.Uint64() > 0
}

// judge decides how to wait from now on, after a look around that found somebody or nobody.
func (s *solo) judge(r *router, somebody bool) {
	s.looks++
	if somebody {
		s.alone = 0
		if s.crowd++; s.on && s.crowd >= soloUntil {
			s.leave(r)
		}
		return
	}
	s.crowd = 0
	if s.alone++; !s.on && s.alone >= s.asked && runtime.GOMAXPROCS(0) > 1 && soloRouter.CompareAndSwap(nil, r) {
		s.on, s.looks = true, 0
	}
}

// leave ends the waiting in system calls.
func (s *solo) leave(r *router) {
	if s.looks > 8*s.asked {
		s.asked = soloAfter // it was worth it
	} else {
		s.asked = min(2*s.asked, soloAfterMost)
	}
	s.on, s.alone = false, 0
	soloRouter.CompareAndSwap(r, nil)
}

// end forgets the router.
func (s *solo) end(r *router) {
	soloRouter.CompareAndSwap(r, nil)
	lastRouter.CompareAndSwap(r, nil)
}
