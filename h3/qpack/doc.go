// Package qpack compresses the header and trailer sections of HTTP/3 (RFC 9204), as two state machines that do no I/O.
//
// An [Encoder] turns fields into the bytes of a section, a [Decoder] does the reverse. Each connection has one of both
// on each side. Fields that are often the same can be put into a dynamic table, which the decoder's side keeps for the
// encoder's; for that, two streams run beside the messages:
//
//	Encoder.Pending  ── encoder stream: insertions ──────────────► Decoder.HandleEncoderStream
//	Encoder.Encode   ── sections, each on the message's stream ──► Decoder.Decode
//	Encoder.HandleDecoderStream ◄── decoder stream: what arrived ── Decoder.Pending
//
// The streams race one another. A section that refers to insertions which have not arrived is blocked: Decode returns
// [ErrBlocked], the caller keeps the section, and NextUnblocked says when to decode it again. This package's Encoder
// hardly ever causes that, since it refers to what the peer has acknowledged; other encoders do.
//
// After Decode, HandleEncoderStream and Cancel the decoder may have pending bytes, after Encode and SetPeerCapacity the
// encoder: write what Pending returns to the stream and say with Sent how much was taken.
//
// Every [*Error] is a fault of the peer's that ends the connection, with its code (RFC 9204, Section 6). What a peer
// can make either side hold is bounded, and so is what a section expands to.
package qpack
