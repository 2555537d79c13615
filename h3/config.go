package h3

// Config configures a [Conn]. The zero value is the default for every field and a negative number means none. A Config
// is copied on use.
type Config struct {
	// MaxFieldSectionSize limits the header and trailer sections that are accepted, in bytes as RFC 9114, Section
	// 4.2.2 counts them (each field: name, value, 32). The encoded form has the same limit. Default 64 KiB; negative
	// numbers mean the default too, since there must be a bound.
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
	// Settings are sent in addition to those that this Config implies.
	Settings []Setting
	// NoGrease leaves out the reserved frames, settings and streams that keep peers tolerant (RFC 9114, Sections
	// 7.2.8 and 7.2.4.1).
	NoGrease bool
}
