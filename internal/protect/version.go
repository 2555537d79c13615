package protect

import (
	"crypto/aes"
	"crypto/cipher"
	"fmt"

	"github.com/dunlin-quic/dunlin/internal/wire"
)

// versionSecrets is what the protection of packets has of its own in a version of QUIC.
type versionSecrets struct {
	initialSalt     []byte // RFC 9001, Section 5.2
	key, iv, hp, ku string // labels (RFC 9001, Sections 5.1, 5.4 and 6.1)
	// retry and retryNonce authenticate Retry packets (RFC 9001, Section 5.8). They are no secret: the tag shows that a
	// Retry was not damaged on the way and that its sender has seen the Initial packet.
	retry      cipher.AEAD
	retryNonce []byte
}

var version1 = versionSecrets{
	initialSalt: []byte{
		0x38, 0x76, 0x2c, 0xf7, 0xf5, 0x59, 0x34, 0xb3, 0x4d, 0x17, 0x9a, 0xe6, 0xa4, 0xc8, 0x0c, 0xad, 0xcc, 0xbb, 0x7f, 0x0a,
	},
	key: "quic key", iv: "quic iv", hp: "quic hp", ku: "quic ku",
	retry: newRetryAEAD([]byte{
		0xbe, 0x0c, 0x69, 0x0b, 0x9f, 0x66, 0x57, 0x5a, 0x1d, 0x76, 0x6b, 0x54, 0xe3, 0x68, 0xc8, 0x4e,
	}),
	retryNonce: []byte{0x46, 0x15, 0x99, 0xd3, 0x5d, 0x63, 0x2b, 0xf2, 0x23, 0x98, 0x25, 0xbb},
}

// RFC 9369, Section 3.3.
var version2 = versionSecrets{
	initialSalt: []byte{
		0x0d, 0xed, 0xe3, 0xde, 0xf7, 0x00, 0xa6, 0xdb, 0x81, 0x93, 0x81, 0xbe, 0x6e, 0x26, 0x9d, 0xcb, 0xf9, 0xbd, 0x2e, 0xd9,
	},
	key: "quicv2 key", iv: "quicv2 iv", hp: "quicv2 hp", ku: "quicv2 ku",
	retry: newRetryAEAD([]byte{
		0x8f, 0xb4, 0xb0, 0x1b, 0x56, 0xac, 0x48, 0xe2, 0x60, 0xfb, 0xcb, 0xce, 0xad, 0x7c, 0xcc, 0x92,
	}),
	retryNonce: []byte{0xd8, 0x69, 0x69, 0xbc, 0x2d, 0x7c, 0x6d, 0x99, 0x90, 0xef, 0xb0, 0x4a},
}

// secretsOf returns what v has of its own, nil for an unknown version.
func secretsOf(v wire.Version) *versionSecrets {
	switch v {
	case wire.Version1:
		return &version1
	case wire.Version2:
		return &version2
	}
	return nil
}

// checked returns what v has of its own, if keys for s can be made.
func checked(v wire.Version, s Suite) (*versionSecrets, error) {
	of := secretsOf(v)
	if of == nil {
		return nil, fmt.Errorf("protect: unknown QUIC version %v", v)
	}
	if s.keyLen() == 0 {
		return nil, fmt.Errorf("protect: cipher suite %v is not for QUIC", s)
	}
	return of, nil
}

// newRetryAEAD returns nil where Go is told to allow nothing that FIPS 140 does not know; there, no connection can be
// made either, and NewInitial returns the error.
func newRetryAEAD(key []byte) cipher.AEAD {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil
	}
	return aead
}
