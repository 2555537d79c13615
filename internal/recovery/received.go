package recovery

import (
	"time"

	"github.com/dunlin-quic/dunlin/internal/monotime"
)

// Received remembers which packets arrived in one packet number space and decides when to acknowledge them
// (RFC 9000, Section 13.2). Use [Received.Init].
type Received struct{ _ int }

// Init makes r ready for use in space. maxAckDelay and exponent are the transport parameters that this side sent.
func (r *Received) Init(space Space, maxAckDelay time.Duration, exponent uint8) { panic("skeleton") }

// Largest returns the largest packet number received.
func (r *Received) Largest() (pn uint64, ok bool) { panic("skeleton") }

// Duplicate reports whether pn arrived before, or is so old that this is no longer known (RFC 9000, Section 12.3).
func (r *Received) Duplicate(pn uint64) bool { panic("skeleton") }

// Add tells that the packet numbered pn, not a duplicate, arrived at received with the ECN codepoint ecn (as in the IP
// header) and was processed.
func (r *Received) Add(received monotime.Time, pn uint64, ackEliciting bool, ecn uint8) {
	panic("skeleton")
}

// AckDue reports whether an ACK should be sent now, on its own if need be. Ask after a whole batch was received, so that it
// gets one ACK.
func (r *Received) AckDue(now monotime.Time) bool { panic("skeleton") }

// AckPending reports whether ack-eliciting packets wait for acknowledgment: a packet that is sent for another reason
// should carry an ACK frame.
func (r *Received) AckPending() bool { panic("skeleton") }

// AckDeadline returns when AckDue will become true by itself, zero for not at all.
func (r *Received) AckDeadline() monotime.Time { panic("skeleton") }

// AppendAck appends an ACK frame of at most room bytes for everything received, newest ranges first, and marks it as sent;
// it appends nothing if not even one range fits. Record the frame with Offset set to Largest, and call OnAckOfAck when it is
// acknowledged.
func (r *Received) AppendAck(b []byte, now monotime.Time, room int) []byte { panic("skeleton") }

// OnAckOfAck tells that the peer has an ACK frame with that largest acknowledged: what is older needs no repeating.
func (r *Received) OnAckOfAck(largest uint64) { panic("skeleton") }
