package quic

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/dunlin-quic/dunlin/internal/wire"
)

func withPreferred(p *testPair) {
	p.cfg[Server].PreferredAddress = PreferredAddress{IPv4: preferredAddr}
}

// RFC 9000, Section 9.6: a client moves to the address that the server prefers, without being asked to.
// RFC 9000, Section 9 (MUST 2), Section 9.5 (MUST 2), Section 9.6.2 (MUST 3) and Section 18.2 (MUST 2).
func TestPreferredAddress(t *testing.T) {
	for _, tt := range []struct {
		name string
		mod  func(*testPair)
		want bool
	}{
		{"default", nil, true},
		{"ignored", func(p *testPair) { p.cfg[Client].IgnorePreferredAddress = true }, false},
		{"no active migration", func(p *testPair) { p.cfg[Server].DisableActiveMigration = true }, true},
		{"the other family", func(p *testPair) {
			p.cfg[Server].PreferredAddress = PreferredAddress{IPv6: netip.MustParseAddrPort("[2001:db8::1]:443")}
		}, false},
		{"both families", func(p *testPair) {
			p.cfg[Server].PreferredAddress.IPv6 = netip.MustParseAddrPort("[2001:db8::1]:443")
		}, true},
		{"where the client is", func(p *testPair) { p.cfg[Server].PreferredAddress.IPv4 = testServerAddr }, false},
		{"within the client's network", func(p *testPair) {
			p.cfg[Server].PreferredAddress.IPv4 = netip.MustParseAddrPort("192.168.1.1:443")
		}, false},
		{"at the client", func(p *testPair) { p.cfg[Server].PreferredAddress.IPv4 = netip.MustParseAddrPort("127.0.0.1:53") }, false},
		{"multicast", func(p *testPair) { p.cfg[Server].PreferredAddress.IPv4 = netip.MustParseAddrPort("224.0.0.1:443") }, false},
		{"empty IDs of the client", func(p *testPair) { p.cfg[Client].ConnectionIDs = newRandomCIDs(0, nil) }, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newTestPair(t, func(p *testPair) {
				withPreferred(p)
				if tt.mod != nil {
					tt.mod(p)
				}
			})
			p.establish()
			first := p.conn[Client].path.dcid
			p.transfer(Server, 1_000_000)
			p.transfer(Client, 1_000_000)
			c := p.conn[Client]
			if got := c.Path().Remote == preferredAddr; got != tt.want {
				t.Errorf("client sends to %v", c.Path().Remote)
			}
			if got := p.conn[Server].Path().Local == preferredAddr; got != tt.want {
				t.Errorf("server sends from %v", p.conn[Server].Path().Local)
			}
			if tt.want && c.path.dcid == first {
				t.Error("the same connection ID on another path")
			}
			p.idle(20 * time.Second)
			if n := len(c.PathStats()); n != 1 || len(p.conn[Server].PathStats()) != 1 {
				t.Errorf("%d paths known", n)
			}
			// RFC 9000, Section 18.2: disable_active_migration is about the first address alone.
			err := c.Migrate(p.now, movedAddr)
			if forbidden := p.cfg[Server].DisableActiveMigration && !tt.want; (err == ErrNoMigration) != forbidden {
				t.Errorf("migration: %v", err)
			}
			p.transfer(Server, 100_000)
		})
	}
}

// RFC 9000, Section 9.6.2 (MUST 1): if nothing comes back from there, the connection stays at the first address.
// RFC 9000, Section 9.6.1 (MUST 1) and Section 21.5.3 (MUST 1).
func TestPreferredAddressUnreachable(t *testing.T) {
	p := newTestPair(t, withPreferred)
	n := 0
	p.lose = func(from Side, path Path) bool {
		lost := path.Remote == preferredAddr || path.Local == preferredAddr
		if lost {
			n++
		}
		return lost
	}
	p.establish()
	p.transfer(Server, 1_000_000)
	p.idle(20 * time.Second)
	c := p.conn[Client]
	if got := pathEvents(c); !slices.Equal(got, []string{"failed " + testClientAddr.String()}) || n == 0 || n > 20 {
		t.Errorf("heard %v, %d packets lost", got, n)
	}
	p.lose = nil
	p.migrate(movedAddr)
	if got := c.Path().Remote; got != testServerAddr {
		t.Errorf("client sends to %v", got)
	}
}

// RFC 9000, Section 9.6.3 (MUST 1, 2): a client that moves meanwhile tries both addresses from its new one, and the
// preferred one goes first.
func TestPreferredAddressWhileMigrating(t *testing.T) {
	for _, reachable := range []bool{true, false} {
		p := newTestPair(t, withPreferred)
		p.lose = func(_ Side, path Path) bool {
			preferred := path.Remote == preferredAddr || path.Local == preferredAddr
			moved := path.Remote == movedAddr || path.Local == movedAddr
			return preferred && (!moved || !reachable)
		}
		p.establish()
		p.idle(100 * time.Millisecond) // spare connection IDs arrive
		c := p.conn[Client]
		if err := c.Migrate(p.now, movedAddr); err != nil {
			t.Fatal(err)
		}
		p.run("migration", func() bool { return c.Path().Local == movedAddr })
		want := testServerAddr
		if reachable {
			want = preferredAddr
		}
		if got := c.Path().Remote; got != want {
			t.Errorf("client sends to %v, want %v", got, want)
		}
		p.transfer(Server, 1_000_000)
		p.transfer(Client, 1_000_000)
		if got := p.conn[Server].Path(); got != (Path{Local: want, Remote: movedAddr}) {
			t.Errorf("server sends on %v", got)
		}
	}
}

// RFC 9000, Section 9.6.2 (MUST 2): the server sends nothing but probes from its preferred address before it has heard
// more than a probe there and the client has answered; afterwards nothing moves it back.
func TestServerMovesToPreferredAddress(t *testing.T) {
	s := newScript(t, Server, func(p *testPair) {
		withPreferred(p)
		p.cfg[Client].IgnorePreferredAddress = true
	})
	there := Path{Local: preferredAddr, Remote: testClientAddr}
	st, err := s.c.OpenStream(Uni)
	if err != nil {
		t.Fatal(err)
	}
	s.peer.path.dcid, s.peer.path.dcidSeq = s.c.local.active[1].id, s.c.local.active[1].seq
	var challenge [8]byte
	probesOnly := func() {
		t.Helper()
		st.TryWrite(make([]byte, 3000), false)
		data := 0
		for _, f := range s.sent() {
			switch {
			case f.typ == wire.FramePathChallenge && f.path == there:
				challenge, _ = wire.ParsePathChallenge(f.b)
			case f.path == there && !f.typ.Probing():
				t.Errorf("%v from the preferred address", f.typ)
			case f.typ.IsStream():
				data++
			}
		}
		if data == 0 {
			t.Error("nothing goes out any more")
		}
		s.send(wire.AppendVarint(wire.AppendVarint(wire.AppendVarint(wire.AppendVarint([]byte{2}, s.next-1), 0), 0), s.next-1))
	}
	s.receiveFrom(there, s.seal(wire.OneRTT, wire.AppendPathChallenge(nil, [8]byte{1}), wire.AppendPadding(nil, 1150)))
	probesOnly()
	s.receiveFrom(there, s.seal(wire.OneRTT, wire.AppendPing(nil), wire.AppendPadding(nil, 1150)))
	probesOnly()
	// The packet before was the newest: the client has changed its mind, so that its answer moves nothing.
	s.receiveFrom(there, s.seal(wire.OneRTT, wire.AppendPathResponse(nil, challenge)))
	if s.c.Path() != testPaths[Server] {
		t.Fatal("moved back by a stale packet")
	}
	s.receiveFrom(there, s.seal(wire.OneRTT, wire.AppendPing(nil)))
	if s.c.Path() != there {
		t.Fatal("did not move")
	}
	for range 3 {
		s.send(wire.AppendPing(nil))
	}
	if s.c.Path() != there {
		t.Error("moved back to the old address")
	}
	s.wantOpen()
}

// A packet whose answer to a challenge moves the server, and so makes it forget the path that the packet came by.
func TestMovedByItsOwnPacket(t *testing.T) {
	s := newScript(t, Server, func(p *testPair) {
		withPreferred(p)
		p.cfg[Client].IgnorePreferredAddress = true
	})
	ids := s.c.local.active[:3]
	from := func(port uint16, id int, frame []byte) (challenge [8]byte) {
		s.now = s.now.Add(time.Millisecond)
		s.peer.path.dcid, s.peer.path.dcidSeq = ids[id].id, ids[id].seq
		path := Path{Local: preferredAddr, Remote: netip.AddrPortFrom(testClientAddr.Addr(), port)}
		s.receiveFrom(path, s.seal(wire.OneRTT, frame, wire.AppendPadding(nil, 1150)))
		for _, f := range find(s.sent(), wire.FramePathChallenge) {
			if f.path == path {
				challenge, _ = wire.ParsePathChallenge(f.b)
			}
		}
		return challenge
	}
	probe := wire.AppendPathChallenge(nil, [8]byte{1})
	from(1, 1, probe)
	from(2, 2, probe)
	challenge := from(3, 1, wire.AppendPing(nil))
	if s.c.peer.unused() != nil {
		t.Fatal("there is a connection ID left: no path has to go")
	}
	from(1, 1, wire.AppendPathResponse(wire.AppendPing(nil), challenge))
	s.wantOpen()
	if got := s.c.Path().Remote.Port(); got != 1 {
		t.Errorf("the server sends to port %d, not to where the newest packet came from", got)
	}
}

// RFC 9000, Section 18.2 (MUST 3, 4).
func TestPreferredAddressConfig(t *testing.T) {
	v4, v6 := netip.MustParseAddrPort("192.0.2.1:1"), netip.MustParseAddrPort("[2001:db8::1]:1")
	for _, tt := range []struct {
		a     PreferredAddress
		empty bool
		ok    bool
	}{
		{a: PreferredAddress{IPv4: v4}, ok: true},
		{a: PreferredAddress{IPv6: v6}, ok: true},
		{a: PreferredAddress{v4, v6}, ok: true},
		{a: PreferredAddress{v6, v4}},
		{a: PreferredAddress{IPv6: netip.MustParseAddrPort("[::ffff:192.0.2.1]:1")}},
		{a: PreferredAddress{IPv4: netip.MustParseAddrPort("0.0.0.0:1")}},
		{a: PreferredAddress{IPv4: netip.MustParseAddrPort("192.0.2.1:0")}},
		{a: PreferredAddress{IPv4: v4}, empty: true},
	} {
		cfg := testConfig(Server)
		cfg.PreferredAddress = tt.a
		if tt.empty {
			cfg.ConnectionIDs = newRandomCIDs(0, nil)
		}
		if _, err := cfg.Resolve(); (err == nil) != tt.ok {
			t.Errorf("%+v: %v", tt, err)
		}
	}
}

// RFC 9000, Section 21.5.3: no server makes a client send to what is no server, or what only the client may reach.
func TestPreferredAddressesNotTried(t *testing.T) {
	for _, tt := range []struct {
		current, preferred string
		want               bool
	}{
		{"198.51.100.1:443", "198.51.100.2:444", true},
		{"198.51.100.1:443", "198.51.100.2:0", false},
		{"198.51.100.1:443", "0.0.0.1:443", false},
		{"198.51.100.1:443", "255.255.255.255:443", false},
		{"198.51.100.1:443", "240.0.0.1:443", false},
		{"198.51.100.1:443", "100.64.0.1:443", false},
		{"198.51.100.1:443", "169.254.0.1:443", false},
		{"100.64.0.2:443", "100.64.0.1:443", true},
		{"127.0.0.1:443", "127.0.0.1:444", true},
		{"0.0.0.0:443", "127.0.0.1:444", true},
		{"[2001:db8::1]:443", "[2001:db8::2]:444", true},
		{"[2001:db8::1]:443", "[2001:db8::2]:0", false},
		{"[2001:db8::1]:443", "[::]:444", false},
		{"[2001:db8::1]:443", "[::1]:444", false},
		{"[2001:db8::1]:443", "[fd00::1]:444", false},
		{"[2001:db8::1]:443", "[ff02::1]:444", false},
		{"[2001:db8::1]:443", "[::ffff:0.0.0.0]:444", false},
		{"[2001:db8::1]:443", "[::ffff:203.0.113.1]:444", false},
		{"[2001:db8::1]:443", "[64:ff9b::a00:1]:444", false},
		{"[64:ff9b::cb00:7101]:443", "[::1]:444", false},
		{"[64:ff9b::cb00:7101]:443", "[2001:db8::2]:444", true},
	} {
		p := newTestPair(t)
		c, to := p.conn[Client], netip.MustParseAddrPort(tt.preferred)
		c.path.addr.Remote = netip.MustParseAddrPort(tt.current)
		c.usePreferredAddress(&wire.TransportParameters{Preferred: &wire.PreferredAddress{IPv4: to, IPv6: to}})
		if got := c.roam != nil && c.roam.preferred.IsValid(); got != tt.want {
			t.Errorf("from %v to %v: %v, want %v", tt.current, tt.preferred, got, tt.want)
		}
	}
}
