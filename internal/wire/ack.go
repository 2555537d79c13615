package wire

// AckRange is a range of acknowledged packet numbers, both ends included.
type AckRange struct{ Smallest, Largest uint64 }

// AckFrame is an ACK frame (RFC 9000, Section 19.3).
type AckFrame struct {
	Ranges         []AckRange // in descending order
	Delay          uint64     // as on the wire: to be scaled by the sender's ack_delay_exponent
	ECN            bool       // the counts are present
	ECT0, ECT1, CE uint64
}
