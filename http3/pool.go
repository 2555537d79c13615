package http3

import (
	"cmp"
	"context"
	"net"
	"net/http/httptrace"
	"net/netip"
	"runtime"
	"slices"

	"github.com/dunlin-quic/dunlin/engine"
	"github.com/dunlin-quic/dunlin/h3"
	"github.com/dunlin-quic/dunlin/udp"
)

// poolEntry is what a Transport has for one authority: a connection, or an attempt at one.
type poolEntry struct {
	conn *ClientConn
	dial *dialCall
}

// dialCall is an attempt at a connection on behalf of all requests that want it.
type dialCall struct {
	key     string
	cancel  context.CancelFunc
	waiters int           // guarded by Transport.mu; the attempt is given up when nobody waits any more
	done    chan struct{} // closed at the end
	conn    *ClientConn   // set before done is closed
	err     error
}

// acquire returns a connection for one request, which then calls release.
func (t *Transport) acquire(ctx context.Context, key string, p *persistence) (c *ClientConn, reused bool, err error) {
	trace := httptrace.ContextClientTrace(ctx)
	if trace != nil && trace.GetConn != nil {
		trace.GetConn(key)
	}
	for {
		c, dial, err := t.lookup(ctx, key)
		if err != nil {
			return nil, false, err
		}
		reused := dial == nil
		if dial != nil {
			if c, err = t.wait(ctx, dial); err != nil {
				return nil, false, err
			}
			if c == nil { // it ended while we woke up
				if err := p.again(ctx, dial.conn, false, cmp.Or(dial.conn.Err(), h3.ErrGoingAway)); err != nil {
					return nil, false, err
				}
				continue
			}
		}
		if trace != nil && trace.GotConn != nil {
			trace.GotConn(httptrace.GotConnInfo{Conn: c, Reused: reused})
		}
		return c, reused, nil
	}
}

// has reports whether there is a connection that is ready.
func (t *Transport) has(key string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.pool[key]
	return e != nil && e.conn != nil
}

// prepare makes a connection if there is none.
func (t *Transport) prepare(ctx context.Context, key string) error {
	c, _, err := t.acquire(ctx, key, new(persistence))
	if err == nil {
		t.release(c)
	}
	return err
}

// leave makes sure that the connection for an authority gets no further requests unless it goes to one of places.
func (t *Transport) leave(key string, places []alternative) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.pool[key]
	if e == nil || e.conn == nil || e.conn.key == key && contains(places, e.conn.at.place) {
		return
	}
	if e.conn.key == key {
		t.drop(e.conn)
	} else {
		delete(t.pool, key)
	}
}

// lookup returns a connection that is ready, or an attempt to wait for.
func (t *Transport) lookup(ctx context.Context, key string) (*ClientConn, *dialCall, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil, nil, ErrTransportClosed
	}
	e := t.pool[key]
	if e == nil {
		if err := t.useEndpoint(); err != nil {
			return nil, nil, err
		}
		// The attempt outlives the request that began it if others wait too, but keeps its values: its httptrace.
		dialCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
		if d := positive(t.DialTimeout, defaultDialTimeout); d > 0 {
			dialCtx, cancel = context.WithTimeout(dialCtx, d)
		}
		e = &poolEntry{dial: &dialCall{key: key, cancel: cancel, done: make(chan struct{})}}
		if t.pool == nil {
			t.pool = make(map[string]*poolEntry)
		}
		t.pool[key] = e
		go t.runDial(dialCtx, key, e, t.endpoint)
	}
	if e.conn != nil {
		t.use(e.conn)
		return e.conn, nil, nil
	}
	e.dial.waiters++
	return nil, e.dial, nil
}

// wait waits for an attempt. It returns nil if the connection has ended already.
func (t *Transport) wait(ctx context.Context, dial *dialCall) (*ClientConn, error) {
	select {
	case <-dial.done:
	case <-ctx.Done():
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	dial.waiters--
	select {
	case <-dial.done:
	default:
		if dial.waiters == 0 {
			dial.cancel()
			if e := t.pool[dial.key]; e != nil && e.dial == dial {
				delete(t.pool, dial.key) // whoever comes now makes an attempt of its own
			}
		}
		return nil, context.Cause(ctx)
	}
	if dial.err != nil {
		return nil, dial.err
	}
	if dial.conn.retired {
		return nil, nil
	}
	t.use(dial.conn)
	return dial.conn, nil
}

// runDial makes the connection of e; in a goroutine of its own.
func (t *Transport) runDial(ctx context.Context, key string, e *poolEntry, endpoint *engine.Endpoint) {
	defer e.dial.cancel()
	d, err := t.dialWhileRefused(ctx, key, endpoint)
	c := d.conn
	t.mu.Lock()
	defer t.mu.Unlock()
	dial := e.dial
	dial.conn, dial.err = c, err
	if t.closed {
		dial.err = ErrTransportClosed
	}
	waited := t.pool[key] == e
	wanted := waited && err == nil && !t.closed && !c.retired
	if wanted {
		e.conn, e.dial = c, nil
	} else if waited {
		delete(t.pool, key)
	}
	switch {
	case err != nil:
		t.releaseEndpoint()
	case d.shared:
		t.releaseEndpoint()
		if wanted {
			c.others = append(c.others, key)
		}
	default:
		c.retired = !wanted
		c.closeIfOver()
		if c.usesEndpoint = !c.ended; c.ended {
			t.releaseEndpoint()
		}
	}
	close(dial.done)
}

// ended gives back the endpoint when c has ended. It never blocks.
func (t *Transport) ended(c *ClientConn) {
	t.retire(c)
	t.mu.Lock()
	defer t.mu.Unlock()
	c.ended = true
	if c.usesEndpoint {
		c.usesEndpoint = false
		t.releaseEndpoint()
	}
}

// retire makes sure that c gets no further requests and ends with the last one that it has. It never blocks.
func (t *Transport) retire(c *ClientConn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.drop(c)
}

// drop is retire with t.mu held.
func (t *Transport) drop(c *ClientConn) {
	c.retired = true
	for _, key := range append(c.others, c.key) {
		if e := t.pool[key]; e != nil && e.conn == c {
			delete(t.pool, key)
		}
	}
	c.leaveIdle()
	c.closeIfOver()
}

// use counts a request on c; with t.mu held.
func (t *Transport) use(c *ClientConn) {
	c.active++
	c.leaveIdle()
}

func (c *ClientConn) leaveIdle() {
	if c.idle != nil {
		c.transport.idle.Remove(c.idle)
		c.idle = nil
	}
}

// separate makes the authority key, which shared a connection, go alone from now on.
func (t *Transport) separate(key string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	const maxApart = 1000
	if len(t.apart) >= maxApart {
		clear(t.apart)
	}
	if t.apart == nil {
		t.apart = make(map[string]bool)
	}
	t.apart[key] = true
	if e := t.pool[key]; e != nil && e.conn != nil && e.conn.key != key {
		delete(t.pool, key)
	}
}

// share returns a connection to one of addrs whose certificate is valid for host, nil if there is none.
func (t *Transport) share(key, host string, addrs []netip.AddrPort) *ClientConn {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.Coalesce || t.apart[key] {
		return nil
	}
	for _, e := range t.pool {
		c := e.conn
		if c == nil || c.retired || !slices.Contains(addrs, c.remote.(*net.UDPAddr).AddrPort()) {
			continue
		}
		state := c.controller.ConnectionState()
		if state != nil && len(state.VerifiedChains) > 0 && state.PeerCertificates[0].VerifyHostname(host) == nil {
			return c
		}
	}
	return nil
}

// release says that a request on c is over.
func (t *Transport) release(c *ClientConn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c.active--
	c.closeIfOver()
	if c.active > 0 || c.retired {
		return
	}
	c.idle = t.idle.PushBack(c)
	limit := t.MaxIdleConns
	if limit == 0 {
		limit = defaultMaxIdleConns
	}
	for t.idle.Len() > max(limit, 0) {
		t.drop(t.idle.Front().Value.(*ClientConn))
	}
}

// closeIfOver closes a retired connection without requests; with transport.mu held.
func (c *ClientConn) closeIfOver() {
	if c.retired && c.active == 0 {
		c.closeNow()
	}
}

// useEndpoint makes sure that there is an endpoint and counts a user; with t.mu held.
func (t *Transport) useEndpoint() error {
	if t.endpoint == nil {
		endpoint, err := newClientEndpoint(&engine.EndpointConfig{Logger: t.Logger, Metrics: t.Metrics})
		if err != nil {
			return err
		}
		t.endpoint = endpoint
	}
	t.users++
	return nil
}

// clientAddresses are what a Transport's sockets are bound to. On Linux one socket does for both families; elsewhere
// such a socket does not set the don't-fragment bit for IPv4 reliably.
func clientAddresses() []string {
	if runtime.GOOS == "linux" {
		return []string{":0"}
	}
	return []string{"0.0.0.0:0", "[::]:0"}
}

// newClientEndpoint opens what reaches both families, if the host has both.
func newClientEndpoint(cfg *engine.EndpointConfig) (*engine.Endpoint, error) {
	var sockets []udp.Socket
	var first error
	for _, addr := range clientAddresses() {
		s, err := udp.Listen(addr, &udp.Config{Errors: true})
		if err != nil {
			if first == nil {
				first = err
			}
			continue
		}
		sockets = append(sockets, s)
	}
	if len(sockets) == 0 {
		return nil, first
	}
	return engine.NewEndpoint(cfg, sockets...)
}

// releaseEndpoint closes the endpoint when its last user has gone; with t.mu held.
func (t *Transport) releaseEndpoint() {
	if t.users--; t.users == 0 {
		go t.endpoint.Close()
		t.endpoint = nil
	}
}
