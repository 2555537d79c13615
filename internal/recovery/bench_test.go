package recovery

import (
	"fmt"
	"testing"
	"time"

	"github.com/dunlin-quic/dunlin/internal/congestion"
	"github.com/dunlin-quic/dunlin/internal/monotime"
	"github.com/dunlin-quic/dunlin/internal/wire"
)

// wideOpen is a congestion controller that always allows.
type wideOpen struct{}

func (wideOpen) OnAck(congestion.Ack)                      {}
func (wideOpen) OnCongestion(now, sent monotime.Time) bool { return false }
func (wideOpen) OnPersistentCongestion(now monotime.Time)  {}
func (wideOpen) OnSpurious()                               {}
func (wideOpen) SetMaxDatagramSize(int)                    {}
func (wideOpen) Window() int                               { return 1 << 30 }
func (wideOpen) InSlowStart() bool                         { return false }

type deaf struct{}

func (deaf) FrameAcked(Space, Frame) {}
func (deaf) FrameLost(Space, Frame)  {}
func (deaf) MTUProbeAcked(int)       {}
func (deaf) MTUProbeLost(int)        {}

// bulk is a connection that sends in bulk, with a number of packets always in flight, and hears an ACK for every batch
// of them. Of every lossEvery packets one is lost.
type bulk struct {
	r         Recovery
	received  Received
	now       monotime.Time
	batch     int
	lossEvery uint64
	next      uint64
	frame     wire.AckFrame
	buf       []byte
}

func newBulk(flight, batch int, lossEvery uint64, c congestion.Controller) *bulk {
	b := &bulk{now: monotime.Time(time.Hour), batch: batch, lossEvery: lossEvery, buf: make([]byte, 0, 1500)}
	b.r.Init(Config{Controller: c, MaxDatagram: 1200, Seed: [2]uint64{1, 2}})
	b.r.SetHandshakeConfirmed()
	b.received.Init(AppData, 25*time.Millisecond, 3)
	for range flight {
		b.send()
	}
	return b
}

func (b *bulk) send() {
	b.now += 1000
	pn := b.r.NextPN(AppData)
	b.r.Record(AppData, Frame{Type: wire.FrameStream, ID: 4, Offset: pn * 1100, Length: 1100})
	b.r.Sent(b.now, AppData, 1200, data)
}

// step sends a batch and has the oldest one in flight acknowledged.
func (b *bulk) step(h Handler) {
	for range b.batch {
		b.r.SendTime(b.now, AppData, 1200)
		b.send()
		if b.lossEvery == 0 || b.next%b.lossEvery != 0 {
			b.received.Add(b.now, b.next, true, 0)
		}
		b.next++
		for b.r.skip.passed(b.next) {
			b.next++
		}
	}
	b.buf = b.received.AppendAck(b.buf[:0], b.now, cap(b.buf))
	if largest, _ := b.received.Largest(); largest > 200 {
		b.received.OnAckOfAck(largest - 200)
	}
	b.frame, _ = wire.ParseAck(b.buf, b.frame.Ranges)
	if err := b.r.OnAck(b.now, b.now, AppData, &b.frame, h); err != nil {
		panic(err)
	}
	b.r.Timeout()
}

// passed reports whether pn was the last number left out.
func (s *skipper) passed(pn uint64) bool {
	for _, v := range s.past {
		if v == pn+1 {
			return true
		}
	}
	return false
}

func BenchmarkSentAndAck(b *testing.B) {
	for _, loss := range []uint64{0, 100} {
		for _, flight := range []int{64, 10000} {
			for _, batch := range []int{2, 32} {
				b.Run(fmt.Sprintf("loss=%d/flight=%d/batch=%d", loss, flight, batch), func(b *testing.B) {
					c := newBulk(flight, batch, loss, wideOpen{})
					b.ReportAllocs()
					for i := 0; i < b.N; i += batch {
						c.step(deaf{})
					}
				})
			}
		}
	}
}

// BenchmarkController is what a controller costs per packet, its samples of the delivery rate included.
func BenchmarkController(b *testing.B) {
	for name, c := range map[string]func() congestion.Controller{
		"CUBIC": func() congestion.Controller { return congestion.NewCUBIC(1200) },
		"BBR":   func() congestion.Controller { return congestion.NewBBR(1200, 1) },
	} {
		b.Run(name, func(b *testing.B) {
			c := newBulk(500, 8, 0, c())
			b.ReportAllocs()
			for i := 0; i < b.N; i += 8 {
				c.step(deaf{})
			}
		})
	}
}

func TestBulkAllocatesNothing(t *testing.T) {
	for _, loss := range []uint64{0, 50} {
		for name, c := range map[string]congestion.Controller{
			"NewReno": congestion.NewNewReno(1200), "CUBIC": congestion.NewCUBIC(1200),
			"BBR": congestion.NewBBR(1200, 1),
		} {
			b := newBulk(500, 10, loss, c)
			for range 200 {
				b.step(deaf{})
			}
			if n := testing.AllocsPerRun(500, func() { b.step(deaf{}) }); n != 0 {
				t.Errorf("%s, one of %d lost: %v allocations per batch of 10 packets", name, loss, n)
			}
		}
	}
}
