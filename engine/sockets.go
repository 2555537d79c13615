package engine

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/dunlin-quic/dunlin/udp"
)

// AddSocket gives the endpoint another socket, which it owns from then on unless there is an error. Connections of clients
// can move there: see [Connection.Migrate]. All sockets of an endpoint lead to all of its connections.
func (e *Endpoint) AddSocket(s udp.Socket) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	old := e.routers()
	if e.refusing {
		return errEnded
	}
	if !s.Capabilities().DontFragment && old[0].sock.Capabilities().DontFragment {
		// The connections that there are look for larger packets: see quicConfig.
		return errors.New("engine: packets of the socket may be fragmented, those of the others may not")
	}
	r := newRouter(e, s)
	all := append(slices.Clone(old), r)
	e.sockets.Store(&all)
	if err := e.openDoors(e.listener); err != nil {
		r.turn.timer.Stop()
		e.sockets.Store(&old)
		return err
	}
	if e.started {
		e.startRouter(r)
	}
	return nil
}

// RemoveSocket closes the socket bound to local, unless it is the only one. Connections whose path in use it is find their
// packets lost until they move to another.
func (e *Endpoint) RemoveSocket(local netip.AddrPort) error {
	e.mu.Lock()
	all := slices.Clone(e.routers())
	i := slices.IndexFunc(all, func(r *router) bool { return r.local == local })
	if i < 0 || len(all) == 1 {
		e.mu.Unlock()
		return fmt.Errorf("engine: no socket at %v that can be removed", local)
	}
	r := all[i]
	all = slices.Delete(all, i, i+1)
	e.sockets.Store(&all)
	e.mu.Unlock()
	return r.close()
}

// close ends the router, and with it those of its goroutines that are in a step or a task once they come out of it. The timer
// ends by itself: until then it sees to it that a worker does not stay with a task.
func (r *router) close() error {
	if err := r.sock.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}
