// Package recovery is QUIC's loss detection (RFC 9002) on the sending side, [Recovery], and its acknowledgments
// (RFC 9000, Section 13.2) on the receiving side, [Received].
package recovery
