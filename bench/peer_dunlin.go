package main

import (
	"context"
	"crypto/tls"
	"math"
	"net/http"
	"net/netip"
	"runtime"

	"github.com/dunlin-quic/dunlin/http3"
	"github.com/dunlin-quic/dunlin/quic"
	"github.com/dunlin-quic/dunlin/udp"
)

func init() {
	httpPeers["dunlin-h3"] = dunlinH3{}
	httpPeers["dunlin-h3-sockets"] = dunlinSockets{}
	earlyPeers["dunlin-h3"] = dunlinH3{}
	earlyPeers["dunlin-h3-late"] = dunlinLate{}
}

// dunlinH3 is Dunlin's http3.
type dunlinH3 struct{}

func (dunlinH3) serve(cfg serverConfig, h http.Handler) (string, error) {
	return serveDunlin(cfg, h, &quic.Config{MaxBidiStreams: cfg.streams})
}

func (dunlinH3) serveEarly(cfg serverConfig, h http.Handler) (string, error) {
	return serveDunlin(cfg, h, &quic.Config{EarlyData: true})
}

func serveDunlin(cfg serverConfig, h http.Handler, transport *quic.Config) (string, error) {
	l, err := http3.Listen(cfg.addr)
	if err != nil {
		return "", err
	}
	return serveListener(l, cfg, h, transport)
}

func serveListener(l *http3.Listener, cfg serverConfig, h http.Handler, transport *quic.Config) (string, error) {
	s := &http3.Server{Handler: h, TLSConfig: &tls.Config{Certificates: []tls.Certificate{cfg.cert}}, QUIC: transport}
	go s.Serve(l)
	return l.Addr().String(), nil
}

func (dunlinH3) earlyTransport(cfg *tls.Config) closableTransport {
	return &http3.Transport{TLSClientConfig: cfg, DisableCompression: true, QUIC: &quic.Config{EarlyData: true}}
}

// dunlinSockets is the same with a server that has a socket for each processor, among which the system spreads the clients.
type dunlinSockets struct{ dunlinH3 }

func (dunlinSockets) serve(cfg serverConfig, h http.Handler) (string, error) {
	var sockets []udp.Socket
	for addr := cfg.addr; len(sockets) < runtime.GOMAXPROCS(0); addr = sockets[0].LocalAddr().String() {
		s, err := udp.Listen(addr, &udp.Config{ReusePort: true})
		if err != nil {
			return "", err
		}
		sockets = append(sockets, s)
	}
	return serveListener(http3.NewListener(sockets...), cfg, h, &quic.Config{MaxBidiStreams: cfg.streams})
}

// does implements chooser.
func (dunlinSockets) does(w *work) bool { return w.name == "small-100x1" }

// dunlinLate is the same, but its clients send nothing before the handshake is complete.
type dunlinLate struct{ dunlinH3 }

func (p dunlinLate) earlyTransport(cfg *tls.Config) closableTransport { return p.transport(cfg) }

func (dunlinH3) transport(cfg *tls.Config) closableTransport {
	return &http3.Transport{TLSClientConfig: cfg, DisableCompression: true}
}

func (p dunlinH3) manyTransport(c *clientEnv) closableTransport {
	addr := netip.MustParseAddrPort(c.addr)
	t := p.transport(c.tls).(*http3.Transport)
	t.MaxIdleConns = math.MaxInt
	t.Resolve = func(context.Context, string, string) ([]netip.AddrPort, error) { return []netip.AddrPort{addr}, nil }
	return t
}
