package quicnet

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/dunlin-quic/dunlin/engine"
	"github.com/dunlin-quic/dunlin/internal/blocking"
	"github.com/dunlin-quic/dunlin/quic"
)

// Conn is a QUIC connection. Its methods are safe from any goroutine.
type Conn struct {
	session *engine.Session // set before anyone has the Conn
	tls     *tls.ConnectionState
	version quic.Version
	done    chan struct{} // closed when the connection has ended and err is set

	// Owned by the connection's step.
	live map[*Stream]struct{}
	lone *lone // the only stream, if the connection is the net.Conn view of it

	mu           sync.Mutex // guards what follows; held for short, also by the step
	ready        []*Stream  // have something for the step to do, each once
	spare        []*Stream  // the other half of a double buffer
	arrived      [2][]*Stream
	arrival      [2]blocking.Gate // the peer opened a stream
	streams      [2]blocking.Gate // the peer allows more streams
	datagrams    blocking.Gate    // a datagram has arrived
	datagramRoom blocking.Gate    // QUIC's queue has room for datagrams again
	err          error            // why the connection ended
}

// LocalAddr returns the address of this side, a *net.UDPAddr.
func (c *Conn) LocalAddr() net.Addr {
	return net.UDPAddrFromAddrPort(c.session.Connection().LocalAddr())
}

// RemoteAddr returns the address of the peer when the connection was made, a *net.UDPAddr.
func (c *Conn) RemoteAddr() net.Addr {
	return net.UDPAddrFromAddrPort(c.session.Connection().RemoteAddr())
}

// ConnectionState returns what TLS negotiated. It must not be changed.
func (c *Conn) ConnectionState() tls.ConnectionState { return *c.tls }

// Version returns the version of QUIC that was negotiated.
func (c *Conn) Version() quic.Version { return c.version }

// Stats returns the connection's counters, after its end the last ones.
func (c *Conn) Stats() quic.Stats { return c.session.Connection().Stats() }

// Engine returns the engine's handle of the connection.
func (c *Conn) Engine() *engine.Connection { return c.session.Connection() }

// Done returns a channel that is closed when the connection has ended.
func (c *Conn) Done() <-chan struct{} { return c.done }

// Err returns why the connection ended, nil before: a *quic.ApplicationError or *quic.TransportError of either side, one
// of package quic's timeouts, or net.ErrClosed, which all of them match.
func (c *Conn) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Close is CloseWithError with the CloseError of the connection's config, which by default is code 0 without a reason.
func (c *Conn) Close() error { return c.session.Connection().Close() }

// CloseWithError closes the connection at once: what is not sent yet is not sent, and the peer, who is told the
// application's code (at most 2^62-1) and a reason, may throw away what it has not read. Protocols therefore close a
// connection when both sides know that everything has arrived. It returns nil; Done tells when the connection has ended.
func (c *Conn) CloseWithError(code uint64, reason string) error {
	return c.session.Connection().CloseWithError(code, reason)
}

// OpenStream opens a bidirectional stream. While the peer allows no further one it waits, until ctx ends. The peer hears
// of the stream with its first byte, its end, or the first Read here, whatever comes first.
func (c *Conn) OpenStream(ctx context.Context) (*Stream, error) { return c.open(ctx, quic.Bidi) }

// OpenUniStream opens a stream for writing only. While the peer allows no further one it waits, until ctx ends. The peer
// hears of the stream with its first byte or its end.
func (c *Conn) OpenUniStream(ctx context.Context) (*Stream, error) { return c.open(ctx, quic.Uni) }

func (c *Conn) open(ctx context.Context, dir quic.Dir) (*Stream, error) {
	for {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		s := &Stream{c: c, local: true}
		var wait <-chan struct{}
		var err error
		if gone := c.do(func(conn *quic.Conn) {
			var q *quic.Stream
			if q, err = conn.OpenStream(dir); err == nil {
				c.adopt(s, q)
			} else if errors.Is(err, quic.ErrStreamLimit) {
				c.mu.Lock()
				wait = c.streams[dir].Opening()
				c.mu.Unlock()
			}
		}); gone != nil {
			return nil, gone
		}
		switch {
		case err == nil:
			return s, nil
		case wait == nil:
			return nil, err
		}
		if err := blocking.Await(ctx, wait); err != nil {
			return nil, err
		}
	}
}

// do runs f in the connection's step, or returns why the connection has ended.
func (c *Conn) do(f func(*quic.Conn)) error {
	if c.session.Connection().Do(func(s *engine.Session) { f(s.Conn()) }) == nil {
		return nil
	}
	<-c.done
	return c.Err()
}

// AcceptStream returns the next bidirectional stream that the peer has opened. It waits for it, until ctx ends.
func (c *Conn) AcceptStream(ctx context.Context) (*Stream, error) { return c.accept(ctx, quic.Bidi) }

// AcceptUniStream returns the next stream that the peer has opened for writing only. It waits for it, until ctx ends.
func (c *Conn) AcceptUniStream(ctx context.Context) (*Stream, error) { return c.accept(ctx, quic.Uni) }

func (c *Conn) accept(ctx context.Context, dir quic.Dir) (*Stream, error) {
	for {
		c.mu.Lock()
		if line := c.arrived[dir]; len(line) > 0 {
			s := line[0]
			line[0] = nil
			c.arrived[dir] = line[1:]
			c.mu.Unlock()
			return s, nil
		}
		err, arrival := c.err, c.arrival[dir].Opening()
		c.mu.Unlock()
		if err == nil {
			err = blocking.Await(ctx, arrival)
		}
		if err != nil {
			return nil, err
		}
	}
}

// SendDatagram sends p as an unreliable datagram (RFC 9221): once, when congestion control allows, and not again if it is
// lost. While QUIC's queue of datagrams is full it waits, until ctx ends. It returns quic.ErrDatagramTooLarge if p is longer
// than MaxDatagramLen, quic.ErrDatagramUnsupported if the peer wants none. p is copied.
func (c *Conn) SendDatagram(ctx context.Context, p []byte) error {
	return c.tryDatagram(ctx, &c.datagramRoom, func(conn *quic.Conn) error { return conn.TrySendDatagram(p) })
}

// ReceiveDatagram copies the next datagram to p and returns its length. It waits for one, until ctx ends. A datagram longer
// than p is lost, and the error io.ErrShortBuffer.
func (c *Conn) ReceiveDatagram(ctx context.Context, p []byte) (n int, err error) {
	err = c.tryDatagram(ctx, &c.datagrams, func(conn *quic.Conn) error {
		d, err := conn.TryReceiveDatagram()
		if n = copy(p, d); n < len(d) {
			return io.ErrShortBuffer
		}
		return err
	})
	return n, err
}

func (c *Conn) tryDatagram(ctx context.Context, g *blocking.Gate, try func(*quic.Conn) error) error {
	return blocking.Retry(ctx, c.do, &c.mu, g, quic.ErrWouldBlock, try)
}

// MaxDatagramLen returns the length of the longest datagram that SendDatagram takes now, 0 if the peer wants none. It
// changes with the path.
func (c *Conn) MaxDatagramLen() (n int) {
	c.do(func(conn *quic.Conn) { n = conn.MaxDatagramLen() })
	return n
}

// adopt makes s the user's side of q: in the step.
func (c *Conn) adopt(s *Stream, q *quic.Stream) {
	s.mu.Lock() // whoever has a net.Conn may have begun to use it
	s.q, s.id = q, q.ID()
	q.Value = s
	switch {
	case s.id.Dir() == quic.Bidi:
	case s.local:
		s.in.Err = quic.ErrDirection
	default:
		s.out.err = quic.ErrDirection
	}
	s.in.More = s.in.Err == nil
	s.mu.Unlock()
	if c.live == nil {
		c.live = make(map[*Stream]struct{})
	}
	c.live[s] = struct{}{}
}

// opened puts a stream of the peer in the line of those to be accepted. The peer's stream limit bounds the line, because a
// stream counts until it is over.
func (c *Conn) opened(q *quic.Stream) {
	if c.lone != nil {
		c.lone.opened(q)
		return
	}
	s := &Stream{c: c}
	c.adopt(s, q)
	dir := q.ID().Dir()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.arrived[dir] = append(c.arrived[dir], s)
	c.arrival[dir].Open()
}

// gone takes leave of a stream that is over. One that nobody has accepted will not be.
func (c *Conn) gone(s *Stream, now time.Time) {
	delete(c.live, s)
	c.mu.Lock()
	line := &c.arrived[s.id.Dir()]
	if i := slices.Index(*line, s); i >= 0 {
		*line = slices.Delete(*line, i, i+1)
	}
	c.mu.Unlock()
	s.over()
	if c.lone != nil {
		c.lone.over = now
	}
}

// end fails everything because the connection ended.
func (c *Conn) end(err error) {
	c.mu.Lock()
	c.err = err
	c.ready = nil
	for dir := range 2 {
		c.arrived[dir] = nil
		c.arrival[dir].Open()
		c.streams[dir].Open()
	}
	c.datagrams.Open()
	c.datagramRoom.Open()
	c.mu.Unlock()
	if c.lone != nil {
		c.lone.stream.close(err, err)
	}
	for s := range c.live {
		s.close(err, err)
	}
	c.live = nil
	close(c.done)
}

// kick leaves s for the next step and runs that in the calling goroutine if the connection is idle. The caller holds no
// lock.
func (c *Conn) kick(s *Stream) {
	if c.enqueue(s) {
		c.session.Flush()
	}
}

// enqueue leaves s for the next step, which the caller schedules if enqueue returns true.
func (c *Conn) enqueue(s *Stream) bool {
	if s.queued.Swap(true) {
		return true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.ready = append(c.ready, s)
	}
	return c.err == nil
}
