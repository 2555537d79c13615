package congestion

import (
	"math"

	"github.com/dunlin-quic/dunlin/internal/monotime"
)

// newReno is the controller of RFC 9002, Section 7.
type newReno struct {
	maxDatagram int
	prr         prr
	renoState
	undo renoState
}

type renoState struct {
	window, ssthresh int
	acked            int           // bytes acknowledged in congestion avoidance that have not yet widened the window
	recovery         monotime.Time // when the current recovery period started
}

// NewNewReno returns the controller of RFC 9002, Section 7.
func NewNewReno(maxDatagram int) Controller {
	return &newReno{
		maxDatagram: maxDatagram,
		renoState:   renoState{window: initialWindow(maxDatagram), ssthresh: math.MaxInt},
	}
}

func (c *newReno) OnAck(a Ack) {
	if c.prr.active && a.Sent > c.recovery {
		c.prr.end()
	}
	if c.prr.active {
		c.prr.onAck(a, c.window, c.maxDatagram)
	}
	switch {
	case a.AppLimited || a.Sent <= c.recovery:
	case c.window < c.ssthresh:
		c.window = min(c.window+a.Bytes, c.ssthresh)
	default:
		// RFC 9002, Section 7.3.3: at most one full packet for each window that was acknowledged.
		c.acked += a.Bytes
		if c.acked >= c.window {
			c.acked -= c.window
			c.window += c.maxDatagram
		}
	}
}

func (c *newReno) OnCongestion(now, sent monotime.Time) bool {
	if sent <= c.recovery {
		return false
	}
	c.undo = c.renoState
	c.recovery = now
	c.window = max(c.window/2, minWindowPackets*c.maxDatagram)
	c.ssthresh = c.window
	c.acked = 0
	c.prr.begin()
	return true
}

func (c *newReno) OnPersistentCongestion(now monotime.Time) {
	// What was sent before is still to be found lost. That is no further event.
	c.window = minWindowPackets * c.maxDatagram
	c.recovery = now
	c.acked = 0
	c.undo = renoState{}
	c.prr.end()
}

func (c *newReno) OnSpurious() {
	if c.undo.window > c.window {
		c.renoState = c.undo
		c.prr.end()
	}
	c.undo = renoState{}
}

func (c *newReno) SetMaxDatagramSize(n int) {
	c.maxDatagram = n
	c.window = max(c.window, minWindowPackets*n)
	if c.ssthresh == math.MaxInt {
		c.window = max(c.window, initialWindow(n))
	}
}

func (c *newReno) Window() int {
	if c.prr.known() {
		return c.prr.window
	}
	return c.window
}

func (c *newReno) InSlowStart() bool { return c.window < c.ssthresh }

// State implements Stater with the names of RFC 9002, Section 7.3.
func (c *newReno) State() string {
	switch {
	case c.prr.active:
		return "recovery"
	case c.InSlowStart():
		return "slow_start"
	}
	return "congestion_avoidance"
}
