package engine

import (
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dunlin-quic/dunlin/quic"
)

// tasker is the application of a server's connections that answers each stream by a task; the first byte that comes says how.
type tasker struct {
	Base
	block chan struct{} // tasks of kind "b" and "y" wait until it is closed

	mu      sync.Mutex
	done    []*answer
	routers int // tasks that a router ran
}

// answer is one of its tasks.
type answer struct {
	a       *tasker
	session *Session
	stream  *quic.Stream
	kind    byte
}

func newTasker() *tasker { return &tasker{block: make(chan struct{})} }

func (a *tasker) app(ConnInfo) (ApplicationOverQUIC, error) { return a, nil }

func (a *tasker) ProcessReads(s *Session) error {
	for {
		ev := s.Conn().NextEvent()
		if ev.Kind == quic.EventNone {
			return nil
		}
		if ev.Kind == quic.EventStreamReadable {
			var b [2]byte
			if n, _ := ev.Stream.TryRead(b[:]); n == 1 {
				s.Go(&answer{a, s, ev.Stream, b[0]})
			}
		}
	}
}

func (x *answer) Run() {
	if strings.Contains(string(debug.Stack()), "(*party).runTasks(") {
		x.a.mu.Lock()
		x.a.routers++
		x.a.mu.Unlock()
	}
	switch x.kind {
	case 'b': // block
		<-x.a.block
	case 'y': // block, and say so
		x.session.Yield()
		<-x.a.block
	case 'd': // use what waits for a step
		x.session.Connection().Stats()
	case 'e': // end this goroutine
		defer runtime.Goexit()
	}
	x.a.mu.Lock()
	x.a.done = append(x.a.done, x)
	x.a.mu.Unlock()
}

func (x *answer) Flush() { x.session.Flush() }

func (a *tasker) ProcessWrites(s *Session) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.done = slices.DeleteFunc(a.done, func(x *answer) bool {
		if x.session != s {
			return false
		}
		x.stream.TryWrite([]byte{x.kind}, true)
		return true
	})
	return nil
}

// callAll begins a stream for every byte of kinds, all of them in one packet, and returns what to wait for.
func callAll(t *testing.T, a *caller, c *Connection, kinds string) map[byte]*exchange {
	t.Helper()
	all := make(map[byte]*exchange)
	err := c.Do(func(s *Session) {
		for _, kind := range []byte(kinds) {
			stream, err := s.Conn().OpenStream(quic.Bidi)
			if err != nil {
				t.Error(err)
				return
			}
			x := &exchange{unsent: []byte{kind}, done: make(chan error, 1)}
			a.calls[stream] = x
			x.send(stream)
			all[kind] = x
		}
	})
	if err != nil {
		t.Error(err)
	}
	return all
}

// inLoopTime bounds how long a task that blocks may keep a router, and how long a round trip takes beside.
const inLoopTime = 2*turnTime + 20*time.Millisecond

// A router runs tasks. One that blocks, whatever it blocks in, delays neither the other tasks, nor its connection, nor others, nor
// the end of the endpoint.
func TestTasks(t *testing.T) {
	for _, test := range []struct {
		name, kinds string
		quick       bool // tasks have been
		routers     int
		takeovers   uint64
		instant     bool // nobody waits for a timer
	}{
		{"quick", "q", true, 1, 0, true},
		{"not known to be quick", "q", false, 0, 0, true},
		{"several", "qrs", true, 3, 0, true},
		{"blocks", "b", true, 1, 1, false},
		{"blocks before others", "bqr", true, 1, 1, false},
		{"blocks after others", "qrb", true, 3, 1, false},
		{"yields", "qyr", true, 2, 1, true},
		{"waits for a step", "dq", true, 1, 1, true},
		{"ends its goroutine", "qer", true, 2, 1, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				app := newTasker()
				p := newPair(t, ListenConfig{NewApplication: app.app})
				defer p.close(t)
				a, b := newCaller(), newCaller()
				c, err := p.dial(t.Context(), a.app)
				if err != nil {
					t.Fatal(err)
				}
				d, err := p.dial(t.Context(), b.app)
				if err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Second + 123*time.Microsecond) // no timer is due when packets come
				p.server.mu.Lock()
				for w := range p.server.workers {
					w.slow.Store(0)
				}
				p.server.mu.Unlock()
				if test.quick {
					p.server.pace.mean.Store(0)
				}
				before := p.server.Stats().Takeovers
				rtt := c.Stats().RTT
				began := time.Now()
				calls := callAll(t, a, c, test.kinds)
				if got, err := b.call(d, []byte("o")); string(got) != "o" || err != nil {
					t.Errorf("the other connection: %q, %v", got, err)
				}
				for kind, x := range calls {
					if kind == 'b' || kind == 'y' {
						continue
					}
					if err := <-x.done; err != nil || string(x.got) != string(kind) {
						t.Errorf("task %c: %q, %v", kind, x.got, err)
					}
				}
				took := time.Since(began)
				if took > inLoopTime || test.instant && took > rtt+turnTime/2 {
					t.Errorf("took %v, a round trip %v", took, rtt)
				}
				if got, err := a.call(c, []byte("q")); string(got) != "q" || err != nil {
					t.Errorf("afterwards: %q, %v", got, err)
				}
				if n := p.server.Stats().Takeovers - before; n != test.takeovers {
					t.Errorf("%d routers were replaced, want %d", n, test.takeovers)
				}
				p.server.Close()
				close(app.block)
				synctest.Wait()
				app.mu.Lock()
				defer app.mu.Unlock()
				if n := app.routers; n < test.routers || !test.quick && n > 0 {
					t.Errorf("routers ran %d tasks, want %d", n, test.routers)
				}
			})
		})
	}
}

// Routers run tasks that are quick, and no longer when some are not.
func TestPace(t *testing.T) {
	var p pace
	p.init()
	if p.quick() {
		t.Error("quick without proof")
	}
	n := 0
	for ; !p.quick(); n++ {
		p.add(5 * time.Microsecond)
	}
	if n > 300 {
		t.Errorf("quick after %d tasks", n)
	}
	p.add(time.Hour)
	for n = 0; !p.quick(); n++ {
		p.add(5 * time.Microsecond)
	}
	if n < 50 || n > 500 {
		t.Errorf("a task that blocks counts for %d", n)
	}
}
