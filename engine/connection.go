package engine

import (
	"net"
	"net/netip"
	"sync/atomic"

	"github.com/dunlin-quic/dunlin/quic"
)

// errEnded is what is said of a connection that has ended.
var errEnded = net.ErrClosed

// Connection is the handle of a connection. All methods are safe from any goroutine; but those that wait for a
// step, Do, Stats, PathStats, Migrate and Probe, must not be called from an application's methods.
type Connection struct {
	w   *worker
	app atomic.Pointer[ApplicationOverQUIC]
}

// Application returns the application that runs on the connection; nil on a server before OnEstablished is called.
func (c *Connection) Application() ApplicationOverQUIC {
	if app := c.app.Load(); app != nil {
		return *app
	}
	return nil
}

// LocalAddr returns the address of this side when the connection was made. On a client whose socket is bound to all
// addresses its IP address is unspecified.
func (c *Connection) LocalAddr() netip.AddrPort { return c.w.local }

// RemoteAddr returns the address of the peer when the connection was made.
func (c *Connection) RemoteAddr() netip.AddrPort { return c.w.remote }

// Endpoint returns the endpoint whose sockets the connection uses.
func (c *Connection) Endpoint() *Endpoint { return c.w.e }

// Close closes the connection at once, with the CloseError of its config. It does not wait (see Done), and returns nil.
func (c *Connection) Close() error {
	c.w.end(closeFully, c.w.farewell)
	return nil
}

// CloseWithError closes the connection at once and tells the peer a code of the application protocol, at most 2^62-1, and a
// reason for people. It does not wait (see Done), and returns nil.
func (c *Connection) CloseWithError(code uint64, reason string) error {
	c.w.end(closeFully, &quic.ApplicationError{Code: code, Reason: reason})
	return nil
}

// Done returns a channel that is closed when the connection has ended and OnClose has returned.
func (c *Connection) Done() <-chan struct{} { return c.w.done }

// Err returns why the connection ended; nil until Done is closed.
func (c *Connection) Err() error {
	select {
	case <-c.w.done:
		return c.w.err
	default:
		return nil
	}
}

// Do runs f as part of a step, in which it may use the Session as the application's methods do, and returns when it
// has. It returns net.ErrClosed without running f if the connection has ended.
func (c *Connection) Do(f func(*Session)) error {
	done := make(chan error, 1)
	if !c.w.mailbox.ask(func(m *mail) { m.calls = append(m.calls, call{f, done}) }) {
		return errEnded
	}
	c.w.flush(false)
	c.w.yield()
	return <-done
}

// Stats returns the connection's counters; after its end the last ones.
func (c *Connection) Stats() (st quic.Stats) {
	if c.Do(func(s *Session) { st = s.Conn().Stats() }) != nil {
		<-c.w.done // what has ended may not have said so yet
		st = c.w.audit.Stats
	}
	return st
}

// PathStats returns what is known of the connection's paths, that in use first; nothing after its end.
func (c *Connection) PathStats() (all []quic.PathStats) {
	_ = c.Do(func(s *Session) { all = s.Conn().PathStats() }) // of a connection that has ended there are none
	return all
}

// Wake schedules a step: see [Session.Wake].
func (c *Connection) Wake() { c.w.wake() }

// Flush runs a step at once if it can: see [Session.Flush].
func (c *Connection) Flush() { c.w.flush(false) }

// Yield is for a task that is about to wait: see [Session.Yield].
func (c *Connection) Yield() { c.w.yield() }
