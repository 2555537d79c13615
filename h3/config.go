package h3

import (
	"crypto/rand"
	"io"
	"slices"
)

// Config configures a [Conn]. The zero value is the default for every field and a negative number means none. A Config
// is copied on use.
type Config struct {
	// MaxFieldSectionSize limits the header and trailer sections that are accepted, in bytes as RFC 9114, Section
	// 4.2.2 counts them (each field: name, value, 32). The encoded form has the same limit. A server answers a larger
	// request with status 431. Default 64 KiB; a negative number means the default too, since there must be a bound.
	MaxFieldSectionSize int
	// QPACKTableCapacity is the size of the dynamic table that the peer may use towards us, in bytes (RFC 9204,
	// Section 5). Default 4,096; negative: 0.
	QPACKTableCapacity int
	// QPACKBlockedStreams is the number of streams whose field sections may wait for the table. Default 16;
	// negative: 0.
	QPACKBlockedStreams int
	// QPACKEncoderCapacity is how much of the dynamic table that the peer offers is used towards it, in bytes.
	// Default 4,096; negative: 0, static table only.
	QPACKEncoderCapacity int
	// ExtendedConnect makes a server take CONNECT requests with a :protocol, such as WebSocket (RFC 9220), and say so.
	// Clients send them to servers that have said so, whatever this is.
	ExtendedConnect bool
	// NoDatagrams neither offers nor sends HTTP datagrams (RFC 9297). They also need QUIC's, which are on by default.
	NoDatagrams bool
	// Settings are sent in addition to those that this Config implies. They must not repeat them.
	Settings []Setting
	// NoGrease leaves out the reserved frames, settings and streams that keep peers tolerant (RFC 9114, Sections
	// 6.2.3, 7.2.4.1 and 7.2.8).
	NoGrease bool
	// Rand varies what is reserved. Eight bytes are read for each connection. Default crypto/rand.Reader.
	Rand io.Reader
}

// withDefaults returns a copy that holds numbers to work with.
func (cfg *Config) withDefaults() Config {
	var c Config
	if cfg != nil {
		c = *cfg
	}
	if c.MaxFieldSectionSize <= 0 {
		c.MaxFieldSectionSize = 64 << 10
	}
	c.QPACKTableCapacity = defaultOrNone(c.QPACKTableCapacity, 4096)
	c.QPACKBlockedStreams = defaultOrNone(c.QPACKBlockedStreams, 16)
	c.QPACKEncoderCapacity = defaultOrNone(c.QPACKEncoderCapacity, 4096)
	c.Settings = slices.Clone(c.Settings)
	if c.Rand == nil {
		c.Rand = rand.Reader
	}
	return c
}

func defaultOrNone(n, def int) int {
	if n == 0 {
		return def
	}
	return max(n, 0)
}
