package recovery

import (
	"time"

	"github.com/dunlin-quic/dunlin/internal/monotime"
	"github.com/dunlin-quic/dunlin/internal/rangeset"
	"github.com/dunlin-quic/dunlin/internal/wire"
)

const (
	// maxReceivedRanges is how many ranges of received packet numbers are remembered. Packets below them count as
	// received (RFC 9000, Section 13.2.3).
	maxReceivedRanges = 128
	// ackEvery is how many ack-eliciting packets are acknowledged without delay (RFC 9000, Section 13.2.2).
	ackEvery = 2
)

// ecnCE is the codepoint of a congestion mark in the IP header, ecnECT1 and ecnECT0 those of packets that can be marked
// (RFC 3168, Section 5).
const (
	ecnECT1 = 1
	ecnECT0 = 2
	ecnCE   = 3
)

// Received remembers which packets arrived in one packet number space and decides when to acknowledge them
// (RFC 9000, Section 13.2). Use [Received.Init].
type Received struct {
	numbers   rangeset.Set
	floor     uint64 // what is below is no longer remembered, and counts as received
	largestAt monotime.Time
	ecn       wire.ECNCounts

	waiting     int32 // ack-eliciting packets since the last ACK
	immediate   bool  // do not wait for a second one
	space       Space
	exponent    uint8
	deadline    monotime.Time
	maxAckDelay time.Duration
	frequency   *ackFrequency // nil unless the peer has asked for one
	refused     *rangeset.Set // what Refuse has told; nil for nothing
}

// Init makes r ready for use in space. maxAckDelay and exponent are the transport parameters that this side sent.
func (r *Received) Init(space Space, maxAckDelay time.Duration, exponent uint8) {
	*r = Received{space: space, maxAckDelay: maxAckDelay, exponent: exponent}
}

// Largest returns the largest packet number received.
func (r *Received) Largest() (pn uint64, ok bool) { return r.numbers.Max() }

// Duplicate reports whether pn arrived before, or is so old that this is no longer known (RFC 9000, Section 12.3).
func (r *Received) Duplicate(pn uint64) bool {
	return pn < r.floor || r.numbers.Contains(pn) || r.refused != nil && r.refused.Contains(pn)
}

// Refuse tells that the packet numbered pn, not a duplicate, arrived and was processed in part. It is never acknowledged, so
// that the peer sends again in another packet what was in it, and is a duplicate if it comes again.
func (r *Received) Refuse(pn uint64) {
	if r.refused == nil {
		r.refused = new(rangeset.Set)
	}
	r.refused.Add(pn, pn+1)
	if r.refused.Len() > maxReceivedRanges {
		r.floor = max(r.floor, r.refused.Range(0).End)
		r.refused.DropFirst(1)
	}
}

// Add tells that the packet numbered pn, not a duplicate, arrived at received with the ECN codepoint ecn (as in the IP
// header) and was processed.
func (r *Received) Add(received monotime.Time, pn uint64, ackEliciting bool, ecn uint8) {
	largest, any := r.numbers.Max()
	r.numbers.Add(pn, pn+1)
	if n := r.numbers.Len(); n > maxReceivedRanges {
		r.floor = r.numbers.Range(n - maxReceivedRanges).Start
		r.numbers.DropFirst(n - maxReceivedRanges)
	}
	if !any || pn > largest {
		r.largestAt = received
	}
	switch ecn {
	case ecnECT0:
		r.ecn.ECT0++
	case ecnECT1:
		r.ecn.ECT1++
	case ecnCE:
		r.ecn.CE++
	}
	inOrder := !any || pn == largest+1
	if r.frequency != nil {
		r.frequency.add(r, pn, ackEliciting, inOrder, ecn)
	}
	if !ackEliciting {
		return
	}
	r.waiting++
	// RFC 9000, Section 13.2.1: at once in Initial and Handshake packets, when a packet comes late or leaves a gap, and
	// when the network signals congestion.
	if r.frequency == nil && (r.space != AppData || ecn == ecnCE || !inOrder) {
		r.immediate = true
	}
	if r.deadline == 0 {
		r.deadline = received.Add(r.maxAckDelay)
	}
}

// AckDue reports whether an ACK should be sent now, on its own if need be. Ask after a whole batch was received, so
// that it gets one ACK.
func (r *Received) AckDue(now monotime.Time) bool {
	if r.frequency != nil {
		return r.frequency.due(r, now)
	}
	return r.waiting >= ackEvery || r.immediate || r.deadline != 0 && r.deadline <= now
}

// AckPending reports whether ack-eliciting packets wait for acknowledgment: a packet that is sent for another reason
// should carry an ACK frame.
func (r *Received) AckPending() bool { return r.waiting > 0 }

// AckDeadline returns when AckDue will become true by itself, zero for not at all.
func (r *Received) AckDeadline() monotime.Time { return r.deadline }

// AppendAck appends an ACK frame of at most room bytes for everything received, newest ranges first, and marks it as
// sent; it appends nothing if not even one range fits. Record the frame with Offset set to Largest, and call OnAckOfAck
// when it is acknowledged.
func (r *Received) AppendAck(b []byte, now monotime.Time, room int) []byte {
	// Section 13.2.5: only the wait before an acknowledgment was sent, and only where the peer subtracts it.
	delay := uint64(max(now.Sub(r.largestAt), 0)/time.Microsecond) >> r.exponent
	var ecn *wire.ECNCounts
	if r.ecn != (wire.ECNCounts{}) {
		ecn = &r.ecn
	}
	n := len(b)
	b = wire.AppendAck(b, r.numbers.Ranges(), delay, ecn, room)
	if len(b) > n {
		r.waiting, r.immediate, r.deadline = 0, false, 0
		if r.frequency != nil {
			largest, _ := r.numbers.Max()
			r.frequency.acked = largest + 1
		}
	}
	return b
}

// OnAckOfAck tells that the peer has an ACK frame with that largest acknowledged: what is older needs no repeating
// (RFC 9000, Section 13.2.4). The range that contains it is kept, so that an ACK can always be sent.
func (r *Received) OnAckOfAck(largest uint64) {
	n := 0
	for n < r.numbers.Len()-1 && r.numbers.Range(n).End <= largest {
		n++
	}
	if n > 0 {
		r.floor = max(r.floor, r.numbers.Range(n).Start)
		r.numbers.DropFirst(n)
	}
}
