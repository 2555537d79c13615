package quic

import (
	"github.com/dunlin-quic/dunlin/internal/bytequeue"
	"github.com/dunlin-quic/dunlin/internal/protect"
	"github.com/dunlin-quic/dunlin/internal/recovery"
	"github.com/dunlin-quic/dunlin/internal/wire"
	"github.com/dunlin-quic/dunlin/qlog"
)

// The bounds of the queues of unreliable datagrams, in bytes. A sender that gets ahead of the network waits; what
// arrives while the application does not read is dropped.
const (
	maxDatagramsOut = 128 << 10
	maxDatagramsIn  = 256 << 10
)

// datagrams are the unreliable datagrams of a connection (RFC 9221).
type datagrams struct {
	in, out bytequeue.Queue
	ownMax  int  // the longest DATAGRAM frame that we accept, 0 for none
	peerMax int  // the longest that the peer accepts, 0 for none
	blocked bool // TrySendDatagram has returned ErrWouldBlock
	told    bool // EventDatagramReceived was told, and not everything read since
}

func (d *datagrams) init(cfg *Config) { d.ownMax = cfg.MaxDatagramFrame }

// dropDatagrams drops the datagrams that wait to be sent.
func (c *Conn) dropDatagrams() {
	d := &c.datagrams
	for ; !d.out.Empty(); d.out.Drop() {
		c.stats.DatagramFramesDropped++
	}
	if d.blocked {
		d.blocked = false
		c.event(EventDatagramsWritable)
	}
}

// slack reports whether shrink would give memory back.
func (d *datagrams) slack() bool { return d.in.Slack() || d.out.Slack() }

// shrink gives back what empty queues hold.
func (d *datagrams) shrink() {
	d.in.Shrink()
	d.out.Shrink()
}

// MaxDatagramLen returns the length in bytes of the longest datagram that can be sent now, 0 if the peer accepts none. It grows
// with path MTU discovery, and shrinks if the path changes.
func (c *Conn) MaxDatagramLen() int {
	header := wire.ShortHeaderLen(c.path.dcid, 4)
	if c.sendsEarly() {
		header = wire.LongHeaderLen(wire.ZeroRTT, c.path.dcid, c.local.active[0].id, 0, 4)
	}
	frame := min(c.datagrams.peerMax, c.path.mtu.size-header-protect.Overhead)
	const frameHeader = 1 + 2 // type and length, of at most 2^14-1
	return max(frame-frameHeader, 0)
}

// TrySendDatagram queues a copy of p as an unreliable datagram (RFC 9221): it is sent once, when congestion control
// allows. ErrWouldBlock means that the queue is full; [EventDatagramsWritable] tells when it is not. ErrDatagramTooLarge
// and ErrDatagramUnsupported say what they say; other errors, that the connection has ended.
func (c *Conn) TrySendDatagram(p []byte) error {
	d := &c.datagrams
	switch {
	case c.err != nil:
		return c.err
	case d.peerMax == 0:
		return ErrDatagramUnsupported
	case len(p) > c.MaxDatagramLen():
		return ErrDatagramTooLarge
	case !d.out.Push(p, maxDatagramsOut):
		d.blocked = true
		return ErrWouldBlock
	}
	c.traceDatagram(qlog.Application, qlog.Transport, len(p))
	return nil
}

// TryReceiveDatagram returns the next unreliable datagram, valid until the next call on the connection; ErrWouldBlock if
// there is none, after which [EventDatagramReceived] tells of the next.
func (c *Conn) TryReceiveDatagram() ([]byte, error) {
	d := &c.datagrams
	if c.err != nil {
		return nil, c.err
	}
	if d.in.Empty() {
		d.told = false
		return nil, ErrWouldBlock
	}
	p := d.in.Peek()
	d.in.Drop()
	c.traceDatagram(qlog.Transport, qlog.Application, len(p))
	return p, nil
}

// handleDatagram processes a DATAGRAM frame of size bytes.
func (c *Conn) handleDatagram(p []byte, size int) *TransportError {
	d := &c.datagrams
	// RFC 9221, Section 3.
	if size > d.ownMax {
		return transportError(ProtocolViolation, "DATAGRAM frame larger than allowed")
	}
	if !d.in.Push(p, maxDatagramsIn) {
		c.stats.DatagramFramesDropped++
		return nil
	}
	c.stats.DatagramFramesReceived++
	if !d.told {
		d.told = true
		c.event(EventDatagramReceived)
	}
	return nil
}

// appendDatagrams writes DATAGRAM frames as long as they fit.
func (c *Conn) appendDatagrams(w *packetWriter) {
	q := &c.datagrams.out
	for !q.Empty() {
		p := q.Peek()
		if w.room() < wire.DatagramHeaderLen(len(p))+len(p) {
			if len(p) <= c.MaxDatagramLen() {
				return
			}
			// The path shrank after it was queued.
			c.stats.DatagramFramesDropped++
		} else {
			w.buf = wire.AppendDatagramHeader(w.buf, len(p))
			w.buf = append(w.buf, p...)
			w.record(recovery.Frame{Type: wire.FrameDatagram, Length: uint32(len(p))})
			c.stats.DatagramFramesSent++
		}
		q.Drop()
		if c.datagrams.blocked {
			c.datagrams.blocked = false
			c.event(EventDatagramsWritable)
		}
	}
}
