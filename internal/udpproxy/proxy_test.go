package udpproxy

import (
	"encoding/binary"
	"math/bits"
	"math/rand/v2"
	"net"
	"net/netip"
	"reflect"
	"sync/atomic"
	"testing"
	"time"
)

// newPair returns a client's socket whose datagrams go through a relay to a server's.
func newPair(t *testing.T, cfg Config) (client *net.UDPConn, server *net.UDPConn, p *Proxy) {
	t.Helper()
	server, err := listenUDP(netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	p, err = Listen(server.LocalAddr().(*net.UDPAddr).AddrPort(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	client, err = net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(p.Addr()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	enlargeBuffers(client)
	limit := time.Now().Add(10 * time.Second)
	client.SetDeadline(limit)
	server.SetDeadline(limit)
	return client, server, p
}

const count = 500

func sendNumbers(t *testing.T, client *net.UDPConn) {
	t.Helper()
	for i := range uint64(count) {
		if _, err := client.Write(binary.BigEndian.AppendUint64(nil, i)); err != nil {
			t.Fatal(err)
		}
	}
}

func receiveNumbers(t *testing.T, server *net.UDPConn, n int) (numbers []uint64, from netip.AddrPort) {
	t.Helper()
	buf := make([]byte, 100)
	for range n {
		size, addr, err := server.ReadFromUDPAddrPort(buf)
		if err != nil {
			t.Fatalf("after %d datagrams: %v", len(numbers), err)
		}
		from = addr
		numbers = append(numbers, binary.BigEndian.Uint64(buf[:size]))
	}
	return numbers, from
}

func sorted(numbers []uint64) bool {
	for i := 1; i < len(numbers); i++ {
		if numbers[i] < numbers[i-1] {
			return false
		}
	}
	return true
}

func TestPassesBothWays(t *testing.T) {
	var tapped [2]atomic.Int64
	client, server, p := newPair(t, Config{Tap: func(toServer bool, data []byte) {
		if toServer {
			tapped[0].Add(1)
		} else {
			tapped[1].Add(1)
		}
	}})
	sendNumbers(t, client)
	numbers, from := receiveNumbers(t, server, count)
	if !sorted(numbers) {
		t.Error("out of order")
	}
	if _, err := server.WriteToUDPAddrPort([]byte("answer"), from); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 100)
	if n, err := client.Read(buf); err != nil || string(buf[:n]) != "answer" {
		t.Errorf("the answer is %q, %v", buf[:n], err)
	}
	toServer, toClient := p.Counters()
	if want := (Counters{Received: count, Sent: count}); toServer != want {
		t.Errorf("to the server: %+v, want %+v", toServer, want)
	}
	if want := (Counters{Received: 1, Sent: 1}); toClient != want {
		t.Errorf("to the client: %+v, want %+v", toClient, want)
	}
	if tapped[0].Load() != count || tapped[1].Load() != 1 {
		t.Errorf("tapped %d and %d", tapped[0].Load(), tapped[1].Load())
	}
}

// After Rebind the server sees the client at another port, and reaches it there.
func TestRebind(t *testing.T) {
	client, server, p := newPair(t, Config{})
	sendNumbers(t, client)
	_, before := receiveNumbers(t, server, count)
	p.Rebind()
	sendNumbers(t, client)
	_, after := receiveNumbers(t, server, count)
	if before == after {
		t.Errorf("the server still sees %s", after)
	}
	for _, addr := range []netip.AddrPort{before, after} {
		if _, err := server.WriteToUDPAddrPort([]byte(addr.String()), addr); err != nil {
			t.Fatal(err)
		}
	}
	buf := make([]byte, 100)
	if n, err := client.Read(buf); err != nil || string(buf[:n]) != after.String() {
		t.Errorf("the client got %q, %v; want what was sent to %s", buf[:n], err, after)
	}
}

func TestDropAndDuplicate(t *testing.T) {
	client, server, p := newPair(t, Config{ToServer: Impairment{Drop: 0.3, Duplicate: 0.2}, Seed: 1})
	sendNumbers(t, client)
	rng, want := rand.New(rand.NewPCG(1, 0)), 0
	imp := Impairment{Drop: 0.3, Duplicate: 0.2}
	for range count {
		switch f := imp.decide(rng, 8); {
		case f.drop:
		case f.duplicate:
			want += 2
		default:
			want++
		}
	}
	receiveNumbers(t, server, want)
	if got, _ := p.Counters(); got.Sent != uint64(want) || got.Dropped < count/5 || got.Duplicated < count/20 {
		t.Errorf("%+v, want %d sent", got, want)
	}
}

func TestReorderLosesNothing(t *testing.T) {
	client, server, p := newPair(t, Config{ToServer: Impairment{Reorder: 0.1}, Seed: 2})
	sendNumbers(t, client)
	numbers, _ := receiveNumbers(t, server, count)
	seen := make(map[uint64]bool)
	for _, n := range numbers {
		seen[n] = true
	}
	if len(seen) != count {
		t.Errorf("%d of %d arrived", len(seen), count)
	}
	if got, _ := p.Counters(); got.Reordered == 0 || sorted(numbers) {
		t.Errorf("nothing was reordered: %+v", got)
	}
}

func TestDelayKeepsOrder(t *testing.T) {
	const delay = 30 * time.Millisecond
	client, server, _ := newPair(t, Config{ToServer: Impairment{Delay: delay, Jitter: delay}, Seed: 3})
	start := time.Now()
	sendNumbers(t, client)
	first, _ := receiveNumbers(t, server, 1)
	if took := time.Since(start); took < delay {
		t.Errorf("arrived after %s, want at least %s", took, delay)
	}
	rest, _ := receiveNumbers(t, server, count-1)
	if !sorted(append(first, rest...)) {
		t.Error("out of order")
	}
}

func TestCorruptFlipsOneBit(t *testing.T) {
	client, server, _ := newPair(t, Config{ToServer: Impairment{Corrupt: 1}, Seed: 4})
	for range 50 {
		if _, err := client.Write(make([]byte, 8)); err != nil {
			t.Fatal(err)
		}
		got, _ := receiveNumbers(t, server, 1)
		if bits.OnesCount64(got[0]) != 1 {
			t.Fatalf("flipped %b", got[0])
		}
	}
}

func TestQueueIsBounded(t *testing.T) {
	client, server, p := newPair(t, Config{ToServer: Impairment{Delay: 200 * time.Millisecond, Queue: 10}})
	sendNumbers(t, client)
	receiveNumbers(t, server, 10)
	got, _ := p.Counters()
	if got.Overflowed+got.Sent != got.Received || got.Overflowed == 0 {
		t.Errorf("%+v", got)
	}
}

// Datagrams that come faster than the rate wait, and what does not fit is dropped.
func TestRate(t *testing.T) {
	const rate, fits = 1000, 50 // bytes a second, datagrams
	imp := Impairment{Rate: rate, Buffer: fits * 8}
	client, server, p := newPair(t, Config{ToServer: imp})
	start := time.Now()
	sendNumbers(t, client)
	numbers, _ := receiveNumbers(t, server, fits)
	if took, least := time.Since(start), time.Duration(fits*8)*time.Second/rate; took < least || !sorted(numbers) {
		t.Errorf("%d bytes took %v, at least %v expected; in order: %v", fits*8, took, least, sorted(numbers))
	}
	if got, _ := p.Counters(); got.Overflowed == 0 {
		t.Errorf("nothing was dropped: %+v", got)
	}
	if f := (&Impairment{Rate: rate}).passing(500); f != time.Second/2 {
		t.Errorf("500 bytes pass in %v", f)
	}
}

// No more in a row are lost than Burst says.
func TestBurst(t *testing.T) {
	client, server, p := newPair(t, Config{ToServer: Impairment{Drop: 1, Burst: 3}})
	sendNumbers(t, client)
	numbers, _ := receiveNumbers(t, server, count/4)
	for i, n := range numbers {
		if n != uint64(4*i+3) {
			t.Fatalf("those that arrived are %v", numbers)
		}
	}
	if got, _ := p.Counters(); got.Dropped != count-count/4 {
		t.Errorf("%+v", got)
	}
}

func TestSetImpairments(t *testing.T) {
	client, server, p := newPair(t, Config{ToServer: Impairment{Drop: 1}})
	if _, err := client.Write(make([]byte, 8)); err != nil {
		t.Fatal(err)
	}
	for {
		if got, _ := p.Counters(); got.Dropped == 1 {
			break
		}
	}
	p.SetImpairments(Impairment{}, Impairment{})
	sendNumbers(t, client)
	receiveNumbers(t, server, count)
}

func TestSameSeedSameFates(t *testing.T) {
	imp := Impairment{Drop: 0.2, Duplicate: 0.2, Reorder: 0.2, Corrupt: 0.2, Delay: 1, Jitter: 1000}
	draw := func(seed uint64) (fates []fate) {
		rng := rand.New(rand.NewPCG(seed, 0))
		for i := range 100 {
			fates = append(fates, imp.decide(rng, i))
		}
		return fates
	}
	if !reflect.DeepEqual(draw(7), draw(7)) {
		t.Error("one seed, different fates")
	}
	if reflect.DeepEqual(draw(7), draw(8)) {
		t.Error("two seeds, the same fates")
	}
}
