package quic

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"testing"

	"github.com/dunlin-quic/dunlin/internal/wire"
)

// RFC 9000, Section 5.1 (MUST 1), Section 10.3.2 (MUST 2) and Section 17.2 (MUST 2, 4).
func TestConnectionIDGenerator(t *testing.T) {
	for n := range wire.MaxConnectionIDLen + 1 {
		gen, err := NewConnectionIDGenerator(n, nil)
		if err != nil || gen.Len() != n {
			t.Fatalf("%d bytes: %v", n, err)
		}
		a, b := gen.Generate(), gen.Generate()
		if a.Len() != n || b.Len() != n || n >= 8 && a == b {
			t.Errorf("%d bytes: %v and %v", n, a, b)
		}
	}
	for _, n := range []int{-1, 21} {
		if _, err := NewConnectionIDGenerator(n, nil); err == nil {
			t.Errorf("%d bytes: no error", n)
		}
	}
	one, _ := NewConnectionIDGenerator(8, seededRand(1))
	two, _ := NewConnectionIDGenerator(8, seededRand(1))
	if one.Generate() != two.Generate() {
		t.Error("the same source gives different IDs")
	}
}

func TestNewConnectionID(t *testing.T) {
	b := make([]byte, 21)
	for n := range b {
		if id, err := NewConnectionID(b[:n]); err != nil || id.Len() != n {
			t.Errorf("%d bytes: %v, %v", n, id, err)
		}
	}
	if _, err := NewConnectionID(b); err == nil {
		t.Error("21 bytes are too many")
	}
}

func resetTokenUnder(key *[32]byte, cid ConnectionID) StatelessResetToken {
	return newEndpointSecrets(key, nil).resetToken(cid)
}

// RFC 9000, Section 10.3.2 (MUST 1, 5).
func TestResetToken(t *testing.T) {
	key := [32]byte{7}
	cid := wire.NewConnectionID([]byte("abcdefgh"))
	mac := hmac.New(sha256.New, key[:])
	mac.Write([]byte("abcdefgh"))
	got := resetTokenUnder(&key, cid)
	if !bytes.Equal(got[:], mac.Sum(nil)[:16]) {
		t.Errorf("%x", got)
	}
	if got == resetTokenUnder(&[32]byte{8}, cid) || got == resetTokenUnder(&key, wire.NewConnectionID([]byte("abcdefgi"))) {
		t.Error("tokens do not depend on key and connection ID")
	}
	if again := resetTokenUnder(&key, cid); again != got {
		t.Errorf("%x, then %x", got, again)
	}
	if random := resetTokenUnder(nil, cid); random == resetTokenUnder(nil, cid) {
		t.Error("random keys are the same")
	}
}

type brokenRand struct{}

func (brokenRand) Read([]byte) (int, error) { return 0, errors.New("no randomness") }

// Without randomness nothing is safe: better to stop than to go on with zeros.
func TestBrokenRand(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("went on without randomness")
		}
	}()
	newRandomCIDs(8, brokenRand{}).Generate()
}
