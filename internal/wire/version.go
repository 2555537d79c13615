package wire

// Version is a QUIC version number.
type Version uint32

// Version1 is QUIC version 1 (RFC 9000).
const Version1 Version = 1
