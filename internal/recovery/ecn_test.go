package recovery

import (
	"testing"

	"github.com/dunlin-quic/dunlin/internal/wire"
)

func (s *sender) ackECN(largest uint64, c *wire.ECNCounts) {
	s.t.Helper()
	f := wire.AckFrame{Ranges: []wire.AckRange{{Smallest: 0, Largest: largest}}}
	if c != nil {
		f.HasECN, f.ECN = true, *c
	}
	if err := s.OnAck(s.now, s.now, AppData, &f, s); err != nil {
		s.t.Fatal(err)
	}
}

// RFC 9000, Section 13.4.2.2 (MUST 1, 2).
func TestECNValidation(t *testing.T) {
	type counts = wire.ECNCounts
	for _, test := range []struct {
		name string
		acks []*counts // for packets 0 to 1, then 0 to 3, and so on
		ok   bool
	}{
		{"reported", []*counts{{ECT0: 2}, {ECT0: 4}}, true},
		{"congestion", []*counts{{ECT0: 2}, {ECT0: 3, CE: 1}}, true},
		{"not reported", []*counts{nil}, false},
		{"no longer reported", []*counts{{ECT0: 2}, nil}, false},
		{"too few", []*counts{{ECT0: 2}, {ECT0: 3}}, false},
		{"too many", []*counts{{ECT0: 7}}, false},
		{"going back", []*counts{{ECT0: 2}, {ECT0: 1, CE: 3}}, false},
		{"turned into ECT(1)", []*counts{{ECT1: 2}}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := confirmed(t)
			for i, c := range test.acks {
				s.send(AppData, data|ECT0)
				s.send(AppData, data|ECT0)
				s.wait(10 * ms)
				s.ackECN(uint64(2*i+1), c)
			}
			if s.MarkECT0() != test.ok {
				t.Errorf("packets marked afterwards: %v, want %v", s.MarkECT0(), test.ok)
			}
		})
	}
}

// RFC 9000, Section 13.4.2.1 (MUST 1).
func TestECNReorderedAcks(t *testing.T) {
	s := confirmed(t)
	for range 4 {
		s.send(AppData, data|ECT0)
	}
	s.ackECN(3, &wire.ECNCounts{ECT0: 4})
	s.ackECN(1, &wire.ECNCounts{ECT0: 2})
	if !s.MarkECT0() {
		t.Error("an older ACK failed the validation")
	}
	// Nor if it brings news.
	for range 4 {
		s.send(AppData, data|ECT0)
	}
	newer := wire.AckFrame{Ranges: []wire.AckRange{{Smallest: 6, Largest: 7}}, HasECN: true, ECN: wire.ECNCounts{ECT0: 8}}
	if err := s.OnAck(s.now, s.now, AppData, &newer, s); err != nil {
		t.Fatal(err)
	}
	s.ackECN(5, &wire.ECNCounts{ECT0: 6})
	if !s.MarkECT0() {
		t.Error("an older ACK of other packets failed the validation")
	}
}

// RFC 9000, Section 13.4.2.2 (MUST 1).
func TestECNTestEnds(t *testing.T) {
	s := confirmed(t)
	for range ecnTestPackets {
		if !s.MarkECT0() {
			t.Fatal("not marked during the test")
		}
		s.send(AppData, data|ECT0)
	}
	if s.MarkECT0() {
		t.Fatal("marked further before the test's result")
	}
	// Everything that was marked is lost, what was not gets through: the path drops marked packets.
	s.send(AppData, data)
	s.wait(2000 * ms)
	s.ack(AppData, 0, 10, 10)
	s.expire()
	if s.ecn.state != ecnFailed {
		t.Fatal("a path that drops marked packets passed")
	}
	s.ResetPath(s.cc, 1200)
	if !s.MarkECT0() {
		t.Fatal("a new path is not tested")
	}
}

// RFC 9002, Section 7.3.1 (MUST 1).
func TestCongestionMarkIsCongestion(t *testing.T) {
	s := confirmed(t)
	window := s.Cwnd()
	for range 4 {
		s.send(AppData, data|ECT0)
	}
	s.wait(10 * ms)
	s.ackECN(1, &wire.ECNCounts{ECT0: 1, CE: 1})
	if s.Cwnd() != window/2 {
		t.Fatalf("window %d after a congestion mark, want %d", s.Cwnd(), window/2)
	}
	// Once per round trip.
	s.ackECN(3, &wire.ECNCounts{ECT0: 1, CE: 3})
	if s.Cwnd() != window/2 {
		t.Fatalf("window %d after marks within one round trip, want %d", s.Cwnd(), window/2)
	}
}

func TestECNTestEndsByTimeouts(t *testing.T) {
	s := confirmed(t)
	s.send(AppData, data|ECT0)
	for range ecnTestPTOs {
		if !s.MarkECT0() {
			t.Fatal("gave up too early")
		}
		s.expire()
		s.send(AppData, data)
	}
	if s.MarkECT0() {
		t.Fatal("still marked when nothing marked gets through")
	}
	// What fails stays failed on this path.
	s.ackECN(s.NextPN(AppData)-1, &wire.ECNCounts{ECT0: 1})
	if s.MarkECT0() {
		t.Fatal("marked again after the test failed")
	}
}
