package engine_test

import (
	"crypto/tls"
	"net/netip"
	"testing"

	"github.com/dunlin-quic/dunlin/engine"
	"github.com/dunlin-quic/dunlin/quic"
)

// TestIncompleteConfigs leaves out what is required, piece by piece: that is an error, and nothing else.
func TestIncompleteConfigs(t *testing.T) {
	app := func(engine.ConnInfo) (engine.ApplicationOverQUIC, error) { return nil, nil }
	for _, cfg := range []*engine.ListenConfig{nil, {}, {NewApplication: app}, {NewApplication: app, QUIC: &quic.Config{}}} {
		if l, err := engine.Listen(cfg, "127.0.0.1:0"); err == nil {
			l.Close()
			t.Errorf("listens with %+v", cfg)
		}
	}
	l, err := engine.Listen(&engine.ListenConfig{
		NewApplication: app, QUIC: &quic.Config{TLS: &tls.Config{NextProtos: []string{"x"}, Certificates: make([]tls.Certificate, 1)}},
	}, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := l.Endpoint().Listen(nil); err == nil {
		t.Error("listens on an endpoint with nil")
	}
	for _, cfg := range []*engine.DialConfig{nil, {}, {NewApplication: app}, {NewApplication: app, QUIC: &quic.Config{}}} {
		if _, err := engine.Dial(t.Context(), "127.0.0.1:9", cfg); err == nil {
			t.Errorf("dials with %+v", cfg)
		}
		if _, err := l.Endpoint().Dial(t.Context(), netip.MustParseAddrPort("127.0.0.1:9"), cfg); err == nil {
			t.Errorf("dials on an endpoint with %+v", cfg)
		}
	}
}
