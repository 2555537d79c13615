package simnet

import (
	"encoding/binary"
	"hash/crc32"
	"net/netip"
	"time"

	"github.com/dunlin-quic/dunlin/quic"
)

// Link says how datagrams travel in one direction. The zero Link carries everything at once.
type Link struct {
	Delay  time.Duration // one way
	Jitter time.Duration // up to so much more, evenly distributed; does not reorder
	Rate   float64       // bit/s, counting UDP payload and the headers of UDP and IP; 0 is without limit
	Queue  int           // datagrams that wait for the rate before more are dropped; 0 is without limit

	Loss      float64 // probability that a datagram is lost
	BurstLoss int     // every loss takes so many datagrams in a row; 0 counts as 1
	// MaxBurst bounds how many datagrams in a row are lost or corrupted, so that no run is unlucky without end; 0 is
	// without bound.
	MaxBurst  int
	Duplicate float64 // probability that a datagram arrives twice
	Corrupt   float64 // probability that a byte of a datagram is changed
	Reorder   float64 // probability that a datagram is held back by ReorderBy
	ReorderBy time.Duration

	// Drop names datagrams that are lost, by how many were sent before them and counting themselves: the first is 1.
	Drop func(n uint64) bool

	MTU   int  // largest UDP payload, bytes; larger ones vanish; 0 is without limit
	Down  bool // nothing passes
	Mark  bool // a full queue marks ECT datagrams with CE instead of dropping them, from half of its length on
	Clear bool // ECN marks are cleared on the way
}

// LinkStats counts datagrams.
type LinkStats struct {
	Sent, Lost, QueueDrops, TooLarge, Corrupted, Duplicated, Reordered, Marked uint64
	Bytes                                                                      uint64
}

type linkState struct {
	Link
	own       bool
	stats     LinkStats
	busyUntil time.Time   // when the rate has served what is queued
	queue     []time.Time // when what is queued will have departed
	lastAt    time.Time   // the latest arrival so far: jitter does not reorder
	burst     int         // losses that are still owed
	unlucky   int         // losses and corruptions in a row
}

// ipOverhead is what the rate counts on top of the UDP payload: the headers of UDP and IP.
func ipOverhead(a netip.AddrPort) int {
	if a.Addr().Is4() {
		return 8 + 20
	}
	return 8 + 40
}

// send puts one datagram on its way. It copies data.
func (w *World) send(from, to netip.AddrPort, ecn quic.ECN, data []byte) {
	if outside, ok := w.nat[from]; ok {
		from = outside
	}
	w.stamp = binary.BigEndian.AppendUint64(w.stamp[:0], uint64(w.now.UnixNano()))
	w.digest = crc32.Update(crc32.Update(w.digest, castagnoli, w.stamp), castagnoli, data)
	if w.Trace != nil {
		w.Trace(w.now, from, to, data)
	}
	if w.Observer != nil {
		w.Observer.sent(w, from, to, ecn, data)
	}
	l := w.linkState(from, to)
	l.stats.Sent++
	l.stats.Bytes += uint64(len(data))
	// Chance is drawn whether or not it matters, so that one knob does not shift the others' luck.
	lost, corrupt := w.rng.Float64() < l.Loss, w.rng.Float64() < l.Corrupt
	dup, reorder := w.rng.Float64() < l.Duplicate, w.rng.Float64() < l.Reorder
	jitter, where, how := w.rng.Float64(), w.rng.IntN(max(len(data), 1)), byte(1+w.rng.IntN(255))
	switch {
	case l.Down, l.Drop != nil && l.Drop(l.stats.Sent):
		l.stats.Lost++
		return
	case l.MTU > 0 && len(data) > l.MTU:
		l.stats.TooLarge++
		return
	}
	spared := l.MaxBurst > 0 && l.unlucky >= l.MaxBurst
	if spared {
		lost, corrupt, l.burst = false, false, 0
	}
	if lost && l.burst == 0 {
		l.burst = max(l.BurstLoss, 1)
	}
	if l.burst > 0 {
		l.burst--
		l.unlucky++
		l.stats.Lost++
		return
	}
	departs := w.now
	if l.Rate > 0 {
		perDatagram := time.Duration(float64(len(data)+ipOverhead(to)) * 8 / l.Rate * float64(time.Second))
		if l.busyUntil.Before(w.now) {
			l.busyUntil = w.now
		}
		for len(l.queue) > 0 && !l.queue[0].After(w.now) {
			l.queue = l.queue[1:]
		}
		waiting := len(l.queue)
		if l.Queue > 0 && waiting >= l.Queue {
			l.stats.QueueDrops++
			return
		}
		if l.Mark && l.Queue > 0 && waiting >= l.Queue/2 && (ecn == quic.ECT0 || ecn == quic.ECT1) {
			ecn = quic.CE
			l.stats.Marked++
		}
		l.busyUntil = l.busyUntil.Add(perDatagram)
		departs = l.busyUntil
		l.queue = append(l.queue, departs)
	}
	if l.Clear {
		ecn = quic.NotECT
	}
	arrives := departs.Add(l.Delay + time.Duration(jitter*float64(l.Jitter)))
	if reorder {
		l.stats.Reordered++
		arrives = arrives.Add(l.ReorderBy)
	} else {
		if arrives.Before(l.lastAt) {
			arrives = l.lastAt
		}
		l.lastAt = arrives
	}
	if corrupt = corrupt && len(data) > 0; corrupt {
		l.unlucky++
		l.stats.Corrupted++
	} else {
		l.unlucky = 0
	}
	deliver := func(at time.Time) {
		copied := w.deliver(from, to, ecn, data, at)
		if corrupt {
			copied[where] ^= how
		}
	}
	deliver(arrives)
	if dup {
		l.stats.Duplicated++
		deliver(arrives.Add(time.Duration(jitter * float64(time.Millisecond))))
	}
}

// arrival is one datagram, or a train of them of one size, that reaches a host.
type arrival struct {
	from, to netip.AddrPort
	ecn      quic.ECN
	data     []byte
	segment  int // size of every datagram in data but the last
}

// maxTrain is how many bytes the kernel coalesces.
const maxTrain = 65507

// deliver has a datagram arrive, and returns the copy of it that will. Copies go into memory of earlier ones, so that a
// simulation makes no garbage, and costs the same for a little that is in flight and for much.
func (w *World) deliver(from, to netip.AddrPort, ecn quic.ECN, data []byte, at time.Time) []byte {
	var e *event
	if n := len(w.spare); n > 0 {
		e, w.spare = w.spare[n-1], w.spare[:n-1]
	} else {
		e = &event{arrives: true}
	}
	e.arrival = arrival{from, to, ecn, append(e.arrival.data[:0], data...), len(data)}
	w.queue.push(at, e)
	return e.arrival.data
}

// arrive hands a datagram, with those that arrive behind it at the same instant, to its host.
func (w *World) arrive(e *event) {
	a := e.arrival
	for w.Coalesce {
		other, at := w.queue.next()
		if other == nil || !at.Equal(w.now) || !other.arrives || !a.joins(&other.arrival) {
			break
		}
		if len(a.data) == a.segment {
			a.data = append(w.train[:0], a.data...)
		}
		a.data = append(a.data, other.arrival.data...)
		w.train = a.data
		w.queue.pop()
		w.spare = append(w.spare, other)
	}
	if h := w.hosts[a.to]; h != nil {
		in := quic.Inbound{Path: quic.Path{Local: a.to, Remote: a.from}, ECN: a.ecn, Received: w.now, Data: a.data}
		if a.segment < len(a.data) {
			in.SegmentSize = a.segment
		}
		h.receive(in)
	}
	w.spare = append(w.spare, e)
}

// joins reports whether the datagram b can be appended to the train.
func (a *arrival) joins(b *arrival) bool {
	return b.from == a.from && b.to == a.to && b.ecn == a.ecn && a.segment > 0 && len(a.data)%a.segment == 0 &&
		len(b.data) <= a.segment && len(b.data) > 0 && len(a.data)+len(b.data) <= maxTrain
}
