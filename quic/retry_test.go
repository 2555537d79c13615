package quic

import (
	"testing"
	"time"

	"github.com/dunlin-quic/dunlin/internal/protect"
	"github.com/dunlin-quic/dunlin/internal/wire"
)

// firstInitial returns what a client sends first, and the header of its first packet.
func firstInitial(t *testing.T, p *testPair) ([]byte, wire.LongHeader) {
	t.Helper()
	p.poll(Client)
	if len(p.link[Server]) == 0 {
		t.Fatal("nothing sent")
	}
	b := p.link[Server][0].data
	p.link[Server] = nil
	h, ok := wire.ParseLong(b)
	if !ok {
		t.Fatal("no Initial packet")
	}
	return b, h
}

func retryPacket(h wire.LongHeader, scid ConnectionID, token string) []byte {
	b := wire.AppendRetry(nil, 0, Version1, h.SCID, scid, []byte(token))
	return protect.AppendRetryTag(b, Version1, h.DCID)
}

// A server that asks for a proof of the address gets it, and the handshake goes on (RFC 9000, Section 8.1.2).
// RFC 9000, Section 17.2.5.1 (MUST 3) and Section 17.2.5.3 (MUST 1).
// RFC 9000, Section 7.3 (MUST 1).
func TestRetry(t *testing.T) {
	p := newTestPair(t, func(p *testPair) { p.demux = DemuxConfig{Retry: RetryAlways} })
	p.establish()
	if !p.conn[Client].complete || p.retries != 1 {
		t.Errorf("%d retries", p.retries)
	}
	p.transfer(Client, 10_000)
}

// RFC 9000, Section 17.2.5.2 (MUST 1, 2, 3, 4, 5): which Retry packets a client obeys.
// RFC 9000, Section 17.2.5.1 (MUST 2, 3) and Section 17.2.5.3 (MUST 2).
func TestRetryObeyed(t *testing.T) {
	id := wire.NewConnectionID([]byte("12345678"))
	p := newTestPair(t)
	_, h := firstInitial(t, p)
	c := p.conn[Client]
	receive := func(b []byte) {
		c.Receive(p.now, Inbound{Path: testPaths[Client], Data: append([]byte(nil), b...)})
	}
	good := retryPacket(h, id, "token")

	bad := append([]byte(nil), good...)
	bad[len(bad)-1] ^= 1
	other := h
	other.SCID = id
	for _, tt := range []struct {
		name string
		b    []byte
	}{
		{"wrong tag", bad},
		{"empty token", retryPacket(h, id, "")},
		{"for another client", retryPacket(other, id, "token")},
		{"same connection ID", retryPacket(h, h.DCID, "token")},
		{"cut short", good[:len(good)-1]},
		{"a token that fits no packet", retryPacket(h, id, string(make([]byte, 1100)))},
		{"a tag for another first packet", protect.AppendRetryTag(good[:len(good)-16:len(good)-16], Version1, id)},
	} {
		dropped := c.stats.PacketsDropped
		receive(tt.b)
		if c.hs.retried || c.stats.PacketsDropped != dropped+1 {
			t.Fatalf("Retry obeyed, or not counted: %s", tt.name)
		}
	}
	receive(good)
	if !c.hs.retried {
		t.Fatal("a good Retry was not obeyed")
	}
	receive(retryPacket(h, wire.NewConnectionID([]byte("another!")), "again"))
	b, h2 := firstInitial(t, p)
	if string(h2.Token) != "token" || h2.DCID != id || h2.SCID != h.SCID || len(b) < 1200 {
		t.Errorf("Initial with token %q to %v", h2.Token, h2.DCID)
	}
	// RFC 9000, Section 17.2.5.3: packet numbers go on.
	_, o, err := protect.NewInitial(Version1, id, true)
	if err != nil {
		t.Fatal(err)
	}
	if pn, _, ok := o.Unmask(b[:h2.PacketLen], h2.PNOffset, 0); !ok || pn == 0 {
		t.Errorf("packet number %d after a Retry", pn)
	}
}

// RFC 9000, Section 7.3 (MUST 2, 4): somebody between can't slip in a Retry unnoticed.
func TestInjectedRetry(t *testing.T) {
	p := newTestPair(t)
	_, h := firstInitial(t, p)
	b := retryPacket(h, wire.NewConnectionID([]byte("12345678")), "token")
	p.conn[Client].Receive(p.now, Inbound{Path: testPaths[Client], Data: b})
	p.run("failure", func() bool { return p.err(Client) != nil })
	if te, ok := p.err(Client).(*TransportError); !ok || te.Code != TransportParameterError || te.Remote {
		t.Errorf("client: %v", p.err(Client))
	}
}

// The token of one connection spares the next one the Retry.
// RFC 9000, Section 19.7 (MUST 1).
func TestNewToken(t *testing.T) {
	cache := tokenCache{}
	for i := range 2 {
		p := newTestPair(t, func(p *testPair) {
			p.cfg[Client].Tokens = cache
			p.cfg[Server].StatelessResetKey = &[32]byte{1}
			p.demux = DemuxConfig{Retry: RetryAlways, StatelessResetKey: &[32]byte{1}}
		})
		p.establish()
		p.idle(time.Second)
		if p.retries != 1-i {
			t.Errorf("connection %d: %d retries", i, p.retries)
		}
		// RFC 9000, Section 8.1.3 (MUST 2, 6): those of Retry packets are not for later.
		if token := cache["server.test 1"]; len(token) <= tokenPrefix || token[tokenPrefix] != newTokenKind {
			t.Errorf("connection %d: kept token %x", i, token)
		}
	}
	// RFC 9000, Section 8.1.3 (MUST 5): nor is a token for other servers.
	p := newTestPair(t, func(p *testPair) {
		p.cfg[Client].Tokens = cache
		p.cfg[Client].TLS.ServerName = "other.test"
	})
	if _, h := firstInitial(t, p); len(h.Token) > 0 || len(cache) != 1 {
		t.Errorf("another server gets the token %x", h.Token)
	}
}

type tokenCache map[string][]byte

func (c tokenCache) PutToken(name string, v Version, token []byte) { c[name+" "+v.String()] = token }
func (c tokenCache) TakeToken(name string, v Version) []byte {
	name += " " + v.String()
	t := c[name]
	delete(c, name)
	return t
}
