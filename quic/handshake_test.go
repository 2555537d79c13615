package quic

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"testing"
	"time"

	"github.com/dunlin-quic/dunlin/internal/recovery"
	"github.com/dunlin-quic/dunlin/internal/testcert"
	"github.com/dunlin-quic/dunlin/internal/wire"
)

// RFC 9000, Section 7 (MUST 2). RFC 9001, Section 4.1.2 (MUST 1) and Section 4.9.2 (MUST 1).
// RFC 9000, Section 18.2 (MUST 6).
func TestHandshake(t *testing.T) {
	p := newTestPair(t)
	p.run("handshake", func() bool {
		// RFC 9000, Section 19.20 (MUST 1).
		if c := p.conn[Server]; c != nil && c.sendHandshakeDone && !c.Established() {
			t.Fatal("HANDSHAKE_DONE is to be sent before the handshake is complete")
		}
		return p.conn[Client].Confirmed()
	})
	p.establish()
	for side, c := range p.conn {
		if got := c.ConnectionState().NegotiatedProtocol; got != "test" {
			t.Errorf("%v: negotiated protocol %q", Side(side), got)
		}
		if c.hs != nil {
			t.Errorf("%v keeps the state of the handshake after its confirmation", Side(side))
		}
		p.poll(Side(side))
		var kinds []EventKind
		for _, e := range p.events[side] {
			kinds = append(kinds, e.Kind)
		}
		if len(kinds) != 2 || kinds[0] != EventEstablished || kinds[1] != EventConfirmed {
			t.Errorf("%v: events %v, want EventEstablished and EventConfirmed", Side(side), kinds)
		}
		if got := c.Stats().HandshakeTime; got != 2*p.delay {
			t.Errorf("%v: handshake took %v", Side(side), got)
		}
	}
}

// Each of the first datagrams of either side may be lost, one or two at a time.
// RFC 9000, Section 12.5 (MUST 2), Section 13.2.6 (MUST 1) and Section 13.3 (MUST 2). RFC 9001, Section 4 (MUST 1)
// and Section 4.9 (MUST 1).
func TestHandshakeLosses(t *testing.T) {
	for side := range Side(2) {
		for first := range 6 {
			for second := first; second < 6; second++ {
				t.Run(fmt.Sprintf("%v/%d,%d", side, first, second), func(t *testing.T) {
					n := 0
					p := newTestPair(t, func(p *testPair) {
						p.filter = func(from Side, _ []byte) bool {
							if from != side {
								return true
							}
							n++
							return n-1 != first && n-1 != second
						}
					})
					p.establish()
					p.transfer(Client, 10_000)
				})
			}
		}
	}
}

// A tenth to a third of all datagrams are lost, and some take long ways.
// RFC 9000, Section 12.3 (MUST 2).
func TestBadNetwork(t *testing.T) {
	for seed := range uint64(40) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 1))
			loss := 0.1 + 0.2*r.Float64()
			p := newTestPair(t, func(p *testPair) {
				p.cfg[Client].HandshakeTimeout = 40 * time.Second
				p.cfg[Server].HandshakeTimeout = 40 * time.Second
				p.filter = func(Side, []byte) bool { return r.Float64() >= loss }
				p.delayOf = func() time.Duration { return time.Duration(r.IntN(30)) * time.Millisecond }
			})
			p.establish()
			p.transfer(Side(seed&1), 200_000)
		})
	}
}

// RFC 9000, Section 14.1 (MUST 1, 2): datagrams with Initial packets fill 1,200 bytes, those that only acknowledge at a
// server aside. RFC 9000, Section 8.1 (MUST 3, 5) and Section 14 (MUST 1). RFC 9001, Section 9.3 (MUST 1). RFC 9002,
// Section 6.2.2.1 (MUST 3).
func TestInitialPadding(t *testing.T) {
	seen := 0
	p := newTestPair(t, func(p *testPair) {
		p.filter = func(from Side, b []byte) bool {
			if h, ok := wire.ParseLong(b); ok && h.Type == wire.Initial {
				seen++
				if len(b) < 1200 {
					t.Errorf("%v sent an Initial packet in %d bytes", from, len(b))
				}
			}
			return true
		}
	})
	p.establish()
	if seen < 3 {
		t.Errorf("only %d Initial datagrams seen", seen)
	}
}

// RFC 9000, Section 8.1 (MUST 1, 2): before the client is known to be where it says, a server sends three times what it
// received, however often it has to repeat itself. RFC 9000, Section 8 (MUST 1) and Section 14.1 (MUST 4).
func TestAmplificationLimit(t *testing.T) {
	var sent, received int
	p := newTestPair(t, func(p *testPair) {
		big, _ := testcert.Get()
		for range 30 {
			// A chain that does not fit what may be sent.
			big.Certificate = append(big.Certificate[:len(big.Certificate):len(big.Certificate)], big.Certificate[0])
		}
		p.cfg[Server].TLS.Certificates = []tls.Certificate{big}
		p.cfg[Client].TLS.CurvePreferences = []tls.CurveID{tls.X25519} // a ClientHello of one datagram
		cut := false
		p.filter = func(from Side, b []byte) bool {
			if from == Server {
				sent += len(b)
				if sent > 3*received {
					t.Fatalf("server sent %d bytes after %d received", sent, received)
				}
				return true
			}
			if cut {
				return false
			}
			cut = true
			received += len(b)
			return true
		}
	})
	p.idle(5 * time.Second)
	if sent < 2*received {
		t.Fatalf("server sent %d bytes after %d received", sent, received)
	}
	if p.conn[Server].Established() {
		t.Fatal("established")
	}
}

// The same chain, without a stop: the client's acknowledgments and probes let the server go on.
func TestHandshakeBeyondAmplificationLimit(t *testing.T) {
	p := newTestPair(t, func(p *testPair) {
		big, _ := testcert.Get()
		for range 30 {
			big.Certificate = append(big.Certificate[:len(big.Certificate):len(big.Certificate)], big.Certificate[0])
		}
		p.cfg[Server].TLS.Certificates = []tls.Certificate{big}
	})
	p.establish()
}

// RFC 9002, Section 6.2.2.1 (MUST 2): a client that has nothing in flight still probes, since the server may have sent
// all it may. RFC 9000, Section 8.1 (MUST 4).
func TestClientBreaksDeadlock(t *testing.T) {
	n := 0
	p := newTestPair(t, func(p *testPair) {
		p.filter = func(from Side, b []byte) bool {
			if from == Server {
				n++
				// The server's first flight reaches its limit and gets lost but for the packet that acknowledges.
				return n == 1 || n > 3
			}
			return true
		}
	})
	p.establish()
}

// RFC 9000, Section 7 (MUST 1, 2). RFC 9001, Section 4.4 (MUST 1), Section 4.8 (MUST 1) and Section 8.1 (MUST 1, 2,
// 3).
func TestHandshakeErrors(t *testing.T) {
	tests := []struct {
		name   string
		change func(p *testPair)
		code   [2]TransportErrorCode
		remote [2]bool
		check  func(t *testing.T, err error)
	}{
		{
			"unknown authority",
			func(p *testPair) { p.cfg[Client].TLS.RootCAs = x509.NewCertPool() },
			[2]TransportErrorCode{CryptoError + 42, CryptoError + 42}, [2]bool{false, true},
			func(t *testing.T, err error) {
				if _, ok := errors.AsType[*tls.CertificateVerificationError](err); !ok {
					t.Errorf("%v does not wrap a CertificateVerificationError", err)
				}
			},
		}, {
			"wrong name",
			func(p *testPair) { p.cfg[Client].TLS.ServerName = "other.test" },
			[2]TransportErrorCode{CryptoError + 42, CryptoError + 42}, [2]bool{false, true}, nil,
		}, {
			"no protocol in common",
			func(p *testPair) { p.cfg[Client].TLS.NextProtos = []string{"other"} },
			[2]TransportErrorCode{CryptoError + 120, CryptoError + 120}, [2]bool{true, false}, nil,
		}, {
			// RFC 9001, Section 8.1: TLS alone would let both do without.
			"no protocols at all",
			func(p *testPair) {
				for side := range p.cfg {
					p.cfg[side].TLS.NextProtos = nil
					p.cfg[side].TLS.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return nil, nil }
				}
			},
			[2]TransportErrorCode{CryptoError + 120, CryptoError + 120}, [2]bool{false, true}, nil,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newTestPair(t, tt.change)
			p.run("failure", func() bool { return p.err(Client) != nil && p.err(Server) != nil })
			for side := range Side(2) {
				err := p.err(side)
				te, ok := errors.AsType[*TransportError](err)
				if !ok || te.Code != tt.code[side] || te.Remote != tt.remote[side] {
					t.Errorf("%v: %v, want %v, remote %v", side, err, tt.code[side], tt.remote[side])
				}
				if !errors.Is(err, net.ErrClosed) {
					t.Errorf("%v: %v does not match net.ErrClosed", side, err)
				}
			}
			if tt.check != nil {
				tt.check(t, p.err(Client))
			}
			p.idle(10 * time.Second)
			for side, c := range p.conn {
				if c.state != stateDrained {
					t.Errorf("%v is not drained", Side(side))
				}
			}
		})
	}
}

// RFC 9002, Section 6.2.2.1 (MUST 1): a server that has only Initial packets to send, and may not send as much as those
// need, sets no probe timeout.
func TestNoTimeoutBelowInitialSize(t *testing.T) {
	p := newTestPair(t, func(p *testPair) {
		p.cfg[Server].TLS.CurvePreferences = []tls.CurveID{tls.CurveP521} // makes it send a HelloRetryRequest
	})
	p.run("HelloRetryRequest", func() bool { return p.conn[Server] != nil && p.conn[Server].rec.InFlight() > 0 })
	c := p.conn[Server]
	if c.hs.spaces[recovery.Handshake].sealer != nil {
		t.Fatal("no HelloRetryRequest")
	}
	for credit, armed := range map[int64]bool{0: false, 1199: false, 1200: true} {
		c.path.sent = amplificationFactor*c.path.received - credit
		c.updateAmplification()
		if got := !c.rec.Timeout().IsZero(); got != armed {
			t.Errorf("%d bytes may be sent: probe timeout %v", credit, got)
		}
	}
	p.establish()
}

// RFC 9000, Section 7.3 (MUST 2, 4): the connection IDs that a peer says it used are those that it did.
func TestConnectionIDsAuthenticated(t *testing.T) {
	used, other := testCID(1), testCID(2)
	for _, tt := range []struct {
		name    string
		side    Side // who checks
		retried bool
		tp      wire.TransportParameters
		ok      bool
	}{
		{"client", Server, false, wire.TransportParameters{InitialSCID: used}, true},
		{"client, another source", Server, false, wire.TransportParameters{InitialSCID: other}, false},
		{"client, no source", Server, false, wire.TransportParameters{}, false},
		{"server", Client, false, wire.TransportParameters{InitialSCID: used, OriginalDCID: used}, true},
		{"server, another source", Client, false, wire.TransportParameters{InitialSCID: other, OriginalDCID: used}, false},
		{"server, another destination", Client, false, wire.TransportParameters{InitialSCID: used, OriginalDCID: other}, false},
		{"server, Retry on its side only", Client, false, wire.TransportParameters{InitialSCID: used, OriginalDCID: used, RetrySCID: used, HasRetrySCID: true}, false},
		{"server, Retry on our side only", Client, true, wire.TransportParameters{InitialSCID: used, OriginalDCID: used}, false},
		{"server, another Retry", Client, true, wire.TransportParameters{InitialSCID: used, OriginalDCID: used, RetrySCID: other, HasRetrySCID: true}, false},
		{"server, Retry", Client, true, wire.TransportParameters{InitialSCID: used, OriginalDCID: used, RetrySCID: used, HasRetrySCID: true}, true},
	} {
		c := newTestPair(t).conn[Client]
		c.side = tt.side
		c.hs.peerSCID, c.hs.origDCID, c.hs.initialDCID, c.hs.retried = used, used, used, tt.retried
		if got := c.checkConnectionIDs(&tt.tp); (got == "") != tt.ok {
			t.Errorf("%s: %q", tt.name, got)
		}
	}
}

// RFC 9000, Section 7.4 (MUST 1), and Section 7.3 (MUST 3): what parameters must not say ends the connection.
func TestParameterErrors(t *testing.T) {
	for name, b := range map[string][]byte{
		"missing":   {},
		"cut short": {0x0f, 8, 1},
		"invalid":   {0x0f, 0, 0x0e, 1, 1}, // active_connection_id_limit of 1
		"twice":     {0x0f, 0, 0x0f, 0},
		"wrong":     {0x0f, 1, 0xff, 0x00, 1, 0xff},
	} {
		for side := range Side(2) {
			c := newHandshakeScript(t, side, wire.Handshake).c
			if err := c.setPeerParameters(b); err == nil || err.Code != TransportParameterError {
				t.Errorf("%s, %v: %v", name, side, err)
			}
		}
	}
}

// RFC 9001, Section 8.2 (MUST 1): without transport parameters there is no connection, whatever TLS makes of that.
func TestParametersMissing(t *testing.T) {
	for side := range Side(2) {
		c := newHandshakeScript(t, side, wire.Handshake).c
		c.hs.params = false
		if err := c.handshakeComplete(); err == nil || err.Code != CryptoError+109 {
			t.Errorf("%v: %v", side, err)
		}
	}
}

func TestHandshakeTimeout(t *testing.T) {
	p := newTestPair(t, func(p *testPair) {
		p.cfg[Client].HandshakeTimeout = 3 * time.Second
		p.filter = func(Side, []byte) bool { return false }
	})
	start := p.now
	p.run("timeout", func() bool { return p.err(Client) != nil })
	if err := p.err(Client); err != ErrHandshakeTimeout {
		t.Errorf("error %v", err)
	}
	if d := p.now.Sub(start); d != 3*time.Second {
		t.Errorf("after %v", d)
	}
}

// A ClientHello with a hybrid key share needs two datagrams. They may arrive in either order.
func TestClientHelloReordered(t *testing.T) {
	var held []testDatagram
	p := newTestPair(t)
	p.poll(Client)
	if len(p.link[Server]) == 0 {
		t.Fatal("nothing sent")
	}
	held = p.link[Server]
	if len(held) == 1 && held[0].segment > 0 && held[0].segment < len(held[0].data) {
		d := held[0]
		a, b := d, d
		a.data, b.data = d.data[:d.segment], d.data[d.segment:]
		held = []testDatagram{a, b}
	}
	if len(held) != 2 {
		t.Fatalf("%d datagrams", len(held))
	}
	p.link[Server] = []testDatagram{held[1], held[0]}
	p.establish()
}
