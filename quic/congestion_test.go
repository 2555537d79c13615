package quic

import (
	"math"
	"reflect"
	"testing"
	"time"

	"github.com/dunlin-quic/dunlin/internal/congestion"
	"github.com/dunlin-quic/dunlin/internal/monotime"
)

// recorder is a congestion controller that notes what it is told.
type recorder struct {
	CongestionBase
	window     int
	rate       uint64
	calls      []string
	acks       []CongestionAck
	losses     []CongestionLoss
	acked, max int // bytes acknowledged, and the most in flight
	sizes      []int
}

func (r *recorder) OnAck(a CongestionAck) {
	r.calls = append(r.calls, "ack")
	r.acks = append(r.acks, a)
	r.acked += a.Bytes
	r.max = max(r.max, a.InFlight+a.Bytes)
}
func (r *recorder) OnCongestion(_ time.Duration, marked bool) {
	if marked {
		r.calls = append(r.calls, "marked")
	} else {
		r.calls = append(r.calls, "congestion")
	}
}
func (r *recorder) OnLost(l CongestionLoss) {
	r.calls = append(r.calls, "lost")
	r.losses = append(r.losses, l)
}
func (r *recorder) OnPersistentCongestion(time.Duration) { r.calls = append(r.calls, "persistent") }
func (r *recorder) OnSpurious()                          { r.calls = append(r.calls, "spurious") }
func (r *recorder) OnRestart(time.Duration)              { r.calls = append(r.calls, "restart") }
func (r *recorder) SetMaxDatagramSize(n int)             { r.sizes = append(r.sizes, n) }
func (r *recorder) Window() int                          { return r.window }
func (r *recorder) PacingRate() uint64                   { return r.rate }

// A connection keeps to the window of a controller of one's own, and tells it of everything.
func TestCongestionController(t *testing.T) {
	for _, side := range []Side{Client, Server} {
		t.Run(side.String(), func(t *testing.T) {
			var made []*recorder
			p := newTestPair(t, func(p *testPair) {
				p.cfg[side].NewCongestionController = func(maxDatagram int) CongestionController {
					r := &recorder{window: 8 * maxDatagram}
					made = append(made, r)
					return r
				}
			})
			p.establish()
			p.transfer(side, 300000)
			if len(made) != 1 {
				t.Fatalf("%d controllers made for one path", len(made))
			}
			r := made[0]
			if r.acked < 300000 || r.max > r.window {
				t.Errorf("%d bytes acknowledged, up to %d in flight with a window of %d", r.acked, r.max, r.window)
			}
			last := r.acks[len(r.acks)-1]
			if last.SmoothedRTT <= 0 || last.MinRTT <= 0 || last.Delivered != uint64(r.acked) || last.Sent >= last.Now {
				t.Errorf("last ACK %+v", last)
			}
			var rate uint64
			for _, a := range r.acks {
				rate = max(rate, a.DeliveryRate)
			}
			if rate == 0 {
				t.Error("no delivery rate was told")
			}
			if len(r.sizes) == 0 {
				t.Error("path MTU discovery was not told")
			}
		})
	}
}

// What package recovery tells arrives once each and in the order that the documentation gives.
func TestCongestionControllerCalls(t *testing.T) {
	r := &recorder{window: 1}
	o := &ownController{own: r, maxDatagram: 1200}
	lose := func(now, sent monotime.Time) bool {
		began := o.OnCongestion(now, sent)
		o.OnLost(congestion.Lost{Now: now, Size: 1200, SentInFlight: 5000, Lost: 2400, AppLimited: true})
		return began
	}
	if !lose(100, 50) || lose(110, 60) || !lose(200, 101) {
		t.Error("recovery periods are not told apart")
	}
	if !o.OnCongestion(300, 250) {
		t.Error("a mark began no period")
	}
	o.OnMarked(300)
	o.OnCongestion(310, 260)
	o.OnMarked(310)
	o.OnSample(congestion.Sample{Delivered: 9000, Prior: 4000, Rate: 1e6, Lost: 3, SentInFlight: 4, InFlight: 5, AppLimited: true})
	o.OnAck(congestion.Ack{Now: 400, Sent: 300, Bytes: 1200, InFlight: 7, RTT: 1, SRTT: 2, MinRTT: 3, AppLimited: true})
	o.OnAck(congestion.Ack{Now: 500, Sent: 301, Bytes: 1200})
	o.OnSpurious()
	o.OnPersistentCongestion(600)
	o.OnRestart(700)
	want := []string{"congestion", "lost", "lost", "congestion", "lost", "marked", "ack", "ack", "spurious", "persistent", "restart"}
	if !reflect.DeepEqual(r.calls, want) {
		t.Errorf("calls %v, want %v", r.calls, want)
	}
	if got, want := r.losses[0], (CongestionLoss{100, 1200, 5000, 2400, true}); got != want {
		t.Errorf("loss %+v, want %+v", got, want)
	}
	if got, want := r.acks[0], (CongestionAck{
		Now: 400, Sent: 300, Bytes: 1200, InFlight: 5, LatestRTT: 1, SmoothedRTT: 2, MinRTT: 3, InRecovery: true,
		DeliveryRate: 1e6, AppLimited: true, Delivered: 9000, PriorDelivered: 4000, Lost: 3, SentInFlight: 4,
	}); got != want {
		t.Errorf("ACK %+v, want %+v", got, want)
	}
	if a := r.acks[1]; a.InRecovery || !a.WindowLimited {
		t.Errorf("ACK %+v", a)
	}
	// Bounds.
	for window, want := range map[int]int{-5: 2400, 0: 2400, 2401: 2401, math.MaxInt: int(min(int64(math.MaxInt), math.MaxUint32))} {
		if r.window = window; o.Window() != want {
			t.Errorf("window %d is taken for %d, want %d", window, o.Window(), want)
		}
	}
	for rate, want := range map[uint64]uint64{0: 0, 1: 1200, 1e6: 1e6} {
		if r.rate = rate; o.PacingRate() != want {
			t.Errorf("rate %d is taken for %d, want %d", rate, o.PacingRate(), want)
		}
	}
	if c := (&Conn{cfg: &Config{NewCongestionController: func(int) CongestionController { return nil }}}); c.newController(1200).Window() != 12000 {
		t.Error("no default where there is no controller of one's own")
	}
}
