package quic

import "math"

// Releaser takes back memory that was lent to a connection.
type Releaser interface {
	// Release is told, once for each loan, that the memory is its owner's again. It must not block.
	Release()
}

// minLoan is the least number of bytes that are worth keeping track of: fewer are copied, and then small writes share
// blocks.
const minLoan = 1 << 10

// TryLend is TryWrite without a copy: the bytes that it takes belong to the connection, which only reads them, until it
// calls owner.Release, once for each call of TryLend that took any: when the peer has acknowledged them all, or when
// nothing will be sent again because the stream was reset or the connection has ended. That may be before TryLend returns,
// for what is too short to be worth lending is copied at once. Release is called by whichever method of the connection
// finds out, and must not call methods of the connection or its streams.
//
// A nil owner is for what lasts as long as the program and never changes.
//
// Results, room and events are those of TryWrite. Bulk data is one copy cheaper; but its memory is pinned, whole pieces at a
// time, for a round trip at least.
func (s *Stream) TryLend(p []byte, fin bool, owner Releaser) (int, error) {
	return s.write(p, fin, true, owner)
}

// loan is a chunk of a sendBuffer that is lent.
type loan struct {
	start uint64 // of the chunk
	owner Releaser
}

// loans are the loans of a sendBuffer, in order. Chunks are given back in that order, too, but for those that a reset cuts off.
type loans struct {
	queue []loan // the live ones are queue[head:]
	head  int
}

func (l *loans) push(x loan) {
	if l.head > 0 && len(l.queue) == cap(l.queue) && l.head >= len(l.queue)/2 {
		n := copy(l.queue, l.queue[l.head:])
		clear(l.queue[n:])
		l.queue = l.queue[:n]
		l.head = 0
	}
	l.queue = append(l.queue, x)
}

// last returns where the last loan starts. If there is none, no chunk starts there.
func (l *loans) last() uint64 {
	if l.head == len(l.queue) {
		return math.MaxUint64
	}
	return l.queue[len(l.queue)-1].start
}

// take removes the loan of the chunk at start, if that is lent: then it is the first or the last one.
func (l *loans) take(start uint64) (owner Releaser, ok bool) {
	n := len(l.queue)
	switch {
	case l.head == n:
		return nil, false
	case l.queue[l.head].start == start:
		owner = l.queue[l.head].owner
		l.queue[l.head] = loan{}
		l.head++
	case l.queue[n-1].start == start:
		owner = l.queue[n-1].owner
		l.queue[n-1] = loan{}
		l.queue = l.queue[:n-1]
	default:
		return nil, false
	}
	if l.head == len(l.queue) {
		l.queue, l.head = l.queue[:0], 0
	}
	return owner, true
}
