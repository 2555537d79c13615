package simnet

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dunlin-quic/dunlin/quic"
)

const ms = time.Millisecond

// download is a transfer of n bytes from the server, upload one to it.
func download(n uint64) *Transfer {
	return &Transfer{Open: []TransferStream{{Size: header, Reply: n}}, CloseWhenDone: true}
}

func upload(n uint64) *Transfer {
	return &Transfer{Open: []TransferStream{{Dir: quic.Uni, Size: n}}, CloseWhenDone: true}
}

func (p *pair) took() time.Duration { return p.asked.DoneAt.Sub(beginning) }

// TestUtilisation: a long transfer uses most of what the path gives.
func TestUtilisation(t *testing.T) {
	for _, test := range []struct {
		name string
		link Link
		size uint64
		want float64 // of the rate
	}{
		{"10 Mbit/s, 30 ms, queue of a window", Link{Rate: 10e6, Delay: 15 * ms, Queue: 25}, 10e6, 0.90},
		{"10 Mbit/s, 30 ms, short queue", Link{Rate: 10e6, Delay: 15 * ms, Queue: 8}, 3e6, 0.70},
		{"1 Mbit/s, 100 ms, long queue", Link{Rate: 1e6, Delay: 50 * ms, Queue: 100}, 1e6, 0.85},
		{"100 Mbit/s, 40 ms", Link{Rate: 100e6, Delay: 20 * ms, Queue: 300}, 15e6, 0.65},
		{"100 Mbit/s, 2 ms", Link{Rate: 100e6, Delay: ms, Queue: 50}, 8e6, 0.88},
		{"10 Mbit/s, 30 ms, marks instead of losses", Link{Rate: 10e6, Delay: 15 * ms, Queue: 50, Mark: true}, 3e6, 0.90},
		{"10 Mbit/s, 30 ms, jitter", Link{Rate: 10e6, Delay: 15 * ms, Queue: 25, Jitter: 10 * ms}, 3e6, 0.80},
		{"10 Mbit/s, 30 ms, reordering", Link{Rate: 10e6, Delay: 15 * ms, Queue: 25, Reorder: 0.02, ReorderBy: 5 * ms}, 3e6, 0.80},
		{"10 Mbit/s, 30 ms, one in a thousand lost", Link{Rate: 10e6, Delay: 15 * ms, Queue: 25, Loss: 0.001}, 3e6, 0.70},
	} {
		for _, cc := range []quic.CongestionControl{quic.CUBIC, quic.NewReno} {
			name, transfer := "CUBIC", download(test.size)
			if cc == quic.NewReno {
				name, transfer = "NewReno", upload(test.size)
			}
			t.Run(test.name+"/"+name, func(t *testing.T) {
				p := newPair(t, virtually(t, 1), transfer, func(o *options) {
					o.client.CongestionControl, o.server.CongestionControl = cc, cc
					o.both(test.link)
				})
				p.run()
				used := float64(test.size) * 8 / test.link.Rate / p.took().Seconds()
				t.Logf("%.0f %% in %v, sender: %s", 100*used, p.took(), p.sender())
				if used < test.want {
					t.Errorf("%.0f %% of the rate used, want %.0f", 100*used, 100*test.want)
				}
			})
		}
	}
}

// sender describes the side that sent the most.
func (p *pair) sender() string {
	s := p.client.Conn.Stats()
	if o := p.server.Peers()[0].Conn.Stats(); o.BytesSent > s.BytesSent {
		s = o
	}
	return fmt.Sprintf("%d packets, %d lost, %d not so, %d probe timeouts, window %d, %d-byte packets",
		s.PacketsSent, s.PacketsLost, s.SpuriousLosses, s.PTOs, s.Cwnd, s.PacketSize)
}

// TestBlackHole: nothing passes for five seconds. Then the transfer goes on.
func TestBlackHole(t *testing.T) {
	for name, transfer := range map[string]*Transfer{"down": download(2e6), "up": upload(2e6)} {
		t.Run(name, func(t *testing.T) {
			w := virtually(t, 1)
			link := Link{Rate: 10e6, Delay: 15 * ms, Queue: 50}
			p := newPair(t, w, transfer, func(o *options) { o.both(link) })
			down := link
			down.Down = true
			setBoth := func(l Link) {
				w.LinkBetween(p.client.Addr, p.server.Addr, l)
				w.LinkBetween(p.server.Addr, p.client.Addr, l)
			}
			w.After(500*ms, func() { setBoth(down) })
			w.After(5500*ms, func() { setBoth(link) })
			p.run()
			// The probe timeout has backed off to a few seconds meanwhile.
			if p.took() > 13*time.Second {
				t.Errorf("done after %v", p.took())
			}
		})
	}
}

// TestCorruptHandshake: three datagrams of ten are damaged on the way. A damaged packet is as good as a lost one.
func TestCorruptHandshake(t *testing.T) {
	for seed := range uint64(50) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			p := newPair(t, virtually(t, seed), download(20000), func(o *options) {
				o.both(Link{Delay: 20 * ms, Corrupt: 0.3, MaxBurst: 10})
			})
			p.run()
		})
	}
}

// bigChain makes a server send a certificate chain of some n bytes.
func bigChain(cfg *tls.Config, n int) {
	c := cfg.Certificates[0]
	for size := 0; size < n; size += len(identity().Raw) {
		c.Certificate = append(c.Certificate, identity().Raw)
	}
	cfg.Certificates = []tls.Certificate{c}
}

// TestAmplificationLimit: the chain is several times what a server may send before it knows the client's address. The
// peers check that limit with every datagram; here the handshake must get through all the same.
func TestAmplificationLimit(t *testing.T) {
	for _, retry := range []quic.RetryPolicy{quic.RetryNever, quic.RetryAlways} {
		for seed := range uint64(40) {
			t.Run(fmt.Sprint(retry, "/", seed), func(t *testing.T) {
				p := newPair(t, virtually(t, seed), download(1000), func(o *options) {
					bigChain(o.server.TLS, 15000)
					o.demux.Retry = retry
					l := Link{Delay: 20 * ms}
					if seed > 0 {
						l.Loss, l.MaxBurst = 0.3, 12
					}
					o.both(l)
				})
				p.run()
			})
		}
	}
}

// TestHandshakeRoundTrips: how long a handshake takes, and the first answer after it, in round trips.
func TestHandshakeRoundTrips(t *testing.T) {
	for _, test := range []struct {
		name  string
		rtt   time.Duration
		retry quic.RetryPolicy
		curve tls.CurveID
		chain int
		trips float64 // until the client is established
	}{
		{"20 ms", 20 * ms, quic.RetryNever, tls.X25519, 0, 1},
		{"hybrid key exchange", 20 * ms, quic.RetryNever, tls.X25519MLKEM768, 0, 1},
		{"retry", 20 * ms, quic.RetryAlways, tls.X25519, 0, 2},
		{"750 ms", 750 * ms, quic.RetryNever, tls.X25519, 0, 1},
		{"2 s", 2 * time.Second, quic.RetryNever, tls.X25519, 0, 1},
		// RFC 9000, Section 8.1: the rest of the flight waits for the client's acknowledgment.
		{"large chain", 100 * ms, quic.RetryNever, tls.X25519, 8000, 2},
		{"large chain after retry", 100 * ms, quic.RetryAlways, tls.X25519, 8000, 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := virtually(t, 1)
			var established time.Duration
			p := newPair(t, w, download(1000), func(o *options) {
				o.both(Link{Delay: test.rtt / 2})
				o.demux.Retry = test.retry
				o.client.TLS.CurvePreferences = []tls.CurveID{test.curve}
				if test.chain > 0 {
					bigChain(o.server.TLS, test.chain)
				}
			})
			if err := p.RunUntil(time.Minute, p.client.Conn.Established); err != nil {
				t.Fatal(err)
			}
			established = w.Now().Sub(beginning)
			p.run()
			trip := func(d time.Duration) float64 { return d.Seconds() / test.rtt.Seconds() }
			if got := trip(established); got > test.trips+0.05 {
				t.Errorf("established after %.2f round trips, want %v", got, test.trips)
			}
			if got := trip(p.took()); got > test.trips+1.05 {
				t.Errorf("answered after %.2f round trips, want %v", got, test.trips+1)
			}
		})
	}
}

// TestManyHandshakes: 200 clients at once, on paths that lose 30 % in bursts of three.
func TestManyHandshakes(t *testing.T) {
	w := virtually(t, 1)
	w.Link(Link{Delay: 25 * ms, Jitter: 5 * ms, Loss: 0.3 / 3, BurstLoss: 3, MaxBurst: 12})
	ccfg, scfg := w.configs()
	scfg.StatelessResetKey = &[32]byte{1}
	demux, err := quic.NewDemux(quic.DemuxConfig{StatelessResetKey: scfg.StatelessResetKey, Rand: w})
	if err != nil {
		t.Fatal(err)
	}
	server := w.NewServer(scfg, demux, func() App { return &Transfer{} })
	transfers := make([]*Transfer, 200)
	for i := range transfers {
		transfers[i] = download(5000)
		if _, err := w.NewClient(ccfg, server, transfers[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Run(forever); err != nil {
		t.Fatal(err)
	}
	var took []time.Duration
	for i, tr := range transfers {
		if !tr.Done {
			t.Errorf("client %d: %v", i, tr)
		}
		took = append(took, tr.DoneAt.Sub(beginning))
	}
	slices.Sort(took)
	// How late the unluckiest one is hangs on a single probe timeout that has doubled often.
	latest, most := took[len(took)-1], took[len(took)*9/10]
	t.Logf("nine of ten were done after %v, the last of 200 after %v", most, latest)
	if most > 5*time.Second || latest > 5*time.Minute {
		t.Errorf("nine of ten were done after %v, the last of 200 after %v", most, latest)
	}
	if n := server.Routes(); n != 0 {
		t.Errorf("%d connection IDs still lead to drained connections", n)
	}
}

// TestRebinding: a NAT gives the client another address in the middle of a transfer, again and again.
func TestRebinding(t *testing.T) {
	for name, transfer := range map[string]func(uint64) *Transfer{"down": download, "up": upload} {
		for _, loss := range []float64{0, 0.02} {
			t.Run(fmt.Sprint(name, "/", loss), func(t *testing.T) {
				w := virtually(t, 1)
				p := newPair(t, w, transfer(3e6), func(o *options) {
					o.both(Link{Rate: 20e6, Delay: 15 * ms, Queue: 50, Loss: loss})
				})
				for i := range 4 {
					move := p.client.Rebind
					if i%2 == 1 {
						move = p.client.Roam
					}
					w.After(time.Duration(200+300*i)*ms, move)
				}
				p.run()
				if p.took() < 1100*ms {
					t.Fatalf("done after %v, before the last rebinding", p.took())
				}
				if p.took() > 15*time.Second {
					t.Errorf("done after %v", p.took())
				}
				if got := p.server.Peers()[0].Conn.Path().Remote; got != p.client.Addr {
					t.Errorf("the server sends to %v, the client is at %v", got, p.client.Addr)
				}
			})
		}
	}
}

// TestPathMTU: datagrams grow up to what the path carries, and shrink when it carries less than before.
func TestPathMTU(t *testing.T) {
	for _, mtu := range []int{1200, 1201, 1230, 1280, 1372, 1400, 1452, 1472, 0} {
		t.Run(fmt.Sprint(mtu), func(t *testing.T) {
			link := Link{Rate: 50e6, Delay: 10 * ms, Queue: 100, MTU: mtu}
			p := newPair(t, virtually(t, 1), download(5e6), func(o *options) { o.both(link) })
			p.run()
			most := 1452
			if mtu > 0 {
				most = min(most, mtu)
			}
			if got := p.server.Peers()[0].Conn.Stats().PacketSize; got > most || got < most-16 {
				t.Errorf("%d-byte datagrams on a path that carries %d", got, mtu)
			}
		})
	}
	t.Run("shrinking", func(t *testing.T) {
		w := virtually(t, 1)
		link := Link{Rate: 10e6, Delay: 10 * ms, Queue: 100}
		p := newPair(t, w, download(3e6), func(o *options) { o.both(link) })
		w.After(time.Second, func() {
			if got := p.server.Peers()[0].Conn.Stats().PacketSize; got != 1452 {
				t.Errorf("%d-byte datagrams before the change", got)
			}
			link.MTU = 1250
			w.LinkBetween(p.server.Addr, p.client.Addr, link)
		})
		p.run()
		if got := p.server.Peers()[0].Conn.Stats().PacketSize; got > 1250 {
			t.Errorf("%d-byte datagrams on a path that carries 1,250", got)
		}
		if p.took() > 6*time.Second {
			t.Errorf("done after %v", p.took())
		}
	})
}

// TestVanishedPeer: the other side is gone for good, in the handshake and after it. Both ends come to an end of their
// own.
func TestVanishedPeer(t *testing.T) {
	for _, after := range []time.Duration{0, 15 * ms, 25 * ms, 200 * ms} {
		t.Run(fmt.Sprint(after), func(t *testing.T) {
			w := virtually(t, 1)
			p := newPair(t, w, download(1e6), func(o *options) {
				o.client.HandshakeTimeout, o.server.HandshakeTimeout = 0, 0
				o.client.IdleTimeout, o.server.IdleTimeout = 0, 0
				o.both(Link{Rate: 10e6, Delay: 10 * ms})
			})
			w.After(after, func() {
				w.LinkBetween(p.client.Addr, p.server.Addr, Link{Down: true})
				w.LinkBetween(p.server.Addr, p.client.Addr, Link{Down: true})
			})
			if err := w.Run(2 * time.Minute); err != nil {
				t.Fatal(err)
			}
			want := quic.ErrHandshakeTimeout
			if after > 100*ms {
				want = quic.ErrIdleTimeout
			}
			if !errors.Is(p.client.Err, want) {
				t.Errorf("client ended with %v, want %v", p.client.Err, want)
			}
			for _, s := range p.server.Peers() {
				var timeout interface{ Timeout() bool }
				if !errors.As(s.Err, &timeout) || !timeout.Timeout() {
					t.Errorf("server ended with %v, want a time-out", s.Err)
				}
			}
			if n := p.server.Routes(); n != 0 {
				t.Errorf("%d connection IDs still lead to drained connections", n)
			}
		})
	}
}

// TestUntrustedServer: a certificate that does not verify ends both sides with the right alert.
func TestUntrustedServer(t *testing.T) {
	w := virtually(t, 1)
	p := newPair(t, w, download(1000), func(o *options) {
		o.client.TLS.ServerName = "other.simnet.test"
		o.both(Link{Delay: 10 * ms})
	})
	if err := w.Run(time.Minute); err != nil {
		t.Fatal(err)
	}
	var verify *tls.CertificateVerificationError
	if !errors.As(p.client.Err, &verify) || !strings.Contains(p.client.Err.Error(), "other.simnet.test") {
		t.Errorf("client ended with %v", p.client.Err)
	}
	var te *quic.TransportError
	if s := p.server.Peers()[0]; !errors.As(s.Err, &te) || !te.Remote || te.Code != quic.CryptoError+42 {
		t.Errorf("server ended with %v", s.Err)
	}
}

// TestLateInitials: copies of a client's first datagrams that arrive after the handshake begin no second connection.
func TestLateInitials(t *testing.T) {
	w := virtually(t, 1)
	type datagram struct {
		path quic.Path
		data []byte
	}
	var first []datagram
	w.Trace = func(_ time.Time, from, to netip.AddrPort, data []byte) {
		if data[0]&0xf0 == 0xc0 && to.Port() == 443 { // an Initial packet to the server
			first = append(first, datagram{quic.Path{Local: to, Remote: from}, slices.Clone(data)})
		}
	}
	p := newPair(t, w, &Transfer{Open: []TransferStream{{Size: header, Reply: 1000}}}, func(o *options) { o.both(Link{Delay: 20 * ms}) })
	if err := w.RunUntil(time.Second, func() bool { return p.client.Conn.Confirmed() && p.server.Peers()[0].Conn.Confirmed() }); err != nil {
		t.Fatal(err)
	}
	routes := p.server.Routes()
	for _, d := range first {
		p.server.receive(quic.Inbound{Path: d.path, Data: d.data})
	}
	if len(first) == 0 || len(p.server.Peers()) != 1 {
		t.Errorf("%d Initials again, %d connections", len(first), len(p.server.Peers()))
	}
	// Once the connection is at rest, the ID that the client made up leads nowhere.
	if err := w.RunFor(5 * time.Second); err != nil {
		t.Fatal(err)
	}
	if got := p.server.Routes(); got != routes-1 {
		t.Errorf("%d routes at rest, %d before", got, routes)
	}
}
