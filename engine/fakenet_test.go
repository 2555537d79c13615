package engine

import (
	"fmt"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/dunlin-quic/dunlin/udp"
)

// fakeNet is a packet network in memory, for tests under testing/synctest, where real sockets can't be waited for.
type fakeNet struct {
	delay time.Duration

	mu    sync.Mutex
	socks map[netip.AddrPort]*fakeSocket
	// drop, if set, decides about every datagram.
	drop func(from, to netip.AddrPort, b []byte) bool
	// rewrite, if set, changes where datagrams come from and go to, as a NAT or a load balancer does.
	rewrite func(from, to netip.AddrPort) (netip.AddrPort, netip.AddrPort)
	// copyTo, if set, is where everything goes too that goes to copyOf.
	copyOf, copyTo netip.AddrPort
}

func newFakeNet(delay time.Duration) *fakeNet {
	return &fakeNet{delay: delay, socks: make(map[netip.AddrPort]*fakeSocket)}
}

// fakeSocket is a udp.Socket on a fakeNet.
type fakeSocket struct {
	net   *fakeNet
	local netip.AddrPort
	queue chan udp.Message
	// comes is on its way, in order: timers of one moment fire in any. Under net.mu.
	comes []udp.Message
	done  chan struct{}
	once  sync.Once
	fault chan error // what a read is to fail with
}

func (n *fakeNet) listen(address string) *fakeSocket {
	s := &fakeSocket{
		net: n, local: netip.MustParseAddrPort(address), queue: make(chan udp.Message, 10000), done: make(chan struct{}),
		fault: make(chan error, 1),
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.socks[s.local] = s
	return s
}

// endpoint makes an endpoint on sockets at the addresses.
func (n *fakeNet) endpoint(t testing.TB, cfg EndpointConfig, addresses ...string) *Endpoint {
	t.Helper()
	var socks []udp.Socket
	for _, a := range addresses {
		socks = append(socks, n.listen(a))
	}
	e, err := NewEndpoint(&cfg, socks...)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func (s *fakeSocket) ReadBatch(msgs []udp.Message) (int, error) {
	var m udp.Message
	select {
	case m = <-s.queue:
	case err := <-s.fault:
		return 0, err
	case <-s.done:
		return 0, fmt.Errorf("fake: %w", net.ErrClosed)
	}
	for i := range msgs {
		buf := msgs[i].Buf
		n := copy(buf, m.Buf)
		msgs[i] = m
		msgs[i].Buf, msgs[i].N = buf, n
		if i+1 == len(msgs) {
			return len(msgs), nil
		}
		select {
		case m = <-s.queue:
		default:
			return i + 1, nil
		}
	}
	return 0, nil
}

func (s *fakeSocket) Send(d udp.Datagrams) error {
	select {
	case <-s.done:
		return fmt.Errorf("fake: %w", net.ErrClosed)
	default:
	}
	n := s.net
	n.mu.Lock()
	defer n.mu.Unlock()
	size := d.SegmentSize
	if size <= 0 {
		size = len(d.Buf)
	}
	for b := d.Buf; len(b) > 0; b = b[min(size, len(b)):] {
		n.carry(s.local, d.Remote, append([]byte(nil), b[:min(size, len(b))]...), d.ECN)
	}
	return nil
}

// carry takes one datagram to where it goes, with n.mu held.
func (n *fakeNet) carry(from, to netip.AddrPort, b []byte, ecn udp.ECN) {
	if n.drop != nil && n.drop(from, to, b) {
		return
	}
	if n.rewrite != nil {
		from, to = n.rewrite(from, to)
	}
	if to == n.copyOf {
		n.arrive(from, n.copyTo, append([]byte(nil), b...), ecn)
	}
	n.arrive(from, to, b, ecn)
}

func (n *fakeNet) arrive(from, to netip.AddrPort, b []byte, ecn udp.ECN) {
	dst := n.socks[to]
	if dst == nil {
		return
	}
	dst.comes = append(dst.comes, udp.Message{Buf: b, Local: to, Remote: from, ECN: ecn})
	time.AfterFunc(n.delay, dst.receive)
}

// receive takes what has been on its way for longest.
func (s *fakeSocket) receive() {
	s.net.mu.Lock()
	defer s.net.mu.Unlock()
	m := s.comes[0]
	s.comes = s.comes[1:]
	m.Received = time.Now()
	select {
	case s.queue <- m:
	case <-s.done:
	default: // a full queue
	}
}

func (s *fakeSocket) LocalAddr() netip.AddrPort { return s.local }

func (s *fakeSocket) Capabilities() udp.Capabilities {
	return udp.Capabilities{GSO: true, ECN: true, PacketInfo: true, DontFragment: true}
}

func (s *fakeSocket) Stats() udp.Stats { return udp.Stats{} }

// Close leaves no trace, as a process that is killed does.
func (s *fakeSocket) Close() error {
	s.once.Do(func() { close(s.done) })
	s.net.mu.Lock()
	defer s.net.mu.Unlock()
	if s.net.socks[s.local] == s {
		delete(s.net.socks, s.local)
	}
	return nil
}

func dropAll(_, _ netip.AddrPort, _ []byte) bool { return true }
