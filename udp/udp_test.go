package udp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// variant is a way to get a socket.
type variant struct {
	name string
	open func(t testing.TB, address string, cfg Config) Socket
}

// variants are the ways to get a socket. What a test says of one it says of all, as far as Capabilities go.
var variants = []variant{
	{"system", func(t testing.TB, address string, cfg Config) Socket { return listen(t, address, cfg) }},
	{"portable", func(t testing.TB, address string, cfg Config) Socket {
		cfg.Portable = true
		return listen(t, address, cfg)
	}},
	{"wrapped", func(t testing.TB, address string, cfg Config) Socket {
		pc, err := net.ListenPacket("udp", address)
		if err != nil {
			t.Skip(err)
		}
		s, err := Wrap(plainConn{pc}, &cfg)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		return s
	}},
}

// plainConn is no more than a net.PacketConn, with buffers.
type plainConn struct{ net.PacketConn }

func (c plainConn) SetReadBuffer(n int) error  { return c.PacketConn.(*net.UDPConn).SetReadBuffer(n) }
func (c plainConn) SetWriteBuffer(n int) error { return c.PacketConn.(*net.UDPConn).SetWriteBuffer(n) }

func listen(t testing.TB, address string, cfg Config) Socket {
	t.Helper()
	s, err := Listen(address, &cfg)
	if err != nil {
		if strings.Contains(address, "::1") {
			t.Skip(err) // no IPv6 here
		}
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// forEach runs f for every variant, over both families.
func forEach(t *testing.T, f func(t *testing.T, open func(cfg Config) Socket)) {
	for _, v := range variants {
		for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
			t.Run(v.name+"/"+address, func(t *testing.T) {
				f(t, func(cfg Config) Socket { return v.open(t, address, cfg) })
			})
		}
	}
}

// received is one datagram as a test likes it.
type received struct {
	data          []byte
	local, remote netip.AddrPort
	ecn           ECN
}

// receive reads until n datagrams have come.
func receive(t testing.TB, s Socket, n int) []received {
	t.Helper()
	msgs := make([]Message, 4)
	for i := range msgs {
		msgs[i].Buf = make([]byte, 65536)
	}
	watchdog := time.AfterFunc(10*time.Second, func() { s.Close() })
	defer watchdog.Stop()
	var all []received
	for len(all) < n {
		k, err := s.ReadBatch(msgs)
		if err != nil {
			t.Fatalf("after %d of %d datagrams: %v", len(all), n, err)
		}
		for _, m := range msgs[:k] {
			if m.Err != nil {
				t.Fatalf("unexpected ICMP error: %v", m.Err)
			}
			size := m.SegmentSize
			if size == 0 {
				size = m.N
			}
			for b := m.Buf[:m.N]; ; {
				d := b[:min(size, len(b))]
				all = append(all, received{bytes.Clone(d), m.Local, m.Remote, m.ECN})
				if b = b[len(d):]; len(b) == 0 {
					break
				}
			}
		}
	}
	return all
}

func send(t testing.TB, s Socket, d Datagrams) {
	t.Helper()
	if err := s.Send(d); err != nil {
		t.Fatal(err)
	}
}

func TestSizes(t *testing.T) {
	forEach(t, func(t *testing.T, open func(Config) Socket) {
		a, b := open(Config{}), open(Config{})
		for _, size := range []int{0, 1, 1200, 1452, 9000, 65400} {
			want := bytes.Repeat([]byte{byte(size)}, size)
			send(t, a, Datagrams{Buf: want, Remote: b.LocalAddr()})
			got := receive(t, b, 1)[0]
			if !bytes.Equal(got.data, want) {
				t.Errorf("size %d: got %d bytes", size, len(got.data))
			}
			if got.remote != a.LocalAddr() || got.local != b.LocalAddr() {
				t.Errorf("from %v to %v, want from %v to %v", got.remote, got.local, a.LocalAddr(), b.LocalAddr())
			}
		}
		if st := b.Stats(); st.DatagramsReceived != 6 || a.Stats().DatagramsSent != 6 {
			t.Errorf("received %d, sent %d, want 6", st.DatagramsReceived, a.Stats().DatagramsSent)
		}
	})
}

// segmented returns n segments that are numbered, and a shorter one if tail is not 0.
func segmented(n, size, tail int) []byte {
	b := make([]byte, n*size+tail)
	for i := 0; i*size < len(b); i++ {
		if s := b[i*size:]; len(s) >= 4 {
			binary.BigEndian.PutUint32(s, uint32(i))
		}
	}
	return b
}

func TestSegments(t *testing.T) {
	cases := []struct {
		name             string
		n, size, tail, d int
	}{
		{"one", 1, 1200, 0, 1},
		{"one and a tail", 1, 1200, 7, 2},
		{"a full buffer", 54, 1200, 0, 54},
		{"more than one send takes", 130, 1200, 600, 131},
		{"more segments than one send takes", 300, 50, 0, 300},
		{"big segments", 5, 20000, 5, 6},
	}
	forEach(t, func(t *testing.T, open func(Config) Socket) {
		a, b := open(Config{}), open(Config{})
		for _, c := range cases {
			buf := segmented(c.n, c.size, c.tail)
			send(t, a, Datagrams{Buf: buf, SegmentSize: c.size, Remote: b.LocalAddr()})
			var got []byte
			for i, d := range receive(t, b, c.d) {
				if want := min(c.size, len(buf)-i*c.size); len(d.data) != want {
					t.Errorf("%s: datagram %d has %d bytes, want %d", c.name, i, len(d.data), want)
				}
				got = append(got, d.data...)
			}
			if !bytes.Equal(got, buf) {
				t.Errorf("%s: what came differs", c.name)
			}
		}
	})
}

func TestECN(t *testing.T) {
	forEach(t, func(t *testing.T, open func(Config) Socket) {
		a, b := open(Config{}), open(Config{})
		for _, ecn := range []ECN{0, 1, 2, 3} {
			send(t, a, Datagrams{Buf: segmented(3, 100, 0), SegmentSize: 100, Remote: b.LocalAddr(), ECN: ecn})
			for _, d := range receive(t, b, 3) {
				want := ecn
				if !a.Capabilities().ECN {
					want = 0
				}
				if d.ecn != want {
					t.Errorf("sent %d, got %d", ecn, d.ecn)
				}
			}
		}
	})
}

// A socket bound to all addresses of both families tells where a datagram was sent to, answers from there, and never shows a
// mapped address.
func TestPacketInfo(t *testing.T) {
	for _, v := range variants {
		t.Run(v.name, func(t *testing.T) {
			server := v.open(t, ":0", Config{})
			port := server.LocalAddr().Port()
			for _, ip := range []string{"127.0.0.1", "127.0.0.7", "::1"} {
				if runtime.GOOS != "linux" && ip == "127.0.0.7" {
					continue // only Linux has all of 127.0.0.0/8
				}
				to := netip.AddrPortFrom(netip.MustParseAddr(ip), port)
				bind := "127.0.0.1:0"
				if to.Addr().Is6() {
					bind = "[::1]:0"
				}
				client := listen(t, bind, Config{})
				send(t, client, Datagrams{Buf: []byte("ping"), Remote: to})
				got := receive(t, server, 1)[0]
				if got.remote != client.LocalAddr() {
					t.Errorf("from %v, want %v", got.remote, client.LocalAddr())
				}
				if !server.Capabilities().PacketInfo {
					continue
				}
				if got.local != to {
					t.Errorf("to %v, want %v", got.local, to)
				}
				send(t, server, Datagrams{Buf: []byte("pong"), Remote: got.remote, Local: got.local.Addr(), ECN: 2})
				if back := receive(t, client, 1)[0]; back.remote != to || back.ecn != 2 {
					t.Errorf("the answer came from %v with mark %d, want %v with 2", back.remote, back.ecn, to)
				}
			}
		})
	}
}

// A datagram that is too large is counted, and does no harm to others.
func TestTooLarge(t *testing.T) {
	forEach(t, func(t *testing.T, open func(Config) Socket) {
		a, b := open(Config{Errors: true}), open(Config{})
		send(t, a, Datagrams{Buf: make([]byte, 70000), Remote: b.LocalAddr()})
		send(t, a, Datagrams{Buf: make([]byte, 140000), SegmentSize: 70000, Remote: b.LocalAddr()})
		send(t, a, Datagrams{Buf: []byte("small"), Remote: b.LocalAddr()})
		if got := receive(t, b, 1)[0]; string(got.data) != "small" {
			t.Errorf("got %d bytes", len(got.data))
		}
		if n := a.Stats().SendTooLarge; n != 3 {
			t.Errorf("SendTooLarge = %d, want 3", n)
		}
	})
}

func TestClose(t *testing.T) {
	forEach(t, func(t *testing.T, open func(Config) Socket) {
		s := open(Config{Errors: true})
		done := make(chan error)
		reading := make(chan struct{})
		go func() {
			msgs := []Message{{Buf: make([]byte, 2048)}}
			close(reading)
			_, err := s.ReadBatch(msgs)
			done <- err
		}()
		<-reading
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		select {
		case err := <-done:
			if !errors.Is(err, net.ErrClosed) {
				t.Errorf("ReadBatch: %v", err)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("ReadBatch did not return")
		}
		if err := s.Send(Datagrams{Buf: []byte("x"), Remote: s.LocalAddr()}); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Send: %v", err)
		}
		if err := s.Close(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("second Close: %v", err)
		}
	})
}

func TestConcurrentSends(t *testing.T) {
	forEach(t, func(t *testing.T, open func(Config) Socket) {
		a, b := open(Config{}), open(Config{})
		const senders, each = 8, 10 // no more than the smallest receive buffer holds
		var wg sync.WaitGroup
		for i := range senders {
			wg.Go(func() {
				buf := bytes.Repeat([]byte{byte(i)}, 20)
				for range each {
					if err := a.Send(Datagrams{Buf: buf, SegmentSize: 10, Remote: b.LocalAddr()}); err != nil {
						t.Error(err)
					}
				}
			})
		}
		var count [senders]int
		for _, d := range receive(t, b, senders*each*2) {
			if !bytes.Equal(d.data, bytes.Repeat(d.data[:1], 10)) {
				t.Fatalf("mixed datagram %x", d.data)
			}
			count[d.data[0]]++
		}
		wg.Wait()
		for i, n := range count {
			if n != each*2 {
				t.Errorf("sender %d: %d datagrams", i, n)
			}
		}
	})
}

func TestNoRoute(t *testing.T) {
	for _, v := range variants {
		t.Run(v.name, func(t *testing.T) {
			s := v.open(t, "127.0.0.1:0", Config{})
			err := s.Send(Datagrams{Buf: []byte("x"), Remote: netip.MustParseAddrPort("[2001:db8::1]:443")})
			if err == nil {
				t.Error("an IPv4 socket sent to an IPv6 address")
			}
		})
	}
}

func TestWrapConnected(t *testing.T) {
	s := listen(t, "127.0.0.1:0", Config{})
	c, err := net.Dial("udp", s.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := Wrap(c.(*net.UDPConn), nil); err == nil {
		t.Error("Wrap took a connected socket")
	}
}

func TestReceivedTime(t *testing.T) {
	forEach(t, func(t *testing.T, open func(Config) Socket) {
		a, b := open(Config{}), open(Config{Timestamps: true})
		before := time.Now()
		send(t, a, Datagrams{Buf: []byte("x"), Remote: b.LocalAddr()})
		msgs := []Message{{Buf: make([]byte, 2048)}}
		if _, err := b.ReadBatch(msgs); err != nil {
			t.Fatal(err)
		}
		// The kernel's clock and Go's agree to well within a second, which is where a wrong unit would show.
		if r := msgs[0].Received; r.Before(before.Add(-time.Second)) || r.After(time.Now()) {
			t.Errorf("received at %v, sent at %v", r, before)
		}
	})
}

// raceEnabled is set where the race detector lets pools forget.
var raceEnabled bool

func TestAllocations(t *testing.T) {
	forEach(t, func(t *testing.T, open func(Config) Socket) {
		if strings.HasPrefix(t.Name(), "TestAllocations/wrapped") {
			t.Skip("a net.PacketConn of another kind deals in net.Addr")
		}
		a, b := open(Config{}), open(Config{})
		buf := segmented(10, 1200, 100)
		msgs := make([]Message, 4)
		for i := range msgs {
			msgs[i].Buf = make([]byte, 65536)
		}
		exchange := func() {
			if err := a.Send(Datagrams{Buf: buf, SegmentSize: 1200, Remote: b.LocalAddr(), ECN: 2}); err != nil {
				t.Fatal(err)
			}
			want := b.Stats().DatagramsReceived/11*11 + 11
			for b.Stats().DatagramsReceived < want {
				if _, err := b.ReadBatch(msgs); err != nil {
					t.Fatal(err)
				}
			}
		}
		exchange()
		if n := testing.AllocsPerRun(100, exchange); n > 0 && !raceEnabled {
			t.Errorf("%v allocations for 11 datagrams", n)
		}
	})
}

// errnoOf returns the system's error number of err.
func errnoOf(err error) (errno syscall.Errno) {
	errors.As(err, &errno)
	return errno
}
