package http3

import (
	"context"
	"crypto/tls"
	"math"
	"net"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/dunlin-quic/dunlin/engine"
	"github.com/dunlin-quic/dunlin/h3"
	"github.com/dunlin-quic/dunlin/h3driver"
	"github.com/dunlin-quic/dunlin/quic"
)

// ServerConn is one connection of a [Server]. Its methods may be called from any goroutine.
type ServerConn struct {
	server     *Server
	connection *engine.Connection
	controller *h3driver.ServerController
	local      net.Addr
	remote     net.Addr
	remoteName string
	tls        *tls.ConnectionState // when the connection was made
	ctx        context.Context
	running    atomic.Int32  // handlers
	early      bool          // the handshake is not complete; in the step
	handshake  chan struct{} // closed when it is, or the connection has ended; nil unless it began early
}

// LocalAddr returns the server's UDP address when the connection was made.
func (c *ServerConn) LocalAddr() net.Addr { return c.local }

// RemoteAddr returns the client's UDP address when the connection was made.
func (c *ServerConn) RemoteAddr() net.Addr { return c.remote }

// ConnectionState returns what TLS negotiated. While HandshakeComplete is false, as it may be where there is early data, that
// is not all. It must not be changed.
func (c *ServerConn) ConnectionState() tls.ConnectionState {
	if state := c.controller.ConnectionState(); state != nil {
		return *state
	}
	return *c.tls
}

// Version returns the version of QUIC that was negotiated, zero while the handshake is not complete.
func (c *ServerConn) Version() quic.Version { return c.controller.Version() }

// Stats returns the connection's counters, after its end the last ones. It must not be called from ConnContext.
func (c *ServerConn) Stats() quic.Stats { return c.connection.Stats() }

// Engine returns the engine's handle of the connection, which has its audit, its paths, and a way into its step.
func (c *ServerConn) Engine() *engine.Connection { return c.connection }

// Done returns a channel that is closed when the connection has ended.
func (c *ServerConn) Done() <-chan struct{} { return c.connection.Done() }

// Err returns why the connection ended, nil while it lives.
func (c *ServerConn) Err() error { return c.controller.Err() }

// Close closes the connection at once; requests on it fail. It returns nil. To let a client finish its requests there is
// [Server.Shutdown].
func (c *ServerConn) Close() error { return c.controller.Close() }

// newConn makes the application of one connection, in the connection's step.
func (s *Server) newConn(base context.Context, info engine.ConnInfo) engine.ApplicationOverQUIC {
	c := &ServerConn{
		server:     s,
		connection: info.Connection,
		local:      net.UDPAddrFromAddrPort(info.Local),
		remote:     net.UDPAddrFromAddrPort(info.Remote),
		remoteName: info.Remote.String(),
		tls:        info.TLS,
	}
	driver := h3driver.NewServer(&h3driver.Config{
		H3:            s.h3Config(),
		OnEvent:       c.onEvent,
		HeaderTimeout: s.ReadHeaderTimeout,
		IdleTimeout:   s.IdleTimeout,

		FirstRequestTimeout: s.FirstRequestTimeout,
		MaxRequests:         s.MaxRequestsPerConn,
	})
	c.controller = driver.Controller()
	c.ctx = context.WithValue(base, http.LocalAddrContextKey, c.local)
	if s.ConnContext != nil {
		c.ctx = s.ConnContext(c.ctx, c)
	}
	return driver
}

func (s *Server) h3Config() *h3.Config {
	return &h3.Config{MaxFieldSectionSize: s.MaxHeaderBytes, ExtendedConnect: s.ExtendedConnect, NoDatagrams: noDatagrams(s.QUIC)}
}

// noDatagrams reports whether QUIC refuses datagrams: peers may take the offer of HTTP's alone for an error.
func noDatagrams(cfg *quic.Config) bool { return cfg != nil && cfg.MaxDatagramFrame < 0 }

// maxHandlers bounds the handlers that run for one connection. QUIC's limit of concurrent streams does not: a request
// that its client abandons makes room for another at once, though its handler may take its time to notice.
func (s *Server) maxHandlers() int32 {
	streams := quic.DefaultMaxStreams
	if s.QUIC != nil && s.QUIC.MaxBidiStreams != 0 {
		streams = s.QUIC.MaxBidiStreams
	}
	return 2 * int32(min(max(streams, 1), math.MaxInt32/2))
}

// fieldBuffer holds a copy of an event's fields on their way to the goroutine that wants them.
type fieldBuffer struct{ fields []h3.Field }

var fieldBuffers = sync.Pool{New: func() any { return new(fieldBuffer) }}

func copyFields(fields []h3.Field) *fieldBuffer {
	b := fieldBuffers.Get().(*fieldBuffer)
	b.fields = append(b.fields[:0], fields...)
	return b
}

func (b *fieldBuffer) free() {
	clear(b.fields)
	fieldBuffers.Put(b)
}

// onEvent runs in the connection's step.
func (c *ServerConn) onEvent(ev h3driver.Event) {
	if ev.Stream == nil {
		c.onHandshake(ev)
		return
	}
	x, _ := ev.Stream.Value.(*exchange)
	switch ev.Kind {
	case h3driver.EventHeaders:
		if c.running.Add(1) > c.server.maxHandlers() {
			c.running.Add(-1)
			ev.Stream.CancelRead(h3.RequestRejected)
			ev.Stream.CancelWrite(h3.RequestRejected)
			return
		}
		x = &exchange{conn: c, stream: ev.Stream, early: c.early}
		x.ctx.Context = c.ctx
		ev.Stream.Value = x
		x.fields, x.fin = copyFields(ev.Fields), ev.Fin
		c.controller.Go(x)
	case h3driver.EventReset, h3driver.EventStopSending, h3driver.EventStreamClosed:
		if x != nil {
			x.ctx.end(context.Canceled)
		}
	}
}
