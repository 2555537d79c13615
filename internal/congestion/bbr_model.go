package congestion

import (
	"math"
	"time"

	"github.com/dunlin-quic/dunlin/internal/monotime"
)

// bbrModel is what BBR believes of the path (draft-ietf-ccwg-bbr, Section 5.5).
type bbrModel struct {
	bw float64 // in use: the lower of maxBW and bwShort
	// bwHigh are the highest delivery rates of the last probing cycle and of this one.
	bwHigh [2]float64
	minRTT time.Duration
	minAt  monotime.Time

	// Round trips are told by packets: one is over when a packet sent after its beginning is acknowledged.
	nextRound  uint64
	round      int
	roundStart bool

	// extraAcked are the highest volumes acknowledged beyond the bandwidth, in two successive spans of round trips.
	extraAcked       [2]float64
	extraAckedRounds int
	aggregationStart monotime.Time
	aggregationAcked float64

	// Packets sent while from limitedFrom up to limitedUntil bytes had been delivered tell no rate: BBR itself kept the
	// flow low.
	limitedFrom, limitedUntil uint64

	fullBW        float64
	fullBWCount   int
	fullBWNow     bool
	fullBWReached bool // the pipe was full once

	// What the current round trip of losses brought.
	bwLatest, inFlightLatest float64
	lossRoundDelivered       uint64
	lossRoundStart           bool
	lossInRound              bool
	marked                   bool // a packet came with CE
	lossEventsInRound        int
	lastLost                 uint64

	inFlightLong           float64 // what the path bore in long terms; infinite until losses said
	bwShort, inFlightShort float64 // bounds that recent losses set; infinite if none
}

func (m *bbrModel) maxBW() float64 { return max(m.bwHigh[0], m.bwHigh[1]) }

func (m *bbrModel) resetShortTerm() { m.bwShort, m.inFlightShort = math.Inf(1), math.Inf(1) }

func (m *bbrModel) resetFullBW(bw float64) {
	m.fullBW, m.fullBWCount, m.fullBWNow = bw, 0, false
}

func (m *bbrModel) resetCongestionSignals() {
	m.lossInRound, m.bwLatest, m.inFlightLatest = false, 0, 0
}

func (b *bbr) startRound() { b.nextRound = b.sample.Delivered }

func (b *bbr) updateLatestSignals() {
	s := &b.sample
	b.lossRoundStart = false
	b.bwLatest = max(b.bwLatest, s.Rate)
	b.inFlightLatest = max(b.inFlightLatest, float64(s.Delivered-s.Prior))
	if s.Prior >= b.lossRoundDelivered {
		b.lossRoundDelivered = s.Delivered
		b.lossRoundStart = true
	}
}

func (b *bbr) advanceLatestSignals() {
	if b.lossRoundStart {
		b.bwLatest = b.sample.Rate
		b.inFlightLatest = float64(b.sample.Delivered - b.sample.Prior)
		b.lossEventsInRound = 0
	}
}

func (b *bbr) updateCongestionSignals() {
	s := &b.sample
	b.roundStart = s.Prior >= b.nextRound
	if b.roundStart {
		b.startRound()
		b.round++
		b.roundsSinceUp++
	}
	if s.Rate >= b.maxBW() || !s.AppLimited {
		b.bwHigh[1] = max(b.bwHigh[1], s.Rate)
	}
	if !b.lossRoundStart {
		return
	}
	if b.lossInRound && !b.state.probing() && (b.marked || b.tooManyLost(b.sample.Lost, b.sample.SentInFlight)) {
		// Section 5.5.10.3: once per round trip, slow down to what was delivered. The draft does so for any loss; where
		// these are few, the rate would creep down until the next probe for nothing.
		b.bwShort = min(b.bwShort, b.maxBW())
		if math.IsInf(b.inFlightShort, 1) {
			b.inFlightShort = b.window
		}
		b.bwShort = max(b.bwLatest, bbrBeta*b.bwShort)
		b.inFlightShort = max(b.inFlightLatest, bbrBeta*b.inFlightShort)
	}
	b.lossInRound, b.marked = false, false
}

// advanceBW lets the rates of the cycle before the last be forgotten.
func (b *bbr) advanceBW() {
	if b.bwHigh[1] > 0 {
		b.bwHigh = [2]float64{b.bwHigh[1], 0}
	}
}

// updateAggregation is Section 5.5.9.
func (b *bbr) updateAggregation(a Ack) {
	if b.roundStart {
		b.extraAckedRounds++
		span := bbrExtraAckedRounds
		if !b.fullBWReached {
			span = 1
		}
		if b.extraAckedRounds >= span {
			b.extraAckedRounds = 0
			b.extraAcked = [2]float64{b.extraAcked[1], 0}
		}
	}
	expected := b.bw * a.Now.Sub(b.aggregationStart).Seconds()
	if b.aggregationAcked <= expected {
		b.aggregationAcked, b.aggregationStart, expected = 0, a.Now, 0
	}
	b.aggregationAcked += float64(a.Bytes)
	b.extraAcked[1] = max(b.extraAcked[1], min(b.aggregationAcked-expected, b.window))
}

// checkFullBW is Section 5.3.1.2: the pipe is full if three round trips brought no more than the ones before.
func (b *bbr) checkFullBW() {
	if b.fullBWNow || !b.roundStart || b.sample.AppLimited {
		return
	}
	if b.sample.Rate >= b.fullBW*bbrFullBWGrowth {
		b.resetFullBW(b.sample.Rate)
		return
	}
	b.fullBWCount++
	b.fullBWNow = b.fullBWCount >= bbrFullBWRounds
	b.fullBWReached = b.fullBWReached || b.fullBWNow
}

// updateMinRTT is Section 5.3.4.3.
func (b *bbr) updateMinRTT(a Ack) {
	b.probeRTTExpired = b.probeRTTMinAt != 0 && a.Now > b.probeRTTMinAt.Add(bbrProbeRTTInterval)
	if a.RTT > 0 && (a.RTT < b.probeRTTMin || b.probeRTTExpired) {
		b.probeRTTMin, b.probeRTTMinAt = a.RTT, a.Now
	}
	if b.probeRTTMin < b.minRTT || a.Now > b.minAt.Add(bbrMinRTTWindow) {
		b.minRTT, b.minAt = b.probeRTTMin, b.probeRTTMinAt
	}
}

func (b *bbr) noteLoss() {
	if !b.lossInRound {
		b.lossRoundDelivered = b.sample.Delivered
	}
	b.lossInRound = true
}

// OnLost is Section 5.5.10.2: if losses exceed what is tolerable while probing, it finds at which volume in flight
// they did.
func (b *bbr) OnLost(l Lost) {
	b.sample.Delivered = l.Delivered
	b.noteLoss()
	if l.PN != b.lastLost+1 {
		b.lossEventsInRound++
	}
	b.lastLost = l.PN
	if !b.probeSample || !b.tooManyLost(l.Lost, l.SentInFlight) {
		return
	}
	before, lostBefore := float64(l.SentInFlight-l.Size), float64(l.Lost-l.Size)
	prefix := max(bbrLossThreshold*before-lostBefore, 0) / (1 - bbrLossThreshold)
	b.inFlightTooHigh(l.Now, before+prefix, l.AppLimited)
}

// OnMarked takes a mark for what too many losses would be. The draft leaves ECN open but for that (Section 3.7).
func (b *bbr) OnMarked(now monotime.Time) {
	b.noteLoss()
	b.marked = true
	switch {
	case !b.fullBWReached:
		b.leaveStartup()
	case b.probeSample:
		b.inFlightTooHigh(now, float64(b.sample.SentInFlight), b.sample.AppLimited)
	}
}

// tooManyLost reports whether losses exceed what is tolerable by more than chance explains. The draft takes the bare
// rate: a single packet of forty is too much then, and on a path that loses 2 % at random every other probe fails. With
// four standard deviations on top that path is used well, and full queues, which lose much more, are found as soon. It is
// four because the question comes with every acknowledgment: of those in a dozen round trips some exceed three.
func (b *bbr) tooManyLost(lost, inFlight int) bool {
	tolerable := float64(inFlight) * bbrLossThreshold
	return float64(lost) > tolerable+bbrLossDeviations*math.Sqrt(tolerable*float64(b.smss))
}

// withHeadroom leaves some of what the path bears to others.
func (b *bbr) withHeadroom() float64 {
	if math.IsInf(b.inFlightLong, 1) {
		return b.inFlightLong
	}
	return max(b.inFlightLong-max(float64(b.smss), bbrHeadroom*b.inFlightLong), b.minPipe())
}

// targetInFlight returns the bandwidth-delay product, or the window if congestion made that less.
func (b *bbr) targetInFlight() float64 { return min(b.bdp(b.bw, 1), b.window) }
