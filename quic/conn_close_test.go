package quic

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
	"net"
	"testing"
	"time"

	"github.com/dunlin-quic/dunlin/internal/recovery"
	"github.com/dunlin-quic/dunlin/internal/wire"
)

// RFC 9000, Section 10.3 (MUST 1) and Section 11.1 (MUST 1).
func TestClose(t *testing.T) {
	tests := []struct {
		name          string
		err           error
		local, remote error
	}{
		{"nil", nil, &TransportError{Code: NoError}, &TransportError{Remote: true, Code: NoError}},
		{
			"application", &ApplicationError{Code: 77, Reason: "enough"},
			&ApplicationError{Code: 77, Reason: "enough"}, &ApplicationError{Remote: true, Code: 77, Reason: "enough"},
		},
		{
			"transport", &TransportError{Code: NoViablePath, Reason: "gone"},
			&TransportError{Code: NoViablePath, Reason: "gone"}, &TransportError{Remote: true, Code: NoViablePath, Reason: "gone"},
		},
		{
			"other", errors.New("secret"),
			&TransportError{Code: InternalError}, &TransportError{Remote: true, Code: InternalError},
		},
	}
	for _, tt := range tests {
		for side := range Side(2) {
			t.Run(tt.name+"/"+side.String(), func(t *testing.T) {
				p := newTestPair(t)
				p.establish()
				p.idle(time.Second)
				p.events = [2][]Event{}
				p.conn[side].Close(p.now, tt.err)
				p.run("closing", func() bool { return p.err(side.Peer()) != nil })
				if got := p.err(side); got.Error() != tt.local.Error() || !errors.Is(got, net.ErrClosed) {
					t.Errorf("own error %v, want %v", got, tt.local)
				}
				if got := p.err(side.Peer()); got.Error() != tt.remote.Error() || !errors.Is(got, net.ErrClosed) {
					t.Errorf("peer's error %v, want %v", got, tt.remote)
				}
				for s, c := range p.conn {
					p.poll(Side(s))
					if e := p.events[s]; len(e) != 1 || e[0].Kind != EventClosed || e[0].Err != c.Err() {
						t.Errorf("%v: events %+v, want EventClosed", Side(s), e)
					}
					if _, err := c.OpenStream(Bidi); err != c.Err() {
						t.Errorf("%v: OpenStream: %v", Side(s), err)
					}
				}
				start := p.now
				p.run("draining", func() bool {
					return p.conn[0].state == stateDrained && p.conn[1].state == stateDrained
				})
				if d := p.now.Sub(start); d > time.Second {
					t.Errorf("closing and draining took %v", d)
				}
				if _, ok := p.conn[side].NextTimeout(); ok {
					t.Error("a drained connection has a timeout")
				}
			})
		}
	}
}

// RFC 9000, Section 10.2.1 (MUST 1, 2): what still arrives is answered, ever more seldom.
// RFC 9000, Section 10.2.3 (MUST 1).
func TestClosingAnswers(t *testing.T) {
	s := newScript(t, Server)
	s.c.Close(s.now, &ApplicationError{Code: 5})
	if f := s.wantOne(s.sent(), wire.FrameConnectionCloseApp); f.size > 100 {
		t.Errorf("a datagram of %d bytes", f.size)
	}
	for n := uint64(1); n <= 20; n++ {
		s.send(wire.AppendPing(nil), wire.AppendPadding(nil, 100))
		got := len(s.sent())
		if want := bits.OnesCount64(n) == 1; (got == 1) != want {
			t.Errorf("after datagram %d: %d answers", n, got)
		}
	}
	// Nothing goes to other addresses, and no more than three times what came.
	other := Path{Local: testServerAddr, Remote: testPaths[Client].Local}
	other.Remote = testPaths[Server].Local
	for range 40 {
		s.receiveFrom(other, make([]byte, 1200))
	}
	if len(s.sent()) > 0 {
		t.Error("an answer to another address")
	}
}

// RFC 9000, Sections 8.1 and 10.2.1: the packets that close a connection to an address that is not validated count
// towards the limit, the first one like those that repeat it. RFC 9000, Section 10.2.1 (MUST 1, 2).
func TestClosingAmplification(t *testing.T) {
	s := newHandshakeScript(t, Server, wire.Handshake)
	s.sent()
	path := s.c.path
	if path.validated {
		t.Fatal("the client's address is validated")
	}
	path.received, path.sent = 100, 0
	s.c.Close(s.now, nil)
	buf := make([]byte, 2000)
	total := 0
	for n := range 5 {
		if tr, ok := s.c.PollTransmit(s.now, buf, 1); ok {
			total += tr.Len
		}
		if limit := 3 * (100 + n); total > limit || total == 0 {
			t.Fatalf("%d bytes sent, limit %d", total, limit)
		}
		s.receive([]byte{0})
	}
}

// What the caller gives is cut to what fits a frame.
func TestCloseWithHugeCode(t *testing.T) {
	s := newScript(t, Client)
	e := &TransportError{Code: math.MaxUint64, FrameType: math.MaxUint64}
	s.c.Close(s.now, e)
	f, _ := wire.ParseConnectionClose(s.wantOne(s.sent(), wire.FrameConnectionClose).b)
	if f.Code != wire.MaxVarint || f.FrameType != wire.MaxVarint {
		t.Errorf("%+v", f)
	}
	if e.Code != math.MaxUint64 {
		t.Error("the caller's error was changed")
	}
}

// RFC 9000, Section 10.2.2 (MUST 1): who drains says nothing.
// RFC 9000, Section 10.2.2 (MUST 2).
func TestDrainingIsSilent(t *testing.T) {
	s := newScript(t, Server)
	st, err := s.c.OpenStream(Uni)
	if err != nil {
		t.Fatal(err)
	}
	st.TryWrite(make([]byte, 10_000), true)
	s.send(wire.AppendConnectionClose(nil, wire.ConnectionCloseFrame{App: true, Code: 3, Reason: []byte("bye")}, 100))
	s.send(wire.AppendPing(nil))
	if got := s.sent(); len(got) > 0 {
		t.Errorf("sent %v while draining", got)
	}
	var app *ApplicationError
	if !errors.As(s.c.Err(), &app) || !app.Remote || app.Code != 3 || app.Reason != "bye" {
		t.Errorf("error %v", s.c.Err())
	}
	if _, err := st.TryWrite([]byte("x"), false); err != s.c.Err() {
		t.Errorf("TryWrite: %v", err)
	}
}

// RFC 9000, Section 10.2.3 (MUST 2, 3): during the handshake, the frame goes out at every level, and nothing of the
// application with it. RFC 9000, Section 12.5 (MUST 1).
func TestCloseDuringHandshake(t *testing.T) {
	for side := range Side(2) {
		t.Run(side.String(), func(t *testing.T) {
			s := newHandshakeScript(t, side, wire.Handshake)
			s.c.Close(s.now, &ApplicationError{Code: 99, Reason: "secret"})
			fs := s.sent()
			early := find(fs, wire.FrameConnectionClose)
			if len(early) == 0 {
				t.Fatalf("sent %v", fs)
			}
			for _, f := range early {
				f, _ := wire.ParseConnectionClose(f.b)
				if f.Code != uint64(ApplicationErrorCode) || len(f.Reason) > 0 {
					t.Errorf("%+v", f)
				}
			}
		})
	}
}

// RFC 9000, Section 10.1: the lower of both idle timeouts holds, and nothing is sent when it passes.
func TestIdleTimeout(t *testing.T) {
	for _, tt := range []struct{ client, server, want time.Duration }{
		{0, 0, 30 * time.Second},
		{5 * time.Second, 20 * time.Second, 5 * time.Second},
		{20 * time.Second, 5 * time.Second, 5 * time.Second},
		{-1, 7 * time.Second, 7 * time.Second},
		{-1, -1, 0},
	} {
		t.Run(fmt.Sprint(tt), func(t *testing.T) {
			p := newTestPair(t, func(p *testPair) {
				p.cfg[Client].IdleTimeout, p.cfg[Server].IdleTimeout = tt.client, tt.server
			})
			p.establish()
			for p.step(p.now.Add(time.Second)) {
			}
			last := p.conn[Client].arrivals.last
			sent := p.sent
			p.idle(59 * time.Second)
			for side, c := range p.conn {
				if tt.want == 0 {
					if c.Err() != nil {
						t.Errorf("%v: %v", Side(side), c.Err())
					}
					continue
				}
				if c.Err() != ErrIdleTimeout {
					t.Errorf("%v: %v", Side(side), c.Err())
				}
			}
			if tt.want > 0 {
				if d := p.conn[Client].now.Sub(last); d != tt.want {
					t.Errorf("after %v", d)
				}
				if p.sent != sent {
					t.Error("something was sent")
				}
			}
		})
	}
}

// RFC 9000, Section 10.1 (MUST 1): however short the idle timeout, there is time to find out about losses.
func TestShortIdleTimeout(t *testing.T) {
	p := newTestPair(t, func(p *testPair) { p.cfg[Client].IdleTimeout = 2 * time.Millisecond })
	p.establish()
	for p.step(p.now.Add(time.Second)) {
	}
	for side, c := range p.conn {
		c.now = c.arrivals.last
		if got, want := c.idleDeadline().Sub(c.arrivals.last), 3*c.rec.PTO(recovery.AppData); got != want || c.idleTimeout != 2*time.Millisecond {
			t.Errorf("%v: idle after %v, want %v", Side(side), got, want)
		}
	}
}

// A quiet connection stays if it sends PING, at half the idle timeout at the latest.
func TestKeepAlive(t *testing.T) {
	for side := range Side(2) {
		for _, every := range []time.Duration{time.Second, time.Minute} {
			p := newTestPair(t, func(p *testPair) { p.cfg[side].KeepAlive = every })
			p.establish()
			p.idle(5 * time.Minute)
			for s, c := range p.conn {
				if c.Err() != nil {
					t.Errorf("keep-alive of %v by %v: %v: %v", every, side, Side(s), c.Err())
				}
			}
			if n := p.sent[side]; every == time.Minute && n > 40 {
				t.Errorf("%d datagrams in five minutes", n)
			}
		}
	}
}

// newResetScript returns the token of the connection ID that the side named sends to as well.
func newResetScript(t *testing.T, side Side) (*script, StatelessResetToken) {
	s := newScript(t, side)
	if side == Server {
		// A client has no token for its first connection ID, so the server is made to use another.
		s.send(newCIDFrame(3, 3))
		s.sent()
	}
	for _, id := range s.c.peer.active {
		if id.used && id.hasToken {
			return s, id.token
		}
	}
	t.Fatal("no token")
	return nil, StatelessResetToken{}
}

// RFC 9000, Section 10.3 (MUST 3): a datagram that ends in the token of the connection ID in use.
// RFC 9000, Section 10.3.1 (MUST 2, 4).
func TestStatelessReset(t *testing.T) {
	for side := range Side(2) {
		s, token := newResetScript(t, side)
		wrong := token
		wrong[3] ^= 1
		unused := newCIDFrame(9, 0)
		s.send(unused)
		for _, b := range [][]byte{
			append(make([]byte, 30), wrong[:]...),
			append([]byte{0x40, 1}, token[:]...), // too short
			append(make([]byte, 30), unused[len(unused)-16:]...),
			{}, {0x40},
		} {
			s.receive(b)
			s.wantOpen()
		}
		reset := append([]byte{0x41, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9}, token[:]...)
		s.receive(reset)
		if s.c.Err() != ErrStatelessReset || s.c.state != stateDraining {
			t.Errorf("%v: %v", side, s.c.Err())
		}
		if len(s.sent()) > 0 {
			t.Errorf("%v: sent something after a stateless reset", side)
		}
	}
}

// RFC 9000, Section 10.3 (MUST 5) and Section 10.3.1 (MUST 1, 4): only the end of a stateless reset tells what it is. Other
// versions may begin it in any way.
func TestStatelessResetLooksLikeAnything(t *testing.T) {
	long := func(typ wire.PacketType, v Version, dcid ConnectionID) []byte {
		b := wire.AppendLong(nil, typ, v, dcid, testCID(9), nil, 0, 4)
		wire.PatchLength(b, len(b)-4, 4+20+wire.ResetTokenLen)
		return b
	}
	for name, begin := range map[string]func(id ConnectionID) []byte{
		"1-RTT":                           func(id ConnectionID) []byte { return wire.AppendShort(nil, id, false, false, 9, 2) },
		"1-RTT of another connection":     func(id ConnectionID) []byte { return wire.AppendShort(nil, testCID(8), false, false, 9, 2) },
		"fixed bit zero":                  func(id ConnectionID) []byte { return []byte{0x01, 2, 3} },
		"Handshake":                       func(id ConnectionID) []byte { return long(wire.Handshake, Version1, id) },
		"Handshake of version 2":          func(id ConnectionID) []byte { return long(wire.Handshake, Version2, id) },
		"Handshake of another connection": func(id ConnectionID) []byte { return long(wire.Handshake, Version1, testCID(8)) },
		"Initial":                         func(id ConnectionID) []byte { return long(wire.Initial, Version1, id) },
		"0-RTT":                           func(id ConnectionID) []byte { return long(wire.ZeroRTT, Version1, id) },
		"Retry":                           func(id ConnectionID) []byte { return wire.AppendRetry(nil, 0, Version1, id, testCID(9), nil) },
		"Version Negotiation":             func(id ConnectionID) []byte { return wire.AppendVersionNegotiation(nil, 0, id.Bytes(), nil, 7) },
		"another version":                 func(id ConnectionID) []byte { return demuxLong(0xc0, 7, "12345678", "peer") },
		"a long header cut short":         func(id ConnectionID) []byte { return []byte{0xff, 1, 2, 3, 4, 0xff} },
	} {
		for side := range Side(2) {
			s, token := newResetScript(t, side)
			b := append(begin(s.c.local.active[0].id), make([]byte, 20)...)
			s.receive(append(b, make([]byte, wire.ResetTokenLen)...))
			s.wantOpen()
			s.receive(append(b, token[:]...))
			if s.c.Err() != ErrStatelessReset || s.c.state != stateDraining {
				t.Errorf("%s, %v: %v", name, side, s.c.Err())
			}
			if len(s.sent()) > 0 {
				t.Errorf("%s, %v: sent something after a stateless reset", name, side)
			}
		}
	}
}

// A closing connection holds on to next to nothing.
func TestClosingState(t *testing.T) {
	p := newTestPair(t)
	p.establish()
	c := p.conn[Server]
	c.Close(p.now, nil)
	if c.tls != nil || c.hs != nil || c.keys.CanSend() || c.keys.CanReceive() || c.peer.active != nil || c.rec.InFlight() != 0 {
		t.Error("state is left over")
	}
	if n := cap(c.closing.packet); n > 512 {
		t.Errorf("a packet of %d bytes", n)
	}
	if _, ok := c.rec.LargestAcked(recovery.AppData); ok {
		t.Error("packets are left over")
	}
	if c.Stats().PacketsSent == 0 || c.Stats().RTT == 0 {
		t.Errorf("statistics are gone: %+v", c.Stats())
	}
}
