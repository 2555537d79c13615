package simnet

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/dunlin-quic/dunlin/quic"
)

// maybe returns f's value in a share of all cases, else zero.
func maybe[T any](rng *rand.Rand, share float64, f func() T) T {
	v := f()
	if rng.Float64() < share {
		return v
	}
	var zero T
	return zero
}

// between returns a duration, short ones more often.
func between(rng *rand.Rand, d time.Duration) time.Duration {
	x := rng.Float64()
	return time.Duration(x * x * float64(d))
}

// randomLink draws one direction of a path. Every knob is off in most runs, so that each is also seen alone.
func randomLink(rng *rand.Rand) Link {
	l := Link{
		Delay:     between(rng, 200*time.Millisecond),
		Jitter:    maybe(rng, 0.3, func() time.Duration { return between(rng, 50*time.Millisecond) }),
		BurstLoss: 1 + maybe(rng, 0.3, func() int { return rng.IntN(4) }),
		MaxBurst:  12,
		Duplicate: maybe(rng, 0.2, func() float64 { return rng.Float64() * 0.2 }),
		Corrupt:   maybe(rng, 0.2, func() float64 { return rng.Float64() * 0.1 }),
		Reorder:   maybe(rng, 0.3, func() float64 { return rng.Float64() * 0.2 }),
		ReorderBy: between(rng, 60*time.Millisecond),
		MTU:       maybe(rng, 0.3, func() int { return 1200 + rng.IntN(300) }),
		Clear:     rng.Float64() < 0.1,
	}
	l.Loss = maybe(rng, 0.6, func() float64 { return rng.Float64() * 0.3 / float64(l.BurstLoss) })
	if rng.Float64() < 0.4 {
		l.Rate = 1e6 * (1 + 99*rng.Float64())
		l.Queue = 4 + rng.IntN(100)
		l.Mark = rng.Float64() < 0.3
	}
	return l
}

// mishap returns one of several things that may happen to a connection at any time, or that either side may do.
func (p *pair) mishap(what int) func() {
	return func() {
		ends := []*Peer{&p.client.Peer}
		if s := p.server.Peers(); len(s) > 0 {
			ends = append(ends, s[0])
		}
		end := ends[p.Rand().IntN(len(ends))]
		switch {
		case end.Closed:
			return
		case what == 0:
			end.Conn.InitiateKeyUpdate()
		case what == 1:
			end.Conn.RotateConnectionIDs()
		case what == 2:
			end.Conn.Ping()
		case what == 3 && p.client.Conn.Confirmed():
			p.client.Rebind()
			p.moved = true
		case what == 4 && p.client.Conn.Confirmed():
			p.client.Roam()
			p.moved = true
		case what == 5 && p.client.Conn.Confirmed():
			from := p.client.Conn.Path().Local
			if p.client.Conn.Migrate(p.Now(), p.client.Open()) == nil && p.Rand().IntN(2) == 0 {
				p.moved = true
				p.After(between(p.Rand(), time.Second), func() {
					if p.client.Conn.Path().Local != from {
						p.client.Shut(from)
					}
				})
			}
			p.client.Pump()
		case what == 6 && p.client.Conn.Confirmed():
			_ = p.client.Conn.Probe(p.Now(), p.client.Open()) // there may be too many paths
			p.client.Pump()
		case what >= 7:
			up, down := p.linkState(p.client.Addr, p.server.Addr), p.linkState(p.server.Addr, p.client.Addr)
			up.Down, down.Down = true, true
			p.After(between(p.Rand(), 2*time.Second), func() { up.Down, down.Down = false, false })
		}
		end.Pump()
	}
}

// lostItsWay reports whether the server gave up because it could validate none of the addresses that the client had. With
// bad luck, all the probes for it get lost.
func (p *pair) lostItsWay() bool {
	err, ok := p.server.Peers()[0].Err.(*quic.TransportError)
	return ok && err.Code == quic.NoViablePath
}

func randomStreams(rng *rand.Rand, n int) (streams []TransferStream) {
	// A run in a hundred moves much more.
	size := 20000
	if rng.IntN(100) == 0 {
		size = 1 << 20
	}
	for range n {
		s := TransferStream{Dir: quic.Dir(rng.IntN(2)), Size: header + uint64(rng.IntN(size))}
		if s.Dir == quic.Bidi {
			s.Reply = maybe(rng, 0.8, func() uint64 { return header + uint64(rng.IntN(size)) })
		}
		s.ResetAfter = maybe(rng, 0.1, func() uint64 { return 1 + rng.Uint64N(s.Size) })
		streams = append(streams, s)
	}
	return streams
}

// randomVersions draws versions for both sides, of which they have one in common at least.
func randomVersions(rng *rand.Rand, o *options) {
	lists := [][]quic.Version{
		nil, {quic.Version1}, {quic.Version2}, {quic.Version1, quic.Version2}, {quic.Version2, quic.Version1},
	}
	client, server := rng.IntN(len(lists)), rng.IntN(len(lists))
	if o.up.Corrupt > 0 || o.down.Corrupt > 0 {
		// Nothing authenticates Version Negotiation packets. Where they get damaged, which UDP's checksum prevents in
		// reality, none may be needed.
		server = 0
	}
	if client+server == 3 && client != 0 && server != 0 {
		client = 0
	}
	o.client.Versions, o.server.Versions, o.demux.Versions = lists[client], lists[server], lists[server]
	if len(lists[client]) != 1 && rng.IntN(2) == 0 {
		o.client.OriginalVersion = quic.Version2
	}
}

// randomRun makes a network of the seed's choice, and a transfer over it, and returns the digest of all that was sent.
func randomRun(t *testing.T, seed uint64) uint32 {
	w := virtually(t, seed)
	rng := w.Rand()
	up, down := randomLink(rng), randomLink(rng)
	w.Coalesce = rng.IntN(2) == 0
	preferred := w.addr([4]byte{198, 51, 100, 1}, 443)
	asked := &Transfer{Open: randomStreams(rng, 1+rng.IntN(6)), CloseWhenDone: true}
	p := newPair(t, w, asked, func(o *options) {
		o.answers.Open = randomStreams(rng, rng.IntN(4))
		asked.ExpectFromPeer = len(o.answers.Open)
		for _, a := range []*Transfer{asked, &o.answers} {
			a.ReadDelay = maybe(rng, 0.1, func() time.Duration { return between(rng, 100*time.Millisecond) })
			a.Datagrams = maybe(rng, 0.2, func() int { return rng.IntN(50) })
		}
		for _, c := range []*quic.Config{o.client, o.server} {
			c.CongestionControl = quic.CongestionControl(rng.IntN(3))
			c.NoPacing = rng.IntN(5) == 0
			c.AckFrequency = seed%3 == 0
			c.StreamWindow = maybe(rng, 0.2, func() int { return 2000 + rng.IntN(20000) })
			c.ConnWindow = maybe(rng, 0.2, func() int { return 3000 + rng.IntN(20000) })
			c.MaxBidiStreams = maybe(rng, 0.2, func() int { return 1 + rng.IntN(3) })
			c.MaxUniStreams = maybe(rng, 0.2, func() int { return 1 + rng.IntN(3) })
		}
		if rng.IntN(4) == 0 {
			o.demux.Retry = quic.RetryAlways
		}
		o.up, o.down = up, down
		randomVersions(rng, o)
		// A client that only receives has nothing to tell a new address with.
		o.client.KeepAlive = time.Second
		if rng.IntN(8) == 0 {
			o.server.PreferredAddress.IPv4 = preferred
		}
	})
	p.server.AlsoAt(preferred)
	for range maybe(rng, 0.5, func() int { return rng.IntN(5) }) {
		w.After(between(rng, 3*time.Second), p.mishap(rng.IntN(9)))
	}
	if err := p.Run(forever); err != nil {
		t.Fatalf("%v\nup   %+v\ndown %+v", err, up, down)
	}
	if !p.asked.Done && p.moved && p.lostItsWay() {
		return w.Digest()
	}
	p.checkEnd()
	if c, s := p.client.Conn.Version(), p.server.Peers()[0].Conn.Version(); c != s {
		t.Errorf("the client ended up with version %v, the server with %v", c, s)
	}
	return w.Digest()
}

// TestRandomNetworks moves real data over a thousand networks that lose up to 30 % of all datagrams in either
// direction.
func TestRandomNetworks(t *testing.T) {
	first, n := uint64(1), uint64(*runs)
	if *only != 0 {
		first, n = *only, 1
	}
	for s := first; s < first+n; s++ {
		ok := t.Run(fmt.Sprint(s), func(t *testing.T) {
			digest := randomRun(t, s)
			// The same seed gives the same datagrams at the same times, to the byte.
			if s%50 == 1 || *only != 0 {
				if again := randomRun(t, s); again != digest {
					t.Errorf("the same seed gave %x, then %x", digest, again)
				}
			}
		})
		if !ok {
			t.Logf("replay it: go test ./internal/simnet -run TestRandomNetworks -v -simnet.seed=%d", s)
		}
	}
}
