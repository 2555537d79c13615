package blocking

import (
	"context"
	"errors"
	"sync"
	"testing"
)

// TestGate lets several goroutines through at once, and gives up one whose context ends.
func TestGate(t *testing.T) {
	var mu sync.Mutex
	var gate Gate
	mu.Lock()
	gate.Open() // nobody waits
	first := gate.Opening()
	var wg sync.WaitGroup
	for range 3 {
		ch := gate.Opening()
		wg.Go(func() {
			if err := Await(t.Context(), ch); err != nil {
				t.Error(err)
			}
		})
	}
	gate.Open()
	wg.Wait()
	<-first
	cause := errors.New("cause")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(cause)
	if err := Await(ctx, gate.Opening()); err != cause {
		t.Error(err)
	}
	mu.Unlock()
}
