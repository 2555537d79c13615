//go:build linux

package steering

import (
	"bytes"
	"net/netip"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/dunlin-quic/dunlin/udp"
)

// next returns what the member is passed on next.
func (m *Member) next(t *testing.T) udp.Message {
	t.Helper()
	msgs := []udp.Message{{Buf: make([]byte, 1<<16)}}
	if _, err := m.inlets[0].ReadBatch(msgs); err != nil {
		t.Fatal(err)
	}
	return msgs[0]
}

// TestPass is about who passes what on to whom, whatever the kernel does.
func TestPass(t *testing.T) {
	dir := t.TempDir()
	draining := testJoin(t, dir, netip.AddrPort{}, Config{NoKernel: true})
	other := testJoin(t, dir, draining.Addrs()[0], Config{NoKernel: true})
	dead := testJoin(t, dir, draining.Addrs()[0], Config{NoKernel: true})
	ofDraining, ofOther, ofDead := bytesOf(draining.Generate()), bytesOf(other.Generate()), bytesOf(dead.Generate())
	if err := dead.Open(); err != nil {
		t.Fatal(err)
	}
	// It dies without leaving.
	dead.box.l.SetUnlinkOnClose(false)
	dead.box.l.Close()
	if err := other.Open(); err != nil {
		t.Fatal(err)
	}
	unknown := []byte("a client")
	in := udp.Message{
		Local: draining.Addrs()[0], Remote: netip.MustParseAddrPort("[fe80::1%eth0]:1234"), ECN: 3,
	}
	check := func(from *Member, forwarded uint8, d []byte, to *Member) {
		t.Helper()
		in := in
		in.Forwarded = forwarded
		if passed := from.Pass(&in, d); passed != (to != nil) {
			t.Errorf("passed on: %v", passed)
			return
		}
		if to == nil {
			return
		}
		got := to.next(t)
		if got.Local != in.Local || got.Remote != in.Remote || got.ECN != in.ECN || got.Forwarded != forwarded+1 ||
			!bytes.Equal(got.Buf[:got.N], d) || got.Received.IsZero() {
			t.Errorf("came as %v from %v to %v, ECN %v, passed on %d times", got.Buf[:got.N], got.Remote, got.Local, got.ECN, got.Forwarded)
		}
	}
	for range 2 {
		check(draining, 0, shortHeader(ofOther), other)
		check(draining, 1, longHeader(ofOther), other)
		check(draining, 2, shortHeader(ofOther), nil)
		check(draining, 0, shortHeader(ofDraining), nil)
		check(draining, 0, shortHeader(ofDead), nil)
		check(draining, 0, shortHeader(make([]byte, idLen)), nil)
		check(draining, 0, longHeader(unknown), nil)
		check(draining, 0, nil, nil)
		check(other, 0, shortHeader(ofDraining), draining)
	}
	if err := draining.Drain(); err != nil {
		t.Fatal(err)
	}
	check(draining, 0, longHeader(unknown), other)
	check(draining, 1, longHeader(ofDraining), other)
	check(draining, 0, longHeader(ofDead), other)
	check(draining, 2, longHeader(unknown), nil)
	check(draining, 0, shortHeader(ofDraining), nil)
	check(draining, 0, shortHeader(ofOther), other)
	if st := draining.Stats(); st.Passed != 8 || st.PassDrops != 0 || st.Kernel {
		t.Errorf("%+v", st)
	}
	if err := other.Drain(); err != nil {
		t.Fatal(err)
	}
	draining.others.read = time.Time{} // the list is old
	check(draining, 0, longHeader(unknown), nil)
}

// What nobody takes is thrown away and counted.
func TestInletIsBounded(t *testing.T) {
	dir := t.TempDir()
	from := testJoin(t, dir, netip.AddrPort{}, Config{NoKernel: true})
	to := testJoin(t, dir, from.Addrs()[0], Config{NoKernel: true})
	d := append(shortHeader(bytesOf(to.Generate())), make([]byte, 60000)...)
	in := udp.Message{Local: from.Addrs()[0], Remote: from.Addrs()[0]}
	for to.Stats().ReceiveDrops == 0 && from.Stats().PassDrops == 0 {
		if !from.Pass(&in, d) {
			t.Fatal("not passed on")
		}
	}
	if n := int(from.Stats().Passed); n < inletBytes/len(d) {
		t.Errorf("room for no more than %d", n)
	}
}

func TestPassAllocations(t *testing.T) {
	dir := t.TempDir()
	from := testJoin(t, dir, netip.AddrPort{}, Config{NoKernel: true})
	testJoin(t, dir, from.Addrs()[0], Config{NoKernel: true})
	in := udp.Message{Local: from.Addrs()[0], Remote: from.Addrs()[0]}
	mine, nobodys := shortHeader(bytesOf(from.Generate())), longHeader([]byte("a client"))
	if n := testing.AllocsPerRun(100, func() {
		from.Pass(&in, mine)
		from.Pass(&in, nobodys)
	}); n != 0 {
		t.Errorf("%v allocations for what is not passed on", n)
	}
}

func TestJoinErrors(t *testing.T) {
	dir := t.TempDir()
	m := testJoin(t, dir, netip.AddrPort{}, Config{Number: 3, NoKernel: true})
	open := filepath.Join(t.TempDir(), "open")
	if err := os.Mkdir(open, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(open, 0o770); err != nil {
		t.Fatal(err)
	}
	short := t.TempDir()
	if err := os.WriteFile(filepath.Join(short, "key"), []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	address := m.Addrs()[0].String()
	for name, cfg := range map[string]Config{
		"no folder":         {Addresses: []string{address}},
		"others may write":  {Dir: open, Addresses: []string{address}},
		"a broken key":      {Dir: short, Addresses: []string{address}},
		"a number taken":    {Dir: dir, Addresses: []string{address}, Number: 3},
		"no such address":   {Dir: t.TempDir(), Addresses: []string{"nowhere"}},
		"not a folder":      {Dir: filepath.Join(short, "key"), Addresses: []string{address}},
		"too long a folder": {Dir: filepath.Join(short, string(bytes.Repeat([]byte("a"), 120))), Addresses: []string{address}},
	} {
		if m, err := Join(&cfg); err == nil {
			t.Errorf("%s: no error", name)
			m.Close()
		}
	}
	// What a member leaves whose process has died is no obstacle: neither its number nor its place in the list.
	if err := m.Open(); err != nil {
		t.Fatal(err)
	}
	m.box.l.SetUnlinkOnClose(false)
	m.box.l.Close()
	again := testJoin(t, dir, m.Addrs()[0], Config{Number: 3, NoKernel: true})
	if again.Number() != 3 || len(again.dir.accepting()) != 0 {
		t.Errorf("member %d, accepting %v", again.Number(), again.dir.accepting())
	}
}

// TestOthersMayNotConnect: who may look into the folder is not yet one of the group.
func TestOthersMayNotConnect(t *testing.T) {
	dir := t.TempDir()
	defer syscall.Umask(syscall.Umask(0))
	m := testJoin(t, dir, netip.AddrPort{}, Config{NoKernel: true})
	for _, name := range []string{"lock", "key", "accepting", "1"} {
		info, err := os.Stat(filepath.Join(string(m.dir), name))
		if err != nil {
			t.Fatal(err)
		}
		if p := info.Mode().Perm(); p != 0o600 {
			t.Errorf("permissions of %s: %v", name, p)
		}
	}
}

func FuzzMessage(f *testing.F) {
	m := udp.Message{Local: netip.MustParseAddrPort("127.0.0.1:1"), Remote: netip.MustParseAddrPort("[fe80::1%a]:2"), ECN: 1}
	b, _ := appendMessage(nil, &m, []byte("datagram"))
	f.Add(b)
	f.Add([]byte{aDatagram, 1, 0, 6})
	f.Fuzz(func(t *testing.T, b []byte) {
		m, ok := parseMessage(b)
		if !ok || m.Forwarded == 255 {
			return
		}
		again, ok := appendMessage(nil, &m, m.Buf)
		if !ok {
			return
		}
		n, ok := parseMessage(again)
		if !ok || n.Local != m.Local || n.Remote != m.Remote || n.ECN != m.ECN || n.Forwarded != m.Forwarded+1 || !bytes.Equal(n.Buf, m.Buf) {
			t.Errorf("%+v became %+v", m, n)
		}
	})
}

// TestPassWithoutFiles: what can't be passed on to a member that lives is lost, and not answered in the member's name.
func TestPassWithoutFiles(t *testing.T) {
	dir := t.TempDir()
	from := testJoin(t, dir, netip.AddrPort{}, Config{NoKernel: true})
	to := testJoin(t, dir, from.Addrs()[0], Config{NoKernel: true})
	d := shortHeader(bytesOf(to.Generate()))
	in := udp.Message{Local: from.Addrs()[0], Remote: from.Addrs()[0]}
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Max: before.Max}); err != nil {
		t.Fatal(err)
	}
	passed := from.Pass(&in, d)
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	if st := from.Stats(); !passed || st.PassDrops != 1 || st.Passed != 0 {
		t.Errorf("passed on: %v, %+v", passed, st)
	}
	if !from.Pass(&in, d) || from.Stats().Passed != 1 {
		t.Error("not passed on later")
	}
}

// TestPassAfterLeaving: a datagram that was still under way in a member that has left connects to nobody any more.
func TestPassAfterLeaving(t *testing.T) {
	dir := t.TempDir()
	from := testJoin(t, dir, netip.AddrPort{}, Config{NoKernel: true})
	to := testJoin(t, dir, from.Addrs()[0], Config{NoKernel: true})
	in := udp.Message{Local: from.Addrs()[0], Remote: from.Addrs()[0]}
	if err := from.Close(); err != nil {
		t.Fatal(err)
	}
	if !from.Pass(&in, shortHeader(bytesOf(to.Generate()))) || from.peers[to.number].fd != 0 {
		t.Error("a member that has left connects to another")
	}
}
