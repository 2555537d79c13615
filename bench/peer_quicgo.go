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
	rawPeers["quic-go"] = quicGo{}
}

// quicGoH3 is quic-go's http3.
type quicGoH3 struct{}

func (quicGoH3) serve(cert tls.Certificate, h http.Handler) (string, error) {
	c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return "", err
	}
	s := &http3.Server{Handler: h, TLSConfig: http3.ConfigureTLSConfig(&tls.Config{Certificates: []tls.Certificate{cert}})}
	go s.Serve(c)
	return c.LocalAddr().String(), nil
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

func (quicGo) serve(cert tls.Certificate) (string, error) {
	l, err := quic.ListenAddr("127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{rawALPN}},
		&quic.Config{MaxIncomingStreams: 1000})
	if err != nil {
		return "", err
	}
	go func() {
		for {
			c, err := l.Accept(context.Background())
			if err != nil {
				return
			}
			go func() {
				for {
					s, err := c.AcceptStream(context.Background())
					if err != nil {
						return
					}
					go rawHandler(s)
				}
			}()
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
