package congestion

import (
	"math"
	"time"

	"github.com/dunlin-quic/dunlin/internal/monotime"
)

// bbrProbe is when and how BBR looks for more bandwidth, and for an empty queue (draft-ietf-ccwg-bbr, Section 5.3).
type bbrProbe struct {
	ackPhase           bbrAckPhase
	drainStart         int  // the round in which Drain began
	probeSample        bool // losses and rates that come in now are those of probing
	prevTooHigh        bool // the last probe lost too much
	prevPrecautionary  bool // it ended where the one before had lost too much
	probeUpAcked       float64
	probeUpAckedPerInc float64 // so many acknowledged bytes let inFlightLong grow by a packet
	probeUpRounds      int
	roundsSinceUp      int
	probeWait          time.Duration
	cycleStart         monotime.Time

	probeRTTMin       time.Duration
	probeRTTMinAt     monotime.Time
	probeRTTExpired   bool
	probeRTTDone      monotime.Time // 0 until little enough is in flight
	probeRTTRoundDone bool
}

// checkStartupDone is Sections 5.3.1.2 and 5.3.1.3.
func (b *bbr) checkStartupDone() {
	if b.state != bbrStartup {
		return
	}
	if !b.fullBWReached && b.lossRoundStart && b.lossEventsInRound >= bbrStartupLossEvents &&
		b.tooManyLost(b.sample.Lost, b.sample.SentInFlight) {
		b.undo.state = bbrStartup
		b.leaveStartup()
	}
	if b.fullBWReached {
		b.state = bbrDrain
		b.drainStart = b.round
	}
}

// leaveStartup notes that congestion shows the pipe to be full.
func (b *bbr) leaveStartup() {
	b.fullBWReached = true
	b.inFlightLong = max(b.bdp(b.maxBW(), 1), b.inFlightLatest)
}

func (b *bbr) checkDrainDone(now monotime.Time) {
	if b.state == bbrDrain &&
		(float64(b.sample.InFlight) <= b.quantize(b.bdp(b.bw, 1)) || b.round > b.drainStart+bbrDrainRounds) {
		b.startDown(now)
	}
}

func (b *bbr) startDown(now monotime.Time) {
	b.resetCongestionSignals()
	b.probeUpAckedPerInc = math.Inf(1)
	// Section 5.3.3.8: chance keeps flows from probing all at once.
	chance := b.rng.Uint64()
	b.roundsSinceUp = int(chance & 1)
	b.probeWait = 2*time.Second + time.Duration(chance>>1)%time.Second
	b.cycleStart = now
	b.ackPhase = bbrAcksProbeStopping
	b.startRound()
	b.state = bbrDown
}

func (b *bbr) startRefill() {
	b.resetShortTerm()
	b.probeUpRounds, b.probeUpAcked = 0, 0
	b.prevPrecautionary = false
	b.ackPhase = bbrAcksRefilling
	b.startRound()
	b.state = bbrRefill
}

func (b *bbr) startUp() {
	b.ackPhase = bbrAcksProbeStarting
	b.startRound()
	b.resetFullBW(b.sample.Rate)
	b.state = bbrUp
	b.raiseLongTermSlope()
}

// updateProbeBW is Section 5.3.3.9.
func (b *bbr) updateProbeBW(a Ack) {
	if !b.fullBWReached || b.adaptLongTerm(a) {
		return
	}
	switch b.state {
	case bbrDown, bbrCruise:
		if a.Now > b.cycleStart.Add(b.probeWait) ||
			float64(b.roundsSinceUp) >= min(b.targetInFlight()/float64(b.smss), bbrMaxRenoRounds) {
			b.startRefill()
			return
		}
		inFlight := float64(b.sample.InFlight)
		if b.state == bbrDown && inFlight <= b.withHeadroom() && inFlight <= b.quantize(b.bdp(b.maxBW(), 1)) {
			b.state = bbrCruise
		}
	case bbrRefill:
		if b.roundStart {
			b.probeSample = true
			b.startUp()
		}
	case bbrUp:
		if b.timeToGoDown() {
			b.prevTooHigh = false
			b.startDown(a.Now)
		}
	}
}

func (b *bbr) timeToGoDown() bool {
	if b.prevTooHigh && float64(b.sample.InFlight) >= b.inFlightLong {
		b.prevPrecautionary = true
		return true
	}
	if b.sample.WindowFull && b.window >= b.inFlightLong {
		// What limits is not the path's rate.
		b.resetFullBW(b.sample.Rate)
		return false
	}
	return b.fullBWNow
}

// adaptLongTerm learns from the ACKs of a probe, and reports whether it changed the state.
func (b *bbr) adaptLongTerm(a Ack) bool {
	if b.roundStart {
		switch b.ackPhase {
		case bbrAcksProbeStarting:
			b.ackPhase = bbrAcksProbeFeedback
		case bbrAcksProbeStopping:
			b.probeSample = false
			b.ackPhase = bbrAcksInit
			if !b.state.inProbeBW() {
				break
			}
			if !b.sample.AppLimited {
				b.advanceBW()
			}
			if b.prevPrecautionary && !b.prevTooHigh {
				b.startRefill()
				return true
			}
		}
	}
	if b.tooManyLost(b.sample.Lost, b.sample.SentInFlight) || math.IsInf(b.inFlightLong, 1) {
		return false
	}
	b.inFlightLong = max(b.inFlightLong, float64(b.sample.SentInFlight))
	if b.state == bbrUp {
		b.probeLongTermUpward(float64(a.Bytes))
	}
	return false
}

// probeLongTermUpward raises inFlightLong, by twice as much in each round trip.
func (b *bbr) probeLongTermUpward(acked float64) {
	if !b.sample.WindowFull || b.window < b.inFlightLong {
		return
	}
	b.probeUpAcked += acked
	if n := math.Floor(b.probeUpAcked / b.probeUpAckedPerInc); n > 0 {
		b.probeUpAcked -= n * b.probeUpAckedPerInc
		b.inFlightLong += n * float64(b.smss)
	}
	if b.roundStart {
		b.raiseLongTermSlope()
	}
}

func (b *bbr) raiseLongTermSlope() {
	growth := float64(uint64(1) << b.probeUpRounds)
	b.probeUpRounds = min(b.probeUpRounds+1, bbrMaxProbeUpDoubling)
	b.probeUpAckedPerInc = max(b.window/growth, float64(b.smss))
}

// inFlightTooHigh is Section 5.5.10.2's answer to a probe that lost too much.
func (b *bbr) inFlightTooHigh(now monotime.Time, inFlight float64, appLimited bool) {
	b.prevTooHigh = true
	b.probeSample = false
	if !appLimited {
		b.inFlightLong = max(inFlight, b.targetInFlight()*bbrBeta)
	}
	if b.state == bbrUp {
		b.undo.state = bbrUp
		b.startDown(now)
	}
}

// checkProbeRTT is Section 5.3.4.3.
func (b *bbr) checkProbeRTT(now monotime.Time) {
	if b.state != bbrProbeRTT && b.probeRTTExpired && !b.idleRestart {
		b.saveWindow()
		b.state = bbrProbeRTT
		b.probeRTTDone = 0
		b.ackPhase = bbrAcksProbeStopping
		b.startRound()
		b.limitedFrom = b.sample.Delivered
	}
	if b.state == bbrProbeRTT {
		b.limitedUntil = b.sample.Delivered + uint64(b.sample.InFlight) + 1
		switch {
		case b.probeRTTDone == 0 && float64(b.sample.InFlight) <= b.probeRTTWindow():
			b.probeRTTDone = now.Add(bbrProbeRTTDuration)
			b.probeRTTRoundDone = false
			b.startRound()
		case b.probeRTTDone != 0:
			b.probeRTTRoundDone = b.probeRTTRoundDone || b.roundStart
			if b.probeRTTRoundDone {
				b.checkProbeRTTDone(now)
			}
		}
	}
	b.idleRestart = false
}

func (b *bbr) checkProbeRTTDone(now monotime.Time) {
	if b.probeRTTDone == 0 || now <= b.probeRTTDone {
		return
	}
	b.probeRTTMinAt = now
	b.restoreWindow()
	b.resetShortTerm()
	if b.fullBWReached {
		b.startDown(now)
		b.state = bbrCruise
	} else {
		b.state = bbrStartup
	}
}
