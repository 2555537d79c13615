package recovery

import (
	"time"

	"github.com/dunlin-quic/dunlin/internal/congestion"
	"github.com/dunlin-quic/dunlin/internal/monotime"
)

// delivery measures how fast the current path delivers (draft-ietf-ccwg-bbr, Section 4.1), for a controller that wants
// to know.
type delivery struct {
	delivered, lost uint64        // bytes on this path, in total
	at              monotime.Time // when delivered last grew
	firstSent       monotime.Time // when the newest of the packets that were delivered then was sent
	limitedUntil    uint64        // until delivered exceeds it, packets are sent by a limited application; 0 if they are not
	rate            float64       // of the latest sample that gave one, bytes per second
	dry             monotime.Time // from then on there was time to send, but nothing to be sent; 0 if there was
}

// snapshot is the state of delivery when a packet was sent: 20 bytes. Volumes are modulo 2^32, of which differences are
// taken; the times lie so many ticks before the packet was sent.
type snapshot struct {
	delivered, lost, inFlight uint32
	deliveredTicks            uint32
	firstSentTicks            uint32
}

// snapshots are those of the packets in a sentRing, in a ring of the same length.
type snapshots struct {
	ring     []snapshot
	building snapshot // of the packet being built
}

func (s *snapshots) at(pn uint64) *snapshot { return &s.ring[pn&uint64(len(s.ring)-1)] }

// move moves the snapshots of the packets numbered base up to, not including, next to a ring of n.
func (s *snapshots) move(base, next uint64, n int) {
	ring := make([]snapshot, n)
	for pn := base; pn < next; pn++ {
		ring[pn&uint64(n-1)] = *s.at(pn)
	}
	s.ring = ring
}

// sampling is what Recovery keeps for a controller that wants delivery rates.
type sampling struct {
	congestion.Sampler
	delivery
}

// tick is the unit of a snapshot's times. Differences of more than four minutes are as good as none.
const tick = 64 * time.Nanosecond

func ticks(d time.Duration) uint32 { return uint32(min(max(d/tick, 0), 1<<32-1)) }

// onSent takes the snapshot of a packet that is being sent, with inFlight bytes in flight before it. It reports whether
// the application limits what is sent, and whether the path begins again after it was idle because of that.
func (d *delivery) onSent(now monotime.Time, inFlight, size int) (s snapshot, limited, restart bool) {
	if d.dry != 0 && now > d.dry {
		d.limitedUntil = max(d.delivered+uint64(inFlight), 1)
	}
	d.dry = 0
	limited = d.limitedUntil != 0
	if inFlight == 0 {
		restart = limited
		d.at, d.firstSent = now, now
	}
	return snapshot{
		delivered:      uint32(d.delivered),
		lost:           uint32(d.lost),
		inFlight:       uint32(inFlight + size),
		deliveredTicks: ticks(now.Sub(d.at)),
		firstSentTicks: ticks(now.Sub(d.firstSent)),
	}, limited, restart
}

// onAck learns that acked bytes arrived, of which the newest was in the packet p with the snapshot s, and returns what
// that tells, but for the losses.
func (d *delivery) onAck(at monotime.Time, acked int, p *sentPacket, s snapshot, minRTT time.Duration) congestion.Sample {
	d.delivered += uint64(acked)
	d.at = max(d.at, at)
	d.firstSent = p.sent
	since := uint32(d.delivered) - s.delivered
	sample := congestion.Sample{
		Delivered:    d.delivered,
		Prior:        d.delivered - uint64(since),
		SentInFlight: int(s.inFlight),
		AppLimited:   p.flags&appLimited != 0,
	}
	// The longer of the two: neither a burst of packets nor one of ACKs shall look fast.
	interval := max(time.Duration(s.firstSentTicks)*tick, d.at.Sub(p.sent)+time.Duration(s.deliveredTicks)*tick)
	if interval >= minRTT && interval > 0 {
		sample.Rate = float64(since) / interval.Seconds()
		d.rate = sample.Rate
	}
	if d.delivered > d.limitedUntil {
		d.limitedUntil = 0
	}
	return sample
}

// onSampledLoss tells the controller of the loss of p.
func (r *Recovery) onSampledLoss(now monotime.Time, pn uint64, p *sentPacket, s snapshot) {
	r.sampling.lost += uint64(p.size)
	r.sampling.OnLost(congestion.Lost{
		Now:          now,
		Size:         int(p.size),
		PN:           pn,
		Delivered:    r.sampling.delivered,
		Lost:         int(uint32(r.sampling.lost) - s.lost),
		SentInFlight: int(s.inFlight),
		AppLimited:   p.flags&appLimited != 0,
	})
}

// Samples reports whether the controller wants delivery rates, for which it must hear of [Recovery.RanDry].
func (r *Recovery) Samples() bool { return r.sampling != nil }

// RanDry tells that there is nothing left to send at now. If that is so until more could be sent, what follows says
// nothing about the path.
func (r *Recovery) RanDry(now monotime.Time) {
	if r.sampling.dry == 0 && r.inFlight+r.maxDatagram <= r.cc.Window() {
		r.sampling.dry = r.pacer.Release(now)
	}
}

// useController makes c the controller of the current path.
func (r *Recovery) useController(c congestion.Controller) {
	r.cc = c
	if sampler, ok := c.(congestion.Sampler); ok {
		r.useSampling(&sampling{Sampler: sampler})
	} else {
		r.useSampling(nil)
	}
}

// useSampling takes snapshots for s from now on, or none if it is nil.
func (r *Recovery) useSampling(s *sampling) {
	r.sampling = s
	for i := r.first(); i < NumSpaces; i++ {
		s := r.space(i)
		s.snapshots = nil
		if r.sampling != nil {
			s.snapshots = &snapshots{ring: make([]snapshot, len(s.packets))}
		}
	}
}
