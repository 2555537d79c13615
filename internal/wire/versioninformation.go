package wire

import (
	"encoding/binary"
	"slices"
)

// VersionInformation is what an endpoint tells of QUIC versions in the handshake (RFC 9368, Section 3). The zero value
// stands for none.
type VersionInformation struct {
	// Chosen is the version of the connection: at a client, of its first flight.
	Chosen Version
	// Available are, at a client, the versions that its first flight can be converted to, in order of preference; at a
	// server, in no order, those that its whole deployment speaks. Reserved ones may be among them.
	Available []Version
}

// offersChosen reports whether Chosen is one of Available, as it is at a client (RFC 9368, Section 3), or nothing is
// told at all.
func (i *VersionInformation) offersChosen() bool {
	return i.Chosen == 0 || slices.Contains(i.Available, i.Chosen)
}

func (i *VersionInformation) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(i.Chosen))
	for _, v := range i.Available {
		b = binary.BigEndian.AppendUint32(b, uint32(v))
	}
	return b
}

// parseVersionInformation is false for what RFC 9368, Section 4 calls a parsing failure: a length that is no multiple of
// four or zero, and versions that are zero.
func parseVersionInformation(b []byte) (i VersionInformation, ok bool) {
	if len(b) == 0 || len(b)%4 != 0 {
		return i, false
	}
	i.Chosen = Version(binary.BigEndian.Uint32(b))
	i.Available = slices.Grow(i.Available, len(b)/4-1)
	for b = b[4:]; len(b) > 0; b = b[4:] {
		i.Available = append(i.Available, Version(binary.BigEndian.Uint32(b)))
	}
	return i, i.Chosen != 0 && !slices.Contains(i.Available, 0)
}
