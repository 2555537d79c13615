package udp

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// threadSocket always reads in a thread.
type threadSocket struct{ *linuxSocket }

func (s threadSocket) ReadBatch(msgs []Message) (int, error) {
	for {
		if n, err := s.ReadBatchInThread(msgs, time.Hour); n > 0 || err != nil {
			return n, err
		}
	}
}

func init() {
	variants = append(variants, variant{"thread", func(t testing.TB, address string, cfg Config) Socket {
		return threadSocket{listen(t, address, cfg).(*linuxSocket)}
	}})
}

func TestPatience(t *testing.T) {
	s := listen(t, "127.0.0.1:0", Config{}).(*linuxSocket)
	msgs := []Message{{Buf: make([]byte, 2048)}}
	for range 3 {
		if n, err := s.ReadBatchInThread(msgs, time.Millisecond); n != 0 || err != nil {
			t.Fatal(n, err)
		}
	}
	s.Close()
	if _, err := s.ReadBatch(msgs); !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
}

// Readers go from one way of waiting to the other, while others send through the same socket.
func TestReadersChange(t *testing.T) {
	a, b := listen(t, "127.0.0.1:0", Config{Errors: true}).(*linuxSocket), listen(t, "127.0.0.1:0", Config{})
	const rounds, senders = 100, 4
	var sending sync.WaitGroup
	var received int
	for range senders {
		sending.Go(func() {
			for range rounds {
				if err := a.Send(Datagrams{Buf: []byte("out"), Remote: b.LocalAddr()}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	sending.Go(func() { received = len(receive(t, b, senders*rounds)) })
	msgs := []Message{{Buf: make([]byte, 2048)}}
	for i := range rounds {
		in := []byte{byte(i)}
		sending.Go(func() { send(t, b, Datagrams{Buf: in, Remote: a.LocalAddr()}) })
		read := a.ReadBatch
		if i%3 > 0 {
			read = threadSocket{a}.ReadBatch
		}
		if n, err := read(msgs); err != nil || n != 1 || !bytes.Equal(msgs[0].Buf[:msgs[0].N], in) {
			t.Fatalf("read %d: %d, %v, %x", i, n, err, msgs[0].Buf[:msgs[0].N])
		}
		if threads := a.conn.Load().thread != nil; threads != (i%3 > 0) {
			t.Fatalf("read %d: in a thread: %v", i, threads)
		}
	}
	sending.Wait()
	if received != senders*rounds {
		t.Error(received)
	}
}

// A socket whose reader waits in a thread is handed over like any other.
func TestThreadFile(t *testing.T) {
	s := listen(t, "127.0.0.1:0", Config{}).(*linuxSocket)
	if n, err := s.ReadBatchInThread([]Message{{Buf: make([]byte, 2048)}}, 0); n != 0 || err != nil {
		t.Fatal(n, err)
	}
	f, err := File(s)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s.Close()
	next, err := FromFile(f, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer next.Close()
	send(t, next, Datagrams{Buf: []byte("heir"), Remote: next.LocalAddr()})
	if got := receive(t, next, 1)[0]; string(got.data) != "heir" {
		t.Errorf("%q", got.data)
	}
}

// A process that is out of descriptors goes on reading as it did.
func TestDescriptorsRunOut(t *testing.T) {
	polled, thread := listen(t, "127.0.0.1:0", Config{}).(*linuxSocket), listen(t, "127.0.0.1:0", Config{}).(*linuxSocket)
	msgs := []Message{{Buf: make([]byte, 2048)}}
	if n, err := thread.ReadBatchInThread(msgs, 0); n != 0 || err != nil {
		t.Fatal(n, err)
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	none := limit
	none.Cur = 0
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &none); err != nil {
		t.Fatal(err)
	}
	defer unix.Setrlimit(unix.RLIMIT_NOFILE, &limit)

	send(t, polled, Datagrams{Buf: []byte("x"), Remote: polled.LocalAddr()})
	if n, err := polled.ReadBatchInThread(msgs, time.Hour); n != 0 || err != nil {
		t.Error(n, err)
	}
	if n, err := polled.ReadBatch(msgs); n != 1 || err != nil {
		t.Error(n, err)
	}
	send(t, thread, Datagrams{Buf: []byte("x"), Remote: thread.LocalAddr()})
	if n, err := thread.ReadBatch(msgs); n != 1 || err != nil {
		t.Error(n, err)
	}
}

// The file of a socket can be had at any time, also while its reader goes from one way of waiting to the other.
func TestFileWhileReadersChange(t *testing.T) {
	s := listen(t, "127.0.0.1:0", Config{}).(*linuxSocket)
	var done atomic.Bool
	var changing sync.WaitGroup
	changing.Go(func() {
		for !done.Load() {
			s.change((*conn).inThread)
			s.change((*conn).inPoller)
		}
	})
	for range 10000 {
		f, err := File(s)
		if err != nil {
			t.Error(err)
			break
		}
		f.Close()
	}
	done.Store(true)
	changing.Wait()
}

// unusedAddr returns an address where nobody listens.
func unusedAddr(t *testing.T) netip.AddrPort {
	s := listen(t, "127.0.0.1:0", Config{})
	s.Close()
	return s.LocalAddr()
}

// erredAndFull returns a socket that has two ICMP errors to tell and no room to send.
func erredAndFull(t *testing.T) *linuxSocket {
	s := listen(t, "127.0.0.1:0", Config{Errors: true, SendBuffer: 4096}).(*linuxSocket)
	nobody := unusedAddr(t)
	for range 2 {
		send(t, s, Datagrams{Buf: []byte("x"), Remote: nobody})
	}
	to := &unix.SockaddrInet4{Port: int(s.local.Port()), Addr: s.local.Addr().As4()}
	if err := s.control(func(fd uintptr) {
		// More will follow that it is to be sent with.
		err := unix.ECONNREFUSED // what came of the datagrams before shows itself once
		for errors.Is(err, unix.ECONNREFUSED) {
			err, _ = unix.Sendto(int(fd), make([]byte, 4000), unix.MSG_MORE|unix.MSG_DONTWAIT, to).(unix.Errno)
		}
		if err != 0 {
			t.Error(err)
		}
	}); err != nil {
		t.Fatal(err)
	}
	return s
}

// Go's poller refuses to wait for a socket of which it knows no more than that it has an error.
func TestErrorWithoutRoom(t *testing.T) {
	s, other := erredAndFull(t), listen(t, "127.0.0.1:0", Config{})
	if !s.change((*conn).inThread) || !s.change((*conn).inPoller) {
		t.Fatal("no descriptors")
	}
	for s.conn.Load().Read(func(uintptr) bool { return true }) == nil {
		runtime.Gosched() // until the poller has looked
	}
	msgs := []Message{{Buf: make([]byte, 2048)}}
	for range 2 {
		if n, err := s.ReadBatch(msgs); n != 1 || err != nil || !errors.Is(msgs[0].Err, unix.ECONNREFUSED) {
			t.Fatal(n, err, msgs[0].Err)
		}
	}
	send(t, other, Datagrams{Buf: []byte("x"), Remote: s.LocalAddr()})
	if n, err := s.ReadBatch(msgs); n != 1 || err != nil || msgs[0].Err != nil {
		t.Fatal(n, err, msgs[0].Err)
	}
}

// Who waits for room in a thread does not look for it all the time because there is an error as well.
func TestErrorWhileWaitingForRoom(t *testing.T) {
	s := erredAndFull(t)
	if !s.change((*conn).inThread) {
		t.Fatal("no descriptors")
	}
	const looks = 10
	n := 0
	began := time.Now()
	if err := s.write(func(uintptr) bool { n++; return n == looks }); err != nil {
		t.Fatal(err)
	}
	if took, least := time.Since(began), (looks-1)/2*errorPause; took < least {
		t.Errorf("%d looks in %v", looks, took)
	}
}

// A socket of somebody who wanted to hear of ICMP errors does not wake up somebody else for them.
func TestErrorsOfAnother(t *testing.T) {
	s := listen(t, "127.0.0.1:0", Config{Errors: true}).(*linuxSocket)
	send(t, s, Datagrams{Buf: []byte("x"), Remote: unusedAddr(t)})
	f, err := File(s)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s.Close()
	next, err := FromFile(f, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer next.Close()
	send(t, next, Datagrams{Buf: []byte("x"), Remote: unusedAddr(t)})
	msgs := []Message{{Buf: make([]byte, 2048)}}
	for range 2 { // the first may find an error that came before
		if n, err := next.(*linuxSocket).ReadBatchInThread(msgs, time.Millisecond); n != 0 || err != nil {
			t.Fatal(n, err)
		}
	}
	if n := next.Stats().ReadErrors; n > 1 {
		t.Error(n, "errors")
	}
}

// However many wait for room in the send buffer, one thread does.
func TestOneThreadWaitsForRoom(t *testing.T) {
	s := listen(t, "127.0.0.1:0", Config{}).(*linuxSocket)
	if !s.change((*conn).inThread) {
		t.Fatal("no descriptors")
	}
	first, room := make(chan bool), make(chan bool)
	var waiting sync.WaitGroup
	var others atomic.Int32
	waiting.Go(func() {
		s.write(func(uintptr) bool {
			close(first)
			return <-room
		})
	})
	<-first
	for range 10 {
		waiting.Go(func() { s.write(func(uintptr) bool { others.Add(1); return true }) })
	}
	for range 1000 {
		runtime.Gosched()
	}
	if n := others.Load(); n > 0 {
		t.Errorf("%d others got as far as that", n)
	}
	room <- true
	waiting.Wait()
	if n := others.Load(); n != 10 {
		t.Errorf("%d others had their turn", n)
	}
}
