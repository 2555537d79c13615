package engine

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/dunlin-quic/dunlin/quic"
	"github.com/dunlin-quic/dunlin/udp"
)

// newPairOnLoopback is newPair over real sockets.
func newPairOnLoopback(t *testing.T, config *quic.Config) *pair {
	t.Helper()
	p := &pair{
		client: testEndpoint(t, EndpointConfig{}, "127.0.0.1:0"), server: testEndpoint(t, EndpointConfig{}, "127.0.0.1:0"),
	}
	var err error
	if p.listener, err = p.server.Listen(&ListenConfig{QUIC: config, NewApplication: newEcho}); err != nil {
		t.Fatal(err)
	}
	return p
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

// needIPv6 skips a test that uses an address which this host lacks.
func needIPv6(t *testing.T, address string) {
	t.Helper()
	if !strings.Contains(address, "::1") {
		return
	}
	s, err := udp.Listen("[::1]:0", nil)
	if err != nil {
		t.Skip("no IPv6 here: ", err)
	}
	s.Close()
}

// Every kind of socket, in both families, carries the same.
func TestSockets(t *testing.T) {
	plain := func(t *testing.T, address string) udp.Socket {
		pc, err := net.ListenPacket("udp", address)
		if err != nil {
			t.Skip(err)
		}
		s, err := udp.Wrap(struct{ net.PacketConn }{pc}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	with := func(cfg udp.Config) func(*testing.T, string) udp.Socket {
		return func(t *testing.T, address string) udp.Socket {
			s, err := udp.Listen(address, &cfg)
			if err != nil {
				t.Skip(err)
			}
			return s
		}
	}
	kinds := []struct {
		name string
		open func(*testing.T, string) udp.Socket
	}{
		{"system", with(udp.Config{Errors: true, Timestamps: true})}, {"portable", with(udp.Config{Portable: true})}, {"plain", plain},
	}
	for _, server := range kinds {
		for _, client := range kinds {
			for _, a := range []struct{ server, client, dial string }{
				{"127.0.0.1:0", "127.0.0.1:0", "127.0.0.1"}, {"[::1]:0", "[::1]:0", "::1"},
				{":0", ":0", "127.0.0.1"}, {":0", ":0", "::1"}, {":0", "0.0.0.0:0", "127.0.0.1"},
			} {
				t.Run(fmt.Sprintf("%s/%s/%v", server.name, client.name, a), func(t *testing.T) {
					needIPv6(t, a.dial)
					se, err := NewEndpoint(nil, server.open(t, a.server))
					if err != nil {
						t.Fatal(err)
					}
					defer se.Close()
					if _, err := se.Listen(&ListenConfig{QUIC: serverQUIC(), NewApplication: newEcho}); err != nil {
						t.Fatal(err)
					}
					ce, err := NewEndpoint(nil, client.open(t, a.client))
					if err != nil {
						t.Fatal(err)
					}
					defer ce.Close()
					app := newCaller()
					remote := netip.AddrPortFrom(netip.MustParseAddr(a.dial), se.LocalAddr().Port())
					c, err := ce.Dial(testContext(t), remote, &DialConfig{QUIC: clientQUIC(), NewApplication: app.app})
					if err != nil {
						t.Fatal(err)
					}
					data := randomBytes(200_000)
					got, err := app.call(c, data)
					if err != nil || !bytes.Equal(got, data) {
						t.Errorf("%d bytes came back as %d: %v", len(data), len(got), err)
					}
				})
			}
		}
	}
}

// A thousand connections share one client's socket, each is served, and at rest they cost no goroutine.
func TestThousandConnections(t *testing.T) {
	n, atOnce := 1000, 50
	if raceEnabled {
		n, atOnce = 200, 10 // handshakes take ten times as long
	}
	client, server := clientQUIC(), serverQUIC()
	client.IdleTimeout, server.IdleTimeout = time.Hour, time.Hour // all handshakes together may take longer than the default
	p := newPairOnLoopback(t, server)
	before := runtime.NumGoroutine()
	apps, conns := make([]*caller, n), make([]*Connection, n)
	each := func(f func(i int)) {
		var wg sync.WaitGroup
		slots := make(chan struct{}, atOnce)
		for i := range n {
			slots <- struct{}{}
			wg.Go(func() {
				f(i)
				<-slots
			})
		}
		wg.Wait()
	}
	each(func(i int) {
		apps[i] = newCaller()
		var err error
		config := &DialConfig{QUIC: client, NewApplication: apps[i].app}
		if conns[i], err = p.client.Dial(testContext(t), p.server.LocalAddr(), config); err != nil {
			t.Error(err)
		}
	})
	if t.Failed() {
		return
	}
	each(func(i int) {
		want := bytes.Repeat([]byte{byte(i)}, 1000+i)
		if got, err := apps[i].call(conns[i], want); err != nil || !bytes.Equal(got, want) {
			t.Errorf("connection %d: %d bytes, %v", i, len(got), err)
		}
	})
	// Timers run a step of each connection now and then, to acknowledge or to probe.
	for start := time.Now(); runtime.NumGoroutine() > before+2*maxWaitingRunners+50; runtime.Gosched() {
		if time.Since(start) > 10*time.Second {
			t.Fatalf("%d goroutines for %d connections", runtime.NumGoroutine()-before, n)
		}
	}
	if st := p.server.Stats(); st.Connections != n || st.Handshakes != 0 {
		t.Errorf("%+v", st)
	}
}

// A closed port ends the attempt that it was meant for, at once, and no other connection of the socket.
// RFC 9000, Section 14.2.1 (MUST 2).
func TestRefused(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		t.Run(address, func(t *testing.T) {
			needIPv6(t, address)
			l := testListen(t, ListenConfig{}, address)
			e := testEndpoint(t, EndpointConfig{}, address)
			if !e.routers()[0].sock.Capabilities().Errors {
				t.Skip("the system tells no socket of ICMP errors")
			}
			gone := testEndpoint(t, EndpointConfig{}, address)
			gone.Close()
			a, c := testDial(t, e, l)
			var wg sync.WaitGroup
			for range 10 {
				wg.Go(func() {
					start := time.Now()
					app := newCaller()
					_, err := e.Dial(testContext(t), gone.LocalAddr(), &DialConfig{QUIC: clientQUIC(), NewApplication: app.app})
					if !errors.Is(err, syscall.ECONNREFUSED) {
						t.Errorf("Dial: %v", err)
					}
					// The handshake's own time-out would be 10 s.
					if d := time.Since(start); d > 5*time.Second {
						t.Errorf("after %v", d)
					}
					if err := <-app.closed; !errors.Is(err, syscall.ECONNREFUSED) {
						t.Errorf("OnClose: %v", err)
					}
				})
				wg.Go(func() {
					data := randomBytes(50_000)
					if got, err := a.call(c, data); err != nil || !bytes.Equal(got, data) {
						t.Errorf("the other connection: %d bytes, %v", len(got), err)
					}
				})
			}
			wg.Wait()
		})
	}
}

func TestNoRoute(t *testing.T) {
	e := testEndpoint(t, EndpointConfig{}, "127.0.0.1:0")
	_, err := e.Dial(testContext(t), netip.MustParseAddrPort("[::1]:443"), &DialConfig{QUIC: clientQUIC(), NewApplication: newCaller().app})
	if err == nil {
		t.Error("an IPv4 socket reached an IPv6 address")
	}
}

// The function Dial finds the address of a name that answers, and leaves nothing behind when the connection ends.
func TestDialByName(t *testing.T) {
	l := testListen(t, ListenConfig{})
	cfg := &DialConfig{QUIC: clientQUIC(), NewApplication: func(ConnInfo) (ApplicationOverQUIC, error) { return newCaller(), nil }}
	cfg.QUIC.TLS = cfg.QUIC.TLS.Clone()
	cfg.QUIC.TLS.ServerName = ""
	// Some hosts have ::1 for localhost as well, where nobody listens.
	c, err := Dial(testContext(t), fmt.Sprintf("localhost:%d", l.Addr().Port()), cfg)
	if err != nil {
		t.Fatal(err)
	}
	data := randomBytes(100_000)
	got, err := c.Application().(*caller).call(c, data)
	if err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	c.Close()
	<-c.Done()
	c.w.e.reading.Wait() // the endpoint ends by itself

	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Dial(ctx, l.Addr().String(), cfg); !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that has ended: %v", err)
	}
	for _, bad := range []string{"localhost", "localhost:nosuchport", "no-such-host.invalid:443"} {
		if _, err := Dial(testContext(t), bad, cfg); err == nil {
			t.Errorf("Dial to %q succeeded", bad)
		}
	}
}

// Of several addresses the first that answers wins: after one that refuses at once, after one that is silent in a while.
func TestDialRace(t *testing.T) {
	l := testListen(t, ListenConfig{})
	gone := testEndpoint(t, EndpointConfig{}, "127.0.0.1:0")
	gone.Close()
	silent, err := udp.Listen("127.0.0.1:0", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	cases := []struct {
		name    string
		remotes []netip.AddrPort
		ok      bool
	}{
		{"it answers", []netip.AddrPort{l.Addr()}, true},
		{"the first refuses", []netip.AddrPort{gone.LocalAddr(), l.Addr()}, true},
		{"the first is silent", []netip.AddrPort{silent.LocalAddr(), l.Addr()}, true},
		{"the second is silent", []netip.AddrPort{l.Addr(), silent.LocalAddr()}, true},
		{"all refuse", []netip.AddrPort{gone.LocalAddr(), gone.LocalAddr()}, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var mu sync.Mutex
			var apps []*caller
			cfg := &DialConfig{QUIC: clientQUIC(), AttemptDelay: 20 * time.Millisecond, NewApplication: func(ConnInfo) (ApplicationOverQUIC, error) {
				mu.Lock()
				defer mu.Unlock()
				apps = append(apps, newCaller())
				return apps[len(apps)-1], nil
			}}
			conn, err := race(testContext(t), c.remotes, cfg)
			if (err == nil) != c.ok {
				t.Fatalf("%v, %v", conn, err)
			}
			if !c.ok && !errors.Is(err, syscall.ECONNREFUSED) {
				t.Skip("the system tells no socket of ICMP errors")
			}
			if c.ok {
				if conn.RemoteAddr() != l.Addr() {
					t.Errorf("connected to %v", conn.RemoteAddr())
				}
				conn.Close()
			}
			// Every application that was made hears of its end.
			mu.Lock()
			defer mu.Unlock()
			for _, a := range apps {
				<-a.closed
			}
		})
	}
}

// Listeners that share ticket keys resume each other's sessions; after a change of keys the old tickets are void.
func TestSessionTicketKeys(t *testing.T) {
	keys := [][32]byte{{1, 2, 3}}
	first, second := testListen(t, ListenConfig{}), testListen(t, ListenConfig{})
	first.SetSessionTicketKeys(keys)
	second.SetSessionTicketKeys(keys)
	e := testEndpoint(t, EndpointConfig{}, "127.0.0.1:0")
	qc := clientQUIC()
	qc.TLS = qc.TLS.Clone()
	qc.TLS.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	resumed := func(l *Listener) (did bool) {
		a := newCaller()
		c, err := e.Dial(testContext(t), l.Addr(), &DialConfig{QUIC: qc, NewApplication: a.app})
		if err != nil {
			t.Fatal(err)
		}
		// The ticket comes before the answer.
		if _, err := a.call(c, []byte("hello")); err != nil {
			t.Fatal(err)
		}
		c.Do(func(s *Session) { did = s.Conn().ConnectionState().DidResume })
		return did
	}
	if resumed(first) {
		t.Error("the first connection resumed a session")
	}
	if !resumed(second) {
		t.Error("another listener with the same keys did not resume")
	}
	second.SetSessionTicketKeys([][32]byte{{4, 5, 6}})
	if resumed(second) {
		t.Error("a ticket outlived its key")
	}
}

// RFC 9000, Section 5.1 (MUST 3).
func TestListenErrors(t *testing.T) {
	ok := ListenConfig{QUIC: serverQUIC(), NewApplication: newEcho}
	taken := testListen(t, ok).Addr().String()
	noApp, noTLS, noQUIC := ok, ok, ok
	noApp.NewApplication = nil
	noTLS.QUIC = &quic.Config{}
	noQUIC.QUIC = nil
	for _, c := range []struct {
		name      string
		cfg       ListenConfig
		addresses []string
	}{
		{"no address", ok, nil}, {"a bad address", ok, []string{"127.0.0.1:nosuchport"}},
		{"an address in use", ok, []string{"127.0.0.1:0", taken}},
		{"no application", noApp, []string{"127.0.0.1:0"}}, {"no TLS config", noTLS, []string{"127.0.0.1:0"}},
		{"no QUIC config", noQUIC, []string{"127.0.0.1:0"}},
	} {
		if l, err := Listen(&c.cfg, c.addresses...); err == nil {
			t.Errorf("%s: no error", c.name)
			l.Close()
		}
	}
	if _, err := NewEndpoint(nil); err == nil {
		t.Error("an endpoint without a socket")
	}
	empty, err := quic.NewConnectionIDGenerator(0, nil)
	if err != nil {
		t.Fatal(err)
	}
	socket, err := udp.Listen("127.0.0.1:0", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	if _, err := NewEndpoint(&EndpointConfig{ConnectionIDs: empty}, socket); err == nil {
		t.Error("an endpoint with empty connection IDs")
	}
}

// Several sockets on several addresses, and several on one.
func TestListenOnMany(t *testing.T) {
	l := testListen(t, ListenConfig{}, "127.0.0.1:0", "127.0.0.1:0")
	e := testEndpoint(t, EndpointConfig{}, "127.0.0.1:0")
	for _, addr := range l.Addrs() {
		a := newCaller()
		c, err := e.Dial(testContext(t), addr, &DialConfig{QUIC: clientQUIC(), NewApplication: a.app})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := a.call(c, []byte("hello")); err != nil || string(got) != "hello" {
			t.Errorf("%v: %q, %v", addr, got, err)
		}
	}
	if runtime.GOOS == "windows" {
		return
	}
	free := testEndpoint(t, EndpointConfig{}, "127.0.0.1:0")
	address := free.LocalAddr().String()
	free.Close()
	l = testListen(t, ListenConfig{Socket: udp.Config{ReusePort: true}}, address, address, address)
	for range 20 {
		// Every client is a sender of its own to the system.
		e := testEndpoint(t, EndpointConfig{}, "127.0.0.1:0")
		a, c := testDial(t, e, l)
		if got, err := a.call(c, []byte("hello")); err != nil || string(got) != "hello" {
			t.Errorf("%q, %v", got, err)
		}
		e.Close()
	}
	used := 0
	for _, s := range l.Endpoint().Stats().Sockets {
		if s.DatagramsReceived > 0 {
			used++
		}
	}
	if used < 2 {
		t.Errorf("20 clients came in on %d sockets", used)
	}
}

// Moving data costs no allocation per packet, on either side.
func TestBulkAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates, and empties pools at random")
	}
	p := newPairOnLoopback(t, serverQUIC())
	a := newCaller()
	c, err := p.dial(testContext(t), a.app)
	if err != nil {
		t.Fatal(err)
	}
	const size = 8 << 20
	data := randomBytes(size)
	x := &exchange{got: make([]byte, 0, size)}
	move := func() {
		x.got, x.unsent, x.done = x.got[:0], data, make(chan error, 1)
		c.Do(func(s *Session) {
			st, err := s.Conn().OpenStream(quic.Bidi)
			if err != nil {
				t.Fatal(err)
			}
			a.calls[st] = x
			x.send(st)
		})
		if err := <-x.done; err != nil {
			t.Fatal(err)
		}
	}
	for range 5 { // windows and pools grow to their size
		move()
	}
	before, sent := mallocs(), c.Stats().PacketsSent
	for range 5 {
		move()
	}
	allocations, packets := mallocs()-before, c.Stats().PacketsSent-sent
	if packets < 5*size/1500 {
		t.Errorf("only %d packets were sent", packets)
	}
	// What is left: streams, growing lists, pools that the garbage collector emptied.
	if allocations > packets/20 {
		t.Errorf("%d allocations for %d packets sent here, and as many received", allocations, packets)
	}
}

func mallocs() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.Mallocs
}
