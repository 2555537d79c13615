package wire

// MaxPacketNumber is the highest packet number (RFC 9000, Section 12.3).
const MaxPacketNumber = MaxVarint

// PNLen returns how many bytes, 1 to 4, packet number pn needs so that the peer can't mistake it, when the peer has
// acknowledged nothing at or above next: one more than the largest acknowledged number, 0 if none is.
//
// RFC 9000, Section 17.1: the encoding must cover more than twice the range of unacknowledged numbers.
func PNLen(pn, next uint64) int {
	switch d := pn + 1 - next; {
	case d < 1<<7:
		return 1
	case d < 1<<15:
		return 2
	case d < 1<<23:
		return 3
	}
	return 4
}

// AppendPN appends the low n bytes of pn.
func AppendPN(b []byte, pn uint64, n int) []byte {
	switch n {
	case 1:
		return append(b, byte(pn))
	case 2:
		return append(b, byte(pn>>8), byte(pn))
	case 3:
		return append(b, byte(pn>>16), byte(pn>>8), byte(pn))
	}
	return append(b, byte(pn>>24), byte(pn>>16), byte(pn>>8), byte(pn))
}

// ParsePN returns the truncated packet number in b[:n].
func ParsePN(b []byte, n int) uint64 {
	var v uint64
	for _, x := range b[:n] {
		v = v<<8 | uint64(x)
	}
	return v
}

// DecodePN returns the packet number closest to expected whose low n bytes are truncated. expected is one more than
// the largest number received in the packet number space, 0 if none was (RFC 9000, Appendix A.3).
func DecodePN(expected, truncated uint64, n int) uint64 {
	win := uint64(1) << (8 * n)
	pn := expected&^(win-1) | truncated
	switch {
	case pn+win/2 <= expected && pn+win <= MaxPacketNumber:
		return pn + win
	case pn > MaxPacketNumber || pn > expected+win/2 && pn >= win:
		return pn - win
	}
	return pn
}
