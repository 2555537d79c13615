package qpack

// maxInt is the largest prefixed integer: RFC 9204, Section 4.1.1 asks for 62 bits, and no valid stream ID, index or
// length is longer.
const maxInt = 1<<62 - 1

// Results of parseInt and parseString in place of a length.
const (
	incomplete = 0  // more bytes are needed
	malformed  = -1 // no further bytes can help
)

// parseInt reads an integer whose first byte leaves it the low prefix bits (RFC 7541, Section 5.1). It returns how many
// bytes it took, incomplete, or malformed when the value exceeds maxInt or is padded beyond what that needs.
func parseInt(b []byte, prefix uint) (v uint64, n int) {
	if len(b) == 0 {
		return 0, incomplete
	}
	mask := uint64(1)<<prefix - 1
	v = uint64(b[0]) & mask
	if v < mask {
		return v, 1
	}
	for i, shift := 1, uint(0); i < len(b); i, shift = i+1, shift+7 {
		c := b[i]
		if shift > 56 || shift == 56 && c&0x7f > 0x3f {
			return 0, malformed
		}
		v += uint64(c&0x7f) << shift
		if c&0x80 == 0 {
			if v > maxInt {
				return 0, malformed
			}
			return v, i + 1
		}
	}
	return 0, incomplete
}

// appendInt appends v with the given prefix length; first holds the bits above the prefix.
func appendInt(b []byte, first byte, prefix uint, v uint64) []byte {
	mask := uint64(1)<<prefix - 1
	if v < mask {
		return append(b, first|byte(v))
	}
	b = append(b, first|byte(mask))
	for v -= mask; v >= 0x80; v >>= 7 {
		b = append(b, byte(v)|0x80)
	}
	return append(b, byte(v))
}
