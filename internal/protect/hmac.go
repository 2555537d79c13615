package protect

import (
	"crypto/sha256"
	"crypto/sha512"
)

// HMAC256 returns HMAC-SHA-256 (RFC 2104) and allocates nothing.
//
// It is here because crypto/hmac is made for long messages under few keys: a key of its costs six objects. A connection has
// some ten secrets, and each is good for three messages of 20 bytes: as much memory as all else of its handshake together.
func HMAC256(key, message []byte) [sha256.Size]byte {
	sum := AES128GCM.hmac(key, message)
	return [sha256.Size]byte(sum[:])
}

// hmac returns HMAC with the hash of the cipher suite: as many bytes as that has, then zeros.
func (s Suite) hmac(key, message []byte) [sha512.Size384]byte {
	const room = 64 // for a message of usual length
	var padded [sha512.BlockSize + room]byte
	block := padded[:s.hashBlock()]
	if len(key) > len(block) {
		short := s.hash(key)
		key = short[:s.hashLen()]
	}
	copy(block, key)
	for i := range block {
		block[i] ^= 0x36
	}
	inner := s.hash(append(block, message...))
	for i := range block {
		block[i] ^= 0x36 ^ 0x5c
	}
	return s.hash(append(block, inner[:s.hashLen()]...))
}

// hash returns the hash of b: as many bytes as the suite's has, then zeros.
func (s Suite) hash(b []byte) (sum [sha512.Size384]byte) {
	if s == AES256GCM {
		return sha512.Sum384(b)
	}
	short := sha256.Sum256(b)
	copy(sum[:], short[:])
	return sum
}

func (s Suite) hashLen() int {
	if s == AES256GCM {
		return sha512.Size384
	}
	return sha256.Size
}

func (s Suite) hashBlock() int {
	if s == AES256GCM {
		return sha512.BlockSize
	}
	return sha256.BlockSize
}
