package recovery

import (
	"github.com/dunlin-quic/dunlin/internal/congestion"
	"github.com/dunlin-quic/dunlin/internal/monotime"
	"github.com/dunlin-quic/dunlin/internal/wire"
)

// newlyAcked sums up the packets that an ACK frame newly acknowledged.
type newlyAcked struct {
	any       bool
	eliciting bool
	bytes     int           // in flight on the current path
	sent      monotime.Time // when the newest of these was sent
	pn        uint64        // of the newest
	ect0      uint64        // of these, sent with ECT(0)
	largest   *sentPacket   // the packet of the frame's largest number, if newly acknowledged and on the current path
}

// OnAck processes an ACK frame in a packet of space that the socket had at received. Frames become known as
// acknowledged or lost to h before it returns. What it costs depends on the packets newly acknowledged, not on how many
// are in flight or how often the peer repeats itself.
func (r *Recovery) OnAck(now, received monotime.Time, space Space, ack *wire.AckFrame, h Handler) error {
	s := r.space(space)
	largest := ack.Largest()
	if largest >= s.next || space == AppData && r.skip.caught(ack.Ranges) {
		return ErrAckOfUnsent
	}
	raised := !s.anyAcked || largest > s.largestAcked
	if raised {
		s.largestAcked, s.anyAcked = largest, true
	}

	priorInFlight := r.inFlight
	var n newlyAcked
	known := 0 // ranges that reach above what is settled and forgotten
	for known < len(ack.Ranges) && ack.Ranges[known].Largest >= s.base {
		known++
	}
	for i := known - 1; i >= 0; i-- {
		r.ackRange(now, space, max(ack.Ranges[i].Smallest, s.base), ack.Ranges[i].Largest, largest, &n, h)
	}
	if !n.any {
		return nil
	}

	r.peerValidated = r.peerValidated || space == Handshake
	congestionAck := congestion.Ack{Now: now, Sent: n.sent, Bytes: n.bytes, InFlight: priorInFlight}
	if n.largest != nil && n.eliciting {
		sample := received.Sub(n.largest.sent)
		// RFC 9002, Section 5.3: acknowledgments of Initial packets are not delayed by the peer.
		delay := ack.DelayDuration(r.ackDelayExp)
		if space == Initial {
			delay = 0
		}
		r.rtt.update(now, sample, delay, r.maxAckDelay, r.confirmed)
		congestionAck.RTT = r.rtt.latest
	}
	if raised && r.ecn.onAck(space, ack, n.ect0) && n.largest != nil {
		if r.cc.OnCongestion(now, n.largest.sent) {
			r.losses.begin(false)
		}
		if r.sampling != nil {
			r.sampling.OnMarked(now)
		}
	}
	var sample congestion.Sample
	var snapshot snapshot
	if r.sampling != nil && n.bytes > 0 {
		snapshot = *s.snapshots.at(n.pn)
		sample = r.sampling.onAck(received, n.bytes, s.at(n.pn), snapshot, r.rtt.min)
	}
	r.detectLost(now, space, h)

	if n.bytes > 0 {
		congestionAck.InFlightNow, congestionAck.SentBytes = r.inFlight, r.sentBytes
		congestionAck.SRTT, congestionAck.MinRTT = r.rtt.smoothed, r.rtt.min
		congestionAck.AppLimited = r.appLimited(n.sent, priorInFlight)
		if r.sampling != nil {
			sample.Lost = int(uint32(r.sampling.lost) - snapshot.lost)
			sample.InFlight = r.inFlight
			sample.WindowFull = r.windowFull >= n.sent
			r.sampling.OnSample(sample)
		}
		r.cc.OnAck(congestionAck)
	}
	r.setPacingRate()
	// RFC 9002, Section 6.2.1: not while the server may still be validating the client's address.
	if !r.client || r.peerValidated {
		r.ptoCount = 0
	}
	s.probes = 0
	r.arm(now)
	return nil
}

// appLimited reports whether the window was not fully used while the packets up to the one sent at sent were in flight.
// In slow start half of it is enough: the window is then about to be twice what was in use a round trip ago.
func (r *Recovery) appLimited(sent monotime.Time, inFlight int) bool {
	if r.windowFull != 0 && r.windowFull >= sent {
		return false
	}
	return !r.cc.InSlowStart() || 2*inFlight < r.cc.Window()
}

// ackRange acknowledges the packets numbered lo to hi, both held by the ring. Runs that were acknowledged before are
// jumped over: each packet passed gets a jump to the end of the range, so that no later ACK walks the same way.
func (r *Recovery) ackRange(now monotime.Time, space Space, lo, hi, largest uint64, n *newlyAcked, h Handler) {
	s := r.space(space)
	for pn := lo; pn <= hi; {
		p := s.at(pn)
		end := uint32(hi + 1 - pn)
		if p.state == acked || p.state == skipped {
			step := p.jump
			p.jump = max(step, end)
			pn += uint64(step)
			continue
		}
		if p.flags&InFlight != 0 {
			r.counters.BytesAcked += uint64(p.size)
		}
		if r.traced {
			h.(Tracer).PacketAcked(space, pn)
		}
		if p.state == outstanding {
			r.settle(space, pn, p)
			n.any = true
			if p.flags&AckEliciting != 0 {
				n.eliciting = true
			}
			if r.onPath(space, pn, p) {
				r.large.onAcked(p)
				if p.flags&InFlight != 0 {
					n.bytes += int(p.size)
					n.sent, n.pn = p.sent, pn
				}
				if p.flags&ECT0 != 0 {
					n.ect0++
				}
				if pn == largest {
					n.largest = p
				}
			}
		} else {
			if r.sampling != nil && p.flags&InFlight != 0 && r.onPath(space, pn, p) {
				r.sampling.delivered += uint64(p.size)
			}
			r.onLateAck(now, s, pn, p)
		}
		p.state = acked
		p.jump = end
		if p.flags&MTUProbe != 0 && r.onPath(space, pn, p) {
			h.MTUProbeAcked(int(p.size))
		}
		for i := range p.count {
			h.FrameAcked(space, s.frame(p, i))
		}
		pn++
	}
}

// onPath reports whether the packet went out on the path that is now in use.
func (r *Recovery) onPath(space Space, pn uint64, p *sentPacket) bool {
	return p.flags&OffPath == 0 && pn >= r.pathStart[space]
}

// settle takes an outstanding packet out of all counts, before its state changes.
func (r *Recovery) settle(space Space, pn uint64, p *sentPacket) {
	if p.flags&AckEliciting != 0 {
		r.space(space).eliciting--
	}
	if p.flags&InFlight != 0 && r.onPath(space, pn, p) {
		r.inFlight -= int(p.size)
		r.space(space).inFlight -= int(p.size)
	}
}
