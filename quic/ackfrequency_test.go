package quic

import (
	"fmt"
	"testing"
	"time"

	"github.com/dunlin-quic/dunlin/internal/wire"
)

// Bulk data makes a sender that is told so ask for fewer acknowledgments, and nothing is lost by it.
func TestAckFrequency(t *testing.T) {
	for _, on := range []bool{false, true} {
		for _, side := range []Side{Client, Server} {
			t.Run(fmt.Sprintf("%v, %v sends", on, side), func(t *testing.T) {
				p := newTestPair(t, func(p *testPair) {
					p.cfg[side].AckFrequency = on
					// A link of a gigabit a second: each datagram arrives by itself.
					var free time.Time
					p.delayOf = func() time.Duration {
						if free.Before(p.now) {
							free = p.now
						}
						free = free.Add(12 * time.Microsecond)
						return free.Sub(p.now)
					}
				})
				p.establish()
				p.transfer(side, 2_000_000)
				p.transfer(side, 4_000_000)
				sender, receiver := p.conn[side], p.conn[side.Peer()]
				packets, acks := sender.Stats().PacketsSent, receiver.Stats().AckFramesSent
				asked := sender.ackFrequency != nil && sender.ackFrequency.wanted.Seq > 0
				if asked != on || on && acks > packets/4 || !on && acks < packets/3 {
					t.Errorf("asked %v, %d ACKs for %d packets", asked, acks, packets)
				}
				if s := sender.Stats(); s.PTOs > 0 || s.PacketsLost > 0 {
					t.Errorf("%d probe timeouts, %d packets lost", s.PTOs, s.PacketsLost)
				}
			})
		}
	}
}

// Until the peer is known to have an ACK_FREQUENCY frame, it may wait as long as before.
func TestAckFrequencyTimeout(t *testing.T) {
	p := newTestPair(t, func(p *testPair) { p.cfg[Client].AckFrequency = true })
	p.establish()
	c := p.conn[Client]
	q := c.ackFrequency
	for _, tt := range []struct {
		ask, during, after time.Duration
	}{{10 * time.Millisecond, ownMaxAckDelay, 10 * time.Millisecond}, {20 * time.Millisecond, 20 * time.Millisecond, 20 * time.Millisecond}} {
		q.wanted.Seq++
		q.wanted.Threshold, q.wanted.Reordering = 5, 3
		q.wanted.MaxAckDelay = uint64(tt.ask / time.Microsecond)
		q.due = true
		p.poll(Client)
		if got := c.rec.MaxAckDelay(); got != tt.during || !q.inFlight {
			t.Errorf("max_ack_delay %v while %v is asked for, want %v", got, tt.ask, tt.during)
		}
		p.run("the answer", func() bool { return !q.inFlight })
		if got := c.rec.MaxAckDelay(); got != tt.after {
			t.Errorf("max_ack_delay %v, want %v", got, tt.after)
		}
	}
	// A lost frame is replaced by a newer one.
	q.due = true
	p.poll(Client)
	p.link[Server] = nil
	seq := q.wanted.Seq
	p.run("another frame", func() bool { return q.wanted.Seq > seq && !q.inFlight && !q.due })
}

func TestBadAckFrequency(t *testing.T) {
	for side := range Side(2) {
		for _, delay := range []uint64{0, 999, 1 << 14 * 1000, 1 << 61} {
			s := newScript(t, side)
			s.receive(s.seal(wire.OneRTT, wire.AppendAckFrequency(nil, wire.AckFrequencyFrame{Seq: 1, MaxAckDelay: delay})))
			s.wantClosed(ProtocolViolation)
		}
		s := newScript(t, side)
		s.receive(s.seal(wire.OneRTT, wire.AppendAckFrequency(nil, wire.AckFrequencyFrame{Seq: 1, MaxAckDelay: 1<<14*1000 - 1})))
		s.wantOpen()
	}
}

// IMMEDIATE_ACK gets an answer at once.
func TestImmediateAck(t *testing.T) {
	for side := range Side(2) {
		s := newScript(t, side)
		s.sent()
		s.receive(s.seal(wire.OneRTT, wire.AppendAckFrequency(nil, wire.AckFrequencyFrame{Seq: 1, Threshold: 10, MaxAckDelay: 20_000})))
		if got := s.sent(); len(got) > 0 {
			t.Errorf("%v: sent %v", side, got)
		}
		s.receive(s.seal(wire.OneRTT, wire.AppendImmediateAck(nil)))
		if got := s.sent(); len(got) != 1 || got[0].typ != wire.FrameAck && got[0].typ != wire.FrameAckECN {
			t.Errorf("%v: sent %v, want an ACK", side, got)
		}
	}
}
