package congestion

import (
	"math"
	"testing"
	"time"

	"github.com/dunlin-quic/dunlin/internal/monotime"
)

// flow is a BBR sender over a bottleneck with a queue, packet by packet, on explicit time.
type flow struct {
	*bbr
	now   monotime.Time
	rate  float64 // bytes per second
	rtt   time.Duration
	queue int // packets
	// drop, when set, loses packets by number.
	drop func(n int) bool

	inFlight        int
	delivered, lost uint64
	firstSent, at   monotime.Time
	limited         uint64
	free            monotime.Time // when the bottleneck is
	nextSend        monotime.Time
	sent            int
	inAir           []airborne
	states          []bbrState
	maxRTT          time.Duration
}

type airborne struct {
	n                  int
	sent, arrives      monotime.Time
	delivered, lost    uint64
	deliveredAt, first monotime.Time
	inFlight           int
	limited, dropped   bool
}

func newFlow(rate float64, rtt time.Duration, queue int) *flow {
	return &flow{bbr: NewBBR(mss, 1).(*bbr), now: monotime.Time(time.Hour), rate: rate, rtt: rtt, queue: queue, states: []bbrState{bbrStartup}}
}

// run lets d pass. The application has always something to send, or for a share of the time only.
func (f *flow) run(d time.Duration, busy func(now monotime.Time) bool) {
	for end := f.now.Add(d); f.now < end; {
		next := end
		if len(f.inAir) > 0 {
			next = min(next, f.inAir[0].arrives)
		}
		may := f.inFlight+mss <= f.Window()
		if may && busy(max(f.now, f.nextSend)) {
			next = min(next, max(f.nextSend, f.now))
		} else if may && !busy(f.now) {
			f.limited = max(f.delivered+uint64(f.inFlight), 1)
			next = min(next, f.now.Add(ms))
		}
		f.now = next
		if len(f.inAir) > 0 && f.inAir[0].arrives <= f.now {
			f.arrive()
		} else if may && f.nextSend <= f.now && busy(f.now) {
			f.send()
		}
		if last := f.states[len(f.states)-1]; f.state != last {
			f.states = append(f.states, f.state)
		}
	}
}

func always(monotime.Time) bool { return true }

func (f *flow) send() {
	if f.inFlight == 0 {
		if f.limited != 0 {
			f.OnRestart(f.now)
		}
		f.firstSent, f.at = f.now, f.now
	}
	f.inFlight += mss
	p := airborne{
		n: f.sent, sent: f.now, delivered: f.delivered, lost: f.lost, deliveredAt: f.at, first: f.firstSent,
		inFlight: f.inFlight, limited: f.limited != 0,
	}
	f.sent++
	serve := time.Duration(mss / f.rate * 1e9)
	if f.free < f.now {
		f.free = f.now
	}
	p.dropped = f.drop != nil && f.drop(p.n)
	if f.free.Sub(f.now) > time.Duration(f.queue)*serve {
		p.dropped = true
	}
	p.arrives = f.free.Add(serve + f.rtt)
	if !p.dropped {
		f.free = f.free.Add(serve)
	}
	f.inAir = append(f.inAir, p)
	if rate := f.PacingRate(); rate > 0 {
		f.nextSend = max(f.nextSend, f.now).Add(time.Duration(mss / float64(rate) * 1e9))
	}
}

// arrive takes the oldest packet's acknowledgment, or learns that there is none.
func (f *flow) arrive() {
	p := f.inAir[0]
	f.inAir = f.inAir[1:]
	f.inFlight -= mss
	if p.dropped {
		f.lost += mss
		f.OnCongestion(f.now, p.sent)
		f.OnLost(Lost{
			Now: f.now, Size: mss, PN: uint64(p.n), Delivered: f.delivered, Lost: int(f.lost - p.lost),
			SentInFlight: p.inFlight, AppLimited: p.limited,
		})
		return
	}
	f.delivered += mss
	f.at = f.now
	f.firstSent = p.sent
	if f.delivered > f.limited {
		f.limited = 0
	}
	interval := max(p.sent.Sub(p.first), f.now.Sub(p.deliveredAt))
	f.OnSample(Sample{
		Delivered: f.delivered, Prior: p.delivered, Rate: float64(f.delivered-p.delivered) / interval.Seconds(),
		Lost: int(f.lost - p.lost), SentInFlight: p.inFlight, InFlight: f.inFlight, AppLimited: p.limited,
		WindowFull: f.inFlight+2*mss > f.Window(),
	})
	rtt := f.now.Sub(p.sent)
	f.maxRTT = max(f.maxRTT, rtt)
	f.OnAck(Ack{Now: f.now, Sent: p.sent, Bytes: mss, InFlight: f.inFlight + mss, RTT: rtt, SRTT: rtt, MinRTT: f.rtt})
}

func (f *flow) visited(s bbrState) (n int) {
	for _, v := range f.states {
		if v == s {
			n++
		}
	}
	return n
}

func near(got, want, tolerance float64) bool { return math.Abs(got-want) <= tolerance*want }

// The states follow each other as Section 5.1 draws them, and the model finds rate and RTT of the path.
func TestBBRStates(t *testing.T) {
	f := newFlow(1e6, 40*ms, 1000)
	f.run(4*time.Second, always)
	// From Drain it passes through Down at once.
	want := []bbrState{bbrStartup, bbrDrain, bbrCruise, bbrRefill, bbrUp, bbrDown, bbrCruise}
	for i, s := range want {
		if i >= len(f.states) || f.states[i] != s {
			t.Fatalf("states %v, want %v to begin with", f.states, want)
		}
	}
	if !near(f.maxBW(), 1e6, 0.05) || f.minRTT > 43*ms {
		t.Errorf("bandwidth %.0f, RTT %v; the path has 1e6, 41ms", f.maxBW(), f.minRTT)
	}
	if !near(float64(f.delivered), 4e6, 0.1) || f.lost > 0 {
		t.Errorf("%d bytes delivered, %d lost in four seconds at 1e6 per second", f.delivered, f.lost)
	}
	// Section 5.3.1.1: the queue of Startup is no longer than what the window allows beyond the product.
	if f.maxRTT > 41*ms*5/2 {
		t.Errorf("RTT rose to %v", f.maxRTT)
	}
}

// Every five seconds the flow lets the queue run empty to see the RTT of the path alone, unless it saw it anyway.
func TestBBRProbesRTT(t *testing.T) {
	f := newFlow(1e6, 40*ms, 1000)
	f.run(5900*ms, always)
	if f.visited(bbrProbeRTT) != 1 {
		t.Fatalf("states %v", f.states)
	}
	f.run(15*time.Second, always)
	if n := f.visited(bbrProbeRTT); n < 3 || n > 4 {
		t.Errorf("RTT probed %d times in 20 s", n)
	}
	if !near(f.maxBW(), 1e6, 0.05) || !near(float64(f.delivered), 20.9e6, 0.1) {
		t.Errorf("bandwidth %.0f, %d bytes in 21 s", f.maxBW(), f.delivered)
	}
}

// A path that becomes longer is found out, after the 10 s for which the shorter RTT is believed.
func TestBBRLongerPath(t *testing.T) {
	f := newFlow(1e6, 20*ms, 1000)
	f.run(3*time.Second, always)
	f.rtt = 60 * ms
	f.run(20*time.Second, always)
	if f.minRTT < 60*ms || f.minRTT > 70*ms {
		t.Errorf("RTT %v, want 61ms", f.minRTT)
	}
}

// A path that becomes ten times faster or slower is followed (the draft's example test cases).
func TestBBRFollowsTheRate(t *testing.T) {
	for _, rate := range []float64{1e7, 1e5} {
		f := newFlow(1e6, 40*ms, 40)
		f.run(3*time.Second, always)
		f.rate = rate
		f.run(20*time.Second, always)
		if !near(f.maxBW(), rate, 0.1) {
			t.Errorf("bandwidth %.0f 20 s after it became %.0f", f.maxBW(), rate)
		}
	}
}

// What a limited application sends does not end Startup, and is no reason to believe that the path is slow.
func TestBBRAppLimited(t *testing.T) {
	tenth := func(now monotime.Time) bool { return time.Duration(now)%(100*ms) < 2*ms }
	f := newFlow(1e6, 40*ms, 1000)
	f.run(10*time.Second, tenth)
	if f.fullBWReached {
		t.Errorf("a limited flow left Startup: %v", f.states)
	}
	f = newFlow(1e6, 40*ms, 1000)
	f.run(3*time.Second, always)
	f.run(15*time.Second, tenth)
	if !near(f.maxBW(), 1e6, 0.1) {
		t.Errorf("bandwidth %.0f after a limited phase, 1e6 before", f.maxBW())
	}
	if f.visited(bbrProbeRTT) > 0 {
		t.Errorf("a flow that leaves the queue empty need not make room to probe: %v", f.states)
	}
}

// After idling the flow begins at the rate of the path, in one round trip.
func TestBBRRestartsFromIdle(t *testing.T) {
	f := newFlow(1e6, 40*ms, 1000)
	f.run(3*time.Second, always)
	f.run(20*time.Second, func(monotime.Time) bool { return false })
	if f.inFlight != 0 {
		t.Fatalf("%d bytes in flight", f.inFlight)
	}
	before := f.delivered
	f.run(time.Second, always)
	if got := f.delivered - before; got < 850e3 {
		t.Errorf("%d bytes in the first second after idling", got)
	}
	if f.state == bbrProbeRTT || f.visited(bbrProbeRTT) > 0 {
		t.Errorf("RTT probed, where idling had emptied the queue: %v", f.states)
	}
}

// Random losses of a few percent do not slow the flow down; a short queue does not lose many packets.
func TestBBRLosses(t *testing.T) {
	f := newFlow(1e6, 40*ms, 1000)
	f.drop = func(n int) bool { return n*7919%1000 < 20 }
	f.run(10*time.Second, always)
	if f.delivered < 8e6 {
		t.Errorf("%d bytes delivered of 10e6 with 2 %% loss", f.delivered)
	}
	f = newFlow(1e6, 40*ms, 5)
	f.run(20*time.Second, always)
	if share := float64(f.lost) / float64(f.lost+f.delivered); f.delivered < 16e6 || share > 0.02 {
		t.Errorf("%d bytes delivered of 20e6, %.1f %% lost with a short queue", f.delivered, 100*share)
	}
	if math.IsInf(f.inFlightLong, 1) {
		t.Error("the losses set no bound")
	}
}

// Losses that were none are taken back, with the state that they ended.
func TestBBRSpuriousLosses(t *testing.T) {
	f := newFlow(1e6, 40*ms, 1000)
	f.drop = func(n int) bool { return n >= 100 && n < 200 && n%3 == 0 }
	for f.state == bbrStartup {
		f.run(ms, always)
	}
	if f.undo.state != bbrStartup || math.IsInf(f.inFlightLong, 1) {
		t.Fatalf("Startup did not end because of losses")
	}
	f.OnSpurious()
	if f.state != bbrStartup || f.fullBWReached || !math.IsInf(f.inFlightLong, 1) {
		t.Errorf("state %v, bound %v after the losses were taken back", f.state, f.inFlightLong)
	}

	f = newFlow(1e6, 40*ms, 1000)
	f.run(3*time.Second, always)
	for f.state != bbrUp {
		f.run(ms, always)
	}
	sent := f.sent
	f.drop = func(n int) bool { return n >= sent && n < sent+40 && n%2 == 0 }
	for f.state == bbrUp {
		f.run(ms, always)
	}
	if f.undo.state != bbrUp {
		t.Fatal("the probe did not end because of losses")
	}
	f.OnSpurious()
	if f.state != bbrRefill || !math.IsInf(f.inFlightLong, 1) {
		t.Errorf("state %v, bound %v after the losses were taken back", f.state, f.inFlightLong)
	}
}

// A mark ends Startup and a probe, and bounds the rate for a while.
func TestBBRMarks(t *testing.T) {
	f := newFlow(1e6, 40*ms, 1000)
	f.run(150*ms, always)
	mark := func() {
		f.OnCongestion(f.now, f.now-1)
		f.OnMarked(f.now)
		f.run(60*ms, always)
	}
	mark()
	if f.state == bbrStartup {
		t.Error("a mark did not end Startup")
	}
	f.run(3*time.Second, always)
	for f.state != bbrUp {
		f.run(ms, always)
	}
	mark()
	if f.state == bbrUp || math.IsInf(f.inFlightLong, 1) {
		t.Errorf("a mark did not end the probe")
	}
	for f.state != bbrCruise {
		f.run(ms, always)
	}
	mark()
	if math.IsInf(f.bwShort, 1) {
		t.Error("a mark while cruising set no bound")
	}
}

func TestBBRPersistentCongestion(t *testing.T) {
	f := newFlow(1e6, 40*ms, 1000)
	f.run(3*time.Second, always)
	before := f.Window()
	f.OnPersistentCongestion(f.now)
	if f.Window() != 2*mss {
		t.Fatalf("window %d, want two packets", f.Window())
	}
	f.run(time.Second, always)
	if !near(float64(f.Window()), float64(before), 0.2) {
		t.Errorf("window %d a second later, %d before", f.Window(), before)
	}
}

func TestBBRLargerDatagrams(t *testing.T) {
	b := NewBBR(1200, 1)
	b.SetMaxDatagramSize(1452)
	if b.Window() != 14520 || !b.InSlowStart() || b.PacingRate() != 0 {
		t.Errorf("window %d, rate %d", b.Window(), b.PacingRate())
	}
}
