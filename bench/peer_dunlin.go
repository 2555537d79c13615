package main

import (
	"context"
	"crypto/tls"
	"net/http"
	"net/netip"

	"github.com/dunlin-quic/dunlin/http3"
	"github.com/dunlin-quic/dunlin/quic"
)

func init() { httpPeers["dunlin-h3"] = dunlinH3{} }

// dunlinH3 is Dunlin's http3.
type dunlinH3 struct{}

func (dunlinH3) serve(cfg serverConfig, h http.Handler) (string, error) {
	l, err := http3.Listen(cfg.addr)
	if err != nil {
		return "", err
	}
	s := &http3.Server{
		Handler: h, TLSConfig: &tls.Config{Certificates: []tls.Certificate{cfg.cert}},
		QUIC: &quic.Config{MaxBidiStreams: cfg.streams},
	}
	go s.Serve(l)
	return l.Addr().String(), nil
}

func (dunlinH3) transport(cfg *tls.Config) closableTransport {
	return &http3.Transport{TLSClientConfig: cfg, DisableCompression: true}
}

func (p dunlinH3) manyTransport(c *clientEnv) closableTransport {
	addr := netip.MustParseAddrPort(c.addr)
	t := p.transport(c.tls).(*http3.Transport)
	t.Resolve = func(context.Context, string, string) ([]netip.AddrPort, error) { return []netip.AddrPort{addr}, nil }
	return t
}
