package protect

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"hash"
)

// secret is a TLS traffic secret, or another one that keys are derived from by HKDF-Expand-Label (RFC 8446, Section
// 7.1). Every key of QUIC is at most as long as the hash, so that HKDF-Expand is a single HMAC over the label: the HMAC
// is keyed once for all the keys of a secret.
type secret struct {
	mac  hash.Hash
	info [64]byte
}

func (s Suite) newSecret(key []byte) *secret {
	if s == AES256GCM {
		return &secret{mac: hmac.New(sha512.New384, key)}
	}
	return &secret{mac: hmac.New(sha256.New, key)}
}

// expand returns n bytes for a label, with an empty context.
func (s *secret) expand(label string, n int) []byte {
	const prefix = "tls13 "
	info := binary.BigEndian.AppendUint16(s.info[:0], uint16(n))
	info = append(info, byte(len(prefix)+len(label)))
	info = append(info, prefix...)
	info = append(info, label...)
	info = append(info, 0, 1) // no context; the first block of HKDF-Expand
	s.mac.Reset()
	s.mac.Write(info)
	return s.mac.Sum(make([]byte, 0, sha512.Size384))[:n]
}
