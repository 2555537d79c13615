package simnet

import "time"

// eventQueue has what is going to happen: first what is due first and, of what is due at one instant, what was scheduled first.
// It is a binary heap of its own, for container/heap would look at each event through two pointers.
type eventQueue struct {
	heap   []scheduled
	serial uint64
}

// scheduled is an event and when it is due, in virtual time since the beginning.
type scheduled struct {
	at     time.Duration
	serial uint64
	*event
}

func (s *scheduled) before(other *scheduled) bool {
	return s.at < other.at || s.at == other.at && s.serial < other.serial
}

// event is something that is going to happen: a call, an arrival, or, called off, nothing.
type event struct {
	do      func()
	arrives bool
	arrival arrival
}

func (q *eventQueue) push(at time.Time, e *event) {
	q.serial++
	s := scheduled{at.Sub(beginning), q.serial, e}
	i := len(q.heap)
	q.heap = append(q.heap, s)
	for i > 0 {
		parent := (i - 1) / 2
		if !s.before(&q.heap[parent]) {
			break
		}
		q.heap[i] = q.heap[parent]
		i = parent
	}
	q.heap[i] = s
}

// next returns the event that is due first, nil if there is none.
func (q *eventQueue) next() (*event, time.Time) {
	if len(q.heap) == 0 {
		return nil, time.Time{}
	}
	return q.heap[0].event, beginning.Add(q.heap[0].at)
}

// pop takes away what next returns.
func (q *eventQueue) pop() {
	n := len(q.heap) - 1
	last := q.heap[n]
	q.heap[n] = scheduled{}
	q.heap = q.heap[:n]
	if n == 0 {
		return
	}
	i := 0
	for {
		child := 2*i + 1
		if child >= n {
			break
		}
		if right := child + 1; right < n && q.heap[right].before(&q.heap[child]) {
			child = right
		}
		if !q.heap[child].before(&last) {
			break
		}
		q.heap[i] = q.heap[child]
		i = child
	}
	q.heap[i] = last
}
