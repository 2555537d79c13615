// Package protect is QUIC's packet protection (RFC 9001, Section 5): keys from TLS secrets, sealing and opening of
// packets in place, header protection, key updates, and the integrity tag of Retry packets.
package protect
