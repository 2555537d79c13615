package protect

import "crypto/tls"

// Suite is a TLS 1.3 cipher suite by its number in TLS.
type Suite uint16

// The cipher suites that QUIC may use here (RFC 9001, Section 5.3).
const (
	AES128GCM        Suite = Suite(tls.TLS_AES_128_GCM_SHA256)
	AES256GCM        Suite = Suite(tls.TLS_AES_256_GCM_SHA384)
	ChaCha20Poly1305 Suite = Suite(tls.TLS_CHACHA20_POLY1305_SHA256)
)

// Overhead is how many bytes longer a packet gets when it is sealed: the length of the authentication tag.
const Overhead = 16

func (s Suite) String() string { return tls.CipherSuiteName(uint16(s)) }

// ConfidentialityLimit returns how many packets may be sealed with one key (RFC 9001, Section 6.6).
func (s Suite) ConfidentialityLimit() uint64 {
	if s == ChaCha20Poly1305 {
		// Higher than the number of packets that a connection can have.
		return 1 << 62
	}
	return 1 << 23
}

// IntegrityLimit returns how many received packets may fail authentication in a connection's life, all keys counted
// together (RFC 9001, Section 6.6).
func (s Suite) IntegrityLimit() uint64 {
	if s == ChaCha20Poly1305 {
		return 1 << 36
	}
	return 1 << 52
}
