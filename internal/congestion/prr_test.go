package congestion

import (
	"testing"

	"github.com/dunlin-quic/dunlin/internal/monotime"
)

// recovering is a flow in a recovery period: packets were sent back to back, and of these some are lost.
type recovering struct {
	Controller
	inFlight int
	sent     uint64
	bursts   []int // bytes sent after each ACK
}

// ack acknowledges acked bytes, finds lost bytes lost, and sends what the window allows, at most limit.
func (r *recovering) ack(acked, lost, limit int) {
	before := r.inFlight
	r.inFlight -= acked + lost
	r.OnAck(Ack{
		Now: 2000, Sent: 500, Bytes: acked, InFlight: before, InFlightNow: r.inFlight, SentBytes: r.sent, RTT: 50 * ms, SRTT: 50 * ms,
	})
	n := 0
	for r.inFlight+mss <= r.Window() && n+mss <= limit {
		r.inFlight += mss
		r.sent += mss
		n += mss
	}
	r.bursts = append(r.bursts, n)
}

const anything = 1 << 30

// newRecovering returns a flow of 100 packets whose first one was lost, with a window of want afterwards.
func newRecovering(c Controller) (r *recovering, want int) {
	for range 90 {
		c.OnAck(Ack{Now: 900, Sent: 800, Bytes: mss, RTT: 50 * ms, SRTT: 50 * ms})
	}
	r = &recovering{Controller: c, inFlight: c.Window(), sent: 1 << 40}
	c.OnCongestion(1000, 500)
	return r, c.Window()
}

func eachRecovering(t *testing.T, f func(t *testing.T, r *recovering, want int)) {
	for name, c := range controllers() {
		t.Run(name, func(t *testing.T) {
			r, want := newRecovering(c())
			f(t, r, want)
		})
	}
}

// RFC 9937: what is in flight comes down to the new window over the round trip, neither at once nor with a pause.
func TestPRRProportional(t *testing.T) {
	eachRecovering(t, func(t *testing.T, r *recovering, want int) {
		flight := r.inFlight
		r.ack(2*mss, mss, anything)
		if r.bursts[0] != mss && r.bursts[0] != 2*mss {
			t.Fatalf("%d bytes sent at once, want what was lost", r.bursts[0])
		}
		total, last, pause, trains, longest := r.bursts[0], 0, 0, 1, 0
		for i := 1; r.inFlight > want; i++ {
			r.ack(2*mss, 0, anything)
			if n := r.bursts[i]; n > 0 {
				total += n
				pause = max(pause, i-last)
				last = i
				trains++
				longest = max(longest, n)
			}
			if ideal := (i + 1) * 2 * mss * want / flight; total > ideal+mss {
				t.Fatalf("%d bytes sent when %d were delivered, want %d", total, (i+1)*2*mss, ideal)
			}
		}
		if pause*2*mss > flight/5 {
			t.Errorf("nothing was sent for %d ACKs in a row: %v", pause, r.bursts)
		}
		// Packets go out in trains, not one by one.
		if total/trains < want/prrTrainShare*3/4 || longest > want/prrTrainShare+2*mss {
			t.Errorf("%d bytes in %d trains: %v", total, trains, r.bursts)
		}
		// The period ends when a packet sent in it is acknowledged.
		r.OnAck(Ack{Now: 3000, Sent: 1001, Bytes: mss, InFlight: r.inFlight, InFlightNow: r.inFlight - mss, SentBytes: r.sent, SRTT: 50 * ms})
		if w := r.Window(); w < want || w > want+mss {
			t.Errorf("window %d after recovery, want %d", w, want)
		}
	})
}

// Where so much was lost that less than the new window is in flight, that fills again, by a packet more for each ACK
// that shows no further loss.
func TestPRRReductionBound(t *testing.T) {
	eachRecovering(t, func(t *testing.T, r *recovering, want int) {
		r.ack(mss, 80*mss, anything)
		if r.bursts[0] != mss {
			t.Errorf("%d bytes sent for an ACK with losses, want no more than it delivered", r.bursts[0])
		}
		r.ack(mss, 0, anything)
		r.ack(mss, mss, anything)
		if r.bursts[1] != 2*mss || r.bursts[2] != mss {
			t.Errorf("%v bytes sent, want a packet more than delivered only without losses", r.bursts)
		}
		for range 18 {
			if r.inFlight > 2*mss {
				r.ack(2*mss, 0, anything)
			}
		}
		if r.inFlight > want {
			t.Errorf("%d bytes in flight, more than the window of %d", r.inFlight, want)
		}
	})
}

// A small packet that arrives while nothing else is in flight must not leave a window into which no packet fits.
func TestPRRNeverStalls(t *testing.T) {
	eachRecovering(t, func(t *testing.T, r *recovering, want int) {
		r.ack(50, r.inFlight-50, 0)
		if r.Window() < 2*mss {
			t.Errorf("window %d", r.Window())
		}
		// What a limited application does not send now it may send later.
		r.ack(0, 0, anything)
		if r.inFlight == 0 || r.inFlight > want {
			t.Errorf("%d bytes in flight", r.inFlight)
		}
	})
}

func TestPRRIsTakenBack(t *testing.T) {
	for name, c := range controllers() {
		t.Run(name, func(t *testing.T) {
			c := c()
			before := c.Window()
			r, _ := newRecovering(c)
			before += 90 * mss
			r.ack(2*mss, mss, anything)
			c.OnSpurious()
			if c.Window() != before {
				t.Errorf("window %d, want %d again", c.Window(), before)
			}
			c.OnCongestion(monotime.Time(3000), 2500)
			r.ack(mss, 0, 0)
			c.OnPersistentCongestion(4000)
			if c.Window() != 2*mss {
				t.Errorf("window %d after persistent congestion", c.Window())
			}
		})
	}
}

// A flow that had less in flight than the new window just has that window.
func TestPRRAppLimited(t *testing.T) {
	eachRecovering(t, func(t *testing.T, r *recovering, want int) {
		r.inFlight = 5 * mss
		r.ack(mss, 3*mss, 0)
		if r.Window() != want {
			t.Errorf("window %d, want %d", r.Window(), want)
		}
	})
}
