package wire

import "encoding/binary"

// MaxVarint is the largest integer that a variable-length integer holds (RFC 9000, Section 16).
const MaxVarint = 1<<62 - 1

// VarintLen returns how many bytes the shortest encoding of v takes: 1, 2, 4 or 8. v must not exceed MaxVarint.
func VarintLen(v uint64) int {
	switch {
	case v < 1<<6:
		return 1
	case v < 1<<14:
		return 2
	case v < 1<<30:
		return 4
	case v <= MaxVarint:
		return 8
	}
	panic("wire: integer does not fit a variable-length integer")
}

// AppendVarint appends the shortest encoding of v, which must not exceed MaxVarint.
func AppendVarint(b []byte, v uint64) []byte {
	switch {
	case v < 1<<6:
		return append(b, byte(v))
	case v < 1<<14:
		return append(b, byte(v>>8)|0x40, byte(v))
	case v < 1<<30:
		return binary.BigEndian.AppendUint32(b, uint32(v)|0x80<<24)
	case v <= MaxVarint:
		return binary.BigEndian.AppendUint64(b, v|0xc0<<56)
	}
	panic("wire: integer does not fit a variable-length integer")
}

// AppendVarint2 appends v in two bytes whatever its size, for lengths that are patched in later. v must be below 2^14.
func AppendVarint2(b []byte, v uint64) []byte {
	if v >= 1<<14 {
		panic("wire: integer does not fit a 2-byte variable-length integer")
	}
	return append(b, byte(v>>8)|0x40, byte(v))
}

// PutVarint2 writes v to b[:2] as AppendVarint2 does.
func PutVarint2(b []byte, v uint64) { AppendVarint2(b[:0], v) }

// ParseVarint returns the integer that b begins with and the length of its encoding, 0 if b is truncated.
func ParseVarint(b []byte) (v uint64, n int) {
	if len(b) == 0 {
		return 0, 0
	}
	if b[0] < 0x40 {
		return uint64(b[0]), 1
	}
	return parseLongVarint(b)
}

func parseLongVarint(b []byte) (uint64, int) {
	switch b[0] >> 6 {
	case 1:
		if len(b) >= 2 {
			return uint64(binary.BigEndian.Uint16(b) & 0x3fff), 2
		}
	case 2:
		if len(b) >= 4 {
			return uint64(binary.BigEndian.Uint32(b) & 0x3fffffff), 4
		}
	case 3:
		if len(b) >= 8 {
			return binary.BigEndian.Uint64(b) & MaxVarint, 8
		}
	}
	return 0, 0
}

// reader takes fields off the front of a buffer. After a field that was cut short, bad is set and all further fields
// are zero, so that a parser checks once, at the end.
type reader struct {
	b   []byte
	pos int
	bad bool
}

func (r *reader) varint() uint64 {
	v, n := ParseVarint(r.b[r.pos:])
	if n == 0 {
		r.bad = true
	}
	r.pos += n
	return v
}

func (r *reader) byte() byte {
	if r.pos >= len(r.b) {
		r.bad = true
		return 0
	}
	r.pos++
	return r.b[r.pos-1]
}

// bytes returns the next n bytes, which alias the buffer.
func (r *reader) bytes(n uint64) []byte {
	if r.bad || n > uint64(len(r.b)-r.pos) {
		r.bad = true
		return nil
	}
	p := r.b[r.pos : r.pos+int(n) : r.pos+int(n)]
	r.pos += int(n)
	return p
}

// end returns how many bytes were taken, 0 if any field was cut short.
func (r *reader) end() int {
	if r.bad {
		return 0
	}
	return r.pos
}
