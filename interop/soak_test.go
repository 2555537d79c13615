package interop

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dunlin-quic/dunlin/internal/udpproxy"
)

var (
	soakTime  = flag.Duration("soak", 10*time.Second, "how long TestSoak lasts")
	soakUsers = flag.Int("soak.users", 40, "how many requests of TestSoak run at a time")
	// The default is for a machine that has much else to do.
	soakPatience = flag.Duration("soak.patience", time.Minute, "how long nothing may move in a request of TestSoak")
	soakSeed     = flag.Uint64("soak.seed", 1, "seed of what the users of TestSoak do")
)

// TestSoak has many users make short and long requests for as long as -soak says, and abandon some, on both sides at any point: of a
// server that always runs, of one that ends again and again, with its requests answered, at once, or unheard as if by a
// crash, and comes back at its address, and of one in a process that is killed. They read some answers slowly, resume
// sessions with early data, open WebSockets and tunnels with datagrams; one of them moves from port to port. A part of the
// packets goes by a relay that loses some and changes the clients' ports.
//
// What was acknowledged must have happened, once, and what a server that shuts down has answered must arrive. Every
// so often everybody rests: then there are as many goroutines, file descriptors, connections and connection IDs as the first
// time, and no more memory in use.
func TestSoak(t *testing.T) {
	rng := rand.New(rand.NewPCG(*soakSeed, 0))
	ledger := newLedger(t)
	steady, restless := newSoakServer(t, ledger), newSoakServer(t, ledger)
	steady.start()
	defer steady.end(t.Context(), true)

	keeper := newSoakClient(t, steady.addr, nil) // its connection lasts all the time
	defer keeper.transport.Close()
	keeper.mustSucceed = true

	cycle := min(30*time.Second, *soakTime/3)
	var first soakState
	for n, end := 0, time.Now().Add(*soakTime); time.Now().Before(end); n++ {
		soakCycle(t, rng, ledger, steady, restless, keeper, cycle)
		ledger.settle()
		state, ok := restingState(steady, first)
		t.Logf("%v; %v", ledger.report(), state)
		if n == 0 {
			first = state // of what is kept for later, everything is there now
		} else if !ok {
			t.Errorf("left behind: %v; after the first time: %v\n%s", state, first, strings.Join(goroutines(), "\n\n"))
			break
		}
		if t.Failed() {
			break
		}
	}
}

// soakCycle lets the users work for a while, with one server that restarts.
func soakCycle(t *testing.T, rng *rand.Rand, ledger *ledger, steady, restless *soakServer, keeper *soakClient, length time.Duration) {
	restless.start()
	mortal := newMortal(t, ledger)
	mortal.start()
	poor := udpproxy.Impairment{Drop: 0.005, Reorder: 0.005, Duplicate: 0.005}
	relay := func(server *soakServer) *udpproxy.Proxy {
		p, err := udpproxy.Listen(server.addr, udpproxy.Config{ToServer: poor, ToClient: poor, Seed: rng.Uint64()})
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	toSteady, toRestless := relay(steady), relay(restless)
	clients := []*soakClient{
		keeper,
		newSoakClient(t, steady.addr, ledger), newSoakClient(t, toSteady.Addr(), ledger),
		newSoakClient(t, restless.addr, ledger), newSoakClient(t, restless.addr, ledger), newSoakClient(t, restless.addr, ledger),
		newSoakClient(t, toRestless.Addr(), ledger), newSoakClient(t, toRestless.Addr(), ledger),
		newSoakClient(t, mortal.addr, ledger), newSoakClient(t, mortal.addr, ledger),
	}
	clients[1].mustSucceed = true
	for _, c := range clients[:3] {
		c.longest = min(10*time.Second, *soakTime/10) // in the end more than the idle timeout
	}
	for _, c := range clients {
		c.ledger = ledger
	}

	rest := make(chan struct{})
	var users sync.WaitGroup
	for range *soakUsers {
		own := rand.New(rand.NewPCG(rng.Uint64(), rng.Uint64()))
		users.Go(func() {
			for {
				select {
				case <-rest:
					return
				default:
					clients[own.IntN(len(clients))].use(own)
				}
			}
		})
	}

	users.Go(func() { roam(t, steady.addr, ledger, rest) })

	for end := time.After(length); ; {
		select {
		case <-time.After(time.Duration(rng.Int64N(int64(length / 5)))):
			toSteady.Rebind()
			clients[1+rng.IntN(len(clients)-1)].transport.CloseIdleConnections()
			switch rng.IntN(7) {
			case 0: // at once
				restless.end(t.Context(), false)
			case 1: // unheard by those behind the relay, who find out from stateless resets
				dead := udpproxy.Impairment{Drop: 1}
				toRestless.SetImpairments(dead, dead)
				restless.end(t.Context(), false)
				toRestless.SetImpairments(poor, poor)
			case 2, 3:
				mortal.kill()
				mortal.start()
				continue
			default:
				restless.end(t.Context(), true)
			}
			restless.start()
			continue
		case <-end:
		}
		break
	}
	close(rest)
	users.Wait()
	for _, c := range clients[1:] {
		c.transport.Close()
	}
	restless.end(t.Context(), true)
	mortal.kill()
	for _, p := range []*udpproxy.Proxy{toSteady, toRestless} {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}
}

// soakState is what there is while everybody rests.
type soakState struct {
	heap                      uint64
	goroutines, files         int
	connections, ids, packets int // of the server that always runs
}

func (s soakState) String() string {
	return fmt.Sprintf("live heap %d kB, %d goroutines, %d files, %d connections with %d IDs and %d bytes of packets",
		s.heap>>10, s.goroutines, s.files, s.connections, s.ids, s.packets)
}

// restingState waits until there is no more than the first time, and reports whether that came true. The first time, for
// which first is zero, it waits until the keeper's is the only connection.
func restingState(steady *soakServer, first soakState) (s soakState, ok bool) {
	ok = waitUntil(30*time.Second, func() bool {
		of := steady.server.Stats()[0]
		s = soakState{liveHeap(), len(goroutines()), openFiles(), of.Connections, of.RoutedIDs, int(of.QueuedBytes)}
		if first == (soakState{}) {
			return s.connections == 1
		}
		return s.heap <= first.heap+first.heap/20+2<<20 && s.goroutines <= first.goroutines && s.files <= first.files &&
			s.connections == 1 && s.ids <= first.ids+2 && s.packets == 0
	})
	return s, ok
}

// openFiles counts the file descriptors of this process, where the system tells.
func openFiles() int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	return len(entries)
}
