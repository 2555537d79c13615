package wire

import (
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/dunlin-quic/dunlin/internal/rangeset"
)

// ascending returns an ACK frame's ranges as a receiver keeps them.
func ascending(f AckFrame) []rangeset.Range {
	var s rangeset.Set
	for _, r := range slices.Backward(f.Ranges) {
		s.Add(r.Smallest, r.Largest+1)
	}
	return s.Ranges()
}

func appendAckFrame(b []byte, f AckFrame) []byte {
	var ecn *ECNCounts
	if f.HasECN {
		ecn = &f.ECN
	}
	return AppendAck(b, ascending(f), f.Delay, ecn, math.MaxInt)
}

// What fits is written, newest first; the frame never exceeds its room.
func TestAckRoom(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	for range 2000 {
		var s rangeset.Set
		next := rnd.Uint64N(1 << (1 + rnd.IntN(50)))
		for range 1 + rnd.IntN(100) {
			next += 1 + rnd.Uint64N(1<<(1+rnd.IntN(8)))
			n := 1 + rnd.Uint64N(1<<(1+rnd.IntN(8)))
			s.Add(next, next+n)
			next += n
		}
		var ecn *ECNCounts
		if rnd.IntN(2) == 0 {
			ecn = &ECNCounts{rnd.Uint64N(1 << 20), 0, rnd.Uint64N(100)}
		}
		delay := rnd.Uint64N(1 << 20)
		whole := AppendAck(nil, s.Ranges(), delay, ecn, math.MaxInt)
		room := rnd.IntN(len(whole) + 2)
		b := AppendAck(nil, s.Ranges(), delay, ecn, room)
		if len(b) > room {
			t.Fatalf("%d bytes where there was room for %d", len(b), room)
		}
		if len(b) == 0 {
			if room > 8+8+4+2+8+12 {
				t.Fatalf("nothing written where there was room for %d", room)
			}
			continue
		}
		f, n := ParseAck(b, nil)
		if n != len(b) || f.Delay != delay || f.HasECN != (ecn != nil) || ecn != nil && f.ECN != *ecn {
			t.Fatalf("came back as %+v, %d of %d", f, n, len(b))
		}
		got, all := ascending(f), s.Ranges()
		if !slices.Equal(got, all[len(all)-len(got):]) {
			t.Fatalf("acknowledges %v, want the upper ones of %v", got, all)
		}
		if room >= len(whole) && len(got) != len(all) {
			t.Fatalf("%d of %d ranges where all had room", len(got), len(all))
		}
	}
	if b := AppendAck(nil, nil, 0, nil, 100); len(b) != 0 {
		t.Errorf("an ACK of nothing: %x", b)
	}
}

// A frame may hold more ranges than are kept; the newest are, and the storage handed in is used.
func TestAckManyRanges(t *testing.T) {
	var s rangeset.Set
	for i := range uint64(1000) {
		s.Add(2*i, 2*i+1)
	}
	b := AppendAck(nil, s.Ranges(), 0, nil, math.MaxInt)
	scratch := make([]AckRange, 0, MaxAckRanges)
	f, n := ParseAck(b, scratch)
	if n != len(b) || len(f.Ranges) != MaxAckRanges || f.Largest() != 1998 || f.Ranges[255] != (AckRange{1488, 1488}) {
		t.Fatalf("%d of %d bytes, %d ranges", n, len(b), len(f.Ranges))
	}
	if &f.Ranges[0] != &scratch[:1][0] {
		t.Error("the storage was not used")
	}
	if allocs := testing.AllocsPerRun(100, func() { f, n = ParseAck(b, scratch) }); allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
	// The ranges that are not kept are still checked.
	if _, n := ParseAck(b[:len(b)-1], scratch); n != 0 {
		t.Error("truncated after the ranges kept, and parsed")
	}
}

func TestAckDelay(t *testing.T) {
	for _, tt := range []struct {
		raw  uint64
		exp  uint8
		want time.Duration
	}{
		{0, 3, 0},
		{1000, 3, 8 * time.Millisecond},
		{1000, 0, time.Millisecond},
		{1 << 20, 20, 1 << 40 * time.Microsecond},
		{MaxVarint, 0, math.MaxInt64},
		{MaxVarint, 20, math.MaxInt64},
		{1 << 60, 3, math.MaxInt64},
	} {
		f := AckFrame{Delay: tt.raw}
		if got := f.DelayDuration(tt.exp); got != tt.want {
			t.Errorf("%d with exponent %d: %v, want %v", tt.raw, tt.exp, got, tt.want)
		}
	}
}

// RFC 9000, Section 19.3 (MUST 1).
func TestAckRoundTrip(t *testing.T) {
	f := AckFrame{Ranges: []AckRange{{MaxVarint - 3, MaxVarint}, {7, 9}, {0, 5}}, Delay: 5, HasECN: true, ECN: ECNCounts{9, 8, 7}}
	b := appendAckFrame(nil, f)
	if got, n := ParseAck(b, nil); n != len(b) || !reflect.DeepEqual(got, f) {
		t.Errorf("%+v came back as %+v", f, got)
	}
}
