package wire

import "encoding/binary"

// PacketType is a type of QUIC packet (RFC 9000, Section 17).
type PacketType uint8

// The packet types. OneRTT is the one with a short header.
const (
	Initial PacketType = iota
	ZeroRTT
	Handshake
	Retry
	VersionNegotiation
	OneRTT
)

func (t PacketType) String() string {
	return [...]string{"Initial", "0-RTT", "Handshake", "Retry", "Version Negotiation", "1-RTT"}[t]
}

// Bits of a packet's first byte (RFC 9000, Section 17).
const (
	longBit  = 0x80
	fixedBit = 0x40
	spinBit  = 0x20
	phaseBit = 0x04

	longReserved  = 0x0c
	shortReserved = 0x18
)

// MinInitialDatagram is the least UDP payload, in bytes, of a datagram that carries an Initial packet that its sender
// expects an answer to (RFC 9000, Section 14.1).
const MinInitialDatagram = 1200

// MinClientDCIDLen is the least length of the destination connection ID that a client makes up for its first Initial
// (RFC 9000, Section 7.2).
const MinClientDCIDLen = 8

// RetryTagLen is the length of a Retry packet's integrity tag.
const RetryTagLen = 16

// IsLong reports whether first is the first byte of a packet with a long header.
func IsLong(first byte) bool { return first&longBit != 0 }

// FixedBit reports whether the first byte has the QUIC bit set, as all packets of versions 1 and 2 have, unless the peer said
// that it does not care (RFC 9287).
func FixedBit(first byte) bool { return first&fixedBit != 0 }

// ClearFixedBit clears it in a packet that is not sealed yet.
func ClearFixedBit(pkt []byte) { pkt[0] &^= fixedBit }

// Spin returns a short header's spin bit.
func Spin(first byte) bool { return first&spinBit != 0 }

// KeyPhase returns an unmasked short header's key phase bit.
func KeyPhase(first byte) bool { return first&phaseBit != 0 }

// ReservedBitsZero reports whether the reserved bits of an unmasked first byte are zero. If they are not, in a packet
// that was authentic, that is a PROTOCOL_VIOLATION (RFC 9000, Sections 17.2 and 17.3.1).
func ReservedBitsZero(first byte) bool {
	if IsLong(first) {
		return first&longReserved == 0
	}
	return first&shortReserved == 0
}

// Invariant is what all versions of QUIC have in common (RFC 8999, Section 5). The connection IDs alias the datagram
// and may be up to 255 bytes long.
type Invariant struct {
	Long       bool
	Version    Version // 0 for a Version Negotiation packet and for a short header
	DCID, SCID []byte  // SCID is nil for a short header
}

// ParseInvariant parses the version-independent part of a datagram's first packet. A short header's DCID is taken to
// be shortDCIDLen bytes. It is false if the datagram is too short for that.
func ParseInvariant(b []byte, shortDCIDLen int) (Invariant, bool) {
	if len(b) == 0 {
		return Invariant{}, false
	}
	if !IsLong(b[0]) {
		if len(b) < 1+shortDCIDLen {
			return Invariant{}, false
		}
		return Invariant{DCID: b[1 : 1+shortDCIDLen]}, true
	}
	dcid, scid, n := parseLongIDs(b)
	if n == 0 {
		return Invariant{}, false
	}
	return Invariant{Long: true, Version: Version(binary.BigEndian.Uint32(b[1:])), DCID: dcid, SCID: scid}, true
}

// parseLongIDs returns the connection IDs of a long header and the length of the header up to their end.
func parseLongIDs(b []byte) (dcid, scid []byte, n int) {
	const idPos = 1 + 4
	if len(b) <= idPos {
		return nil, nil, 0
	}
	scidPos := idPos + 1 + int(b[idPos])
	if len(b) <= scidPos {
		return nil, nil, 0
	}
	n = scidPos + 1 + int(b[scidPos])
	if len(b) < n {
		return nil, nil, 0
	}
	return b[idPos+1 : scidPos : scidPos], b[scidPos+1 : n : n], n
}

// LongHeader is the header of an Initial, 0-RTT or Handshake packet, or of a Retry packet.
type LongHeader struct {
	Type       PacketType
	Version    Version
	DCID, SCID ConnectionID
	Token      []byte // of Initial and Retry; aliases the packet
	// PNOffset is where the packet number stands. 0 for Retry.
	PNOffset int
	// PacketLen is the length of the whole packet, so that what follows in the datagram is the next packet.
	PacketLen int
}

// PayloadLen returns the value of the Length field: the length of packet number and payload together.
func (h *LongHeader) PayloadLen() int { return h.PacketLen - h.PNOffset }

// ParseLong parses the long header that b begins with, up to the packet number. It is false for a packet that is
// truncated, whose version is not known, whose connection IDs are longer than 20 bytes, and for Version Negotiation, which
// is none of a version: [ParseVersionNegotiation] parses that. [FixedBit] is not looked at.
func ParseLong(b []byte) (h LongHeader, ok bool) {
	dcid, scid, n := parseLongIDs(b)
	if n == 0 || !IsLong(b[0]) || len(dcid) > MaxConnectionIDLen || len(scid) > MaxConnectionIDLen {
		return h, false
	}
	h.Version = Version(binary.BigEndian.Uint32(b[1:]))
	if !h.Version.Known() {
		return h, false
	}
	h.Type = h.Version.packetType(b[0])
	h.DCID, h.SCID = NewConnectionID(dcid), NewConnectionID(scid)
	if h.Type == Retry {
		// RFC 9000, Section 17.2.5.2: the token must not be empty.
		if len(b)-n <= RetryTagLen {
			return h, false
		}
		h.Token = b[n : len(b)-RetryTagLen : len(b)-RetryTagLen]
		h.PacketLen = len(b)
		return h, true
	}
	r := reader{b: b, pos: n}
	if h.Type == Initial {
		h.Token = r.bytes(r.varint())
	}
	length := r.varint()
	if r.bad || length > uint64(len(b)-r.pos) {
		return h, false
	}
	h.PNOffset = r.pos
	h.PacketLen = r.pos + int(length)
	return h, true
}

// LongHeaderLen returns how many bytes AppendLong takes for such a header.
func LongHeaderLen(typ PacketType, dcid, scid ConnectionID, tokenLen, pnLen int) int {
	n := 1 + 4 + 1 + dcid.Len() + 1 + scid.Len() + 2 + pnLen
	if typ == Initial {
		n += VarintLen(uint64(tokenLen)) + tokenLen
	}
	return n
}

// AppendLong appends the header of an Initial, 0-RTT or Handshake packet up to and including the packet number, of
// pnLen bytes. Its Length field takes two bytes and is to be set by [PatchLength]. token is used for Initial only.
func AppendLong(b []byte, typ PacketType, v Version, dcid, scid ConnectionID, token []byte, pn uint64, pnLen int) []byte {
	b = append(b, longBit|fixedBit|v.typeBits(typ)|byte(pnLen-1))
	b = appendVersionAndIDs(b, v, dcid.Bytes(), scid.Bytes())
	if typ == Initial {
		b = AppendVarint(b, uint64(len(token)))
		b = append(b, token...)
	}
	b = AppendVarint2(b, 0)
	return AppendPN(b, pn, pnLen)
}

func appendVersionAndIDs(b []byte, v Version, dcid, scid []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(v))
	b = append(b, byte(len(dcid)))
	b = append(b, dcid...)
	b = append(b, byte(len(scid)))
	return append(b, scid...)
}

// PatchLength sets the Length field of a header that AppendLong wrote into pkt, where pnOffset is where its packet
// number stands and length counts packet number, payload and authentication tag.
func PatchLength(pkt []byte, pnOffset, length int) { PutVarint2(pkt[pnOffset-2:], uint64(length)) }

// AppendShort appends the header of a 1-RTT packet up to and including the packet number, of pnLen bytes.
func AppendShort(b []byte, dcid ConnectionID, spin, keyPhase bool, pn uint64, pnLen int) []byte {
	first := byte(fixedBit | pnLen - 1)
	if spin {
		first |= spinBit
	}
	if keyPhase {
		first |= phaseBit
	}
	b = append(b, first)
	b = dcid.Append(b)
	return AppendPN(b, pn, pnLen)
}

// ShortHeaderLen returns how many bytes AppendShort takes for such a header.
func ShortHeaderLen(dcid ConnectionID, pnLen int) int { return 1 + dcid.Len() + pnLen }
