//go:build linux

package steering

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/dunlin-quic/dunlin/udp"
)

// needKernel skips a test where the kernel does not permit what Join asks for. Any other failure is one.
func needKernel(t testing.TB, m *Member) {
	t.Helper()
	err := m.Kernel()
	switch {
	case err == nil:
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.ENOSYS), errors.Is(err, ebpf.ErrNotSupported):
		t.Skip("not permitted here (CAP_BPF is needed): ", err)
	case os.Getenv("CI") != "":
		t.Fatal(err)
	default:
		t.Skip(err)
	}
}

// testJoin joins the group of a folder, at the address of the members before it unless cfg has others.
func testJoin(t testing.TB, dir string, addr netip.AddrPort, cfg Config) *Member {
	t.Helper()
	cfg.Dir = dir
	switch {
	case cfg.Addresses != nil:
	case addr.IsValid():
		cfg.Addresses = []string{addr.String()}
	default:
		cfg.Addresses = []string{"127.0.0.1:0"}
	}
	m, err := Join(&cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

// packets are first bytes of QUIC packets with a given destination connection ID.
func shortHeader(id []byte) []byte { return append(append([]byte{0x40}, id...), make([]byte, 30)...) }

func longHeader(id []byte) []byte {
	b := append([]byte{0xc0, 0, 0, 0, 1, byte(len(id))}, id...)
	return append(append(b, 0), make([]byte, 30)...)
}

// TestProgram sends datagrams from many addresses, and looks at which socket each arrives.
func TestProgram(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		t.Run(address, func(t *testing.T) {
			a, err := netip.ParseAddrPort(address)
			if err != nil {
				t.Fatal(err)
			}
			if l, err := net.ListenPacket("udp", address); err != nil {
				t.Skip(err)
			} else {
				l.Close()
			}
			dir := t.TempDir()
			members := []*Member{testJoin(t, dir, a, Config{Number: 9})}
			needKernel(t, members[0])
			for range 3 {
				m := testJoin(t, dir, members[0].Addrs()[0], Config{})
				needKernel(t, m)
				members = append(members, m)
			}
			arrivals := startArrivals(t, members)
			arrivals.testSteering(t, members)
		})
	}
}

// arrivals tells where datagrams arrive, by their last byte.
type arrivals struct {
	to   netip.AddrPort
	came chan [2]byte // the number of the member, and the last byte
}

func startArrivals(t *testing.T, members []*Member) *arrivals {
	a := &arrivals{to: members[0].Addrs()[0], came: make(chan [2]byte, 1)}
	for _, m := range members {
		go func() {
			msgs := []udp.Message{{Buf: make([]byte, 1<<16)}}
			for {
				if _, err := m.sockets[0].ReadBatch(msgs); err != nil {
					return
				}
				a.came <- [2]byte{m.number, msgs[0].Buf[msgs[0].N-1]}
			}
		}()
	}
	return a
}

// send sends a datagram from a new address and returns the member whose socket it came to.
func (a *arrivals) send(t *testing.T, datagram []byte) byte {
	t.Helper()
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(a.to))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	datagram[len(datagram)-1]++
	if _, err := c.Write(datagram); err != nil {
		t.Fatal(err)
	}
	select {
	case got := <-a.came:
		if got[1] != datagram[len(datagram)-1] {
			t.Fatal("another datagram came")
		}
		return got[0]
	case <-time.After(10 * time.Second):
		t.Fatal("the datagram did not arrive")
		return 0
	}
}

func (a *arrivals) testSteering(t *testing.T, members []*Member) {
	for range 20 {
		for _, m := range members {
			id := m.Generate()
			for name, d := range map[string][]byte{"short": shortHeader(bytesOf(id)), "long": longHeader(bytesOf(id))} {
				if got := a.send(t, d); got != m.number {
					t.Fatalf("%s header of %d came to %d", name, m.number, got)
				}
			}
		}
	}
	// What names nobody goes to those who accept connections, and to all if nobody does.
	unknown := [][]byte{
		longHeader(make([]byte, 8)), longHeader(make([]byte, idLen)), longHeader(make([]byte, 20)), longHeader(nil),
		shortHeader(make([]byte, idLen)), {0x40, 1}, {0xc0, 0, 0, 0, 1}, {0xc0}, longHeader(bytesOf(members[0].ids.make(200))),
	}
	spread := func(rounds int) map[byte]int {
		seen := make(map[byte]int)
		for range rounds {
			for _, d := range unknown {
				seen[a.send(t, d)]++
			}
		}
		return seen
	}
	if seen := spread(20); len(seen) != len(members) {
		t.Errorf("where nobody accepts, %v", seen)
	}
	accepting := members[1:3]
	for _, m := range members[:3] {
		if err := m.Open(); err != nil {
			t.Fatal(err)
		}
	}
	if err := members[0].Drain(); err != nil {
		t.Fatal(err)
	}
	if seen := spread(10); len(seen) != 2 || seen[accepting[0].number] == 0 || seen[accepting[1].number] == 0 {
		t.Errorf("where %d and %d accept, %v", accepting[0].number, accepting[1].number, seen)
	}
	// A member that goes takes nothing with it: its packets come to those who can tell its clients.
	gone := members[1].Generate()
	if err := members[1].Close(); err != nil {
		t.Fatal(err)
	}
	if got := a.send(t, shortHeader(bytesOf(gone))); got != members[2].number {
		t.Errorf("a packet of a member that has gone came to %d", got)
	}
	if seen := spread(3); len(seen) != 1 || seen[members[2].number] == 0 {
		t.Errorf("where only %d accepts, %v", members[2].number, seen)
	}
}
