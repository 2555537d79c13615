package recovery

import (
	"math"
	"time"

	"github.com/dunlin-quic/dunlin/internal/monotime"
	"github.com/dunlin-quic/dunlin/internal/wire"
)

// ackFrequency is what the peer has asked for in ACK_FREQUENCY frames (draft-ietf-quic-ack-frequency, Section 4), and what is
// needed to obey. Until the first of them a Received has none.
type ackFrequency struct {
	seq        uint64
	threshold  int32  // how many ack-eliciting packets may wait
	reordering uint64 // how far out of order packets may be before they are acknowledged at once; 0 for any distance
	marked     bool   // the last packet was CE-marked
	acked      uint64 // one more than the largest number in an ACK that was sent, 0 if there is none
}

// SetFrequency obeys an ACK_FREQUENCY frame, unless a later one came before it.
func (r *Received) SetFrequency(f wire.AckFrequencyFrame) {
	q := r.frequency
	switch {
	case q == nil:
		q = new(ackFrequency)
		r.frequency = q
	case f.Seq <= q.seq:
		return
	}
	q.seq, q.reordering = f.Seq, f.Reordering
	q.threshold = int32(min(f.Threshold, math.MaxInt32-1))
	r.maxAckDelay = time.Duration(f.MaxAckDelay) * time.Microsecond
}

// AckNow makes an ACK due: the peer has sent IMMEDIATE_ACK.
func (r *Received) AckNow() { r.immediate = true }

// add decides about a packet as the peer has asked for.
func (q *ackFrequency) add(r *Received, pn uint64, eliciting, inOrder bool, ecn uint8) {
	marked := q.marked
	q.marked = ecn == ecnCE
	if !eliciting {
		return
	}
	// Section 6.3: of consecutive marks the first one, or all where the peer has asked for no less than the usual.
	if q.marked && (!marked || q.threshold <= 1) {
		r.immediate = true
	}
	switch {
	case q.reordering == 0:
	case q.reordering == 1:
		r.immediate = r.immediate || !inOrder
	default:
		r.immediate = r.immediate || q.outOfOrder(r, pn)
	}
}

// outOfOrder reports whether the peer would declare a packet lost if it knew what has arrived, or has done so with the one
// numbered pn (Section 6.2).
func (q *ackFrequency) outOfOrder(r *Received, pn uint64) bool {
	reported := uint64(0) // what is missing below is known to the peer as lost
	if q.acked > q.reordering {
		reported = q.acked - q.reordering
		if pn < reported {
			return true
		}
	}
	largest, _ := r.numbers.Max()
	missing, ok := r.numbers.Gap(max(reported, r.floor), largest)
	return ok && largest-missing.Start >= q.reordering
}

// SetMaxAckDelay tells how long the peer waits with acknowledgments at most, now that it was asked for something else.
func (r *Recovery) SetMaxAckDelay(d time.Duration) {
	if d != r.maxAckDelay {
		r.maxAckDelay = d
		r.timeoutStale = true
	}
}

// MaxAckDelay returns how long the peer waits with acknowledgments at most.
func (r *Recovery) MaxAckDelay() time.Duration { return r.maxAckDelay }

// ReorderingThreshold returns by how many packets one must be overtaken to count as lost.
func (r *Recovery) ReorderingThreshold() int { return int(r.reorder.packets) }

// due is AckDue's share of a Received whose peer asked for a frequency.
func (q *ackFrequency) due(r *Received, now monotime.Time) bool {
	return r.waiting > q.threshold || r.immediate || r.deadline != 0 && r.deadline <= now
}
