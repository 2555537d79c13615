package quic

import (
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/dunlin-quic/dunlin/internal/protect"
	"github.com/dunlin-quic/dunlin/internal/recovery"
	"github.com/dunlin-quic/dunlin/internal/testcert"
	"github.com/dunlin-quic/dunlin/internal/wire"
)

// speak sets the versions of both sides.
func speak(p *testPair, client, server []Version) {
	p.cfg[Client].Versions, p.cfg[Server].Versions, p.demux.Versions = client, server, server
}

// negotiated returns what the rules make of two lists: the version of the first packets, that of the first flight which the
// server understands, and the one in use in the end. The last two are 0 if there is none.
func negotiated(client, server []Version) (original, chosen, used Version) {
	both := []Version{Version1, Version2}
	c, s := client, server
	if c == nil {
		c = both
	}
	if s == nil {
		s = both
	}
	original = c[0]
	if slices.Contains(c, Version1) {
		original = Version1
	}
	if chosen = original; !slices.Contains(s, original) {
		chosen = 0
		for _, v := range c {
			if chosen == 0 && slices.Contains(s, v) {
				chosen = v
			}
		}
	}
	if chosen == 0 {
		return original, 0, 0
	}
	prefer, among := s, c
	if server == nil {
		prefer, among = c, s
	}
	for _, v := range prefer {
		if slices.Contains(among, v) {
			return original, chosen, v
		}
	}
	panic("the server can't use what it understands")
}

var versionLists = [][]Version{nil, {Version1}, {Version2}, {Version1, Version2}, {Version2, Version1}}

// Every list of versions at either side, with and without a Retry: the same version comes out at both sides, at no round
// trip more than it has to cost, and data flows.
func TestVersions(t *testing.T) {
	for _, client := range versionLists {
		for _, server := range versionLists {
			for _, retry := range []RetryPolicy{RetryNever, RetryAlways} {
				t.Run(fmt.Sprintf("client %v, server %v, retry %d", client, server, retry), func(t *testing.T) {
					original, chosen, used := negotiated(client, server)
					var first Version
					p := newTestPair(t, func(p *testPair) {
						speak(p, client, server)
						p.demux.Retry = retry
						p.filter = func(from Side, b []byte) bool {
							for len(b) > 0 && wire.IsLong(b[0]) {
								h, ok := wire.ParseLong(b)
								if !ok {
									t.Fatalf("%v sent %x", from, b)
								}
								if first == 0 {
									first = h.Version
								}
								// RFC 9369, Section 4.1.
								if h.Type == wire.Handshake && h.Version != used {
									t.Errorf("%v sent a Handshake packet of version %v", from, h.Version)
								}
								b = b[h.PacketLen:]
							}
							return true
						}
					})
					if used == 0 {
						p.run("failure", func() bool { return p.err(Client) != nil })
						if p.err(Client) != ErrVersionNegotiation {
							t.Error(p.err(Client))
						}
						return
					}
					p.establish()
					if first != original {
						t.Errorf("first packet of version %v, want %v", first, original)
					}
					trips := 1
					if chosen != original {
						trips++
					}
					if retry == RetryAlways {
						trips++
					}
					for side, c := range p.conn {
						if c.Version() != used {
							t.Errorf("%v uses version %v, want %v", Side(side), c.Version(), used)
						}
					}
					if got := p.conn[Client].Stats().HandshakeTime; got != time.Duration(2*trips)*p.delay {
						t.Errorf("handshake took %v, want %d round trips", got, trips)
					}
					p.transfer(Client, 10_000)
					p.transfer(Server, 10_000)
					if !p.conn[Client].InitiateKeyUpdate() {
						t.Error("no key update")
					}
					p.transfer(Client, 10_000)
				})
			}
		}
	}
}

func TestVersionConfig(t *testing.T) {
	for _, tt := range []struct {
		versions []Version
		original Version
		ok       bool
	}{
		{nil, 0, true},
		{nil, Version2, true},
		{[]Version{Version2}, Version2, true},
		{[]Version{Version2}, Version1, false},
		{[]Version{Version1, Version1}, 0, false},
		{[]Version{Version1, 2}, 0, false},
		{[]Version{0x0a0a0a0a}, 0, false},
	} {
		cfg := testConfig(Client)
		cfg.Versions, cfg.OriginalVersion = tt.versions, tt.original
		if _, err := cfg.Resolve(); (err == nil) != tt.ok {
			t.Errorf("%v, %v: %v", tt.versions, tt.original, err)
		}
		if _, err := NewDemux(DemuxConfig{Versions: tt.versions}); (err == nil) != tt.ok && tt.original == 0 {
			t.Errorf("Demux, %v: %v", tt.versions, err)
		}
	}
}

// RFC 9368, Section 3: among the Available Versions that either side tells of is a reserved one, in no fixed place, and it
// is never the one that comes out.
func TestVersionGrease(t *testing.T) {
	for side := range Side(2) {
		places := map[int]bool{}
		c := newTestPair(t).conn[Client]
		c.side = side
		for range 200 {
			i := c.versionInformation()
			at := slices.IndexFunc(i.Available, Version.Reserved)
			if at < 0 || i.Chosen != Version1 || !slices.Equal(slices.Delete(i.Available, at, at+1), []Version{Version1, Version2}) {
				t.Fatalf("%+v", i)
			}
			places[at] = true
		}
		if len(places) != 3 {
			t.Errorf("%v: always in one of the places %v", side, places)
		}
		c.side = Client
	}
}

// Each of the first datagrams of either side may be lost while both sides change versions.
func TestVersionLosses(t *testing.T) {
	for side := range Side(2) {
		for first := range 6 {
			for second := first; second < 6; second++ {
				t.Run(fmt.Sprintf("%v/%d,%d", side, first, second), func(t *testing.T) {
					n := 0
					p := newTestPair(t, func(p *testPair) {
						speak(p, []Version{Version2, Version1}, nil)
						p.filter = func(from Side, _ []byte) bool {
							if from != side {
								return true
							}
							n++
							return n-1 != first && n-1 != second
						}
					})
					p.establish()
					if v := p.conn[Server].Version(); v != Version2 {
						t.Errorf("version %v", v)
					}
					p.transfer(Client, 10_000)
				})
			}
		}
	}
}

// Handshake packets that overtake the Initial packet by which a client learns of the version are not lost.
func TestVersionOvertaken(t *testing.T) {
	overtaken := false
	p := newTestPair(t, func(p *testPair) {
		speak(p, []Version{Version2, Version1}, nil)
		chain, _ := testcert.Get() // of more than one datagram
		for range 4 {
			chain.Certificate = append(chain.Certificate[:len(chain.Certificate):len(chain.Certificate)], chain.Certificate[0])
		}
		p.cfg[Server].TLS.Certificates = []tls.Certificate{chain}
		late := false
		p.filter = func(from Side, b []byte) bool {
			h, ok := wire.ParseLong(b)
			late = from == Server && ok && h.Type == wire.Initial && h.Version == Version2
			overtaken = overtaken || from == Server && ok && h.Type == wire.Handshake
			return true
		}
		p.delayOf = func() time.Duration {
			if late {
				return time.Millisecond
			}
			return 0
		}
	})
	p.establish()
	if got := p.conn[Client].Stats().HandshakeTime; got != 2*p.delay+time.Millisecond || !overtaken {
		t.Errorf("handshake took %v; Handshake packets in a datagram of their own: %v", got, overtaken)
	}
}

// RFC 9368, Section 2.1, and RFC 9000, Section 6.2 (MUST 1, 2, 3): which Version Negotiation packets a client obeys,
// and how.
func TestVersionNegotiation(t *testing.T) {
	tests := []struct {
		name     string
		client   []Version
		versions []Version
		swap     bool
		after    bool // a packet of the server
		restarts Version
		ends     bool
	}{
		{name: "a version in common", versions: []Version{0x0a0a0a0a, Version2, 7}, restarts: Version2},
		{name: "none in common", versions: []Version{0x0a0a0a0a, 7}, ends: true},
		{name: "none that is wanted", client: []Version{Version1}, versions: []Version{Version2}, ends: true},
		{name: "our version among them", versions: []Version{Version2, Version1}},
		{name: "none"},
		{name: "wrong connection IDs", versions: []Version{Version2}, swap: true},
		{name: "too late", versions: []Version{Version2}, after: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newTestPair(t, func(p *testPair) { p.cfg[Client].Versions = tt.client })
			_, h := firstInitial(t, p)
			c := p.conn[Client]
			c.hs.heard = tt.after
			dcid, scid := h.SCID, h.DCID
			if tt.swap {
				dcid, scid = scid, dcid
			}
			negotiate := func(dcid, scid ConnectionID, versions ...Version) {
				b := wire.AppendVersionNegotiation(nil, 0, dcid.Bytes(), scid.Bytes(), versions...)
				c.Receive(p.now, Inbound{Path: testPaths[Client], Data: b})
			}
			negotiate(dcid, scid, tt.versions...)
			if ended := c.Err() == ErrVersionNegotiation; ended != tt.ends {
				t.Errorf("error %v", c.Err())
			}
			if tt.ends {
				return
			}
			if (c.version != Version1) != (tt.restarts != 0) {
				t.Fatalf("version %v", c.version)
			}
			if tt.restarts == 0 {
				if c.hs.afterVN || c.stats.PacketsDropped != 1 {
					t.Errorf("obeyed, or not counted")
				}
				return
			}
			b, again := firstInitial(t, p)
			if again.Version != tt.restarts || again.DCID == h.DCID || again.SCID != h.SCID || len(b) < 1200 {
				t.Errorf("%+v after %+v", again, h)
			}
			// RFC 9368, Section 4: once is enough.
			dropped := c.stats.PacketsDropped
			negotiate(again.SCID, again.DCID, Version1)
			if c.version != tt.restarts || c.stats.PacketsDropped != dropped+1 {
				t.Errorf("restarted with version %v", c.version)
			}
		})
	}
}

// The handshake timeout runs from the very beginning, whatever versions are tried.
func TestHandshakeTimeoutAcrossVersions(t *testing.T) {
	p := newTestPair(t)
	start := p.now
	_, h := firstInitial(t, p)
	p.idle(time.Second)
	b := wire.AppendVersionNegotiation(nil, 0, h.SCID.Bytes(), h.DCID.Bytes(), Version2)
	p.conn[Client].Receive(p.now, Inbound{Path: testPaths[Client], Data: b})
	p.filter = func(Side, []byte) bool { return false }
	p.link[Server] = nil
	p.run("timeout", func() bool { return p.err(Client) != nil })
	if d := p.now.Sub(start); p.err(Client) != ErrHandshakeTimeout || d != 10*time.Second {
		t.Errorf("%v after %v", p.err(Client), d)
	}
}

// wantVersionError checks that the client found out, and told the server if there was one.
func (p *testPair) wantVersionError() {
	p.t.Helper()
	p.run("failure", func() bool { return p.err(Client) != nil && (p.conn[Server] == nil || p.err(Server) != nil) })
	for side := range Side(2) {
		te, ok := errors.AsType[*TransportError](p.err(side))
		if !ok || te.Code != VersionNegotiationError || te.Remote != (side == Server) {
			p.t.Errorf("%v: %v", side, p.err(side))
		}
		if p.conn[side].Established() && side == Client {
			p.t.Error("established")
		}
	}
}

// RFC 9368, Section 4: a forged Version Negotiation packet can't make two sides use another version than they would have.
func TestForgedVersionNegotiation(t *testing.T) {
	v12, v21 := []Version{Version1, Version2}, []Version{Version2, Version1}
	for _, tt := range []struct {
		name           string
		client, server []Version
		original       Version
		forged         Version
		harmless       bool // the version is the one that the client prefers anyway
	}{
		{"to version 2", v12, v12, Version1, Version2, false},
		{"to version 2, by default", nil, nil, Version1, Version2, false},
		{"to version 1", v21, v12, Version2, Version1, false},
		// The server's own choice does not heal it.
		{"to version 1 and back", v21, v21, Version2, Version1, false},
		{"to the preferred version", v21, v21, Version1, Version2, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newTestPair(t, func(p *testPair) {
				speak(p, tt.client, tt.server)
				p.cfg[Client].OriginalVersion = tt.original
			})
			_, h := firstInitial(t, p)
			b := wire.AppendVersionNegotiation(nil, 0, h.SCID.Bytes(), h.DCID.Bytes(), tt.forged)
			p.conn[Client].Receive(p.now, Inbound{Path: testPaths[Client], Data: b})
			if tt.harmless {
				p.establish()
				return
			}
			p.wantVersionError()
		})
	}
}

// A server that says "no" to a version which its other servers speak is found out as well.
func TestVersionNegotiationOfAnOddServer(t *testing.T) {
	p := newTestPair(t, func(p *testPair) { p.demux.Versions = []Version{Version2} })
	p.wantVersionError()
	// RFC 9368, Section 5: while a version is being added, the Config lacks it first.
	p = newTestPair(t, func(p *testPair) {
		p.demux.Versions = []Version{Version1, Version2}
		p.cfg[Server].Versions = []Version{Version2}
		p.cfg[Client].Versions = []Version{Version1}
	})
	p.establish()
	if v := p.conn[Server].Version(); v != Version1 {
		t.Errorf("version %v", v)
	}
}

// reseal makes a packet of another version of a client's Initial packet, as anybody on the path can.
func reseal(t *testing.T, b []byte, v Version) []byte {
	t.Helper()
	h, ok := wire.ParseLong(b)
	if !ok || h.Type != wire.Initial {
		t.Fatal("no Initial packet")
	}
	_, opener, err := protect.NewInitial(h.Version, h.DCID, true)
	if err != nil {
		t.Fatal(err)
	}
	sealer, _, err := protect.NewInitial(v, h.DCID, false)
	if err != nil {
		t.Fatal(err)
	}
	pn, pnLen, _ := opener.Unmask(b[:h.PacketLen], h.PNOffset, 0)
	payload, err := opener.Open(b[:h.PacketLen], h.PNOffset+pnLen, pn)
	if err != nil {
		t.Fatal(err)
	}
	out := wire.AppendLong(make([]byte, 0, 1500), wire.Initial, v, h.DCID, h.SCID, h.Token, pn, pnLen)
	pnOffset := len(out) - pnLen
	wire.PatchLength(out, pnOffset, pnLen+len(payload)+protect.Overhead)
	return sealer.Seal(append(out, payload...), pnOffset, pnLen, pn)
}

// RFC 9368, Section 4: a server refuses a first flight that somebody changed to another version.
func TestFirstFlightOfAnotherVersion(t *testing.T) {
	p := newTestPair(t, func(p *testPair) { p.segs = 1 })
	p.poll(Client)
	for i, d := range p.link[Server] {
		p.link[Server][i].data = reseal(t, d.data, Version2)
	}
	p.run("failure", func() bool { return p.err(Client) != nil && p.err(Server) != nil })
	for side := range Side(2) {
		te, ok := errors.AsType[*TransportError](p.err(side))
		if !ok || te.Code != VersionNegotiationError || te.Remote != (side == Client) {
			t.Errorf("%v: %v", side, p.err(side))
		}
	}
}

// A packet that makes a client believe in another version than the server's costs the attempt, but leads to no connection.
func TestForgedVersion(t *testing.T) {
	p := newTestPair(t)
	_, h := firstInitial(t, p)
	c := p.conn[Client]
	sealer, _, err := protect.NewInitial(Version2, h.DCID, true)
	if err != nil {
		t.Fatal(err)
	}
	b := wire.AppendLong(make([]byte, 0, 1500), wire.Initial, Version2, h.SCID, wire.NewConnectionID([]byte("attacker")), nil, 9, 1)
	b = wire.AppendPadding(wire.AppendPing(b), 20)
	wire.PatchLength(b, len(b)-22, 22+protect.Overhead)
	c.Receive(p.now, Inbound{Path: testPaths[Client], Data: sealer.Seal(b, len(b)-22, 1, 9)})
	if c.version != Version2 || !c.hs.settled {
		t.Fatalf("version %v", c.version)
	}
	p.conn[Server], err = NewServer(p.now, testConfig(Server), Accept{
		Path: testPaths[Server], Version: Version1, DCID: h.DCID, SCID: h.SCID, ODCID: h.DCID,
	})
	if err != nil {
		t.Fatal(err)
	}
	s := p.script(t, Client)
	s.peer.local.active[0].id = wire.NewConnectionID([]byte("attacker"))
	s.receive(s.seal(wire.Initial, wire.AppendPing(nil)))
	// RFC 9369, Section 4.1: what acknowledges may still be of the Chosen Version.
	if c.Err() != nil {
		t.Fatal(c.Err())
	}
	if c.stats.PacketsReceived != 2 {
		t.Errorf("%d packets received", c.stats.PacketsReceived)
	}
	s.receive(s.seal(wire.Initial, append(wire.AppendCryptoHeader(nil, 0, 1), 2)))
	if te, ok := errors.AsType[*TransportError](c.Err()); !ok || te.Code != ProtocolViolation || te.Remote {
		t.Errorf("error %v", c.Err())
	}
}

// RFC 9369, Section 4.1: once there was a CRYPTO frame, no other version can follow; packets of others are dropped.
// RFC 9000, Section 5.2.1 (MUST 1).
func TestVersionIsSettled(t *testing.T) {
	s := newHandshakeScript(t, Client, wire.Handshake)
	if !s.c.hs.settled || s.c.version != Version1 {
		t.Fatal("not settled")
	}
	for _, space := range []recovery.Space{recovery.Initial, recovery.Handshake} {
		if _, ok := s.c.longOpener(space, Version2); ok {
			t.Errorf("space %d: version 2 is let in", space)
		}
	}
	s = newHandshakeScript(t, Server, wire.Handshake)
	dropped := s.c.stats.PacketsDropped
	s.peer.version = Version2
	s.receive(s.seal(wire.Handshake, wire.AppendPing(nil)))
	s.wantOpen()
	if s.c.stats.PacketsDropped != dropped+1 {
		t.Error("a Handshake packet of another version is not dropped")
	}
}

// RFC 9368, Section 4: what a client makes of the server's version_information.
func TestCheckVersion(t *testing.T) {
	info := func(chosen Version, available []Version) wire.VersionInformation {
		return wire.VersionInformation{Chosen: chosen, Available: available}
	}
	both, only1, only2 := []Version{Version1, Version2}, []Version{Version1}, []Version{Version2}
	for _, tt := range []struct {
		name         string
		chosen, used Version
		afterVN      bool
		info         wire.VersionInformation
		ok           bool
	}{
		{"nothing told", Version1, Version1, false, wire.VersionInformation{}, true},
		{"nothing told after a switch", Version1, Version2, false, wire.VersionInformation{}, false},
		{"nothing told by version 1 after Version Negotiation", Version1, Version1, true, wire.VersionInformation{}, true},
		{"nothing told by version 2 after Version Negotiation", Version2, Version2, true, wire.VersionInformation{}, false},
		{"all is well", Version1, Version1, false, info(Version1, both), true},
		{"all is well after a switch", Version1, Version2, false, info(Version2, both), true},
		{"another version than the one in use", Version1, Version1, false, info(Version2, both), false},
		{"the Chosen Version after a switch", Version1, Version2, false, info(Version1, both), false},
		{"a version that nobody offered", Version1, Version1, false, info(7, both), false},
		{"a version that is going away", Version1, Version1, false, info(Version1, nil), true},
		{"no list after Version Negotiation", Version1, Version1, true, info(Version1, nil), false},
		{"the best version after Version Negotiation", Version2, Version2, true, info(Version2, only2), true},
		{"not the best version after Version Negotiation", Version2, Version2, true, info(Version2, both), false},
		{"a switch after Version Negotiation", Version2, Version1, true, info(Version1, only2), false},
		{"only reserved versions after Version Negotiation", Version1, Version1, true, info(Version1, []Version{0x0a0a0a0a}), true},
		{"unknown versions after Version Negotiation", Version1, Version1, true, info(Version1, append([]Version{7}, only1...)), true},
	} {
		c := newTestPair(t).conn[Client]
		c.hs.chosen, c.version, c.hs.afterVN = tt.chosen, tt.used, tt.afterVN
		err := c.checkVersion(tt.info)
		if (err == nil) != tt.ok || err != nil && err.Code != VersionNegotiationError {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

// RFC 9369, Section 5: the token that a connection gives is for the version that it ended up with.
func TestTokenOfVersion(t *testing.T) {
	cache := tokenCache{}
	for i, tt := range []struct {
		original Version
		retries  int
	}{{Version1, 1}, {Version1, 1}, {Version2, 0}} {
		p := newTestPair(t, func(p *testPair) {
			p.cfg[Client].Tokens = cache
			p.cfg[Client].Versions, p.cfg[Client].OriginalVersion = []Version{Version2, Version1}, tt.original
			p.cfg[Server].StatelessResetKey = &[32]byte{1}
			p.demux = DemuxConfig{Retry: RetryAlways, StatelessResetKey: &[32]byte{1}}
		})
		p.establish()
		p.idle(time.Second)
		if p.retries != tt.retries {
			t.Errorf("connection %d: %d retries", i, p.retries)
		}
		if len(cache) != 1 || len(cache["server.test 2"]) == 0 {
			t.Errorf("connection %d: tokens %v", i, cache)
		}
	}
}
