package interop

import (
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
		t.Run(pair.name, func(t *testing.T) {
			server := pair.server.serve(t, newHandler())
			for seed := range uint64(3) {
				relay, err := udpproxy.Listen(server, udpproxy.Config{ToServer: bad, ToClient: bad, Seed: seed})
				if err != nil {
					t.Fatal(err)
				}
				client := pair.client.client(t)
				download(t, client, urlOf(relay.Addr()), size)
				upload(t, client, urlOf(relay.Addr()), size)
				toServer, toClient := relay.Counters()
				for _, c := range []udpproxy.Counters{toServer, toClient} {
					if c.Dropped == 0 || c.Duplicated == 0 || c.Reordered == 0 || c.Corrupted == 0 {
						t.Errorf("seed %d: the relay was too kind: %+v", seed, c)
					}
				}
				if err := relay.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// A path that is dead for a second in the middle of a transfer.
func TestBlackHole(t *testing.T) {
	const size = 20e6
	for _, pair := range pairs {
		t.Run(pair.name, func(t *testing.T) {
			server := pair.server.serve(t, newHandler())
			seen := make(chan struct{}, 1)
			datagrams := 0
			relay, err := udpproxy.Listen(server, udpproxy.Config{Tap: func(toServer bool, data []byte) {
				if toServer {
					return
				}
				if datagrams++; datagrams == 1000 {
					seen <- struct{}{}
				}
			}})
			if err != nil {
				t.Fatal(err)
			}
			defer relay.Close()
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
