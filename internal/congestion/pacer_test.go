package congestion

import (
	"testing"
	"time"

	"github.com/dunlin-quic/dunlin/internal/monotime"
)

// spend sends full packets as long as the pacer allows.
func spend(p *Pacer, now monotime.Time) (packets int) {
	for p.Release(now) <= now && packets < 1e6 {
		p.OnSent(now, mss)
		packets++
	}
	return packets
}

// RFC 9002, Section 7.7 (MUST 1).
func TestPacerBurst(t *testing.T) {
	for rate, want := range map[uint64]int{
		1e3: 10, 1e6: 10, 5e6: 10, // at least ten packets
		1e7: 20, 1e8: 200, 1e9: 2000, // 2 ms of the rate
	} {
		var p Pacer
		p.SetRate(rate, mss)
		now := monotime.Time(time.Hour)
		if got := spend(&p, now); got < want || got > want+want/100+1 {
			t.Errorf("rate %d: burst of %d packets, want %d", rate, got, want)
		}
		// No more after a long rest.
		now = now.Add(time.Hour)
		if got := spend(&p, now); got < want || got > want+want/100+1 {
			t.Errorf("rate %d: burst of %d packets after a rest, want %d", rate, got, want)
		}
	}
}

// TestPacerRate: woken when it asks to be, or a millisecond late as Go's timers do, the pacer keeps the rate.
func TestPacerRate(t *testing.T) {
	for _, late := range []time.Duration{0, time.Millisecond} {
		for _, rate := range []uint64{1e4, 3e5, 1e6, 3e6, 6e6, 1e7, 1e8, 1e9} {
			var p Pacer
			p.SetRate(rate, mss)
			start := monotime.Time(time.Hour)
			spend(&p, start)
			sent := 0
			now := start
			wakes := 0
			for now.Sub(start) < 2*time.Second {
				now = p.Release(now).Add(late)
				sent += spend(&p, now) * mss
				wakes++
			}
			if want := 2 * float64(rate); float64(sent) < 0.99*want || float64(sent) > 1.01*want+mss {
				t.Errorf("rate %d, timers %v late: %d bytes in 2 s", rate, late, sent)
			}
			if wakes > 4001 {
				t.Errorf("rate %d: %d wake-ups in 2 s", rate, wakes)
			}
		}
	}
}

// Once the burst is spent, packets go out in trains: as few as one where more would take too long, half a burst at most where
// they are no more than half a millisecond of the rate.
func TestPacerTrains(t *testing.T) {
	for rate, want := range map[uint64]int{
		1e4: 1, 1.5e5: 1, // the second packet is no sooner than 6 ms after the first
		6e5: 3, 1e6: 5, 3e6: 6, 1e7: 6,
		1e8: 51,
	} {
		var p Pacer
		p.SetRate(rate, mss)
		now := monotime.Time(time.Hour)
		spend(&p, now)
		for i := range 5 {
			now = p.Release(now)
			if got := spend(&p, now); got < want || got > want+1 {
				t.Errorf("rate %d: train %d of %d packets, want %d", rate, i, got, want)
			}
		}
	}
}

func TestPacerWithoutRate(t *testing.T) {
	var p Pacer
	now := monotime.Time(time.Hour)
	for range 1000 {
		p.OnSent(now, mss)
	}
	if p.Release(now) > now {
		t.Fatal("held without a rate")
	}
}
