package quic

import (
	"github.com/dunlin-quic/dunlin/internal/monotime"
)

// The bounds of what is kept of packets that came before their keys: a server's whole first flight may be overtaken by
// what follows it (RFC 9000, Section 12.2; RFC 9001, Section 5.7).
const (
	maxAsidePackets = 16
	maxAsideBytes   = 20 << 10
)

// asidePackets are packets that can't be decrypted yet.
type asidePackets struct {
	packets []asidePacket
	bytes   int
}

// asidePacket is a packet, and what may follow it in its datagram.
type asidePacket struct {
	data     []byte
	path     Path
	ecn      ECN
	received monotime.Time
	size     int // of the datagram
}

// add copies the rest of a datagram that begins with a packet whose keys are missing. It reports false if there is no
// room.
func (a *asidePackets) add(d *datagramIn, data []byte) bool {
	if len(a.packets) >= maxAsidePackets || a.bytes+len(data) > maxAsideBytes {
		return false
	}
	a.packets = append(a.packets, asidePacket{append([]byte(nil), data...), d.addr, d.ecn, d.received, d.size})
	a.bytes += len(data)
	return true
}

// retryAside processes the packets that were put aside, now that there are new keys. Those for which there are none yet
// are put aside again.
func (c *Conn) retryAside() {
	if c.hs == nil || !c.hs.newKeys {
		return
	}
	c.hs.newKeys = false
	packets := c.hs.aside.packets
	c.hs.aside = asidePackets{}
	for _, p := range packets {
		if c.state != stateActive {
			return
		}
		d := datagramIn{addr: p.path, ecn: p.ecn, received: p.received, size: p.size, aside: true}
		c.receivePackets(&d, p.data)
	}
}
