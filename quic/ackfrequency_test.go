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

// Where an acknowledgment is waited for, it is asked for without delay (draft-ietf-quic-ack-frequency, Sections 7 and 8.5):
// by probe timeouts, and by a client that moves.
func TestImmediateAckAsked(t *testing.T) {
	for _, on := range []bool{false, true} {
		want, other := wire.FramePing, wire.FrameImmediateAck
		if on {
			want, other = other, want
		}
		s := newScript(t, Client, func(p *testPair) { p.cfg[Client].AckFrequency = on })
		st, _ := s.c.OpenStream(Uni)
		st.TryWrite([]byte("lost"), false)
		s.sent()
		for probed := s.c.Stats().PTOs; s.c.Stats().PTOs == probed; {
			at, ok := s.c.NextTimeout()
			if !ok {
				t.Fatal("no probe timeout")
			}
			s.now = at
			s.c.HandleTimeout(s.now)
		}
		if got := find(s.sent(), wire.FrameImmediateAck); on != (len(got) > 0) {
			t.Errorf("negotiated %v: probes with %v", on, got)
		}

		if err := s.c.Migrate(s.now, movedAddr); err != nil {
			t.Fatal(err)
		}
		f := s.wantOne(s.sent(), wire.FramePathChallenge)
		data, _ := wire.ParsePathChallenge(f.b)
		s.receiveFrom(f.path, s.seal(wire.OneRTT, wire.AppendPathResponse(nil, data)))
		sent := s.sent()
		if got := s.wantOne(sent, want); got.path != f.path || len(find(sent, other)) > 0 {
			t.Errorf("negotiated %v: sent %v on %v", on, sent, got.path)
		}
	}
}

// What is asked of the peer is what the new path needs, as soon as that is in use.
func TestAckFrequencyAfterMigration(t *testing.T) {
	p := newTestPair(t, func(p *testPair) { p.cfg[Client].AckFrequency = true })
	p.establish()
	p.transfer(Client, 4_000_000)
	q := p.conn[Client].ackFrequency
	p.run("what was asked to arrive", func() bool { return !q.due && !q.inFlight })
	seq := q.wanted.Seq
	if q.wanted.Threshold <= 2 {
		t.Fatalf("threshold %d after much data", q.wanted.Threshold)
	}
	if err := p.conn[Client].Migrate(p.now, movedAddr); err != nil {
		t.Fatal(err)
	}
	p.run("migration", func() bool { return p.conn[Client].Path().Local == movedAddr })
	if !q.due && !q.inFlight || q.wanted.Seq == seq || q.wanted.Threshold != 1 {
		t.Errorf("after the move: %+v", *q)
	}
	p.transfer(Client, 100_000)
}
