package engine

import (
	"fmt"
	"net/netip"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/dunlin-quic/dunlin/internal/wire"
	"github.com/dunlin-quic/dunlin/metrics"
	"github.com/dunlin-quic/dunlin/quic"
	"github.com/dunlin-quic/dunlin/udp"
)

// readBatch is how many reads at most a router takes from the system in one call. Each has a buffer of 64 KiB, which holds
// the datagrams of one sender if the system coalesces them. A router begins with one, and doubles their number when a read
// fills them all: the socket of a client with one connection hardly ever does.
const readBatch = 8

// router owns the receive half of one socket. It finds the connection of every datagram, leaves datagrams for one connection
// in its mailbox together, and wakes it once per read. It never waits for a worker.
type router struct {
	e     *Endpoint
	sock  udp.Socket
	local netip.AddrPort
	demux atomic.Pointer[frontDoor]

	// Owned by run.
	msgs         []udp.Message
	packets      []*packet // whose buffers msgs lends to the socket
	touched      []*worker // got mail by the read in progress, and are still to be woken
	reply        [quic.MinReplyBuffer]byte
	resets       limiter
	negotiations limiter
	turn         turn
	solo         solo
	tasking      atomic.Pointer[party] // which runs tasks, or did last
}

// frontDoor decides about datagrams of no connection, and for whom.
type frontDoor struct {
	demux *quic.Demux
	l     *Listener // nil if the endpoint only dials
}

func newRouter(e *Endpoint, sock udp.Socket) *router {
	r := &router{e: e, sock: sock, local: sock.LocalAddr()}
	e.observe(sock)
	r.solo.init(sock)
	r.grow()
	r.turn.init(r.watch)
	return r
}

// has reports whether the socket receives what is sent to local.
func (r *router) has(local netip.AddrPort) bool {
	if r.local == local {
		return true
	}
	a := r.local.Addr()
	return r.local.Port() == local.Port() && a.IsUnspecified() && (a.Is6() || local.Addr().Is4())
}

// grow doubles the number of buffers.
func (r *router) grow() {
	n := len(r.msgs)
	more := min(max(1, n), readBatch-n)
	r.msgs = append(r.msgs, make([]udp.Message, more)...)
	r.packets = append(r.packets, make([]*packet, more)...)
	for i := range more {
		r.lend(n + i)
	}
}

// lend gives the socket a new buffer for the i-th message.
func (r *router) lend(i int) {
	r.packets[i] = newPacket(packetSizes[largestPacket])
	r.msgs[i].Buf = r.packets[i].store
}

// run reads until the socket is closed, or another goroutine has taken over. If the goroutine that was the router before is
// stuck in a task, run first goes on in its place.
func (r *router) run(p, stuck *party) {
	if stuck != nil {
		p.succeed(stuck)
		if !p.step(stuck.worker, (*worker).steps) {
			return
		}
	}
	for p.wakeTouched() {
		n, err := r.read()
		if err != nil {
			r.solo.end(r)
			for i, p := range r.packets {
				p.store = r.msgs[i].Buf
				p.release()
			}
			r.e.routerStopped(r, err)
			r.e.reading.Done()
			return
		}
		for i := range n {
			if m := &r.msgs[i]; m.Err != nil {
				r.refused(m)
			} else {
				r.sort(i)
			}
		}
		if n == len(r.msgs) && n < readBatch {
			r.grow()
		}
	}
}

// wakeTouched lets the workers have at what they were given. It runs their steps itself: waking another goroutine up for it
// would take longer than most steps. It returns false if one took so long that another goroutine is the router now.
func (p *party) wakeTouched() bool {
	r := p.router
	for n := len(r.touched); n > 0; n = len(r.touched) {
		w := r.touched[n-1]
		r.touched[n-1] = nil
		r.touched = r.touched[:n-1]
		if w.slow.Load() > 0 {
			w.wake()
			continue
		}
		if !p.step(w, (*worker).runHere) {
			return false
		}
	}
	return true
}

// step runs steps of w by one of its methods. It returns false if another goroutine is the router now.
func (p *party) step(w *worker, run func(*worker, *party)) bool {
	t := &p.router.turn
	t.move(&p.turn, stepping) // nobody else moves it from reading
	t.watch()
	run(w, p)
	return t.move(&p.turn, reading)
}

// sort leaves the datagrams of the i-th message with their workers. Datagrams that the system coalesced come from one
// sender, but may belong to several connections.
func (r *router) sort(i int) {
	m := &r.msgs[i]
	data := m.Buf[:m.N]
	size := m.SegmentSize
	if size <= 0 {
		size = max(len(data), 1)
	}
	door := r.demux.Load()
	var (
		w     *worker           // whose datagrams data[start:at] are
		id    quic.ConnectionID // of the last one
		start int
	)
	for at := 0; at < len(data); at += size {
		d := data[at:min(at+size, len(data))]
		if r.e.cfg.NonQUIC != nil && r.takesOther(m, d) {
			r.deliver(w, i, start, at)
			w = nil
			continue
		}
		next := w
		if n, ok := door.demux.DCID(d); !ok || w == nil || n != id {
			next, id = r.find(door, m, d, n, ok), n
		}
		if next != w {
			r.deliver(w, i, start, at)
			w, start = next, at
		}
	}
	r.deliver(w, i, start, len(data))
}

// find returns the worker of datagram d, whose connection ID is id if known is true; nil if it has none or was dealt with.
func (r *router) find(door *frontDoor, m *udp.Message, d []byte, id quic.ConnectionID, known bool) *worker {
	if known {
		if w := r.e.routes.lookup(&id); w != nil {
			return w
		}
	}
	// RFC 9000, Section 10.3 (MUST 5) and Section 10.3.1 (MUST 1): a stateless reset looks like any packet, but for its
	// last bytes.
	if w := r.e.routes.resets.find(d); w != nil {
		return w
	}
	if r.e.steer(m, d) {
		return nil
	}
	path := quic.Path{Local: m.Local, Remote: m.Remote}
	decision := door.demux.Handle(m.Received, path, d, r.reply[:], door.l != nil && door.l.underLoad())
	switch decision.Kind {
	case quic.Reply:
		if r.mayReply(decision.Reason, m.Received) {
			r.answer(path, r.reply[:decision.Len])
		} else {
			r.e.counters.repliesSuppressed.Add(1)
		}
	case quic.NewAttempt:
		return r.accept(door, path, decision.Accept, m, d)
	}
	r.e.rejected(m.Remote, decision.Reason.String())
	return nil
}

// answer sends what no connection sends.
func (r *router) answer(path quic.Path, b []byte) {
	if err := r.sock.Send(udp.Datagrams{Buf: b, Local: path.Local.Addr(), Remote: path.Remote}); err != nil {
		r.e.counters.sendErrors.Add(1)
	}
}

// deliver leaves the bytes from start to end of the i-th message in w's mailbox.
func (r *router) deliver(w *worker, i, start, end int) {
	if w == nil || start == end {
		return
	}
	m := &r.msgs[i]
	var p *packet
	if n := end - start; start == 0 && end == m.N && n > packetSizes[largestPacket-1] {
		p = r.packets[i]
		p.store = m.Buf // ReadBatch may have changed the order of the buffers
		p.in.Data = m.Buf[:n]
		r.lend(i)
	} else {
		p = newPacket(n)
		p.in.Data = p.store[:copy(p.store, m.Buf[start:end])]
	}
	p.via = r
	p.in.Path = quic.Path{Local: m.Local, Remote: m.Remote}
	p.in.ECN = quic.ECN(m.ECN)
	p.in.Received = m.Received
	p.in.SegmentSize = m.SegmentSize
	if !w.deliver(p) {
		r.e.counters.mailboxDrops.Add(1)
		if m := r.e.cfg.Metrics; m != nil {
			m.PacketsDropped(metrics.MailboxQueue, 1)
		}
		return
	}
	for _, t := range r.touched {
		if t == w {
			return
		}
	}
	r.touched = append(r.touched, w)
}

// refused ends the connection attempt that an ICMP error is the answer to. Everything else about such errors is hearsay
// that a connection must not trust (RFC 9000, Sections 14.2.1 and 21.4): a path that fails shows so by losses. RFC
// 9000, Section 14.2.1 (MUST 1, 3).
func (r *router) refused(m *udp.Message) {
	r.e.counters.icmpErrors.Add(1)
	if m.Err != error(syscall.ECONNREFUSED) {
		return
	}
	// The error quotes our own packet. Nobody who has not seen that can name the connection ID that we made up for it.
	inv, ok := wire.ParseInvariant(m.Buf[:m.N], 0)
	if !ok || !inv.Long || len(inv.SCID) > wire.MaxConnectionIDLen {
		return
	}
	id := wire.NewConnectionID(inv.SCID)
	w := r.e.routes.lookup(&id)
	if w == nil || w.side != quic.Client || w.remote != m.Remote {
		return
	}
	err := fmt.Errorf("engine: no QUIC at %v: %w", m.Remote, m.Err)
	if w.mailbox.ask(func(got *mail) { got.refused = err }) {
		w.wake()
	}
}

// limiter bounds how often something is done: a bucket of tokens that fills with time.
type limiter struct {
	tokens float64
	last   time.Time
}

// RFC 9000, Sections 6.1 and 10.3.3: an endpoint bounds what it sends to whom it does not know. Whoever lost a connection, or
// speaks another version, needs but one answer.
const (
	repliesPerSecond = 1000
	replyBurst       = 200
)

// mayReply bounds stateless resets and Version Negotiation packets. Retry packets are what is left under load.
func (r *router) mayReply(reason quic.DemuxReason, now time.Time) bool {
	switch reason {
	case quic.ReplyStatelessReset:
		return r.resets.allow(now)
	case quic.ReplyVersionNegotiation:
		return r.negotiations.allow(now)
	}
	return true
}

func (l *limiter) allow(now time.Time) bool {
	if l.last.IsZero() {
		l.tokens = replyBurst
	} else {
		l.tokens = min(replyBurst, l.tokens+max(now.Sub(l.last).Seconds(), 0)*repliesPerSecond)
	}
	l.last = now
	if l.tokens < 1 {
		return false
	}
	l.tokens--
	return true
}

func (r *router) demuxCount(reason quic.DemuxReason) uint64 {
	return r.demux.Load().demux.Count(reason)
}
