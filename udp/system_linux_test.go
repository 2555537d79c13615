package udp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// RFC 9000, Section 14 (MUST 2, 3).
func TestCapabilities(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "[::1]:0", ":0"} {
		got := listen(t, address, Config{Errors: true}).Capabilities()
		want := Capabilities{GSO: true, GRO: true, ECN: true, PacketInfo: true, DontFragment: true, Errors: true, DropCounter: true}
		if got != want {
			t.Errorf("%s: %+v", address, got)
		}
	}
}

// A closed port tells the one who dialled it, with the datagram quoted, and does not disturb what goes elsewhere.
func TestRefused(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		s := listen(t, address, Config{Errors: true})
		other := listen(t, address, Config{})
		gone := listen(t, address, Config{})
		gone.Close()

		const rounds = 20
		for i := range rounds {
			send(t, s, Datagrams{Buf: binary.BigEndian.AppendUint32(nil, uint32(i)), Remote: gone.LocalAddr()})
			send(t, s, Datagrams{Buf: []byte("innocent"), Remote: other.LocalAddr()})
		}
		receive(t, other, rounds)

		// The answers come between the errors and after them.
		send(t, other, Datagrams{Buf: []byte("hello"), Remote: s.LocalAddr()})
		msgs := []Message{{Buf: make([]byte, 65536)}, {Buf: make([]byte, 65536)}}
		refused, hello := 0, false
		for refused < rounds || !hello {
			n, err := s.ReadBatch(msgs)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range msgs[:n] {
				if m.Err == nil {
					hello = string(m.Buf[:m.N]) == "hello"
					continue
				}
				if m.Err != syscall.ECONNREFUSED || m.Remote != gone.LocalAddr() {
					t.Errorf("%v from %v", m.Err, m.Remote)
				}
				if m.N != 4 {
					t.Errorf("quoted %d bytes of 4", m.N)
				}
				refused++
			}
		}
		if st := s.Stats(); st.ICMPErrors != rounds {
			t.Errorf("ICMPErrors = %d, want %d", st.ICMPErrors, rounds)
		}
	}
}

// Without Errors a closed port is silence.
func TestRefusedUnheard(t *testing.T) {
	s, gone := listen(t, "127.0.0.1:0", Config{}), listen(t, "127.0.0.1:0", Config{})
	gone.Close()
	for range 3 {
		send(t, s, Datagrams{Buf: []byte("x"), Remote: gone.LocalAddr()})
	}
	if st := s.Stats(); st.DatagramsSent != 3 || st.SendDrops != 0 {
		t.Errorf("%+v", st)
	}
}

// What the system refuses to send as a whole goes one by one, and from then on nothing is sent as a whole.
func TestGSOFallback(t *testing.T) {
	a, b := listen(t, "127.0.0.1:0", Config{}), listen(t, "127.0.0.1:0", Config{})
	s := a.(*linuxSocket)
	x := senders.New().(*sender)
	x.s = s
	x.iov, x.hdr.Namelen = unix.Iovec{}, s.putAddr(&x.name, b.LocalAddr())
	x.hdr.Name, x.hdr.Iov = namePointer(x), &x.iov
	x.hdr.SetIovlen(1)

	// More segments than any kernel takes (UDP_MAX_SEGMENTS is 64, later 128).
	buf := segmented(400, 8, 0)
	if err := x.sendSegments(Datagrams{Buf: buf, SegmentSize: 8, Remote: b.LocalAddr()}, buf, 8); err != nil {
		t.Fatal(err)
	}
	var got []byte
	for _, d := range receive(t, b, 400) {
		got = append(got, d.data...)
	}
	if !bytes.Equal(got, buf) {
		t.Error("what came differs")
	}
	if a.Capabilities().GSO || a.Stats().GSOFallbacks != 1 {
		t.Errorf("GSO %v, %d fallbacks", a.Capabilities().GSO, a.Stats().GSOFallbacks)
	}

	before := a.Stats().Sends
	send(t, a, Datagrams{Buf: buf[:80], SegmentSize: 8, Remote: b.LocalAddr()})
	receive(t, b, 10)
	if n := a.Stats().Sends - before; n != 10 {
		t.Errorf("%d system calls for 10 datagrams", n)
	}
}

// Waiting for room ends with the datagram sent. (Loopback always has room, so the wait is asked for here.)
func TestSendAfterWait(t *testing.T) {
	a, b := listen(t, "127.0.0.1:0", Config{}), listen(t, "127.0.0.1:0", Config{})
	s := a.(*linuxSocket)
	x := senders.New().(*sender)
	x.s = s
	x.hdr.Namelen = s.putAddr(&x.name, b.LocalAddr())
	x.hdr.Name, x.hdr.Iov = namePointer(x), &x.iov
	x.hdr.SetIovlen(1)
	buf := []byte("late")
	x.iov.Base = &buf[0]
	x.iov.SetLen(len(buf))
	if err := s.write(x.wait); err != nil || x.errno != 0 {
		t.Fatal(err, x.errno)
	}
	if got := receive(t, b, 1)[0]; string(got.data) != "late" {
		t.Errorf("%q", got.data)
	}
}

// The kernel says how many datagrams found no room.
func TestReceiveDrops(t *testing.T) {
	a, b := listen(t, "127.0.0.1:0", Config{}), listen(t, "127.0.0.1:0", Config{ReceiveBuffer: 20000})
	const sent = 200
	for range sent {
		send(t, a, Datagrams{Buf: make([]byte, 1000), Remote: b.LocalAddr()})
	}
	n := 0
	for st := b.Stats(); st.ReceiveDrops == 0; st = b.Stats() {
		// The count comes with the first datagram that was queued after a drop.
		n += len(receive(t, b, 1))
		send(t, a, Datagrams{Buf: make([]byte, 1000), Remote: b.LocalAddr()})
	}
	if d := b.Stats().ReceiveDrops; d < 100 || d > sent {
		t.Errorf("%d drops after %d reads of %d datagrams", d, n, sent)
	}
}

func TestReusePort(t *testing.T) {
	a := listen(t, "127.0.0.1:0", Config{ReusePort: true})
	b := listen(t, a.LocalAddr().String(), Config{ReusePort: true})
	if a.LocalAddr() != b.LocalAddr() {
		t.Errorf("%v and %v", a.LocalAddr(), b.LocalAddr())
	}
	if _, err := Listen(a.LocalAddr().String(), nil); errnoOf(err) != unix.EADDRINUSE {
		t.Errorf("without ReusePort: %v", err)
	}
}

func TestZones(t *testing.T) {
	s := listen(t, "[::1]:0", Config{}).(*linuxSocket)
	ip := netip.MustParseAddr("fe80::1")
	lo := s.zoned(ip, 1)
	if lo.Zone() == "" || lo.WithZone("") != ip {
		t.Fatalf("%v", lo)
	}
	var sa sockaddr
	if s.putAddr(&sa, netip.AddrPortFrom(lo, 443)); sa.Scope_id != 1 {
		t.Errorf("scope %d", sa.Scope_id)
	}
	if got := s.addr(&sa); got != netip.AddrPortFrom(lo, 443) {
		t.Errorf("%v", got)
	}
	if got := s.zoned(netip.MustParseAddr("2001:db8::1"), 1); got.Zone() != "" {
		t.Errorf("a global address got zone %q", got.Zone())
	}
	if s.zones.index("17") != 17 {
		t.Error("a numeric zone is its own index")
	}
	for i := range 10 * maxZones {
		s.zones.name(uint32(i + 100000))
	}
	if n := len(s.zones.indexes); n > maxZones {
		t.Errorf("%d zones remembered", n)
	}
}

func namePointer(x *sender) *byte { return (*byte)(unsafe.Pointer(&x.name)) }

func TestMark(t *testing.T) {
	s, err := Listen("127.0.0.1:0", &Config{Mark: 7})
	if errors.Is(err, unix.EPERM) {
		t.Skip("no right to mark: ", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var mark int
	s.(*linuxSocket).control(func(fd uintptr) { mark, err = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK) })
	if err != nil || mark != 7 {
		t.Errorf("mark %d, %v", mark, err)
	}
	if _, err := Listen("127.0.0.1:0", &Config{Mark: 7, Portable: true}); err == nil {
		t.Error("a portable socket that marks")
	}
}
