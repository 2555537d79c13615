package wire

import (
	"math"
	"math/bits"
	"time"

	"github.com/dunlin-quic/dunlin/internal/rangeset"
)

// MaxAckRanges is how many ranges of an ACK frame are kept when it is parsed: the newest ones.
const MaxAckRanges = 256

// AckRange is a range of acknowledged packet numbers, both ends included.
type AckRange struct{ Smallest, Largest uint64 }

// ECNCounts are the ECN counts of an ACK frame (RFC 9000, Section 19.3.2).
type ECNCounts struct{ ECT0, ECT1, CE uint64 }

// AckFrame is an ACK frame (RFC 9000, Section 19.3).
type AckFrame struct {
	Ranges []AckRange // descending, at least one
	Delay  uint64     // as it stands in the frame, see DelayDuration
	HasECN bool
	ECN    ECNCounts
}

// Largest returns the largest packet number acknowledged.
func (f *AckFrame) Largest() uint64 { return f.Ranges[0].Largest }

// DelayDuration returns the ACK delay, where exponent is the peer's ack_delay_exponent. What no Duration holds is
// cut to the longest one.
func (f *AckFrame) DelayDuration(exponent uint8) time.Duration {
	const limit = math.MaxInt64 / uint64(time.Microsecond)
	if bits.Len64(f.Delay)+int(exponent) > 63 || f.Delay<<exponent > limit {
		return math.MaxInt64
	}
	return time.Duration(f.Delay<<exponent) * time.Microsecond
}

// AckRanges returns how many ranges an ACK frame of either type says it has; what can't be parsed may have any number.
func AckRanges(b []byte) uint64 {
	if len(b) == 0 {
		return 0
	}
	r := reader{b: b, pos: 1}
	r.varint()
	r.varint()
	return r.varint() + 1
}

// ParseAck parses an ACK frame of either type. Its ranges are appended to scratch[:0]; past MaxAckRanges of them, the
// lower ones are checked and left out.
func ParseAck(b []byte, scratch []AckRange) (f AckFrame, n int) {
	if len(b) == 0 || FrameType(b[0])&^1 != FrameAck {
		return f, 0
	}
	r := reader{b: b, pos: 1}
	largest := r.varint()
	f.Delay = r.varint()
	count := r.varint()
	first := r.varint()
	// RFC 9000, Section 19.3.1: a computed packet number below zero is an error. Each further range takes two bytes
	// or more, which bounds the loop by the packet's size.
	if r.bad || first > largest || count > uint64(len(b)) {
		return f, 0
	}
	smallest := largest - first
	f.Ranges = append(scratch[:0], AckRange{smallest, largest})
	for range count {
		gap := r.varint()
		length := r.varint()
		if r.bad || smallest < gap+2 || smallest-gap-2 < length {
			return f, 0
		}
		largest = smallest - gap - 2
		smallest = largest - length
		if len(f.Ranges) < MaxAckRanges {
			f.Ranges = append(f.Ranges, AckRange{smallest, largest})
		}
	}
	if FrameType(b[0]) == FrameAckECN {
		f.HasECN = true
		f.ECN = ECNCounts{ECT0: r.varint(), ECT1: r.varint(), CE: r.varint()}
	}
	return f, r.end()
}

// AppendAck appends an ACK frame for the packet numbers in received, whose ranges ascend. It takes at most room bytes:
// what does not fit is left out, lowest first. If not even the highest range fits, or there is none, nothing is
// appended. A frame with ECN counts is written if ecn is not nil.
func AppendAck(b []byte, received []rangeset.Range, delay uint64, ecn *ECNCounts, room int) []byte {
	if len(received) == 0 {
		return b
	}
	i := len(received) - 1
	last := received[i]
	size := 1 + VarintLen(last.End-1) + VarintLen(delay) + VarintLen(uint64(i)) + VarintLen(last.Len()-1)
	if ecn != nil {
		size += VarintLen(ecn.ECT0) + VarintLen(ecn.ECT1) + VarintLen(ecn.CE)
	}
	if size > room {
		return b
	}
	lowest := i
	for lowest > 0 {
		gap, length := ackGap(received, lowest-1)
		if size += VarintLen(gap) + VarintLen(length); size > room {
			break
		}
		lowest--
	}
	typ := FrameAck
	if ecn != nil {
		typ = FrameAckECN
	}
	b = append(b, byte(typ))
	b = AppendVarint(b, last.End-1)
	b = AppendVarint(b, delay)
	b = AppendVarint(b, uint64(i-lowest))
	b = AppendVarint(b, last.Len()-1)
	for j := i - 1; j >= lowest; j-- {
		gap, length := ackGap(received, j)
		b = AppendVarint(b, gap)
		b = AppendVarint(b, length)
	}
	if ecn != nil {
		b = AppendVarint(b, ecn.ECT0)
		b = AppendVarint(b, ecn.ECT1)
		b = AppendVarint(b, ecn.CE)
	}
	return b
}

// ackGap returns the Gap and ACK Range Length fields of range i, which is not the highest: one less than the count of
// unacknowledged numbers above it, and one less than its own length.
func ackGap(r []rangeset.Range, i int) (gap, length uint64) {
	return r[i+1].Start - r[i].End - 1, r[i].Len() - 1
}
