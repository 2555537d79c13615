package quicnet

import (
	"cmp"
	"context"
	"errors"
	"net"
	"slices"
	"sync"

	"github.com/dunlin-quic/dunlin/engine"
	"github.com/dunlin-quic/dunlin/internal/blocking"
	"github.com/dunlin-quic/dunlin/quic"
)

// Listener accepts connections. Its methods are safe from any goroutine.
type Listener struct {
	l       *engine.Listener
	backlog int
	single  bool // connections are the net.Conn view of one stream

	mu      sync.Mutex
	arrived []*Conn // established, not yet accepted
	arrival blocking.Gate
	closed  bool
}

// Listen listens on UDP addresses (see udp.Listen), each with a socket of its own.
func Listen(cfg *ListenConfig, addresses ...string) (*Listener, error) {
	return listen(cfg, false, func(c *engine.ListenConfig) (*engine.Listener, error) {
		return engine.Listen(c, addresses...)
	})
}

// ListenOn listens on an endpoint, whose sockets may dial as well. cfg.Endpoint and cfg.Socket have no meaning.
func ListenOn(e *engine.Endpoint, cfg *ListenConfig) (*Listener, error) {
	return listen(cfg, false, e.Listen)
}

func listen(cfg *ListenConfig, single bool, on func(*engine.ListenConfig) (*engine.Listener, error)) (*Listener, error) {
	if cfg == nil {
		cfg = &ListenConfig{} // in which the engine misses something
	}
	l := &Listener{backlog: cmp.Or(cfg.Backlog, defaultBacklog), single: single}
	l.mu.Lock() // who arrives waits until l is complete
	defer l.mu.Unlock()
	var err error
	l.l, err = on(&engine.ListenConfig{
		QUIC: cfg.QUIC,
		NewApplication: func(engine.ConnInfo) (engine.ApplicationOverQUIC, error) {
			d := NewDriver(l.ready)
			if l.single {
				d.c.lone = &lone{stream: &Stream{c: &d.c}}
			}
			return d, nil
		},
		Retry:      cfg.Retry,
		CloseError: closeError(cfg.CloseError),
		Preferred:  cfg.Preferred,
		Endpoint:   cfg.Endpoint,
		Socket:     cfg.Socket,
	})
	if err != nil {
		return nil, err
	}
	return l, nil
}

// What closes a connection for which there is no room, or no listener any more (RFC 9000, Section 20.1).
var (
	errBacklog        = &quic.TransportError{Code: quic.ConnectionRefused, Reason: "the backlog of connections is full"}
	errListenerClosed = &quic.TransportError{Code: quic.ConnectionRefused, Reason: "the listener is closed"}
)

// ready takes an established connection into the backlog.
func (l *Listener) ready(c *Conn) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return errListenerClosed
	}
	if l.backlog >= 0 && len(l.arrived) >= l.backlog {
		// Those that have ended while they waited take no room.
		l.arrived = slices.DeleteFunc(l.arrived, func(c *Conn) bool { return c.Err() != nil })
		if len(l.arrived) >= l.backlog {
			return errBacklog
		}
	}
	l.arrived = append(l.arrived, c)
	l.arrival.Open()
	return nil
}

// Accept returns the next connection, whose handshake is complete. It waits for one, until ctx ends. It returns
// net.ErrClosed after Close or Shutdown.
func (l *Listener) Accept(ctx context.Context) (*Conn, error) {
	for {
		l.mu.Lock()
		for len(l.arrived) > 0 {
			c := l.arrived[0]
			l.arrived[0] = nil
			l.arrived = l.arrived[1:]
			if c.Err() == nil {
				l.mu.Unlock()
				return c, nil
			}
		}
		closed, arrival := l.closed, l.arrival.Opening()
		l.mu.Unlock()
		if closed {
			return nil, net.ErrClosed
		}
		select {
		case <-arrival:
		case <-l.l.Endpoint().Done():
			return nil, errors.Join(net.ErrClosed, l.l.Endpoint().Close())
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// Addr returns the address of the first socket, a *net.UDPAddr.
func (l *Listener) Addr() net.Addr { return net.UDPAddrFromAddrPort(l.l.Addr()) }

// Addrs returns the address of every socket, each a *net.UDPAddr.
func (l *Listener) Addrs() []net.Addr {
	var all []net.Addr
	for _, a := range l.l.Addrs() {
		all = append(all, net.UDPAddrFromAddrPort(a))
	}
	return all
}

// Stats returns the counters of the listener's sockets and connections, after Close the last ones.
func (l *Listener) Stats() engine.EndpointStats { return l.l.Endpoint().Stats() }

// Engine returns the engine's handle of the listener.
func (l *Listener) Engine() *engine.Listener { return l.l }

// Shutdown stops accepting, closes the connections that nobody got by Accept, and waits until the others have ended: by their
// users, their peers, or the idle timeout. When ctx ends first, those that remain are closed, and Shutdown returns the context's
// error. The sockets of a listener made by Listen are then closed.
func (l *Listener) Shutdown(ctx context.Context) error {
	l.stop()
	return l.l.Shutdown(ctx)
}

// Close stops accepting and closes all connections that the listener has accepted; those that nobody got by Accept, too.
func (l *Listener) Close() error {
	l.stop()
	return l.l.Close()
}

// stop stops accepting and closes the connections that nobody got. It reports whether the listener accepted until now.
func (l *Listener) stop() bool {
	l.mu.Lock()
	unwanted, accepted := l.arrived, !l.closed
	l.arrived, l.closed = nil, true
	l.arrival.Open()
	l.mu.Unlock()
	for _, c := range unwanted {
		c.Close()
	}
	return accepted
}
