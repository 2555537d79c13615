package h3driver

import (
	"sync"
	"sync/atomic"
)

// minLoan is the least length of a body, in bytes, that is lent to QUIC and not copied. The memory of shorter ones is mostly
// part of something larger, all of which would be pinned for a round trip.
const minLoan = 32 << 10

// loan is the Release of a Part whose body is lent: it counts the Part itself and each piece of the body that QUIC has,
// and tells the owner when all are done.
type loan struct {
	uses  atomic.Int32
	owner Releaser
}

var loans = sync.Pool{New: func() any { return new(loan) }}

// Release implements Releaser.
func (l *loan) Release() {
	if l.uses.Add(-1) > 0 {
		return
	}
	owner := l.owner
	l.owner = nil
	loans.Put(l)
	owner.Release()
}

// sendBody gives HTTP/3 as much of body, which is what is left of the Part's, as it takes.
func (s *Stream) sendBody(body []byte, fin bool) (int, error) {
	p := &s.out.part
	l, lent := p.Release.(*loan)
	if !lent && p.Release != nil && len(body) >= minLoan {
		l, lent = loans.Get().(*loan), true
		l.owner = p.Release
		l.uses.Store(1)
		p.Release = l
	}
	if !lent {
		return s.h.TryWriteBody(body, fin)
	}
	l.uses.Add(1)
	n, err := s.h.TryLendBody(body, fin, l)
	if n == 0 {
		l.uses.Add(-1) // the Part's own use is left
	}
	return n, err
}
