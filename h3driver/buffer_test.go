package h3driver

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// TestRing compares the ring with a bytes.Buffer over random writes and reads of both sizes.
func TestRing(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var ring ring
	var model bytes.Buffer
	source := pattern(1 << 20)
	for range 2_000 {
		size := smallBuffer
		if r.IntN(3) == 0 {
			size = largeBuffer
		}
		if p := ring.room(size); len(p) > 0 {
			n := r.IntN(len(p) + 1)
			at := r.IntN(len(source) - n)
			copy(p, source[at:at+n])
			model.Write(source[at : at+n])
			ring.added(n)
		} else if ring.len() < size {
			t.Fatalf("no room at %d of %d", ring.len(), size)
		}
		got := make([]byte, r.IntN(largeBuffer))
		want := make([]byte, len(got))
		n := ring.read(got)
		m, _ := model.Read(want)
		if n != m || !bytes.Equal(got[:n], want[:m]) {
			t.Fatalf("read %d bytes, want %d, or others", n, m)
		}
		if ring.len() != model.Len() {
			t.Fatalf("%d bytes left, want %d", ring.len(), model.Len())
		}
		if n > 0 && ring.len() == 0 && ring.buf != nil {
			t.Fatal("an empty ring keeps its buffer")
		}
	}
}

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
