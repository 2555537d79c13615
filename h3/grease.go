package h3

import "encoding/binary"

// greaser picks reserved identifiers, which keep peers tolerant of unknown ones (RFC 9114, Sections 6.2.3, 7.2.4.1 and
// 7.2.8). Its numbers need only vary.
type greaser struct{ state uint64 }

// next returns the next number (SplitMix64, by Sebastiano Vigna).
func (g *greaser) next() uint64 {
	g.state += 0x9e3779b97f4a7c15
	z := g.state
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// id returns a reserved frame type, stream type or setting: 0x1f*N + 0x21.
func (g *greaser) id() uint64 { return 0x1f*(g.next()>>36) + 0x21 }

// appendFrame appends a reserved frame with a few bytes of payload.
func (g *greaser) appendFrame(b []byte) []byte {
	n := int(g.next() % 8)
	b = appendFrameHeader(b, frameType(g.id()), n)
	var payload [8]byte
	binary.LittleEndian.PutUint64(payload[:], g.next())
	return append(b, payload[:n]...)
}
