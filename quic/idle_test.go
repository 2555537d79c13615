package quic

import (
	"testing"
	"time"
	"unsafe"
)

// Idle connections are many: what each of them keeps is guarded. The sizes are those of the allocator's classes that the
// structs fill.
func TestIdleConnectionIsSmall(t *testing.T) {
	for _, s := range []struct {
		name       string
		size, want uintptr
	}{
		{"Conn", unsafe.Sizeof(Conn{}), 2688 - 8}, // the size class, less what the runtime puts before large objects
		{"bidirectional stream", unsafe.Sizeof(bidiStream{}), 512},
		{"stream to send on", unsafe.Sizeof(sendStream{}), 352},
		{"stream to receive on", unsafe.Sizeof(recvStream{}), 352},
	} {
		if s.size > s.want {
			t.Errorf("%s: %d bytes, want %d at most", s.name, s.size, s.want)
		}
	}

	p := newTestPair(t)
	p.establish()
	p.transfer(Client, 1<<20)
	p.transfer(Server, 1<<20)
	p.idle(5 * time.Second)
	for side, c := range p.conn {
		if c.hs != nil || c.tls != nil && Side(side) == Server {
			t.Errorf("%v keeps its handshake", Side(side))
		}
		if c.rec.Slack() || c.datagrams.slack() || !c.keys.Rested() || c.streams.sched != (streamScheduler{}) {
			t.Errorf("%v keeps memory that it does not need", Side(side))
		}
		if at := c.shrinkDeadline(); !at.IsZero() {
			t.Errorf("%v is going to wake up at %v to give memory back", Side(side), at)
		}
	}

	// And everything goes on, with the keys made again.
	for side := range p.conn {
		if !p.conn[side].InitiateKeyUpdate() {
			t.Fatalf("%v does not update its keys", Side(side))
		}
		p.transfer(Client, 1<<10)
		p.transfer(Server, 1<<10)
		p.idle(5 * time.Second)
	}
	for side, c := range p.conn {
		if got := c.Stats().KeyUpdates; got != 2 {
			t.Errorf("%v: %d key updates", Side(side), got)
		}
	}
}
