package http3

import (
	"container/list"
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/dunlin-quic/dunlin/engine"
	"github.com/dunlin-quic/dunlin/metrics"
	"github.com/dunlin-quic/dunlin/quic"
)

// Transport is an http.RoundTripper over HTTP/3. It keeps one connection per authority, dials it once for all who
// wait, and verifies certificates unless TLSClientConfig says otherwise. Use it from any number of goroutines; its
// fields must not be changed after the first request. The zero value is ready to use. While it has no connection it
// holds neither sockets nor goroutines.
type Transport struct {
	// TLSClientConfig is cloned for each connection; ServerName defaults to the URL's host, NextProtos becomes "h3". Without
	// a ClientSessionCache the Transport keeps the sessions of the last 64 servers in memory, unless
	// SessionTicketsDisabled is set.
	TLSClientConfig *tls.Config
	// QUIC configures the connections; its TLS field is ignored. With its EarlyData, the requests that come first on a
	// connection to a server known already leave in early data, if they have no body and a safe method: see the package
	// comment. Optional.
	QUIC *quic.Config
	// Resolve returns the addresses to try for a host name and port (a number), the preferred one first. Default: the
	// system's resolver, with IPv6 and IPv4 in turns.
	Resolve func(ctx context.Context, host, port string) ([]netip.AddrPort, error)
	// DialTimeout bounds the time until a connection can carry requests, name resolution included. A server that refuses
	// connections (CONNECTION_REFUSED), as one does that restarts, is asked again and again meanwhile, with growing pauses.
	// Default 10 s.
	DialTimeout time.Duration
	// IdleConnTimeout closes a connection that has had no request running for that long. Default 90 s; the lower of it
	// and QUIC's idle timeout holds.
	IdleConnTimeout time.Duration
	// MaxIdleConns bounds the connections that have no request running: of more, the one that has had none for longest is
	// closed. Default 100.
	MaxIdleConns int
	// Coalesce sends requests for several authorities over one connection, where they resolve to its address and its
	// certificate is valid for them (RFC 9114, Section 3.3). One that the server answers with 421 gets a connection of its own.
	Coalesce bool
	// ResponseHeaderTimeout bounds the time from the end of sending a request, its body included, to the end of the
	// response's header section. Default none.
	ResponseHeaderTimeout time.Duration
	// ExpectContinueTimeout bounds how long a body with "Expect: 100-continue" waits for the server's leave. Default 1
	// s.
	ExpectContinueTimeout time.Duration
	// MaxResponseHeaderBytes bounds a response's header section as RFC 9114, Section 4.2.2 measures it, and all its
	// interim responses together. Default 1 MiB, also with a negative number, since there must be a bound.
	MaxResponseHeaderBytes int
	// DisableCompression stops the Transport from asking for gzip and undoing it, as in http.Transport.
	DisableCompression bool
	// Logger hears of the life of connections. Default: none.
	Logger *slog.Logger
	// Metrics hears of the connections. Default: none.
	Metrics metrics.Metrics

	book *altBook // knows where authorities are served; nil: at no other place

	mu       sync.Mutex
	closed   bool
	pool     map[string]*poolEntry // by host:port
	idle     list.List             // of *ClientConn without requests, the one that has had none for longest in front
	apart    map[string]bool       // authorities that share no connection
	memory   memory
	endpoint *engine.Endpoint // nil while nobody uses it
	users    int              // of endpoint: connections and attempts at one
}

const (
	defaultDialTimeout            = 10 * time.Second
	defaultIdleConnTimeout        = 90 * time.Second
	defaultMaxIdleConns           = 100
	defaultExpectContinueTimeout  = time.Second
	defaultMaxResponseHeaderBytes = 1 << 20
)

// RoundTrip implements http.RoundTripper.
//
// It sends a request again, on a new connection, where the server can't have processed it: it refused the request
// (H3_REQUEST_REJECTED), its GOAWAY excluded it, or the connection had ended before the request was sent. It does so as often as
// the server takes other requests instead; for a server that takes none it has the patience of DialTimeout, with growing
// pauses. Likewise, but four times in all, where a reused connection ended without an answer, if the method is
// idempotent; and where it was sent in early data and the server did not take that, or answered with status 425. A body
// that was read must then have a GetBody.
//
// An Upgrade to WebSocket (RFC 6455) becomes an extended CONNECT request (RFC 9220): WebSocket libraries that make one with an
// http.Client get the 101 response that they expect, whose Body is an io.ReadWriteCloser.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if connect, key := upgradeToWebSocket(req); connect != nil {
		res, err := t.roundTrip(connect)
		if err != nil {
			return nil, err
		}
		return upgraded(res, req, key), nil
	}
	return t.roundTrip(req)
}

func (t *Transport) roundTrip(req *http.Request) (*http.Response, error) {
	key, err := checkRequest(req)
	if err != nil {
		closeBody(req)
		return nil, err
	}
	late := false
	var p persistence
	for {
		conn, reused, err := t.acquire(req.Context(), key, &p)
		if err != nil {
			closeBody(req)
			return nil, err
		}
		x := newClientExchange(conn, req)
		x.late = late
		x.alternative = t.book != nil && conn.key == key && !conn.at.record
		res, err := x.roundTrip()
		if err == nil {
			switch {
			case x.tooEarly(res):
				late = true
			case res.StatusCode == http.StatusMisdirectedRequest && (conn.key != key || t.book != nil):
				if conn.key != key {
					t.separate(key)
				} else {
					t.misdirected(conn)
				}
				again := x.rewind()
				if again == nil {
					return res, nil
				}
				req = again
			default:
				return res, nil
			}
			res.Body.Close()
			continue
		}
		again := (*http.Request)(nil)
		if x.repeatable(err, reused) {
			again = x.rewind()
		}
		if again == nil {
			x.closeBody()
			if refused(err) && req.Context().Err() != nil {
				err = context.Cause(req.Context()) // but for which it would have been sent again
			}
			return nil, err
		}
		if err := p.again(req.Context(), conn, x.opened(), err); err != nil {
			closeBody(again)
			return nil, err
		}
		req = again
	}
}

// misdirected notes that where c goes the origin is not served after all (RFC 7838, Section 6).
func (t *Transport) misdirected(c *ClientConn) {
	t.book.result(c.key, c.at.place, false)
	t.retire(c)
}

func closeBody(req *http.Request) {
	if req.Body != nil {
		req.Body.Close()
	}
}

// rewind returns the request with an unread body, or nil if that can't be had.
func (x *clientExchange) rewind() *http.Request {
	if !x.hasBody || !x.bodyTouched.Load() {
		return x.req
	}
	if x.req.GetBody == nil {
		return nil
	}
	if x.bodySent != nil {
		<-x.bodySent // nobody else reads what GetBody may share with the body
	}
	body, err := x.req.GetBody()
	if err != nil {
		return nil
	}
	again := *x.req
	again.Body = body
	return &again
}

// checkRequest returns the pool's key for a request: host name in ASCII, and port.
func checkRequest(req *http.Request) (key string, err error) {
	switch {
	case req.URL == nil:
		return "", errors.New("http3: nil Request.URL")
	case req.URL.Scheme != "https":
		return "", errors.New("http3: unsupported protocol scheme " + quote(req.URL.Scheme) + ": HTTP/3 needs https")
	case req.URL.Host == "":
		return "", errors.New("http3: no host in the URL")
	case req.Method != "" && !httpguts.ValidHeaderFieldName(req.Method):
		return "", errors.New("http3: invalid method " + quote(req.Method))
	}
	for key, values := range req.Header {
		if key == protocolKey && req.Method == http.MethodConnect && len(values) == 1 {
			continue // package h3 looks at the value
		}
		if !httpguts.ValidHeaderFieldName(key) {
			return "", errors.New("http3: invalid header field name " + quote(key))
		}
		for _, v := range values {
			if !httpguts.ValidHeaderFieldValue(v) {
				return "", errors.New("http3: invalid header field value for " + quote(key))
			}
		}
	}
	host, port := req.URL.Hostname(), req.URL.Port()
	if port != "" && plainHost(host) {
		return req.URL.Host, nil
	}
	if port == "" {
		port = "443"
	}
	if !ascii(host) {
		if host, err = httpguts.PunycodeHostPort(host); err != nil {
			return "", err
		}
	}
	return net.JoinHostPort(strings.ToLower(host), port), nil
}

// plainHost reports whether a host name is its own key.
func plainHost(host string) bool {
	for i := range len(host) {
		c := host[i]
		if c >= 0x80 || 'A' <= c && c <= 'Z' || c == ':' {
			return false
		}
	}
	return true
}

func ascii(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// CloseIdleConnections closes the connections that have no request running.
func (t *Transport) CloseIdleConnections() {
	t.mu.Lock()
	var idle []*ClientConn
	for key, e := range t.pool {
		if e.conn != nil && e.conn.active == 0 {
			idle = append(idle, e.conn)
			delete(t.pool, key)
		}
	}
	t.mu.Unlock()
	for _, c := range idle {
		c.closeNow()
	}
}

// Close closes all connections at once and makes later requests fail.
func (t *Transport) Close() error {
	t.mu.Lock()
	t.closed = true
	for _, e := range t.pool {
		if e.dial != nil {
			e.dial.cancel()
		}
	}
	t.pool = nil
	endpoint := t.endpoint
	t.mu.Unlock()
	if endpoint == nil {
		return nil
	}
	return endpoint.Close()
}
