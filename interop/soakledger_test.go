package interop

import (
	"fmt"
	"slices"
	"sync"
	"testing"
)

// ledger is what became of the requests, by the accounts of the clients and of the servers.
type ledger struct {
	t       *testing.T
	mu      sync.Mutex
	entries map[uint64]*entry
	last    uint64
	lives   map[int]bool // of servers, by number, with whether they ended with their requests answered

	// tell, of a server in a process of its own, passes on what has been answered before the client can know. Optional.
	tell func(id uint64, uploaded string)

	kinds    map[string]int // of requests, by how they ended
	failures map[string]int // by what the client saw, of requests that it did not abandon itself
}

// entry is one request.
type entry struct {
	life       int    // of the server, that handled it
	handled    int    // how often
	answered   bool   // the handler wrote the whole answer
	uploaded   string // the digest of its body, by the server
	idempotent bool

	acked string // the digest of the body, by an answer that the client has read to its end
	err   error  // what the client saw instead
	own   bool   // abandoned by the client, or by plan

	watch *watch
}

func newLedger(t *testing.T) *ledger {
	l := &ledger{t: t, lives: make(map[int]bool), kinds: make(map[string]int), failures: make(map[string]int)}
	l.entries = make(map[uint64]*entry)
	return l
}

// open begins the account of a request.
func (l *ledger) open(idempotent bool) (id uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last++
	l.entries[l.last] = &entry{idempotent: idempotent}
	return l.last
}

func (l *ledger) note(id uint64, f func(e *entry)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := l.entries[id]; e != nil {
		f(e)
	}
}

// count counts what there is no account of.
func (l *ledger) count(kind string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.kinds[kind]++
}

// newLife returns the number of a server's next life.
func (l *ledger) newLife() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := len(l.lives)
	l.lives[n] = true
	return n
}

func (l *ledger) endLife(n int, orderly bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lives[n] = orderly
}

// unfinished is what is known of the requests that a life of a server has not answered.
func (l *ledger) unfinished(life int) (all []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.entries {
		if e.life == life && e.handled > 0 && !e.answered && e.err == nil {
			all = append(all, e.watch.String())
		}
	}
	return all
}

// settle compares the accounts, when no request runs.
func (l *ledger) settle() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, e := range l.entries {
		switch {
		case e.err == nil:
			l.kinds["acknowledged"]++
			if !e.answered || e.acked != e.uploaded {
				l.t.Errorf("request %d was acknowledged: %+v", id, *e)
			}
		case e.own:
			l.kinds["abandoned"]++
		default:
			l.kinds["failed"]++
			l.failures[e.err.Error()]++
			if e.answered && l.lives[e.life] {
				l.t.Errorf("request %d was answered before the server ended, and the answer lost: %+v", id, *e)
			}
		}
		if e.handled > 1 && !e.idempotent {
			l.t.Errorf("request %d was handled more than once: %+v", id, *e)
		}
	}
	l.entries = make(map[uint64]*entry)
}

func (l *ledger) report() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var lines []string
	for what, n := range l.failures {
		lines = append(lines, fmt.Sprintf("%d: %s", n, what))
	}
	slices.Sort(lines)
	return fmt.Sprintf("%d lives of servers, requests %v %q", len(l.lives), l.kinds, lines)
}
