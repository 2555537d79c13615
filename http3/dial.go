package http3

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http/httptrace"
	"net/netip"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/dunlin-quic/dunlin/engine"
	"github.com/dunlin-quic/dunlin/h3"
	"github.com/dunlin-quic/dunlin/h3driver"
	"github.com/dunlin-quic/dunlin/quic"
)

// attemptDelay is how long one address has before the next is tried beside it (RFC 8305, Section 5).
const attemptDelay = 250 * time.Millisecond

// dialWhileRefused is dial, repeated while the server refuses connections: another may be about to take its place, and nobody be
// there for a moment in between.
func (t *Transport) dialWhileRefused(
	ctx context.Context, key string, endpoint *engine.Endpoint,
) (c *ClientConn, shared bool, err error) {
	for n := 0; ; n++ {
		refusal := err
		c, shared, err = t.dial(ctx, key, endpoint)
		switch {
		case err != nil && refusal != nil && ctx.Err() != nil:
			return nil, false, refusal
		case t.route != nil: // who has another way takes it
			return c, shared, err
		case !refusedConnection(err) && (refusal == nil || !errors.Is(err, syscall.ECONNREFUSED)):
			return c, shared, err
		case !sleep(ctx, backoff(n)):
			return nil, false, err
		}
	}
}

// dial connects to key, "host:port". It returns true with a connection that there was already, for another authority.
func (t *Transport) dial(ctx context.Context, key string, endpoint *engine.Endpoint) (*ClientConn, bool, error) {
	host, port, err := net.SplitHostPort(key)
	if err != nil {
		return nil, false, err
	}
	resolve := t.Resolve
	if resolve == nil {
		resolve = lookup
	}
	at := host // of where it is served; the certificate is the origin's all the same (RFC 7838, Section 2.1)
	if t.route != nil {
		if a, ok := t.route(key); ok {
			port = a.port
			if a.host != "" {
				at = a.host
			}
		}
	}
	addrs, err := resolve(ctx, at, port)
	if err != nil {
		return nil, false, err
	}
	if len(addrs) == 0 {
		return nil, false, &net.DNSError{Err: "no addresses", Name: host, IsNotFound: true}
	}
	if c := t.share(key, host, addrs); c != nil {
		return c, true, nil
	}
	trace := httptrace.ContextClientTrace(ctx)
	if trace != nil && trace.TLSHandshakeStart != nil {
		trace.TLSHandshakeStart()
	}
	c, err := t.dialAddrs(ctx, key, host, endpoint, addrs)
	if trace != nil && trace.TLSHandshakeDone != nil {
		var state tls.ConnectionState
		if err == nil {
			state = c.ConnectionState()
		}
		trace.TLSHandshakeDone(state, err)
	}
	return c, false, err
}

// lookup is the default of Transport.Resolve.
func lookup(ctx context.Context, host, port string) ([]netip.AddrPort, error) {
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return nil, &net.AddrError{Err: "invalid port", Addr: port}
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		return []netip.AddrPort{netip.AddrPortFrom(ip.Unmap(), uint16(number))}, nil
	}
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, err
	}
	return interleave(ips, uint16(number)), nil
}

// interleave orders addresses so that the families take turns, beginning with that of the first (RFC 8305, Section 4).
func interleave(ips []netip.Addr, port uint16) []netip.AddrPort {
	var first, second []netip.AddrPort
	for i, ip := range ips {
		ip = ip.Unmap()
		addr := netip.AddrPortFrom(ip, port)
		if i == 0 || ip.Is4() == first[0].Addr().Is4() {
			first = append(first, addr)
		} else {
			second = append(second, addr)
		}
	}
	out := make([]netip.AddrPort, 0, len(ips))
	for len(first) > 0 {
		out = append(out, first[0])
		first, second = second, first[1:]
		if len(first) == 0 {
			first, second = second, nil
		}
	}
	return out
}

// dialResult is how one attempt ended.
type dialResult struct {
	conn *ClientConn
	err  error
}

// dialAddrs tries addresses until one answers: the next when one fails, or takes too long.
func (t *Transport) dialAddrs(
	ctx context.Context, key, host string, endpoint *engine.Endpoint, addrs []netip.AddrPort,
) (*ClientConn, error) {
	early := t.QUIC != nil && t.QUIC.EarlyData
	if len(addrs) == 1 {
		return t.dialAddr(ctx, key, host, endpoint, addrs[0], early)
	}
	if early {
		addrs = t.memory.prefer(key, addrs)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	results := make(chan dialResult, len(addrs))
	delay := time.NewTimer(attemptDelay)
	defer delay.Stop()
	var first error
	for next, running := 0, 0; ; {
		if next < len(addrs) {
			addr, early := addrs[next], early && next == 0
			next++
			running++
			go func() {
				c, err := t.dialAddr(ctx, key, host, endpoint, addr, early)
				results <- dialResult{c, err}
			}()
			delay.Reset(attemptDelay)
		}
		var r dialResult
		if next < len(addrs) {
			select {
			case r = <-results:
			case <-delay.C:
				continue
			}
		} else {
			r = <-results
		}
		running--
		if r.err == nil {
			cancel()
			go closeOthers(results, running)
			return r.conn, nil
		}
		if first == nil || refusedConnection(r.err) {
			first = r.err
		}
		if running == 0 && next == len(addrs) || ctx.Err() != nil {
			go closeOthers(results, running)
			return nil, first
		}
	}
}

// closeOthers closes what comes of the attempts that are not wanted any more.
func closeOthers(results <-chan dialResult, running int) {
	for range running {
		if r := <-results; r.err == nil {
			r.conn.closeNow()
		}
	}
}

// dialAddr connects to one address.
func (t *Transport) dialAddr(
	ctx context.Context, key, host string, endpoint *engine.Endpoint, addr netip.AddrPort, early bool,
) (*ClientConn, error) {
	trace := httptrace.ContextClientTrace(ctx)
	if trace != nil && trace.ConnectStart != nil {
		trace.ConnectStart("udp", addr.String())
	}
	c := &ClientConn{transport: t, key: key, remote: net.UDPAddrFromAddrPort(addr)}
	err := c.connect(ctx, host, endpoint, addr, early)
	if err != nil {
		err = dialError(ctx, c.remote, err)
	}
	if trace != nil && trace.ConnectDone != nil {
		trace.ConnectDone("udp", addr.String(), err)
	}
	if err != nil {
		return nil, err
	}
	return c, nil
}

func (c *ClientConn) connect(
	ctx context.Context, host string, endpoint *engine.Endpoint, addr netip.AddrPort, early bool,
) error {
	t := c.transport
	var transport quic.Config
	if t.QUIC != nil {
		transport = *t.QUIC
	}
	t.memory.once.Do(t.memory.init)
	transport.TLS = t.tlsConfig(host)
	if t.route != nil {
		if a, ok := t.route(c.key); ok && a.ech != nil {
			transport.TLS.EncryptedClientHelloConfigList = a.ech
		}
	}
	c.sessions = &sessions{all: transport.TLS.ClientSessionCache, authority: c.key}
	if c.sessions.all == nil {
		c.sessions.all = t.memory.sessions
	}
	transport.TLS.ClientSessionCache = c.sessions
	if transport.Tokens == nil {
		transport.Tokens = tokens{t.memory.tokens, c.key}
	}
	connection, err := endpoint.Dial(ctx, addr, &engine.DialConfig{
		QUIC: &transport,
		NewApplication: func(engine.ConnInfo) (engine.ApplicationOverQUIC, error) {
			driver := h3driver.NewClient(&h3driver.Config{
				H3:          &h3.Config{MaxFieldSectionSize: t.maxResponseHeaderBytes(), NoDatagrams: noDatagrams(t.QUIC)},
				OnEvent:     c.onEvent,
				IdleTimeout: positive(t.IdleConnTimeout, defaultIdleConnTimeout),
			})
			c.controller = driver.Controller()
			return driver, nil
		},
		EarlyStart: early,
		CloseError: &quic.ApplicationError{Code: uint64(h3.NoError)},
	})
	if err != nil {
		return err
	}
	if !c.early {
		t.memory.reach(c.key, addr)
	}
	c.connection = connection
	c.local = net.UDPAddrFromAddrPort(connection.LocalAddr())
	return nil
}

func (t *Transport) tlsConfig(host string) *tls.Config {
	config := &tls.Config{}
	if t.TLSClientConfig != nil {
		config = t.TLSClientConfig.Clone()
	}
	config.NextProtos = []string{NextProto}
	if config.ServerName == "" {
		config.ServerName, _, _ = strings.Cut(host, "%") // an IPv6 zone means nothing to the server
	}
	return config
}

func (t *Transport) maxResponseHeaderBytes() int {
	if t.MaxResponseHeaderBytes > 0 {
		return t.MaxResponseHeaderBytes
	}
	return defaultMaxResponseHeaderBytes
}

// positive returns d, or def if d is 0, or 0 if d is negative.
func positive(d, def time.Duration) time.Duration {
	if d == 0 {
		return def
	}
	return max(d, 0)
}

// alertNoApplicationProtocol is the TLS alert of a server that speaks none of the client's protocols (RFC 7301,
// Section 3.2).
const alertNoApplicationProtocol = 120

// dialError gives the failure of a dial a shape that tells its cause: see the package's errors.
func dialError(ctx context.Context, remote net.Addr, err error) error {
	var transport *quic.TransportError
	switch {
	case errors.As(err, &transport) && transport.Code == quic.CryptoError+alertNoApplicationProtocol:
		err = fmt.Errorf("%w: %w", ErrALPN, err)
	case errors.Is(err, context.DeadlineExceeded):
		err = quic.ErrHandshakeTimeout
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		return context.Canceled
	}
	return &net.OpError{Op: "dial", Net: "udp", Addr: remote, Err: err}
}

func quote(s string) string { return strconv.Quote(s) }
