package quic

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/dunlin-quic/dunlin/internal/wire"
)

// RFC 9001, Section 5.7 (MUST 1, 2, 3): packets that overtake those that bring their keys wait for them.
// RFC 9000, Section 12.2 (MUST 1).
func TestPacketsBeforeKeys(t *testing.T) {
	for side := range Side(2) {
		t.Run(side.String(), func(t *testing.T) {
			var from Side
			late := false
			delayed := 0
			p := newTestPair(t, func(p *testPair) {
				p.filter = func(f Side, _ []byte) bool { from = f; return true }
				p.delayOf = func() time.Duration {
					// The server's first datagram has the keys for those that follow. The client's first one after
					// TLS is done ends the handshake of the server.
					if late || from == side || side == Server && !p.conn[Client].complete {
						return 0
					}
					late = true
					return 5 * time.Millisecond
				}
			})
			aside := 0
			p.run("handshake", func() bool {
				c := p.conn[Client]
				if delayed == 0 && c.complete {
					st, err := c.OpenStream(Uni)
					if err != nil {
						t.Fatal(err)
					}
					st.TryWrite(make([]byte, 5000), true)
					delayed++
				}
				if c := p.conn[side]; c != nil && c.hs != nil {
					aside = max(aside, len(c.hs.aside.packets))
				}
				return c.Confirmed() && p.conn[Server].Confirmed()
			})
			p.idle(time.Second)
			if aside == 0 {
				t.Error("nothing was put aside")
			}
			if st := p.conn[side].Stats(); st.PacketsDropped > 1 {
				t.Errorf("%d packets dropped", st.PacketsDropped)
			}
		})
	}
}

// What is put aside for missing keys has a bound.
func TestAsideBound(t *testing.T) {
	s := newHandshakeScript(t, Server, wire.Handshake)
	one := append([]byte{0x40}, s.c.local.active[0].id.Bytes()...)
	one = append(one, make([]byte, 1200)...)
	for range 10_000 {
		s.receive(one)
	}
	if n := len(s.c.hs.aside.packets); n == 0 || n > maxAsidePackets || s.c.hs.aside.bytes > maxAsideBytes {
		t.Errorf("%d packets of %d bytes are kept", n, s.c.hs.aside.bytes)
	}
	if got := s.c.Stats().PacketsDropped; got < 9_000 {
		t.Errorf("%d counted as dropped", got)
	}
}

// Whatever arrives that is no packet of the connection is counted, and changes nothing.
// RFC 9000, Section 12.3 (MUST 4), Section 13.1 (MUST 1) and Section 14 (MUST 4).
func TestGarbage(t *testing.T) {
	for side := range Side(2) {
		s := newScript(t, side)
		r := rand.New(rand.NewPCG(1, uint64(side)))
		genuine := s.seal(wire.OneRTT, wire.AppendPing(nil), wire.AppendPadding(nil, 100))
		s.receive(genuine)
		s.sent()
		before := s.c.Stats()
		const n = 10_000
		for i := range n {
			var b []byte
			switch i % 4 {
			case 0: // random bytes
				b = make([]byte, 1+r.IntN(1300))
				for j := range b {
					b[j] = byte(r.Uint32())
				}
			case 1: // truncated
				b = genuine[:r.IntN(len(genuine)-1)+1]
			case 2: // changed
				b = append([]byte(nil), genuine...)
				b[r.IntN(len(b))] ^= 1 << r.IntN(8)
			case 3: // replayed
				b = genuine
			}
			s.receive(b)
		}
		s.wantOpen()
		after := s.c.Stats()
		if after.PacketsReceived != before.PacketsReceived || after.PacketsDropped < before.PacketsDropped+n {
			t.Errorf("%v: %d received, %d dropped", side, after.PacketsReceived-before.PacketsReceived, after.PacketsDropped-before.PacketsDropped)
		}
		if got := s.sent(); len(got) > 0 {
			t.Errorf("%v: answered with %v", side, got)
		}
		s.transfer(side, 10_000)
	}
}

// One train, one acknowledgment; and data takes it along.
// RFC 9000, Section 13.2.1 (MUST 3).
// RFC 9000, Section 13.2.6 (MUST 2) and Section 17.2.3 (MUST 3).
func TestOneAckPerTrain(t *testing.T) {
	s := newScript(t, Server)
	var train []byte
	const n, size = 40, 200
	for range n {
		b := s.seal(wire.OneRTT, wire.AppendPing(nil), wire.AppendPadding(nil, size-40))
		if len(b) > size {
			t.Fatal("too long")
		}
		train = append(train, b...)
	}
	size1 := len(train) / n
	s.c.Receive(s.now, Inbound{Path: testPaths[Server], Data: train, SegmentSize: size1})
	st, err := s.c.OpenStream(Uni)
	if err != nil {
		t.Fatal(err)
	}
	st.TryWrite([]byte("answer"), true)
	fs := s.sent()
	f, _ := wire.ParseAck(s.wantOne(fs, wire.FrameAckECN).b, nil)
	if r := f.Ranges[0]; r.Largest-r.Smallest < n-2 {
		t.Errorf("acknowledged %v", f.Ranges)
	}
	if s.c.Stats().DatagramsReceived < n {
		t.Errorf("%d datagrams counted", s.c.Stats().DatagramsReceived)
	}
	size0 := fs[0].size
	for _, f := range fs {
		if f.size != size0 {
			t.Errorf("more than one datagram: %v", fs)
		}
	}
}

// A train has datagrams of one size; only the last may be shorter.
func TestTrains(t *testing.T) {
	for _, segs := range []int{1, 2, 10, 64} {
		p := newTestPair(t)
		p.establish()
		p.transfer(Server, 1<<20)
		p.idle(time.Second)
		c := p.conn[Server]
		st, err := c.OpenStream(Uni)
		if err != nil {
			t.Fatal(err)
		}
		for n := range 30 {
			st.TryWrite(make([]byte, n*311), false)
		}
		longest := 0
		for {
			tr, ok := c.PollTransmit(p.now, p.buf, segs)
			if !ok {
				break
			}
			n := (tr.Len + tr.SegmentSize - 1) / tr.SegmentSize
			longest = max(longest, n)
			if n > segs || tr.SegmentSize > 1452 || n > 1 && tr.SegmentSize != 1452 {
				t.Errorf("%d segments of %d bytes", n, tr.SegmentSize)
			}
		}
		if longest < min(segs, 10) {
			t.Errorf("longest train %d, up to %d allowed", longest, segs)
		}
	}
}

// Any frames whatever, in an authentic packet.
func FuzzFrames(f *testing.F) {
	for _, b := range validFrames(&script{side: Server}) {
		f.Add(b, b)
	}
	f.Fuzz(func(t *testing.T, a, b []byte) {
		if len(a) > 1400 || len(b) > 1400 {
			return
		}
		for side := range Side(2) {
			s := newScript(t, side)
			for _, x := range [][]byte{a, b} {
				if len(x) < 4 {
					x = append(x[:len(x):len(x)], 0, 0, 0, 0)
				}
				s.send(x)
				s.c.HandleTimeout(s.now)
				buf := make([]byte, 1500)
				for range 20 {
					if _, ok := s.c.PollTransmit(s.now, buf, 1); !ok {
						break
					}
				}
				for range 20 {
					if s.c.NextEvent().Kind == EventNone {
						break
					}
				}
			}
		}
	})
}

// Any datagrams whatever, at any time.
func FuzzReceive(f *testing.F) {
	f.Add([]byte{0x40, 1, 2, 3}, true)
	f.Add(wire.AppendLong(nil, wire.Initial, Version1, ConnectionID{}, ConnectionID{}, nil, 0, 1), false)
	f.Fuzz(func(t *testing.T, b []byte, established bool) {
		for side := range Side(2) {
			var s *script
			if established {
				s = newScript(t, side)
			} else {
				s = newHandshakeScript(t, side, wire.Handshake)
			}
			s.receive(b, append(append([]byte{0x40}, s.c.local.active[0].id.Bytes()...), b...))
			if s.c.Err() != nil {
				t.Fatalf("%v: forged datagrams ended the connection: %v", side, s.c.Err())
			}
		}
	})
}
