package http3

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/dunlin-quic/dunlin/quic"
)

// Transport is an http.RoundTripper over HTTP/3. It keeps one connection per authority, dials it once for all who
// wait, and verifies certificates unless TLSClientConfig says otherwise. Use it from any number of goroutines; its
// fields must not be changed after the first request. The zero value is ready to use.
type Transport struct {
	// TLSClientConfig is cloned for each connection; ServerName defaults to the URL's host, NextProtos becomes "h3".
	TLSClientConfig *tls.Config
	// QUIC configures the connections; its TLS field is ignored. Optional.
	QUIC *quic.Config
	// Resolve returns the addresses to try for a host name and port (a number), the preferred one first. Default: the
	// system's resolver, IPv6 and IPv4 tried a quarter of a second apart (RFC 8305, Section 5).
	Resolve func(ctx context.Context, host, port string) ([]netip.AddrPort, error)
	// DialTimeout bounds the time until a connection can carry requests, name resolution included. Default 10 s.
	DialTimeout time.Duration
	// IdleConnTimeout closes a connection that has had no request running for that long. Default 90 s.
	IdleConnTimeout time.Duration
	// ResponseHeaderTimeout bounds the time from the end of sending a request, its body included, to the end of the
	// response's header section. Default none.
	ResponseHeaderTimeout time.Duration
	// MaxResponseHeaderBytes bounds a response's header section as RFC 9114, Section 4.2.2 measures it. Default 10 MiB,
	// as in http.Transport.
	MaxResponseHeaderBytes int
	// DisableCompression stops the Transport from asking for gzip and undoing it, as in http.Transport.
	DisableCompression bool
	// Logger hears of errors on connections that no request returns. Default: none.
	Logger *slog.Logger
}

// RoundTrip implements http.RoundTripper.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) { panic("skeleton") }

// CloseIdleConnections closes the connections that have no request running.
func (t *Transport) CloseIdleConnections() { panic("skeleton") }

// Close closes all connections at once and makes later requests fail.
func (t *Transport) Close() error { panic("skeleton") }

// ClientConn is one connection of a Transport. A request's httptrace.ClientTrace gets it as the Conn of GotConnInfo:
//
//	GotConn: func(info httptrace.GotConnInfo) { conn = info.Conn.(*http3.ClientConn) }
//
// so it implements net.Conn, but reading, writing and deadlines return errors: the bytes belong to HTTP/3. Its methods
// may be called from any goroutine, also after the connection has ended.
type ClientConn struct{ net.Conn }

// Stats returns the connection's counters: handshake time, RTT, losses.
func (c *ClientConn) Stats() quic.Stats { panic("skeleton") }

// ConnectionState returns what TLS negotiated.
func (c *ClientConn) ConnectionState() tls.ConnectionState { panic("skeleton") }
