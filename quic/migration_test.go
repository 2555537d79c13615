package quic

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/dunlin-quic/dunlin/internal/rangeset"
	"github.com/dunlin-quic/dunlin/internal/wire"
)

var (
	movedAddr     = netip.MustParseAddrPort("192.0.2.77:1111")
	movedPort     = netip.AddrPortFrom(testClientAddr.Addr(), 3333)
	preferredAddr = netip.MustParseAddrPort("198.51.100.2:444")
)

// pathEvents returns what c tells of paths, as "kind local".
func pathEvents(c *Conn) (all []string) {
	for e := c.NextPathEvent(); e.Kind != PathNone; e = c.NextPathEvent() {
		all = append(all, fmt.Sprint(e.Kind, " ", e.Path.Local))
	}
	return all
}

// migrate moves the client and waits until both sides use the new path.
func (p *testPair) migrate(local netip.AddrPort) {
	p.t.Helper()
	if err := p.conn[Client].Migrate(p.now, local); err != nil {
		p.t.Fatal(err)
	}
	p.run("migration", func() bool {
		server := p.conn[Server].path
		return p.conn[Client].Path().Local == local && server.addr.Remote == local && server.validated
	})
}

// RFC 9000, Sections 9.2, 9.4 and 9.5: a client moves, with other connection IDs both ways; what is known of the
// network stays if the port alone is another. RFC 9000, Section 9.4 (MUST 2) and Section 9.5 (MUST 1, 2).
// RFC 9000, Section 19.7 (MUST 3).
func TestMigrate(t *testing.T) {
	for _, to := range []netip.AddrPort{movedAddr, movedPort} {
		for _, from := range []Side{Client, Server} {
			t.Run(fmt.Sprint(to, " while the ", from, " sends"), func(t *testing.T) {
				p := newTestPair(t)
				p.establish()
				p.transfer(from, 1_000_000)
				for _, c := range p.conn {
					pathEvents(c)
				}
				var dcid [2]ConnectionID
				var window [2]int
				for side, c := range p.conn {
					dcid[side], window[side] = c.path.dcid, c.Stats().Cwnd
				}
				p.migrate(to)
				for side, c := range p.conn {
					if c.path.dcid == dcid[side] {
						t.Errorf("%v: the same connection ID on another path", Side(side))
					}
					if kept := c.Stats().Cwnd >= window[side] && c.path.mtu.size > minDatagramSize; Side(side) == from && kept != (to == movedPort) {
						t.Errorf("%v: window %d before, %d after, datagrams of %d bytes", Side(side), window[side], c.Stats().Cwnd, c.path.mtu.size)
					}
				}
				local := p.conn[Client].Path().Local.String()
				if got, want := pathEvents(p.conn[Client]), []string{"validated " + local, "migrated " + local}; !slices.Equal(got, want) {
					t.Errorf("client heard %v, want %v", got, want)
				}
				p.transfer(from, 1_000_000)
				p.idle(20 * time.Second)
				for side, c := range p.conn {
					for _, o := range c.otherPaths() {
						if o != nil {
							t.Errorf("%v: the old path %v is still known", Side(side), o.addr)
						}
					}
					// RFC 9000, Section 5.1.2: the old IDs are retired and replaced.
					if got := c.peer.find(0); got != nil || len(c.peer.active) != maxIssuedCIDs {
						t.Errorf("%v: connection IDs of the peer %v", Side(side), c.peer.active)
					}
				}
			})
		}
	}
}

// A path is used again as it was known when it was left a moment ago.
func TestMigrateBack(t *testing.T) {
	p := newTestPair(t)
	p.establish()
	p.transfer(Client, 1_000_000)
	window, rtt := p.conn[Client].Stats().Cwnd, p.conn[Client].Stats().RTT
	p.migrate(movedAddr)
	if p.conn[Client].Stats().Cwnd >= window {
		t.Error("the window was kept")
	}
	p.migrate(testClientAddr)
	if s := p.conn[Client].Stats(); s.Cwnd < window || s.RTT != rtt {
		t.Errorf("window %d, RTT %v, before %d and %v", s.Cwnd, s.RTT, window, rtt)
	}
	p.transfer(Client, 1_000_000)
	p.transfer(Server, 1_000_000)
}

// RFC 9000, Section 9.1: probes move nothing, and are of full size.
func TestProbe(t *testing.T) {
	p := newTestPair(t)
	p.establish()
	p.idle(time.Second)
	if err := p.conn[Client].Probe(p.now, movedAddr); err != nil {
		t.Fatal(err)
	}
	p.idle(100 * time.Millisecond)
	if got, want := pathEvents(p.conn[Client]), []string{"validated " + movedAddr.String()}; !slices.Equal(got, want) {
		t.Errorf("client heard %v, want %v", got, want)
	}
	if got, want := pathEvents(p.conn[Server]), []string{"probed " + testServerAddr.String(), "validated " + testServerAddr.String()}; !slices.Equal(got, want) {
		t.Errorf("server heard %v, want %v", got, want)
	}
	for side, c := range p.conn {
		if c.Path() != testPaths[side] {
			t.Errorf("%v: moved to %v", Side(side), c.Path())
		}
		stats := c.PathStats()
		if len(stats) != 2 || !stats[0].InUse || stats[1].InUse || !stats[1].Validated || stats[1].Validating {
			t.Errorf("%v: %+v", Side(side), stats)
		}
		// Challenges and answers both ways.
		if s := stats[1]; s.BytesSent != 1200*s.DatagramsSent || s.DatagramsSent == 0 || s.DatagramsSent > 2 || s.BytesReceived == 0 {
			t.Errorf("%v: %+v", Side(side), s)
		}
	}
	// What is known to work is moved to at once.
	if err := p.conn[Client].Migrate(p.now, movedAddr); err != nil {
		t.Fatal(err)
	}
	if got := p.conn[Client].Path().Local; got != movedAddr {
		t.Errorf("at %v", got)
	}
	p.transfer(Server, 100_000)
}

// A path that is dead is given up, after few packets, and the connection stays where it was.
// RFC 9000, Section 9.4 (MUST 3).
func TestMigrateToDeadPath(t *testing.T) {
	for _, dead := range []Side{Client, Server} { // whose packets get lost there
		t.Run(dead.String(), func(t *testing.T) {
			p := newTestPair(t)
			p.establish()
			probes := 0
			p.lose = func(from Side, path Path) bool {
				if from == Client && path.Local == movedAddr {
					probes++
				}
				return from == dead && (path.Local == movedAddr || path.Remote == movedAddr)
			}
			if err := p.conn[Client].Migrate(p.now, movedAddr); err != nil {
				t.Fatal(err)
			}
			p.transfer(Server, 1_000_000)
			p.transfer(Client, 1_000_000)
			p.idle(10 * time.Second)
			if got, want := pathEvents(p.conn[Client]), []string{"failed " + movedAddr.String()}; !slices.Equal(got, want) {
				t.Errorf("client heard %v, want %v", got, want)
			}
			if probes < 3 || probes > 20 {
				t.Errorf("%d packets on the dead path", probes)
			}
			if p.conn[Client].Migrating() {
				t.Error("still about to move")
			}
			for side, c := range p.conn {
				if c.Path() != testPaths[side] || len(c.PathStats()) != 1 {
					t.Errorf("%v: %+v", Side(side), c.PathStats())
				}
			}
			p.lose = nil
			p.migrate(movedAddr)
		})
	}
}

// Wherever the client ends up, both sides go on after keys and paths change together.
func TestMigrateWithKeyUpdate(t *testing.T) {
	for _, loss := range []int{0, 7} {
		p := newTestPair(t, func(p *testPair) {
			n := 0
			p.filter = func(Side, []byte) bool { n++; return loss == 0 || n < 30 || n%loss != 0 }
		})
		p.establish()
		p.idle(5 * time.Second)
		for i := range 4 {
			for side, c := range p.conn {
				if !c.InitiateKeyUpdate() {
					t.Fatalf("%v does not update its keys", Side(side))
				}
			}
			p.migrate(netip.AddrPortFrom(movedAddr.Addr(), uint16(1000+i)))
			p.transfer(Client, 100_000)
			p.transfer(Server, 100_000)
			p.idle(5 * time.Second)
		}
		for side, c := range p.conn {
			if got := c.Stats().KeyUpdates; got < 4 {
				t.Errorf("%v: %d key updates", Side(side), got)
			}
		}
	}
}

// The latest wish counts, and that to stay as well.
func TestMigrateElsewhere(t *testing.T) {
	p := newTestPair(t)
	p.establish()
	c := p.conn[Client]
	for i, to := range []netip.AddrPort{movedAddr, movedPort, testClientAddr} {
		if err := c.Migrate(p.now, to); err != nil || c.Migrating() != (i < 2) {
			t.Fatal(err, c.Migrating())
		}
	}
	p.idle(20 * time.Second)
	if got := pathEvents(c); len(got) > 0 || c.Path() != testPaths[Client] {
		t.Errorf("heard %v, at %v", got, c.Path())
	}
	// More paths than are kept track of.
	var err error
	for i := range uint16(10) {
		if err = c.Probe(p.now, netip.AddrPortFrom(movedAddr.Addr(), 1+i)); err != nil {
			break
		}
	}
	if err != ErrTooManyPaths || len(c.PathStats()) != 1+maxOtherPaths {
		t.Errorf("%v, %d paths", err, len(c.PathStats()))
	}
	p.idle(20 * time.Second)
	p.migrate(movedAddr)
}

// RFC 9000, Sections 9, 9.5 and 18.2: who may not move, and when.
// RFC 9000, Section 9 (MUST 1, 2) and Section 18.2 (MUST 2).
func TestMigrationRefused(t *testing.T) {
	empty := newRandomCIDs(0, nil)
	for _, tt := range []struct {
		name string
		mod  func(*testPair)
		do   func(*testPair) error
		want error
	}{
		{"server", nil, func(p *testPair) error { return p.conn[Server].Migrate(p.now, preferredAddr) }, ErrNoMigration},
		{"server that asks for none", func(p *testPair) { p.cfg[Server].DisableActiveMigration = true }, nil, ErrNoMigration},
		{"client that asks for none", func(p *testPair) { p.cfg[Client].DisableActiveMigration = true }, nil, nil},
		{"empty IDs of the server", func(p *testPair) { p.cfg[Server].ConnectionIDs = empty }, nil, ErrNoMigration},
		{"empty IDs of the client", func(p *testPair) { p.cfg[Client].ConnectionIDs = empty }, nil, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newTestPair(t)
			if tt.mod != nil {
				p = newTestPair(t, tt.mod)
			}
			if err := p.conn[Client].Probe(p.now, movedAddr); err != ErrNotConfirmed {
				t.Errorf("during the handshake: %v", err)
			}
			p.establish()
			p.idle(time.Second)
			do := tt.do
			if do == nil {
				do = func(p *testPair) error { return p.conn[Client].Migrate(p.now, movedAddr) }
			}
			if err := do(p); err != tt.want {
				t.Fatalf("%v, want %v", err, tt.want)
			}
			p.idle(time.Second)
			if got := p.conn[Server].Path().Remote == movedAddr; got != (tt.want == nil) {
				t.Errorf("moved: %v", got)
			}
			p.transfer(Server, 100_000)
		})
	}
	p := newTestPair(t)
	p.establish()
	c := p.conn[Client]
	for _, bad := range []netip.AddrPort{{}, netip.MustParseAddrPort("[2001:db8::1]:1")} {
		if err := c.Migrate(p.now, bad); err == nil {
			t.Errorf("to %v", bad)
		}
	}
	c.Close(p.now, nil)
	if err := c.Migrate(p.now, movedAddr); err == nil || !errors.Is(err, c.Err()) {
		t.Errorf("after the end: %v", err)
	}
	if c.PathStats() != nil || c.NextPathEvent() != (PathEvent{}) {
		t.Error("paths after the end")
	}
}

// RFC 9000, Section 5.1.2: a path without a connection ID of its own waits for one.
// RFC 9000, Section 9.5 (MUST 1).
func TestMigrateWithoutSpareCID(t *testing.T) {
	s := newScript(t, Client)
	s.c.peer.active = s.c.peer.active[:1]
	if err := s.c.Migrate(s.now, movedAddr); err != nil {
		t.Fatal(err)
	}
	if got := s.sent(); len(got) > 0 {
		t.Errorf("sent %v", got)
	}
	at, ok := s.c.NextTimeout()
	for ; ok && s.c.Migrating(); at, ok = s.c.NextTimeout() {
		s.now = at
		s.c.HandleTimeout(s.now)
		if got := find(s.sent(), wire.FramePathChallenge); len(got) > 0 {
			t.Errorf("sent %v", got)
		}
	}
	if got, want := pathEvents(s.c), []string{"failed " + movedAddr.String()}; !slices.Equal(got, want) {
		t.Errorf("heard %v, want %v", got, want)
	}
	s.wantOpen()

	if err := s.c.Migrate(s.now, movedAddr); err != nil {
		t.Fatal(err)
	}
	s.send(newCIDFrame(maxIssuedCIDs, 0))
	f := s.wantOne(s.sent(), wire.FramePathChallenge)
	if f.path.Local != movedAddr || f.size != 1200 || s.c.findPath(f.path).dcidSeq != maxIssuedCIDs {
		t.Errorf("challenge on %v in %d bytes", f.path, f.size)
	}
	data, _ := wire.ParsePathChallenge(f.b)
	s.receiveFrom(f.path, s.seal(wire.OneRTT, wire.AppendPathResponse(nil, data)))
	if s.c.Path() != f.path {
		t.Error("did not move")
	}
	// RFC 9000, Section 9.2: more than a probe.
	if got := find(s.sent(), wire.FramePing); len(got) != 1 || got[0].path != f.path {
		t.Errorf("PING %v", got)
	}
}

// The peer retires the connection IDs of both paths while one is validated, and the ID for it comes last.
func TestMigrateWithLateCID(t *testing.T) {
	s := newScript(t, Client)
	if err := s.c.Migrate(s.now, movedAddr); err != nil {
		t.Fatal(err)
	}
	f := s.wantOne(s.sent(), wire.FramePathChallenge)
	data, _ := wire.ParsePathChallenge(f.b)
	s.send(newCIDFrame(maxIssuedCIDs, maxIssuedCIDs))
	s.receiveFrom(f.path, s.seal(wire.OneRTT, wire.AppendPathResponse(nil, data)))
	if s.c.Path() == f.path || !s.c.Migrating() {
		t.Fatal("moved without a connection ID")
	}
	s.send(newCIDFrame(maxIssuedCIDs+1, maxIssuedCIDs))
	if s.c.Path() != f.path || s.c.path.dcidSeq != maxIssuedCIDs+1 {
		t.Errorf("at %v with connection ID %d", s.c.Path(), s.c.path.dcidSeq)
	}
	s.wantOpen()
}

// What anybody sends from however many addresses, the events that nobody asks for are few.
func TestPathEventsAreBounded(t *testing.T) {
	s := newScript(t, Server)
	for i := range 1000 {
		from := netip.AddrPortFrom(reboundAddr.Addr(), uint16(i+1))
		s.receiveFrom(serverPath(from), s.seal(wire.OneRTT, wire.AppendPathChallenge(nil, [8]byte{byte(i)})))
	}
	s.wantOpen()
	if got := pathEvents(s.c); len(got) != maxPathEvents {
		t.Errorf("%d events", len(got))
	}
}

// RFC 9000, Section 8.2.1: the first packet on a new path validates it, before anything else is said there.
func TestChallengeComesFirst(t *testing.T) {
	for name, frames := range map[string][][]byte{
		"rebinding": {wire.AppendPing(nil)},
		"probe":     {wire.AppendPathChallenge(nil, [8]byte{1})},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScript(t, Server)
			st, _ := s.c.OpenStream(Uni)
			st.TryWrite(make([]byte, 100_000), false)
			s.peer.path.dcid, s.peer.path.dcidSeq = s.c.local.active[1].id, s.c.local.active[1].seq
			s.receiveFrom(serverPath(reboundAddr), s.seal(wire.OneRTT, frames...))
			for _, f := range s.sent() {
				if f.path.Remote == reboundAddr {
					if f.typ != wire.FramePathChallenge {
						t.Errorf("first frame %v", f.typ)
					}
					return
				}
			}
			t.Error("nothing sent there")
		})
	}
}

// RFC 9000, Section 9.3.2: after a spoofed migration, the old path is what it was.
func TestSpuriousMigrationKeepsWindow(t *testing.T) {
	s := newScript(t, Server, func(p *testPair) {})
	s.c.rec.SetMaxDatagram(1252)
	s.c.path.mtu.size = 1252
	before := s.c.Stats()
	s.receiveFrom(serverPath(reboundAddr), s.seal(wire.OneRTT, wire.AppendPing(nil), wire.AppendPadding(nil, 1000)))
	if got := s.c.Stats(); got.PacketSize != minDatagramSize || got.RTT == before.RTT {
		t.Errorf("on the new path: RTT %v, datagrams of %d bytes", got.RTT, got.PacketSize)
	}
	stats := s.c.PathStats()
	if len(stats) != 2 || stats[0].Path != serverPath(reboundAddr) || stats[0].Validated || !stats[0].Validating || stats[1].RTT != before.RTT || stats[1].Cwnd != before.Cwnd {
		t.Errorf("paths %+v", stats)
	}
	for s.c.Path() != serverPath(testClientAddr) {
		at, ok := s.c.NextTimeout()
		if !ok {
			t.Fatal("nothing is going to happen")
		}
		s.now = at
		s.c.HandleTimeout(s.now)
		s.sent()
	}
	if got := s.c.Stats(); got.PacketSize != 1252 || got.RTT != before.RTT || got.Cwnd != before.Cwnd {
		t.Errorf("back on the old path: %+v, before %+v", got, before)
	}
}

func TestPathStats(t *testing.T) {
	p := newTestPair(t)
	p.establish()
	p.transfer(Client, 500_000)
	n := 0
	p.filter = func(from Side, _ []byte) bool { n++; return from == Server || n%50 != 0 }
	p.transfer(Client, 500_000)
	p.filter = nil
	p.migrate(movedAddr)
	p.transfer(Client, 300_000)
	c := p.conn[Client]
	total, paths := c.Stats(), c.PathStats()
	if len(paths) != 2 || paths[0].Path.Local != movedAddr || paths[1].Path != testPaths[Client] {
		t.Fatalf("%+v", paths)
	}
	now, old := paths[0], paths[1]
	if now.BytesSent+old.BytesSent != total.BytesSent || now.DatagramsReceived+old.DatagramsReceived != total.DatagramsReceived ||
		now.BytesReceived+old.BytesReceived != total.BytesReceived || now.DatagramsSent+old.DatagramsSent != total.DatagramsSent {
		t.Errorf("%+v and %+v do not add up to %+v", now, old, total)
	}
	if old.BytesSent < 1_000_000 || now.BytesSent < 300_000 {
		t.Errorf("%d and %d bytes sent", old.BytesSent, now.BytesSent)
	}
	if old.PacketsLost == 0 || now.PacketsLost != 0 || old.PacketsLost > total.PacketsLost || old.BytesLost == 0 {
		t.Errorf("%d and %d packets lost of %d", old.PacketsLost, now.PacketsLost, total.PacketsLost)
	}
	if now.Cwnd != total.Cwnd || now.RTT != total.RTT || old.Cwnd == 0 || old.RTT == 0 || !now.ECN {
		t.Errorf("%+v, %+v", now, old)
	}
}

// A client that moves faster than paths are forgotten gets connection IDs for all of them.
func TestMigrateOften(t *testing.T) {
	p := newTestPair(t)
	p.establish()
	p.idle(time.Second)
	// Nothing is heard any more of where the client was.
	p.lose = func(_ Side, path Path) bool {
		client := p.conn[Client]
		return path.Local != client.Path().Local && path.Remote != client.Path().Local && !client.Migrating()
	}
	for i := range uint16(20) {
		start := p.now
		p.migrate(netip.AddrPortFrom(movedAddr.Addr(), 1+i))
		if took := p.now.Sub(start); took > 300*time.Millisecond {
			t.Errorf("migration %d took %v", i, took)
		}
	}
	p.transfer(Client, 100_000)
	p.transfer(Server, 100_000)
}

// A server that is cut off from its client for a while can answer wherever the client comes back: there is always a
// connection ID for it.
func TestClientLostForAWhile(t *testing.T) {
	p := newTestPair(t)
	p.establish()
	p.idle(time.Second)
	p.migrate(movedAddr)
	// The server goes on sending where the client was, since it does not hear more than a probe from where it is now.
	lost := false
	p.lose = func(from Side, path Path) bool {
		local := path.Local
		if from == Server {
			local = path.Remote
		}
		return lost || local != movedPort
	}
	if err := p.conn[Client].Migrate(p.now, movedPort); err != nil {
		t.Fatal(err)
	}
	p.run("move", func() bool { return p.conn[Client].Path().Local == movedPort })
	lost = true
	p.conn[Server].Ping()
	p.idle(8 * time.Second)
	if got := p.conn[Server].Path().Remote; got != movedAddr {
		t.Fatalf("the server sends to %v", got)
	}
	lost = false
	p.transfer(Client, 100_000)
	p.transfer(Server, 100_000)
	if got := p.conn[Server].Path().Remote; got != movedPort {
		t.Errorf("the server sends to %v", got)
	}
}

// RFC 9000, Section 8.2.2 (MUST 2): congestion control delays an answer on the path in use, but not for good. The
// acknowledgments that would make room may be waiting for it.
func TestAnswerWithFullWindow(t *testing.T) {
	s := newScript(t, Client)
	st, err := s.c.OpenStream(Uni)
	if err != nil {
		t.Fatal(err)
	}
	st.TryWrite(make([]byte, 1<<20), false)
	s.sent()
	answers := 0
	for i := range byte(100) {
		s.send(wire.AppendPathChallenge(nil, [8]byte{i}))
		if n := len(find(s.sent(), wire.FramePathResponse)); n > 0 && i == 0 {
			t.Fatal("an answer beyond the congestion window")
		} else if n > 0 {
			answers++
		}
		at, ok := s.c.NextTimeout()
		if !ok {
			t.Fatal("no timeout")
		}
		if step := s.now.Add(100 * time.Millisecond); at.After(step) {
			at = step
		}
		s.now = at
		s.c.HandleTimeout(s.now)
		if len(find(s.sent(), wire.FramePathResponse)) > 0 {
			answers++
		}
	}
	// One per probe timeout, about 50 ms, at most.
	if answers < 20 || answers > 120 {
		t.Errorf("%d answers to 100 challenges", answers)
	}
}

// TestPathReaches: the ends of a path are of one family, but for a socket that has both.
func TestPathReaches(t *testing.T) {
	for _, tt := range []struct {
		local, remote string
		want          bool
	}{
		{"192.0.2.1:1", "192.0.2.2:2", true},
		{"[2001:db8::1]:1", "[2001:db8::2]:2", true},
		{"192.0.2.1:1", "[2001:db8::2]:2", false},
		{"[2001:db8::1]:1", "192.0.2.2:2", false},
		{"0.0.0.0:1", "192.0.2.2:2", true},
		{"0.0.0.0:1", "[2001:db8::2]:2", false},
		{"[::]:1", "[2001:db8::2]:2", true},
		{"[::]:1", "192.0.2.2:2", true},
	} {
		if got := (Path{netip.MustParseAddrPort(tt.local), netip.MustParseAddrPort(tt.remote)}).reaches(); got != tt.want {
			t.Errorf("from %s to %s: %v", tt.local, tt.remote, got)
		}
	}
	if (Path{Remote: testServerAddr}).reaches() {
		t.Error("from nowhere")
	}
}

// A path that the client wanted is given up, and it hears of that, if no connection ID for it comes in time.
func TestMigrateNeverGetsCID(t *testing.T) {
	s := newScript(t, Client)
	if err := s.c.Migrate(s.now, movedAddr); err != nil {
		t.Fatal(err)
	}
	f := s.wantOne(s.sent(), wire.FramePathChallenge)
	data, _ := wire.ParsePathChallenge(f.b)
	s.send(newCIDFrame(maxIssuedCIDs, maxIssuedCIDs))
	retired := find(s.sent(), wire.FrameRetireConnectionID)
	s.receiveFrom(f.path, s.seal(wire.OneRTT, wire.AppendPathResponse(nil, data)))
	s.sent()
	// The peer has heard which IDs are given up, and has no other.
	s.send(wire.AppendAck(nil, []rangeset.Range{{Start: 0, End: s.next}}, 0, nil, 1000))
	if len(retired) == 0 || !s.c.Migrating() || len(s.c.peer.retiring) > 0 {
		t.Fatalf("%d IDs retired, migrating: %v", len(retired), s.c.Migrating())
	}
	for s.c.Migrating() {
		at, ok := s.c.NextTimeout()
		if !ok {
			t.Fatal("nothing is going to happen")
		}
		s.now = at
		s.c.HandleTimeout(s.now)
		s.sent()
	}
	want := []string{"validated " + movedAddr.String(), "failed " + movedAddr.String()}
	if got := pathEvents(s.c); !slices.Equal(got, want) {
		t.Errorf("heard %v, want %v", got, want)
	}
	if s.c.Path() != testPaths[Client] {
		t.Errorf("at %v", s.c.Path())
	}
}

// RFC 9000, Section 8.2.2 (MUST 3): a challenge that comes late to an address that the client has left and forgotten is not
// answered from another. Before it ever moved, its address may be known to it by another name.
func TestLateChallenge(t *testing.T) {
	s := newScript(t, Client)
	at := Path{Local: movedPort, Remote: testServerAddr}
	s.receiveFrom(at, s.seal(wire.OneRTT, wire.AppendPathChallenge(nil, [8]byte{1})))
	s.wantOne(s.sent(), wire.FramePathResponse)
	if err := s.c.Migrate(s.now, movedAddr); err != nil {
		t.Fatal(err)
	}
	f := s.wantOne(s.sent(), wire.FramePathChallenge)
	data, _ := wire.ParsePathChallenge(f.b)
	s.receiveFrom(f.path, s.seal(wire.OneRTT, wire.AppendPathResponse(nil, data)))
	s.sent()
	for _, local := range []netip.AddrPort{movedPort, netip.AddrPortFrom(reboundAddr.Addr(), movedAddr.Port())} {
		arrived := s.c.Stats().PathChallengesReceived
		s.receiveFrom(Path{Local: local, Remote: testServerAddr}, s.seal(wire.OneRTT, wire.AppendPathChallenge(nil, [8]byte{2})))
		if got := find(s.sent(), wire.FramePathResponse); len(got) > 0 || s.c.Stats().PathChallengesReceived != arrived+1 {
			t.Errorf("answered on %v", got)
		}
	}
	s.receiveFrom(f.path, s.seal(wire.OneRTT, wire.AppendPathChallenge(nil, [8]byte{3})))
	s.wantOne(s.sent(), wire.FramePathResponse)
}
