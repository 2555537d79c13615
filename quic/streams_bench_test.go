package quic

import (
	"fmt"
	"testing"

	"github.com/dunlin-quic/dunlin/internal/monotime"
	"github.com/dunlin-quic/dunlin/internal/recovery"
	"github.com/dunlin-quic/dunlin/internal/wire"
)

const benchWindow = 16 << 20

// bulkTable is a table with one stream of unlimited credit.
type bulkTable struct {
	streamTable
	rec recovery.Recovery
	w   packetWriter
	s   *Stream
}

func newBulkTable(side Side) *bulkTable {
	b := new(bulkTable)
	b.init(side, &Config{StreamWindow: benchWindow, MaxStreamWindow: benchWindow, ConnWindow: benchWindow,
		MaxConnWindow: benchWindow, MaxBidiStreams: 10_000})
	b.setPeerLimits(streamLimits{maxData: 1 << 60, bidiRemote: 1 << 60, uni: 1 << 60,
		maxStreams: [2]uint64{1 << 20, 1 << 20}})
	b.setEstimates(tableRTT, tableRTT, 1<<20)
	b.w = packetWriter{buf: make([]byte, 0, 1200), limit: 1200, space: recovery.AppData, rec: &b.rec}
	return b
}

// send fills one packet and returns what it recorded: one STREAM frame.
func (b *bulkTable) send(offset uint64) recovery.Frame {
	b.w.buf = b.w.buf[:0]
	b.appendFrames(&b.w, 1)
	b.rec.Abandon(recovery.AppData)
	return recovery.Frame{Type: wire.FrameStream, ID: uint64(b.s.id), Offset: offset,
		Length: uint32(b.s.send.next - offset)}
}

// sender returns a function that sends one full packet of bulk data, refilling the stream as it runs dry, and
// acknowledges one sent inFlight packets before. lent says that the data is lent and not copied.
func (b *bulkTable) sender(inFlight int, lent bool) func() {
	b.s, _ = b.open(Uni)
	data := make([]byte, 64<<10)
	ring := make([]recovery.Frame, inFlight)
	next := 0
	return func() {
		if b.s.send.unsent() < 1200 && lent {
			b.s.TryLend(data, false, nil)
		} else if b.s.send.unsent() < 1200 {
			b.s.TryWrite(data, false)
		}
		b.frameAcked(ring[next])
		ring[next] = b.send(b.s.send.next)
		next = (next + 1) % inFlight
	}
}

// receiver returns a function that receives one frame of bulk data, and reads every batch frames.
func (b *bulkTable) receiver(batch int) func() {
	b.handleStream(1, 0, 0, nil, false)
	b.s = b.get(0)
	data := make([]byte, 1200)
	offset, n := uint64(0), 0
	now := monotime.Time(1)
	return func() {
		if err := b.handleStream(now, 0, offset, data, false); err != nil {
			panic(err)
		}
		offset += 1200
		if n++; n%batch != 0 {
			return
		}
		for {
			p, err := b.s.Peek()
			if err != nil {
				break
			}
			b.s.Discard(len(p))
		}
		for {
			if _, ok := b.nextEvent(); !ok {
				break
			}
		}
		if b.pending() {
			b.w.buf = b.w.buf[:0]
			b.appendFrames(&b.w, now)
			b.rec.Abandon(recovery.AppData)
		}
	}
}

// Bulk data costs no allocation on either side, once the buffers have their size.
func TestBulkAllocatesNothing(t *testing.T) {
	for name, step := range map[string]func(){
		"send":              newBulkTable(Client).sender(500, false),
		"send what is lent": newBulkTable(Client).sender(500, true),
		"receive":           newBulkTable(Server).receiver(1),
		"receive a batch":   newBulkTable(Server).receiver(50),
		"send with losses":  newBulkTable(Client).lossySender(),
		"receive with gaps": newBulkTable(Server).gappyReceiver(),
	} {
		for range 20_000 {
			step()
		}
		if allocs := testing.AllocsPerRun(5000, step); allocs != 0 {
			t.Errorf("%s: %v allocations per frame", name, allocs)
		}
	}
}

// lossySender is a sender that loses each packet once.
func (b *bulkTable) lossySender() func() {
	b.s, _ = b.open(Uni)
	data := make([]byte, 1197)
	return func() {
		b.s.TryWrite(data, false)
		f := b.send(b.s.send.next)
		b.frameLost(f)
		b.send(0)
		b.frameAcked(f)
	}
}

// gappyReceiver is a receiver that gets every two frames in the wrong order.
func (b *bulkTable) gappyReceiver() func() {
	b.handleStream(1, 0, 0, nil, false)
	b.s = b.get(0)
	data := make([]byte, 1200)
	offset := uint64(0)
	return func() {
		b.handleStream(1, 0, offset+1200, data, false)
		b.handleStream(1, 0, offset, data, false)
		offset += 2400
		b.s.Discard(2400)
		b.w.buf = b.w.buf[:0]
		b.appendFrames(&b.w, 1)
		b.rec.Abandon(recovery.AppData)
	}
}

func BenchmarkStreamSend(b *testing.B) {
	step := newBulkTable(Client).sender(500, false)
	b.SetBytes(1200)
	b.ReportAllocs()
	for b.Loop() {
		step()
	}
}

func BenchmarkStreamSendLent(b *testing.B) {
	step := newBulkTable(Client).sender(500, true)
	b.SetBytes(1200)
	b.ReportAllocs()
	for b.Loop() {
		step()
	}
}

func BenchmarkStreamReceive(b *testing.B) {
	step := newBulkTable(Server).receiver(40)
	b.SetBytes(1200)
	b.ReportAllocs()
	for b.Loop() {
		step()
	}
}

// One stream sends while 10,000 others are open.
func BenchmarkStreamSendBesideIdle(b *testing.B) {
	t := newBulkTable(Client)
	for range 10_000 {
		t.open(Bidi)
	}
	step := t.sender(500, false)
	b.SetBytes(1200)
	for b.Loop() {
		step()
	}
}

// Streams send in turns, one packet each: the active ones among all that are open, which together have the same amount
// waiting. With ten active ones a packet costs the same whether ten are open or a thousand. A thousand active ones cost more,
// since what is touched between two packets of one stream, its state and its block, is more than the nearest caches hold.
// Compare processor time: the clock is of use only on a machine that does nothing else.
func BenchmarkStreamSendTurns(b *testing.B) {
	const backlog = 1000 * 1200
	for _, n := range []struct{ open, active int }{{10, 10}, {1000, 10}, {1000, 1000}} {
		b.Run(fmt.Sprintf("open=%d/active=%d", n.open, n.active), func(b *testing.B) {
			t := newBulkTable(Client)
			t.sendLimit = backlog
			data := make([]byte, backlog/n.active)
			var streams []*Stream
			for i := range n.open {
				s, _ := t.open(Bidi)
				if i%(n.open/n.active) != 0 {
					continue
				}
				if k, err := s.TryWrite(data, false); k < len(data) {
					b.Fatalf("%d bytes of %d taken: %v", k, len(data), err)
				}
				streams = append(streams, s)
			}
			b.SetBytes(1200)
			i := 0
			for b.Loop() {
				s := streams[i%len(streams)]
				i++
				t.s = s
				t.frameAcked(t.send(s.send.next))
				s.TryWrite(data[:1200], false)
			}
		})
	}
}

// A request and its answer: open, send, acknowledge, receive, read, close.
func BenchmarkStreamLife(b *testing.B) {
	t := newBulkTable(Client)
	t.raiseMaxStreams(Bidi, 1<<60)
	data := make([]byte, 128)
	b.ReportAllocs()
	for b.Loop() {
		t.s, _ = t.open(Bidi)
		t.s.TryWrite(data, true)
		f := t.send(0)
		f.Fin = true
		t.frameAcked(f)
		t.handleStream(1, uint64(t.s.id), 0, data, true)
		t.s.TryRead(data)
		for {
			if _, ok := t.nextEvent(); !ok {
				break
			}
		}
	}
}
