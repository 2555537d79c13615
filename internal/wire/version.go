package wire

import "fmt"

// Version is a QUIC version number.
type Version uint32

// The versions whose packets this package knows.
const (
	Version1 Version = 1          // RFC 9000
	Version2 Version = 0x6b3343cf // RFC 9369
)

// Known reports whether this package knows the version's packets.
func (v Version) Known() bool { return v == Version1 || v == Version2 }

// typeBits returns what stands for a packet type in the first byte of a long header. RFC 9369, Section 3.2: version 2
// has every type one further.
func (v Version) typeBits(t PacketType) byte {
	if v == Version2 {
		t++
	}
	return byte(t&3) << 4
}

// packetType is the inverse of typeBits.
func (v Version) packetType(first byte) PacketType {
	t := PacketType(first >> 4)
	if v == Version2 {
		t--
	}
	return t & 3
}

// Reserved reports whether v is of the form 0x?a?a?a?a, which no version is and which exercises version negotiation
// (RFC 9000, Section 15).
func (v Version) Reserved() bool { return v&0x0f0f0f0f == 0x0a0a0a0a }

// ReservedVersion returns a reserved version that random picks.
func ReservedVersion(random uint32) Version { return Version(random&0xf0f0f0f0 | 0x0a0a0a0a) }

func (v Version) String() string {
	switch {
	case v == Version1:
		return "1"
	case v == Version2:
		return "2"
	case v.Reserved():
		return fmt.Sprintf("reserved 0x%08x", uint32(v))
	}
	return fmt.Sprintf("0x%08x", uint32(v))
}
