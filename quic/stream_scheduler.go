package quic

import "math/bits"

// numUrgencies is the number of urgency levels (RFC 9218, Section 4.1).
const numUrgencies = 8

// streamScheduler decides which stream sends next: always one of the most urgent level that has any. Within a level,
// frames that need no connection-level credit come first, since most of them mend losses (RFC 9000, Section 13.3).
// New data of streams that are not incremental goes one stream after another in order of ID, incremental ones take
// turns of one frame; where a level has both kinds, the former together count as one taker of turns.
//
// Only streams that have something to send are in here, so that idle ones cost nothing.
type streamScheduler struct {
	levels [numUrgencies]*urgencyLevel // made when first used: most connections use one or two
	owed   uint8                       // bit i: levels[i].owed is not empty
	fresh  uint8                       // bit i: levels[i].turns or .byID is not empty
}

type urgencyLevel struct {
	owed     streamList
	turns    streamList
	byID     streamHeap
	heapNext bool // byID has the next turn
}

// next returns the stream to send next, nil if there is none. Without credit only owed frames count.
func (q *streamScheduler) next(credit bool) *Stream {
	mask := q.owed
	if credit {
		mask |= q.fresh
	}
	if mask == 0 {
		return nil
	}
	l := q.levels[bits.TrailingZeros8(mask)]
	switch {
	case !l.owed.empty():
		return l.owed.head
	case l.turns.empty() || (l.heapNext && len(l.byID) > 0):
		return l.byID[0]
	}
	return l.turns.head
}

// update puts s where it belongs, given whether it has owed frames and new data to send.
func (q *streamScheduler) update(s *Stream, owed, fresh bool) {
	l := q.levels[s.urgency]
	if l == nil {
		if !owed && !fresh {
			return
		}
		l = new(urgencyLevel)
		q.levels[s.urgency] = l
	}
	if owed {
		l.owed.push(listOwed, s)
	} else {
		l.owed.remove(listOwed, s)
	}
	switch {
	case fresh && s.incremental:
		l.turns.push(listTurns, s)
	case fresh && s.heapIndex < 0:
		l.byID.push(s)
	case !fresh && s.heapIndex >= 0:
		l.byID.remove(s)
	case !fresh:
		l.turns.remove(listTurns, s)
	}
	q.mark(s.urgency)
}

// served passes the turn on after s sent new data.
func (q *streamScheduler) served(s *Stream) {
	l := q.levels[s.urgency]
	l.heapNext = s.in(listTurns)
	if s.in(listTurns) && l.turns.tail != s {
		l.turns.remove(listTurns, s)
		l.turns.push(listTurns, s)
	}
}

// rest lets go of the levels while nothing is to be sent.
func (q *streamScheduler) rest() {
	if q.owed|q.fresh == 0 {
		*q = streamScheduler{}
	}
}

// remove takes s out.
func (q *streamScheduler) remove(s *Stream) { q.update(s, false, false) }

// mark brings the masks up to date with the level.
func (q *streamScheduler) mark(urgency uint8) {
	l := q.levels[urgency]
	bit := uint8(1) << urgency
	q.owed &^= bit
	q.fresh &^= bit
	if !l.owed.empty() {
		q.owed |= bit
	}
	if !l.turns.empty() || len(l.byID) > 0 {
		q.fresh |= bit
	}
}

// streamHeap is a binary heap of streams, the lowest ID first. Streams mostly become ready in order of ID, which makes
// pushing cheap.
type streamHeap []*Stream

func (h *streamHeap) push(s *Stream) {
	*h = append(*h, s)
	h.up(len(*h)-1, s)
}

func (h *streamHeap) remove(s *Stream) {
	i := int(s.heapIndex)
	s.heapIndex = -1
	n := len(*h) - 1
	last := (*h)[n]
	(*h)[n] = nil
	*h = (*h)[:n]
	if last == s {
		return
	}
	if i > 0 && last.id < (*h)[(i-1)/2].id {
		h.up(i, last)
	} else {
		h.down(i, last)
	}
}

// up puts s at i or nearer to the top.
func (h streamHeap) up(i int, s *Stream) {
	for i > 0 {
		parent := (i - 1) / 2
		if h[parent].id < s.id {
			break
		}
		h.put(i, h[parent])
		i = parent
	}
	h.put(i, s)
}

// down puts s at i or farther from the top.
func (h streamHeap) down(i int, s *Stream) {
	for {
		child := 2*i + 1
		if child >= len(h) {
			break
		}
		if child+1 < len(h) && h[child+1].id < h[child].id {
			child++
		}
		if s.id < h[child].id {
			break
		}
		h.put(i, h[child])
		i = child
	}
	h.put(i, s)
}

func (h streamHeap) put(i int, s *Stream) {
	h[i] = s
	s.heapIndex = int32(i)
}
