package quic

import (
	"time"

	"github.com/dunlin-quic/dunlin/internal/recovery"
	"github.com/dunlin-quic/dunlin/internal/wire"
)

// How often the peer sends acknowledgments (draft-ietf-quic-ack-frequency).

// ownMinAckDelay is the shortest delay of acknowledgments that the peer may ask for: timers wake about a millisecond late.
const ownMinAckDelay = time.Millisecond

const (
	// acksPerWindow is how many acknowledgments of a congestion window the peer is asked for: enough for the controllers,
	// of which HyStart++ wants to see eight RTTs in a round trip.
	acksPerWindow = 16
	// maxAckThreshold is how many packets the peer is let wait for at most.
	maxAckThreshold = 64
	// minRequestedDelay is the least delay of acknowledgments that is asked for: where hosts take longer than the path, a
	// shorter one would make for probe timeouts that nothing but scheduling has caused.
	minRequestedDelay = 5 * time.Millisecond
)

// ackFrequency is what a connection asks its peer for, if that has said that it listens.
type ackFrequency struct {
	minDelay, maxDelay time.Duration // of the peer, by its transport parameters
	wanted             wire.AckFrequencyFrame
	due, inFlight      bool
}

// negotiateAckFrequency learns whether the peer takes ACK_FREQUENCY frames.
func (c *Conn) negotiateAckFrequency(tp *wire.TransportParameters) {
	if tp.HasMinAckDelay && c.cfg.AckFrequency {
		c.ackFrequency = &ackFrequency{
			minDelay: tp.MinAckDelay, maxDelay: tp.MaxAckDelay,
			wanted: wire.AckFrequencyFrame{Threshold: 1, Reordering: 1, MaxAckDelay: uint64(tp.MaxAckDelay / time.Microsecond)},
		}
	}
}

// updateAckFrequency decides, after packets have arrived, what to ask for. A connection of little data asks for nothing, and
// none asks again before the peer has heard it, or for what makes little difference.
func (c *Conn) updateAckFrequency() {
	q := c.ackFrequency
	if q == nil || q.inFlight || !c.confirmed {
		return
	}
	threshold := uint64(min(max(c.rec.Cwnd()/c.path.mtu.size/acksPerWindow, 1), maxAckThreshold))
	delay := q.maxDelay
	if threshold > 1 {
		delay = min(max(c.rec.SRTT(), minRequestedDelay, q.minDelay), q.maxDelay)
	}
	w := &q.wanted
	asked := time.Duration(w.MaxAckDelay) * time.Microsecond
	reordering := uint64(c.rec.ReorderingThreshold())
	if !farFrom(threshold, w.Threshold) && (threshold == 1 || reordering == w.Reordering && !farFrom(uint64(delay), uint64(asked))) {
		return
	}
	w.Seq++
	w.Threshold, w.Reordering, w.MaxAckDelay = threshold, reordering, uint64(delay/time.Microsecond)
	q.due = true
}

// farFrom reports whether two values differ by a factor of two or more.
func farFrom(a, b uint64) bool { return a >= 2*b || b >= 2*a }

// appendAckFrequency writes the ACK_FREQUENCY frame that is due.
func (c *Conn) appendAckFrequency(w *packetWriter) {
	q := c.ackFrequency
	if w.room() < wire.AckFrequencyLen(q.wanted) {
		return
	}
	w.buf = wire.AppendAckFrequency(w.buf, q.wanted)
	w.record(recovery.Frame{Type: wire.FrameAckFrequency, Offset: q.wanted.Seq})
	q.due, q.inFlight = false, true
	// Section 7: until the peer has it for sure, it may wait as long as before, or as it has just been asked to.
	c.rec.SetMaxAckDelay(max(c.rec.MaxAckDelay(), q.requested()))
}

func (q *ackFrequency) requested() time.Duration {
	return time.Duration(q.wanted.MaxAckDelay) * time.Microsecond
}

// ackFrequencyFate learns that the frame with that number was acknowledged or lost.
func (c *Conn) ackFrequencyFate(seq uint64, acked bool) {
	q := c.ackFrequency
	if seq != q.wanted.Seq {
		return
	}
	q.inFlight = false
	if acked {
		q.due = false
		c.rec.SetMaxAckDelay(q.requested())
		return
	}
	// The same frame again would do, but for its number: only what is newer counts, if this one was merely late.
	q.wanted.Seq++
	q.due = true
}

// handleAckRequest processes an ACK_FREQUENCY or IMMEDIATE_ACK frame.
func (c *Conn) handleAckRequest(t wire.FrameType, b []byte) (int, *TransportError) {
	if t == wire.FrameImmediateAck {
		c.recv.AckNow()
		return 1, nil
	}
	f, n := wire.ParseAckFrequency(b)
	if n == 0 {
		return 0, nil
	}
	return n, c.handleAckFrequency(f)
}

// handleAckFrequency processes an ACK_FREQUENCY frame.
func (c *Conn) handleAckFrequency(f wire.AckFrequencyFrame) *TransportError {
	const maxDelay = uint64(1<<14*time.Millisecond/time.Microsecond) - 1
	if f.MaxAckDelay > maxDelay || f.MaxAckDelay < uint64(ownMinAckDelay/time.Microsecond) {
		return transportError(ProtocolViolation, "a delay of acknowledgments that is not allowed")
	}
	c.recv.SetFrequency(f)
	return nil
}
