package engine

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dunlin-quic/dunlin/quic"
	"github.com/dunlin-quic/dunlin/udp"
)

const (
	defaultMaxHandshakes        = 1000
	defaultMailboxBytes         = 4 << 20
	defaultEndpointMailboxBytes = 64 << 20
	tokenStoreSize              = 1 << 16
)

// Endpoint is a set of sockets and the connections on them. It listens and dials; both at a time if so wished.
type Endpoint struct {
	cfg      EndpointConfig
	resetKey [32]byte
	log      *slog.Logger

	sockets    atomic.Pointer[[]*router] // never empty; replaced with mu held
	reading    sync.WaitGroup            // the routers that read
	routes     routes
	runners    runners
	pace       pace
	mailboxes  budget
	handshakes atomic.Int64 // of servers, in progress
	counters   counters
	nextRouter atomic.Uint32
	closing    sync.Once
	ending     sync.Once
	done       chan struct{} // closed when Close has done its work

	mu       sync.Mutex
	workers  map[*worker]struct{}
	all      crowd
	listener *Listener
	started  bool  // the routers read
	refusing bool  // no further connection
	err      error // why a socket failed
}

// NewEndpoint makes an endpoint of sockets that the caller opened, and owns them from then on. cfg may be nil.
func NewEndpoint(cfg *EndpointConfig, sockets ...udp.Socket) (*Endpoint, error) {
	if len(sockets) == 0 {
		return nil, errors.New("engine: an endpoint needs a socket")
	}
	e := &Endpoint{workers: make(map[*worker]struct{}), done: make(chan struct{})}
	if cfg != nil {
		e.cfg = *cfg
	}
	c := &e.cfg
	c.MaxHandshakes = orDefault(c.MaxHandshakes, defaultMaxHandshakes)
	c.MailboxBytes = orDefault(c.MailboxBytes, defaultMailboxBytes)
	c.EndpointMailboxBytes = orDefault(c.EndpointMailboxBytes, defaultEndpointMailboxBytes)
	e.mailboxes.limit = int64(c.EndpointMailboxBytes)
	if e.log = c.Logger; e.log == nil {
		e.log = slog.New(slog.DiscardHandler)
	}
	// RFC 9000, Section 5.1 (MUST 3).
	if c.ConnectionIDs != nil && c.ConnectionIDs.Len() == 0 {
		return nil, errors.New("engine: connection IDs of no length route to no connection")
	}
	if c.StatelessResetKey != nil {
		e.resetKey = *c.StatelessResetKey
	} else {
		rand.Read(e.resetKey[:])
	}
	e.pace.init()
	e.runners.init(&e.pace)
	if err := e.routes.init(); err != nil {
		return nil, err
	}
	var routers []*router
	for _, s := range sockets {
		routers = append(routers, newRouter(e, s))
	}
	e.sockets.Store(&routers)
	if err := e.openDoors(nil); err != nil {
		return nil, err
	}
	return e, nil
}

// startReading lets the routers read, if they do not yet; with e.mu held. Before the first Listen or Dial what arrives waits in
// the sockets: a client that knows the address may be faster than Listen, and would wait a second to try again.
func (e *Endpoint) startReading() {
	if e.started {
		return
	}
	e.started = true
	for _, r := range e.routers() {
		e.startRouter(r)
	}
}

func (e *Endpoint) startRouter(r *router) {
	e.reading.Add(1)
	go r.run(r.party(0), nil)
}

// orDefault fills in a limit.
func orDefault(n, def int) int {
	if n == 0 {
		return def
	}
	return n
}

// openDoors gives every router a Demux that lets attempts through to l, or none if l is nil.
func (e *Endpoint) openDoors(l *Listener) error {
	cfg := quic.DemuxConfig{
		ConnectionIDs: e.cfg.ConnectionIDs, StatelessResetKey: &e.resetKey, TokenKeys: e.cfg.TokenKeys,
		NoAccept: l == nil,
	}
	if l != nil {
		if e.cfg.TokenStore == nil {
			e.cfg.TokenStore = quic.NewTokenStore(tokenStoreSize)
		}
		cfg.Versions, cfg.Retry, cfg.Tokens = l.cfg.Versions, l.retry, e.cfg.TokenStore
		cfg.NoQUICBitGrease = l.cfg.NoQUICBitGrease
	}
	for _, r := range e.routers() {
		demux, err := quic.NewDemux(cfg)
		if err != nil {
			return err
		}
		r.demux.Store(&frontDoor{demux, l})
	}
	return nil
}

// routers returns those that there are now. Each has a socket.
func (e *Endpoint) routers() []*router { return *e.sockets.Load() }

// quicConfig returns cfg for the connections of this endpoint.
func (e *Endpoint) quicConfig(cfg *quic.Config) (*quic.Config, error) {
	if cfg == nil {
		return nil, errors.New("engine: no QUIC config")
	}
	c := *cfg
	c.ConnectionIDs = e.cfg.ConnectionIDs
	c.StatelessResetKey = &e.resetKey
	if e.cfg.NonQUIC != nil {
		// RFC 9287, Section 3: who tells protocols apart by the QUIC bit must not have it greased.
		c.NoQUICBitGrease = true
	}
	for _, r := range e.routers() {
		if !r.sock.Capabilities().DontFragment {
			// A probe that is fragmented on the way says nothing about the path (RFC 9000, Section 14).
			c.MaxPacketSize = -1
		}
	}
	return c.Resolve()
}

// newWorker completes a worker and remembers it. The caller owns it, as if it ran its step, until it calls release. It
// returns nil if there is to be no further connection.
func (e *Endpoint) newWorker(w *worker) *worker {
	w.state.Store(running)
	w.e = e
	w.handle.w = w
	w.session.w = w
	w.done = make(chan struct{})
	w.started = time.Now()
	w.watched = e.newWatched()
	w.mailbox.limit = int64(e.cfg.MailboxBytes)
	w.mailbox.shared = &e.mailboxes
	if w.log = e.log; e.cfg.Logger != nil {
		w.log = e.log.With("side", w.side.String(), "remote", w.remote.String())
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.refusing || w.l != nil && (w.l.refusing || e.cfg.MaxConnections > 0 && w.l.all.n >= e.cfg.MaxConnections) {
		return nil
	}
	e.startReading()
	e.workers[w] = struct{}{}
	e.all.n++
	if w.l != nil {
		w.l.all.n++
	}
	return w
}

// forget is called by a worker that has finished.
func (e *Endpoint) forget(w *worker) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.workers, w)
	e.all.leave()
	if w.l != nil {
		w.l.all.leave()
	}
	if e.all.n == 0 && e.cfg.closeWhenIdle {
		go e.Close()
	}
}

// crowd counts workers, and tells when there are none. Endpoint.mu guards it.
type crowd struct {
	n     int
	empty chan struct{} // made by who waits
}

func (c *crowd) leave() {
	if c.n--; c.n == 0 && c.empty != nil {
		close(c.empty)
		c.empty = nil
	}
}

// whenEmpty returns a channel that is closed when nobody is left.
func (c *crowd) whenEmpty() <-chan struct{} {
	if c.empty != nil {
		return c.empty
	}
	ch := make(chan struct{})
	if c.n == 0 {
		close(ch)
	} else {
		c.empty = ch
	}
	return ch
}

// leaving takes in no further connection, and returns those that are left: the endpoint's, or l's if that is not nil.
func (e *Endpoint) leaving(l *Listener) (left []*worker, empty <-chan struct{}) {
	e.drainSteering()
	e.mu.Lock()
	defer e.mu.Unlock()
	c := &e.all
	if l != nil {
		l.refusing = true
		c = &l.all
	} else {
		e.refusing = true
	}
	for w := range e.workers {
		if l == nil || w.l == l {
			left = append(left, w)
		}
	}
	return left, c.whenEmpty()
}

// drain asks applications to drain and waits until their connections are gone.
func (e *Endpoint) drain(ctx context.Context, l *Listener) error {
	left, empty := e.leaving(l)
	for _, w := range left {
		if w.mailbox.ask(func(m *mail) { m.drain = true }) {
			w.wake()
		}
	}
	select {
	case <-empty:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// stop closes connections, telling their peers once, and waits until they are gone.
func (e *Endpoint) stop(l *Listener) {
	left, empty := e.leaving(l)
	for _, w := range left {
		w.end(closeOnce, w.farewell)
	}
	<-empty
}

// closeIfUnused closes the endpoint of a connection that never came to be; otherwise forget does.
func (e *Endpoint) closeIfUnused() {
	e.mu.Lock()
	unused := e.all.n == 0
	e.mu.Unlock()
	if unused {
		e.Close()
	}
}

// routerAt returns the router whose socket is bound to local, nil if there is none.
func (e *Endpoint) routerAt(local netip.AddrPort) *router {
	for _, r := range e.routers() {
		if r.has(local) {
			return r
		}
	}
	return nil
}

// routerTo returns a router whose socket reaches the family of remote; in turns if there are several.
func (e *Endpoint) routerTo(remote netip.Addr) (found *router) {
	routers := e.routers()
	n := uint32(len(routers))
	start := e.nextRouter.Add(1)
	for i := range n {
		r := routers[(start+i)%n]
		switch a := r.local.Addr(); {
		case a.Is4() == remote.Is4():
			return r
		case a.Is6() && a.IsUnspecified():
			found = r // it speaks IPv4 as well, on most systems
		}
	}
	return found
}

// routerStopped is called by a router whose socket can't be read any more. Unless the endpoint closed it, there is nothing
// to go on with.
func (e *Endpoint) routerStopped(r *router, err error) {
	if errors.Is(err, net.ErrClosed) {
		return
	}
	e.log.Error("a socket failed", "address", r.local, "error", err)
	e.fail(fmt.Errorf("engine: socket %v: %w", r.local, err))
	go e.Close()
}

// LocalAddr returns the address of the first socket.
func (e *Endpoint) LocalAddr() netip.AddrPort { return e.routers()[0].local }

// Addrs returns the addresses of all sockets.
func (e *Endpoint) Addrs() []netip.AddrPort {
	routers := e.routers()
	all := make([]netip.AddrPort, 0, len(routers))
	for _, r := range routers {
		if r.e.cfg.Steering == nil || !slices.Contains(all, r.local) { // the inlet of steering has its socket's
			all = append(all, r.local)
		}
	}
	return all
}

// Shutdown ends the endpoint with good manners: new connection attempts are refused, applications that are a [Drainer]
// drain, and when all connections are gone the sockets are closed. When ctx ends first, the remaining connections are
// closed with CloseError and Shutdown returns the context's error. Connections that their peers have closed are gone at once.
// It must not be called from an application's method.
func (e *Endpoint) Shutdown(ctx context.Context) error {
	err := e.drain(ctx, nil)
	return errors.Join(err, e.Close())
}

// Close closes all connections with CloseError and then the sockets, without waiting for the peers. It must not be called
// from an application's method.
func (e *Endpoint) Close() error {
	e.stop(nil)
	e.closing.Do(func() {
		e.runners.close()
		for _, r := range e.routers() {
			if err := r.close(); err != nil {
				e.fail(err)
			}
		}
	})
	e.reading.Wait()
	e.ending.Do(func() { close(e.done) })
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.err
}

// Done returns a channel that is closed when the endpoint has ended: it was closed, or one of its sockets failed.
func (e *Endpoint) Done() <-chan struct{} { return e.done }

// Err returns why the endpoint ended, nil until Done is closed: net.ErrClosed, or the error of a socket that failed.
func (e *Endpoint) Err() error {
	select {
	case <-e.done:
	default:
		return nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return cmp.Or(e.err, net.ErrClosed)
}

func (e *Endpoint) fail(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.err == nil {
		e.err = err
	}
}
