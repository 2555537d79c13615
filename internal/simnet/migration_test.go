package simnet

import (
	"bytes"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/dunlin-quic/dunlin/quic"
)

// newMigrationPair is a pair at the end of its handshake, with an observer, which sees that nothing on a new path comes before a PATH_CHALLENGE of the
// server, that the server stays within three times what came from there, and that no connection ID is used on two paths.
func newMigrationPair(t *testing.T, seed uint64, transfer *Transfer, link Link, mod func(*options)) (*pair, *trace) {
	w := virtually(t, seed)
	tr := w.observe(t)
	p := newPair(t, w, transfer, func(o *options) {
		o.client.TLS.KeyLogWriter, o.server.TLS.KeyLogWriter = &tr.Observer, &tr.Observer
		o.both(link)
		if mod != nil {
			mod(o)
		}
	})
	tr.server = p.server.Addr
	if err := p.RunUntil(time.Minute, p.client.Conn.Confirmed); err != nil {
		t.Fatal(err)
	}
	return p, tr
}

// migrate moves the client to a new address.
func (p *pair) migrate() netip.AddrPort {
	to := p.client.Open()
	if err := p.client.Conn.Migrate(p.Now(), to); err != nil {
		p.t.Errorf("Migrate: %v", err)
	}
	p.client.Pump()
	return to
}

func (tr *trace) checkPaths(t *testing.T) {
	t.Helper()
	if len(tr.unasked) > 0 {
		t.Errorf("the server began without a PATH_CHALLENGE on %v", tr.unasked)
	}
	if len(tr.reused) > 0 {
		t.Errorf("the client kept its connection ID on %v", tr.reused)
	}
}

// TestActiveMigration: a client moves to one address after another in the middle of a transfer, while both sides update their
// keys. The addresses that it has left are gone soon after.
func TestActiveMigration(t *testing.T) {
	for _, up := range []bool{false, true} {
		for _, cc := range []quic.CongestionControl{quic.NewReno, quic.CUBIC, quic.BBR} {
			for _, loss := range []float64{0, 0.02, 0.1} {
				for seed := range uint64(2) {
					t.Run(fmt.Sprint(downOrUp(up), "/", controllerName(cc), "/", loss, "/", seed), func(t *testing.T) {
						transfer := download(3e6)
						if up {
							transfer = upload(3e6)
						}
						link := Link{Rate: 20e6, Delay: 15 * ms, Queue: 50, Loss: loss}
						p, tr := newMigrationPair(t, seed, transfer, link, func(o *options) {
							o.client.CongestionControl, o.server.CongestionControl = cc, cc
						})
						at := p.client.Addr
						for i := range 4 {
							p.After(time.Duration(200+300*i)*ms, func() {
								if p.client.Closed {
									t.Errorf("done before migration %d", i)
									return
								}
								p.client.Conn.InitiateKeyUpdate()
								p.server.Peers()[0].Conn.InitiateKeyUpdate()
								from := at
								at = p.migrate()
								p.After(250*ms, func() {
									if p.client.Conn.Path().Local != from {
										p.client.Shut(from)
									}
								})
							})
						}
						p.run()
						tr.checkPaths(t)
						if loss == 0 && p.client.Conn.Path().Local != at {
							t.Errorf("the client is at %v, want %v", p.client.Conn.Path().Local, at)
						}
						// One that takes too long gives way to the next.
						if n := len(tr.paths); n < 3 || loss == 0 && n < 5 {
							t.Errorf("%d paths were used", n)
						}
						if got, want := p.server.Peers()[0].Conn.Path().Remote, p.client.Conn.Path().Local; got != want {
							t.Errorf("the server sends to %v, the client is at %v", got, want)
						}
						if loss == 0 && p.took() > 5*time.Second {
							t.Errorf("done after %v", p.took())
						}
					})
				}
			}
		}
	}
}

// TestMigrationToDeadPath: nothing passes at the new address, in one direction or both. The transfer goes on at the old one.
func TestMigrationToDeadPath(t *testing.T) {
	for _, dead := range []struct {
		name     string
		up, down bool
	}{{"up", true, false}, {"down", false, true}, {"both", true, true}} {
		t.Run(dead.name, func(t *testing.T) {
			link := Link{Rate: 10e6, Delay: 15 * ms, Queue: 50}
			p, tr := newMigrationPair(t, 1, download(2e6), link, nil)
			var to netip.AddrPort
			p.After(300*ms, func() {
				to = p.client.Open()
				p.LinkBetween(to, p.server.Addr, Link{Down: dead.up, Delay: 15 * ms})
				p.LinkBetween(p.server.Addr, to, Link{Down: dead.down, Delay: 15 * ms})
				if err := p.client.Conn.Migrate(p.Now(), to); err != nil {
					t.Error(err)
				}
				p.client.Pump()
			})
			p.run()
			tr.checkPaths(t)
			if got := p.client.Conn.Path().Local; got != p.client.Addr {
				t.Errorf("the client is at %v", got)
			}
			if got := p.server.Peers()[0].Conn.Path().Remote; got != p.client.Addr {
				t.Errorf("the server sends to %v", got)
			}
			if p.took() > 3*time.Second {
				t.Errorf("done after %v", p.took())
			}
			if n := p.LinkStats(to, p.server.Addr).Sent; n == 0 || n > 20 {
				t.Errorf("%d datagrams on the dead path", n)
			}
		})
	}
}

// TestMigrationFromDeadPath: the network that the client is in goes away, and then it finds another.
func TestMigrationFromDeadPath(t *testing.T) {
	for _, up := range []bool{false, true} {
		t.Run(downOrUp(up), func(t *testing.T) {
			transfer := download(2e6)
			if up {
				transfer = upload(2e6)
			}
			p, tr := newMigrationPair(t, 1, transfer, Link{Rate: 10e6, Delay: 15 * ms, Queue: 50}, nil)
			p.After(300*ms, func() { p.client.Shut(p.client.Addr) })
			p.After(2*time.Second, func() { p.migrate() })
			p.run()
			tr.checkPaths(t)
			if p.took() > 5*time.Second {
				t.Errorf("done after %v", p.took())
			}
		})
	}
}

// TestMigrationOfEmptyIDs: a client without connection IDs of its own can move, since its address leads to it.
func TestMigrationOfEmptyIDs(t *testing.T) {
	empty, err := quic.NewConnectionIDGenerator(0, nil)
	if err != nil {
		t.Fatal(err)
	}
	w := virtually(t, 1)
	p := newPair(t, w, download(2e6), func(o *options) {
		o.client.ConnectionIDs = empty
		o.both(Link{Rate: 10e6, Delay: 15 * ms, Queue: 50})
	})
	for i := range 3 {
		w.After(time.Duration(200+300*i)*ms, func() { p.migrate() })
	}
	p.run()
	if got := p.client.Conn.Path().Local; got == p.client.Addr {
		t.Error("the client did not move")
	}
}

// TestForwardedPackets: for a while somebody forwards copies of the client's packets from another address, faster than the
// network does (RFC 9000, Section 9.3.3). The server sends little there, and comes back.
func TestForwardedPackets(t *testing.T) {
	for _, up := range []bool{false, true} {
		for seed := range uint64(5) {
			t.Run(fmt.Sprint(downOrUp(up), "/", seed), func(t *testing.T) {
				transfer := download(2e6)
				if up {
					transfer = upload(2e6)
				}
				p, tr := newMigrationPair(t, seed, transfer, Link{Rate: 10e6, Delay: 15 * ms, Queue: 50, Loss: 0.005}, nil)
				attacker := p.addr([4]byte{203, 0, 113, 5}, 5555)
				copied, begun := 0, p.Now()
				p.Trace = func(now time.Time, from, to netip.AddrPort, data []byte) {
					if since := now.Sub(begun); to == p.server.Addr && from == p.client.Addr && since > 300*ms && since < 600*ms {
						copied++
						p.deliver(attacker, to, quic.NotECT, bytes.Clone(data), now.Add(10*ms))
					}
				}
				p.run()
				if copied == 0 || tr.path(attacker).sent == 0 {
					t.Fatalf("%d packets forwarded, %d bytes sent there", copied, tr.path(attacker).sent)
				}
				if tr.path(attacker).validated {
					t.Error("the attacker's address was validated")
				}
				if got := p.server.Peers()[0].Conn.Path().Remote; got != p.client.Addr {
					t.Errorf("the server sends to %v", got)
				}
				if p.took() > 12*time.Second {
					t.Errorf("done after %v", p.took())
				}
			})
		}
	}
}
