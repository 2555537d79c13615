package recovery

import (
	"math"
	"testing"
	"time"
	"unsafe"

	"github.com/dunlin-quic/dunlin/internal/congestion"
	"github.com/dunlin-quic/dunlin/internal/monotime"
	"github.com/dunlin-quic/dunlin/internal/wire"
)

// listener is a controller with a wide window that notes what it hears of deliveries.
type listener struct {
	wideOpen
	window   int
	samples  []congestion.Sample
	lost     []congestion.Lost
	restarts int
	marks    int
	rate     uint64
}

func (l *listener) Window() int                  { return l.window }
func (l *listener) OnRestart(monotime.Time)      { l.restarts++ }
func (l *listener) OnLost(x congestion.Lost)     { l.lost = append(l.lost, x) }
func (l *listener) OnMarked(monotime.Time)       { l.marks++ }
func (l *listener) OnSample(x congestion.Sample) { l.samples = append(l.samples, x) }
func (l *listener) PacingRate() uint64           { return l.rate }
func (l *listener) last() (s congestion.Sample)  { return l.samples[len(l.samples)-1] }
func listening(t *testing.T) (*sender, *listener) {
	l := &listener{window: 1 << 20}
	s := newSender(t, func(c *Config) { c.Controller = l })
	s.SetHandshakeConfirmed()
	return s, l
}

func wantRate(t *testing.T, s congestion.Sample, want float64) {
	t.Helper()
	if math.Abs(s.Rate-want) > want/1000 {
		t.Errorf("delivery rate %.0f, want %.0f", s.Rate, want)
	}
}

// A packet every millisecond, each acknowledged after 20 ms: once a round trip has passed, the samples tell the rate.
func TestDeliveryRate(t *testing.T) {
	s, l := listening(t)
	s.sendN(20, time.Millisecond)
	for pn := range uint64(200) {
		s.send(AppData, data)
		s.ack(AppData, 0, pn, pn)
		s.wait(time.Millisecond)
	}
	wantRate(t, l.last(), 1200e3)
	want := congestion.Sample{
		Delivered: 200 * 1200, Prior: 179 * 1200, Rate: l.last().Rate, SentInFlight: 21 * 1200, InFlight: 20 * 1200,
	}
	if got := l.last(); got != want {
		t.Errorf("sample %+v, want %+v", got, want)
	}

	// ACKs that come in a bunch do not make the path look faster: the time that they took to come counts.
	s.sendN(20, time.Millisecond)
	s.ack(AppData, 0, 200, 239)
	if got := l.last(); got.Rate > 1201e3 {
		t.Errorf("delivery rate %.0f from a bunch of ACKs", got.Rate)
	}
	// Nor do packets that were sent in a bunch, if their ACKs come faster than they could: less than the lowest RTT is
	// no sample.
	s.sendN(10, 0)
	s.wait(10 * time.Millisecond)
	s.ack(AppData, 0, 240, 249)
	if got := l.last(); got.Rate > 12*1200/0.01 {
		t.Errorf("delivery rate %.0f from a bunch of packets", got.Rate)
	}
}

func TestDeliverySamplesLosses(t *testing.T) {
	s, l := listening(t)
	s.sendN(10, time.Millisecond)
	s.wait(20 * time.Millisecond)
	s.ack(AppData, 0, 4, 9)
	if len(l.lost) != 4 {
		t.Fatalf("%d losses, want 4", len(l.lost))
	}
	want := congestion.Lost{Now: s.now, Size: 1200, PN: 3, Delivered: 6 * 1200, Lost: 4 * 1200, SentInFlight: 4 * 1200}
	if got := l.lost[3]; got != want {
		t.Errorf("loss %+v, want %+v", got, want)
	}
	if got := l.last(); got.Lost != 4*1200 || got.InFlight != 0 {
		t.Errorf("sample %+v", got)
	}
	// What comes late was delivered all the same.
	s.ack(AppData, 0, 0, 0)
	s.send(AppData, data)
	s.wait(20 * time.Millisecond)
	s.ack(AppData, 0, 10, 10)
	if got := l.last(); got.Delivered != 8*1200 || got.Lost != 0 {
		t.Errorf("sample %+v", got)
	}
}

// The application is what limits if it has nothing to send at a time when something could be sent.
func TestDeliveryAppLimited(t *testing.T) {
	s, l := listening(t)
	sendAndAck := func() congestion.Sample {
		pn := s.send(AppData, data)
		s.wait(10 * time.Millisecond)
		s.ack(AppData, 0, pn, pn)
		return l.last()
	}
	if got := sendAndAck(); got.AppLimited || l.restarts != 0 {
		t.Fatalf("limited from the start: %+v", got)
	}
	// There is more before time passes.
	s.RanDry(s.now)
	if got := sendAndAck(); got.AppLimited {
		t.Errorf("limited by what the application made good at once: %+v", got)
	}
	s.RanDry(s.now)
	s.wait(time.Second)
	if got := sendAndAck(); !got.AppLimited || l.restarts != 1 {
		t.Errorf("not limited after a second of silence, %d restarts", l.restarts)
	}
	if got := sendAndAck(); got.AppLimited {
		t.Errorf("still limited when what was sent after the silence was acknowledged")
	}
	// A full window is what limits, not the application.
	l.window = 1500
	s.send(AppData, data)
	s.RanDry(s.now)
	s.wait(10 * time.Millisecond)
	l.window = 1 << 20
	s.send(AppData, data)
	s.ack(AppData, 0, s.NextPN(AppData)-1, s.NextPN(AppData)-1)
	if got := l.last(); got.AppLimited {
		t.Errorf("limited by the application while the window was full: %+v", got)
	}
}

// While the pacer holds the next packet back, it is no matter that there is none yet.
func TestDeliveryPacedIsNotLimited(t *testing.T) {
	l := &listener{window: 1 << 20, rate: 120e3} // a packet in 10 ms
	s := newSender(t, func(c *Config) { c.Controller, c.NoPacing = l, false })
	s.SetHandshakeConfirmed()
	for !s.SendTime(s.now, AppData, 1200).After(s.now) {
		s.send(AppData, data)
	}
	s.RanDry(s.now)
	s.now = s.SendTime(s.now, AppData, 1200)
	pn := s.send(AppData, data)
	s.RanDry(s.now)
	s.now = s.SendTime(s.now, AppData, 1200).Add(time.Millisecond)
	s.send(AppData, data)
	s.ack(AppData, 0, pn, pn)
	if l.last().AppLimited {
		t.Error("limited by an application that was ahead of the pacer")
	}
	s.ack(AppData, 0, pn+1, pn+1)
	if !l.last().AppLimited {
		t.Error("not limited by an application that was later than the pacer")
	}
}

// Packets of a former path, and those that only probe another, tell nothing.
func TestDeliveryOtherPath(t *testing.T) {
	s, l := listening(t)
	s.sendN(5, time.Millisecond)
	next := &listener{window: 1 << 20}
	s.ResetPath(next, 1200)
	s.send(AppData, data|OffPath)
	s.wait(10 * time.Millisecond)
	s.ack(AppData, 0, 0, 5)
	if len(l.samples)+len(next.samples) != 0 {
		t.Fatalf("%d and %d samples", len(l.samples), len(next.samples))
	}
	s.send(AppData, data)
	s.wait(10 * time.Millisecond)
	s.ack(AppData, 0, 6, 6)
	if got := next.last(); got.Delivered != 1200 || got.Prior != 0 {
		t.Errorf("sample %+v", got)
	}
}

// Snapshots survive when the ring grows and shrinks. They are small, and there are none where nobody wants them.
func TestDeliverySnapshots(t *testing.T) {
	if size := unsafe.Sizeof(snapshot{}); size != 20 {
		t.Errorf("%d bytes per packet", size)
	}
	s, l := listening(t)
	s.sendN(1000, time.Millisecond)
	s.ack(AppData, 0, 0, 989)
	s.Shrink()
	s.sendN(40, time.Millisecond)
	s.ack(AppData, 0, 1000, 1000)
	if got := l.last(); got.Prior != 990*1200 || got.SentInFlight != 11*1200 {
		t.Errorf("sample %+v", got)
	}
	plain := confirmed(t)
	plain.sendN(10, time.Millisecond)
	if plain.app.snapshots != nil || plain.Samples() {
		t.Error("snapshots for a controller that wants none")
	}
}

func TestDeliveryMarks(t *testing.T) {
	l := &listener{window: 1 << 20}
	s := newSender(t, func(c *Config) { c.Controller = l })
	s.SetHandshakeConfirmed()
	pn := s.send(AppData, data|ECT0)
	s.wait(10 * time.Millisecond)
	s.ackECN(pn, &wire.ECNCounts{CE: 1})
	if l.marks != 1 {
		t.Errorf("%d marks, want 1", l.marks)
	}
}
