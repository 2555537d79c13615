package engine

import (
	"sync"

	"github.com/dunlin-quic/dunlin/quic"
)

// packet is what one read from a socket brought for one connection: one datagram or several of one size. It owns the
// buffer that they lie in, so that nothing needs to be counted: whoever has the packet releases it.
type packet struct {
	next  *packet // in a mailbox
	in    quic.Inbound
	via   *router // whose socket it came in on
	store []byte  // one of packetSizes long; in.Data is a part of it
	class uint8
}

// packetSizes are the sizes of the buffers. A read takes the largest; what is small is copied into a smaller one, for a
// packet may wait in a mailbox, and then the whole of its buffer with it.
var packetSizes = [...]int{2 << 10, 16 << 10, 64 << 10}

const largestPacket = uint8(len(packetSizes) - 1)

var packetPools [len(packetSizes)]sync.Pool

// newPacket returns a packet with a buffer for at least size bytes, at most 64 KiB.
func newPacket(size int) *packet {
	class := uint8(0)
	for class < largestPacket && packetSizes[class] < size {
		class++
	}
	if p, ok := packetPools[class].Get().(*packet); ok {
		return p
	}
	return &packet{store: make([]byte, packetSizes[class]), class: class}
}

// release gives the packet back. Its Data must not be used any more.
func (p *packet) release() {
	p.next, p.via = nil, nil
	p.in = quic.Inbound{}
	packetPools[p.class].Put(p)
}

// sendBuffers holds the buffers that connections write their datagrams into for the time of a burst.
var sendBuffers = sync.Pool{New: func() any { return new([sendBufferSize]byte) }}

// sendBufferSize is what one GSO send can carry.
const sendBufferSize = 64 << 10
