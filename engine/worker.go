package engine

import (
	"log/slog"
	"net/netip"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/dunlin-quic/dunlin/quic"
)

// worker is the actor of one connection: a mailbox, and a step that empties it. It has no goroutine of its own. Whoever
// moves its state to running owns it, runs the step, and gives it back: a goroutine started for that, the router that
// brought packets, the timer, or a goroutine of the user that wrote something.
type worker struct {
	e       *Endpoint
	l       *Listener // that accepted the connection; nil on clients
	side    quic.Side
	cfg     *quic.Config
	state   atomic.Uint32
	mailbox mailbox
	handle  Connection
	session Session
	// tickets counts calls of flush, served those that came before the last round began.
	tickets, served atomic.Uint64
	// gathering is set while whoever has the worker waits for goroutines to leave what they have: he will look for it.
	gathering atomic.Bool
	taskedBy  atomic.Pointer[party] // who runs the tasks of a step; nil if nobody does

	// Owned by whoever runs the step.
	party       *party
	conn        *quic.Conn
	accept      *quic.Accept // until conn is made of it
	newApp      NewApplicationFunc
	app         ApplicationOverQUIC
	via         *router // whose socket sends
	backlog     mail    // packets taken out of the mailbox, still to be received
	ids         []quic.ConnectionID
	tokens      []quic.StatelessResetToken
	moves       *moves // nil while nobody cares for other paths
	timer       timer
	log         *slog.Logger
	watched     *watched // nil if nobody wants figures
	started     time.Time
	handshaking bool // counts among Endpoint.handshakes
	early       bool // the application begins with early data
	established bool // OnEstablished was called
	complete    bool // the handshake is
	drain       bool // the application is still to be told to drain
	leaving     bool // Shutdown waits for the connection to be gone
	cause       error
	ended       bool         // OnClose was called
	over        bool         // nothing is owed to the peer any more
	slow        atomic.Int32 // steps to go before a router runs one again: see inlineTime

	expecting bool // goroutines are likely to write: see Session.Expect
	hasty     int  // steps to go before one waits for writers again: see awaitWriters

	local, remote netip.AddrPort // that the connection began with
	farewell      error          // what Shutdown and Close tell the peer
	up            chan struct{}  // closed once OnEstablished has returned; clients only
	done          chan struct{}  // closed once OnClose has returned
	err           error          // why the connection ended; set before done is closed
	audit         *Audit         // likewise
}

// The states of a worker. A wake-up during a step is not lost: the step runs once more.
const (
	idle      uint32 = iota
	scheduled        // a goroutine is on its way to run it
	running
	runningAgain // to be run again after this step
	finished     // for ever
)

// party is who runs a step.
type party struct {
	rounds int // before it hands over to a runner

	// Of routers, for which other connections' packets wait. Each goroutine that is one has a party of its own.
	router *router // nil if it is none
	turn   uint64  // the router's count, as far as this goroutine moved it
	worker *worker // whose tasks it runs
	tasks  []Task
	next   int // of the tasks
}

var (
	byRunner = &party{rounds: 1 << 30} // a goroutine that is there for it, or a timer's
	byUser   = &party{rounds: 8}       // a goroutine that has its own work to do
)

// party returns that of a goroutine which begins to be the router at a count.
func (r *router) party(count uint64) *party { return &party{rounds: 4, router: r, turn: count} }

// wake makes sure that a step begins after everything that happened before the call. It runs none itself.
func (w *worker) wake() {
	for {
		switch w.state.Load() {
		case idle:
			if w.state.CompareAndSwap(idle, scheduled) {
				w.watched.asked()
				w.e.runners.start(w)
				return
			}
		case running:
			if w.state.CompareAndSwap(running, runningAgain) {
				return
			}
		default:
			return
		}
	}
}

// runHere is wake, but runs the step in the calling goroutine, unless another has the worker.
func (w *worker) runHere(p *party) {
	for {
		switch s := w.state.Load(); s {
		case idle, scheduled:
			// The goroutine on its way to a scheduled worker will find that somebody was faster.
			if w.state.CompareAndSwap(s, running) {
				w.steps(p)
				return
			}
		case running:
			if w.state.CompareAndSwap(running, runningAgain) {
				return
			}
		default:
			return
		}
	}
}

// release gives up a worker that newWorker made.
func (w *worker) release() {
	if !w.state.CompareAndSwap(running, idle) {
		w.state.Store(scheduled)
		w.watched.asked()
		w.e.runners.start(w)
	}
}

// flush is wake on behalf of a goroutine that has just left something for the step, and lends itself to run it. Unless it is
// known to be alone others go first, for they may have something to leave as well: one step then sends the work of all, in
// fewer packets. With a hundred goroutines at a time on one connection that is a tenth of the datagrams.
func (w *worker) flush(alone bool) {
	ticket := w.tickets.Add(1)
	if w.gathering.Load() {
		return
	}
	if !alone {
		runtime.Gosched()
	}
	if w.served.Load() < ticket {
		w.runHere(byUser)
	}
}

// run is what a runner does.
func (w *worker) run() {
	if w.state.CompareAndSwap(scheduled, running) {
		w.steps(byRunner)
	}
}

// steps runs the step until nobody asks for more.
func (w *worker) steps(p *party) {
	w.party = p
	for rounds := p.rounds; ; {
		if w.watched != nil {
			rounds = w.watchedStep(rounds)
		} else {
			rounds = w.step(rounds)
		}
		if len(p.tasks) > 0 {
			if !p.runTasks(w) {
				return
			}
			continue
		}
		if rounds <= 0 {
			w.state.Store(scheduled)
			w.watched.asked()
			w.e.runners.start(w)
			return
		}
		if w.over {
			w.finish()
			w.state.Store(finished)
			return
		}
		if w.state.CompareAndSwap(running, idle) {
			return
		}
		w.state.Store(running)
	}
}

// deliver leaves a packet for the next step, or drops it. The caller wakes the worker.
func (w *worker) deliver(p *packet) bool {
	if w.mailbox.put(p) {
		return true
	}
	p.release()
	return false
}

// end asks for the connection's end.
func (w *worker) end(how manner, err error) {
	if w.mailbox.askEnd(ending{how, err}) {
		w.wake()
	}
}
