package recovery

import (
	"errors"
	"time"

	"github.com/dunlin-quic/dunlin/internal/congestion"
	"github.com/dunlin-quic/dunlin/internal/monotime"
	"github.com/dunlin-quic/dunlin/internal/wire"
)

// ErrAckOfUnsent is returned for an ACK frame that acknowledges a packet that was never sent: a PROTOCOL_VIOLATION
// (RFC 9000, Section 13.1).
var ErrAckOfUnsent = errors.New("recovery: acknowledgment of a packet that was not sent")

// Config configures a Recovery.
type Config struct {
	Client      bool
	Controller  congestion.Controller
	MaxDatagram int           // size of a full packet, bytes
	InitialRTT  time.Duration // default 333 ms (RFC 9002, Section 6.2.2)
	NoPacing    bool
	Seed        [2]uint64 // for the packet numbers that are skipped; unpredictable to the peer
}

// Recovery is the sending side of loss detection and congestion control of one connection. Use [Recovery.Init].
type Recovery struct{ _ int }

// Init makes r ready for use.
func (r *Recovery) Init(cfg Config) { panic("skeleton") }

// NextPN returns the number of the next packet to be sent in space. It stays the same until Sent is called.
func (r *Recovery) NextPN(space Space) uint64 { panic("skeleton") }

// LargestAcked returns the largest packet number that the peer acknowledged in space.
func (r *Recovery) LargestAcked(space Space) (pn uint64, ok bool) { panic("skeleton") }

// Record remembers a frame of the packet being built in space.
func (r *Recovery) Record(space Space, f Frame) { panic("skeleton") }

// Recorded returns how many frames have been recorded for the packet being built in space.
func (r *Recovery) Recorded(space Space) int { panic("skeleton") }

// Abandon forgets what was recorded for a packet that is not sent after all.
func (r *Recovery) Abandon(space Space) { panic("skeleton") }

// Sent tells that the packet numbered NextPN(space), of size bytes, goes out at now with the recorded frames.
func (r *Recovery) Sent(now monotime.Time, space Space, size int, flags Flags) { panic("skeleton") }

// OnAck processes an ACK frame in a packet of space that the socket had at received. Frames become known as acknowledged
// or lost to h before it returns.
func (r *Recovery) OnAck(now, received monotime.Time, space Space, ack *wire.AckFrame, h Handler) error {
	panic("skeleton")
}

// SendTime returns when the next packet of size bytes may be sent, if it is subject to congestion control: now or before
// for at once, later if the pacer holds it, monotime.Never if the congestion window is full. Probes that are owed, and
// packets that are not in flight, need not ask.
func (r *Recovery) SendTime(now monotime.Time, size int) monotime.Time { panic("skeleton") }

// ProbesOwed returns how many ack-eliciting packets should be sent in space because of a probe timeout, regardless of
// congestion window and pacer. Sent of an ack-eliciting packet pays one back. If nothing else is to be sent, send PING.
func (r *Recovery) ProbesOwed(space Space) int { panic("skeleton") }

// WantPing reports that the packet about to be sent in space, if it would only carry an ACK, should carry a PING as well:
// the peer has acknowledged nothing for so long that our ACK ranges cannot be pruned (RFC 9000, Section 13.2.4).
func (r *Recovery) WantPing(space Space) bool { panic("skeleton") }

// Timeout returns when OnTimeout is to be called, zero for not at all.
func (r *Recovery) Timeout() monotime.Time { panic("skeleton") }

// OnTimeout does what is due at now: declares packets lost by time, or lets a probe timeout pass, after which ProbesOwed
// is not zero and the oldest frames in flight were told lost to h, to be sent again. It reports whether a probe timeout
// passed. Calling it early is harmless.
func (r *Recovery) OnTimeout(now monotime.Time, h Handler) (pto bool) { panic("skeleton") }

// DropSpace forgets everything about space, whose keys were discarded (RFC 9002, Section 6.4).
func (r *Recovery) DropSpace(space Space) { panic("skeleton") }

// Requeue tells h that every frame in flight in space is lost, without regarding that as congestion: after a Retry and
// after rejected 0-RTT (RFC 9002, Sections 6.3 and 6.4). Packet numbers go on.
func (r *Recovery) Requeue(space Space, h Handler) { panic("skeleton") }

// ResetPath starts afresh on another path: new controller, RTT unknown; what is in flight on the old one still gets
// acknowledged or lost but counts no more (RFC 9000, Section 9.4).
func (r *Recovery) ResetPath(c congestion.Controller, maxDatagram int) { panic("skeleton") }

// SetHandshakeKeys tells that Handshake packets can be sent.
func (r *Recovery) SetHandshakeKeys() { panic("skeleton") }

// SetHandshakeConfirmed tells that the handshake is confirmed (RFC 9001, Section 4.1.2).
func (r *Recovery) SetHandshakeConfirmed() { panic("skeleton") }

// SetPeerAckDelay tells the peer's transport parameters max_ack_delay and ack_delay_exponent.
func (r *Recovery) SetPeerAckDelay(maxDelay time.Duration, exponent uint8) { panic("skeleton") }

// SetAmplificationLimited tells whether the server can send nothing before it receives more: no probe timeout is armed
// meanwhile (RFC 9002, Section 6.2.2.1).
func (r *Recovery) SetAmplificationLimited(limited bool) { panic("skeleton") }

// SetMaxDatagram changes the size of a full packet, after path MTU discovery.
func (r *Recovery) SetMaxDatagram(n int) { panic("skeleton") }

// MarkECT0 reports whether packets should be sent with ECT(0): the path is being tested for ECN, or passed
// (RFC 9000, Section 13.4.2).
func (r *Recovery) MarkECT0() bool { panic("skeleton") }

// PTO returns the probe timeout of space without backoff (RFC 9002, Section 6.2.1). For other uses of that period
// (closing, path validation, key update), AppData's is meant.
func (r *Recovery) PTO(space Space) time.Duration { panic("skeleton") }

// PTOCount returns how many probe timeouts have passed in a row.
func (r *Recovery) PTOCount() int { panic("skeleton") }

// SRTT, MinRTT, RTTVar and LatestRTT are RFC 9002, Section 5's; before the first sample the first is the initial RTT and
// the second and the last are 0.
func (r *Recovery) SRTT() time.Duration      { panic("skeleton") }
func (r *Recovery) MinRTT() time.Duration    { panic("skeleton") }
func (r *Recovery) RTTVar() time.Duration    { panic("skeleton") }
func (r *Recovery) LatestRTT() time.Duration { panic("skeleton") }

// Cwnd returns the congestion window, InFlight what of it is used, in bytes.
func (r *Recovery) Cwnd() int     { panic("skeleton") }
func (r *Recovery) InFlight() int { panic("skeleton") }

// Counters are totals over the connection's life.
type Counters struct {
	PacketsLost, BytesLost, SpuriousLosses, PTOs uint64
}

// Counters returns the totals so far.
func (r *Recovery) Counters() Counters { panic("skeleton") }
