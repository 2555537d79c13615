package engine

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dunlin-quic/dunlin/quic"
	"github.com/dunlin-quic/dunlin/udp"
)

// Garbage, damaged and replayed datagrams in great number change nothing for others and leave nothing behind.
func TestGarbage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, ListenConfig{})
		defer p.close(t)
		// What a handshake and a request look like, for an attacker to play with.
		var seen [][]byte
		p.net.drop = func(_, to netip.AddrPort, b []byte) bool {
			if to == p.server.LocalAddr() {
				seen = append(seen, bytes.Clone(b))
			}
			return false
		}
		a := newCaller()
		c, err := p.dial(t.Context(), a.app)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := a.call(c, make([]byte, 10000)); err != nil {
			t.Fatal(err)
		}
		p.net.mu.Lock()
		p.net.drop = nil
		p.net.mu.Unlock()

		r := rand.New(rand.NewPCG(1, 2))
		attacker := p.net.listen("10.6.6.6:666")
		defer attacker.Close()
		for i := range 30_000 {
			var b []byte
			switch i % 4 {
			case 0: // noise
				b = make([]byte, r.IntN(1500))
				for j := range b {
					b[j] = byte(r.Uint32())
				}
			case 1: // cut short
				b = seen[r.IntN(len(seen))]
				b = b[:r.IntN(len(b))]
			case 2: // damaged
				b = bytes.Clone(seen[r.IntN(len(seen))])
				b[r.IntN(len(b))] ^= byte(1 + r.IntN(255))
			case 3: // replayed
				b = seen[r.IntN(len(seen))]
			}
			attacker.Send(udp.Datagrams{Buf: b, Remote: p.server.LocalAddr(), SegmentSize: r.IntN(3) * 200})
			if i%1000 == 0 {
				time.Sleep(100 * time.Millisecond)
			}
		}
		time.Sleep(time.Second)
		if got, err := a.call(c, []byte("hello")); err != nil || string(got) != "hello" {
			t.Errorf("the connection: %q, %v", got, err)
		}
		if _, err := p.dial(t.Context(), newCaller().app); err != nil {
			t.Errorf("a new connection: %v", err)
		}
		time.Sleep(time.Minute) // handshakes that go nowhere are over
		st := p.server.Stats()
		if st.Handshakes != 0 || st.QueuedBytes != 0 {
			t.Errorf("%+v", st)
		}
		for _, reason := range []quic.DemuxReason{quic.DropNotQUIC, quic.DropMalformed, quic.DropForged, quic.ReplyStatelessReset} {
			if st.Demux[reason.String()] == 0 {
				t.Errorf("nothing was counted as %v", reason)
			}
		}
	})
}

// The routers of an endpoint share their connections: whichever socket a packet comes in on, it finds its connection,
// and the answer leaves where the packet came in. RFC 9000, Section 21.11 (MUST 2) and Section 11 (MUST 1).
func TestSeveralSockets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newFakeNet(time.Millisecond)
		server := n.endpoint(t, EndpointConfig{}, "10.0.0.2:443", "10.0.0.2:444")
		defer server.Close()
		if _, err := server.Listen(&ListenConfig{QUIC: serverQUIC(), NewApplication: newEcho}); err != nil {
			t.Fatal(err)
		}
		client := n.endpoint(t, EndpointConfig{}, clientAddr)
		defer client.Close()
		// The second socket stands for another thread of the same address: the network between translates.
		second, virtual := netip.MustParseAddrPort("10.0.0.2:444"), server.LocalAddr()
		moved := false
		var mu sync.Mutex
		through := 0
		n.rewrite = func(from, to netip.AddrPort) (netip.AddrPort, netip.AddrPort) {
			mu.Lock()
			defer mu.Unlock()
			if moved && to == virtual {
				to = second
				through++
			}
			if from == second {
				from = virtual
			}
			return from, to
		}
		a := newCaller()
		c, err := client.Dial(t.Context(), virtual, &DialConfig{QUIC: clientQUIC(), NewApplication: a.app})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := a.call(c, []byte("before")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		mu.Lock()
		moved = true
		mu.Unlock()
		got, err := a.call(c, bytes.Repeat([]byte("after"), 10000))
		if err != nil || len(got) != 50000 {
			t.Errorf("%d bytes, %v", len(got), err)
		}
		mu.Lock()
		defer mu.Unlock()
		if server.Stats().Accepted != 1 || through == 0 {
			t.Errorf("%d connections accepted, %d datagrams through the second socket", server.Stats().Accepted, through)
		}
	})
}

// Two routers that see the same datagrams at a time make one connection of them.
func TestDuplicatedAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newFakeNet(time.Millisecond)
		n.copyOf, n.copyTo = netip.MustParseAddrPort("10.0.0.2:443"), netip.MustParseAddrPort("10.0.0.2:444")
		server := n.endpoint(t, EndpointConfig{}, n.copyOf.String(), n.copyTo.String())
		defer server.Close()
		if _, err := server.Listen(&ListenConfig{QUIC: serverQUIC(), NewApplication: newEcho}); err != nil {
			t.Fatal(err)
		}
		// Answers leave where the last copy came in, and clients know the first socket only.
		n.rewrite = func(from, to netip.AddrPort) (netip.AddrPort, netip.AddrPort) {
			if from == n.copyTo {
				from = n.copyOf
			}
			return from, to
		}
		client := n.endpoint(t, EndpointConfig{}, clientAddr)
		defer client.Close()
		const dials = 50
		for range dials {
			a := newCaller()
			c, err := client.Dial(t.Context(), n.copyOf, &DialConfig{QUIC: clientQUIC(), NewApplication: a.app})
			if err != nil {
				t.Fatal(err)
			}
			if got, err := a.call(c, []byte("hello")); err != nil || string(got) != "hello" {
				t.Errorf("%q, %v", got, err)
			}
		}
		time.Sleep(time.Second)
		if st := server.Stats(); st.Accepted != dials || st.Connections != dials {
			t.Errorf("%d accepted, %d there", st.Accepted, st.Connections)
		}
	})
}

// A socket that fails takes its endpoint with it, which says why.
func TestSocketFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, ListenConfig{})
		a := newScripted()
		c, err := p.dial(t.Context(), a.app)
		if err != nil {
			t.Fatal(err)
		}
		fault := errors.New("the cable is cut")
		p.client.routers()[0].sock.(*fakeSocket).fault <- fault
		<-c.Done()
		if n := a.closes.Load(); n != 1 {
			t.Errorf("OnClose was called %d times", n)
		}
		<-p.client.Done()
		if err := p.client.Close(); !errors.Is(err, fault) {
			t.Errorf("Close: %v", err)
		}
		if _, err := p.dial(t.Context(), newCaller().app); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Dial: %v", err)
		}
		p.server.Close()
	})
}

// A datagram that came in on another of the server's sockets, from whomever, must not draw a connection's packets there:
// they would leave from another address than the peer talks to.
func TestStrayDatagramOnAnotherSocket(t *testing.T) {
	first, err := udp.Listen("127.0.0.1:0", nil)
	if err != nil {
		t.Fatal(err)
	}
	second, err := udp.Listen(netip.AddrPortFrom(netip.MustParseAddr("127.0.0.2"), first.LocalAddr().Port()).String(), nil)
	if err != nil {
		first.Close()
		t.Skip("the host has one loopback address, or the port is taken on the other: ", err)
	}
	server, err := NewEndpoint(nil, first, second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	var served *worker
	accepted := make(chan struct{})
	if _, err := server.Listen(&ListenConfig{QUIC: serverQUIC(), NewApplication: func(info ConnInfo) (ApplicationOverQUIC, error) {
		served = info.Connection.w
		close(accepted)
		return newEcho(info)
	}}); err != nil {
		t.Fatal(err)
	}
	a := newCaller()
	c, err := testEndpoint(t, EndpointConfig{}, "127.0.0.1:0").Dial(testContext(t), first.LocalAddr(), &DialConfig{QUIC: clientQUIC(), NewApplication: a.app})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.call(c, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	<-accepted
	var stray []byte
	served.handle.Do(func(s *Session) { stray = append([]byte{0x40}, served.ids[len(served.ids)-1].Bytes()...) })
	stray = append(stray, make([]byte, 40)...)
	socket, err := net.Dial("udp", second.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	for closed := false; !closed; {
		// Packets of the client may come between.
		if _, err := socket.Write(stray); err != nil {
			t.Fatal(err)
		}
		err := served.handle.Do(func(s *Session) {
			if closed = served.via.sock == second; closed {
				s.Conn().Close(s.Now(), &quic.ApplicationError{Code: 7})
			}
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	select {
	case err := <-a.closed:
		var e *quic.ApplicationError
		if !errors.As(err, &e) || e.Code != 7 {
			t.Errorf("the client saw %v", err)
		}
	case <-testContext(t).Done():
		t.Error("the client does not hear of the end")
	}
	if n := second.Stats().DatagramsSent; n > 0 {
		t.Errorf("%d datagrams left from an address that the client does not know", n)
	}
}

func TestRetry(t *testing.T) {
	for _, c := range []struct {
		policy  quic.RetryPolicy
		max     int // handshakes
		retried bool
	}{
		{quic.RetryAlways, 0, true}, {quic.RetryNever, 1, false}, {quic.RetryUnderLoad, 0, false}, {quic.RetryUnderLoad, -1, false},
	} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPair(t, ListenConfig{Retry: c.policy, Endpoint: EndpointConfig{MaxHandshakes: c.max}})
				defer p.close(t)
				if _, err := p.dial(t.Context(), newCaller().app); err != nil {
					t.Fatal(err)
				}
				if n := p.server.Stats().Demux[quic.ReplyRetry.String()]; (n > 0) != c.retried {
					t.Errorf("%d Retry packets", n)
				}
			})
		})
	}
}

// Handshakes that clients leave unfinished make the server ask for proof of address, and then for patience, but it lets those
// in who prove theirs once there is room.
func TestHandshakeFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit = 20
		p := newPair(t, ListenConfig{Endpoint: EndpointConfig{MaxHandshakes: limit}})
		defer p.close(t)
		var mu sync.Mutex
		silent := make(map[netip.AddrPort]bool)
		p.net.drop = func(_, to netip.AddrPort, _ []byte) bool { // answers never reach the flood
			mu.Lock()
			defer mu.Unlock()
			return silent[to]
		}
		var flood []*Endpoint
		for i := range 3 * limit {
			a := fmt.Sprintf("10.1.0.%d:1", i)
			e := p.net.endpoint(t, EndpointConfig{}, a)
			mu.Lock()
			silent[e.LocalAddr()] = true
			mu.Unlock()
			flood = append(flood, e)
			go e.Dial(t.Context(), p.server.LocalAddr(), &DialConfig{QUIC: clientQUIC(), NewApplication: newCaller().app})
		}
		time.Sleep(time.Second)
		st := p.server.Stats()
		if st.Handshakes != limit/2 || st.Demux[quic.ReplyRetry.String()] == 0 {
			t.Errorf("%d handshakes, %d Retry packets", st.Handshakes, st.Demux[quic.ReplyRetry.String()])
		}
		c, err := p.dial(t.Context(), newCaller().app)
		if err != nil {
			t.Fatalf("an honest client: %v", err)
		}
		c.Close()
		for _, e := range flood {
			e.Close()
		}
		time.Sleep(time.Minute)
		if n := p.server.Stats().Handshakes; n != 0 {
			t.Errorf("%d handshakes left", n)
		}
	})
}

func TestLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, ListenConfig{Endpoint: EndpointConfig{MaxConnections: 2}})
		defer p.close(t)
		var cs []*Connection
		for range 2 {
			c, err := p.dial(t.Context(), newCaller().app)
			if err != nil {
				t.Fatal(err)
			}
			cs = append(cs, c)
		}
		_, err := p.dial(t.Context(), newCaller().app)
		if e, ok := err.(*quic.TransportError); !ok || e.Code != quic.ConnectionRefused {
			t.Errorf("the third was told %v", err)
		}
		cs[0].Close()
		time.Sleep(time.Minute)
		if _, err := p.dial(t.Context(), newCaller().app); err != nil {
			t.Errorf("after one left: %v", err)
		}
		// A handshake limit of 1 lets clients in one by one: the others try again by themselves.
		p2 := newPair(t, ListenConfig{Retry: quic.RetryNever, Endpoint: EndpointConfig{MaxHandshakes: 1}})
		defer p2.close(t)
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				if _, err := p2.dial(t.Context(), newCaller().app); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if p2.server.Stats().HandshakeDrops == 0 {
			t.Error("no attempt was dropped")
		}
	})
}

// A server that lost its state says so with a stateless reset, which finds its connection although it names none.
// RFC 9000, Section 10.3.1 (MUST 1).
func TestStatelessReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newFakeNet(time.Millisecond)
		key := &[32]byte{1, 2, 3}
		start := func() *Endpoint {
			e := n.endpoint(t, EndpointConfig{StatelessResetKey: key}, serverAddr)
			if _, err := e.Listen(&ListenConfig{QUIC: serverQUIC(), NewApplication: newEcho}); err != nil {
				t.Fatal(err)
			}
			return e
		}
		first := start()
		client := n.endpoint(t, EndpointConfig{}, clientAddr)
		a, b := newCaller(), newCaller()
		c, err := client.Dial(t.Context(), first.LocalAddr(), &DialConfig{QUIC: clientQUIC(), NewApplication: a.app})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.Dial(t.Context(), first.LocalAddr(), &DialConfig{QUIC: clientQUIC(), NewApplication: b.app}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		first.routers()[0].sock.Close() // a crash
		second := start()
		if _, err := a.call(c, make([]byte, 100)); err != quic.ErrStatelessReset {
			t.Errorf("%v", err)
		}
		select {
		case err := <-b.closed:
			t.Errorf("the other connection was told %v", err)
		default:
		}
		client.Close()
		second.Close()
		first.Close()
	})
}

// RFC 9000, Section 10.3 (MUST 5) and Section 10.3.1 (MUST 1): a stateless reset finds its connection whatever it
// begins with.
func TestStatelessResetLooksLikeAnything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, ListenConfig{})
		defer p.close(t)
		a := newCaller()
		c, err := p.dial(t.Context(), a.app)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := a.call(c, []byte("hello")); err != nil {
			t.Fatal(err)
		}
		r := p.client.routers()[0]
		door, m := r.demux.Load(), &udp.Message{Local: p.client.LocalAddr(), Remote: p.server.LocalAddr(), Received: time.Now()}
		tokens := &p.client.routes.resets
		for hidden := range tokens.m {
			var token quic.StatelessResetToken
			block := tokens.block
			block.Decrypt(token[:], hidden[:])
			for _, begin := range []string{"\x41", "\x01", "\xc0\x00\x00\x00\x01\x08nobody's", "\xe0\x00\x00\x00\x00\x00\x00", "\xffother"} {
				for _, end := range []quic.StatelessResetToken{token, {1, 2, 3}} {
					b := append([]byte(begin+"some random bytes, of which none matter"), end[:]...)
					id, known := door.demux.DCID(b)
					if got := r.find(door, m, b, id, known); (got == c.w) != (end == token) {
						t.Errorf("%q, with the token: %v: worker %p, want %p", begin, end == token, got, c.w)
					}
				}
			}
		}
		if len(tokens.m) == 0 {
			t.Error("no tokens are known")
		}
	})
}

// RFC 9000, Section 14.2.1 (MUST 1, 2, 3): nobody can make packets larger or smaller, or end a connection, by ICMP messages
// that quote what went out. Only an attempt that is refused ends by one, if it quotes a packet of that attempt.
func TestICMPIsHearsay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, ListenConfig{})
		defer p.close(t)
		a := newCaller()
		c, err := p.dial(t.Context(), a.app)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := a.call(c, make([]byte, 100_000)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		size := func() (n int) {
			if err := c.Do(func(s *Session) { n = s.Conn().Stats().PacketSize }); err != nil {
				t.Fatal(err)
			}
			return n
		}
		before := size()
		id := c.w.ids[len(c.w.ids)-1]
		for _, remote := range []netip.AddrPort{p.server.LocalAddr(), netip.MustParseAddrPort("10.6.6.6:666")} {
			for _, e := range []error{syscall.EMSGSIZE, syscall.EHOSTUNREACH, syscall.ECONNREFUSED} {
				for _, quoted := range [][]byte{
					append([]byte{0x41}, id.Bytes()...),
					append([]byte{0xc0, 0, 0, 0, 1, 8, 1, 2, 3, 4, 5, 6, 7, 8, 8}, "another!"...),
				} {
					b := append(quoted, make([]byte, 100)...)
					p.client.routers()[0].refused(&udp.Message{Local: p.client.LocalAddr(), Remote: remote, Buf: b, N: len(b), Err: e})
				}
			}
		}
		if got, err := a.call(c, make([]byte, 1000)); err != nil || len(got) != 1000 {
			t.Errorf("%d bytes, %v", len(got), err)
		}
		if after := size(); after != before || before <= 1200 {
			t.Errorf("packets of %d bytes, before %d", after, before)
		}
	})
}

// Stateless resets have a bound: whoever sends packets of no connection gets no packet for each.
func TestResetLimit(t *testing.T) {
	var l limiter
	now := time.Unix(1000, 0)
	for i := range 2 * replyBurst {
		if got, want := l.allow(now), i < replyBurst; got != want {
			t.Fatalf("reset %d: %v", i, got)
		}
	}
	now = now.Add(100 * time.Millisecond)
	n := 0
	for l.allow(now) {
		n++
	}
	if n != repliesPerSecond/10 {
		t.Errorf("%d resets after 100 ms", n)
	}
}

// Whatever comes in a read, in whatever segments, a router finds its way through.
func FuzzRouter(f *testing.F) {
	n := newFakeNet(0)
	e, err := NewEndpoint(nil, n.listen(serverAddr))
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { e.Close() })
	if _, err := e.Listen(&ListenConfig{QUIC: serverQUIC(), NewApplication: newEcho}); err != nil {
		f.Fatal(err)
	}
	remote := netip.MustParseAddrPort(clientAddr)
	// A router of the same endpoint that no goroutine runs.
	r := newRouter(e, n.listen("10.0.0.2:444"))
	r.demux.Store(e.routers()[0].demux.Load())
	p := r.party(0)

	client, err := quic.NewClient(time.Now(), clientQUIC(), quic.Path{Local: remote, Remote: e.LocalAddr()})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { client.Close(time.Now(), nil) })
	buf := make([]byte, 64<<10)
	t, _ := client.PollTransmit(time.Now(), buf, 10)
	f.Add(buf[:t.Len], t.SegmentSize)
	f.Add(append(bytes.Clone(buf[:1200]), buf[:1200]...), 1200)
	f.Add(buf[:1200], 400)
	f.Add(bytes.Repeat([]byte{0x40, 1, 2, 3, 4, 5, 6, 7, 8}, 100), 90)
	f.Add([]byte{}, 0)
	f.Fuzz(func(t *testing.T, data []byte, size int) {
		m := &r.msgs[0]
		m.N = copy(m.Buf, data)
		m.SegmentSize = 0
		if size > 0 && size < m.N {
			m.SegmentSize = size
		}
		m.Local, m.Remote, m.Received = r.local, remote, time.Now()
		r.sort(0)
		if !p.wakeTouched() {
			t.Skip("this router was replaced")
		}
		if len(r.msgs[0].Buf) != 64<<10 {
			t.Errorf("the socket is lent a buffer of %d bytes", len(r.msgs[0].Buf))
		}
	})
}

// What is in the mailboxes has bounds, for each and for all together.
func TestMailbox(t *testing.T) {
	shared := &budget{limit: 10 * 16 << 10}
	a, b := &mailbox{limit: 6 * 16 << 10, shared: shared}, &mailbox{limit: -1, shared: shared}
	put := func(m *mailbox, size, times int) (accepted int) {
		for range times {
			if p := newPacket(size); m.put(p) {
				accepted++
			} else {
				p.release()
			}
		}
		return accepted
	}
	if n := put(a, 10000, 10); n != 6 {
		t.Errorf("the mailbox took %d of 6 packets", n)
	}
	if n := put(b, 10000, 10); n != 4 {
		t.Errorf("all together took %d of 4 packets", n)
	}
	got := a.take()
	if n := put(b, 100, 1); n != 0 {
		t.Error("packets that were taken are no longer charged")
	}
	first := got.takePacket()
	a.release(first)
	if n := put(b, 100, 100); n != 8 {
		t.Errorf("16 KiB took %d small packets, want 8", n)
	}
	a.releaseAll(got.head)
	b.close()
	if a.used.Load() != 0 || b.used.Load() != 0 || shared.used.Load() != 0 {
		t.Errorf("left: %d, %d, %d", a.used.Load(), b.used.Load(), shared.used.Load())
	}
	if put(b, 100, 1) != 0 || b.ask(func(*mail) {}) || shared.used.Load() != 0 {
		t.Error("a closed mailbox took something")
	}
}

// A packet that waits pins no more memory than it needs, within a factor of the sizes of buffers.
func TestPacketSizes(t *testing.T) {
	for _, c := range []struct{ size, store int }{
		{0, 2 << 10}, {1200, 2 << 10}, {2 << 10, 2 << 10}, {2<<10 + 1, 16 << 10}, {16 << 10, 16 << 10}, {20000, 64 << 10}, {64 << 10, 64 << 10},
	} {
		if p := newPacket(c.size); len(p.store) != c.store {
			t.Errorf("%d bytes: a buffer of %d, want %d", c.size, len(p.store), c.store)
		}
	}
}

// An application that blocks costs its own connection. The router it blocked is replaced, and mail for it has a bound.
func TestStuckApplication(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit = 256 << 10
		release := make(chan struct{})
		var block atomic.Bool
		stuck := newScripted()
		stuck.reads = func(*Session) error {
			// In a step that the router runs: a timer's may be faster to the first packets.
			if block.Load() && strings.Contains(string(debug.Stack()), "(*router).run(") {
				<-release
			}
			return nil
		}
		n := 0
		p := newPair(t, ListenConfig{
			Endpoint: EndpointConfig{MailboxBytes: limit},
			NewApplication: func(i ConnInfo) (ApplicationOverQUIC, error) {
				if n++; n == 1 {
					return stuck, nil
				}
				return newEcho(i)
			},
		})
		defer p.close(t)
		victim, other := newCaller(), newCaller()
		v, err := p.dial(t.Context(), victim.app)
		if err != nil {
			t.Fatal(err)
		}
		c, err := p.dial(t.Context(), other.app)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		block.Store(true)
		v.Do(func(s *Session) {
			stream, _ := s.Conn().OpenStream(quic.Uni)
			stream.TryWrite(make([]byte, 100_000), false)
		})
		time.Sleep(time.Second)
		if got, err := other.call(c, []byte("hello")); err != nil || string(got) != "hello" {
			t.Errorf("the other connection: %q, %v", got, err)
		}
		if _, err := p.dial(t.Context(), newCaller().app); err != nil {
			t.Errorf("a new connection: %v", err)
		}
		if n := p.server.Stats().Takeovers; n == 0 {
			t.Error("no router was replaced")
		}
		// Fill the mailbox.
		flood := p.net.listen("10.6.6.6:666")
		defer flood.Close()
		var id quic.ConnectionID
		p.server.mu.Lock()
		for w := range p.server.workers {
			if w.handle.Application() == ApplicationOverQUIC(stuck) {
				id = w.ids[len(w.ids)-1]
			}
		}
		p.server.mu.Unlock()
		packet := append(id.Append([]byte{0x40}), make([]byte, 1000)...)
		for i := range 1000 {
			flood.Send(udp.Datagrams{Buf: packet, Remote: p.server.LocalAddr()})
			if i%100 == 0 {
				time.Sleep(10 * time.Millisecond)
			}
		}
		time.Sleep(100 * time.Millisecond)
		if st := p.server.Stats(); st.QueuedBytes > limit || st.MailboxDrops == 0 {
			t.Errorf("%d bytes queued, %d drops", st.QueuedBytes, st.MailboxDrops)
		}
		block.Store(false)
		close(release)
		time.Sleep(time.Second)
		if st := p.server.Stats(); st.QueuedBytes != 0 {
			t.Errorf("%d bytes queued after the end", st.QueuedBytes)
		}
		if got, err := other.call(c, []byte("hello")); err != nil || string(got) != "hello" {
			t.Errorf("the other connection afterwards: %q, %v", got, err)
		}
		if st := v.Stats(); st.RTT == 0 || stuck.closes.Load() != 0 {
			t.Error("the stuck connection did not survive")
		}
	})
}

// What came from one sender in one read may belong to several connections, in any order; each gets its own datagrams.
func TestSegmentsOfSeveralConnections(t *testing.T) {
	n := newFakeNet(0)
	e, err := NewEndpoint(nil, n.listen(serverAddr))
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if _, err := e.Listen(&ListenConfig{QUIC: serverQUIC(), NewApplication: newEcho}); err != nil {
		t.Fatal(err)
	}
	// A router of the same endpoint that no goroutine runs.
	r := newRouter(e, n.listen("10.0.0.2:444"))
	r.demux.Store(e.routers()[0].demux.Load())
	p := r.party(0)

	remote := netip.MustParseAddrPort(clientAddr)
	const size = 1200
	var flights [3][]byte
	for i := range flights {
		client, err := quic.NewClient(time.Now(), clientQUIC(), quic.Path{Local: remote, Remote: e.LocalAddr()})
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close(time.Now(), nil)
		buf := make([]byte, 64<<10)
		transmit, _ := client.PollTransmit(time.Now(), buf, 10)
		if flights[i] = buf[:transmit.Len]; len(flights[i]) != 2*size || transmit.SegmentSize != size {
			t.Fatalf("a first flight of %d bytes", len(flights[i]))
		}
	}
	m := &r.msgs[0]
	m.N = 0
	for _, part := range []int{0, size} {
		for _, flight := range flights {
			m.N += copy(m.Buf[m.N:], flight[part:part+size])
		}
	}
	m.SegmentSize, m.Local, m.Remote, m.Received = size, r.local, remote, time.Now()
	r.sort(0)
	if !p.wakeTouched() {
		t.Fatal("this router was replaced")
	}
	if accepted := e.Stats().Accepted; accepted != uint64(len(flights)) {
		t.Errorf("%d connections", accepted)
	}
	for i, flight := range flights {
		id, _ := r.demux.Load().demux.DCID(flight)
		w := e.routes.lookup(&id)
		if w == nil {
			t.Errorf("client %d has no connection", i)
			continue
		}
		got := make(chan uint64, 1)
		w.handle.Do(func(s *Session) { got <- s.Conn().Stats().PacketsReceived })
		if packets := <-got; packets != 2 {
			t.Errorf("client %d's connection received %d packets", i, packets)
		}
	}
}
