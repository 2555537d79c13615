package quic

import (
	"slices"
	"testing"
	"time"

	"github.com/dunlin-quic/dunlin/internal/protect"
	"github.com/dunlin-quic/dunlin/internal/recovery"
	"github.com/dunlin-quic/dunlin/internal/wire"
)

// What anybody can see of the packets of a connection, whatever gets lost.
//
// RFC 9000, Section 12.2 (MUST 2): packets in one datagram have one destination. Section 17.2.2 (MUST 1): servers send
// no tokens. Section 17.4 (MUST 1): the spin bit is off. Section 17.2.3 (MUST 2), and RFC 9001, Section 5.6 (MUST 5):
// 0-RTT packets end with the handshake. RFC 9001, Section 5.6 (MUST 3): servers send none. Section 4.9 (MUST 2): so
// what is sent first after the handshake is sent in 1-RTT packets.
func TestPacketsOnTheWire(t *testing.T) {
	for _, retry := range []RetryPolicy{RetryNever, RetryAlways} {
		for lost := range 8 {
			var long, short, early int
			e := newEarlyPair(t)
			n := 0
			p := e.pair()
			p.demux.Retry = retry
			p.segs = 1
			p.filter = func(from Side, b []byte) bool {
				var dcid, scid []byte
				for first := true; len(b) > 0; first = false {
					if !wire.IsLong(b[0]) {
						short++
						if b[0]&0x20 != 0 {
							t.Errorf("%v: spin bit set", from)
						}
						if !first && !slices.Equal(b[1:1+len(dcid)], dcid) {
							t.Errorf("%v: coalesced packets to %x and %x", from, dcid, b[1:1+len(dcid)])
						}
						break
					}
					h, ok := wire.ParseLong(b)
					if !ok {
						t.Fatalf("%v sent %x", from, b)
					}
					long++
					if !first && (!slices.Equal(h.DCID.Bytes(), dcid) || !slices.Equal(h.SCID.Bytes(), scid)) {
						t.Errorf("%v: coalesced packets to %x and %v, from %x and %v", from, dcid, h.DCID, scid, h.SCID)
					}
					dcid, scid = slices.Clone(h.DCID.Bytes()), slices.Clone(h.SCID.Bytes())
					if from == Server && h.Type == wire.Initial && len(h.Token) > 0 {
						t.Error("a token in an Initial packet of the server")
					}
					if h.Type == wire.ZeroRTT {
						if early++; from == Server || p.conn[Client].Established() {
							t.Errorf("%v: 0-RTT packet after the handshake", from)
						}
					}
					b = b[h.PacketLen:]
				}
				n++
				return n != lost
			}
			s, err := p.conn[Client].OpenStream(Uni)
			if err != nil {
				t.Fatal(err)
			}
			s.TryWrite(make([]byte, 5000), true)
			p.establish()
			p.events = [2][]Event{}
			p.transfer(Server, 50_000)
			p.transfer(Client, 50_000)
			if (p.retries > 0) != (retry == RetryAlways) {
				t.Errorf("%d Retry packets", p.retries)
			}
			if long < 5 || short < 50 || early < 3 {
				t.Errorf("%d packets with long headers, %d with short ones, %d 0-RTT", long, short, early)
			}
		}
	}
}

// RFC 9000, Section 17.2.2, and others: all that a client says before it hears from the server is the same, but for
// packet numbers. Section 7.2 (MUST 2): its destination. Section 8.1.3 (MUST 1) and Section 8.1.2 (MUST 1): its token,
// which a Retry may replace. Section 17.2.5.3 (MUST 1): the ClientHello, also after a Retry. Section 17.2.5.1 (MUST 3)
// and Section 17.2.5.2 (MUST 5): a Retry changes where it sends to, and not where it sends from. RFC 9001, Section 8.4
// (MUST 1): the ClientHello has no session ID.
func TestFirstFlight(t *testing.T) {
	for _, retry := range []bool{false, true} {
		cache := tokenCache{"server.test 1": append(make([]byte, tokenPrefix), "kept"...)}
		p := newTestPair(t, func(p *testPair) { p.cfg[Client].Tokens, p.segs = cache, 1 })
		c := p.conn[Client]
		hello := slices.Clone(c.hs.spaces[recovery.Initial].crypto.out.buf)
		if n := hello[helloRandomEnd]; hello[0] != tlsClientHello || n != 0 {
			t.Errorf("a session ID of %d bytes", n)
		}
		_, h := firstInitial(t, p)
		dcid, token := h.DCID, "kept"
		if retry {
			dcid, token = testCID(1), "of the Retry"
			c.Receive(p.now, Inbound{Path: testPaths[Client], Data: retryPacket(h, dcid, token)})
		}
		_, opener, err := protect.NewInitial(Version1, dcid, true)
		if err != nil {
			t.Fatal(err)
		}
		var numbers []uint64
		seen := make([]bool, len(hello))
		for range 4 {
			p.link[Server] = nil
			p.poll(Client)
			for _, d := range p.link[Server] {
				got, ok := wire.ParseLong(d.data)
				if !ok || got.Type != wire.Initial || got.DCID != dcid || got.SCID != h.SCID || string(got.Token) != token {
					t.Fatalf("%+v", got)
				}
				if len(d.data) < 1200 {
					t.Errorf("an Initial packet in %d bytes", len(d.data))
				}
				pkt := d.data[:got.PacketLen]
				pn, pnLen, _ := opener.Unmask(pkt, got.PNOffset, 0)
				payload, err := opener.Open(pkt, got.PNOffset+pnLen, pn)
				if err != nil {
					t.Fatal(err)
				}
				numbers = append(numbers, pn)
				for len(payload) > 0 {
					n := wire.FrameLen(payload)
					if f, ok := wire.ParseCrypto(payload); ok > 0 {
						for i, x := range f.Data {
							if at := f.Offset + uint64(i); hello[at] != x {
								t.Fatalf("another ClientHello at %d", at)
							} else {
								seen[at] = true
							}
						}
					}
					payload = payload[n:]
				}
			}
			p.now, _ = c.NextTimeout()
			c.HandleTimeout(p.now)
		}
		if slices.Contains(seen, false) || len(numbers) < 4 {
			t.Errorf("not all of the ClientHello was seen, in packets %v", numbers)
		}
		for i := range numbers[1:] {
			if numbers[i+1] <= numbers[i] {
				t.Errorf("packet numbers %v", numbers) // RFC 9000, Section 12.3 (MUST 1, 2)
			}
		}
		if retry && numbers[0] == 0 {
			t.Error("packet numbers start again after a Retry")
		}
	}
}

// RFC 9000, Section 7.2 (MUST 3, 4, 5, 6): the peer's first Source Connection ID is where packets go, and no other counts.
func TestSourceConnectionIDStays(t *testing.T) {
	other := wire.NewConnectionID([]byte("another!"))
	for side := range Side(2) {
		for _, typ := range []wire.PacketType{wire.Initial, wire.Handshake} {
			s := newHandshakeScript(t, side, typ)
			if side == Server {
				s = newHandshakeScript(t, side, wire.Handshake)
			}
			first := s.peer.local.active[0].id
			if side == Client && typ == wire.Initial {
				if s.c.path.dcid == first {
					t.Fatal("the client knows the server's connection ID already")
				}
				s.receive(s.seal(typ, wire.AppendPing(nil)))
			}
			if s.c.path.dcid != first {
				t.Errorf("%v sends to %v, want %v", side, s.c.path.dcid, first)
			}
			before := s.c.Stats()
			s.peer.local.active[0].id = other
			s.receive(s.seal(typ, wire.AppendPing(nil)))
			s.peer.local.active[0].id = first
			after := s.c.Stats()
			if after.PacketsDropped != before.PacketsDropped+1 || after.PacketsReceived != before.PacketsReceived || s.c.path.dcid != first {
				t.Errorf("%v: a packet with another source connection ID was used", side)
			}
			// RFC 9000, Section 17.2.5.2 (MUST 2): nor does a Retry count any more.
			s.receive(protect.AppendRetryTag(wire.AppendRetry(nil, 0, Version1, s.c.local.active[0].id, other, []byte("token")), Version1, s.c.hs.origDCID))
			if s.c.path.dcid != first || s.c.hs.retried {
				t.Errorf("%v: a Retry was obeyed", side)
			}
			s.wantOpen()
		}
	}
}

// RFC 9000, Section 12.2 (MUST 1, 3, 4): packets that share a datagram are processed one by one, whatever is wrong with
// those before them.
func TestCoalescedPackets(t *testing.T) {
	s := newHandshakeScript(t, Server, wire.Handshake)
	s.sent()
	before := s.c.Stats()
	forged := s.seal(wire.Handshake, wire.AppendPing(nil))
	forged[len(forged)-1] ^= 1
	first, second := s.seal(wire.Handshake, wire.AppendPing(nil)), s.seal(wire.Handshake, wire.AppendPing(nil))
	elsewhere := wire.AppendLong(nil, wire.Handshake, Version1, testCID(5), testCID(6), nil, 0, 4)
	elsewhere = append(elsewhere, make([]byte, 50)...)
	wire.PatchLength(elsewhere, len(elsewhere)-54, 54)
	s.receive(slices.Concat(forged, first, elsewhere, second, []byte("\x40noise")))
	after := s.c.Stats()
	if got := after.PacketsReceived - before.PacketsReceived; got != 2 || after.PacketsDropped != before.PacketsDropped+3 {
		t.Errorf("%d packets received, %d dropped", got, after.PacketsDropped-before.PacketsDropped)
	}
	// RFC 9000, Section 12.3 (MUST 4): once.
	s.receive(slices.Concat(second, first))
	if again := s.c.Stats(); again.PacketsReceived != after.PacketsReceived || again.PacketsDropped != after.PacketsDropped+2 {
		t.Errorf("%d copies received, %d dropped", again.PacketsReceived-after.PacketsReceived, again.PacketsDropped-after.PacketsDropped)
	}
	f, _ := wire.ParseAck(s.wantOne(s.sent(), wire.FrameAckECN&^1).b, nil)
	if r := f.Ranges[0]; r.Largest-r.Smallest != 1 {
		t.Errorf("acknowledged %v", f.Ranges)
	}
}

// RFC 9001, Section 4.9.1 (MUST 1, 2): a client has no use for Initial keys when it sends Handshake packets, nor a
// server when it receives them.
func TestInitialKeysDiscarded(t *testing.T) {
	for side := range Side(2) {
		s := newHandshakeScript(t, side, wire.Handshake)
		if side == Server {
			if s.c.hs.spaces[recovery.Initial].gone {
				t.Fatal("too early")
			}
			s.receive(s.seal(wire.Handshake, wire.AppendPing(nil)))
		} else {
			s.sent()
		}
		if hs := &s.c.hs.spaces[recovery.Initial]; !hs.gone || hs.sealer != nil || hs.opener != nil {
			t.Errorf("%v keeps Initial keys", side)
		}
		for range 5 {
			buf := make([]byte, 1500)
			for {
				tr, ok := s.c.PollTransmit(s.now, buf, 1)
				if !ok {
					break
				}
				if h, ok := wire.ParseLong(buf[:tr.Len]); ok && h.Type == wire.Initial {
					t.Errorf("%v sent an Initial packet", side)
				}
			}
			at, _ := s.c.NextTimeout()
			s.now = at
			s.c.HandleTimeout(at)
		}
	}
}

// RFC 9000, Section 17.4 (MUST 4): what the peer does with the spin bit does not matter.
func TestSpinBitIgnored(t *testing.T) {
	s := newScript(t, Server)
	w := packetWriter{space: recovery.AppData, rec: &s.peer.rec}
	p, body, _ := s.peer.begin1RTT(&w, make([]byte, 0, 100), 100, s.peer.path)
	w.buf[0] |= 0x20
	w.buf = wire.AppendPing(w.buf)
	b := finishPacket(&w, &p, body)
	s.peer.sealAll(b, []unsealed{p}, false)
	before := s.c.Stats().PacketsReceived
	s.receive(b)
	s.wantOpen()
	if got := s.c.Stats().PacketsReceived; got != before+1 {
		t.Error("dropped")
	}
}

// RFC 9000, Section 14.1 (MUST 3): also when the connection exists, an Initial packet in a small datagram is dropped.
// Section 17.2.2 (MUST 1): so is one with a token at a client. RFC 9001, Section 5.6 (MUST 4): so are 0-RTT packets at
// a client.
func TestPacketsThatMustNotBe(t *testing.T) {
	dropped := func(s *script, what string, b []byte) {
		t.Helper()
		before := s.c.Stats()
		s.receive(b)
		s.wantOpen()
		if after := s.c.Stats(); after.PacketsDropped != before.PacketsDropped+1 || after.PacketsReceived != before.PacketsReceived {
			t.Errorf("%s is not dropped", what)
		}
	}
	s := newHandshakeScript(t, Server, wire.Handshake)
	w := packetWriter{space: recovery.Initial, rec: &s.peer.rec}
	p, body, _ := s.peer.beginLong(&w, make([]byte, 0, 200), 200)
	w.buf = wire.AppendPing(w.buf)
	b := finishPacket(&w, &p, body)
	s.peer.sealAll(b, []unsealed{p}, false)
	dropped(s, "an Initial packet in a small datagram", b)

	s = newHandshakeScript(t, Client, wire.Initial)
	s.peer.hs.token = []byte("token")
	dropped(s, "an Initial packet with a token", s.seal(wire.Initial, wire.AppendPing(nil)))
	s.peer.hs.token = nil
	early := wire.AppendLong(nil, wire.ZeroRTT, Version1, s.c.local.active[0].id, s.peer.local.active[0].id, nil, 0, 4)
	early = append(early, make([]byte, 50)...)
	wire.PatchLength(early, len(early)-54, 54)
	cfg := *s.c.cfg
	cfg.EarlyData = true // as if it sent early data itself
	s.c.cfg = &cfg
	dropped(s, "a 0-RTT packet", early)
}

// RFC 9002, Section 7.5 (MUST 1, 2): probes go out beside a full window, and are in flight as all others.
func TestProbesBesideFullWindow(t *testing.T) {
	s := newScript(t, Server)
	st, err := s.c.OpenStream(Uni)
	if err != nil {
		t.Fatal(err)
	}
	st.TryWrite(make([]byte, 200_000), false)
	for range 100 {
		s.sent()
		s.now = s.now.Add(time.Millisecond) // for the pacer
	}
	full := s.c.Stats()
	if full.BytesInFlight+minDatagramSize < full.Cwnd {
		t.Fatalf("%d bytes in flight, window %d", full.BytesInFlight, full.Cwnd)
	}
	for s.c.Stats().PTOs == full.PTOs {
		s.now, _ = s.c.NextTimeout()
		s.c.HandleTimeout(s.now)
	}
	if len(s.sent()) == 0 {
		t.Error("no probe was sent")
	}
	if got := s.c.Stats(); got.BytesInFlight <= full.BytesInFlight {
		t.Errorf("%d bytes in flight with the probes, %d before", got.BytesInFlight, full.BytesInFlight)
	}
}
