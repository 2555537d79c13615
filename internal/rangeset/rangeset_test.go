package rangeset

import (
	"math/rand/v2"
	"slices"
	"testing"
)

func set(r ...Range) *Set {
	s := new(Set)
	for _, r := range r {
		s.Add(r.Start, r.End)
	}
	return s
}

func TestAdd(t *testing.T) {
	base := []Range{{10, 20}, {30, 40}, {50, 60}}
	for _, tt := range []struct {
		add  Range
		want []Range
	}{
		{Range{5, 5}, base},
		{Range{7, 5}, base},
		{Range{0, 5}, []Range{{0, 5}, {10, 20}, {30, 40}, {50, 60}}},
		{Range{0, 10}, []Range{{0, 20}, {30, 40}, {50, 60}}},
		{Range{15, 16}, base},
		{Range{15, 25}, []Range{{10, 25}, {30, 40}, {50, 60}}},
		{Range{20, 30}, []Range{{10, 40}, {50, 60}}},
		{Range{22, 28}, []Range{{10, 20}, {22, 28}, {30, 40}, {50, 60}}},
		{Range{0, 100}, []Range{{0, 100}}},
		{Range{12, 55}, []Range{{10, 60}}},
		{Range{45, 50}, []Range{{10, 20}, {30, 40}, {45, 60}}},
		{Range{45, 49}, []Range{{10, 20}, {30, 40}, {45, 49}, {50, 60}}},
		{Range{55, 70}, []Range{{10, 20}, {30, 40}, {50, 70}}},
		{Range{60, 70}, []Range{{10, 20}, {30, 40}, {50, 70}}},
		{Range{61, 70}, []Range{{10, 20}, {30, 40}, {50, 60}, {61, 70}}},
	} {
		s := set(base...)
		s.Add(tt.add.Start, tt.add.End)
		if !slices.Equal(s.Ranges(), tt.want) {
			t.Errorf("with %v: %v, want %v", tt.add, s.Ranges(), tt.want)
		}
	}
}

func TestRemove(t *testing.T) {
	base := []Range{{10, 20}, {30, 40}, {50, 60}}
	for _, tt := range []struct {
		remove Range
		want   []Range
	}{
		{Range{15, 15}, base},
		{Range{0, 10}, base},
		{Range{20, 30}, base},
		{Range{60, 100}, base},
		{Range{10, 20}, []Range{{30, 40}, {50, 60}}},
		{Range{12, 15}, []Range{{10, 12}, {15, 20}, {30, 40}, {50, 60}}},
		{Range{15, 35}, []Range{{10, 15}, {35, 40}, {50, 60}}},
		{Range{0, 55}, []Range{{55, 60}}},
		{Range{0, 100}, nil},
		{Range{35, 100}, []Range{{10, 20}, {30, 35}}},
		{Range{0, 15}, []Range{{15, 20}, {30, 40}, {50, 60}}},
	} {
		s := set(base...)
		s.Remove(tt.remove.Start, tt.remove.End)
		if !slices.Equal(s.Ranges(), tt.want) {
			t.Errorf("without %v: %v, want %v", tt.remove, s.Ranges(), tt.want)
		}
	}
	new(Set).Remove(0, 10)
}

// Against a set of booleans, with whatever comes.
func TestRandom(t *testing.T) {
	const space = 64
	rnd := rand.New(rand.NewPCG(5, 6))
	var s Set
	var model [space]bool
	for range 20_000 {
		start, end := rnd.Uint64N(space), rnd.Uint64N(space+1)
		switch rnd.IntN(20) {
		default:
			s.Add(start, end)
			for i := start; i < end; i++ {
				model[i] = true
			}
		case 0, 1, 2, 3, 4, 5, 6, 7, 8, 9:
			s.Remove(start, end)
			for i := start; i < end; i++ {
				model[i] = false
			}
		case 10:
			o := set(Range{start, start + 3}, Range{start + 5, start + 6})
			s.Sub(o)
			for i := range uint64(space) {
				model[i] = model[i] && !o.Contains(i)
			}
		case 11:
			s.Clear()
			clear(model[:])
		case 12:
			n := rnd.IntN(3)
			for _, r := range s.Ranges()[:min(n, s.Len())] {
				clear(model[r.Start:r.End])
			}
			s.DropFirst(n)
		}
		check(t, &s, model[:])
	}
}

func check(t *testing.T, s *Set, model []bool) {
	t.Helper()
	var size uint64
	lowest, highest, any := uint64(0), uint64(0), false
	for i, in := range model {
		v := uint64(i)
		if s.Contains(v) != in {
			t.Fatalf("%v contains %d: %v", s.Ranges(), v, !in)
		}
		if in {
			if !any {
				lowest, any = v, true
			}
			highest = v
			size++
		}
	}
	if s.Contains(uint64(len(model))) || s.Size() != size || s.Empty() == any {
		t.Fatalf("%v: size %d", s.Ranges(), s.Size())
	}
	if v, ok := s.Min(); v != lowest || ok != any {
		t.Fatalf("%v: Min %d, %v", s.Ranges(), v, ok)
	}
	if v, ok := s.Max(); v != highest || ok != any {
		t.Fatalf("%v: Max %d, %v", s.Ranges(), v, ok)
	}
	for i := range s.Len() {
		r := s.Range(i)
		if r.Len() == 0 || r.End <= r.Start || i > 0 && s.Range(i-1).End >= r.Start {
			t.Fatalf("%v: not disjoint, apart and ascending", s.Ranges())
		}
		if !s.ContainsRange(r.Start, r.End) || s.ContainsRange(r.Start, r.End+1) || !s.ContainsRange(r.Start, r.Start) {
			t.Fatalf("%v: ContainsRange of %v", s.Ranges(), r)
		}
	}
	if s.ContainsRange(uint64(len(model))+1, uint64(len(model))+2) {
		t.Fatal("contains what is above it")
	}
}

// Storage is reused, and growth at the upper end takes no search.
func TestAllocations(t *testing.T) {
	s := set(Range{1, 2}, Range{3, 4}, Range{5, 6}, Range{7, 8})
	var next uint64
	if n := testing.AllocsPerRun(100, func() {
		s.Clear()
		for i := range uint64(4) {
			s.Add(next+2*i, next+2*i+1)
		}
		s.Add(next+1, next+2)
		s.Remove(next, next+4)
		next += 10
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkAddInOrder(b *testing.B) {
	var s Set
	var next uint64
	for b.Loop() {
		s.Add(next, next+1)
		next++
	}
}
