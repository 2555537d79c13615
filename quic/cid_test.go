package quic

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/dunlin-quic/dunlin/internal/wire"
)

func testCID(seq uint64) ConnectionID {
	return wire.NewConnectionID([]byte{0xc1, byte(seq >> 8), byte(seq), 4, 5, 6, 7, 8})
}

func newCIDFrame(seq, retirePriorTo uint64) []byte {
	f := wire.NewConnectionIDFrame{Seq: seq, RetirePriorTo: retirePriorTo, ID: testCID(seq)}
	f.ResetToken[0] = byte(seq)
	f.ResetToken[15] = 0xee
	return wire.AppendNewConnectionID(nil, f)
}

func TestConnectionIDsIssued(t *testing.T) {
	for side := range Side(2) {
		s := newScript(t, side)
		if got := len(s.c.local.active); got != maxIssuedCIDs {
			t.Errorf("%v issued %d connection IDs", side, got)
		}
		if got := len(s.peer.peer.active); got != maxIssuedCIDs {
			t.Errorf("%v's peer knows %d connection IDs", side, got)
		}
	}
}

// RFC 9000, Section 5.1.1 (MUST 2): every ID issued serves, until it is retired.
func TestConnectionIDsServe(t *testing.T) {
	for side := range Side(2) {
		s := newScript(t, side)
		before := s.c.Stats().PacketsReceived
		for _, l := range s.c.local.active {
			s.peer.path.dcid, s.peer.path.dcidSeq = l.id, l.seq
			s.send(wire.AppendPing(nil))
		}
		if got := s.c.Stats().PacketsReceived - before; got != maxIssuedCIDs {
			t.Errorf("%v: packets to %d connection IDs taken", side, got)
		}
		s.send(wire.AppendRetireConnectionID(nil, 1))
		s.peer.path.dcid, s.peer.path.dcidSeq = testCID(1), 1
		s.send(wire.AppendPing(nil))
		if got := s.c.Stats().PacketsReceived - before; got != maxIssuedCIDs+1 {
			t.Errorf("%v: a packet to a retired connection ID was taken", side)
		}
		s.wantOpen()
	}
}

// RFC 9000, Section 5.1.1 (MUST 3): the peer says how many it wants.
func TestConnectionIDLimitOfThePeer(t *testing.T) {
	p := newTestPair(t)
	p.run("limits", func() bool {
		for _, c := range p.conn {
			if c == nil || c.local.limit < maxIssuedCIDs {
				return false
			}
		}
		return true
	})
	for _, c := range p.conn {
		c.local.limit = 2 // as if the parameter had said so
	}
	p.establish()
	p.idle(time.Second)
	for side, c := range p.conn {
		if len(c.local.active) != 2 {
			t.Errorf("%v issued %d connection IDs", Side(side), len(c.local.active))
		}
		s := p.script(t, Side(side))
		s.send(wire.AppendRetireConnectionID(nil, c.local.active[1].seq))
		s.wantOne(s.sent(), wire.FrameNewConnectionID)
		if len(c.local.active) != 2 {
			t.Errorf("%v has %d connection IDs after one was retired", Side(side), len(c.local.active))
		}
	}
}

// The client's first connection IDs in reserve are no reason for a datagram at the end of the handshake: they go with the
// acknowledgment, or with whatever else is sent before.
func TestConnectionIDsAreInNoHurry(t *testing.T) {
	for _, data := range []bool{false, true} {
		p := newTestPair(t)
		c := func() *Conn { return p.conn[Client] }
		p.run("confirmation", func() bool { return c().Confirmed() })
		if tr, ok := c().PollTransmit(p.now, p.buf, 1); ok {
			t.Fatalf("sent %d bytes", tr.Len)
		}
		if data {
			s, err := c().OpenStream(Bidi)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := s.TryWrite([]byte("data"), true); err != nil {
				t.Fatal(err)
			}
		} else {
			at, ok := c().NextTimeout()
			if !ok || at.Sub(p.now) > ownMaxAckDelay {
				t.Fatalf("next after %v", at.Sub(p.now))
			}
			p.now = at
			c().HandleTimeout(p.now)
		}
		if _, ok := c().PollTransmit(p.now, p.buf, 1); !ok || c().local.sending > 0 || c().recv.AckPending() {
			t.Errorf("data %v: sent %v, %d connection IDs left", data, ok, c().local.sending)
		}
	}
}

// repeatingCIDs generates every connection ID several times.
type repeatingCIDs struct{ n int }

func (g *repeatingCIDs) Len() int               { return 8 }
func (g *repeatingCIDs) Generate() ConnectionID { g.n++; return testCID(uint64(g.n / 4)) }

// RFC 9000, Section 5.1 (MUST 2): no ID is issued twice, whatever the generator does.
func TestConnectionIDsDiffer(t *testing.T) {
	for side := range Side(2) {
		p := newTestPair(t, func(p *testPair) { p.cfg[side].ConnectionIDs = new(repeatingCIDs) })
		p.establish()
		p.idle(time.Second)
		p.conn[side].RotateConnectionIDs()
		p.idle(time.Second)
		seen := map[ConnectionID]bool{}
		for _, l := range p.conn[side].local.active {
			if seen[l.id] {
				t.Errorf("%v issued %v twice", side, l.id)
			}
			seen[l.id] = true
		}
		if len(seen) != maxIssuedCIDs || p.err(side) != nil {
			t.Errorf("%v: %d connection IDs, %v", side, len(seen), p.err(side))
		}
	}
}

// RFC 9000, Section 5.1.1 (MUST 1): a retired ID is replaced.
func TestConnectionIDReplaced(t *testing.T) {
	for side := range Side(2) {
		s := newScript(t, side)
		gone := s.c.local.active[1].id
		s.send(wire.AppendRetireConnectionID(nil, s.c.local.active[1].seq))
		s.wantOpen()
		f, _ := wire.ParseNewConnectionID(s.wantOne(s.sent(), wire.FrameNewConnectionID).b)
		if f.Seq != maxIssuedCIDs || f.RetirePriorTo != 0 {
			t.Errorf("%v: %+v", side, f)
		}
		if f.ResetToken != s.c.secrets.resetToken(f.ID) {
			t.Errorf("%v: reset token is not the one that is made from the ID", side)
		}
		var kinds []EndpointEventKind
		for e := s.c.NextEndpointEvent(); e.Kind != EndpointNone; e = s.c.NextEndpointEvent() {
			kinds = append(kinds, e.Kind)
			if e.Kind == EndpointCIDRetired && e.CID != gone || e.Kind == EndpointCIDIssued && e.CID != f.ID {
				t.Errorf("%v: %+v", side, e)
			}
		}
		if !slices.Equal(kinds, []EndpointEventKind{EndpointCIDRetired, EndpointCIDIssued}) {
			t.Errorf("%v: endpoint events %v", side, kinds)
		}
	}
}

// RFC 9000, Section 5.1.2 (MUST 1): not even the path in use goes on with a retired ID. It waits for another one, without
// waking its owner in vain.
func TestLastConnectionIDRetired(t *testing.T) {
	for side := range Side(2) {
		s := newScript(t, side)
		s.send(newCIDFrame(3, 3))
		s.sent()
		// The frame of an ID that this side has already given up retires all others.
		s.c.peer.seen.Add(5, 6)
		s.send(newCIDFrame(5, 5))
		s.wantOpen()
		if s.c.peer.find(s.c.path.dcidSeq) != nil {
			t.Fatal("an ID is left")
		}
		st, err := s.c.OpenStream(Uni)
		if err != nil {
			t.Fatal(err)
		}
		st.TryWrite(make([]byte, 100_000), false)
		for range 20 {
			if got := s.sent(); len(got) > 0 {
				t.Fatalf("%v sent %v", side, got)
			}
			at, ok := s.c.NextTimeout()
			if !ok || !at.After(s.now) {
				t.Fatalf("%v: a timeout at once", side)
			}
			s.now = at
			s.c.HandleTimeout(at)
			if s.c.Err() != nil {
				break
			}
		}
		if s.c.Err() != nil && s.c.Err() != ErrIdleTimeout {
			t.Errorf("%v: %v", side, s.c.Err())
		}

		s = newScript(t, side)
		s.send(newCIDFrame(3, 3))
		s.sent()
		s.c.peer.seen.Add(5, 6)
		s.send(newCIDFrame(5, 5))
		s.send(newCIDFrame(6, 5))
		if got := s.sent(); len(find(got, wire.FrameRetireConnectionID)) == 0 || s.c.path.dcid != testCID(6) {
			t.Errorf("%v sent %v to %v", side, got, s.c.path.dcid)
		}
	}
}

// RFC 9000, Section 19.16 (MUST 1).
func TestRetireConnectionIDErrors(t *testing.T) {
	for side := range Side(2) {
		s := newScript(t, side)
		s.send(wire.AppendRetireConnectionID(nil, s.c.local.next))
		s.wantClosed(ProtocolViolation)

		// The first frame makes another ID, which is sent in no packet before the second frame is read.
		s = newScript(t, side)
		s.send(wire.AppendRetireConnectionID(nil, s.c.local.active[1].seq), wire.AppendRetireConnectionID(nil, maxIssuedCIDs))
		s.wantClosed(ProtocolViolation)

		s = newScript(t, side)
		s.send(wire.AppendRetireConnectionID(nil, s.peer.path.dcidSeq))
		s.wantClosed(ProtocolViolation)
	}
}

// RFC 9000, Section 5.1.1 (MUST 4) and Section 19.15 (MUST 4).
func TestNewConnectionIDErrors(t *testing.T) {
	fresh := uint64(maxIssuedCIDs)
	tests := []struct {
		name   string
		frames [][]byte
		code   TransportErrorCode // NoError: none
	}{
		{"up to the limit", [][]byte{newCIDFrame(3, 0), newCIDFrame(4, 0), newCIDFrame(5, 0), newCIDFrame(6, 0), newCIDFrame(7, 0)}, NoError},
		{"beyond the limit", [][]byte{newCIDFrame(3, 0), newCIDFrame(4, 0), newCIDFrame(5, 0), newCIDFrame(6, 0), newCIDFrame(7, 0), newCIDFrame(8, 0)}, ConnectionIDLimitError},
		{"beyond the limit but for the retired", [][]byte{newCIDFrame(3, 0), newCIDFrame(4, 0), newCIDFrame(5, 0), newCIDFrame(6, 0), newCIDFrame(7, 0), newCIDFrame(8, 1)}, NoError},
		{"repeated", [][]byte{newCIDFrame(fresh, 0), newCIDFrame(fresh, 0)}, NoError},
		{"same sequence number, other ID", [][]byte{newCIDFrame(fresh, 0), wire.AppendNewConnectionID(nil, wire.NewConnectionIDFrame{Seq: fresh, ID: wire.NewConnectionID([]byte{9, 9, 9, 9})})}, ProtocolViolation},
		{"same ID, other sequence number", [][]byte{newCIDFrame(fresh, 0), wire.AppendNewConnectionID(nil, wire.NewConnectionIDFrame{Seq: fresh + 1, ID: testCID(fresh)})}, ProtocolViolation},
		{"too many to retire", retireStorm(), ConnectionIDLimitError},
		{"sequence with gaps", gappySequence(), ConnectionIDLimitError},
	}
	for _, tt := range tests {
		for side := range Side(2) {
			t.Run(tt.name+"/"+side.String(), func(t *testing.T) {
				s := newScript(t, side)
				for _, f := range tt.frames {
					if s.c.Err() == nil {
						s.send(f)
					}
				}
				if tt.code == NoError {
					s.wantOpen()
				} else {
					s.wantClosed(tt.code)
				}
			})
		}
	}
}

// retireStorm issues and retires without ever acknowledging the retirement.
func retireStorm() (fs [][]byte) {
	for seq := uint64(maxIssuedCIDs); seq < 200; seq++ {
		fs = append(fs, newCIDFrame(seq, seq))
	}
	return fs
}

func gappySequence() (fs [][]byte) {
	for seq := uint64(10); seq < 200; seq += 2 {
		fs = append(fs, newCIDFrame(seq, 0), newCIDFrame(seq, seq))
		// Retired at once, so that neither limit is reached first.
		fs = append(fs, wire.AppendPing(nil))
	}
	return fs
}

// RFC 9000, Section 5.1.2 (MUST 1): Retire Prior To makes us change the ID in use.
// RFC 9000, Section 19.15 (MUST 7, 8).
func TestRetirePriorTo(t *testing.T) {
	for side := range Side(2) {
		s := newScript(t, side)
		s.send(newCIDFrame(3, 3))
		s.wantOpen()
		retired := find(s.sent(), wire.FrameRetireConnectionID)
		if len(retired) != 3 {
			t.Fatalf("%v retired %d connection IDs, want 3", side, len(retired))
		}
		if got, want := s.c.path.dcid, testCID(3); got != want {
			t.Errorf("%v sends to %v, want %v", side, got, want)
		}
		// What comes late is retired on arrival.
		s.send(newCIDFrame(30, 0), newCIDFrame(32, 31))
		s.sent()
		s.send(wire.AppendNewConnectionID(nil, wire.NewConnectionIDFrame{Seq: 29, ID: testCID(29)}))
		seq, _ := wire.ParseRetireConnectionID(s.wantOne(s.sent(), wire.FrameRetireConnectionID).b)
		if seq != 29 {
			t.Errorf("%v retired %d, want 29", side, seq)
		}
	}
}

// RFC 9000, Section 19.16: RETIRE_CONNECTION_ID frames are repeated until they are acknowledged.
// RFC 9000, Section 5.1.2 (MUST 2).
func TestRetireConnectionIDRepeated(t *testing.T) {
	s := newScript(t, Client)
	s.send(newCIDFrame(3, 1))
	if n := len(find(s.sent(), wire.FrameRetireConnectionID)); n != 1 {
		t.Fatalf("retired %d", n)
	}
	at, _ := s.c.NextTimeout()
	for range 4 {
		s.now = at
		s.c.HandleTimeout(s.now)
		if len(find(s.sent(), wire.FrameRetireConnectionID)) > 0 {
			return
		}
		at, _ = s.c.NextTimeout()
	}
	t.Fatal("not repeated")
}

// RFC 9000, Section 19.15 (MUST 5).
// RFC 9000, Section 19.16 (MUST 2).
func TestRotateConnectionIDs(t *testing.T) {
	for side := range Side(2) {
		p := newTestPair(t)
		p.establish()
		p.idle(time.Second)
		c, peer := p.conn[side], p.conn[side.Peer()]
		old := peer.path.dcid
		c.RotateConnectionIDs()
		p.idle(time.Second)
		if peer.path.dcid == old {
			t.Errorf("%v's peer still sends to %v", side, old)
		}
		if got := len(c.local.active); got != maxIssuedCIDs {
			t.Errorf("%v has %d connection IDs after rotation", side, got)
		}
		for _, l := range c.local.active {
			if l.seq < maxIssuedCIDs {
				t.Errorf("%v: connection ID %d outlived the rotation", side, l.seq)
			}
		}
		p.transfer(side, 10_000)
	}
}

// RFC 9000, Section 5.1.2: a retired ID is used on no path. One for which there is no other waits until there is.
func TestRetiredConnectionIDOnOtherPath(t *testing.T) {
	s := newScript(t, Server)
	ours := s.c.local.active
	probe := func() {
		s.peer.path.dcid, s.peer.path.dcidSeq = ours[1].id, ours[1].seq
		s.receiveFrom(serverPath(reboundAddr), s.seal(wire.OneRTT, wire.AppendPathChallenge(nil, [8]byte{1}), wire.AppendPadding(nil, 1200)))
		s.peer.path.dcid, s.peer.path.dcidSeq = ours[0].id, ours[0].seq
	}
	// responses returns how many answers to the probes go out, all of them to the newest ID.
	responses := func(newest uint64) (n int) {
		buf := make([]byte, 1500)
		for {
			tr, ok := s.c.PollTransmit(s.now, buf, 1)
			if !ok {
				return n
			}
			if tr.Path.Remote != reboundAddr {
				continue
			}
			n++
			if id := testCID(newest); string(buf[1:9]) != string(id.Bytes()) {
				t.Errorf("sent to connection ID %x", buf[1:9])
			}
		}
	}
	probe()
	s.sent()
	s.send(newCIDFrame(3, 3))
	probe()
	if n := responses(3); n != 0 {
		t.Errorf("%d answers without a connection ID", n)
	}
	s.send(newCIDFrame(4, 3))
	if n := responses(4); n != 1 {
		t.Errorf("%d answers, want one", n)
	}
}

// RFC 9000, Section 10.3.1 (MUST 2): a reset token belongs to the address to which its connection ID was used.
func TestResetTokensOfPaths(t *testing.T) {
	s := newScript(t, Server)
	ours := s.c.local.active
	s.peer.path.dcid, s.peer.path.dcidSeq = ours[1].id, ours[1].seq
	s.receiveFrom(serverPath(reboundAddr), s.seal(wire.OneRTT, wire.AppendPathChallenge(nil, [8]byte{1}), wire.AppendPadding(nil, 1200)))
	s.peer.path.dcid, s.peer.path.dcidSeq = ours[0].id, ours[0].seq
	s.send(newCIDFrame(3, 3))
	known := map[StatelessResetToken]netip.AddrPort{}
	for e := s.c.NextEndpointEvent(); e.Kind != EndpointNone; e = s.c.NextEndpointEvent() {
		switch e.Kind {
		case EndpointResetTokenAdded:
			known[e.Token] = e.Remote
		case EndpointResetTokenRemoved:
			if e.Remote != known[e.Token] {
				t.Errorf("token of %v removed for %v", known[e.Token], e.Remote)
			}
			delete(known, e.Token)
		}
	}
	if len(known) != 1 {
		t.Errorf("tokens %v, want that of the only ID in use", known)
	}
}

// RFC 9000, Section 19.15: what counts is the highest Retire Prior To, in whatever frame.
func TestRepeatedFrameRetires(t *testing.T) {
	for side := range Side(2) {
		s := newScript(t, side)
		s.send(newCIDFrame(3, 0))
		if fs := find(s.sent(), wire.FrameRetireConnectionID); len(fs) > 0 {
			t.Errorf("%v: %d IDs retired", side, len(fs))
		}
		s.send(newCIDFrame(3, 3))
		if fs := find(s.sent(), wire.FrameRetireConnectionID); len(fs) != 3 {
			t.Errorf("%v: %d IDs retired, want 3", side, len(fs))
		}
		if id := s.c.path.dcid; id != testCID(3) {
			t.Errorf("%v sends to %v", side, id)
		}
		s.wantOpen()
	}
}

// A side may choose an empty connection ID; then it issues none, and takes none to retire.
// RFC 9000, Section 19.15 (MUST 2, 3) and Section 19.16 (MUST 3).
func TestEmptyConnectionIDs(t *testing.T) {
	for side := range Side(2) {
		empty := func(p *testPair) { p.cfg[side].ConnectionIDs = newRandomCIDs(0, nil) }
		s := newScript(t, side, empty)
		s.transfer(Client, 10_000)
		s.transfer(Server, 10_000)
		if len(s.c.local.active) != 1 || s.peer.path.dcid.Len() != 0 {
			t.Errorf("%v: %v", side, s.c.local.active)
		}
		s = newScript(t, side, empty)
		s.send(wire.AppendRetireConnectionID(nil, 0))
		s.wantClosed(ProtocolViolation)

		s = newScript(t, side.Peer(), empty)
		s.send(newCIDFrame(1, 0))
		s.wantClosed(ProtocolViolation)
	}
}
