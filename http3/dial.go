package http3

import (
	"cmp"
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

// target is what a connection is wanted to.
type target struct {
	key      string      // the authority, "host:port"
	host     string      // of it: what the certificate must be valid for
	at       alternative // where it is served, if that is elsewhere
	endpoint *engine.Endpoint
}

// dialed is what came of a dial.
type dialed struct {
	conn   *ClientConn
	shared bool // there was conn already, for another authority
}

// dialWhileRefused is dial, repeated while the server refuses connections: another may be about to take its place, and nobody be
// there for a moment in between.
func (t *Transport) dialWhileRefused(ctx context.Context, key string, endpoint *engine.Endpoint) (d dialed, err error) {
	for n := 0; ; n++ {
		refusal := err
		d, err = t.dial(ctx, key, endpoint)
		switch {
		case err != nil && refusal != nil && ctx.Err() != nil:
			return dialed{}, refusal
		case t.book != nil: // who has another way takes it
			return d, err
		case !refusedConnection(err) && (refusal == nil || !errors.Is(err, syscall.ECONNREFUSED)):
			return d, err
		case !sleep(ctx, backoff(n)):
			return dialed{}, err
		}
	}
}

// dial connects to key, "host:port", or to the alternatives that there are for it.
func (t *Transport) dial(ctx context.Context, key string, endpoint *engine.Endpoint) (dialed, error) {
	host, _, err := net.SplitHostPort(key)
	if err != nil {
		return dialed{}, err
	}
	to := target{key: key, host: host, endpoint: endpoint}
	if t.book == nil {
		return t.dialPlace(ctx, to)
	}
	places := t.book.usable(key)
	if len(places) == 0 {
		return dialed{}, &net.OpError{Op: "dial", Net: "udp", Err: errNoAlternative}
	}
	return inTurn(ctx, len(places), func(ctx context.Context, i int) (dialed, error) {
		return t.dialAlternative(ctx, to, places[i])
	}, dialed.discard)
}

var errNoAlternative = errors.New("http3: the origin is not known to be served over HTTP/3")

func (d dialed) discard() {
	if !d.shared {
		d.conn.closeNow()
	}
}

// dialAlternative connects to one alternative, and notes whether it works.
func (t *Transport) dialAlternative(ctx context.Context, to target, a alternative) (dialed, error) {
	to.at = a
	d, err := t.dialPlace(ctx, to)
	if rejected, ok := errors.AsType[*tls.ECHRejectionError](err); ok && a.ech != nil {
		// RFC 9849, Section 6.1.6: the server has sent other configurations; if none, it can't have Encrypted ClientHello.
		to.at.ech = rejected.RetryConfigList
		t.book.setECH(to.key, to.at)
		d, err = t.dialPlace(ctx, to)
	}
	if err == nil || !errors.Is(ctx.Err(), context.Canceled) {
		t.book.result(to.key, a.place, err == nil)
	}
	return d, err
}

// dialPlace connects to the place where the authority is served.
func (t *Transport) dialPlace(ctx context.Context, to target) (dialed, error) {
	resolve := t.Resolve
	if resolve == nil {
		resolve = lookup
	}
	// The certificate is the origin's wherever it is served (RFC 7838, Section 2.1).
	host, port, _ := net.SplitHostPort(to.key)
	host, port = cmp.Or(to.at.host, host), cmp.Or(to.at.port, port)
	addrs, err := resolve(ctx, host, port)
	if err != nil {
		return dialed{}, err
	}
	if len(addrs) == 0 {
		return dialed{}, &net.DNSError{Err: "no addresses", Name: host, IsNotFound: true}
	}
	if c := t.share(to.key, to.host, addrs); c != nil {
		return dialed{c, true}, nil
	}
	trace := httptrace.ContextClientTrace(ctx)
	if trace != nil && trace.TLSHandshakeStart != nil {
		trace.TLSHandshakeStart()
	}
	c, err := t.dialAddrs(ctx, to, addrs)
	if trace != nil && trace.TLSHandshakeDone != nil {
		var state tls.ConnectionState
		if err == nil {
			state = c.ConnectionState()
		}
		trace.TLSHandshakeDone(state, err)
	}
	return dialed{conn: c}, err
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

// dialAddrs tries addresses until one answers.
func (t *Transport) dialAddrs(ctx context.Context, to target, addrs []netip.AddrPort) (*ClientConn, error) {
	early := t.QUIC != nil && t.QUIC.EarlyData
	if early {
		addrs = t.memory.prefer(to.key, addrs)
	}
	return inTurn(ctx, len(addrs), func(ctx context.Context, i int) (*ClientConn, error) {
		return t.dialAddr(ctx, to, addrs[i], early && i == 0)
	}, (*ClientConn).closeNow)
}

// inTurn makes up to n attempts until one succeeds: the next when one fails, or takes longer than attemptDelay. What comes of the
// others is discarded.
func inTurn[T any](ctx context.Context, n int, try func(ctx context.Context, i int) (T, error), discard func(T)) (T, error) {
	if n == 1 {
		return try(ctx, 0)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type result struct {
		value T
		err   error
	}
	results := make(chan result, n)
	running := 0
	defer func() {
		go func() {
			for range running {
				if r := <-results; r.err == nil {
					discard(r.value)
				}
			}
		}()
	}()
	delay := time.NewTimer(attemptDelay)
	defer delay.Stop()
	var first error
	for next := 0; ; {
		if next < n {
			i := next
			next++
			running++
			go func() {
				value, err := try(ctx, i)
				results <- result{value, err}
			}()
			delay.Reset(attemptDelay)
		}
		var r result
		if next < n {
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
			return r.value, nil
		}
		if first == nil || refusedConnection(r.err) {
			first = r.err
		}
		if running == 0 && next == n || ctx.Err() != nil {
			var none T
			return none, first
		}
	}
}

// dialAddr connects to one address.
func (t *Transport) dialAddr(ctx context.Context, to target, addr netip.AddrPort, early bool) (*ClientConn, error) {
	trace := httptrace.ContextClientTrace(ctx)
	if trace != nil && trace.ConnectStart != nil {
		trace.ConnectStart("udp", addr.String())
	}
	c := &ClientConn{transport: t, key: to.key, at: to.at, remote: net.UDPAddrFromAddrPort(addr)}
	err := c.connect(ctx, to, addr, early)
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

func (c *ClientConn) connect(ctx context.Context, to target, addr netip.AddrPort, early bool) error {
	t := c.transport
	var transport quic.Config
	if t.QUIC != nil {
		transport = *t.QUIC
	}
	t.memory.once.Do(t.memory.init)
	transport.TLS = t.tlsConfig(to.host)
	if to.at.ech != nil {
		transport.TLS.EncryptedClientHelloConfigList = to.at.ech
	}
	c.sessions = &sessions{all: transport.TLS.ClientSessionCache, authority: c.key}
	if c.sessions.all == nil {
		c.sessions.all = t.memory.sessions
	}
	transport.TLS.ClientSessionCache = c.sessions
	if transport.Tokens == nil {
		transport.Tokens = tokens{t.memory.tokens, c.key}
	}
	connection, err := to.endpoint.Dial(ctx, addr, &engine.DialConfig{
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
