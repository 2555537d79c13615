package quic

import (
	"fmt"
	"testing"
	"time"
)

// MaxDatagramLen follows the path up and down. Datagrams that wait, and that the path has become too small for, are dropped
// and counted; no other is.
func TestMaxDatagramLenFollowsThePath(t *testing.T) {
	for _, tt := range []struct {
		name  string
		side  Side
		leave func(p *testPair) // the path that takes large packets
		back  bool              // the next path takes them, too
	}{
		{"the client migrates", Client, func(p *testPair) {
			if err := p.conn[Client].Migrate(p.now, movedAddr); err != nil {
				p.t.Fatal(err)
			}
		}, true},
		{"the client has another address", Server, func(p *testPair) {
			p.rebind(reboundAddr)
			p.conn[Client].Ping()
		}, true},
		{"a black hole", Client, func(p *testPair) {
			p.filter = func(from Side, data []byte) bool { return from == Server || len(data) <= minDatagramSize }
		}, false},
		{"a black hole", Server, func(p *testPair) {
			p.filter = func(from Side, data []byte) bool { return from == Client || len(data) <= minDatagramSize }
		}, false},
	} {
		t.Run(fmt.Sprint(tt.name, ", ", tt.side), func(t *testing.T) {
			p := newTestPair(t)
			p.establish()
			c, peer := p.conn[tt.side], p.conn[tt.side.Peer()]
			first := c.MaxDatagramLen()
			p.transfer(tt.side, 500_000) // who sends nothing looks for nothing
			large := c.MaxDatagramLen()
			if grown := c.path.mtu.size - minDatagramSize; grown <= 0 || large != first+grown {
				t.Fatalf("datagrams of %d bytes, then of %d, while packets have grown by %d", first, large, grown)
			}
			tt.leave(p)
			queued := uint64(0)
			p.run("a path of small packets", func() bool {
				for c.TrySendDatagram(make([]byte, large)) == nil {
					queued++
				}
				return c.MaxDatagramLen() == first
			})
			if err := c.TrySendDatagram(make([]byte, large)); err != ErrDatagramTooLarge {
				t.Errorf("a datagram that is too large by now: %v", err)
			}
			p.idle(time.Second)
			for err := error(nil); err == nil; {
				_, err = peer.TryReceiveDatagram() // make room
			}
			for range 10 {
				if err := c.TrySendDatagram(make([]byte, first)); err != nil {
					t.Fatal(err)
				}
				queued++
			}
			p.idle(time.Second)
			s := c.Stats()
			if s.DatagramFramesDropped == 0 || s.DatagramFramesSent+s.DatagramFramesDropped != queued {
				t.Errorf("of %d datagrams, %d were sent and %d dropped", queued, s.DatagramFramesSent, s.DatagramFramesDropped)
			}
			for want := 10; want > 0; {
				b, err := peer.TryReceiveDatagram()
				if err != nil {
					t.Errorf("%d small datagrams are missing", want)
					break
				}
				if len(b) == first {
					want--
				}
			}
			p.transfer(tt.side, 500_000)
			if got := c.MaxDatagramLen(); tt.back && got != large || !tt.back && got != first {
				t.Errorf("datagrams of %d bytes at the end", got)
			}
		})
	}
}
