package http3

import (
	"cmp"
	"container/list"
	"crypto/tls"
	"errors"
	"net"
	"sync/atomic"
	"time"

	"github.com/dunlin-quic/dunlin/engine"
	"github.com/dunlin-quic/dunlin/h3"
	"github.com/dunlin-quic/dunlin/h3driver"
	"github.com/dunlin-quic/dunlin/quic"
)

// ClientConn is one connection of a [Transport]. A request's httptrace.ClientTrace gets it as the Conn of GotConnInfo:
//
//	GotConn: func(info httptrace.GotConnInfo) { conn = info.Conn.(*http3.ClientConn) }
//
// so it implements net.Conn, but reading, writing and deadlines return errors: the bytes belong to HTTP/3. Its methods
// may be called from any goroutine, also after the connection has ended.
type ClientConn struct {
	transport  *Transport
	key        string
	at         alternative // where it goes, if elsewhere
	connection *engine.Connection
	controller *h3driver.ClientController
	local      net.Addr
	remote     net.Addr
	sessions   *sessions
	early      bool        // it began with early data; set before the connection is used
	took       atomic.Bool // the server has taken a request
	goneAway   atomic.Bool // it has sent GOAWAY

	// Guarded by transport.mu.
	active       int           // requests
	idle         *list.Element // in Transport.idle, nil if it is not
	others       []string      // authorities besides key that share the connection
	retired      bool          // not to be used for further requests
	ended        bool          // there is no connection any more
	usesEndpoint bool          // counts among Transport.users
}

var _ net.Conn = (*ClientConn)(nil)

var errNotBytes = errors.New("http3: the bytes of a ClientConn belong to HTTP/3")

// Read returns an error.
func (c *ClientConn) Read([]byte) (int, error) { return 0, errNotBytes }

// Write returns an error.
func (c *ClientConn) Write([]byte) (int, error) { return 0, errNotBytes }

// SetDeadline returns an error.
func (c *ClientConn) SetDeadline(time.Time) error { return errNotBytes }

// SetReadDeadline returns an error.
func (c *ClientConn) SetReadDeadline(time.Time) error { return errNotBytes }

// SetWriteDeadline returns an error.
func (c *ClientConn) SetWriteDeadline(time.Time) error { return errNotBytes }

// LocalAddr returns this side's UDP address when the connection was made.
func (c *ClientConn) LocalAddr() net.Addr { return c.local }

// RemoteAddr returns the server's UDP address.
func (c *ClientConn) RemoteAddr() net.Addr { return c.remote }

// Stats returns the connection's counters, after its end the last ones: handshake time, RTT, losses.
func (c *ClientConn) Stats() quic.Stats { return c.connection.Stats() }

// ConnectionState returns what TLS negotiated; while the handshake is not complete, which it always is unless there is
// early data, the zero value.
func (c *ClientConn) ConnectionState() tls.ConnectionState {
	if state := c.controller.ConnectionState(); state != nil {
		return *state
	}
	return tls.ConnectionState{}
}

// Version returns the version of QUIC that was negotiated, zero while the handshake is not complete.
func (c *ClientConn) Version() quic.Version { return c.controller.Version() }

// Engine returns the engine's handle of the connection, which has its audit and its paths, and can move it to another network.
func (c *ClientConn) Engine() *engine.Connection { return c.connection }

// Err returns why the connection ended, nil while it lives.
func (c *ClientConn) Err() error { return c.controller.Err() }

// Done returns a channel that is closed when the connection has ended.
func (c *ClientConn) Done() <-chan struct{} { return c.connection.Done() }

// Close closes the connection at once; requests on it fail.
func (c *ClientConn) Close() error {
	c.transport.retire(c)
	c.closeNow()
	return nil
}

func (c *ClientConn) closeNow() { c.controller.Close() }

// altUsed returns the value of an Alt-Used field (RFC 7838, Section 5).
func (c *ClientConn) altUsed() string {
	host, _, _ := net.SplitHostPort(c.key)
	return net.JoinHostPort(cmp.Or(c.at.host, host), c.at.port)
}

// onEvent runs in the connection's step.
func (c *ClientConn) onEvent(ev h3driver.Event) {
	switch ev.Kind {
	case h3driver.EventEstablished:
		c.early = ev.Early
		return
	case h3driver.EventGoAway:
		c.goneAway.Store(true)
		if ev.ID > 0 && ev.ID < h3.MaxRequestID {
			c.took.Store(true)
		}
		c.transport.retire(c)
		return
	case h3driver.EventClosed:
		c.transport.ended(c)
		return
	}
	if ev.Stream == nil {
		return
	}
	x := ev.Stream.Value.(*clientExchange)
	switch ev.Kind {
	case h3driver.EventHeaders:
		if !c.took.Load() {
			c.took.Store(true)
		}
		x.gotHeaders(copyFields(ev.Fields), ev.Fin)
	case h3driver.EventInterim:
		x.gotInterim(copyFields(ev.Fields))
	case h3driver.EventReset:
		x.gotError(ev.Err)
	case h3driver.EventStopSending:
		x.stopBody()
	case h3driver.EventStreamClosed:
		x.gotError(ev.Err)
	}
}
