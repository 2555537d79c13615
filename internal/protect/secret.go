package protect

import "encoding/binary"

// secret is a TLS traffic secret, or another one that keys are derived from by HKDF-Expand-Label (RFC 8446, Section
// 7.1). Every key of QUIC is at most as long as the hash, so that HKDF-Expand is a single HMAC over the label.
type secret struct {
	suite Suite
	key   []byte
}

func (s Suite) newSecret(key []byte) secret { return secret{s, key} }

// expand fills out by a label, with an empty context.
func (s secret) expand(label string, out []byte) {
	const prefix = "tls13 "
	var room [64]byte
	info := binary.BigEndian.AppendUint16(room[:0], uint16(len(out)))
	info = append(info, byte(len(prefix)+len(label)))
	info = append(info, prefix...)
	info = append(info, label...)
	info = append(info, 0, 1) // no context; the first block of HKDF-Expand
	sum := s.suite.hmac(s.key, info)
	copy(out, sum[:s.suite.hashLen()])
}

// next returns the secret of the next key phase (RFC 9001, Section 6.1).
func (s secret) next(of *versionSecrets) []byte {
	next := make([]byte, len(s.key))
	s.expand(of.ku, next)
	return next
}
