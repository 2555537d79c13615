package h3

import (
	"io"
	"slices"
	"testing"
	"time"

	"github.com/dunlin-quic/dunlin/quic"
)

// exchange moves datagrams and events between the sides of an established pair until both rest, without the pair's
// book-keeping.
func (p *pair) exchange(handle func(side quic.Side, ev Event)) {
	for idle := 0; idle < 2; {
		idle++
		for side, q := range p.q {
			h, peer := p.h[side], p.q[quic.Side(side).Peer()]
			for ev := q.NextEvent(); ev.Kind != quic.EventNone; ev = q.NextEvent() {
				h.HandleEvent(ev)
			}
			for ev := h.NextEvent(); ev.Kind != EventNone; ev = h.NextEvent() {
				handle(quic.Side(side), ev)
			}
			h.Flush(p.now)
			for {
				tr, ok := q.PollTransmit(p.now, p.buf, 40)
				if !ok {
					break
				}
				idle = 0
				p.now = p.now.Add(20 * time.Microsecond)
				peer.Receive(p.now, quic.Inbound{
					Path: quic.Path{Local: tr.Path.Remote, Remote: tr.Path.Local}, ECN: tr.ECN,
					Data: p.buf[:tr.Len], SegmentSize: tr.SegmentSize,
				})
			}
			if at, ok := q.NextTimeout(); ok && !at.After(p.now) {
				q.HandleTimeout(p.now)
			}
		}
	}
	p.now = p.now.Add(30 * time.Millisecond) // delayed acknowledgements
	for _, q := range p.q {
		if at, ok := q.NextTimeout(); ok && !at.After(p.now) {
			q.HandleTimeout(p.now)
		}
	}
}

var browserFields = fields("user-agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)",
	"accept", "image/avif,image/webp,*/*;q=0.8", "accept-encoding", "gzip, deflate, br, zstd", "accept-language",
	"en-GB,en;q=0.9",
	"sec-fetch-mode", "no-cors", "priority", "i")

// smallRequests returns a function that makes one small request and answers it, all the way through both sides.
func smallRequests(tb testing.TB) func() {
	p := newPair(tb, pairOptions{})
	request := slices.Concat(getRequest, browserFields)
	response := fields(":status", "200", "content-type", "text/plain", "content-length", "12", "server", "Dunlin")
	body := []byte("hello, world")
	buf := make([]byte, 100)
	done := 0
	handle := func(side quic.Side, ev Event) {
		switch {
		case side == quic.Server && ev.Kind == EventHeaders:
			if err := ev.Stream.SendHeaders(response, false); err != nil {
				tb.Fatal(err)
			}
			if _, err := ev.Stream.TryWriteBody(body, true); err != nil {
				tb.Fatal(err)
			}
		case side == quic.Client && ev.Kind == EventData:
			if n, err := ev.Stream.TryReadBody(buf); n != len(body) || err != nil {
				tb.Fatal(n, err)
			}
			if _, err := ev.Stream.TryReadBody(buf); err != io.EOF {
				tb.Fatal(err)
			}
			done++
		}
	}
	n := 0
	return func() {
		s, err := p.h[quic.Client].OpenRequest()
		if err != nil {
			tb.Fatal(err)
		}
		if err := s.SendHeaders(request, true); err != nil {
			tb.Fatal(err)
		}
		n++
		p.exchange(handle)
		if done != n {
			tb.Fatalf("%d of %d requests answered: %v, %v", done, n, p.q[quic.Client].Err(), p.q[quic.Server].Err())
		}
	}
}

// A small request costs, for both sides and the QUIC below them together, few allocations: a stream here and in
// package quic, and the values of its fields.
func TestSmallRequestAllocations(t *testing.T) {
	cycle := smallRequests(t)
	for range 200 {
		cycle()
	}
	if n := testing.AllocsPerRun(200, cycle); n > 8 {
		t.Errorf("%v allocations per request", n)
	}
}

// Bulk data costs none.
func TestBodyAllocations(t *testing.T) {
	p := newPair(t, pairOptions{})
	c := p.request(postRequest, false)
	body, buf := make([]byte, 64<<10), make([]byte, 16<<10)
	received := 0
	write := func(s *Stream) {
		if _, err := s.TryWriteBody(body, false); err != nil && err != quic.ErrWouldBlock {
			t.Fatal(err)
		}
	}
	handle := func(side quic.Side, ev Event) {
		switch {
		case side == quic.Server && ev.Kind == EventData:
			for {
				n, err := ev.Stream.TryReadBody(buf)
				received += n
				if err == quic.ErrWouldBlock {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
			}
		case side == quic.Client && ev.Kind == EventWritable:
			write(ev.Stream)
		}
	}
	cycle := func() {
		write(c)
		p.exchange(handle)
	}
	for range 100 {
		cycle()
	}
	received = 0
	n := testing.AllocsPerRun(100, cycle)
	if received < 100*len(body) {
		t.Fatalf("%d bytes received", received)
	}
	if n > 1 {
		t.Errorf("%v allocations per %d bytes", n, len(body))
	}
}

func BenchmarkSmallRequest(b *testing.B) {
	cycle := smallRequests(b)
	b.ReportAllocs()
	for b.Loop() {
		cycle()
	}
}
