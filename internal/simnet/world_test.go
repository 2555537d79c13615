package simnet

import (
	"flag"
	"net/netip"
	"testing"
	"testing/cryptotest"
	"time"

	"github.com/dunlin-quic/dunlin/quic"
)

var (
	runs = flag.Int("simnet.runs", 1000, "how many random networks to try")
	only = flag.Uint64("simnet.seed", 0, "try only the random network of this seed, and with -v print what is sent")
)

// virtually sets up a world whose every chance comes from seed.
func virtually(t *testing.T, seed uint64) *World {
	cryptotest.SetGlobalRandom(t, seed)
	w := NewWorld(seed)
	if testing.Verbose() && *only != 0 {
		w.Trace = func(now time.Time, from, to netip.AddrPort, datagram []byte) {
			t.Logf("%12v %v to %v: %d bytes, first %#02x", now.Sub(beginning), from, to, len(datagram), datagram[0])
		}
	}
	return w
}

// configs returns configs for both sides. The timeouts leave room for bad luck: a dozen probe timeouts in a row.
func (w *World) configs() (client, server *quic.Config) {
	c, s := w.TLS()
	client = &quic.Config{TLS: c, HandshakeTimeout: time.Hour, IdleTimeout: time.Hour, Rand: w}
	server = &quic.Config{TLS: s, HandshakeTimeout: time.Hour, IdleTimeout: time.Hour, Rand: w}
	return client, server
}

// pair is a client and a server in a world, each with a Transfer.
type pair struct {
	*World
	t              *testing.T
	client         *Client
	server         *Server
	asked, answers *Transfer // the client's and, once it has one, the server's
	moved          bool      // the client's address has changed
}

// options say how a pair differs from the default.
type options struct {
	client, server *quic.Config
	demux          quic.DemuxConfig
	answers        Transfer
	up, down       Link
}

// both sets the link in both directions.
func (o *options) both(l Link) { o.up, o.down = l, l }

// newPair makes a pair. The client starts at once.
func newPair(t *testing.T, w *World, asked *Transfer, mod func(*options)) *pair {
	t.Helper()
	p := &pair{World: w, t: t, asked: asked}
	var o options
	o.client, o.server = w.configs()
	o.demux.StatelessResetKey = &[32]byte{1}
	o.demux.Rand = w
	o.demux.RetryTokenLife = time.Hour
	if mod != nil {
		mod(&o)
	}
	o.server.StatelessResetKey = o.demux.StatelessResetKey
	demux, err := quic.NewDemux(o.demux)
	if err != nil {
		t.Fatal(err)
	}
	p.answers = &o.answers
	p.server = w.NewServer(o.server, demux, func() App {
		if len(p.server.Peers()) == 0 {
			return p.answers
		}
		return &Transfer{}
	})
	w.Stalled = func() string {
		s := "client: " + p.asked.String() + "; server: " + p.answers.String()
		return s
	}
	w.Link(o.up)
	w.LinkBetween(p.server.Addr, w.NextClientAddr(), o.down)
	if p.client, err = w.NewClient(o.client, p.server, asked); err != nil {
		t.Fatal(err)
	}
	return p
}

// forever is more virtual time than any run takes: an idle timeout and a handshake timeout for those whom nobody tells
// that all is over.
const forever = 12 * time.Hour

// run lets the transfer take its course and checks that it ended well.
func (p *pair) run() {
	p.t.Helper()
	if err := p.Run(forever); err != nil {
		p.t.Fatal(err)
	}
	p.checkEnd()
}

// checkEnd checks what must be true when both sides are at rest after a transfer that the client closed.
func (p *pair) checkEnd() {
	p.t.Helper()
	if !p.asked.Done {
		var server error
		if s := p.server.Peers(); len(s) > 0 {
			server = s[0].Err
		}
		p.t.Fatalf("client ended (%v), server (%v), before all was done: %v", p.client.Err, server, p.asked)
	}
	// What a slow reader has not read when the connection ends is acknowledged all the same.
	if got, want := p.answers.FromPeer, len(p.asked.Open); got != want && p.answers.ReadDelay == 0 {
		p.t.Fatalf("the server got %d of %d streams", got, want)
	}
	if err, ok := p.client.Err.(*quic.ApplicationError); !ok || err.Remote || err.Code != 0 {
		p.t.Fatalf("client ended with %v", p.client.Err)
	}
	server := p.server.Peers()[0]
	// A copy of the first datagram that comes when all is over looks like another attempt, and comes to nothing.
	for _, s := range p.server.Peers()[1:] {
		if s.Err != quic.ErrHandshakeTimeout && s.Err != quic.ErrIdleTimeout {
			p.t.Fatalf("the server made another connection, which ended with %v", s.Err)
		}
	}
	err, ok := server.Err.(*quic.ApplicationError)
	if server.Err != quic.ErrIdleTimeout && (!ok || !err.Remote || err.Code != 0) {
		p.t.Fatalf("server ended with %v", server.Err)
	}
	if n := p.server.Routes(); n != 0 {
		p.t.Fatalf("%d connection IDs still lead to drained connections", n)
	}
}

// insider is a Transfer that sees whether the clock counts it.
type insider struct {
	Transfer
	outside int
}

func (a *insider) Event(p *Peer, e quic.Event) {
	if !p.World.inside {
		a.outside++
	}
	a.Transfer.Event(p, e)
}

// Spent counts connections and applications, and not the network.
func TestSpent(t *testing.T) {
	w := virtually(t, 1)
	var reads, network int
	w.Clock = func() time.Duration { reads++; return time.Duration(reads) }
	w.Trace = func(time.Time, netip.AddrPort, netip.AddrPort, []byte) {
		if w.inside {
			network++
		}
	}
	client, cfg := w.configs()
	demux, err := quic.NewDemux(quic.DemuxConfig{Rand: w})
	if err != nil {
		t.Fatal(err)
	}
	asked := &insider{Transfer: Transfer{Open: []TransferStream{{Dir: quic.Bidi, Size: 1000, Reply: 100_000}}, CloseWhenDone: true}}
	server := w.NewServer(cfg, demux, func() App { return &Transfer{} })
	if _, err := w.NewClient(client, server, asked); err != nil {
		t.Fatal(err)
	}
	if err := w.Run(forever); err != nil || !asked.Done {
		t.Fatalf("%v: %v", err, asked)
	}
	if asked.outside != 0 || network != 0 {
		t.Errorf("%d events outside, %d datagrams inside", asked.outside, network)
	}
	if w.inside || w.Spent == 0 || int(w.Spent) != reads/2 {
		t.Errorf("spent %d of %d reads, inside %v", w.Spent, reads, w.inside)
	}
}
