package simnet

import (
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/dunlin-quic/dunlin/quic"
)

// World is a simulated network: a clock, what is going to happen, and the hosts that it happens to.
type World struct {
	// Trace, when set, hears of every datagram that a host sends, before the link treats it.
	Trace func(now time.Time, from, to netip.AddrPort, datagram []byte)
	// Observer, when set, hears likewise, and reads what is in them.
	Observer *Observer
	// IPv6 gives hosts IPv6 addresses from now on.
	IPv6 bool
	// Coalesce hands datagrams of one size that arrive together to a host as one, as the kernel does (GRO).
	Coalesce bool
	// Clock, when set, tells how late it is outside of the simulation, by which Spent adds up how long connections and their
	// applications took of what a run takes: the rest is the simulator's own.
	Clock func() time.Duration
	Spent time.Duration
	// Stalled, when set, is asked at the end of [World.Run] for what was not yet done.
	Stalled func() string

	now     time.Time
	inside  bool
	entered time.Duration // on Clock
	// sendBuf is what peers send from, one after the other.
	sendBuf []byte
	rng     *rand.Rand
	queue   eventQueue
	spare   []*event // arrivals that have been, with the memory of their datagrams
	train   []byte   // where those that arrive together are joined
	hosts   map[netip.AddrPort]host
	nat     map[netip.AddrPort]netip.AddrPort // how the network sees an address, where a NAT changed it
	links   map[direction]*linkState
	shared  map[netip.AddrPort]*linkState // by destination, where its senders share a link
	link    Link                          // for pairs of addresses without one of their own
	digest  uint32
	stamp   []byte // of what goes into digest
	err     error
}

// host receives what arrives at an address.
type host interface {
	receive(quic.Inbound)
	idle() bool
}

type direction struct{ from, to netip.AddrPort }

// beginning is when every world starts.
var beginning = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

// NewWorld returns a world whose chance comes from seed.
func NewWorld(seed uint64) *World {
	w := &World{
		now:     beginning,
		sendBuf: make([]byte, sendBuffer),
		rng:     rand.New(rand.NewPCG(seed, 0x64756e6c696e)),
		hosts:   map[netip.AddrPort]host{},
		nat:     map[netip.AddrPort]netip.AddrPort{},
		links:   map[direction]*linkState{},
		shared:  map[netip.AddrPort]*linkState{},
	}
	return w
}

// Now returns the virtual time.
func (w *World) Now() time.Time { return w.now }

// Rand returns the world's source of chance, for what a test itself draws.
func (w *World) Rand() *rand.Rand { return w.rng }

// Digest returns a hash over everything that was sent and when. Two runs of one seed have the same.
func (w *World) Digest() uint32 { return w.digest }

// castagnoli is a checksum for which processors have an instruction: it goes over every byte that is sent.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Read makes World an io.Reader of its chance, for quic.Config.Rand.
func (w *World) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(w.rng.Uint32())
	}
	return len(p), nil
}

// Link sets how datagrams travel from now on between addresses that [World.LinkBetween] does not name.
func (w *World) Link(l Link) {
	w.link = l
	for _, s := range w.links {
		if !s.own {
			s.Link = l
		}
	}
}

// LinkBetween sets how datagrams travel from now on from one address to another, in that direction only.
func (w *World) LinkBetween(from, to netip.AddrPort, l Link) {
	s := w.linkState(from, to)
	s.Link, s.own = l, true
}

// LinkTo makes all datagrams to an address travel from now on over one link, whose rate and queue their senders share.
func (w *World) LinkTo(to netip.AddrPort, l Link) {
	s := &linkState{Link: l, own: true}
	w.shared[to] = s
	for d := range w.links {
		if d.to == to {
			w.links[d] = s
		}
	}
}

// LinkShared makes all datagrams between the pairs of addresses, from the first to the second, travel from now on over
// one link, whose rate and queue they share.
func (w *World) LinkShared(l Link, pairs ...[2]netip.AddrPort) {
	s := &linkState{Link: l, own: true}
	for _, p := range pairs {
		w.links[direction{p[0], p[1]}] = s
	}
}

func (w *World) linkState(from, to netip.AddrPort) *linkState {
	d := direction{from, to}
	s := w.links[d]
	if s == nil {
		if s = w.shared[to]; s == nil {
			s = &linkState{Link: w.link}
		}
		w.links[d] = s
	}
	return s
}

// LinkStats returns what a direction has carried and thrown away.
func (w *World) LinkStats(from, to netip.AddrPort) LinkStats { return w.linkState(from, to).stats }

// Backlog returns how long what waits at a direction's rate will take: what a datagram sent now is delayed by.
func (w *World) Backlog(from, to netip.AddrPort) time.Duration {
	return max(w.linkState(from, to).busyUntil.Sub(w.now), 0)
}

// After calls f once d of virtual time has passed.
func (w *World) After(d time.Duration, f func()) { w.at(w.now.Add(d), f) }

func (w *World) at(t time.Time, f func()) *event {
	e := &event{do: f}
	w.queue.push(t, e)
	return e
}

// enter and leave frame what a connection and its application do. Reading the clock takes its time too: who is inside stays there
// from one call of the connection to the next.

func (w *World) enter() {
	if w.Clock != nil && !w.inside {
		w.inside, w.entered = true, w.Clock()
	}
}

func (w *World) leave() {
	if w.inside {
		w.inside = false
		w.Spent += w.Clock() - w.entered
	}
}

// fail ends the run with an error; the first one counts.
func (w *World) fail(format string, args ...any) {
	if w.err == nil {
		w.err = fmt.Errorf("simnet: at %v: "+format, append([]any{w.now.Sub(beginning)}, args...)...)
	}
}

// ErrStuck is what [World.Run] wraps when virtual time ran out before every host came to rest.
var ErrStuck = errors.New("simnet: hosts are not at rest")

// Run lets time pass until every host is at rest with no connection left, an invariant is broken, or limit of virtual
// time has passed.
func (w *World) Run(limit time.Duration) error {
	end := w.now.Add(limit)
	for w.err == nil && !w.atRest() {
		if !w.goesOn(end) {
			what := ""
			if w.Stalled != nil {
				what = ": " + w.Stalled()
			}
			return fmt.Errorf("%w after %v%s", ErrStuck, limit, what)
		}
		w.step()
	}
	return w.err
}

// RunFor lets d of virtual time pass.
func (w *World) RunFor(d time.Duration) error {
	end := w.now.Add(d)
	for w.err == nil && w.goesOn(end) {
		w.step()
	}
	w.now = end
	return w.err
}

// RunUntil lets time pass until done reports true, at most limit.
func (w *World) RunUntil(limit time.Duration, done func() bool) error {
	end := w.now.Add(limit)
	for w.err == nil && !done() {
		if !w.goesOn(end) {
			return fmt.Errorf("%w: condition not met after %v", ErrStuck, limit)
		}
		w.step()
	}
	return w.err
}

// goesOn reports whether anything happens until end.
func (w *World) goesOn(end time.Time) bool {
	e, at := w.queue.next()
	return e != nil && !at.After(end)
}

func (w *World) step() {
	e, at := w.queue.next()
	w.queue.pop()
	if at.After(w.now) {
		w.now = at
	}
	switch {
	case e.do != nil:
		e.do()
	case e.arrives:
		if w.Observer != nil {
			w.Observer.arrived(w, &e.arrival)
		}
		w.arrive(e)
	}
}

func (w *World) atRest() bool {
	for _, h := range w.hosts {
		if !h.idle() {
			return false
		}
	}
	return true
}
