package rangeset

import "testing"

func TestGap(t *testing.T) {
	var s Set
	if g, ok := s.Gap(3, 9); !ok || g != (Range{3, 9}) {
		t.Errorf("empty set: %v, %v", g, ok)
	}
	s.Add(10, 20)
	s.Add(30, 40)
	for _, c := range []struct {
		start, end uint64
		want       Range
		ok         bool
	}{
		{0, 5, Range{0, 5}, true},
		{0, 10, Range{0, 10}, true},
		{0, 15, Range{0, 10}, true},
		{5, 50, Range{5, 10}, true},
		{10, 20, Range{}, false},
		{12, 18, Range{}, false},
		{10, 25, Range{20, 25}, true},
		{15, 50, Range{20, 30}, true},
		{20, 30, Range{20, 30}, true},
		{25, 35, Range{25, 30}, true},
		{35, 40, Range{}, false},
		{35, 41, Range{40, 41}, true},
		{50, 60, Range{50, 60}, true},
		{50, 50, Range{}, false},
		{25, 25, Range{}, false},
	} {
		if g, ok := s.Gap(c.start, c.end); ok != c.ok || g != c.want {
			t.Errorf("Gap(%d, %d) = %v, %v, want %v, %v", c.start, c.end, g, ok, c.want, c.ok)
		}
	}
}
