package wire

import "encoding/binary"

// VersionNegotiationPacket is a Version Negotiation packet (RFC 9000, Section 17.2.1). It aliases the datagram.
type VersionNegotiationPacket struct {
	DCID, SCID []byte
	versions   []byte
}

// Len returns how many versions the packet lists.
func (p *VersionNegotiationPacket) Len() int { return len(p.versions) / 4 }

// Version returns the i-th version.
func (p *VersionNegotiationPacket) Version(i int) Version {
	return Version(binary.BigEndian.Uint32(p.versions[4*i:]))
}

// Contains reports whether the packet lists v.
func (p *VersionNegotiationPacket) Contains(v Version) bool {
	for i := range p.Len() {
		if p.Version(i) == v {
			return true
		}
	}
	return false
}

// ParseVersionNegotiation parses a datagram that is a Version Negotiation packet. It is false for anything else, and
// if the list of versions is empty or cut short.
func ParseVersionNegotiation(b []byte) (p VersionNegotiationPacket, ok bool) {
	inv, ok := ParseInvariant(b, 0)
	if !ok || !inv.Long || inv.Version != 0 {
		return p, false
	}
	p.DCID, p.SCID = inv.DCID, inv.SCID
	p.versions = b[1+4+1+len(inv.DCID)+1+len(inv.SCID):]
	return p, len(p.versions) > 0 && len(p.versions)%4 == 0
}

// AppendVersionNegotiation appends a Version Negotiation packet. Its first byte has seven bits without meaning, which
// are taken from random. The connection IDs are the ones of the packet that it answers, swapped, and may be longer
// than any version known here allows (RFC 8999, Section 6).
func AppendVersionNegotiation(b []byte, random byte, dcid, scid []byte, versions ...Version) []byte {
	// RFC 9000, Section 17.2.1: the fixed bit is set so that the packet passes where QUIC shares a port.
	b = append(b, longBit|fixedBit|random)
	b = appendVersionAndIDs(b, 0, dcid, scid)
	for _, v := range versions {
		b = binary.BigEndian.AppendUint32(b, uint32(v))
	}
	return b
}
