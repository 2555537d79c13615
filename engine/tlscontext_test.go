package engine

import (
	"context"
	"crypto/tls"
	"errors"
	"net/netip"
	"testing"
	"testing/synctest"
)

// A callback of TLS finds whose handshake it is, and can decide by it.
func TestConnectionOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := serverQUIC()
		q.TLS = q.TLS.Clone()
		var asked []netip.AddrPort
		refuse := false
		q.TLS.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			c := ConnectionOf(hello.Context())
			asked = append(asked, c.RemoteAddr())
			if c.LocalAddr() != netip.MustParseAddrPort(serverAddr) || c.Application() != nil {
				t.Errorf("connection of %v with %v", c.LocalAddr(), c.Application())
			}
			if refuse {
				return nil, errors.New("not you")
			}
			return nil, nil
		}
		p := newPair(t, ListenConfig{QUIC: q})
		defer p.close(t)
		testDial(t, p.client, p.listener)
		refuse = true
		if _, err := p.dial(t.Context(), newCaller().app); err == nil {
			t.Error("connected though refused")
		}
		if len(asked) != 2 || asked[0] != netip.MustParseAddrPort(clientAddr) {
			t.Errorf("asked about %v", asked)
		}
	})
	if ConnectionOf(context.Background()) != nil {
		t.Error("a connection of nowhere")
	}
}
