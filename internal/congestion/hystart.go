package congestion

import (
	"math"
	"time"

	"github.com/dunlin-quic/dunlin/internal/monotime"
)

// Constants of RFC 9406, Section 4.3. L, the limit of growth per ACK, is infinite since sending is paced.
const (
	hystartMinThreshold = 4 * time.Millisecond
	hystartMaxThreshold = 16 * time.Millisecond
	hystartRTTDivisor   = 8
	hystartSamples      = 8
	hystartCSSDivisor   = 4
	hystartCSSRounds    = 5
)

// noRTT is longer than every RTT.
const noRTT = time.Duration(math.MaxInt64)

// hystart is HyStart++ (RFC 9406): it leaves slow start when the RTT rises, before packets are lost, by way of
// conservative slow start (CSS), which checks that the rise was no accident.
type hystart struct {
	round       monotime.Time // a round ends when a packet sent later than this is acknowledged
	lastMin     time.Duration // of the previous round
	currentMin  time.Duration
	samples     int
	css         bool
	cssRounds   int
	cssBaseline time.Duration
}

func (h *hystart) reset() { *h = hystart{lastMin: noRTT, currentMin: noRTT} }

// onAck returns by what the growth of the window is to be divided, and whether slow start is over.
func (h *hystart) onAck(a Ack) (divisor float64, done bool) {
	if a.Sent > h.round {
		h.round = a.Now
		h.lastMin, h.currentMin, h.samples = h.currentMin, noRTT, 0
		if h.css {
			h.cssRounds++
			if h.cssRounds >= hystartCSSRounds {
				return 0, true
			}
		}
	}
	if a.RTT > 0 {
		h.currentMin = min(h.currentMin, a.RTT)
		h.samples++
	}
	if h.samples >= hystartSamples {
		switch {
		case h.css:
			if h.currentMin < h.cssBaseline {
				h.css = false
			}
		case h.lastMin != noRTT:
			threshold := min(max(h.lastMin/hystartRTTDivisor, hystartMinThreshold), hystartMaxThreshold)
			if h.currentMin >= h.lastMin+threshold {
				h.css, h.cssRounds, h.cssBaseline = true, 0, h.currentMin
			}
		}
	}
	if h.css {
		return hystartCSSDivisor, false
	}
	return 1, false
}
