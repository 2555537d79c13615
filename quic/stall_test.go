package quic

import (
	"testing"
	"time"

	"github.com/dunlin-quic/dunlin/internal/wire"
)

// TestSilenceAfterAcks: a client that has only acknowledged, and then hears nothing, asks once whether it is still found. A
// server does not, nor does a client that has received little.
func TestSilenceAfterAcks(t *testing.T) {
	for _, test := range []struct {
		side    Side
		packets int
		want    int
	}{
		{Client, 40, 1},
		{Client, 4, 0},
		{Server, 40, 0},
	} {
		s := newScript(t, test.side, func(p *testPair) { p.cfg[test.side].MaxPacketSize = -1 })
		s.sent()
		for range test.packets {
			s.send([]byte{byte(wire.FramePing)})
			s.sent()
		}
		pings := 0
		for range 5 {
			at, ok := s.c.NextTimeout()
			if !ok || at.Sub(s.now) > 5*time.Second {
				break
			}
			s.now = at
			s.c.HandleTimeout(at)
			pings += len(find(s.sent(), wire.FramePing))
		}
		if (pings > 0) != (test.want > 0) {
			t.Errorf("%v after %d packets: %d PING frames", test.side, test.packets, pings)
		}
	}
}
