package quic

import (
	"time"

	"github.com/dunlin-quic/dunlin/internal/monotime"
	"github.com/dunlin-quic/dunlin/internal/recovery"
)

// NextTimeout returns when the owner is to call HandleTimeout and then to poll, false for not at all. Every other call may
// change it.
func (c *Conn) NextTimeout() (time.Time, bool) {
	var t monotime.Time
	switch c.state {
	case stateActive:
		t = c.deadline()
	case stateClosing, stateDraining:
		t = c.closing.until
	}
	if t.IsZero() {
		return time.Time{}, false
	}
	return c.epoch.Time(t), true
}

// deadline returns when something is due next, zero for not at all.
func (c *Conn) deadline() monotime.Time {
	t := monotime.Min(c.rec.Timeout(), c.idleDeadline())
	t = monotime.Min(t, c.keepAliveDeadline())
	t = monotime.Min(t, c.stallDeadline())
	t = monotime.Min(t, c.oldKeysDeadline())
	t = monotime.Min(t, c.pathDeadline())
	t = monotime.Min(t, c.shrinkDeadline())
	t = monotime.Min(t, c.earlyDeadline())
	if c.hs != nil {
		t = monotime.Min(t, c.hs.deadline)
	}
	if c.path.credit() < minDatagramSize || c.confirmed && !c.hasDCID(c.path) {
		// Before more arrives, little or nothing can be sent: what has to be is no reason to wake up.
		return t
	}
	t = monotime.Min(t, c.sendAt)
	t = monotime.Min(t, c.recv.AckDeadline())
	if c.hs != nil {
		for i := range c.hs.spaces {
			if s := &c.hs.spaces[i]; s.sealer != nil {
				t = monotime.Min(t, s.recv.AckDeadline())
			}
		}
	}
	return t
}

// HandleTimeout does what is due at now. Calling it early is harmless.
func (c *Conn) HandleTimeout(now time.Time) {
	c.enter(now)
	switch c.state {
	case stateDrained:
		return
	case stateClosing, stateDraining:
		if !c.now.Before(c.closing.until) {
			c.state = stateDrained
			c.closing.packet = nil
			c.endpointEvent(EndpointEvent{Kind: EndpointDrained})
		}
		return
	}
	if due(c.now, c.idleDeadline()) {
		c.terminate(ErrIdleTimeout)
		return
	}
	if c.hs != nil && due(c.now, c.hs.deadline) {
		// The peer may be there and merely slow: it is told not to go on.
		c.close(ErrHandshakeTimeout, closeFrame(transportError(NoError, "handshake timed out")))
		return
	}
	if due(c.now, c.rec.Timeout()) {
		if c.trace != nil {
			c.trace.timerExpired()
		}
		c.rec.OnTimeout(c.now, (*fates)(c))
		c.checkBlackHole()
	}
	if due(c.now, c.keepAliveDeadline()) || due(c.now, c.stallDeadline()) {
		c.sendPing = true
	}
	if due(c.now, c.oldKeysDeadline()) {
		c.keysUpdated = 0
		c.keys.DropPrevious()
	}
	if due(c.now, c.earlyDeadline()) {
		c.early = nil
	}
	if due(c.now, c.pathDeadline()) {
		c.handlePathTimers()
	}
	if c.state == stateActive && due(c.now, c.shrinkDeadline()) {
		c.rest()
	}
	if c.trace != nil {
		c.trace.observe()
	}
}

// oldKeysDeadline returns when the keys before the peer's last key update go, zero if there are none.
//
// RFC 9001, Section 6.5: after three PTO, by what is known of the path by then. Until that, the peer's next update can't be
// followed, and on a path that is new the PTO is a guess that the first round trip corrects.
func (c *Conn) oldKeysDeadline() monotime.Time {
	if c.keysUpdated.IsZero() {
		return 0
	}
	return c.keysUpdated.Add(3 * c.rec.PTO(recovery.AppData))
}

// idleShrink is how long a connection is quiet before it gives back the memory that it needs only while packets come and
// go.
const idleShrink = time.Second

// rest gives memory back.
func (c *Conn) rest() {
	c.rec.Shrink()
	c.datagrams.shrink()
	c.streams.sched.rest()
	if c.confirmed {
		c.keys.Rest()
	}
	if c.initialDCID.Len() > 0 {
		c.endpointEvent(EndpointEvent{Kind: EndpointCIDRetired, CID: c.initialDCID})
		c.initialDCID = ConnectionID{}
	}
}

// shrinkDeadline returns when memory is to be given back, zero if there is none to give.
func (c *Conn) shrinkDeadline() monotime.Time {
	if c.rec.Slack() || c.datagrams.slack() || c.confirmed && !c.keys.Rested() || c.initialDCID.Len() > 0 {
		return c.arrivals.last.Add(idleShrink)
	}
	return 0
}

func due(now, t monotime.Time) bool { return !t.IsZero() && !now.Before(t) }

// idleDeadline returns when the connection is silently given up, zero for never.
//
// RFC 9000, Section 10.1: not before three PTO, so that there is a chance to send and lose some probes.
func (c *Conn) idleDeadline() monotime.Time {
	if c.idleTimeout == 0 {
		return 0
	}
	return c.arrivals.last.Add(max(c.idleTimeout, 3*c.rec.PTO(recovery.AppData)))
}

// keepAliveDeadline returns when a PING is due to keep the connection from idling, zero if none is.
//
// RFC 9000, Section 4.1: whoever waits for the peer's reader should not lose the connection to the idle timeout.
func (c *Conn) keepAliveDeadline() monotime.Time {
	interval := c.cfg.KeepAlive
	if c.streams.isBlocked() {
		interval = minTimeout(interval, c.idleTimeout/2)
	}
	if interval == 0 || !c.confirmed || c.arrivals.sent || c.sendPing {
		return 0
	}
	if c.idleTimeout > 0 {
		interval = min(interval, c.idleTimeout/2)
	}
	return c.arrivals.last.Add(interval)
}

// stallDeadline returns when a client that has only acknowledged for a while asks whether the server still finds it, zero
// if it has no reason to: where a NAT gives it another address, the server's packets go astray until something comes from
// there, and a client that only receives has nothing else to say.
func (c *Conn) stallDeadline() monotime.Time {
	if c.side != Client || !c.confirmed || c.sendPing || !c.rec.OnlyAcks(recovery.AppData) {
		return 0
	}
	return c.arrivals.last.Add(c.rec.PTO(recovery.AppData))
}

// minTimeout returns the shorter of two timeouts of which 0 means none.
func minTimeout(a, b time.Duration) time.Duration {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}
