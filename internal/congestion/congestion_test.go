package congestion

import (
	"math"
	"testing"
	"time"

	"github.com/dunlin-quic/dunlin/internal/monotime"
)

const (
	mss = 1000
	ms  = time.Millisecond
)

// path drives a controller as if a window per round trip were sent and acknowledged packet by packet.
type path struct {
	Controller
	now  monotime.Time
	base time.Duration // RTT of an empty path
	// rate is the bottleneck's in bytes per second, with an endless queue; 0 for none.
	rate float64
}

func newPath(c Controller, rtt time.Duration) *path {
	return &path{Controller: c, now: monotime.Time(time.Hour), base: rtt}
}

// round sends a window and acknowledges it, spread over a round trip, as long as ok allows.
func (p *path) round(limited bool) {
	window := p.Window()
	packets := window / mss
	rtt := p.base
	if p.rate > 0 {
		rtt = max(rtt, time.Duration(float64(window)/p.rate*1e9))
	}
	sent := p.now
	for i := range packets {
		at := sent.Add(rtt / time.Duration(packets) * time.Duration(i))
		p.now = at.Add(rtt)
		p.OnAck(Ack{
			Now: p.now, Sent: at, Bytes: mss, InFlight: window, RTT: rtt, SRTT: rtt, MinRTT: p.base, AppLimited: limited,
		})
	}
}

func (p *path) lose() bool { return p.OnCongestion(p.now, p.now-1) }

func controllers() map[string]func() Controller {
	return map[string]func() Controller{
		"NewReno": func() Controller { return NewNewReno(mss) },
		"CUBIC":   func() Controller { return NewCUBIC(mss) },
	}
}

func each(t *testing.T, f func(t *testing.T, p *path, beta float64)) {
	for name, c := range controllers() {
		t.Run(name, func(t *testing.T) {
			beta := 0.5
			if name == "CUBIC" {
				beta = 0.7
			}
			f(t, newPath(c(), 50*ms), beta)
		})
	}
}

func TestInitialWindow(t *testing.T) {
	for size, want := range map[int]int{1000: 10000, 1200: 12000, 1452: 14520, 1472: 14720, 1500: 14720, 9000: 18000} {
		if got := NewNewReno(size).Window(); got != want {
			t.Errorf("NewReno, %d-byte datagrams: initial window %d, want %d", size, got, want)
		}
		if got := NewCUBIC(size).Window(); got != want {
			t.Errorf("CUBIC, %d-byte datagrams: initial window %d, want %d", size, got, want)
		}
	}
}

func TestSlowStartDoubles(t *testing.T) {
	each(t, func(t *testing.T, p *path, _ float64) {
		for want := p.Window() * 2; want < 1000*mss; want *= 2 {
			p.round(false)
			if p.Window() != want || !p.InSlowStart() {
				t.Fatalf("window %d, want %d in slow start", p.Window(), want)
			}
		}
	})
}

func TestAppLimitedDoesNotGrow(t *testing.T) {
	each(t, func(t *testing.T, p *path, _ float64) {
		want := p.Window()
		p.round(true)
		if p.Window() != want {
			t.Fatalf("window %d in slow start, want %d", p.Window(), want)
		}
		p.round(false)
		p.lose()
		p.round(false)
		want = p.Window()
		for range 100 {
			p.round(true)
		}
		if p.Window() != want {
			t.Fatalf("window %d in congestion avoidance, want %d", p.Window(), want)
		}
		// What the application did not use it does not get at one stroke afterwards.
		p.round(false)
		if p.Window() > want+2*mss {
			t.Fatalf("window jumped from %d to %d", want, p.Window())
		}
	})
}

// RFC 9002, Section 7.3.1 (MUST 1) and Section 7.3.2 (MUST 1, 2).
func TestRecoveryPeriod(t *testing.T) {
	each(t, func(t *testing.T, p *path, beta float64) {
		for range 3 {
			p.round(false)
		}
		before := p.Window()
		if !p.lose() {
			t.Fatal("the first loss began no recovery period")
		}
		want := int(beta * float64(before))
		if p.Window() != want || p.InSlowStart() {
			t.Fatalf("window %d, want %d out of slow start", p.Window(), want)
		}
		start := p.now
		// Losses and ACKs of what was sent before change nothing.
		if p.OnCongestion(start.Add(10*ms), start) {
			t.Fatal("a loss from before began another period")
		}
		p.OnAck(Ack{
			Now: start.Add(10 * ms), Sent: start, Bytes: mss, InFlight: want, InFlightNow: want - mss, RTT: 50 * ms, SRTT: 50 * ms,
		})
		if p.Window() != want {
			t.Fatalf("window %d during recovery, want %d", p.Window(), want)
		}
		if !p.OnCongestion(start.Add(60*ms), start.Add(ms)) {
			t.Fatal("a later loss began no period")
		}
		for range 30 {
			p.now = p.now.Add(100 * ms)
			p.lose()
		}
		if p.Window() != 2*mss {
			t.Fatalf("window %d after many losses, want two packets", p.Window())
		}
	})
}

// RFC 9002, Section 7.6.2 (MUST 2).
func TestPersistentCongestion(t *testing.T) {
	each(t, func(t *testing.T, p *path, _ float64) {
		for range 5 {
			p.round(false)
		}
		p.lose()
		threshold := p.Window()
		p.OnPersistentCongestion(p.now)
		if p.Window() != 2*mss || !p.InSlowStart() {
			t.Fatalf("window %d, want two packets in slow start", p.Window())
		}
		if p.OnCongestion(p.now.Add(ms), p.now-5) {
			t.Fatal("losses from before are another event")
		}
		p.now++
		for range 20 {
			p.round(false)
			if !p.InSlowStart() {
				break
			}
		}
		if p.InSlowStart() || p.Window() < threshold || p.Window() > threshold+2*mss {
			t.Fatalf("slow start ended with a window of %d, want %d", p.Window(), threshold)
		}
	})
}

func TestSpuriousCongestionIsUndone(t *testing.T) {
	each(t, func(t *testing.T, p *path, _ float64) {
		p.round(false)
		want := p.Window()
		p.lose()
		p.OnSpurious()
		if p.Window() != want || !p.InSlowStart() {
			t.Fatalf("window %d, want %d in slow start", p.Window(), want)
		}
		p.OnSpurious()
		if p.Window() != want {
			t.Fatalf("window %d after being told twice", p.Window())
		}
	})
}

func TestMaxDatagramSize(t *testing.T) {
	each(t, func(t *testing.T, p *path, _ float64) {
		p.SetMaxDatagramSize(1400)
		if p.Window() != 14000 {
			t.Fatalf("window %d of ten larger packets", p.Window())
		}
		p.lose()
		p.OnPersistentCongestion(p.now)
		p.SetMaxDatagramSize(1450)
		if p.Window() != 2900 {
			t.Fatalf("window %d, want two packets", p.Window())
		}
	})
}

// RFC 9002, Section 7.3.3 (MUST 1).
func TestNewRenoAddsOnePacketPerWindow(t *testing.T) {
	p := newPath(NewNewReno(mss), 50*ms)
	p.round(false)
	p.lose()
	p.now++
	for want := p.Window(); want < 40*mss; want += mss {
		if p.Window() != want {
			t.Fatalf("window %d, want %d", p.Window(), want)
		}
		p.round(false)
	}
}

// TestCUBICFollowsTheFunction compares the window after a loss with RFC 9438's formula, on a path so long that Reno is
// slower.
func TestCUBICFollowsTheFunction(t *testing.T) {
	p := newPath(NewCUBIC(mss), 200*ms)
	c := p.Controller.(*cubic)
	for p.Window() < 1000*mss {
		p.round(false)
	}
	wMax := float64(p.Window()) / mss
	p.lose()
	p.now++
	start := p.now
	k := math.Cbrt(wMax * 0.3 / 0.4)
	for p.now.Sub(start) < 15*time.Second {
		p.round(false)
		if c.epoch == 0 {
			t.Fatal("no epoch in congestion avoidance")
		}
		elapsed := p.now.Sub(c.epoch).Seconds()
		want := 0.4*math.Pow(elapsed+0.2-k, 3) + wMax
		if got := float64(p.Window()) / mss; math.Abs(got-want) > 0.04*want {
			t.Fatalf("window %.0f packets %.1f s after the loss, want %.0f", got, elapsed, want)
		}
	}
	if got := float64(p.Window()) / mss; got < 1.02*wMax {
		t.Fatalf("window of %.0f packets never outgrew the former %.0f", got, wMax)
	}
}

// TestCUBICIsRenoFriendly: on a short path CUBIC must not be slower than Reno would be.
func TestCUBICIsRenoFriendly(t *testing.T) {
	p := newPath(NewCUBIC(mss), 5*ms)
	p.round(false)
	p.round(false)
	p.lose()
	p.now++
	before := p.Window()
	for range 40 {
		p.round(false)
	}
	if grown := float64(p.Window()-before) / mss; grown < 0.9*40*cubicAlpha {
		t.Fatalf("grew by %.1f packets in 40 round trips, want some %.1f", grown, 40*cubicAlpha)
	}
}

func TestCUBICFastConvergence(t *testing.T) {
	p := newPath(NewCUBIC(mss), 50*ms)
	c := p.Controller.(*cubic)
	for range 5 {
		p.round(false)
	}
	p.lose()
	first := c.wMax
	p.now += 10
	p.lose()
	if want := 0.7 * first * 0.85; math.Abs(c.wMax-want) > 1 {
		t.Fatalf("wMax %f after a loss below the former maximum, want %f", c.wMax, want)
	}
}

// TestHyStartLeavesSlowStart: the RTT rises when the window exceeds the path's capacity, and slow start ends without a
// loss.
func TestHyStartLeavesSlowStart(t *testing.T) {
	p := newPath(NewCUBIC(mss), 50*ms)
	p.rate = 4e6 // 200 packets per RTT
	rounds := 0
	for ; p.InSlowStart() && rounds < 100; rounds++ {
		p.round(false)
	}
	if w := p.Window() / mss; p.InSlowStart() || w < 200 || w > 1300 {
		t.Fatalf("window of %d packets, slow start %v; the path holds 200", w, p.InSlowStart())
	}
}

// TestHyStartIgnoresJitter: a single round of longer RTTs only slows the growth for its time.
func TestHyStartIgnoresJitter(t *testing.T) {
	p := newPath(NewCUBIC(mss), 50*ms)
	c := p.Controller.(*cubic)
	p.round(false)
	p.round(false)
	p.base = 70 * ms
	p.round(false)
	if !c.hystart.css {
		t.Fatal("no conservative slow start after the RTT rose")
	}
	p.base = 50 * ms
	p.round(false)
	p.round(false)
	if c.hystart.css || !p.InSlowStart() {
		t.Fatal("the RTT fell again, slow start did not go on")
	}
}
