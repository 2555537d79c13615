package wire

import "encoding/binary"

// RetryPacket is a Retry packet (RFC 9000, Section 17.2.5). Token and Pseudo alias the datagram.
type RetryPacket struct {
	Version    Version
	DCID, SCID ConnectionID
	Token      []byte
	Tag        [RetryTagLen]byte
	Pseudo     []byte // all but the tag: what the tag authenticates
}

// ParseRetry parses a datagram that is a Retry packet. It is false for anything else, also for an empty token. The tag
// is not verified here.
func ParseRetry(b []byte) (p RetryPacket, ok bool) {
	h, ok := ParseLong(b)
	// RFC 9287, Section 3.1: no server that sends a Retry knows yet whether it may clear the bit.
	if !ok || h.Type != Retry || !FixedBit(b[0]) {
		return p, false
	}
	n := len(b) - RetryTagLen
	p = RetryPacket{Version: h.Version, DCID: h.DCID, SCID: h.SCID, Token: h.Token, Pseudo: b[:n]}
	copy(p.Tag[:], b[n:])
	return p, true
}

// AppendRetry appends a Retry packet without its tag. The four low bits of its first byte have no meaning and are
// taken from random.
func AppendRetry(b []byte, random byte, v Version, dcid, scid ConnectionID, token []byte) []byte {
	b = append(b, longBit|fixedBit|v.typeBits(Retry)|random&0x0f)
	b = binary.BigEndian.AppendUint32(b, uint32(v))
	b = append(b, byte(dcid.Len()))
	b = dcid.Append(b)
	b = append(b, byte(scid.Len()))
	b = scid.Append(b)
	return append(b, token...)
}
