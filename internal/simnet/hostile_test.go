package simnet

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/dunlin-quic/dunlin/quic"
)

// TestInterference: somebody on the path replays, cuts, changes and makes up datagrams by the thousand, from the right
// addresses. It can delay a transfer, not break it.
func TestInterference(t *testing.T) {
	for seed := range uint64(10) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			w := virtually(t, seed)
			rng := w.Rand()
			p := newPair(t, w, download(200000), func(o *options) {
				o.both(Link{Rate: 10e6, Delay: 10 * ms, Queue: 100, Loss: 0.01})
			})
			type datagram struct {
				from, to netip.AddrPort
				data     []byte
			}
			var seen []datagram
			forged := 0
			w.Trace = func(_ time.Time, from, to netip.AddrPort, data []byte) {
				if len(seen) < 2000 {
					seen = append(seen, datagram{from, to, bytes.Clone(data)})
				}
			}
			var interfere func()
			interfere = func() {
				for range 20 {
					if len(seen) == 0 {
						break
					}
					d := seen[rng.IntN(len(seen))]
					data := bytes.Clone(d.data)
					switch rng.IntN(5) {
					case 0: // as it was
					case 1:
						data = data[:1+rng.IntN(len(data))]
					case 2:
						for range 1 + rng.IntN(4) {
							data[rng.IntN(min(len(data), 40))] ^= byte(1 + rng.IntN(255))
						}
					case 3:
						data = append(data, data[:rng.IntN(len(data))]...)
					case 4:
						data = make([]byte, 1+rng.IntN(1500))
						w.Read(data)
					}
					forged++
					w.deliver(d.from, d.to, quic.ECN(rng.IntN(4)), data, w.now)
				}
				if !p.asked.Done {
					w.After(ms, interfere)
				}
			}
			w.After(0, interfere)
			p.run()
			if forged < 4000 {
				t.Fatalf("only %d datagrams forged", forged)
			}
			if p.took() > 10*time.Second {
				t.Errorf("done after %v", p.took())
			}
		})
	}
}

// TestCloseAnytime: either side closes at any moment, in the handshake or after it. Both sides end soon, the other one
// with the reason if the path let it through.
func TestCloseAnytime(t *testing.T) {
	for seed := range uint64(200) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			w := virtually(t, seed)
			rng := w.Rand()
			loss := 0.0
			if seed%2 == 1 {
				loss = 0.3
			}
			p := newPair(t, w, download(2e6), func(o *options) {
				o.client.IdleTimeout, o.server.IdleTimeout = 10*time.Second, 10*time.Second
				o.client.HandshakeTimeout, o.server.HandshakeTimeout = 10*time.Second, 10*time.Second
				o.both(Link{Rate: 10e6, Delay: 10 * ms, Queue: 100, Loss: loss})
			})
			side := quic.Side(rng.IntN(2))
			var closedAt time.Time
			w.After(time.Duration(rng.IntN(150))*ms, func() {
				end := &p.client.Peer
				if s := p.server.Peers(); side == quic.Server && len(s) > 0 {
					end = s[0]
				}
				side, closedAt = end.side, w.Now()
				end.Conn.Close(w.Now(), &quic.ApplicationError{Code: 7, Reason: "enough"})
				end.Pump()
			})
			err := w.Run(time.Minute)
			if len(p.server.Peers()) > 1 {
				// The server closed while it had hardly heard of the client, whose next Initial packet then was an
				// attempt like any other.
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if n := p.server.Routes(); n != 0 {
				t.Fatalf("%d connection IDs still lead to drained connections", n)
			}
			if len(p.server.Peers()) == 0 {
				return
			}
			closer, other := &p.client.Peer, p.server.Peers()[0]
			if side == quic.Server {
				closer, other = other, closer
			}
			var app *quic.ApplicationError
			if !errors.As(closer.Err, &app) || app.Code != 7 || app.Remote {
				// With losses, the connection may have failed by itself before.
				if loss == 0 {
					t.Errorf("the closing side ended with %v", closer.Err)
				}
				return
			}
			var transport *quic.TransportError
			var timeout interface{ Timeout() bool }
			switch {
			case errors.As(other.Err, &app):
				if app.Code != 7 || !app.Remote || app.Reason != "enough" {
					t.Errorf("the other side ended with %v", other.Err)
				}
			case errors.As(other.Err, &transport):
				// RFC 9000, Section 10.2.3: the application's reason is not told before the handshake is complete.
				if transport.Code != quic.ApplicationErrorCode || !transport.Remote {
					t.Errorf("the other side ended with %v", other.Err)
				}
			case errors.As(other.Err, &timeout) && timeout.Timeout() && loss > 0:
			case errors.Is(other.Err, quic.ErrStatelessReset) && side == quic.Server && loss > 0:
				// Whatever told the client was lost, up to the end of the closing period.
			default:
				t.Errorf("the other side ended with %v", other.Err)
			}
			if took := w.Now().Sub(closedAt); loss == 0 && took > 5*time.Second {
				t.Errorf("drained %v after the close", took)
			}
		})
	}
}

// TestForgedMigration: somebody who sees the client's datagrams sends copies that arrive first, from a victim's
// address. The victim gets no more than three times what seems to come from it, and the transfer goes on with the
// client.
func TestForgedMigration(t *testing.T) {
	for _, spoof := range []int{1, 3, 20} {
		t.Run(fmt.Sprint(spoof), func(t *testing.T) {
			w := virtually(t, 1)
			p := newPair(t, w, download(3e6), func(o *options) {
				o.client.KeepAlive = 200 * ms
				o.both(Link{Rate: 20e6, Delay: 15 * ms, Queue: 50})
			})
			victim := netip.MustParseAddrPort("203.0.113.9:9999")
			var forged, hit, left int
			w.Trace = func(_ time.Time, from, to netip.AddrPort, data []byte) {
				switch {
				case to == victim:
					if hit += len(data); hit > 3*forged {
						w.fail("%d bytes to a victim in whose name %d were sent", hit, forged)
					}
				case from == p.client.Addr && left > 0:
					left--
					forged += len(data)
					w.deliver(victim, to, quic.NotECT, bytes.Clone(data), w.now.Add(ms))
				}
			}
			w.After(300*ms, func() { left = spoof })
			p.run()
			if hit == 0 {
				t.Error("the server never wrote to the victim: nothing was tested")
			}
			if p.took() > 6*time.Second {
				t.Errorf("done after %v", p.took())
			}
			if got := p.server.Peers()[0].Conn.Path().Remote; got != p.client.Addr {
				t.Errorf("the server sends to %v, the client is at %v", got, p.client.Addr)
			}
		})
	}
}

// TestServerForgets: a server that lost its state says so by a stateless reset, and the client stops at once.
func TestServerForgets(t *testing.T) {
	w := virtually(t, 1)
	p := newPair(t, w, upload(1e6), func(o *options) { o.both(Link{Rate: 10e6, Delay: 10 * ms, Queue: 100}) })
	var forgotten time.Time
	w.After(300*ms, func() {
		forgotten = w.Now()
		for _, s := range p.server.Peers() {
			s.Drained = true
			if s.alarm != nil {
				s.alarm.do = nil
			}
		}
		clear(p.server.routes)
	})
	if err := w.Run(forever); err != nil {
		t.Fatal(err)
	}
	if !errors.Is(p.client.Err, quic.ErrStatelessReset) {
		t.Fatalf("client ended with %v", p.client.Err)
	}
	if took := w.Now().Sub(forgotten); took > time.Second {
		t.Errorf("the client noticed after %v", took)
	}
}
