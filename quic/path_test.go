package quic

import (
	"net/netip"
	"testing"
	"time"

	"github.com/dunlin-quic/dunlin/internal/wire"
)

var (
	reboundPort = netip.AddrPortFrom(testClientAddr.Addr(), 2222)
	reboundAddr = netip.MustParseAddrPort("203.0.113.9:1111")
)

func serverPath(remote netip.AddrPort) Path { return Path{Local: testServerAddr, Remote: remote} }

// rebind makes the client's datagrams come from another address, and those to its old address vanish.
func (p *testPair) rebind(to netip.AddrPort) {
	p.link = [2][]testDatagram{}
	p.rewrite = func(side Side, path Path) Path {
		if side == Server {
			path.Remote = to
		} else {
			if path.Local != to {
				path.Local = netip.AddrPort{} // nobody there
			} else {
				path.Local = testClientAddr
			}
		}
		return path
	}
}

// RFC 9000, Section 9.3 (MUST 1): the server follows a client whose address changed, and makes sure that it is there.
// RFC 9000, Section 9 (MUST 3).
func TestRebinding(t *testing.T) {
	for i, to := range []netip.AddrPort{reboundPort, reboundAddr, reboundAddr} {
		t.Run(to.String(), func(t *testing.T) {
			// What a client must not do it may not know that it does.
			p := newTestPair(t, func(p *testPair) { p.cfg[Server].DisableActiveMigration = i == 2 })
			p.establish()
			p.transfer(Client, 100_000)
			p.idle(time.Second)
			p.events = [2][]Event{}
			p.rebind(to)
			p.transfer(Client, 1_000_000)
			c := p.conn[Server]
			if got := c.Path(); got != serverPath(to) {
				t.Errorf("server sends to %v", got)
			}
			if !c.path.validated {
				t.Error("the new path is not validated")
			}
			p.transfer(Server, 1_000_000)
			p.idle(20 * time.Second)
			for _, o := range c.otherPaths() {
				if o != nil {
					t.Errorf("the old path %v is still known", o.addr)
				}
			}
		})
	}
}

func TestPathChangedEvent(t *testing.T) {
	s := newScript(t, Server)
	s.receiveFrom(serverPath(reboundPort), s.seal(wire.OneRTT, wire.AppendPing(nil)))
	if e := s.c.NextEvent(); e.Kind != EventPathChanged || s.c.Path() != serverPath(reboundPort) {
		t.Errorf("event %v, path %v", e.Kind, s.c.Path())
	}
}

// RFC 9000, Sections 8.2.1 and 9.3.3: both the new path and the old one are challenged, in full datagrams.
// RFC 9000, Section 8.2.1 (MUST 1, 2), Section 8.2.2 (MUST 4), Section 9 (MUST 4), Section 9.3 (MUST 1) and Section
// 9.3.3 (MUST 1).
func TestRebindingChallenges(t *testing.T) {
	s := newScript(t, Server)
	s.receiveFrom(serverPath(reboundAddr), s.seal(wire.OneRTT, wire.AppendPing(nil), wire.AppendPadding(nil, 1300)))
	challenges := find(s.sent(), wire.FramePathChallenge)
	seen := map[netip.AddrPort]bool{}
	for _, f := range challenges {
		seen[f.path.Remote] = true
		if f.size < 1200 {
			t.Errorf("PATH_CHALLENGE to %v in a datagram of %d bytes", f.path.Remote, f.size)
		}
	}
	if len(challenges) != 2 || !seen[reboundAddr] || !seen[testClientAddr] || string(challenges[0].b) == string(challenges[1].b) {
		t.Errorf("challenges %v", challenges)
	}
	if s.c.path.validated {
		t.Error("validated without an answer")
	}
	// An answer that is none.
	s.receiveFrom(serverPath(reboundAddr), s.seal(wire.OneRTT, wire.AppendPathResponse(nil, [8]byte{1, 2, 3})))
	if s.c.path.validated {
		t.Error("validated by a wrong answer")
	}
	// RFC 9000, Section 8.2.2: the answer may come by any path.
	for _, f := range challenges {
		if f.path.Remote == reboundAddr {
			data, _ := wire.ParsePathChallenge(f.b)
			s.receiveFrom(serverPath(testClientAddr), s.seal(wire.OneRTT, wire.AppendPathResponse(nil, data)))
		}
	}
	if !s.c.path.validated {
		t.Error("not validated by the right answer")
	}
	if f := find(s.sent(), wire.FrameNewToken); len(f) != 1 {
		t.Error("no token for the new address")
	}
}

// RFC 9000, Section 9.3.1: an address that is not validated gets three times what came from it. The challenge is then
// repeated in full (Section 8.2.1).
// RFC 9000, Section 8.2.1 (MUST 3), Section 8.2.2 (MUST 6), Section 8.2.3 (MUST 1) and Section 9.3 (MUST 2).
func TestRebindingAmplification(t *testing.T) {
	s := newScript(t, Server)
	st, err := s.c.OpenStream(Uni)
	if err != nil {
		t.Fatal(err)
	}
	small := s.seal(wire.OneRTT, wire.AppendPing(nil), wire.AppendPadding(nil, 60))
	s.receiveFrom(serverPath(reboundAddr), small)
	st.TryWrite(make([]byte, 100_000), true)
	total := 0
	var challenge *seenFrame
	count := func() {
		last := 0
		for _, f := range s.sent() {
			if f.path.Remote != reboundAddr {
				continue
			}
			if f.typ == wire.FramePathChallenge {
				challenge = &f
			}
			if f.size != last {
				total += f.size
			}
			last = f.size
		}
	}
	count()
	for range 20 {
		at, ok := s.c.NextTimeout()
		if !ok || at.After(s.now.Add(500*time.Millisecond)) {
			break
		}
		s.now = at
		s.c.HandleTimeout(s.now)
		count()
	}
	if total == 0 || total > 3*len(small) {
		t.Fatalf("%d bytes sent after %d received", total, len(small))
	}
	if challenge == nil || challenge.size >= 1200 {
		t.Fatalf("challenge %v", challenge)
	}
	data, _ := wire.ParsePathChallenge(challenge.b)
	challenge = nil
	s.receiveFrom(serverPath(reboundAddr), s.seal(wire.OneRTT, wire.AppendPathResponse(nil, data)))
	if !s.c.path.validated {
		t.Fatal("not validated")
	}
	count()
	if challenge == nil || challenge.size < 1200 {
		t.Errorf("no challenge in a full datagram follows")
	}
}

// RFC 9000, Section 9.3.2 (MUST 1): who only copied a packet to another address can't answer, and the connection goes
// back.
func TestSpuriousMigration(t *testing.T) {
	s := newScript(t, Server)
	s.receiveFrom(serverPath(reboundAddr), s.seal(wire.OneRTT, wire.AppendPing(nil), wire.AppendPadding(nil, 1000)))
	if s.c.Path() != serverPath(reboundAddr) {
		t.Fatal("did not follow")
	}
	deadline := s.now.Add(10 * time.Second)
	for s.c.Path() != serverPath(testClientAddr) && s.now.Before(deadline) {
		at, ok := s.c.NextTimeout()
		if !ok {
			break
		}
		s.now = at
		s.c.HandleTimeout(s.now)
		s.sent()
	}
	s.wantOpen()
	if s.c.Path() != serverPath(testClientAddr) || !s.c.path.validated {
		t.Errorf("path %v, validated %v", s.c.Path(), s.c.path.validated)
	}
}

// RFC 9000, Section 9.3.2 (MUST 1): the last validated address stays the one to go back to, from however many others
// somebody forwards copies of the client's packets. RFC 9000, Section 9.3 (MUST 2).
func TestSpuriousMigrations(t *testing.T) {
	s := newScript(t, Server)
	for i := range 2 * maxOtherPaths {
		from := netip.AddrPortFrom(reboundAddr.Addr(), uint16(i+1))
		s.receiveFrom(serverPath(from), s.seal(wire.OneRTT, wire.AppendPing(nil), wire.AppendPadding(nil, 1000)))
		s.now = s.now.Add(time.Millisecond)
	}
	for _, f := range find(s.sent(), wire.FramePathChallenge) {
		if f.path == serverPath(testClientAddr) {
			data, _ := wire.ParsePathChallenge(f.b)
			s.receive(s.seal(wire.OneRTT, wire.AppendPathResponse(nil, data)))
		}
	}
	if s.c.Path() == serverPath(testClientAddr) {
		t.Fatal("a probe moved the connection")
	}
	for range 100 {
		at, ok := s.c.NextTimeout()
		if !ok || s.c.Path() == serverPath(testClientAddr) {
			break
		}
		s.now = at
		s.c.HandleTimeout(s.now)
		s.sent()
	}
	s.wantOpen()
	if s.c.Path() != serverPath(testClientAddr) || !s.c.path.validated {
		t.Errorf("path %v, validated %v", s.c.Path(), s.c.path.validated)
	}
}

// RFC 9000, Section 9.3.2 (MUST 2): without any address that was validated, the connection ends, and nobody is told.
func TestNoValidatedAddress(t *testing.T) {
	s := newScript(t, Server)
	s.receiveFrom(serverPath(reboundAddr), s.seal(wire.OneRTT, wire.AppendPing(nil), wire.AppendPadding(nil, 1000)))
	s.sent()
	old := s.c.findPath(serverPath(testClientAddr))
	old.validated, old.challenge = false, nil // as if that had failed first
	for range 50 {
		at, ok := s.c.NextTimeout()
		if !ok || s.c.Err() != nil {
			break
		}
		s.now = at
		s.c.HandleTimeout(s.now)
		if s.c.Err() == nil {
			s.sent()
		}
	}
	if te, ok := s.c.Err().(*TransportError); !ok || te.Code != NoViablePath || te.Remote || s.c.state != stateDrained {
		t.Errorf("error %v, state %d", s.c.Err(), s.c.state)
	}
	if got := s.sent(); len(got) > 0 {
		t.Errorf("sent %v", got)
	}
}

// newCrowdedScript has probes of two more addresses under way to a server that may have no further RETIRE_CONNECTION_ID frame
// unacknowledged.
func newCrowdedScript(t *testing.T) *script {
	s := newScript(t, Server)
	for i, id := range s.c.local.active {
		s.peer.path.dcid, s.peer.path.dcidSeq = id.id, id.seq
		if i > 0 {
			from := netip.AddrPortFrom(reboundAddr.Addr(), uint16(i))
			s.receiveFrom(serverPath(from), s.seal(wire.OneRTT, wire.AppendPathChallenge(nil, [8]byte{byte(i)}), wire.AppendPadding(nil, 1200)))
		}
	}
	s.peer.path.dcid, s.peer.path.dcidSeq = s.c.local.active[0].id, s.c.local.active[0].seq
	seq := uint64(maxIssuedCIDs)
	for ; len(s.c.peer.retiring) < maxRetiringCIDs; seq++ {
		s.send(newCIDFrame(seq, seq))
	}
	// Two for the paths, one more.
	s.send(newCIDFrame(seq, 0), newCIDFrame(seq+1, 0), newCIDFrame(seq+2, 0))
	for _, o := range s.c.otherPaths() {
		if o != nil && !s.c.ensureDCID(o) {
			t.Fatal("no connection ID for a path")
		}
	}
	s.wantOpen()
	return s
}

// A path that is forgotten may end the connection, because its connection ID can't be retired: whoever goes on to the next
// path then finds none.
func TestPathsForgottenAtTheEnd(t *testing.T) {
	s := newCrowdedScript(t)
	s.now = s.now.Add(20 * time.Second)
	s.c.HandleTimeout(s.now)
	s.wantClosed(ConnectionIDLimitError)

	s = newCrowdedScript(t)
	for i := range uint16(4) {
		s.receiveFrom(serverPath(netip.AddrPortFrom(reboundAddr.Addr(), 100+i)), s.seal(wire.OneRTT, wire.AppendPing(nil)))
	}
	if s.c.Path() != serverPath(netip.AddrPortFrom(reboundAddr.Addr(), 100)) {
		t.Errorf("moved to %v", s.c.Path())
	}
	s.wantClosed(ConnectionIDLimitError)
	if e := s.c.NextEvent(); e.Kind != EventClosed {
		t.Errorf("event %v", e.Kind)
	}
	if e := s.c.NextEvent(); e.Kind != EventNone {
		t.Errorf("event %v after the last", e.Kind)
	}
}

// RFC 9000, Section 9.3: a packet from the old address with a higher number moves the connection back at once; one with a
// lower number does not.
func TestReorderedMigration(t *testing.T) {
	s := newScript(t, Server)
	early := s.seal(wire.OneRTT, wire.AppendPing(nil))
	s.receiveFrom(serverPath(reboundPort), s.seal(wire.OneRTT, wire.AppendPing(nil)))
	s.receive(early)
	if s.c.Path() != serverPath(reboundPort) {
		t.Error("moved back by a packet that was late")
	}
	s.send(wire.AppendPing(nil))
	if s.c.Path() != serverPath(testClientAddr) || !s.c.path.validated {
		t.Errorf("path %v, validated %v", s.c.Path(), s.c.path.validated)
	}
}

// RFC 9000, Section 8.2.1: challenges don't follow every move of a peer that goes to and fro, and an answer counts however
// often it has moved since.
func TestMovingToAndFro(t *testing.T) {
	s := newScript(t, Server)
	var first [8]byte
	n := 0
	for i := range 100 {
		from := serverPath(reboundAddr)
		if i%2 == 1 {
			from = serverPath(testClientAddr)
		}
		s.receiveFrom(from, s.seal(wire.OneRTT, wire.AppendPing(nil), wire.AppendPadding(nil, 1000)))
		if s.c.Path() != from {
			t.Fatal("did not follow")
		}
		for _, f := range find(s.sent(), wire.FramePathChallenge) {
			if n++; f.path.Remote == reboundAddr && first == [8]byte{} {
				first, _ = wire.ParsePathChallenge(f.b)
			}
		}
		s.now = s.now.Add(time.Millisecond)
	}
	if n > 8 {
		t.Errorf("%d challenges", n)
	}
	s.receiveFrom(serverPath(reboundAddr), s.seal(wire.OneRTT, wire.AppendPathResponse(nil, first)))
	if p := s.c.findPath(serverPath(reboundAddr)); !p.validated {
		t.Error("the answer to the first challenge does not count")
	}
}

// RFC 9000, Section 9.1: probing packets are answered where they came from, and move nothing.
// RFC 9000, Section 8.2.2 (MUST 1, 3, 5, 7), Section 9.5 (MUST 2) and Section 19.17 (MUST 1).
func TestProbing(t *testing.T) {
	s := newScript(t, Server)
	// The client uses another of our connection IDs for another path, as it must.
	s.peer.path.dcid, s.peer.path.dcidSeq = s.c.local.active[1].id, s.c.local.active[1].seq
	s.receiveFrom(serverPath(reboundAddr), s.seal(wire.OneRTT, wire.AppendPathChallenge(nil, [8]byte{5, 6, 7}), wire.AppendPadding(nil, 1200)))
	if s.c.Path() != serverPath(testClientAddr) {
		t.Error("a probe moved the connection")
	}
	used := s.c.path.dcid
	f := s.wantOne(s.sent(), wire.FramePathResponse)
	if data, _ := wire.ParsePathResponse(f.b); data != [8]byte{5, 6, 7} {
		t.Errorf("response %v", data)
	}
	if f.path != serverPath(reboundAddr) || f.size < 1200 {
		t.Errorf("response to %v in %d bytes", f.path, f.size)
	}
	p := s.c.findPath(serverPath(reboundAddr))
	if p == nil || p.dcid == used {
		t.Error("the same connection ID on two paths")
	}
	// RFC 9000, Section 5.1.2: when the path is forgotten, its connection ID is retired.
	seq := p.dcidSeq
	for range 50 {
		at, ok := s.c.NextTimeout()
		if !ok {
			break
		}
		s.now = at
		s.c.HandleTimeout(s.now)
		for _, f := range find(s.sent(), wire.FrameRetireConnectionID) {
			if got, _ := wire.ParseRetireConnectionID(f.b); got != seq {
				t.Errorf("retired %d, want %d", got, seq)
			}
			return
		}
	}
	t.Error("the connection ID of the path was not retired")
}

// RFC 9000, Section 8.2.2 (MUST 3, 5): a challenge on the path in use is answered there, with more than a probe.
// RFC 9000, Section 8.2.1 (MUST 4).
func TestChallengeOnPathInUse(t *testing.T) {
	for side := range Side(2) {
		s := newScript(t, side)
		s.send(wire.AppendPathChallenge(nil, [8]byte{8}))
		fs := s.sent()
		if f := s.wantOne(fs, wire.FramePathResponse); f.size < 1200 || f.path != testPaths[side] {
			t.Errorf("%v: response in %d bytes to %v", side, f.size, f.path)
		}
		s.wantOne(fs, wire.FramePing)
	}
}

// Nobody can make us remember more than a few paths, or answer more than a few challenges.
func TestPathFlood(t *testing.T) {
	s := newScript(t, Server)
	for i := range 1000 {
		from := netip.AddrPortFrom(reboundAddr.Addr(), uint16(i+1))
		s.receiveFrom(serverPath(from), s.seal(wire.OneRTT, wire.AppendPathChallenge(nil, [8]byte{byte(i)}), wire.AppendPathChallenge(nil, [8]byte{byte(i), 1})))
	}
	s.wantOpen()
	if n := len(find(s.sent(), wire.FramePathResponse)); n > 2*maxOtherPaths {
		t.Errorf("%d responses", n)
	}
}

// RFC 9000, Section 9 (MUST 5): servers don't move, and clients not before the handshake is confirmed.
func TestUnknownAddresses(t *testing.T) {
	s := newScript(t, Client)
	dropped := s.c.Stats().PacketsDropped
	s.receiveFrom(Path{Local: testClientAddr, Remote: reboundAddr}, s.seal(wire.OneRTT, wire.AppendPing(nil)))
	if s.c.Stats().PacketsDropped != dropped+1 || s.c.Path() != testPaths[Client] {
		t.Error("a packet from another address than the server's was used")
	}
	h := newHandshakeScript(t, Server, wire.Handshake)
	dropped = h.c.Stats().PacketsDropped
	h.receiveFrom(serverPath(reboundAddr), h.seal(wire.Handshake, wire.AppendPing(nil)))
	if h.c.Stats().PacketsDropped != dropped+1 || h.c.path.validated {
		t.Error("a packet from another address was used during the handshake")
	}
}

// A flood of small challenges on the path in use is not answered with a flood of large datagrams: congestion control
// holds. RFC 9000, Section 8.2.2 (MUST 2).
func TestChallengeFlood(t *testing.T) {
	s := newScript(t, Server)
	total := 0
	for i := range 1000 {
		s.send(wire.AppendPathChallenge(nil, [8]byte{byte(i), byte(i >> 8)}))
		for _, f := range find(s.sent(), wire.FramePathResponse) {
			total += f.size
		}
	}
	if most := 2 * s.c.Stats().Cwnd; total > most {
		t.Errorf("%d bytes sent at once with a congestion window of %d", total, most/2)
	}
}

// A peer that keeps sending from its new address, but whose answers to challenges get lost, is not given up.
func TestValidationOfBadPath(t *testing.T) {
	s := newScript(t, Server)
	for i := range 200 {
		from := reboundAddr
		if i > 20 {
			from = reboundPort // it moves once more, before the first move was validated
		}
		s.receiveFrom(serverPath(from), s.seal(wire.OneRTT, wire.AppendPing(nil), wire.AppendPadding(nil, 1000)))
		s.sent()
		s.now = s.now.Add(100 * time.Millisecond)
		s.c.HandleTimeout(s.now)
		s.sent()
	}
	s.wantOpen()
	s.receiveFrom(serverPath(reboundPort), s.seal(wire.OneRTT, wire.AppendPing(nil)))
	if s.c.Path() != serverPath(reboundPort) {
		t.Errorf("path %v", s.c.Path())
	}
}
