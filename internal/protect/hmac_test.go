package protect

import (
	"bytes"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"hash"
	"math/rand/v2"
	"testing"
)

// HMAC and the expansion of secrets are those of the standard library, whatever the lengths.
func TestHMACIsHMAC(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	fill := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(random.Uint32())
		}
		return b
	}
	for _, suite := range suites {
		make := sha256.New
		if suite == AES256GCM {
			make = sha512.New384
		}
		for _, keyLen := range []int{0, 1, 20, 32, 48, 63, 64, 65, 127, 128, 129, 300} {
			for _, n := range []int{0, 1, 20, 64, 65, 200} {
				key, message := fill(keyLen), fill(n)
				want := macOf(make, key, message)
				if got := suite.hmac(key, message); !bytes.Equal(got[:suite.hashLen()], want) {
					t.Errorf("%v, a key of %d and a message of %d bytes: %x, want %x", suite, keyLen, n, got, want)
				}
				if got := HMAC256(key, message); !bytes.Equal(got[:], macOf(sha256.New, key, message)) {
					t.Errorf("HMAC256, a key of %d and a message of %d bytes: %x", keyLen, n, got)
				}
			}
		}
		key := fill(suite.hashLen())
		for _, n := range []int{12, 16, 32, suite.hashLen()} {
			got := fill(n)
			suite.newSecret(key).expand("quicv2 key", got)
			info := append([]byte{0, byte(n), 16}, "tls13 quicv2 key\x00"...)
			want, err := hkdf.Expand(make, key, string(info), n)
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%v, %d bytes: %x, want %x (%v)", suite, n, got, want, err)
			}
		}
	}
}

func macOf(make func() hash.Hash, key, message []byte) []byte {
	mac := hmac.New(make, key)
	mac.Write(message)
	return mac.Sum(nil)
}

// Deriving a key costs no memory but the key.
func TestExpandAllocations(t *testing.T) {
	key, out := make([]byte, 48), make([]byte, 32)
	for _, suite := range suites {
		if n := testing.AllocsPerRun(100, func() {
			suite.newSecret(key[:suite.hashLen()]).expand("quic key", out)
		}); n > 0 {
			t.Errorf("%v: %v allocations", suite, n)
		}
	}
}
