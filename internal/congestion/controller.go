// Package congestion decides how much may be in flight and how fast it goes out: the congestion controllers NewReno
// (RFC 9002, Section 7) and CUBIC (RFC 9438) with HyStart++ (RFC 9406), both with PRR (RFC 9937), BBR
// (draft-ietf-ccwg-bbr), and the [Pacer]. Loss detection, the count of bytes in flight and the measurement of delivery
// rates live in package recovery, which calls a [Controller].
package congestion

import (
	"time"

	"github.com/dunlin-quic/dunlin/internal/monotime"
)

// Ack describes the packets that one ACK frame newly acknowledged, all of one path.
type Ack struct {
	Now      monotime.Time
	Sent     monotime.Time // when the newest of the packets was sent
	Bytes    int           // total size of the packets
	InFlight int           // bytes in flight before this ACK
	// InFlightNow are the bytes in flight without these packets and those that the ACK showed to be lost, SentBytes all
	// bytes ever sent that were in flight.
	InFlightNow int
	SentBytes   uint64
	RTT         time.Duration // the latest sample, 0 if this ACK gave none
	MinRTT      time.Duration
	SRTT        time.Duration
	// AppLimited tells that the window was not in full use while the packets were in flight, so that their arrival
	// says nothing about a larger one (RFC 9002, Section 7.8).
	AppLimited bool
}

// Controller is a congestion controller of one path. All sizes are UDP payload bytes.
type Controller interface {
	// OnAck hears of packets that were newly acknowledged.
	OnAck(Ack)
	// OnCongestion hears of a loss, or of an increase of the ECN-CE count, of which the newest packet was sent at
	// sent. It reports whether that began a new recovery period: packets sent before the current one began did not.
	OnCongestion(now, sent monotime.Time) bool
	// OnPersistentCongestion hears that nothing got through for long (RFC 9002, Section 7.6).
	OnPersistentCongestion(now monotime.Time)
	// OnSpurious hears that all the losses of the last recovery period were none: the packets were late. The controller
	// takes back what it did when the period began.
	OnSpurious()
	// SetMaxDatagramSize changes the size of a full packet. It never lowers the window by more than it must.
	SetMaxDatagramSize(n int)
	// Window returns the congestion window in bytes.
	Window() int
	// InSlowStart reports whether the window is still being searched for.
	InSlowStart() bool
}

// Stater is a Controller whose states have names, for traces.
type Stater interface{ State() string }

// initialWindow is RFC 9002, Section 7.2's.
func initialWindow(maxDatagram int) int { return min(10*maxDatagram, max(14720, 2*maxDatagram)) }

// minWindowPackets is the minimum congestion window in full packets (RFC 9002, Section 7.2).
const minWindowPackets = 2
