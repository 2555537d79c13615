package blocking

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// TestRing compares the ring with a bytes.Buffer over random writes and reads of both sizes.
func TestRing(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var ring Ring
	var model bytes.Buffer
	source := make([]byte, 1<<20)
	rand.NewChaCha8([32]byte{3}).Read(source)
	for range 2_000 {
		size := SmallBuffer
		if r.IntN(3) == 0 {
			size = LargeBuffer
		}
		if p := ring.Room(size); len(p) > 0 {
			n := r.IntN(len(p) + 1)
			at := r.IntN(len(source) - n)
			copy(p, source[at:at+n])
			model.Write(source[at : at+n])
			ring.Added(n)
		} else if ring.Len() < size {
			t.Fatalf("no room at %d of %d", ring.Len(), size)
		}
		got := make([]byte, r.IntN(LargeBuffer))
		want := make([]byte, len(got))
		n := ring.Read(got)
		m, _ := model.Read(want)
		if n != m || !bytes.Equal(got[:n], want[:m]) {
			t.Fatalf("read %d bytes, want %d, or others", n, m)
		}
		if ring.Len() != model.Len() {
			t.Fatalf("%d bytes left, want %d", ring.Len(), model.Len())
		}
		if n > 0 && ring.Len() == 0 && ring.Cap() > 0 {
			t.Fatal("an empty ring keeps its buffer")
		}
	}
}
