package interop

import (
	"encoding/binary"
	"maps"
	"net/netip"
	"sync"
	"testing"

	"github.com/dunlin-quic/dunlin/internal/udpproxy"
	"github.com/dunlin-quic/dunlin/internal/wire"
	"github.com/dunlin-quic/dunlin/quic"
)

// wiretap counts what packets tell that has no key: it sees both sides' Initial, Retry, Version Negotiation and 0-RTT packets
// on a relay. So what a test says about them does not hang on what either side says of itself.
type wiretap struct {
	relay *udpproxy.Proxy

	mu       sync.Mutex
	seen     sightings
	rebindIn int // after so many bytes from the server, the relay gets new ports; never, if 0
	rebound  bool
}

type sightings struct {
	asked        map[quic.Version]bool // by the clients' Initial packets
	answered     map[quic.Version]bool // by the server's
	retries      int                   // Retry packets
	tokens       int                   // the clients' Initial packets with a token
	negotiations int                   // Version Negotiation packets
	early        int                   // 0-RTT packets
}

// tap relays to a server, as cfg says, and listens.
func tap(t *testing.T, server netip.AddrPort, cfg udpproxy.Config) *wiretap {
	t.Helper()
	w := &wiretap{seen: sightings{asked: make(map[quic.Version]bool), answered: make(map[quic.Version]bool)}}
	cfg.Tap = w.look
	w.mu.Lock()
	defer w.mu.Unlock()
	w.relay = startRelay(t, server, cfg)
	return w
}

func (w *wiretap) addr() netip.AddrPort { return w.relay.Addr() }

// sightings returns what was seen so far.
func (w *wiretap) sightings() sightings {
	w.mu.Lock()
	defer w.mu.Unlock()
	seen := w.seen
	seen.asked, seen.answered = maps.Clone(seen.asked), maps.Clone(seen.answered)
	return seen
}

// checkRetry checks that there was a Retry packet, and that the client obeyed it.
func (w *wiretap) checkRetry(t *testing.T) {
	t.Helper()
	if seen := w.sightings(); seen.retries == 0 || seen.tokens == 0 {
		t.Errorf("%d Retry packets, %d Initial packets with a token", seen.retries, seen.tokens)
	}
}

// rebindAt makes the relay forget the clients' ports at its server's side once that many bytes have come from there.
func (w *wiretap) rebindAt(bytes int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.rebindIn = bytes
}

func (w *wiretap) checkRebound(t *testing.T) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.rebound {
		t.Error("the transfer was over before the client had another port")
	}
}

func (w *wiretap) look(toServer bool, data []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !toServer && w.rebindIn > 0 {
		if w.rebindIn -= len(data); w.rebindIn <= 0 {
			w.rebindIn, w.rebound = 0, true
			w.relay.Rebind()
		}
	}
	for len(data) > 4 && wire.IsLong(data[0]) {
		if binary.BigEndian.Uint32(data[1:]) == 0 {
			w.seen.negotiations++
			return
		}
		header, ok := wire.ParseLong(data)
		if !ok {
			return
		}
		switch {
		case header.Type == wire.Retry:
			w.seen.retries++
		case header.Type == wire.ZeroRTT:
			w.seen.early++
		case header.Type == wire.Initial && toServer:
			w.seen.asked[header.Version] = true
			if len(header.Token) > 0 {
				w.seen.tokens++
			}
		case header.Type == wire.Initial:
			w.seen.answered[header.Version] = true
		}
		data = data[header.PacketLen:]
	}
}
