package bytequeue

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// TestQueue compares the queue with a slice of slices over random pushes and drops.
func TestQueue(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	const limit = 10_000
	var q Queue
	var model [][]byte
	held := 0
	for range 20_000 {
		if r.IntN(2) == 0 {
			p := bytes.Repeat([]byte{byte(r.Uint32())}, r.IntN(500))
			fits := held+prefix+len(p) <= limit
			if q.Push(p, limit) != fits {
				t.Fatalf("pushed %d bytes to %d: %v", len(p), held, !fits)
			}
			if fits {
				model, held = append(model, p), held+prefix+len(p)
			}
		} else if q.Empty() != (len(model) == 0) {
			t.Fatal("empty or not?")
		} else if len(model) > 0 {
			if !bytes.Equal(q.Peek(), model[0]) {
				t.Fatalf("%v, want %v", q.Peek(), model[0])
			}
			q.Drop()
			held -= prefix + len(model[0])
			model = model[1:]
		}
	}
	for !q.Empty() {
		q.Drop()
	}
	if !q.Slack() {
		t.Error("no slack after so much")
	}
	if q.Shrink(); q.Slack() {
		t.Error("slack after Shrink")
	}
}
