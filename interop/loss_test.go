package interop

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/dunlin-quic/dunlin/internal/udpproxy"
)

// Files arrive whole through a relay that drops, duplicates, delays, reorders and corrupts.
func TestLossyPath(t *testing.T) {
	const size = 1e6
	bad := udpproxy.Impairment{
		Drop: 0.05, Duplicate: 0.02, Reorder: 0.05, Corrupt: 0.02, Delay: 2 * time.Millisecond, Jitter: 3 * time.Millisecond,
	}
	for _, pair := range pairs {
		for seed := range uint64(3) {
			t.Run(fmt.Sprintf("%s, seed %d", pair.name, seed), func(t *testing.T) {
				t.Parallel() // they mostly wait
				relay := startRelay(t, pair.server.serve(t, newHandler()), udpproxy.Config{ToServer: bad, ToClient: bad, Seed: seed})
				client := pair.client.client(t)
				download(t, client, urlOf(relay.Addr()), size)
				upload(t, client, urlOf(relay.Addr()), size)
				toServer, toClient := relay.Counters()
				for _, c := range []udpproxy.Counters{toServer, toClient} {
					if c.Dropped == 0 || c.Duplicated == 0 || c.Reordered == 0 || c.Corrupted == 0 {
						t.Errorf("the relay was too kind: %+v", c)
					}
				}
			})
		}
	}
}

// startRelay runs a relay until the test ends.
func startRelay(t *testing.T, server netip.AddrPort, cfg udpproxy.Config) *udpproxy.Proxy {
	t.Helper()
	relay, err := udpproxy.Listen(server, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := relay.Close(); err != nil {
			t.Error(err)
		}
	})
	return relay
}

// On the path every datagram comes twice, and many late, in both directions.
func TestReplaysOnThePath(t *testing.T) {
	twice := udpproxy.Impairment{Duplicate: 1, Reorder: 0.2, HoldBack: 20 * time.Millisecond}
	for _, pair := range pairs {
		t.Run(pair.name, func(t *testing.T) {
			t.Parallel()
			relay := startRelay(t, pair.server.serve(t, newHandler()), udpproxy.Config{ToServer: twice, ToClient: twice})
			client := pair.client.client(t)
			download(t, client, urlOf(relay.Addr()), 2e6)
			upload(t, client, urlOf(relay.Addr()), 2e6)
		})
	}
}

// A path that is dead for a second in the middle of a transfer.
func TestBlackHole(t *testing.T) {
	const size = 20e6
	for _, pair := range pairs {
		t.Run(pair.name, func(t *testing.T) {
			t.Parallel()
			server := pair.server.serve(t, newHandler())
			seen := make(chan struct{}, 1)
			datagrams := 0
			relay := startRelay(t, server, udpproxy.Config{Tap: func(toServer bool, data []byte) {
				if toServer {
					return
				}
				if datagrams++; datagrams == 1000 {
					seen <- struct{}{}
				}
			}})
			client := pair.client.client(t)
			done := make(chan struct{})
			go func() {
				defer close(done)
				download(t, client, urlOf(relay.Addr()), size)
			}()
			select {
			case <-seen:
			case <-done:
				t.Fatal("the transfer was over before the path failed")
			}
			dead := udpproxy.Impairment{Drop: 1}
			relay.SetImpairments(dead, dead)
			<-time.After(time.Second)
			relay.SetImpairments(udpproxy.Impairment{}, udpproxy.Impairment{})
			<-done
		})
	}
}
