package recovery

import (
	"time"

	"github.com/dunlin-quic/dunlin/internal/monotime"
)

const (
	initialRTT  = 333 * time.Millisecond // RFC 9002, Section 6.2.2: kInitialRtt
	granularity = time.Millisecond       // RFC 9002, Section 6.1.2: kGranularity
)

// rtt estimates the round-trip time of the current path (RFC 9002, Section 5).
type rtt struct {
	latest, min, max    time.Duration
	smoothed, variation time.Duration
	first               monotime.Time // when the first sample was taken
}

// init forgets all samples. An initial RTT of 0 means the default.
func (e *rtt) init(initial time.Duration) {
	if initial <= 0 {
		initial = initialRTT
	}
	*e = rtt{smoothed: initial, variation: initial / 2}
}

// update takes a sample. ackDelay is what the peer reports to have waited; maxAckDelay what it promised not to exceed,
// which holds once the handshake is confirmed.
func (e *rtt) update(now monotime.Time, sample, ackDelay, maxAckDelay time.Duration, confirmed bool) {
	e.latest = max(sample, 1)
	e.max = max(e.max, e.latest)
	if e.first == 0 {
		e.first = now
		e.min = e.latest
		e.smoothed = e.latest
		e.variation = e.latest / 2
		return
	}
	// Section 5.2: min_rtt ignores the reported delay, so that a lying peer can't make it too low.
	e.min = min(e.min, e.latest)
	if confirmed {
		ackDelay = min(ackDelay, maxAckDelay)
	}
	adjusted := e.latest
	if adjusted-e.min >= ackDelay {
		adjusted -= ackDelay
	}
	e.variation = (3*e.variation + (e.smoothed - adjusted).Abs()) / 4
	e.smoothed = (7*e.smoothed + adjusted) / 8
}

// pto returns the probe timeout without the peer's max_ack_delay (RFC 9002, Section 6.2.1).
func (e *rtt) pto() time.Duration { return e.smoothed + max(4*e.variation, granularity) }
