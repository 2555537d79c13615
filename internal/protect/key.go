package protect

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"

	"golang.org/x/crypto/chacha20poly1305"
)

const (
	nonceLen  = 12
	maxKeyLen = 32
	sampleLen = 16
	// sampleOffset is where the sample for header protection is taken, counted from the packet number's first byte: it is
	// taken to be 4 bytes long (RFC 9001, Section 5.4.2).
	sampleOffset = 4
)

// keyLen returns the length of the suite's keys, 0 for an unknown suite.
func (s Suite) keyLen() int {
	switch s {
	case AES128GCM:
		return 16
	case AES256GCM, ChaCha20Poly1305:
		return 32
	}
	return 0
}

// key is an AEAD key with its IV. It lives on the heap as part of what holds it, so that the nonce can be handed to the
// AEAD without an allocation.
type key struct {
	aead   cipher.AEAD
	ivTail uint64 // the last 8 bytes of the IV, which the packet number is added to
	nonce  [nonceLen]byte
}

func (k *key) init(of *versionSecrets, from secret) (err error) {
	var room [maxKeyLen]byte
	raw := room[:from.suite.keyLen()]
	from.expand(of.key, raw)
	from.expand(of.iv, k.nonce[:])
	k.ivTail = binary.BigEndian.Uint64(k.nonce[nonceLen-8:])
	if from.suite == ChaCha20Poly1305 {
		k.aead, err = chacha20poly1305.New(raw)
		return err
	}
	block, err := aes.NewCipher(raw)
	if err != nil {
		return err
	}
	k.aead, err = cipher.NewGCM(block)
	return err
}

// nonceFor returns the nonce of a packet (RFC 9001, Section 5.3), valid until the next call.
func (k *key) nonceFor(pn uint64) []byte {
	binary.BigEndian.PutUint64(k.nonce[nonceLen-8:], k.ivTail^pn)
	return k.nonce[:]
}

// seal encrypts pkt from payloadOffset on in place, and appends the tag.
// RFC 9001, Section 9.5 (MUST 2).
func (k *key) seal(pkt []byte, payloadOffset int, pn uint64) []byte {
	header, payload := pkt[:payloadOffset], pkt[payloadOffset:]
	sealed := k.aead.Seal(payload[:0], k.nonceFor(pn), payload, header)
	return pkt[:payloadOffset+len(sealed)]
}

// open decrypts pkt from payloadOffset on in place.
func (k *key) open(pkt []byte, payloadOffset int, pn uint64) ([]byte, error) {
	header, payload := pkt[:payloadOffset], pkt[payloadOffset:]
	plain, err := k.aead.Open(payload[:0], k.nonceFor(pn), payload, header)
	if err != nil {
		return nil, ErrOpen
	}
	return plain, nil
}
