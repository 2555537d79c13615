package quic

import (
	"testing"
	"time"
)

// What both ends of a lossy transfer count fits together, and is the same once the connection has ended.
func TestStats(t *testing.T) {
	const size = 1 << 20
	for _, cc := range []CongestionControl{CUBIC, BBR} {
		lost, sent := 0, 0
		p := newTestPair(t, func(p *testPair) {
			p.cfg[Client].CongestionControl = cc
		})
		p.establish()
		p.filter = func(from Side, data []byte) bool {
			if from != Client || len(data) < minDatagramSize {
				return true
			}
			sent++
			if sent%50 == 0 {
				lost++
				return false
			}
			return true
		}
		p.transfer(Client, size)
		p.idle(time.Second)
		s, r := p.conn[Client].Stats(), p.conn[Server].Stats()
		if s.PacketsLost < uint64(lost) || s.PacketsLost-s.SpuriousLosses > uint64(lost) || s.BytesLost < s.PacketsLost*100 {
			t.Errorf("%d packets, %d bytes lost, %d spuriously; %d were", s.PacketsLost, s.BytesLost, s.SpuriousLosses, lost)
		}
		if s.StreamBytesSent != size || r.StreamBytesReceived != size {
			t.Errorf("%d bytes sent, %d received, want %d", s.StreamBytesSent, r.StreamBytesReceived, size)
		}
		if s.StreamBytesRetransmitted < uint64(lost)*1000 || s.PacketsRetransmitted < uint64(lost) {
			t.Errorf("%d bytes sent again in %d packets, %d were lost", s.StreamBytesRetransmitted, s.PacketsRetransmitted, lost)
		}
		if r.StreamBytesRetransmitted != 0 || r.DatagramsReceived != s.DatagramsSent-uint64(lost) {
			t.Errorf("the receiver counts %d bytes sent again, %d datagrams", r.StreamBytesRetransmitted, r.DatagramsReceived)
		}
		if s.BytesInFlight != 0 || s.BytesAcked+s.BytesLost < s.BytesSent*99/100 || s.BytesAcked > s.BytesSent {
			t.Errorf("%d of %d bytes acknowledged, %d lost, %d in flight", s.BytesAcked, s.BytesSent, s.BytesLost, s.BytesInFlight)
		}
		if s.MaxBytesInFlight < 10*1200 || s.MaxBytesInFlight > size {
			t.Errorf("at most %d bytes in flight", s.MaxBytesInFlight)
		}
		if s.MinRTT < 20*time.Millisecond || s.LatestRTT < s.MinRTT || s.MaxRTT < s.LatestRTT {
			t.Errorf("RTT between %v and %v, latest %v", s.MinRTT, s.MaxRTT, s.LatestRTT)
		}
		if (s.DeliveryRate > 0) != (cc == BBR) {
			t.Errorf("delivery rate %d with controller %d", s.DeliveryRate, cc)
		}
		p.conn[Client].Close(p.now, nil)
		if after := p.conn[Client].Stats(); after.StreamBytesRetransmitted != s.StreamBytesRetransmitted ||
			after.MaxRTT != s.MaxRTT || after.PacketsLost != s.PacketsLost {
			t.Error("counters are gone with the connection")
		}
	}
}

// Each side counts the streams that it gives up and those that the other does, and the frames that say what is blocked.
func TestStatsOfStreams(t *testing.T) {
	for _, side := range []Side{Client, Server} {
		p := newTestPair(t, func(p *testPair) {
			for s := range p.cfg {
				p.cfg[s].StreamWindow, p.cfg[s].MaxStreamWindow = 4<<10, 4<<10
				p.cfg[s].ConnWindow, p.cfg[s].MaxConnWindow = 6<<10, 6<<10
				p.cfg[s].MaxUniStreams = 2
			}
		})
		p.establish()
		c, peer := p.conn[side], p.conn[side.Peer()]
		a, err := c.OpenStream(Uni)
		if err != nil {
			t.Fatal(err)
		}
		b, err := c.OpenStream(Uni)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.OpenStream(Uni); err != ErrStreamLimit {
			t.Fatalf("a third stream: %v", err)
		}
		a.TryWrite(make([]byte, 8<<10), false) // up to the stream's limit
		p.idle(time.Second)
		b.TryWrite(make([]byte, 8<<10), false) // up to the connection's
		p.idle(time.Second)
		a.Reset(7)
		if s := peer.streams.get(b.ID()); s == nil {
			t.Fatal("the peer has no second stream")
		} else {
			s.StopSending(8)
		}
		p.idle(time.Second)

		s, r := c.Stats(), peer.Stats()
		for _, n := range []struct {
			what      string
			got, want uint64
		}{
			{"streams reset", s.StreamsReset, 2},
			{"streams reset by peer", r.StreamsResetByPeer, 2},
			{"streams stopped", r.StreamsStopped, 1},
			{"streams stopped by peer", s.StreamsStoppedByPeer, 1},
			{"DATA_BLOCKED sent", s.DataBlockedSent, 1},
			{"DATA_BLOCKED received", r.DataBlockedReceived, 1},
			{"STREAM_DATA_BLOCKED sent", s.StreamDataBlockedSent, 1},
			{"STREAM_DATA_BLOCKED received", r.StreamDataBlockedReceived, 1},
			{"STREAMS_BLOCKED sent", s.StreamsBlockedSent, 1},
			{"STREAMS_BLOCKED received", r.StreamsBlockedReceived, 1},
			{"streams reset by the other", r.StreamsReset + s.StreamsResetByPeer + s.StreamsStopped + r.StreamsStoppedByPeer, 0},
		} {
			if n.got != n.want {
				t.Errorf("%v: %s: %d, want %d", side, n.what, n.got, n.want)
			}
		}
	}
}
