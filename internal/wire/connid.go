package wire

import "encoding/hex"

// MaxConnectionIDLen is the longest connection ID of QUIC versions 1 and 2 (RFC 9000, Section 17.2).
const MaxConnectionIDLen = 20

// ConnectionID is a connection ID of 0 to 20 bytes. It is comparable and holds no pointers.
type ConnectionID struct {
	n uint8
	b [MaxConnectionIDLen]byte
}

// NewConnectionID copies b, which must not be longer than 20 bytes: it panics otherwise. Bytes from the network go
// through [ParseInvariant], which reports longer ones.
func NewConnectionID(b []byte) ConnectionID {
	if len(b) > MaxConnectionIDLen {
		panic("wire: connection ID longer than 20 bytes")
	}
	var c ConnectionID
	c.n = uint8(copy(c.b[:], b))
	return c
}

// Len returns the ID's length in bytes.
func (c ConnectionID) Len() int { return int(c.n) }

// Append appends the ID's bytes to b.
func (c ConnectionID) Append(b []byte) []byte { return append(b, c.b[:c.n]...) }

// Bytes returns the ID's bytes, which alias c.
func (c *ConnectionID) Bytes() []byte { return c.b[:c.n] }

func (c ConnectionID) String() string { return hex.EncodeToString(c.b[:c.n]) }
