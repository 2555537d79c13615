package recovery

import (
	"time"

	"github.com/dunlin-quic/dunlin/internal/congestion"
)

// Tracer is what a [Handler] is as well that wants to hear of packets: see [Recovery.Trace].
type Tracer interface {
	// PacketAcked: the packet is acknowledged for the first time.
	PacketAcked(space Space, pn uint64)
	// PacketLost: the packet, which was in flight, counts as lost, because of the time that passed or of the packets after it that arrived. The
	// frames of it follow.
	PacketLost(space Space, pn uint64, flags Flags, byTime bool)
}

// Trace makes every Handler hear of packets from now on, so it has to be a [Tracer].
func (r *Recovery) Trace() { r.traced = true }

// Constants are those of loss detection that a trace begins with (RFC 9002, Appendix A.2).
type Constants struct {
	PacketThreshold         int
	TimeThreshold           float64 // RTTs
	Granularity, InitialRTT time.Duration
	PersistentCongestion    int // PTOs
}

// Parameters returns the constants of loss detection.
func Parameters() Constants {
	return Constants{
		PacketThreshold: packetThreshold, TimeThreshold: 1 + timeThreshold/8.0, Granularity: granularity, InitialRTT: initialRTT,
		PersistentCongestion: 3,
	}
}

// PeerAckDelayExponent returns the peer's ack_delay_exponent.
func (r *Recovery) PeerAckDelayExponent() uint8 { return r.ackDelayExp }

// PacingRate returns how many bytes per second the pacer lets go, 0 for no limit.
func (r *Recovery) PacingRate() uint64 { return r.pacer.Rate() }

// CongestionState names the state that congestion control is in.
func (r *Recovery) CongestionState() string {
	if s, ok := r.cc.(congestion.Stater); ok {
		return s.State()
	}
	if r.cc.InSlowStart() {
		return "slow_start"
	}
	return "congestion_avoidance"
}

// ECNState names the state of ECN's validation, as qlog does.
func (r *Recovery) ECNState() string {
	switch r.ecn.state {
	case ecnTesting:
		return "testing"
	case ecnUnknown:
		return "unknown"
	case ecnCapable:
		return "capable"
	}
	return "failed"
}
