package recovery

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/dunlin-quic/dunlin/internal/congestion"
	"github.com/dunlin-quic/dunlin/internal/monotime"
	"github.com/dunlin-quic/dunlin/internal/wire"
)

// model knows of every packet what Recovery should: which was acknowledged, lost, and how often its frames were told.
type model struct {
	t         *testing.T
	arrived   map[uint64]bool
	toldAcked map[uint64]int
	toldLost  map[uint64]int
}

func (m *model) FrameAcked(_ Space, f Frame) {
	m.toldAcked[f.ID]++
	if m.toldAcked[f.ID] > int(f.Length) {
		m.t.Fatalf("a frame of packet %d was acknowledged twice", f.ID)
	}
	if !m.arrived[f.ID] {
		m.t.Fatalf("packet %d told acknowledged without an acknowledgment", f.ID)
	}
}

func (m *model) FrameLost(_ Space, f Frame) {
	m.toldLost[f.ID]++
	if m.toldLost[f.ID] > int(f.Length) {
		m.t.Fatalf("a frame of packet %d was lost twice", f.ID)
	}
	if m.toldAcked[f.ID] > 0 {
		m.t.Fatalf("packet %d told lost after it was told acknowledged", f.ID)
	}
}

func (m *model) MTUProbeAcked(int) {}
func (m *model) MTUProbeLost(int)  {}

func randomAcks(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 1))
	m := &model{t: t, arrived: map[uint64]bool{}, toldAcked: map[uint64]int{}, toldLost: map[uint64]int{}}
	var r Recovery
	r.Init(Config{Controller: congestion.NewCUBIC(1200), MaxDatagram: 1200, Seed: [2]uint64{seed, 9}})
	r.SetHandshakeConfirmed()
	now := monotime.Time(time.Hour)
	var received Received
	received.Init(AppData, 0, 3)

	type packet struct {
		pn     uint64
		frames int
	}
	var flight, all []packet
	var ackBuf []byte
	for range 3000 {
		now = now.Add(time.Duration(rng.IntN(int(time.Millisecond))))
		for range rng.IntN(4) {
			if r.SendTime(now, AppData, 1200) > now && r.ProbesOwed(AppData) == 0 {
				break
			}
			p := packet{r.NextPN(AppData), rng.IntN(4)}
			flags := data
			if p.frames == 0 && rng.IntN(2) == 0 {
				flags = 0
			}
			for range p.frames {
				r.Record(AppData, Frame{ID: p.pn, Length: uint32(p.frames)})
			}
			r.Sent(now, AppData, 100+rng.IntN(1100), flags)
			all = append(all, p)
			if rng.IntN(100) >= 10 {
				flight = append(flight, p)
			}
		}
		for range rng.IntN(4) {
			if len(flight) == 0 {
				break
			}
			i := min(rng.IntN(20), rng.IntN(len(flight)))
			pn := flight[i].pn
			flight = append(flight[:i], flight[i+1:]...)
			if received.Duplicate(pn) {
				continue
			}
			received.Add(now, pn, true, 0)
			m.arrived[pn] = true
		}
		if rng.IntN(3) == 0 {
			ackBuf = received.AppendAck(ackBuf[:0], now, 20+rng.IntN(200))
			if f, n := wire.ParseAck(ackBuf, nil); n > 0 && rng.IntN(10) > 0 {
				if err := r.OnAck(now, now, AppData, &f, m); err != nil {
					t.Fatal(err)
				}
			}
			if pn, ok := received.Largest(); ok && pn > 200 && rng.IntN(4) == 0 {
				received.OnAckOfAck(pn - 200)
			}
		}
		if at := r.Timeout(); at != 0 && at <= now {
			r.OnTimeout(now, m)
		}
		if r.InFlight() < 0 {
			t.Fatalf("%d bytes in flight", r.InFlight())
		}
	}
	// At last everything arrives or is lost: nothing is left in flight, and every frame's fate was told.
	for range 200 {
		pn := r.NextPN(AppData)
		r.Sent(now, AppData, 1200, data)
		now = now.Add(100 * time.Millisecond)
		f := wire.AckFrame{Ranges: []wire.AckRange{{Smallest: pn, Largest: pn}}}
		if err := r.OnAck(now, now, AppData, &f, m); err != nil {
			t.Fatal(err)
		}
	}
	if r.InFlight() != 0 || r.app.eliciting != 0 || r.Timeout() != 0 {
		t.Fatalf("%d bytes, %d packets in flight at the end", r.InFlight(), r.app.eliciting)
	}
	for _, p := range all {
		if got := m.toldAcked[p.pn] + m.toldLost[p.pn]; p.frames > 0 && got < p.frames {
			t.Fatalf("packet %d: %d of %d frames heard of", p.pn, got, p.frames)
		}
	}
	r.Shrink()
	if s := &r.app; r.Slack() || s.base != s.next || len(s.packets) > keepRing || len(s.records) > keepRing {
		t.Fatalf("ring keeps %d packets, %d slots, %d records", s.next-s.base, len(s.packets), len(s.records))
	}
}
