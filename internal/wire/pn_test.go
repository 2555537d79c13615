package wire

import (
	"math/rand/v2"
	"testing"
)

// RFC 9000, Appendix A.2.
// RFC 9000, Section 17.1 (MUST 1, 2).
func TestPNLen(t *testing.T) {
	for _, tt := range []struct {
		pn, next uint64
		want     int
	}{
		{0xac5c02, 0xabe8b3 + 1, 2},
		{0xace8fe, 0xabe8b3 + 1, 3},
		{0, 0, 1},
		{126, 0, 1},
		{127, 0, 2},
		{1<<15 - 2, 0, 2},
		{1<<15 - 1, 0, 3},
		{1<<23 - 2, 0, 3},
		{1<<23 - 1, 0, 4},
		{MaxPacketNumber, MaxPacketNumber, 1},
	} {
		if got := PNLen(tt.pn, tt.next); got != tt.want {
			t.Errorf("PNLen(%#x, %#x) = %d, want %d", tt.pn, tt.next, got, tt.want)
		}
	}
}

// RFC 9000, Appendix A.3.
func TestDecodePN(t *testing.T) {
	for _, tt := range []struct {
		expected, truncated uint64
		n                   int
		want                uint64
	}{
		{0xa82f30ea + 1, 0x9b32, 2, 0xa82f9b32},
		{0, 0, 1, 0},
		{0, 255, 1, 255}, // nothing is below zero
		{1, 255, 1, 255},
		{255, 1, 1, 257},
		{257, 255, 1, 255},
		{128, 0, 1, 256}, // half a window away: the upper one, whose distance is equal, counts
		{MaxPacketNumber, 0xff, 1, MaxPacketNumber},
		{MaxPacketNumber + 1, 0, 1, MaxPacketNumber - 255},
	} {
		if got := DecodePN(tt.expected, tt.truncated, tt.n); got != tt.want {
			t.Errorf("DecodePN(%#x, %#x, %d) = %#x, want %#x", tt.expected, tt.truncated, tt.n, got, tt.want)
		}
	}
}

// Whatever the receiver has of the packets in flight, it reads the number that was sent.
func TestPNRoundTrip(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 100_000 {
		pn := rnd.Uint64() >> (2 + rnd.IntN(62))
		next := pn - min(pn, rnd.Uint64N(1<<(1+rnd.IntN(30))))
		n := PNLen(pn, next)
		// The receiver has received at least what it acknowledged, and at most what was sent.
		expected := next + rnd.Uint64N(pn-next+1)
		b := AppendPN(nil, pn, n)
		if len(b) != n {
			t.Fatalf("AppendPN took %d bytes for %d", len(b), n)
		}
		if got := DecodePN(expected, ParsePN(b, n), n); got != pn {
			t.Fatalf("%d with next %d in %d bytes, %d expected, came back as %d", pn, next, n, expected, got)
		}
	}
}
