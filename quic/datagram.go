package quic

import (
	"encoding/binary"

	"github.com/dunlin-quic/dunlin/internal/protect"
	"github.com/dunlin-quic/dunlin/internal/recovery"
	"github.com/dunlin-quic/dunlin/internal/wire"
)

// The bounds of the queues of unreliable datagrams, in bytes. A sender that gets ahead of the network waits; what
// arrives while the application does not read is dropped.
const (
	maxDatagramsOut = 128 << 10
	maxDatagramsIn  = 256 << 10
)

// datagrams are the unreliable datagrams of a connection (RFC 9221).
type datagrams struct {
	in, out datagramQueue
	ownMax  int  // the longest DATAGRAM frame that we accept, 0 for none
	peerMax int  // the longest that the peer accepts, 0 for none
	blocked bool // TrySendDatagram has returned ErrWouldBlock
	told    bool // EventDatagramReceived was told, and not everything read since
}

func (d *datagrams) init(cfg *Config) { d.ownMax = cfg.MaxDatagramFrame }

// datagramQueue is a queue of byte strings in one buffer, each after its length.
type datagramQueue struct {
	buf  []byte
	head int
}

const datagramPrefix = 2

func (q *datagramQueue) empty() bool { return q.head == len(q.buf) }

// push appends a copy of p. It reports false if the queue would hold more than limit bytes.
func (q *datagramQueue) push(p []byte, limit int) bool {
	need := datagramPrefix + len(p)
	if len(q.buf)-q.head+need > limit {
		return false
	}
	if len(q.buf)+need > cap(q.buf) && q.head >= len(q.buf)/2 {
		q.buf = q.buf[:copy(q.buf, q.buf[q.head:])]
		q.head = 0
	}
	q.buf = binary.NativeEndian.AppendUint16(q.buf, uint16(len(p)))
	q.buf = append(q.buf, p...)
	return true
}

// peek returns the first datagram. The queue must not be empty.
func (q *datagramQueue) peek() []byte {
	n := int(binary.NativeEndian.Uint16(q.buf[q.head:]))
	return q.buf[q.head+datagramPrefix : q.head+datagramPrefix+n]
}

// drop removes the first datagram. Its bytes stay until the next push.
func (q *datagramQueue) drop() {
	q.head += datagramPrefix + int(binary.NativeEndian.Uint16(q.buf[q.head:]))
	if q.empty() {
		q.buf, q.head = q.buf[:0], 0
	}
}

// dropDatagrams drops the datagrams that wait to be sent.
func (c *Conn) dropDatagrams() {
	d := &c.datagrams
	for ; !d.out.empty(); d.out.drop() {
		c.stats.DatagramFramesDropped++
	}
	if d.blocked {
		d.blocked = false
		c.event(EventDatagramsWritable)
	}
}

// keepDatagrams is how many bytes a queue may always keep.
const keepDatagrams = 4 << 10

// slack reports whether shrink would give memory back.
func (d *datagrams) slack() bool { return d.in.slack() || d.out.slack() }

func (q *datagramQueue) slack() bool { return q.empty() && cap(q.buf) > keepDatagrams }

// shrink gives back what empty queues hold.
func (d *datagrams) shrink() {
	for _, q := range [...]*datagramQueue{&d.in, &d.out} {
		if q.slack() {
			*q = datagramQueue{}
		}
	}
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
	case !d.out.push(p, maxDatagramsOut):
		d.blocked = true
		return ErrWouldBlock
	}
	return nil
}

// TryReceiveDatagram returns the next unreliable datagram, valid until the next call on the connection; ErrWouldBlock if
// there is none, after which [EventDatagramReceived] tells of the next.
func (c *Conn) TryReceiveDatagram() ([]byte, error) {
	d := &c.datagrams
	if c.err != nil {
		return nil, c.err
	}
	if d.in.empty() {
		d.told = false
		return nil, ErrWouldBlock
	}
	p := d.in.peek()
	d.in.drop()
	return p, nil
}

// handleDatagram processes a DATAGRAM frame of size bytes.
func (c *Conn) handleDatagram(p []byte, size int) *TransportError {
	d := &c.datagrams
	// RFC 9221, Section 3.
	if size > d.ownMax {
		return transportError(ProtocolViolation, "DATAGRAM frame larger than allowed")
	}
	if !d.in.push(p, maxDatagramsIn) {
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
	for !q.empty() {
		p := q.peek()
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
		q.drop()
		if c.datagrams.blocked {
			c.datagrams.blocked = false
			c.event(EventDatagramsWritable)
		}
	}
}
