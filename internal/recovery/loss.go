package recovery

import (
	"time"

	"github.com/dunlin-quic/dunlin/internal/monotime"
)

// detectLost declares packets lost that were sent long enough, in packets or in time, before one that was acknowledged
// (RFC 9002, Section 6.1). It passes each packet once: what lies below the oldest outstanding one is settled, and the
// first packet that is not lost yet was sent before all that follow.
func (r *Recovery) detectLost(now monotime.Time, space Space, h Handler) {
	s := r.space(space)
	s.lossTime = 0
	r.timeoutStale = true
	if !s.anyAcked {
		return
	}
	delay := r.reorder.delay(&r.rtt)
	persistent := false
	for s.oldest <= s.largestAcked {
		pn := s.oldest
		p := s.at(pn)
		if p.state != outstanding {
			if p.state == acked {
				s.persistent.start = 0
				s.oldest += uint64(p.jump)
			} else {
				s.oldest++
			}
			continue
		}
		if due := p.sent.Add(delay); due > now && s.largestAcked-pn < r.reorder.packets {
			s.lossTime = due
			break
		}
		r.settle(space, pn, p)
		p.state = lost
		p.epoch = 0
		s.oldest++
		if r.traced && p.flags&(InFlight|MTUProbe) != 0 {
			h.(Tracer).PacketLost(space, pn, p.flags, s.largestAcked-pn < r.reorder.packets)
		}
		switch {
		case p.flags&MTUProbe != 0:
			if r.onPath(space, pn, p) {
				h.MTUProbeLost(int(p.size))
			}
		case p.flags&InFlight != 0:
			r.counters.PacketsLost++
			r.counters.BytesLost += uint64(p.size)
			if !r.onPath(space, pn, p) {
				break
			}
			r.counters.PathPacketsLost++
			r.counters.PathBytesLost += uint64(p.size)
			if r.cc.OnCongestion(now, p.sent) {
				r.losses.begin(true)
			}
			if r.sampling != nil {
				r.onSampledLoss(now, pn, p, *s.snapshots.at(pn))
			}
			r.large.onLost(now, p)
			r.losses.lost++
			p.epoch = r.losses.epoch
			if p.flags&ECT0 != 0 {
				r.ecn.onLost()
			}
			if p.flags&AckEliciting != 0 && s.persistent.onLost(p.sent, r.persistentDuration(), r.rtt.first) {
				persistent = true
			}
		}
		s.tellLost(space, p, h)
	}
	if persistent {
		r.cc.OnPersistentCongestion(now)
		// RFC 9002, Section 5.2: the way may have become a longer one.
		r.rtt.min = r.rtt.latest
		r.losses.begin(false)
	}
	s.forgetOld(now.Add(-2 * r.rtt.pto()))
}

// tellLost tells h the frames of p, unless a probe timeout already did.
func (s *sendSpace) tellLost(space Space, p *sentPacket, h Handler) {
	if p.flags&requeued != 0 {
		return
	}
	p.flags |= requeued
	for i := range p.count {
		h.FrameLost(space, s.frame(p, i))
	}
}

// forgetOld forgets packets at the lower end of the ring: acknowledged ones, and lost ones sent before the given time.
func (s *sendSpace) forgetOld(before monotime.Time) {
	for s.base < s.oldest {
		if p := s.at(s.base); p.state == lost && p.sent > before {
			return
		}
		s.pop()
	}
}

// forgetOldest makes room at the bound of the ring. The packet's frames are told neither acknowledged nor lost: the
// peer is one that has let 100,000 packets go by without acknowledging this one or a later one.
func (r *Recovery) forgetOldest(space Space) {
	s := r.space(space)
	if p := s.at(s.oldest); p.state == outstanding {
		r.settle(space, s.oldest, p)
		p.state = lost
		p.epoch = 0
	}
	s.oldest++
	r.timeoutStale = true
}

// lossPeriod counts the losses of a recovery period, to take it back if all of them turn out to be late packets.
type lossPeriod struct {
	epoch          uint8 // 1 to 255; 0 is no period's
	lost, spurious int
	undoable       bool
}

// begin starts a new period. Only one that a loss began can be taken back.
func (l *lossPeriod) begin(undoable bool) {
	*l = lossPeriod{epoch: max(l.epoch+1, 1), undoable: undoable}
}

// onLateAck processes the acknowledgment of a packet that was declared lost.
func (r *Recovery) onLateAck(now monotime.Time, s *sendSpace, pn uint64, p *sentPacket) {
	s.persistent.start = 0
	if p.epoch == 0 {
		return
	}
	r.counters.SpuriousLosses++
	r.reorder.onSpurious(s.largestAcked-pn, now.Sub(p.sent), &r.rtt)
	if l := &r.losses; p.epoch == l.epoch && l.undoable {
		l.spurious++
		if l.spurious == l.lost {
			r.cc.OnSpurious()
			l.undoable = false
		}
	}
}

// reorderTolerance is how far a packet may fall behind later ones before it counts as lost. It starts at RFC 9002's
// recommendations and grows where losses turn out spurious (Section 6.1.1).
type reorderTolerance struct {
	packets uint64
	eighths time.Duration // of an RTT, beyond one RTT
}

const (
	packetThreshold    = 3 // RFC 9002, Section 6.1.1: kPacketThreshold
	maxPacketThreshold = 64
	timeThreshold      = 1 // RFC 9002, Section 6.1.2: kTimeThreshold is 9/8
	maxTimeThreshold   = 8
)

func (t *reorderTolerance) init() {
	*t = reorderTolerance{packets: packetThreshold, eighths: timeThreshold}
}

// delay returns how long after it was sent a packet is lost by time.
func (t *reorderTolerance) delay(e *rtt) time.Duration {
	rtt := max(e.smoothed, e.latest)
	return max(rtt+rtt/8*t.eighths, granularity)
}

// onSpurious learns of a packet that arrived when distance later ones had, and was acknowledged at age.
func (t *reorderTolerance) onSpurious(distance uint64, age time.Duration, e *rtt) {
	t.packets = min(max(t.packets, distance+1), maxPacketThreshold)
	if age > t.delay(e) {
		t.eighths = min(t.eighths+1, maxTimeThreshold)
	}
}

// persistentCongestion is the current run of lost packets, none acknowledged between them (RFC 9002, Section 7.6).
type persistentCongestion struct {
	start monotime.Time // when the first ack-eliciting packet of the run was sent; 0 if there is no run
}

// onLost tells of the next lost packet and reports whether the run lasts longer than limit. Packets sent before the
// first RTT sample do not count.
func (c *persistentCongestion) onLost(sent monotime.Time, limit time.Duration, firstRTT monotime.Time) bool {
	if firstRTT == 0 || sent <= firstRTT {
		return false
	}
	if c.start == 0 {
		c.start = sent
	}
	if sent.Sub(c.start) <= limit {
		return false
	}
	c.start = 0
	return true
}

// persistentDuration returns RFC 9002, Section 7.6.1's, which includes the peer's max_ack_delay in every space.
func (r *Recovery) persistentDuration() time.Duration { return 3 * r.PTO(AppData) }

// minDatagram is what every path carries (RFC 9000, Section 14).
const minDatagram = 1200

// blackHoleRounds is in how many round trips all large packets must be lost before the path counts as too narrow for
// them.
const blackHoleRounds = 3

// largeLosses watches whether the path has ceased to carry packets that are larger than the minimum, while small ones
// get through (RFC 8899, Section 4.3).
type largeLosses struct {
	rounds int // round trips with losses of large packets, since one arrived
	latest monotime.Time
}

func (l *largeLosses) onLost(now monotime.Time, p *sentPacket) {
	if p.size > minDatagram && p.sent > l.latest {
		l.rounds++
		l.latest = now
	}
}

func (l *largeLosses) onAcked(p *sentPacket) {
	if p.size > minDatagram {
		l.rounds = 0
	}
}

// BlackHole reports whether packets of more than 1,200 bytes seem to vanish on the path. SetMaxDatagram begins the
// watch anew.
func (r *Recovery) BlackHole() bool { return r.large.rounds >= blackHoleRounds }
