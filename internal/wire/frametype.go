package wire

// FrameType is the type of a QUIC frame (RFC 9000, Section 19).
type FrameType uint64
