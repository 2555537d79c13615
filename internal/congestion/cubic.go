package congestion

import (
	"math"
	"time"

	"github.com/dunlin-quic/dunlin/internal/monotime"
)

// Constants of RFC 9438, Section 5.
const (
	cubicC    = 0.4 // segments per second cubed
	cubicBeta = 0.7
	// cubicAlpha makes a flow in the Reno-friendly region as fast as Reno (Section 4.3).
	cubicAlpha = 3 * (1 - cubicBeta) / (1 + cubicBeta)
)

// cubic is the controller of RFC 9438. Windows are in bytes, and in floating point so that the small steps of an ACK
// are not rounded away.
type cubic struct {
	maxDatagram float64
	prr         prr
	cubicState
	undo cubicState
}

type cubicState struct {
	window, ssthresh float64
	recovery         monotime.Time // when the current recovery period started
	hystart          hystart

	wMax      float64       // the window before the last reduction, or less by fast convergence (Section 4.7)
	prior     float64       // the window before the last reduction: cwnd_prior
	wEst      float64       // what Reno's window would be (Section 4.3)
	k         float64       // seconds from the epoch until the window is wMax again
	epoch     monotime.Time // when the current stage of congestion avoidance began; 0 before its first ACK
	latestAck monotime.Time
}

// NewCUBIC returns the controller of RFC 9438, leaving slow start by HyStart++ (RFC 9406).
func NewCUBIC(maxDatagram int) Controller {
	c := &cubic{maxDatagram: float64(maxDatagram)}
	c.window = float64(initialWindow(maxDatagram))
	c.ssthresh = math.Inf(1)
	c.hystart.reset()
	return c
}

func (c *cubic) OnAck(a Ack) {
	since := c.latestAck
	c.latestAck = a.Now
	if c.prr.active && a.Sent > c.recovery {
		c.prr.end()
	}
	if c.prr.active {
		c.prr.onAck(a, int(c.window), int(c.maxDatagram))
	}
	if a.AppLimited {
		// RFC 9438, Section 5.8: the clock of the cubic function stands still while the application has too little to
		// send, lest the window jump afterwards.
		if c.epoch != 0 {
			c.epoch += a.Now - max(since, c.epoch)
		}
		return
	}
	if a.Sent <= c.recovery {
		return
	}
	if c.window < c.ssthresh {
		c.slowStart(a)
		return
	}
	c.avoidCongestion(a)
}

func (c *cubic) slowStart(a Ack) {
	// RFC 9406, Section 4.3: only the first slow start searches without knowing a threshold.
	if !math.IsInf(c.ssthresh, 1) {
		c.window = min(c.window+float64(a.Bytes), c.ssthresh)
		return
	}
	divisor, done := c.hystart.onAck(a)
	if done {
		c.ssthresh = c.window
		return
	}
	c.window += float64(a.Bytes) / divisor
}

func (c *cubic) avoidCongestion(a Ack) {
	if c.epoch == 0 {
		c.epoch = a.Now
		c.wEst = c.window
		if c.window < c.wMax {
			c.k = math.Cbrt((c.wMax - c.window) / c.maxDatagram / cubicC)
		} else {
			// Slow start ended without a loss, or the window has outgrown what it once was.
			c.k = 0
			c.wMax = c.window
		}
	}
	elapsed := a.Now.Sub(c.epoch)
	bytes := float64(a.Bytes)

	alpha := cubicAlpha
	if c.wEst >= c.prior {
		alpha = 1
	}
	c.wEst += alpha * bytes / c.window * c.maxDatagram
	if c.at(elapsed) < c.wEst {
		c.window = max(c.window, c.wEst)
		return
	}
	// Section 4.2: where the function will be one RTT ahead, at most half as much again as now.
	target := min(max(c.at(elapsed+a.SRTT), c.window), 1.5*c.window)
	c.window += (target - c.window) / c.window * bytes
}

// at returns the cubic function at t after the epoch.
func (c *cubic) at(t time.Duration) float64 {
	d := t.Seconds() - c.k
	return cubicC*d*d*d*c.maxDatagram + c.wMax
}

func (c *cubic) OnCongestion(now, sent monotime.Time) bool {
	if sent <= c.recovery {
		return false
	}
	c.undo = c.cubicState
	c.recovery = now
	c.epoch = 0
	c.prior = c.window
	// Section 4.7: a flow that did not reach its former window makes room for others.
	if c.window < c.wMax {
		c.wMax = c.window * (1 + cubicBeta) / 2
	} else {
		c.wMax = c.window
	}
	c.window = max(c.window*cubicBeta, minWindowPackets*c.maxDatagram)
	c.ssthresh = c.window
	c.prr.begin()
	return true
}

func (c *cubic) OnPersistentCongestion(now monotime.Time) {
	// What was sent before is still to be found lost. That is no further event.
	c.window = minWindowPackets * c.maxDatagram
	c.recovery = now
	c.epoch = 0
	c.undo = cubicState{}
	c.prr.end()
}

func (c *cubic) OnSpurious() {
	if c.undo.window > c.window {
		c.cubicState = c.undo
		c.prr.end()
	}
	c.undo = cubicState{}
}

func (c *cubic) SetMaxDatagramSize(n int) {
	c.maxDatagram = float64(n)
	c.window = max(c.window, float64(minWindowPackets*n))
	if math.IsInf(c.ssthresh, 1) {
		c.window = max(c.window, float64(initialWindow(n)))
	}
}

func (c *cubic) Window() int {
	if c.prr.known() {
		return c.prr.window
	}
	return int(c.window)
}

func (c *cubic) InSlowStart() bool { return c.window < c.ssthresh }

// State implements Stater.
func (c *cubic) State() string {
	switch {
	case c.prr.active:
		return "recovery"
	case c.InSlowStart():
		return "slow_start"
	}
	return "congestion_avoidance"
}
