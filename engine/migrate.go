package engine

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/dunlin-quic/dunlin/quic"
)

var (
	// ErrPathFailed says that the peer did not answer on a path, or had no connection ID for it.
	ErrPathFailed = errors.New("engine: the peer does not answer on the path")
	// ErrMovedElsewhere says that a later call of Migrate took the place of one.
	ErrMovedElsewhere = errors.New("engine: the connection was moved elsewhere meanwhile")
)

// PathObserver is an optional interface of an [ApplicationOverQUIC] that wants to hear of paths: of those that the peer
// probes, that are validated or given up, and of the one that comes into use. OnPathEvent is called as ProcessReads is, before
// it. Other applications can wait for quic.EventPathChanged.
type PathObserver interface {
	// OnPathEvent is told each event about paths, in order. An error closes the connection.
	OnPathEvent(s *Session, e quic.PathEvent) error
}

// moves is what a worker keeps of paths. Most have none.
type moves struct {
	waiting []*move
	event   quic.PathEvent // that the application is being told
}

// move is a user that waits for a path.
type move struct {
	local   netip.AddrPort
	probe   bool // stay where we are
	started bool
	done    chan error
}

// Migrate moves a client's connection to the endpoint's socket bound to local (RFC 9000, Section 9), in the middle of
// whatever it is doing: see quic.Conn.Migrate. [Endpoint.AddSocket] opens the door to another network. It returns nil once the
// connection is there: the peer has answered on the new path. Otherwise the connection stays where it is, and the error is
// ErrPathFailed, ErrMovedElsewhere, quic.ErrNoMigration, or why the connection ended. If ctx ends first, Migrate returns its
// error, and the attempt goes on.
//
// Servers find a client that has moved by its connection IDs, on whichever of an endpoint's sockets its packets arrive.
func (c *Connection) Migrate(ctx context.Context, local netip.AddrPort) error {
	return c.await(ctx, &move{local: local})
}

// Probe finds out whether the peer can be reached from the endpoint's socket bound to local, and leaves the connection where
// it is: see quic.Conn.Probe. Errors are those of Migrate.
func (c *Connection) Probe(ctx context.Context, local netip.AddrPort) error {
	return c.await(ctx, &move{local: local, probe: true})
}

func (c *Connection) await(ctx context.Context, m *move) error {
	w := c.w
	if !slices.Contains(w.e.Addrs(), m.local) {
		return fmt.Errorf("engine: the endpoint has no socket at %v", m.local)
	}
	m.done = make(chan error, 1)
	if err := c.Do(func(*Session) { w.startMove(m) }); err != nil {
		return err
	}
	select {
	case err := <-m.done:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// startMove lets m wait for its path.
func (w *worker) startMove(m *move) {
	if w.moves == nil {
		w.moves = new(moves)
	}
	if !m.probe {
		w.moves.settle(func(other *move) (error, bool) { return ErrMovedElsewhere, !other.probe })
	}
	w.moves.waiting = append(w.moves.waiting, m)
	w.tryMoves()
}

// tryMoves begins what had to wait for the handshake to be confirmed, and ends what has come true or is not going to.
func (w *worker) tryMoves() {
	conn := w.conn
	w.moves.settle(func(m *move) (error, bool) {
		if !m.started {
			var err error
			if m.probe {
				err = conn.Probe(w.session.now, m.local)
			} else {
				err = conn.Migrate(w.session.now, m.local)
			}
			if err != nil {
				return err, err != quic.ErrNotConfirmed
			}
			m.started = true
		}
		switch {
		case conn.Err() != nil:
			return conn.Err(), true
		case m.probe:
			return pathState(conn, m.local)
		case conn.Path().Local == m.local:
			return nil, true
		}
		return ErrPathFailed, !conn.Migrating()
	})
	w.endpointEvents()
}

// pathState tells whether validation of the path from local has ended, and how.
func pathState(conn *quic.Conn, local netip.AddrPort) (err error, over bool) {
	for _, p := range conn.PathStats() {
		if p.Path.Local == local {
			if p.Validated {
				return nil, true
			}
			return ErrPathFailed, !p.Validating
		}
	}
	return ErrPathFailed, true
}

// settle ends what f says is over.
func (m *moves) settle(f func(*move) (err error, over bool)) {
	m.waiting = slices.DeleteFunc(m.waiting, func(one *move) bool {
		err, over := f(one)
		if over {
			one.done <- err
		}
		return over
	})
}

// pathEvents tells of paths those who want to know.
func (w *worker) pathEvents() {
	observer, _ := w.app.(PathObserver)
	for {
		e := w.conn.NextPathEvent()
		if e.Kind == quic.PathNone {
			break
		}
		if observer != nil && w.established {
			if w.moves == nil {
				w.moves = new(moves)
			}
			w.moves.event = e
			w.tell(pathEvent)
		}
	}
	if w.moves != nil && len(w.moves.waiting) > 0 {
		w.tryMoves()
	}
}
