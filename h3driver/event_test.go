package h3driver

import "testing"

// TestEventQueueRetracts removes what concerns a stream, wherever the queue's head is.
func TestEventQueueRetracts(t *testing.T) {
	streams := []*Stream{{}, {}, {}}
	for popped := range 4 {
		var q eventQueue
		for range 3 {
			for _, s := range streams {
				q.push(Event{Kind: EventInterim, Stream: s})
			}
		}
		for range popped {
			q.pop()
		}
		q.push(Event{Kind: EventGoAway, ID: 8})
		q.push(Event{Kind: EventGoAway, ID: 4})
		q.retract(streams[1])
		var left []int
		for ev, ok := q.pop(); ok; ev, ok = q.pop() {
			switch ev.Stream {
			case streams[0]:
				left = append(left, 0)
			case streams[2]:
				left = append(left, 2)
			case nil:
				left = append(left, int(ev.ID))
			default:
				t.Error("a retracted event is still there")
			}
		}
		want := []int{0, 2, 0, 2, 0, 2, 4}[[]int{0, 1, 1, 2}[popped]:]
		if len(left) != len(want) || left[len(left)-1] != 4 || q.len() != 0 {
			t.Errorf("after %d: %v, want %v", popped, left, want)
		}
	}
}
