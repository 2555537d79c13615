package main

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

func init() {
	httpPeers["quic-go-h3"] = quicGoH3{}
	earlyPeers["quic-go-h3"] = quicGoH3{}
	rawPeers["quic-go"] = quicGo{}
}

// quicGoH3 is quic-go's http3.
type quicGoH3 struct{}

func (quicGoH3) serve(cfg serverConfig, h http.Handler) (string, error) {
	return serveQuicGo(cfg, h, &quic.Config{MaxIncomingStreams: int64(cfg.streams)})
}

func (quicGoH3) serveEarly(cfg serverConfig, h http.Handler) (string, error) {
	return serveQuicGo(cfg, h, &quic.Config{Allow0RTT: true})
}

func serveQuicGo(cfg serverConfig, h http.Handler, transport *quic.Config) (string, error) {
	c, err := net.ListenPacket("udp", cfg.addr)
	if err != nil {
		return "", err
	}
	s := &http3.Server{
		Handler: h, TLSConfig: http3.ConfigureTLSConfig(&tls.Config{Certificates: []tls.Certificate{cfg.cert}}), QUICConfig: transport,
	}
	go s.Serve(c)
	return c.LocalAddr().String(), nil
}

func (p quicGoH3) earlyTransport(cfg *tls.Config) closableTransport {
	return quicGoEarly{p.transport(cfg).(*http3.Transport)}
}

// quicGoEarly sends every GET in early data if it can.
type quicGoEarly struct{ *http3.Transport }

func (t quicGoEarly) RoundTrip(r *http.Request) (*http.Response, error) {
	r.Method = http3.MethodGet0RTT
	return t.Transport.RoundTrip(r)
}

func (quicGoH3) transport(cfg *tls.Config) closableTransport {
	return &http3.Transport{TLSClientConfig: cfg, DisableCompression: true}
}

func (p quicGoH3) manyTransport(c *clientEnv) closableTransport {
	udp, err := net.ListenUDP("udp", nil)
	if err != nil {
		fatal(err)
	}
	addr, err := net.ResolveUDPAddr("udp", c.addr)
	if err != nil {
		fatal(err)
	}
	socket := &quic.Transport{Conn: udp}
	t := p.transport(c.tls).(*http3.Transport)
	t.Dial = func(ctx context.Context, _ string, tls *tls.Config, cfg *quic.Config) (*quic.Conn, error) {
		return socket.DialEarly(ctx, addr, tls, cfg)
	}
	return t
}

// quicGo is quic-go's streams.
type quicGo struct{}

const rawALPN = "bench"

func (quicGo) serve(cfg serverConfig) (string, error) {
	return acceptQuicGo(cfg, &quic.Config{MaxIncomingStreams: 1000}, func(c *quic.Conn) {
		for {
			s, err := c.AcceptStream(context.Background())
			if err != nil {
				return
			}
			go rawHandler(s)
		}
	})
}

// acceptQuicGo starts a server that calls handle for each connection, and returns its address.
func acceptQuicGo(cfg serverConfig, transport *quic.Config, handle func(*quic.Conn)) (string, error) {
	tls := &tls.Config{Certificates: []tls.Certificate{cfg.cert}, NextProtos: []string{rawALPN}}
	l, err := quic.ListenAddr(cfg.addr, tls, transport)
	if err != nil {
		return "", err
	}
	go func() {
		for {
			c, err := l.Accept(context.Background())
			if err != nil {
				return
			}
			go handle(c)
		}
	}()
	return l.Addr().String(), nil
}

func (quicGo) dial(ctx context.Context, addr string, cfg *tls.Config) (rawConn, error) {
	cfg = cfg.Clone()
	cfg.NextProtos = []string{rawALPN}
	c, err := quic.DialAddr(ctx, addr, cfg, nil)
	if err != nil {
		return nil, err
	}
	return rawStreams{
		open:  func() (rawStream, error) { return c.OpenStreamSync(ctx) },
		close: func() error { return c.CloseWithError(0, "") },
	}, nil
}
