package qlog

import (
	"strconv"
	"time"
)

// RecoveryParametersSet tells the constants of loss detection and congestion control.
type RecoveryParametersSet struct {
	ReorderingThreshold           int     // packets
	TimeThreshold                 float64 // RTTs
	TimerGranularity              time.Duration
	InitialRTT                    time.Duration
	MaxDatagramSize               int // bytes
	InitialCongestionWindow       int // bytes
	MinimumCongestionWindow       int // bytes
	PersistentCongestionThreshold int // PTOs
}

// Name implements [Event].
func (*RecoveryParametersSet) Name() string { return "quic:recovery_parameters_set" }

// AppendData implements [Event].
func (e *RecoveryParametersSet) AppendData(b []byte) []byte {
	o := begin(b)
	o.uint("reordering_threshold", uint64(e.ReorderingThreshold))
	if e.TimeThreshold > 0 {
		o.key("time_threshold")
		o.b = strconv.AppendFloat(o.b, e.TimeThreshold, 'f', 3, 64)
	}
	o.mustUint("timer_granularity", uint64(e.TimerGranularity.Milliseconds()))
	o.ms("initial_rtt", e.InitialRTT)
	o.uint("max_datagram_size", uint64(e.MaxDatagramSize))
	o.uint("initial_congestion_window", uint64(e.InitialCongestionWindow))
	o.uint("minimum_congestion_window", uint64(e.MinimumCongestionWindow))
	o.uint("persistent_congestion_threshold", uint64(e.PersistentCongestionThreshold))
	return o.end()
}

// Metrics are what loss detection and congestion control measure and decide.
type Metrics struct {
	MinRTT, SmoothedRTT, LatestRTT, RTTVariance time.Duration
	PTOCount                                    int
	CongestionWindow                            int    // bytes
	BytesInFlight                               int    // bytes
	PacingRate                                  uint64 // bits per second; 0 while nothing is paced
}

// RecoveryMetricsUpdated tells which metrics changed.
type RecoveryMetricsUpdated struct{ Old, New Metrics }

// Name implements [Event].
func (*RecoveryMetricsUpdated) Name() string { return "quic:recovery_metrics_updated" }

// AppendData implements [Event].
func (e *RecoveryMetricsUpdated) AppendData(b []byte) []byte {
	o := begin(b)
	duration := func(k string, old, new time.Duration) {
		if old != new {
			o.ms(k, new)
		}
	}
	number := func(k string, old, new uint64) {
		if old != new {
			o.mustUint(k, new)
		}
	}
	duration("min_rtt", e.Old.MinRTT, e.New.MinRTT)
	duration("smoothed_rtt", e.Old.SmoothedRTT, e.New.SmoothedRTT)
	duration("latest_rtt", e.Old.LatestRTT, e.New.LatestRTT)
	duration("rtt_variance", e.Old.RTTVariance, e.New.RTTVariance)
	number("pto_count", uint64(e.Old.PTOCount), uint64(e.New.PTOCount))
	number("congestion_window", uint64(e.Old.CongestionWindow), uint64(e.New.CongestionWindow))
	number("bytes_in_flight", uint64(e.Old.BytesInFlight), uint64(e.New.BytesInFlight))
	number("pacing_rate", e.Old.PacingRate, e.New.PacingRate)
	return o.end()
}

// CongestionStateUpdated tells that the congestion controller behaves differently. The names of the states are the
// controller's.
type CongestionStateUpdated struct{ Old, New string }

// Name implements [Event].
func (*CongestionStateUpdated) Name() string { return "quic:congestion_state_updated" }

// AppendData implements [Event].
func (e *CongestionStateUpdated) AppendData(b []byte) []byte {
	o := begin(b)
	o.text("old", e.Old)
	o.mustText("new", e.New)
	return o.end()
}

// TimerUpdated tells of the loss detection timer.
type TimerUpdated struct {
	Type  TimerType
	Event TimerEvent
	Delta time.Duration // of TimerSet: how long until it expires
}

// TimerType names a timer.
type TimerType string

// The timers of a connection.
const (
	TimerPTO         TimerType = "pto"
	TimerLossTimeout TimerType = "loss_timeout"
	TimerIdleTimeout TimerType = "idle_timeout"
)

// TimerEvent is what happened to a timer.
type TimerEvent string

// What happens to a timer.
const (
	TimerSet       TimerEvent = "set"
	TimerExpired   TimerEvent = "expired"
	TimerCancelled TimerEvent = "cancelled"
)

// Name implements [Event].
func (*TimerUpdated) Name() string { return "quic:timer_updated" }

// AppendData implements [Event].
func (e *TimerUpdated) AppendData(b []byte) []byte {
	o := begin(b)
	o.name("timer_type", string(e.Type))
	o.name("event_type", string(e.Event))
	if e.Event == TimerSet {
		o.ms("delta", e.Delta)
	}
	return o.end()
}

// LossTrigger says by which rule a packet counts as lost.
type LossTrigger string

// The rules of RFC 9002, Section 6.1.
const (
	LostByReordering LossTrigger = "reordering_threshold"
	LostByTime       LossTrigger = "time_threshold"
)

// PacketLost tells that a packet counts as lost.
type PacketLost struct {
	Type     PacketType
	Number   uint64
	MTUProbe bool
	Trigger  LossTrigger
}

// Name implements [Event].
func (*PacketLost) Name() string { return "quic:packet_lost" }

// AppendData implements [Event].
func (e *PacketLost) AppendData(b []byte) []byte {
	o := begin(b)
	o.key("header")
	h := begin(o.b)
	h.name("packet_type", string(e.Type))
	h.mustUint("packet_number", e.Number)
	o.b = h.end()
	o.bool("is_mtu_probe_packet", e.MTUProbe)
	o.name("trigger", string(e.Trigger))
	return o.end()
}

// MarkedForRetransmit tells which frames are sent again because their packet was lost or for the sake of a probe.
type MarkedForRetransmit struct{ Frames []Frame }

// Name implements [Event].
func (*MarkedForRetransmit) Name() string { return "quic:marked_for_retransmit" }

// AppendData implements [Event].
func (e *MarkedForRetransmit) AppendData(b []byte) []byte {
	o := begin(b)
	o.frames(e.Frames)
	return o.end()
}

// ECNState is how far the validation of ECN has come (RFC 9000, Appendix A.4).
type ECNState string

// The states of ECN's validation.
const (
	ECNTesting ECNState = "testing"
	ECNUnknown ECNState = "unknown"
	ECNFailed  ECNState = "failed"
	ECNCapable ECNState = "capable"
)

// ECNStateUpdated tells that ECN's validation went on.
type ECNStateUpdated struct{ Old, New ECNState }

// Name implements [Event].
func (*ECNStateUpdated) Name() string { return "quic:ecn_state_updated" }

// AppendData implements [Event].
func (e *ECNStateUpdated) AppendData(b []byte) []byte {
	o := begin(b)
	o.name("old", string(e.Old))
	o.name("new", string(e.New))
	return o.end()
}
