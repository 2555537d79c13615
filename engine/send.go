package engine

import (
	"errors"
	"net"

	"github.com/dunlin-quic/dunlin/quic"
	"github.com/dunlin-quic/dunlin/udp"
)

// send sends datagrams on the socket that the last packets came in on, if that has their local address.
func (w *worker) send(t quic.Transmit, b []byte) {
	r := w.via
	if !r.has(t.Path.Local) {
		// A path that the connection keeps beside the one in use; or the last packet was not of its path, nor perhaps its peer's.
		if other := w.e.routerAt(t.Path.Local); other != nil {
			r = other
		} else if w.side == quic.Client {
			// The socket was removed. From another one it would be another path.
			w.e.counters.sendErrors.Add(1)
			return
		}
	}
	err := r.sock.Send(udp.Datagrams{
		Buf:         b,
		SegmentSize: t.SegmentSize,
		Local:       t.Path.Local.Addr(),
		Remote:      t.Path.Remote,
		ECN:         udp.ECN(t.ECN),
	})
	if err == nil {
		return
	}
	w.e.counters.sendErrors.Add(1)
	// A server's peer that can't be reached for a while may come back. A client that has heard nothing of its server will
	// not get there by trying again.
	if w.side == quic.Client && !w.established && !errors.Is(err, net.ErrClosed) {
		w.end(abandon, err)
	}
}
