package udpproxy

import (
	"container/heap"
	"math/rand/v2"
	"sync"
	"time"
)

// Counters count what became of the datagrams of one direction.
type Counters struct {
	Received, Sent                            uint64
	Dropped, Duplicated, Reordered, Corrupted uint64
	Overflowed                                uint64 // dropped because a queue was full
}

// direction impairs the datagrams that go one way, of all clients.
type direction struct {
	tap func([]byte)

	mu       sync.Mutex
	imp      Impairment
	rng      *rand.Rand
	counters Counters
	queue    held
	sequence uint64
	lastDue  time.Time     // of those that keep their order
	lost     int           // datagrams in a row that were dropped or corrupted
	passed   time.Time     // when all so far will have passed at the rate
	wake     chan struct{} // the head of the queue has changed
}

func newDirection(imp Impairment, seed, stream uint64, tap func([]byte)) *direction {
	return &direction{imp: imp, rng: rand.New(rand.NewPCG(seed, stream)), tap: tap, wake: make(chan struct{}, 1)}
}

// heldDatagram waits for its time.
type heldDatagram struct {
	due      time.Time
	sequence uint64
	data     []byte
	send     func([]byte)
}

// pass takes one datagram, of which it keeps nothing, and sends it when and if its fate says so.
func (d *direction) pass(data []byte, send func([]byte)) {
	if d.tap != nil {
		d.tap(data)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.counters.Received++
	f := d.imp.decide(d.rng, len(data))
	d.imp.bound(&f, &d.lost)
	if f.drop {
		d.counters.Dropped++
		return
	}
	if f.corruptBit >= 0 {
		d.counters.Corrupted++
		data[f.corruptBit/8] ^= 1 << (f.corruptBit % 8)
	}
	copies := 1
	if f.duplicate {
		d.counters.Duplicated++
		copies = 2
	}
	for range copies {
		d.schedule(f, data, send)
	}
}

// schedule sends now, or queues. Callers hold the lock.
func (d *direction) schedule(f fate, data []byte, send func([]byte)) {
	if d.imp.Rate > 0 {
		now := time.Now()
		if d.passed.Before(now) {
			d.passed = now
		}
		passed := d.passed.Add(d.imp.passing(len(data)))
		if passed.Sub(now) > d.imp.passing(d.imp.buffer()) {
			d.counters.Overflowed++
			return
		}
		d.passed = passed
		f.delay += passed.Sub(now)
	}
	if f.delay == 0 && len(d.queue) == 0 {
		d.counters.Sent++
		send(data)
		return
	}
	if len(d.queue) >= d.imp.queue() {
		d.counters.Overflowed++
		return
	}
	due := time.Now().Add(f.delay)
	if f.reorder {
		d.counters.Reordered++
	} else {
		if due.Before(d.lastDue) {
			due = d.lastDue
		}
		d.lastDue = due
	}
	d.sequence++
	heap.Push(&d.queue, heldDatagram{due, d.sequence, append([]byte(nil), data...), send})
	if d.queue[0].sequence == d.sequence {
		select {
		case d.wake <- struct{}{}:
		default:
		}
	}
}

// run sends what is due until done is closed.
func (d *direction) run(done <-chan struct{}) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		timer.Reset(d.sendDue())
		select {
		case <-timer.C:
		case <-d.wake:
		case <-done:
			return
		}
	}
}

// sendDue sends what is due and returns how long the next one must wait.
func (d *direction) sendDue() time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	for len(d.queue) > 0 {
		if wait := time.Until(d.queue[0].due); wait > 0 {
			return wait
		}
		next := heap.Pop(&d.queue).(heldDatagram)
		d.counters.Sent++
		next.send(next.data)
	}
	return time.Hour
}

// held is a heap by time, then by order of arrival.
type held []heldDatagram

func (h held) Len() int { return len(h) }
func (h held) Less(i, j int) bool {
	if h[i].due.Equal(h[j].due) {
		return h[i].sequence < h[j].sequence
	}
	return h[i].due.Before(h[j].due)
}
func (h held) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *held) Push(x any)   { *h = append(*h, x.(heldDatagram)) }
func (h *held) Pop() any {
	last := (*h)[len(*h)-1]
	(*h)[len(*h)-1] = heldDatagram{}
	*h = (*h)[:len(*h)-1]
	return last
}
