package flow

import (
	"testing"
	"time"

	"github.com/dunlin-quic/dunlin/internal/monotime"
	"github.com/dunlin-quic/dunlin/internal/wire"
)

const rtt = 100 * time.Millisecond

func window(size, most uint64) *Window {
	w := new(Window)
	w.Init(size, most)
	return w
}

// RFC 9000, Section 4.1 (MUST 2).
func TestWindowHoldsThePeerToItsLimit(t *testing.T) {
	w := window(1000, 1000)
	if !w.Receive(1, 999) || !w.Receive(1, 1) {
		t.Fatal("what the limit allows was refused")
	}
	if w.Receive(1, 1) {
		t.Fatal("a byte beyond the limit was accepted")
	}
	if w.Received() != 1000 {
		t.Errorf("received %d bytes, want 1000: what is refused does not count", w.Received())
	}
	w.Consume(1000)
	if w.Receive(1, 1) {
		t.Error("a byte beyond the advertised limit was accepted because others were consumed")
	}
	if limit := w.Update(1, rtt); limit != 2000 {
		t.Errorf("the limit is %d after all was consumed, want 2000", limit)
	}
	if !w.Receive(1, 1000) || w.Receive(1, 1) {
		t.Error("the peer is not held to the new limit")
	}
}

func TestWindowUpdateIsDueAtHalf(t *testing.T) {
	w := window(1000, 1000)
	w.Receive(1, 1000)
	w.Consume(499)
	if w.Due() {
		t.Error("due with 499 of 1000 bytes consumed")
	}
	w.Consume(1)
	if !w.Due() {
		t.Error("not due with half of the window consumed")
	}
	if limit := w.Update(1, rtt); limit != 1500 {
		t.Errorf("limit %d, want 1500", limit)
	}
	if w.Due() {
		t.Error("due right after an update")
	}
}

func TestWindowNeverShrinks(t *testing.T) {
	w := window(1000, 1000)
	if limit := w.Update(1, rtt); limit != 1000 || w.Due() {
		t.Errorf("limit %d, want 1000, and nothing due", limit)
	}
	w = window(0, 0)
	if w.Due() || w.Receive(1, 1) || !w.Receive(1, 0) {
		t.Error("a window of 0 lets data in")
	}
	w.Grow(500)
	if w.Size() != 0 {
		t.Error("a window grew beyond its maximum")
	}
}

func TestWindowGrowsWithTheReader(t *testing.T) {
	for _, c := range []struct {
		name string
		per  time.Duration // time for half a window
		want uint64
	}{
		{"at once", 0, 2000},
		{"in a round trip", rtt, 2000},
		{"just within two", 2*rtt - 1, 2000},
		{"in two", 2 * rtt, 1000},
		{"at leisure", time.Hour, 1000},
	} {
		w := window(1000, 64000)
		now := monotime.Time(1)
		w.Receive(now, 500)
		w.Consume(500)
		now = now.Add(c.per)
		if w.Update(now, rtt); w.Size() != c.want {
			t.Errorf("%s: size %d, want %d", c.name, w.Size(), c.want)
		}
	}
}

func TestWindowGrowsUpToItsMaximum(t *testing.T) {
	w := window(1000, 3000)
	for range 20 {
		n := w.Limit() - w.Received()
		w.Receive(1, n)
		w.Consume(n)
		w.Update(1, rtt)
	}
	if w.Size() != 3000 {
		t.Errorf("size %d, want the maximum, 3000", w.Size())
	}
	w.Grow(2000)
	if w.Size() != 3000 {
		t.Errorf("Grow shrank the window to %d", w.Size())
	}
}

func TestWindowUpdatesForLostFramesDoNotCountAsPace(t *testing.T) {
	w := window(1000, 64000)
	w.Receive(1, 600)
	w.Consume(500)
	w.Update(monotime.Time(1).Add(time.Hour), rtt)
	w.Consume(100)
	for range 5 {
		w.Update(monotime.Time(2).Add(time.Hour), rtt)
	}
	if w.Size() != 1000 || w.Limit() != 1600 {
		t.Errorf("size %d, limit %d, want 1000 and 1600", w.Size(), w.Limit())
	}
}

func TestWindowLimitIsEncodable(t *testing.T) {
	w := window(1<<63, 1<<63)
	if w.Limit() != wire.MaxVarint {
		t.Errorf("limit %d, want 2^62-1", w.Limit())
	}
	w.Receive(1, 1<<61)
	w.Consume(1 << 61)
	if w.Due() || w.Update(1, rtt) != wire.MaxVarint {
		t.Error("the limit moved beyond 2^62-1")
	}
}

// RFC 9000, Section 4.1 (MUST 3).
func TestCredit(t *testing.T) {
	var c Credit
	if c.Available() != 0 || c.Raise(0) {
		t.Error("the zero Credit has credit")
	}
	if !c.Raise(100) || c.Raise(100) || c.Raise(50) {
		t.Error("only higher limits count")
	}
	c.Use(40)
	if c.Available() != 60 || c.Used() != 40 || c.Limit() != 100 {
		t.Errorf("available %d, used %d, limit %d", c.Available(), c.Used(), c.Limit())
	}
	c.Use(60)
	c.Tell()
	c.Forget(99)
	if !c.Told() {
		t.Error("the loss of an older frame undid what a later one told")
	}
	c.Forget(100)
	if c.Told() {
		t.Error("a lost frame counts as told")
	}
	c.Tell()
	if c.Raise(101); c.Told() {
		t.Error("a new limit was never told about")
	}
}
