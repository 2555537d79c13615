package congestion

import (
	"math"
	"math/rand/v2"
	"time"

	"github.com/dunlin-quic/dunlin/internal/monotime"
)

// Constants of draft-ietf-ccwg-bbr, Section 2.
const (
	bbrLossThreshold  = 0.02 // of what is in flight, per round trip
	bbrLossDeviations = 4    // beyond it
	bbrBeta           = 0.7
	bbrHeadroom       = 0.15
	bbrPacingMargin   = 0.99
	bbrMinPipe        = 4 // packets

	bbrExtraAckedRounds   = 5 // so many to twice as many round trips the filter remembers
	bbrFullBWRounds       = 3
	bbrFullBWGrowth       = 1.25
	bbrStartupLossEvents  = 6
	bbrDrainRounds        = 3
	bbrMinRTTWindow       = 10 * time.Second
	bbrProbeRTTInterval   = 5 * time.Second
	bbrProbeRTTDuration   = 200 * time.Millisecond
	bbrMaxSendQuantum     = 64 << 10
	bbrMaxRenoRounds      = 63
	bbrMaxProbeUpDoubling = 30
)

// bbrState is a state of Section 5.3.
type bbrState uint8

const (
	bbrNone bbrState = iota
	bbrStartup
	bbrDrain
	bbrDown // ProbeBW_DOWN, and so on
	bbrCruise
	bbrRefill
	bbrUp
	bbrProbeRTT
)

// bbrGains are Section 5.6.1's.
var bbrGains = [...]struct{ pacing, cwnd float64 }{
	bbrStartup:  {2.77, 2},
	bbrDrain:    {0.5, 2},
	bbrDown:     {0.9, 2},
	bbrCruise:   {1, 2},
	bbrRefill:   {1, 2},
	bbrUp:       {1.25, 2.25},
	bbrProbeRTT: {1, 0.5},
}

func (s bbrState) inProbeBW() bool { return s >= bbrDown && s <= bbrUp }

// probing reports whether a flow in that state looks for more bandwidth.
func (s bbrState) probing() bool { return s == bbrStartup || s == bbrRefill || s == bbrUp }

// bbrAckPhase is what the acknowledgments that arrive now say about probing.
type bbrAckPhase uint8

const (
	bbrAcksInit bbrAckPhase = iota
	bbrAcksRefilling
	bbrAcksProbeStarting
	bbrAcksProbeFeedback
	bbrAcksProbeStopping
)

// bbr is version 3 of the controller of draft-ietf-ccwg-bbr. It estimates how fast the path delivers and how long an
// empty path takes, paces at the one and keeps about their product in flight. Volumes are in bytes, rates in bytes per
// second. This file decides what to send; the model of the path is in bbr_model.go, the states are in bbr_probe.go.
type bbr struct {
	smss   int
	rng    rand.PCG
	sample Sample
	srtt   time.Duration

	state         bbrState
	window        float64
	rate          float64 // pacing rate, 0 before the first RTT sample
	sendQuantum   float64
	maxInFlight   float64
	priorWindow   float64
	recovery      monotime.Time // when the current or last recovery period started
	inRecovery    bool
	idleRestart   bool
	initialWindow float64

	bbrModel
	bbrProbe
	undo bbrUndo
}

// bbrUndo is what a recovery period that turns out groundless gives back.
type bbrUndo struct {
	state                                      bbrState // that the losses ended, or bbrNone
	bwShort, inFlightShort, inFlightLong, prev float64
}

// NewBBR returns the controller of draft-ietf-ccwg-bbr, version 3. The seed spreads the times at which several flows
// probe.
func NewBBR(maxDatagram int, seed uint64) Sampler {
	b := &bbr{smss: maxDatagram, state: bbrStartup, rng: *rand.NewPCG(seed, 0)}
	b.initialWindow = float64(initialWindow(maxDatagram))
	b.window = b.initialWindow
	b.inFlightLong = math.Inf(1)
	b.probeUpAckedPerInc = math.Inf(1)
	b.minRTT, b.probeRTTMin = noRTT, noRTT
	b.resetShortTerm()
	return b
}

func (b *bbr) OnSample(s Sample) {
	s.AppLimited = s.AppLimited || s.Prior >= b.limitedFrom && s.Prior < b.limitedUntil
	b.sample = s
}

// OnAck is Section 5.2.3.
func (b *bbr) OnAck(a Ack) {
	b.srtt = a.SRTT
	if b.inRecovery && a.Sent > b.recovery {
		b.inRecovery = false
		b.restoreWindow()
	}
	if b.rate == 0 && a.RTT > 0 {
		b.rate = bbrGains[bbrStartup].pacing * b.window / a.SRTT.Seconds()
	}
	b.updateLatestSignals()
	b.updateCongestionSignals()
	b.updateAggregation(a)
	b.checkFullBW()
	b.checkStartupDone()
	b.checkDrainDone(a.Now)
	b.updateProbeBW(a)
	b.updateMinRTT(a)
	b.checkProbeRTT(a.Now)
	b.advanceLatestSignals()
	b.bw = min(b.maxBW(), b.bwShort)

	b.setRate(bbrGains[b.state].pacing)
	b.sendQuantum = max(min(b.rate*time.Millisecond.Seconds(), bbrMaxSendQuantum), float64(2*b.smss))
	b.setWindow(float64(a.Bytes))
}

// setRate is Section 5.6.2. Until the pipe was once full the rate only grows: what was measured so far says little.
func (b *bbr) setRate(gain float64) {
	rate := gain * b.bw * bbrPacingMargin
	if b.fullBWReached || rate > b.rate {
		b.rate = rate
	}
	if b.srtt > 0 {
		// However wrong the model may be, it must go on being measured.
		b.rate = max(b.rate, float64(b.smss)/b.srtt.Seconds())
	}
}

// bdp returns a multiple of the bandwidth-delay product.
func (b *bbr) bdp(bw, gain float64) float64 {
	if b.minRTT == noRTT {
		return b.initialWindow
	}
	return gain * bw * b.minRTT.Seconds()
}

func (b *bbr) minPipe() float64 { return float64(bbrMinPipe * b.smss) }

// quantize leaves room for trains of packets, and for ACKs of every other one.
func (b *bbr) quantize(inFlight float64) float64 {
	inFlight = max(inFlight, b.sendQuantum, b.minPipe())
	if b.state == bbrUp {
		inFlight += float64(2 * b.smss)
	}
	return inFlight
}

// setWindow is Section 5.6.4.6.
func (b *bbr) setWindow(acked float64) {
	b.maxInFlight = b.quantize(b.bdp(b.bw, bbrGains[b.state].cwnd) + max(b.extraAcked[0], b.extraAcked[1]))
	switch {
	case b.fullBWReached:
		b.window = min(b.window+acked, b.maxInFlight)
	case b.window < b.maxInFlight || float64(b.sample.Delivered) < b.initialWindow:
		b.window += acked
	}
	b.window = max(b.window, b.minPipe())
	if b.state == bbrProbeRTT {
		b.window = min(b.window, b.probeRTTWindow())
	}

	// Section 5.6.4.7: what recent losses say.
	bound := math.Inf(1)
	switch {
	case b.state == bbrCruise || b.state == bbrProbeRTT:
		bound = b.withHeadroom()
	case b.state.inProbeBW():
		bound = b.inFlightLong
	}
	b.window = min(b.window, max(bound, b.minPipe()), max(b.inFlightShort, b.minPipe()))
}

func (b *bbr) probeRTTWindow() float64 {
	return max(b.bdp(b.bw, bbrGains[bbrProbeRTT].cwnd), b.minPipe())
}

func (b *bbr) saveWindow() {
	if b.inRecovery || b.state == bbrProbeRTT {
		b.priorWindow = max(b.priorWindow, b.window)
	} else {
		b.priorWindow = b.window
	}
}

func (b *bbr) restoreWindow() { b.window = max(b.window, b.priorWindow) }

func (b *bbr) OnCongestion(now, sent monotime.Time) bool {
	if sent <= b.recovery {
		return false
	}
	b.saveWindow()
	b.undo = bbrUndo{bwShort: b.bwShort, inFlightShort: b.inFlightShort, inFlightLong: b.inFlightLong, prev: b.priorWindow}
	b.recovery, b.inRecovery = now, true
	return true
}

func (b *bbr) OnPersistentCongestion(now monotime.Time) {
	b.saveWindow()
	b.window = float64(minWindowPackets * b.smss)
	b.recovery, b.inRecovery = now, true
	b.undo = bbrUndo{}
}

// OnSpurious is Section 5.5.11.2.
func (b *bbr) OnSpurious() {
	b.window = max(b.window, b.undo.prev)
	b.lossInRound = false
	b.resetFullBW(0)
	b.bwShort = max(b.bwShort, b.undo.bwShort)
	b.inFlightShort = max(b.inFlightShort, b.undo.inFlightShort)
	b.inFlightLong = max(b.inFlightLong, b.undo.inFlightLong)
	switch b.undo.state {
	case bbrStartup:
		b.fullBWReached = false
		if b.state != bbrProbeRTT {
			b.state = bbrStartup
		}
	case bbrUp:
		if b.state != bbrProbeRTT && b.state != bbrUp {
			b.startRefill()
		}
	}
	b.undo = bbrUndo{}
}

// OnRestart is Section 5.4.1: the pipe is filled again at exactly the rate that it had.
func (b *bbr) OnRestart(now monotime.Time) {
	b.idleRestart = true
	b.aggregationStart = now
	switch {
	case b.state.inProbeBW():
		b.setRate(1)
	case b.state == bbrProbeRTT:
		b.checkProbeRTTDone(now)
	}
}

func (b *bbr) SetMaxDatagramSize(n int) {
	b.smss = n
	b.window = max(b.window, b.minPipe())
	if !b.fullBWReached {
		b.initialWindow = float64(initialWindow(n))
		b.window = max(b.window, b.initialWindow)
	}
}

func (b *bbr) Window() int        { return int(b.window) }
func (b *bbr) InSlowStart() bool  { return b.state == bbrStartup }
func (b *bbr) PacingRate() uint64 { return uint64(b.rate) }

// bbrStateNames are those of the draft's states.
var bbrStateNames = [...]string{
	bbrNone: "none", bbrStartup: "startup", bbrDrain: "drain", bbrDown: "probe_bw_down", bbrCruise: "probe_bw_cruise",
	bbrRefill: "probe_bw_refill", bbrUp: "probe_bw_up", bbrProbeRTT: "probe_rtt",
}

// State implements Stater.
func (b *bbr) State() string { return bbrStateNames[b.state] }
