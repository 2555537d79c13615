package quic

// The lists that a stream can be in, each at most once. Membership costs nothing to streams that idle, and a stream is
// taken out of the middle of a list at once: nothing ever searches among all streams.
const (
	listEvents  = iota // has something to tell the application
	listControl        // has control frames to send
	listWaiting        // wants to write, waits for room in the connection's send buffer
	listOwed           // has frames to send that need no connection-level credit
	listTurns          // has new data to send, takes turns with others
	numLists
)

// streamLink is a stream's place in one list.
type streamLink struct{ prev, next *Stream }

// streamList is a doubly linked list through the links that its members hold. Its kind is a constant of its owner.
type streamList struct{ head, tail *Stream }

func (l *streamList) empty() bool { return l.head == nil }

// in reports whether s is in a list of the kind.
func (s *Stream) in(kind int) bool { return s.listed&(1<<kind) != 0 }

// push adds s at the end, unless s is in a list of the kind already.
func (l *streamList) push(kind int, s *Stream) {
	if s.in(kind) {
		return
	}
	s.listed |= 1 << kind
	s.links[kind] = streamLink{prev: l.tail}
	if l.tail == nil {
		l.head = s
	} else {
		l.tail.links[kind].next = s
	}
	l.tail = s
}

// remove takes s out, if it is in a list of the kind, which must be this one.
func (l *streamList) remove(kind int, s *Stream) {
	if !s.in(kind) {
		return
	}
	s.listed &^= 1 << kind
	link := s.links[kind]
	s.links[kind] = streamLink{}
	if link.prev == nil {
		l.head = link.next
	} else {
		link.prev.links[kind].next = link.next
	}
	if link.next == nil {
		l.tail = link.prev
	} else {
		link.next.links[kind].prev = link.prev
	}
}
