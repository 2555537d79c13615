package quicnet

import (
	"context"
	"net"
	"sync/atomic"
	"time"

	"github.com/dunlin-quic/dunlin/engine"
	"github.com/dunlin-quic/dunlin/quic"
)

// ListenNet is Listen for protocols that want one byte stream per connection: its Accept returns a net.Conn, which is the
// first bidirectional stream that the client opens, for every connection. Further streams are refused. Close stops accepting
// and leaves alone the connections that Accept has returned; the sockets are closed with the last of them.
func ListenNet(cfg *ListenConfig, addresses ...string) (net.Listener, error) {
	l, err := listen(cfg, true, func(c *engine.ListenConfig) (*engine.Listener, error) {
		return engine.Listen(c, addresses...)
	})
	if err != nil {
		return nil, err
	}
	return netListener{l}, nil
}

// DialNet is Dial for such protocols: the net.Conn is the first stream of a connection of its own.
func DialNet(ctx context.Context, address string, cfg *DialConfig) (net.Conn, error) {
	driver := func() *Driver {
		d := NewDriver(nil)
		d.c.lone = &lone{stream: &Stream{c: &d.c, local: true}}
		d.ready = func(c *Conn) error {
			q, err := c.session.Conn().OpenStream(quic.Bidi)
			if err == nil {
				c.adopt(c.lone.stream, q)
			}
			return err
		}
		return d
	}
	c, err := dial(cfg, driver, func(c *engine.DialConfig) (*engine.Connection, error) {
		return engine.Dial(ctx, address, c)
	})
	if err != nil {
		return nil, err
	}
	return &netConn{c.lone.stream}, nil
}

const (
	// lingerTime is how long a connection outlives its only stream: the peer has acknowledged everything, but may not
	// have read it, and what is unread at the close is lost. A peer that has closes the connection itself.
	lingerTime = time.Second
	// orphanTime is how long a peer may take, after Close, to receive what was written.
	orphanTime = time.Minute
)

// lone is the only stream of a connection. Its fields but left belong to the connection's step.
type lone struct {
	stream  *Stream
	begun   bool
	over    time.Time   // when QUIC was done with the stream; zero while it is not
	left    atomic.Bool // the user has closed the net.Conn
	leaveAt time.Time   // when the connection is to be closed; zero while that is not known
}

// opened makes the first bidirectional stream of the peer the only one, and refuses others.
func (l *lone) opened(q *quic.Stream) {
	if l.begun || l.stream.local || q.ID().Dir() != quic.Bidi {
		q.StopSending(0)
		q.Reset(0)
		return
	}
	l.begun = true
	l.stream.c.adopt(l.stream, q)
	l.stream.service()
}

// leaves reports whether the connection is to be closed now.
func (l *lone) leaves(now time.Time) bool {
	if !l.left.Load() {
		return false
	}
	if l.leaveAt.IsZero() {
		l.leaveAt = now.Add(orphanTime)
	}
	switch {
	case !l.begun && !l.stream.local:
		l.leaveAt = now
	case !l.over.IsZero() && l.leaveAt.Sub(l.over) > lingerTime:
		l.leaveAt = l.over.Add(lingerTime)
	}
	return !now.Before(l.leaveAt)
}

// netConn is a connection with one stream as a net.Conn.
type netConn struct{ *Stream }

// Read implements net.Conn.
func (n *netConn) Read(p []byte) (int, error) {
	m, err := n.Stream.Read(p)
	return m, n.failure(err)
}

// Write implements net.Conn.
func (n *netConn) Write(p []byte) (int, error) {
	m, err := n.Stream.Write(p)
	return m, n.failure(err)
}

// failure returns net.ErrClosed for what fails after Close, which users of a net.Conn look for.
func (n *netConn) failure(err error) error {
	if err != nil && n.c.lone.left.Load() {
		return net.ErrClosed
	}
	return err
}

func (n *netConn) LocalAddr() net.Addr  { return n.c.LocalAddr() }
func (n *netConn) RemoteAddr() net.Addr { return n.c.RemoteAddr() }

// Close ends the stream in both directions (see Stream.Close). The connection follows by itself: when the peer has
// received everything and had a moment to read it.
func (n *netConn) Close() error {
	if n.c.lone.left.Swap(true) {
		return net.ErrClosed
	}
	err := n.Stream.Close()
	n.c.session.Wake()
	return err
}

// NetConn returns the connection under a net.Conn of DialNet or ListenNet, for what the net.Conn does not show; nil for
// another net.Conn.
func NetConn(c net.Conn) *Conn {
	if n, ok := c.(*netConn); ok {
		return n.c
	}
	return nil
}

type netListener struct{ l *Listener }

func (n netListener) Accept() (net.Conn, error) {
	c, err := n.l.Accept(context.Background())
	if err != nil {
		return nil, &net.OpError{Op: "accept", Net: "udp", Addr: n.Addr(), Err: err}
	}
	return &netConn{c.lone.stream}, nil
}

func (n netListener) Addr() net.Addr { return n.l.Addr() }

func (n netListener) Close() error {
	if !n.l.stop() {
		return net.ErrClosed
	}
	go n.l.l.Shutdown(context.Background())
	return nil
}
