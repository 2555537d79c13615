package udp

import (
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Conduit is a [Socket] without a socket: its owner gives it the datagrams that arrive, with Deliver, and is given those that are
// to be sent. So connections run behind a relay, over a device of one's own, or on datagrams that another process has read.
type Conduit struct {
	counters
	local netip.AddrPort
	caps  Capabilities
	send  func(Datagrams) error
	limit int

	mu      sync.Mutex
	arrived sync.Cond
	queue   []conduitMessage
	head    int // what is before it in queue was read
	bytes   int
	closed  atomic.Bool // written with mu held
}

// conduitMessage is a datagram, or several, that wait.
type conduitMessage struct {
	Message
	store []byte
}

// ConduitConfig configures a [Conduit].
type ConduitConfig struct {
	// Local is the address that peers are told of: by it connections know their paths. Required.
	Local netip.AddrPort
	// Send takes what is to be sent, and must not keep the memory. It is called by many goroutines. An error means that nothing
	// can be sent there at all. Required.
	Send func(Datagrams) error
	// Capabilities says what Send can do: with GSO it is given several segments at a time, with ECN marks are honoured, with
	// DontFragment datagrams are not fragmented on the way, so that larger ones can be tried. Default: nothing of it.
	Capabilities Capabilities
	// QueueBytes bounds the memory of the datagrams that wait to be read: the payload, and 256 bytes for each. Default 1 MiB; a
	// negative number sets no bound.
	QueueBytes int
}

const (
	defaultConduitBytes = 1 << 20
	conduitOverhead     = 256 // of each datagram that waits, however short: addresses, times, the allocator's rounding
)

// NewConduit returns a Conduit.
func NewConduit(cfg ConduitConfig) (*Conduit, error) {
	if !cfg.Local.IsValid() || cfg.Send == nil {
		return nil, fmt.Errorf("udp: a conduit needs a local address and a function that sends")
	}
	c := &Conduit{local: unmap(cfg.Local), caps: cfg.Capabilities, send: cfg.Send, limit: cfg.QueueBytes}
	if c.limit == 0 {
		c.limit = defaultConduitBytes
	}
	c.caps.GRO = true // in the hands of whoever delivers
	c.caps.PacketInfo = true
	c.caps.DropCounter = true
	c.arrived.L = &c.mu
	return c, nil
}

// Deliver takes a copy of a datagram that has arrived, or of several: its Buf[:N], SegmentSize, Remote, ECN, Forwarded, and if they are
// set Local and Received. It never blocks; it returns false if the queue is full or the conduit closed, and then the datagram is lost.
// It is safe from any goroutine.
func (c *Conduit) Deliver(m Message) bool {
	if m.N > MaxDatagram || m.N > len(m.Buf) {
		return false
	}
	if !m.Local.IsValid() {
		m.Local = c.local
	}
	if m.Received.IsZero() {
		m.Received = time.Now()
	}
	m.Remote, m.Local, m.Err = unmap(m.Remote), unmap(m.Local), nil
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed.Load() {
		return false
	}
	if c.limit >= 0 && c.bytes+m.N+conduitOverhead > c.limit {
		c.receiveDrops.Add(1)
		if c.observer != nil {
			c.observer.ReceiveDropped(1)
		}
		return false
	}
	c.bytes += m.N + conduitOverhead
	c.queue = append(c.queue, conduitMessage{m, append([]byte(nil), m.Buf[:m.N]...)})
	c.arrived.Signal()
	return true
}

// ReadBatch implements [Socket].
func (c *Conduit) ReadBatch(msgs []Message) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.head == len(c.queue) && !c.closed.Load() {
		c.arrived.Wait()
	}
	if c.closed.Load() {
		return 0, closedError("read")
	}
	waiting := c.queue[c.head:]
	n := min(len(msgs), len(waiting))
	for i, q := range waiting[:n] {
		m := &msgs[i]
		buf := m.Buf
		*m = q.Message
		m.Buf, m.N = buf, copy(buf, q.store)
		c.bytes -= len(q.store) + conduitOverhead
		c.datagramsReceived.Add(1)
	}
	clear(waiting[:n])
	if c.head += n; c.head >= len(c.queue)/2 { // so that each is moved once at most on average, however long the queue
		left := copy(c.queue, c.queue[c.head:])
		clear(c.queue[max(left, c.head):])
		c.queue, c.head = c.queue[:left], 0
	}
	c.reads.Add(1)
	return n, nil
}

// Send implements [Socket].
func (c *Conduit) Send(d Datagrams) error {
	if c.closed.Load() {
		return closedError("send")
	}
	if !d.Local.IsValid() {
		d.Local = c.local.Addr()
	}
	if c.caps.GSO || d.SegmentSize <= 0 {
		return c.sendOne(d)
	}
	for b, size := d.Buf, d.SegmentSize; len(b) > 0; b = b[len(d.Buf):] {
		d.Buf, d.SegmentSize = b[:min(size, len(b))], 0
		if err := c.sendOne(d); err != nil {
			return err
		}
	}
	return nil
}

func (c *Conduit) sendOne(d Datagrams) error {
	if err := c.send(d); err != nil {
		c.failed(failNoRoute)
		return fmt.Errorf("udp: send to %v: %w", d.Remote, err)
	}
	c.sends.Add(1)
	n := uint64(1)
	if d.SegmentSize > 0 {
		n = uint64((len(d.Buf) + d.SegmentSize - 1) / d.SegmentSize)
	}
	c.datagramsSent.Add(n)
	return nil
}

// LocalAddr implements [Socket].
func (c *Conduit) LocalAddr() netip.AddrPort { return c.local }

// Capabilities implements [Socket].
func (c *Conduit) Capabilities() Capabilities { return c.caps }

// Close implements [Socket]. What waits is thrown away.
func (c *Conduit) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed.Swap(true) {
		return closedError("close")
	}
	c.queue, c.head, c.bytes = nil, 0, 0
	c.arrived.Broadcast()
	return nil
}

var _ Socket = (*Conduit)(nil)
