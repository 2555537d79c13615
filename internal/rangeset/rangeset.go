// Package rangeset is a set of unsigned integers kept as sorted, disjoint, non-adjacent half-open ranges: packet
// numbers received, stream bytes acknowledged. It is made for few ranges that grow at their upper end.
package rangeset

import "slices"

// Range is the integers from Start up to, not including, End.
type Range struct{ Start, End uint64 }

// Len returns how many integers the range holds.
func (r Range) Len() uint64 { return r.End - r.Start }

// Set is a set of integers. The zero Set is empty. Its storage is reused: a Set that has held n ranges allocates
// nothing until it holds more than n.
type Set struct{ r []Range }

// Add adds the integers from start up to, not including, end.
func (s *Set) Add(start, end uint64) {
	if start >= end {
		return
	}
	n := len(s.r)
	if n == 0 || start > s.r[n-1].End {
		s.r = append(s.r, Range{start, end})
		return
	}
	if last := &s.r[n-1]; start >= last.Start {
		last.End = max(last.End, end)
		return
	}
	// i is the first range that ends at or after start, j the first that starts after end: i to j-1 merge.
	i := s.search(start)
	if s.r[i].End < start {
		i++
	}
	j := i
	for j < n && s.r[j].Start <= end {
		j++
	}
	if i == j {
		s.r = slices.Insert(s.r, i, Range{start, end})
		return
	}
	s.r[i] = Range{min(start, s.r[i].Start), max(end, s.r[j-1].End)}
	s.r = slices.Delete(s.r, i+1, j)
}

// search returns the index of the last range that starts at or before v, or 0.
func (s *Set) search(v uint64) int {
	lo, hi := 0, len(s.r)
	for hi-lo > 1 {
		if m := int(uint(lo+hi) >> 1); s.r[m].Start <= v {
			lo = m
		} else {
			hi = m
		}
	}
	return lo
}

// Remove removes the integers from start up to, not including, end.
func (s *Set) Remove(start, end uint64) {
	if start >= end || len(s.r) == 0 {
		return
	}
	i := s.search(start)
	if s.r[i].End <= start {
		i++
	}
	if i == len(s.r) || s.r[i].Start >= end {
		return
	}
	if r := s.r[i]; r.Start < start {
		s.r[i].End = start
		if end < r.End {
			s.r = slices.Insert(s.r, i+1, Range{end, r.End})
			return
		}
		i++
	}
	j := i
	for j < len(s.r) && s.r[j].End <= end {
		j++
	}
	if j < len(s.r) {
		s.r[j].Start = max(s.r[j].Start, end)
	}
	s.r = slices.Delete(s.r, i, j)
}

// Sub removes everything that o holds.
func (s *Set) Sub(o *Set) {
	for _, r := range o.r {
		s.Remove(r.Start, r.End)
	}
}

// DropFirst removes the n lowest ranges, or all if there are fewer.
func (s *Set) DropFirst(n int) { s.r = slices.Delete(s.r, 0, min(n, len(s.r))) }

// Contains reports whether v is in the set.
func (s *Set) Contains(v uint64) bool {
	n := len(s.r)
	if n == 0 || v >= s.r[n-1].End {
		return false
	}
	r := s.r[s.search(v)]
	return r.Start <= v && v < r.End
}

// ContainsRange reports whether all integers from start up to, not including, end are in the set.
func (s *Set) ContainsRange(start, end uint64) bool {
	if start >= end {
		return true
	}
	if len(s.r) == 0 {
		return false
	}
	r := s.r[s.search(start)]
	return r.Start <= start && end <= r.End
}

// Gap returns the first integers from start up to, not including, end that are not in the set, false if all are.
func (s *Set) Gap(start, end uint64) (Range, bool) {
	i := 0
	if len(s.r) > 0 {
		i = s.search(start)
		if r := s.r[i]; r.Start <= start {
			start = max(start, r.End)
			i++
		}
	}
	if start >= end {
		return Range{}, false
	}
	if i < len(s.r) {
		end = min(end, s.r[i].Start)
	}
	return Range{start, end}, true
}

// Len returns the number of ranges.
func (s *Set) Len() int { return len(s.r) }

// Empty reports whether the set holds nothing.
func (s *Set) Empty() bool { return len(s.r) == 0 }

// Size returns how many integers the set holds.
func (s *Set) Size() uint64 {
	var n uint64
	for _, r := range s.r {
		n += r.Len()
	}
	return n
}

// Range returns the i-th range, counting from the lowest.
func (s *Set) Range(i int) Range { return s.r[i] }

// Ranges returns all ranges in ascending order. The slice is valid until the next change and must not be changed.
func (s *Set) Ranges() []Range { return s.r }

// Min returns the lowest integer, false if the set is empty.
func (s *Set) Min() (uint64, bool) {
	if len(s.r) == 0 {
		return 0, false
	}
	return s.r[0].Start, true
}

// Max returns the highest integer, false if the set is empty.
func (s *Set) Max() (uint64, bool) {
	if len(s.r) == 0 {
		return 0, false
	}
	return s.r[len(s.r)-1].End - 1, true
}

// Clear empties the set and keeps its storage.
func (s *Set) Clear() { s.r = s.r[:0] }
