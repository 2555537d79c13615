package engine

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dunlin-quic/dunlin/internal/udpproxy"
	"github.com/dunlin-quic/dunlin/quic"
	"github.com/dunlin-quic/dunlin/udp"
)

// traveller is a caller that stops reading in the middle of a transfer, and that hears of paths.
type traveller struct {
	*caller
	stopAt  int           // bytes received after which it reads no more
	stopped chan struct{} // closed when it has stopped

	moved chan struct{} // closed when the connection has first moved

	mu    sync.Mutex
	heard []quic.PathEventKind
}

func newTraveller(stopAt int) *traveller {
	return &traveller{caller: newCaller(), stopAt: stopAt, stopped: make(chan struct{}), moved: make(chan struct{})}
}

func (a *traveller) app(ConnInfo) (ApplicationOverQUIC, error) { return a, nil }

func (a *traveller) ProcessReads(s *Session) error {
	n := 0
	for _, x := range a.calls {
		n += len(x.got)
	}
	if a.stopAt > 0 && n >= a.stopAt {
		select {
		case <-a.stopped:
		default:
			close(a.stopped)
		}
		return nil
	}
	return a.caller.ProcessReads(s)
}

func (a *traveller) OnPathEvent(_ *Session, e quic.PathEvent) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if e.Kind == quic.PathMigrated && !slices.Contains(a.heard, e.Kind) {
		close(a.moved)
	}
	a.heard = append(a.heard, e.Kind)
	return nil
}

func (a *traveller) events() []quic.PathEventKind {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.heard)
}

// transfer begins to send data and to receive it back. It returns in the middle of that; the function waits for the rest and
// checks it.
func (a *traveller) transfer(t *testing.T, c *Connection, data []byte) (rest func()) {
	t.Helper()
	type result struct {
		got []byte
		err error
	}
	results := make(chan result, 1)
	go func() {
		got, err := a.call(c, data)
		results <- result{got, err}
	}()
	select {
	case <-a.stopped:
	case r := <-results:
		t.Fatalf("%d bytes came back, %v", len(r.got), r.err)
	}
	return func() {
		t.Helper()
		if err := c.Do(func(s *Session) { a.stopAt = 0 }); err != nil {
			t.Fatal(err)
		}
		c.Wake()
		r := <-results
		if r.err != nil || sha256.Sum256(r.got) != sha256.Sum256(data) {
			t.Errorf("%d of %d bytes came back, %v", len(r.got), len(data), r.err)
		}
	}
}

func (a *traveller) dial(t *testing.T, e *Endpoint, to netip.AddrPort) *Connection {
	t.Helper()
	c, err := e.Dial(testContext(t), to, &DialConfig{QUIC: clientQUIC(), NewApplication: a.app})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// addSocket opens another socket for e.
func addSocket(t *testing.T, e *Endpoint, address string) netip.AddrPort {
	t.Helper()
	s, err := udp.Listen(address, &udp.Config{Errors: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.AddSocket(s); err != nil {
		t.Fatal(err)
	}
	return s.LocalAddr()
}

// A client moves to another socket in the middle of a transfer, and the one that it came from is closed.
func TestMigrate(t *testing.T) {
	for _, listen := range []string{"127.0.0.1:0", "[::1]:0"} {
		t.Run(listen, func(t *testing.T) {
			needIPv6(t, listen)
			l := testListen(t, ListenConfig{}, listen)
			e := testEndpoint(t, EndpointConfig{}, listen)
			a := newTraveller(1 << 20)
			c := a.dial(t, e, l.Addr())
			rest := a.transfer(t, c, randomBytes(8<<20))
			old := e.LocalAddr()
			to := addSocket(t, e, listen)
			if err := c.Probe(testContext(t), to); err != nil {
				t.Errorf("Probe: %v", err)
			}
			if got := c.PathStats(); len(got) != 2 || got[0].Path.Local != old || got[1].Path.Local != to || !got[1].Validated {
				t.Errorf("paths %+v", got)
			}
			if err := c.Migrate(testContext(t), to); err != nil {
				t.Fatalf("Migrate: %v", err)
			}
			if err := e.RemoveSocket(old); err != nil {
				t.Fatal(err)
			}
			rest()
			stats := c.PathStats()
			if len(stats) == 0 || stats[0].Path.Local != to || stats[0].BytesReceived < 1<<20 {
				t.Errorf("paths %+v", stats)
			}
			if got, want := a.events(), []quic.PathEventKind{quic.PathValidated, quic.PathMigrated}; !slices.Equal(got, want) {
				t.Errorf("heard %v, want %v", got, want)
			}
			if st := l.Endpoint().Stats(); st.Accepted != 1 {
				t.Errorf("%d connections accepted", st.Accepted)
			}
			if got := e.Addrs(); !slices.Equal(got, []netip.AddrPort{to}) {
				t.Errorf("sockets at %v", got)
			}
		})
	}
}

// A NAT gives the client other ports in the middle of a transfer.
func TestRebindingInTransfer(t *testing.T) {
	l := testListen(t, ListenConfig{})
	relay, err := udpproxy.Listen(l.Addr(), udpproxy.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { relay.Close() })
	a := newTraveller(0)
	c := a.dial(t, testEndpoint(t, EndpointConfig{}, "127.0.0.1:0"), relay.Addr())
	data := randomBytes(2 << 20)
	for range 4 {
		if err := c.Do(func(s *Session) {
			a.stopAt, a.stopped = 200_000, make(chan struct{})
		}); err != nil {
			t.Fatal(err)
		}
		rest := a.transfer(t, c, data)
		relay.Rebind()
		rest()
	}
	if st := l.Endpoint().Stats(); st.Accepted != 1 {
		t.Errorf("%d connections accepted", st.Accepted)
	}
}

// The sockets of a server share its connections: a client that moves is found on whichever of them the system picks.
func TestMigrateAcrossSockets(t *testing.T) {
	first, err := udp.Listen("127.0.0.1:0", &udp.Config{ReusePort: true})
	if err != nil {
		t.Skip(err)
	}
	second, err := udp.Listen(first.LocalAddr().String(), &udp.Config{ReusePort: true})
	if err != nil {
		first.Close()
		t.Skip(err)
	}
	server, err := NewEndpoint(nil, first, second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	if _, err := server.Listen(&ListenConfig{QUIC: serverQUIC(), NewApplication: newEcho}); err != nil {
		t.Fatal(err)
	}
	e := testEndpoint(t, EndpointConfig{}, "127.0.0.1:0")
	a := newTraveller(0)
	c := a.dial(t, e, first.LocalAddr())
	changed := false
	was := first.Stats().DatagramsReceived > 0
	for range 64 {
		old := c.PathStats()[0].Path.Local
		if err := c.Migrate(testContext(t), addSocket(t, e, "127.0.0.1:0")); err != nil {
			t.Fatal(err)
		}
		if err := e.RemoveSocket(old); err != nil {
			t.Fatal(err)
		}
		before := first.Stats().DatagramsReceived
		if got, err := a.call(c, []byte("still here")); err != nil || string(got) != "still here" {
			t.Fatalf("%q, %v", got, err)
		}
		if is := first.Stats().DatagramsReceived > before; is != was {
			changed = true
			break
		}
	}
	if !changed {
		t.Skip("the system gave every port to the same socket")
	}
	if st := server.Stats(); st.Accepted != 1 || st.Connections != 1 {
		t.Errorf("%d connections accepted", st.Accepted)
	}
}

// Clients move to a listener's preferred address by themselves, of the family that they use.
func TestPreferredAddress(t *testing.T) {
	for _, listen := range []string{"127.0.0.1:0", "[::1]:0"} {
		t.Run(listen, func(t *testing.T) {
			needIPv6(t, listen)
			preferred := []string{"127.0.0.1:0"}
			if s, err := udp.Listen("[::1]:0", nil); err == nil {
				s.Close()
				preferred = append(preferred, "[::1]:0")
			}
			l := testListen(t, ListenConfig{Preferred: preferred}, listen)
			a := newTraveller(1 << 20)
			c := a.dial(t, testEndpoint(t, EndpointConfig{}, listen), l.Addr())
			a.transfer(t, c, randomBytes(4<<20))()
			select {
			case <-a.moved:
			case <-testContext(t).Done():
				t.Fatal("the client does not move")
			}
			if got, err := a.call(c, []byte("still here")); err != nil || string(got) != "still here" {
				t.Errorf("%q, %v", got, err)
			}
			remote := c.PathStats()[0].Path.Remote
			if remote == l.Addr() || !slices.Contains(l.Addrs()[1:], remote) {
				t.Errorf("the client talks to %v; the server listens at %v", remote, l.Addrs())
			}
		})
	}
	for _, bad := range [][]string{{"127.0.0.1:0", "127.0.0.1:0"}, {"0.0.0.0:0"}} {
		if l, err := Listen(&ListenConfig{QUIC: serverQUIC(), NewApplication: newEcho, Preferred: bad}, "127.0.0.1:0"); err == nil {
			l.Close()
			t.Errorf("preferred addresses %v were taken", bad)
		}
	}
}

// newTravellers is a client with a second socket, far enough from its server that something can happen meanwhile.
func newTravellers(t *testing.T) (n *fakeNet, a *traveller, c *Connection, server *Endpoint, to netip.AddrPort) {
	n = newFakeNet(10 * time.Millisecond)
	server = n.endpoint(t, EndpointConfig{}, "10.0.0.2:443")
	if _, err := server.Listen(&ListenConfig{QUIC: serverQUIC(), NewApplication: newEcho}); err != nil {
		t.Fatal(err)
	}
	client := n.endpoint(t, EndpointConfig{}, clientAddr, "10.0.0.77:2000")
	a = newTraveller(0)
	c = a.dial(t, client, server.LocalAddr())
	for _, to = range client.Addrs() {
		if to != c.LocalAddr() {
			break
		}
	}
	return n, a, c, server, to
}

// Migrate may be called as soon as there is a connection. Where nothing comes back from, it does not go.
func TestMigrateFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, a, c, server, to := newTravellers(t)
		defer server.Close()
		defer c.Endpoint().Close()
		n.mu.Lock()
		n.drop = func(from, _ netip.AddrPort, _ []byte) bool { return from == to }
		n.mu.Unlock()
		if err := c.Migrate(t.Context(), to); err != ErrPathFailed {
			t.Errorf("to a dead path: %v", err)
		}
		if err := c.Probe(t.Context(), to); err != ErrPathFailed {
			t.Errorf("probe of a dead path: %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if err := c.Migrate(ctx, to); err != context.DeadlineExceeded {
			t.Errorf("with a deadline: %v", err)
		}
		if err := c.Migrate(t.Context(), netip.MustParseAddrPort("10.0.0.9:9")); err == nil || errors.Is(err, ErrPathFailed) {
			t.Errorf("without a socket: %v", err)
		}
		first := make(chan error)
		go func() { first <- c.Migrate(t.Context(), to) }()
		synctest.Wait()
		if err := c.Migrate(t.Context(), c.LocalAddr()); err != nil {
			t.Errorf("to where it is: %v", err)
		}
		if err := <-first; err != ErrMovedElsewhere {
			t.Errorf("superseded: %v", err)
		}
		if got, err := a.call(c, []byte("hello")); err != nil || string(got) != "hello" {
			t.Errorf("%q, %v", got, err)
		}
		n.mu.Lock()
		n.drop = nil
		n.mu.Unlock()
		if err := c.Migrate(t.Context(), to); err != nil {
			t.Error(err)
		}
		n.mu.Lock()
		n.drop = func(from, _ netip.AddrPort, _ []byte) bool { return from == c.LocalAddr() }
		n.mu.Unlock()
		go func() { first <- c.Probe(t.Context(), c.LocalAddr()) }()
		synctest.Wait()
		if err := <-first; err != nil {
			t.Errorf("probe of the path that it came from: %v", err)
		}
		time.Sleep(20 * time.Second)
		go func() { first <- c.Migrate(t.Context(), c.LocalAddr()) }()
		synctest.Wait()
		c.Close()
		if err := <-first; !errors.Is(err, net.ErrClosed) {
			t.Errorf("of a connection that ends: %v", err)
		}
		<-c.Done()
		if err := c.Migrate(t.Context(), to); !errors.Is(err, net.ErrClosed) || c.PathStats() != nil {
			t.Errorf("after the end: %v", err)
		}
	})
}

func TestMigrateAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, c, server, to := newTravellers(t)
		defer server.Close()
		defer c.Endpoint().Close()
		if err := c.Migrate(t.Context(), to); err != nil {
			t.Error(err)
		}
		data := bytes.Repeat([]byte("after"), 10000)
		if got, err := a.call(c, data); err != nil || !bytes.Equal(got, data) {
			t.Errorf("%d bytes, %v", len(got), err)
		}
		if got := c.PathStats()[0].Path.Local; got != to {
			t.Errorf("at %v", got)
		}
	})
}

func TestAddAndRemoveSockets(t *testing.T) {
	e := testEndpoint(t, EndpointConfig{}, "127.0.0.1:0")
	if err := e.RemoveSocket(e.LocalAddr()); err == nil {
		t.Error("the last socket was removed")
	}
	to := addSocket(t, e, "127.0.0.1:0")
	if err := e.RemoveSocket(netip.MustParseAddrPort("127.0.0.1:1")); err == nil {
		t.Error("a socket was removed that is not there")
	}
	if err := e.RemoveSocket(e.LocalAddr()); err != nil || e.LocalAddr() != to {
		t.Error(err, e.LocalAddr())
	}
	e.Close()
	s, err := udp.Listen("127.0.0.1:0", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := e.AddSocket(s); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after the end: %v", err)
	}
}
