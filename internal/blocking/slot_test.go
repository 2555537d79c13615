package blocking

import (
	"sync"
	"testing"
	"time"
)

// TestSlot ends a wait in each of the three ways, and finds the slot empty afterwards.
func TestSlot(t *testing.T) {
	var mu sync.Mutex
	var slot Slot
	mu.Lock()
	defer mu.Unlock()

	slot.Wait(&mu, time.Now(), nil)
	cancelled := make(chan struct{})
	close(cancelled)
	slot.Wait(&mu, time.Time{}, cancelled)
	if slot.Waiting() {
		t.Error("someone still waits after the deadline")
	}

	woken := false
	go func() {
		mu.Lock()
		defer mu.Unlock()
		woken = true
		slot.Wake()
	}()
	for !woken {
		slot.Wait(&mu, time.Time{}, nil)
	}
	if slot.Waiting() {
		t.Error("someone still waits after the wake-up")
	}
	slot.Wake() // nobody
}
