package recovery

import (
	"testing"

	"github.com/dunlin-quic/dunlin/internal/monotime"
)

func TestSilentPeerIsBounded(t *testing.T) {
	s := newSender(t, func(c *Config) { c.Controller = wideOpen{} })
	s.SetHandshakeConfirmed()
	n := 0
	for ; s.SendTime(s.now, AppData, 1200) <= s.now; n++ {
		s.send(AppData, data)
	}
	if n != maxOutstanding {
		t.Fatalf("%d packets in flight without an acknowledgment, want %d", n, maxOutstanding)
	}
	// ACKs are not held back, and must not make the ring grow for ever.
	for range 2 * maxSlots {
		s.send(AppData, 0)
	}
	if got := len(s.app.packets); got > maxSlots {
		t.Fatalf("ring of %d packets, want at most %d", got, maxSlots)
	}
	s.wantInFlight(0)
	pn := s.NextPN(AppData) - 1
	s.ack(AppData, 0, 0, pn)
	s.wantTimeout(-1)
	if s.SendTime(s.now, AppData, 1200) > s.now {
		t.Fatal("still blocked after an acknowledgment of everything")
	}
}

func TestManyFramesAreBounded(t *testing.T) {
	s := newSender(t, func(c *Config) { c.Controller = wideOpen{} })
	s.SetHandshakeConfirmed()
	frames := 0
	for s.SendTime(s.now, AppData, 1200) <= s.now {
		for range 500 {
			s.Record(AppData, Frame{ID: s.NextPN(AppData)})
			frames++
		}
		s.Sent(s.now, AppData, 1200, data)
	}
	if frames < maxRecords || frames > maxRecords+500 || len(s.app.records) > 2*maxRecords {
		t.Fatalf("%d frames in a ring of %d", frames, len(s.app.records))
	}
	s.ack(AppData, 0, 0, s.NextPN(AppData)-1)
	if len(s.acked) != frames {
		t.Fatalf("%d of %d frames acknowledged", len(s.acked), frames)
	}
	s.Shrink()
	if s.SendTime(s.now, AppData, 1200) == monotime.Never || len(s.app.records) > keepRing {
		t.Fatalf("%d records kept", len(s.app.records))
	}
}

// TestHostileAcksAreCheap has a peer that leaves the first packet out, so that nothing can be forgotten, and names the
// rest again and again in ever different ranges. No range is walked twice, wherever it begins.
func TestHostileAcksAreCheap(t *testing.T) {
	const flight = 3000
	s := newSender(t, func(c *Config) { c.Controller = wideOpen{} })
	s.SetHandshakeConfirmed()
	s.sendN(flight, 0)
	steps := func(lo, hi uint64) (n int) {
		for pn := lo; pn <= hi; n++ {
			pn += uint64(s.app.at(pn).jump)
		}
		return n
	}
	for hi := uint64(100); hi < flight; hi += 100 {
		s.ack(AppData, 0, hi-99, hi)
	}
	for lo := uint64(1); lo < flight-200; lo++ {
		s.ack(AppData, 0, lo, flight-100)
	}
	if got := s.app.base; got != 0 {
		t.Fatalf("packets up to %d are forgotten: the test does not test", got)
	}
	for lo := uint64(1); lo < flight-200; lo++ {
		if n := steps(lo, flight-100); n > 1 {
			t.Fatalf("a range from packet %d on takes %d steps", lo, n)
		}
	}
}
