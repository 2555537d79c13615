package engine

import (
	"net/netip"

	"github.com/dunlin-quic/dunlin/quic"
)

// Connection is the handle of a connection. All methods are safe from any goroutine; but Do and Stats, which wait for
// a step, must not be called from an application's methods.
type Connection struct{ _ int }

// Application returns the application that runs on the connection; nil on a server before the handshake is complete.
func (c *Connection) Application() ApplicationOverQUIC { panic("skeleton") }

// LocalAddr returns the address of this side when the connection was made.
func (c *Connection) LocalAddr() netip.AddrPort { panic("skeleton") }

// RemoteAddr returns the address of the peer when the connection was made.
func (c *Connection) RemoteAddr() netip.AddrPort { panic("skeleton") }

// Close closes the connection with the application's code; nil stands for the transport's NO_ERROR. It does not
// wait: see Done.
func (c *Connection) Close(err *quic.ApplicationError) { panic("skeleton") }

// Done returns a channel that is closed when the connection has ended and OnClose has returned.
func (c *Connection) Done() <-chan struct{} { panic("skeleton") }

// Err returns why the connection ended; nil until Done is closed.
func (c *Connection) Err() error { panic("skeleton") }

// Do runs f as part of a step, in which it may use the Session as the application's methods do, and returns when it
// has. It returns net.ErrClosed without running f if the connection has ended.
func (c *Connection) Do(f func(*Session)) error { panic("skeleton") }

// Stats returns the connection's counters; after its end the last ones.
func (c *Connection) Stats() quic.Stats { panic("skeleton") }

// Wake schedules a step: see [Session.Wake].
func (c *Connection) Wake() { panic("skeleton") }

// Flush runs a step at once if it can: see [Session.Flush].
func (c *Connection) Flush() { panic("skeleton") }
