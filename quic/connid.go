package quic

import (
	"crypto/rand"
	"fmt"
	"io"

	"github.com/dunlin-quic/dunlin/internal/wire"
)

// defaultCIDLen is the length of the connection IDs that are issued where nothing else is configured.
const defaultCIDLen = 8

// NewConnectionID returns the connection ID with the bytes of b, of which there may be 20 at most: for a [ConnectionIDGenerator] of
// one's own.
func NewConnectionID(b []byte) (ConnectionID, error) {
	if len(b) > wire.MaxConnectionIDLen {
		return ConnectionID{}, fmt.Errorf("quic: a connection ID of %d bytes", len(b))
	}
	return wire.NewConnectionID(b), nil
}

// randomCIDs is the ConnectionIDGenerator of nothing but random bytes.
type randomCIDs struct {
	n    int
	rand io.Reader
}

// NewConnectionIDGenerator returns a generator of n random bytes, 0 to 20. Other lengths are an error. random is the
// source of the bytes and must be safe for concurrent use, unless all users of the generator share a goroutine; nil
// means crypto/rand.Reader.
func NewConnectionIDGenerator(n int, random io.Reader) (ConnectionIDGenerator, error) {
	// RFC 9000, Section 10.3.2 (MUST 3, 4).
	if n < 0 || n > wire.MaxConnectionIDLen {
		return nil, fmt.Errorf("quic: connection IDs can't be %d bytes long", n)
	}
	return newRandomCIDs(n, random), nil
}

func newRandomCIDs(n int, random io.Reader) *randomCIDs {
	if random == nil {
		random = rand.Reader
	}
	return &randomCIDs{n, random}
}

func (g *randomCIDs) Len() int { return g.n }

func (g *randomCIDs) Generate() ConnectionID {
	var b [wire.MaxConnectionIDLen]byte
	mustRead(g.rand, b[:g.n])
	return wire.NewConnectionID(b[:g.n])
}

// mustRead fills b from a source of randomness. Without randomness no connection is safe, and crypto/rand.Reader never
// fails: a source that does is a broken configuration.
func mustRead(random io.Reader, b []byte) {
	if _, err := io.ReadFull(random, b); err != nil {
		panic(fmt.Sprintf("quic: the configured source of randomness failed: %v", err))
	}
}
