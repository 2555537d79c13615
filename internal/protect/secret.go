package protect

import (
	"crypto/sha512"
	"encoding/binary"
)

// secret is a TLS traffic secret, or another one that keys are derived from by HKDF-Expand-Label (RFC 8446, Section
// 7.1). Every key of QUIC is at most as long as the hash, so that HKDF-Expand is a single HMAC over the label.
type secret struct {
	suite Suite
	key   []byte
}

// maxSecretLen is the length of a secret of the suite with the longest hash.
const maxSecretLen = sha512.Size384

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

// headerProtection returns the key of header protection, which may be shorter (RFC 9001, Section 5.4.1).
func (s secret) headerProtection(of *versionSecrets) (raw [maxKeyLen]byte) {
	s.expand(of.hp, raw[:s.suite.keyLen()])
	return raw
}

// next returns the secret of the next key phase, which may be shorter (RFC 9001, Section 6.1).
func (s secret) next(of *versionSecrets) (next [maxSecretLen]byte) {
	s.expand(of.ku, next[:len(s.key)])
	return next
}
