package h3driver

import "sync/atomic"

// liveList is the list of the streams that have an h3 stream, in order of their opening.
type liveList struct {
	head, tail *Stream
	n          atomic.Int32 // also read outside of the step
}

func (l *liveList) add(s *Stream) {
	if s.prev = l.tail; s.prev != nil {
		s.prev.next = s
	} else {
		l.head = s
	}
	l.tail = s
	l.n.Add(1)
}

func (l *liveList) remove(s *Stream) {
	if s.prev != nil {
		s.prev.next = s.next
	} else {
		l.head = s.next
	}
	if s.next != nil {
		s.next.prev = s.prev
	} else {
		l.tail = s.prev
	}
	s.prev, s.next = nil, nil
	l.n.Add(-1)
}
