package quic

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/dunlin-quic/dunlin/internal/wire"
)

// bitCount counts packets with and without the QUIC bit.
type bitCount [2]int

func (n *bitCount) add(first byte) {
	if wire.FixedBit(first) {
		n[1]++
	} else {
		n[0]++
	}
}

// quicBits counts the packets that each side sends on p, by type.
func quicBits(p *testPair) *[2]map[wire.PacketType]*bitCount {
	var seen [2]map[wire.PacketType]*bitCount
	for side := range seen {
		seen[side] = map[wire.PacketType]*bitCount{}
		for typ := wire.Initial; typ <= wire.OneRTT; typ++ {
			seen[side][typ] = new(bitCount)
		}
	}
	p.filter = func(from Side, b []byte) bool {
		for len(b) > 0 {
			if !wire.IsLong(b[0]) {
				seen[from][wire.OneRTT].add(b[0])
				break
			}
			h, ok := wire.ParseLong(b)
			if !ok {
				p.t.Errorf("%v sends a malformed packet", from)
				break
			}
			seen[from][h.Type].add(b[0])
			b = b[h.PacketLen:]
		}
		return true
	}
	return &seen
}

// The bit is a matter of chance from when the peer's transport parameters are there, if both sides want that.
func TestQUICBitGrease(t *testing.T) {
	for _, off := range [][2]bool{{false, false}, {true, false}, {false, true}, {true, true}} {
		t.Run(fmt.Sprintf("client off %v, server off %v", off[Client], off[Server]), func(t *testing.T) {
			p := newTestPair(t, func(p *testPair) {
				p.cfg[Client].NoQUICBitGrease, p.cfg[Server].NoQUICBitGrease = off[Client], off[Server]
				p.demux.NoQUICBitGrease = off[Server]
			})
			seen := quicBits(p)
			count := p.filter
			p.filter = func(from Side, b []byte) bool {
				if from == Client && !p.conn[Client].hs.params && !wire.FixedBit(b[0]) {
					t.Error("the client's Initial lacks the bit before it has heard from the server")
				}
				return count(from, b)
			}
			p.run("the handshake", func() bool { return p.conn[Client].hs.params })
			p.filter = count
			p.establish()
			p.transfer(Client, 500_000)
			p.transfer(Server, 500_000)
			for side, types := range seen {
				greased := !off[Client] && !off[Server]
				n := types[wire.OneRTT]
				if total := n[0] + n[1]; greased && (n[0] < total/4 || n[1] < total/4) || !greased && n[0] > 0 || total < 100 {
					t.Errorf("%v: %d packets without the bit, %d with it", Side(side), n[0], n[1])
				}
			}
			if dropped := p.conn[Client].Stats().PacketsDropped + p.conn[Server].Stats().PacketsDropped; dropped > 0 {
				t.Errorf("%d packets dropped", dropped)
			}
		})
	}
}

// Who does not take part drops packets without the bit, whatever the peer makes of that.
// RFC 9000, Section 17.2 (MUST 1) and Section 17.3.1 (MUST 1).
func TestQUICBitMissing(t *testing.T) {
	for _, side := range []Side{Client, Server} {
		for _, off := range []bool{false, true} {
			p := newTestPair(t, func(p *testPair) { p.cfg[side].NoQUICBitGrease = off })
			p.establish()
			p.idle(time.Second)
			before := p.conn[side].Stats().PacketsDropped
			p.conn[side.Peer()].quicBit = greaseBegins<<63 | 0xff // the next eight without
			p.conn[side.Peer()].sendPing = true
			p.idle(10 * time.Millisecond)
			if dropped := p.conn[side].Stats().PacketsDropped - before; (dropped > 0) != off {
				t.Errorf("%v, off %v: %d packets dropped", side, off, dropped)
			}
		}
	}
}

// RFC 9287, Section 3.1: with the token of a connection to a server that takes such packets, the next one may begin without
// the bit, for a week; not after a Retry.
func TestQUICBitRemembered(t *testing.T) {
	week := 7 * 24 * time.Hour
	for _, tt := range []struct {
		name        string
		change      func(p *testPair)
		after       time.Duration
		first       bool // the server of the first connection takes such packets
		token, want bool
	}{
		{name: "at once", first: true, token: true, want: true},
		{name: "just in time", after: week - time.Minute, first: true, token: true, want: true},
		{name: "too late", after: week, first: true, token: true},
		{name: "without a token", first: true},
		{name: "another server", token: true},
		{name: "turned off since", first: true, token: true, change: func(p *testPair) { p.cfg[Client].NoQUICBitGrease = true }},
		{name: "Retry", after: 48 * time.Hour, first: true, token: true, change: func(p *testPair) { p.demux.Retry = RetryAlways }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cache := tokenCache{}
			server := func(p *testPair) {
				p.cfg[Client].Tokens = cache
				p.cfg[Server].StatelessResetKey = &[32]byte{1}
				p.demux.StatelessResetKey = &[32]byte{1}
			}
			p := newTestPair(t, server, func(p *testPair) { p.cfg[Server].NoQUICBitGrease = !tt.first })
			p.establish()
			p.idle(time.Second)
			token := slices.Clone(cache["server.test 1"])
			if len(token) == 0 {
				t.Fatal("no token")
			}
			without := 0
			for range 20 {
				clear(cache)
				if tt.token {
					cache["server.test 1"] = token
				}
				p := newTestPair(t, server, func(p *testPair) {
					p.now = p.now.Add(tt.after)
					if tt.change != nil {
						tt.change(p)
					}
				})
				seen := quicBits(p)
				heard := false
				count := p.filter
				p.filter = func(from Side, b []byte) bool {
					heard = heard || from == Server
					return heard || count(from, b)
				}
				p.run("the client's first flight", func() bool { return heard })
				after := bitCount{}
				p.filter = func(from Side, b []byte) bool {
					if from == Client && wire.IsLong(b[0]) && !p.conn[Client].hs.params {
						after.add(b[0])
					}
					return true
				}
				p.establish()
				without += seen[Client][wire.Initial][0]
				if after[0] > 0 {
					t.Errorf("%d packets without the bit after a Retry", after[0])
				}
			}
			if (without > 0) != (tt.want || tt.name == "Retry") {
				t.Errorf("%d of 20 connections begin without the bit", without)
			}
		})
	}
}

func TestDemuxQUICBit(t *testing.T) {
	token := newDemux(t, DemuxConfig{}).secrets.newToken(demuxNow, Version1, demuxPath.Remote.Addr(), seededRand(3))
	for _, tt := range []struct {
		name  string
		cfg   DemuxConfig
		token []byte
		after time.Duration
		want  DemuxReason
	}{
		{name: "no token", want: DropNotQUIC},
		{name: "token", token: token, want: Accepted},
		{name: "token that is too old for the address", token: token, after: 48 * time.Hour, want: Accepted},
		{name: "token of a server with another key", cfg: DemuxConfig{StatelessResetKey: &[32]byte{9}}, token: token, want: Accepted},
		{name: "token, but off", cfg: DemuxConfig{NoQUICBitGrease: true}, token: token, want: DropNotQUIC},
		{name: "another token", token: []byte("token"), want: DropNotQUIC},
		{name: "another version", cfg: DemuxConfig{Versions: []Version{Version2}}, want: ReplyVersionNegotiation},
	} {
		a := newAttempt()
		a.token, a.noQUICBit = tt.token, true
		dec, _ := knock(t, newDemux(t, tt.cfg), demuxNow.Add(tt.after), demuxPath, a.initial(t), false)
		if dec.Reason != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, dec.Reason, tt.want)
		}
	}
	d := newDemux(t, DemuxConfig{})
	for _, typ := range []wire.PacketType{wire.ZeroRTT, wire.Handshake} {
		b := wire.AppendLong(nil, typ, Version1, newAttempt().dcid, ConnectionID{}, nil, 0, 4)
		wire.ClearFixedBit(b)
		dec, _ := knock(t, d, demuxNow, demuxPath, append(b, make([]byte, 1200)...), false)
		wantReason(t, "other packets", dec, Drop, DropNotQUIC)
	}
}
