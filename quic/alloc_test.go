package quic

import (
	"io"
	"testing"
	"time"

	"github.com/dunlin-quic/dunlin/qlog"
)

// bulk is a pair of connections in the middle of a transfer from the server to the client, without a link between.
type bulk struct {
	p      *testPair
	send   *Stream
	recv   *Stream
	data   []byte
	out    []byte
	in     []byte
	moved  int
	trains int
}

func newBulk(t testing.TB, opts ...func(*testPair)) *bulk {
	p := newTestPair(t, append(opts, func(p *testPair) {
		// Without a link between, nothing else keeps a round small.
		p.cfg[Client].MaxStreamWindow, p.cfg[Client].MaxConnWindow = 512<<10, 768<<10
	})...)
	p.establish()
	b := &bulk{p: p, data: make([]byte, 64<<10), out: make([]byte, 64<<10), in: make([]byte, 64<<10)}
	s, err := p.conn[Server].OpenStream(Uni)
	if err != nil {
		t.Fatal(err)
	}
	b.send = s
	return b
}

// round moves what can be moved at one instant: trains from the server, and the client's acknowledgments.
func (b *bulk) round() {
	p := b.p
	p.now = p.now.Add(500 * time.Microsecond)
	server, client := p.conn[Server], p.conn[Client]
	server.HandleTimeout(p.now)
	client.HandleTimeout(p.now)
	for {
		if n, err := b.send.TryWrite(b.data, false); n == 0 || err != nil {
			break
		}
	}
	for {
		tr, ok := server.PollTransmit(p.now, b.out, 64)
		if !ok {
			break
		}
		b.trains++
		client.Receive(p.now, Inbound{
			Path: testPaths[Client], ECN: tr.ECN, Data: b.out[:tr.Len], SegmentSize: tr.SegmentSize,
		})
		for e := client.NextEvent(); e.Kind != EventNone; e = client.NextEvent() {
			if e.Kind == EventStreamOpened {
				b.recv = e.Stream
			}
		}
		for b.recv != nil {
			n, err := b.recv.TryRead(b.in)
			if err != nil {
				break
			}
			b.moved += n
		}
		client.NextTimeout()
	}
	for {
		tr, ok := client.PollTransmit(p.now, b.out, 64)
		if !ok {
			break
		}
		server.Receive(p.now, Inbound{
			Path: testPaths[Server], ECN: tr.ECN, Data: b.out[:tr.Len], SegmentSize: tr.SegmentSize,
		})
	}
	for server.NextEvent().Kind != EventNone {
	}
	server.NextTimeout()
}

// TestBulkAllocations holds the core to its promise: sending and receiving in bulk allocates nothing per packet.
func TestBulkAllocations(t *testing.T) {
	b := newBulk(t)
	for range 200 {
		b.round()
	}
	moved := b.moved
	const rounds = 50
	allocs := testing.AllocsPerRun(rounds, b.round)
	moved = b.moved - moved
	if moved < rounds*20<<10 {
		t.Fatalf("only %d bytes moved in %d rounds", moved, rounds)
	}
	if allocs > 0 && !raceEnabled {
		t.Errorf("%v allocations per round of about %d packets", allocs, moved/rounds/1400)
	}
}

// BenchmarkBulk is the CPU time of both sides of a transfer, sockets aside.
func BenchmarkBulk(b *testing.B) { benchmarkBulk(b, newBulk(b)) }

// BenchmarkBulkTraced is the same with traces of both sides, which go nowhere.
func BenchmarkBulkTraced(b *testing.B) {
	benchmarkBulk(b, newBulk(b, func(p *testPair) {
		for _, cfg := range p.cfg {
			cfg.NewTracer = func(side Side, _ ConnectionID) qlog.Tracer {
				return qlog.NewTrace(io.Discard, qlog.Header{VantagePoint: qlog.VantagePoint(side.String())})
			}
		}
	}))
}

func benchmarkBulk(b *testing.B, k *bulk) {
	for range 2000 {
		k.round()
	}
	b.ReportAllocs()
	moved, rounds := k.moved, 0
	for b.Loop() {
		k.round()
		rounds++
	}
	b.ReportMetric(float64(k.moved-moved)/float64(rounds), "bytes/op")
	b.SetBytes(int64(k.moved-moved) / int64(rounds))
}
