package main

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
)

func init() { httpPeers["net-http-h2"] = netHTTP{} }

// netHTTP is HTTP/2 over TLS 1.3 over TCP, as the standard library has it.
type netHTTP struct{}

func (netHTTP) serve(cfg serverConfig, h http.Handler) (string, error) {
	l, err := net.Listen("tcp", cfg.addr)
	if err != nil {
		return "", err
	}
	s := &http.Server{
		Handler: h, TLSConfig: &tls.Config{Certificates: []tls.Certificate{cfg.cert}},
		HTTP2: &http.HTTP2Config{MaxConcurrentStreams: cfg.streams},
	}
	go s.ServeTLS(l, "", "")
	return l.Addr().String(), nil
}

func (netHTTP) transport(cfg *tls.Config) closableTransport {
	return h2Transport{&http.Transport{TLSClientConfig: cfg, ForceAttemptHTTP2: true, DisableCompression: true}}
}

func (p netHTTP) manyTransport(c *clientEnv) closableTransport {
	t := p.transport(c.tls).(h2Transport)
	t.MaxIdleConns = 0
	t.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "tcp", c.addr)
	}
	return t
}

type h2Transport struct{ *http.Transport }

func (t h2Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := t.Transport.RoundTrip(r)
	if err == nil && resp.ProtoMajor != 2 {
		return nil, errors.New("bench: not HTTP/2 but " + resp.Proto)
	}
	return resp, err
}

func (t h2Transport) Close() error {
	t.CloseIdleConnections()
	return nil
}

func init() { rawPeers["tls-tcp"] = tlsTCP{} }

// tlsTCP is TLS 1.3 over TCP: a connection is a stream.
type tlsTCP struct{}

func (tlsTCP) serve(cfg serverConfig) (string, error) {
	l, err := tls.Listen("tcp", cfg.addr, &tls.Config{Certificates: []tls.Certificate{cfg.cert}, MinVersion: tls.VersionTLS13})
	if err != nil {
		return "", err
	}
	serveTLS(l)
	return l.Addr().String(), nil
}

// serveTLS serves connections in the background.
func serveTLS(l net.Listener) {
	accept(l, func(c net.Conn) {
		rawHandler(tlsStream{c.(*tls.Conn)})
		// To close with something unread, and be it the client's end of stream, would reset the connection.
		io.Copy(io.Discard, c)
	})
}

func (tlsTCP) dial(ctx context.Context, addr string, cfg *tls.Config) (rawConn, error) {
	return dialTLS(ctx, net.Dialer{}, addr, cfg)
}

func dialTLS(ctx context.Context, dialer net.Dialer, addr string, cfg *tls.Config) (rawConn, error) {
	d := tls.Dialer{NetDialer: &dialer, Config: cfg}
	c, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	return rawStreams{open: func() (rawStream, error) { return tlsStream{c.(*tls.Conn)}, nil }, close: c.Close}, nil
}

// tlsStream is the one stream that a connection has.
type tlsStream struct{ *tls.Conn }

func (s tlsStream) Close() error { return s.CloseWrite() }
