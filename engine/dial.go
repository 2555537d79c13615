package engine

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/dunlin-quic/dunlin/quic"
	"github.com/dunlin-quic/dunlin/udp"
)

// Dial connects to remote and returns once the application's OnEstablished has returned: when the handshake is complete, or
// at once if DialConfig.EarlyStart says so and there is a session for early data.
// If ctx ends first, the attempt is given up and closed.
func (e *Endpoint) Dial(ctx context.Context, remote netip.AddrPort, cfg *DialConfig) (*Connection, error) {
	if cfg == nil || cfg.NewApplication == nil {
		return nil, errors.New("engine: DialConfig.NewApplication is required")
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	qc, err := e.quicConfig(cfg.QUIC)
	if err != nil {
		return nil, err
	}
	remote = netip.AddrPortFrom(remote.Addr().Unmap(), remote.Port())
	r := e.routerTo(remote.Addr())
	if r == nil {
		return nil, fmt.Errorf("engine: no socket reaches %v", remote)
	}
	path := quic.Path{Local: r.local, Remote: remote}
	w := e.newWorker(&worker{
		side: quic.Client, cfg: qc, newApp: cfg.NewApplication, via: r, early: cfg.EarlyStart, farewell: farewell(cfg.CloseError),
		local: path.Local, remote: path.Remote, up: make(chan struct{}),
	})
	if w == nil {
		return nil, errEnded
	}
	if err := w.dial(path); err != nil {
		w.closed(err)
		w.finish()
		w.state.Store(finished)
		return nil, err
	}
	e.counters.dialled.Add(1)
	w.opens()
	if w.beginsEarly() {
		w.startEarly()
	} else {
		w.steps(byUser)
	}

	select {
	case <-w.up:
		return &w.handle, nil
	case <-w.done:
		select {
		case <-w.up: // and down again
			return &w.handle, nil
		default:
			return nil, w.err
		}
	case <-ctx.Done():
		// Once is enough: should the news be lost, the server gives up by itself.
		w.end(closeOnce, nil)
		return nil, context.Cause(ctx)
	}
}

// dial makes the connection and the application.
func (w *worker) dial(path quic.Path) error {
	conn, err := quic.NewClient(time.Now(), w.cfg, path)
	if err != nil {
		return err
	}
	w.conn = conn
	w.endpointEvents()
	if err := w.callback(create); err != nil {
		w.conn.Close(time.Now(), nil)
		return err
	}
	return nil
}

// startEarly has the application begin, and another goroutine send the ClientHello, unless somebody writes first: what is
// written at once then goes out with it.
func (w *worker) startEarly() {
	w.party = byUser
	w.session.now = time.Now()
	w.serve(nil)
	w.state.Store(scheduled)
	w.watched.asked()
	w.e.runners.start(w)
}

// info is what the application of a new connection is told.
func (w *worker) info(state *tls.ConnectionState) ConnInfo {
	return ConnInfo{Side: w.side, Local: w.local, Remote: w.remote, TLS: state, Connection: &w.handle}
}

// defaultAttemptDelay is RFC 8305, Section 8's Connection Attempt Delay.
const defaultAttemptDelay = 250 * time.Millisecond

// Dial connects to address, "host:port", on an endpoint of its own that ends with the connection. A name with several
// addresses is tried address by address (RFC 8305).
func Dial(ctx context.Context, address string, cfg *DialConfig) (*Connection, error) {
	if cfg == nil {
		cfg = &DialConfig{} // in which Endpoint.Dial misses something
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	remotes, err := resolve(ctx, host, port)
	if err != nil {
		return nil, err
	}
	c := *cfg
	if c.QUIC != nil && c.QUIC.TLS != nil && c.QUIC.TLS.ServerName == "" {
		q := *c.QUIC
		q.TLS = q.TLS.Clone()
		q.TLS.ServerName, _, _ = strings.Cut(host, "%") // an IPv6 zone means nothing to the server
		c.QUIC = &q
	}
	return race(ctx, remotes, &c)
}

// resolve returns the addresses of a host, the families in turns.
func resolve(ctx context.Context, host, port string) ([]netip.AddrPort, error) {
	n, err := net.DefaultResolver.LookupPort(ctx, "udp", port)
	if err != nil {
		return nil, err
	}
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, err
	}
	// The resolver sorts by RFC 6724. RFC 8305, Section 4: the first one's family goes first, then by turns.
	var first, second []netip.AddrPort
	for _, ip := range ips {
		ip = ip.Unmap()
		if a := netip.AddrPortFrom(ip, uint16(n)); ip.Is4() == ips[0].Unmap().Is4() {
			first = append(first, a)
		} else {
			second = append(second, a)
		}
	}
	var all []netip.AddrPort
	for len(first) > 0 || len(second) > 0 {
		if len(first) > 0 {
			all, first = append(all, first[0]), first[1:]
		}
		first, second = second, first
	}
	return all, nil
}

// race dials the addresses one after another, each a while after the one before or as soon as that has failed, until one
// is connected.
func race(ctx context.Context, remotes []netip.AddrPort, cfg *DialConfig) (*Connection, error) {
	if len(remotes) == 1 {
		return dialAlone(ctx, remotes[0], cfg) // on this goroutine, whose stack need not grow
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // the losers
	delay := cfg.AttemptDelay
	if delay == 0 {
		delay = defaultAttemptDelay
	}
	type result struct {
		c   *Connection
		err error
	}
	results := make(chan result)
	attempt := func(remote netip.AddrPort) {
		c, err := dialAlone(ctx, remote, cfg)
		select {
		case results <- result{c, err}:
		case <-ctx.Done():
			if c != nil {
				c.Close()
			}
		}
	}
	next := time.NewTimer(0)
	defer next.Stop()
	var errs []error
	for pending := 0; ; {
		select {
		case <-next.C:
			if len(remotes) == 0 {
				continue
			}
			go attempt(remotes[0])
			remotes = remotes[1:]
			pending++
			next.Reset(max(delay, 0))
		case r := <-results:
			if r.err == nil {
				return r.c, nil
			}
			errs = append(errs, r.err)
			if pending--; pending == 0 && len(remotes) == 0 {
				return nil, errors.Join(errs...)
			}
			next.Reset(0)
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// dialAlone dials on an endpoint of its own.
func dialAlone(ctx context.Context, remote netip.AddrPort, cfg *DialConfig) (*Connection, error) {
	// A socket of one family has half of the options to be set.
	network := "udp4"
	if remote.Addr().Is6() {
		network = "udp6"
	}
	pc, err := net.ListenUDP(network, nil)
	if err != nil {
		return nil, err
	}
	s, err := udp.Wrap(pc, &udp.Config{Errors: true})
	if err != nil {
		pc.Close()
		return nil, err
	}
	e, err := NewEndpoint(&EndpointConfig{Logger: cfg.Logger, Metrics: cfg.Metrics, closeWhenIdle: true}, s)
	if err != nil {
		s.Close()
		return nil, err
	}
	c, err := e.Dial(ctx, remote, cfg)
	if err != nil {
		e.closeIfUnused()
	}
	return c, err
}
