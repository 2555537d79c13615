package wire

import "fmt"

// Version is a QUIC version number.
type Version uint32

// Version1 is QUIC version 1 (RFC 9000).
const Version1 Version = 1

// Known reports whether this package knows the version's packets.
func (v Version) Known() bool { return v == Version1 }

// Reserved reports whether v is of the form 0x?a?a?a?a, which no version is and which exercises version negotiation
// (RFC 9000, Section 15).
func (v Version) Reserved() bool { return v&0x0f0f0f0f == 0x0a0a0a0a }

// ReservedVersion returns a reserved version that random picks.
func ReservedVersion(random uint32) Version { return Version(random&0xf0f0f0f0 | 0x0a0a0a0a) }

func (v Version) String() string {
	switch {
	case v == Version1:
		return "1"
	case v.Reserved():
		return fmt.Sprintf("reserved 0x%08x", uint32(v))
	}
	return fmt.Sprintf("0x%08x", uint32(v))
}
