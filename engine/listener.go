package engine

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/dunlin-quic/dunlin/quic"
	"github.com/dunlin-quic/dunlin/udp"
)

// Listener accepts the connections of an endpoint; each gets an application of its own.
type Listener struct {
	e        *Endpoint
	cfg      *quic.Config
	tls      *tls.Config // cfg's, which no other listener shares
	newApp   NewApplicationFunc
	retry    quic.RetryPolicy
	early    bool // ListenConfig.EarlyStart
	farewell error
	owner    bool // of the endpoint

	// Guarded by Endpoint.mu.
	all      crowd
	refusing bool // no further connection
}

// Listen opens a socket for every address (see udp.Listen), those of cfg.Preferred included, makes an endpoint of them, and
// listens.
func Listen(cfg *ListenConfig, addresses ...string) (*Listener, error) {
	if cfg == nil {
		cfg = &ListenConfig{} // in which Endpoint.Listen misses something
	}
	if len(addresses) == 0 {
		return nil, errors.New("engine: no address to listen on")
	}
	var sockets []udp.Socket
	closeAll := func() {
		for _, s := range sockets {
			s.Close()
		}
	}
	for _, a := range append(slices.Clone(addresses), cfg.Preferred...) {
		s, err := udp.Listen(a, &cfg.Socket)
		if err != nil {
			closeAll()
			return nil, err
		}
		sockets = append(sockets, s)
	}
	if len(cfg.Preferred) > 0 && cfg.QUIC != nil {
		var err error
		if cfg, err = cfg.prefer(sockets[len(addresses):]); err != nil {
			closeAll()
			return nil, err
		}
	}
	e, err := NewEndpoint(&cfg.Endpoint, sockets...)
	if err != nil {
		closeAll()
		return nil, err
	}
	l, err := e.Listen(cfg)
	if err != nil {
		e.Close()
		return nil, err
	}
	l.owner = true
	return l, nil
}

// prefer returns a config that tells clients the addresses of sockets.
func (cfg *ListenConfig) prefer(sockets []udp.Socket) (*ListenConfig, error) {
	c, q := *cfg, *cfg.QUIC
	for _, s := range sockets {
		local := s.LocalAddr()
		a := &q.PreferredAddress.IPv4
		if local.Addr().Is6() {
			a = &q.PreferredAddress.IPv6
		}
		if a.IsValid() {
			return nil, fmt.Errorf("engine: %v and %v can't both be preferred", *a, local)
		}
		*a = local
	}
	c.QUIC = &q
	return &c, nil
}

// Listen accepts connections from now on. An endpoint has one listener at a time.
func (e *Endpoint) Listen(cfg *ListenConfig) (*Listener, error) {
	if cfg == nil || cfg.NewApplication == nil {
		return nil, errors.New("engine: ListenConfig.NewApplication is required")
	}
	if cfg.QUIC == nil || cfg.QUIC.TLS == nil {
		return nil, errors.New("engine: ListenConfig.QUIC.TLS is required")
	}
	l := &Listener{e: e, newApp: cfg.NewApplication, retry: cfg.Retry, early: cfg.EarlyStart, farewell: farewell(cfg.CloseError)}
	// A clone of its own: SetSessionTicketKeys is not to reach into the caller's.
	q := *cfg.QUIC
	q.TLS = q.TLS.Clone()
	q.TLS.MinVersion = max(q.TLS.MinVersion, tls.VersionTLS13)
	var err error
	if l.cfg, err = e.quicConfig(&q); err != nil {
		return nil, err
	}
	l.tls = l.cfg.TLS
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.refusing {
		return nil, errEnded
	}
	if e.listener != nil {
		return nil, errors.New("engine: the endpoint listens already")
	}
	if err := e.openDoors(l); err != nil {
		return nil, err
	}
	e.startReading()
	if s := e.cfg.Steering; s != nil {
		if err := s.Open(); err != nil {
			return nil, errors.Join(err, e.openDoors(nil))
		}
	}
	e.listener = l
	return l, nil
}

// farewell returns what Shutdown and Close tell the peers.
func farewell(err *quic.ApplicationError) error {
	if err == nil {
		return nil
	}
	return &quic.ApplicationError{Code: err.Code, Reason: err.Reason}
}

// underLoad reports that clients had better prove their addresses.
func (l *Listener) underLoad() bool {
	limit := l.e.cfg.MaxHandshakes
	return limit >= 0 && l.e.handshakes.Load() >= int64(limit+1)/2
}

// accept makes a worker for a connection attempt, which began with datagram d; nil if there is to be none.
func (r *router) accept(door *frontDoor, path quic.Path, in quic.Accept, m *udp.Message, d []byte) *worker {
	e, l := r.e, door.l
	if limit := e.cfg.MaxHandshakes; limit >= 0 && e.handshakes.Load() >= int64(limit) {
		// Not refused: the client tries again by itself, and by then there may be room.
		e.counters.handshakeDrops.Add(1)
		e.rejected(path.Remote, "handshake_limit")
		return nil
	}
	w := e.newWorker(&worker{
		l: l, side: quic.Server, cfg: l.cfg, newApp: l.newApp, accept: &in, via: r, early: l.early,
		farewell: l.farewell, local: path.Local, remote: path.Remote, handshaking: true,
	})
	if w == nil {
		if e.steer(m, d) {
			return nil // the endpoint began to drain in this moment
		}
		e.counters.refused.Add(1)
		e.rejected(path.Remote, "connection_refused")
		r.answer(path, r.reply[:door.demux.Refuse(in, quic.ConnectionRefused, "", r.reply[:])])
		return nil
	}
	defer w.release()
	w.accept.Context = w.tlsContext()
	e.handshakes.Add(1)
	w.slow.Store(handshakeSteps)
	// The client goes on with this ID until it has seen ours.
	if other := e.routes.add(in.DCID, w); other != w {
		w.end(abandon, errEnded)
		return other
	}
	w.ids = append(w.ids, in.DCID)
	e.counters.accepted.Add(1)
	w.opens()
	if e.cfg.Metrics != nil {
		e.cfg.Metrics.InitialAccepted(path.Remote.Addr())
	}
	return w
}

// Addr returns the address of the first socket.
func (l *Listener) Addr() netip.AddrPort { return l.e.LocalAddr() }

// Addrs returns the addresses of all sockets.
func (l *Listener) Addrs() []netip.AddrPort { return l.e.Addrs() }

// Endpoint returns the endpoint.
func (l *Listener) Endpoint() *Endpoint { return l.e }

// SetSessionTicketKeys replaces the keys of the TLS session tickets, as tls.Config's method does.
func (l *Listener) SetSessionTicketKeys(keys [][32]byte) { l.tls.SetSessionTicketKeys(keys) }

// Shutdown stops accepting connections and lets those that were accepted drain, as [Endpoint.Shutdown] does. A listener
// made by the function Listen closes its sockets at the end; another leaves the endpoint to its owner.
func (l *Listener) Shutdown(ctx context.Context) error {
	if l.owner {
		return l.e.Shutdown(ctx)
	}
	err := l.e.drain(ctx, l)
	return errors.Join(err, l.Close())
}

// Close closes the accepted connections with CloseError, and stops accepting.
func (l *Listener) Close() error {
	if l.owner {
		return l.e.Close()
	}
	l.e.stop(l)
	l.e.mu.Lock()
	defer l.e.mu.Unlock()
	if l.e.listener != l {
		return nil
	}
	l.e.listener = nil
	return l.e.openDoors(nil)
}
