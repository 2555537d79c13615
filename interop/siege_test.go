package interop

import (
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dunlin-quic/dunlin/http3"
	"github.com/dunlin-quic/dunlin/quic"
)

// siegeConfig gives up peers soon, so that a test sees the end of what an attack left behind.
var siegeConfig = &quic.Config{HandshakeTimeout: 2 * time.Second, IdleTimeout: 5 * time.Second}

// besiege runs an attack on a server of Dunlin's, while a well-behaved client goes on with requests on one connection,
// and checks what must hold: no request of that client fails nor needs another connection, afterwards the server's live
// heap and goroutines return to where they were, and it serves newcomers. The attack must be made from other
// processes, so that what is measured here is the server, and the well-behaved client.
func besiege(t *testing.T, handler http.Handler, attack func(addr netip.AddrPort)) {
	t.Helper()
	addr := serveDunlin(t, handler, siegeConfig)
	n := newNeighbour(t, addr)
	for range 200 {
		n.request()
	}
	heap, before := liveHeap(), len(goroutines())

	n.start()
	attack(addr)
	limit := heap + heap/20 + 2<<20
	if !waitUntil(20*time.Second, func() bool { return liveHeap() <= limit }) {
		t.Errorf("the live heap is %d bytes, after %d before the attack: more than 5 %% + 2 MiB above", liveHeap(), heap)
	}
	after := liveHeap()
	n.stop()
	if !waitUntil(10*time.Second, func() bool { return len(goroutines()) <= before }) {
		t.Errorf("%d goroutines, %d before the attack:\n%s", len(goroutines()), before, strings.Join(goroutines(), "\n\n"))
	}
	n.check()
	download(t, newDunlinClient(t), urlOf(addr), 1e6)
	t.Logf("live heap %d kB before, %d kB after; the neighbour made %d requests meanwhile", heap>>10, after>>10, n.done)
}

// parked are the functions in which goroutines wait that are kept, a bounded number of them, for the next burst of
// handshakes and of requests.
var parked = []string{
	"github.com/dunlin-quic/dunlin/engine.(*runners).run(",
	"github.com/dunlin-quic/dunlin/http3.(*handlers).run(",
}

// goroutines returns the stacks of all goroutines but the parked ones.
func goroutines() (stacks []string) {
	buf := make([]byte, 4<<20)
	for stack := range strings.SplitSeq(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
		state, frames, _ := strings.Cut(stack, "\n")
		waits := func(function string) bool { return strings.HasPrefix(frames, function) }
		if strings.Contains(state, "[select") && slices.ContainsFunc(parked, waits) {
			continue
		}
		stacks = append(stacks, stack)
	}
	return stacks
}

func liveHeap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// waitUntil reports whether a condition comes true within limit.
func waitUntil(limit time.Duration, condition func() bool) bool {
	deadline := time.Now().Add(limit)
	for !condition() {
		if time.Now().After(deadline) {
			return false
		}
		<-time.After(100 * time.Millisecond)
	}
	return true
}

// neighbour is a well-behaved client with one connection.
type neighbour struct {
	t         *testing.T
	base      string
	transport *http3.Transport
	quit      chan struct{}
	running   sync.WaitGroup

	mu    sync.Mutex
	conns map[*http3.ClientConn]bool
	done  int
}

func newNeighbour(t *testing.T, addr netip.AddrPort) *neighbour {
	transport := newDunlinClient(t).(*http3.Transport)
	return &neighbour{t: t, base: urlOf(addr), transport: transport, conns: make(map[*http3.ClientConn]bool)}
}

// request makes one request and checks the answer.
func (n *neighbour) request() {
	req, err := http.NewRequest(http.MethodGet, n.base+"content/10000", nil)
	if err != nil {
		n.t.Error(err)
		return
	}
	trace := &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.conns[info.Conn.(*http3.ClientConn)] = true
	}}
	resp, err := n.transport.RoundTrip(req.WithContext(httptrace.WithClientTrace(req.Context(), trace)))
	if err != nil {
		n.t.Errorf("the neighbour's request: %v", err)
		return
	}
	defer resp.Body.Close()
	if got := sumOf(resp.Body); got != contentSum(10000) {
		n.t.Errorf("the neighbour got SHA-256 %s, want %s", got, contentSum(10000))
	}
	n.done++
}

// start makes requests, one every few milliseconds, until stop.
func (n *neighbour) start() {
	n.done, n.quit = 0, make(chan struct{})
	n.running.Go(func() {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			n.request()
			select {
			case <-tick.C:
			case <-n.quit:
				return
			}
		}
	})
}

func (n *neighbour) stop() {
	close(n.quit)
	n.running.Wait()
}

func (n *neighbour) check() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.conns) != 1 {
		n.t.Errorf("the neighbour needed %d connections", len(n.conns))
	}
	if n.done == 0 {
		n.t.Error("the neighbour was not served during the attack")
	}
}
