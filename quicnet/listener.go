package quicnet

import (
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
func Listen(cfg *Config, addresses ...string) (*Listener, error) {
	return listen(cfg, false, func(c *engine.ListenConfig) (*engine.Listener, error) {
		return engine.Listen(c, addresses...)
	})
}

// ListenOn listens on an endpoint, whose sockets may dial as well. cfg.Endpoint and cfg.Socket have no meaning.
func ListenOn(e *engine.Endpoint, cfg *Config) (*Listener, error) {
	return listen(cfg, false, e.Listen)
}

func listen(cfg *Config, single bool, on func(*engine.ListenConfig) (*engine.Listener, error)) (*Listener, error) {
	c := cfg.withDefaults()
	l := &Listener{backlog: c.Backlog, single: single}
	l.mu.Lock() // who arrives waits until l is complete
	defer l.mu.Unlock()
	var err error
	l.l, err = on(&engine.ListenConfig{
		QUIC: c.QUIC,
		NewApplication: func(engine.ConnInfo) (engine.ApplicationOverQUIC, error) {
			d := NewDriver(l.ready)
			if l.single {
				d.c.lone = &lone{stream: &Stream{c: &d.c}}
			}
			return d, nil
		},
		Retry:      c.Retry,
		CloseError: c.closeError(),
		Endpoint:   c.Endpoint,
		Socket:     c.Socket,
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
	if len(l.arrived) >= l.backlog {
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
// net.ErrClosed after Close.
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

// Engine returns the engine's handle of the listener.
func (l *Listener) Engine() *engine.Listener { return l.l }

// Close stops accepting and closes all connections that the listener has accepted; those that nobody got by Accept, too.
func (l *Listener) Close() error {
	l.mu.Lock()
	l.closed = true
	l.arrived = nil
	l.arrival.Open()
	l.mu.Unlock()
	return l.l.Close()
}
