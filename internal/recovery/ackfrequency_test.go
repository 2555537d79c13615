package recovery

import (
	"testing"
	"time"

	"github.com/dunlin-quic/dunlin/internal/wire"
)

// draft-ietf-quic-ack-frequency, Section 6.2.1: the tables of examples, and the special thresholds.
func TestAckReordering(t *testing.T) {
	for _, tt := range []struct {
		name       string
		reordering uint64
		arrive     []uint64
		acks       []uint64 // the packets upon which an ACK is sent
	}{
		{"threshold of 3", 3, []uint64{0, 1, 3, 4, 5, 8, 9, 10}, []uint64{5, 9, 10}},
		{"threshold of 5", 5, []uint64{0, 1, 3, 5, 6, 7, 8, 9}, []uint64{7, 9}},
		{"threshold of 1", 1, []uint64{0, 1, 3, 4, 2, 5}, []uint64{3, 2}},
		{"no threshold", 0, []uint64{0, 5, 3, 100, 1}, nil},
		{"too late", 3, []uint64{0, 1, 3, 4, 5, 2, 6}, []uint64{5, 2}},
		{"late, but not too late", 5, []uint64{0, 1, 3, 4, 2, 5}, nil},
	} {
		r := newReceiver(t, AppData)
		r.SetFrequency(wire.AckFrequencyFrame{Threshold: 1000, Reordering: tt.reordering, MaxAckDelay: 1e6})
		var acks []uint64
		for _, pn := range tt.arrive {
			r.add(pn)
			if r.AckDue(r.now) {
				acks = append(acks, pn)
				r.AppendAck(nil, r.now, 1000)
			}
		}
		if len(acks) != len(tt.acks) {
			t.Errorf("%s: ACKs upon %v, want %v", tt.name, acks, tt.acks)
			continue
		}
		for i := range acks {
			if acks[i] != tt.acks[i] {
				t.Errorf("%s: ACKs upon %v, want %v", tt.name, acks, tt.acks)
				break
			}
		}
	}
}

func TestAckThreshold(t *testing.T) {
	for _, threshold := range []uint64{0, 1, 2, 10, 1 << 62} {
		r := newReceiver(t, AppData)
		r.SetFrequency(wire.AckFrequencyFrame{Seq: 1, Threshold: threshold, Reordering: 3, MaxAckDelay: 100_000})
		for pn := range min(threshold, 100) {
			r.add(pn)
			if r.AckDue(r.now) {
				t.Fatalf("threshold %d: ACK upon packet %d", threshold, pn)
			}
		}
		if r.add(min(threshold, 100)); r.AckDue(r.now) != (threshold <= 100) {
			t.Errorf("threshold %d: ACK due %v", threshold, r.AckDue(r.now))
		}
		r.sendAck(0, min(threshold, 100))
		r.add(min(threshold, 100) + 1)
		if at := r.AckDeadline(); at != r.now.Add(100*time.Millisecond) {
			t.Errorf("ACK delayed until %v", at)
		}
	}
}

// Of ACK_FREQUENCY frames only the newest counts.
func TestAckFrequencyOrder(t *testing.T) {
	r := newReceiver(t, AppData)
	r.SetFrequency(wire.AckFrequencyFrame{Seq: 5, Threshold: 3, MaxAckDelay: 30_000})
	for _, seq := range []uint64{0, 4, 5} {
		r.SetFrequency(wire.AckFrequencyFrame{Seq: seq, Threshold: 0, MaxAckDelay: 1000})
	}
	if r.add(0); r.AckDue(r.now) || r.AckDeadline() != r.now.Add(30*time.Millisecond) {
		t.Error("an old frame was obeyed")
	}
	if r.SetFrequency(wire.AckFrequencyFrame{Seq: 6, MaxAckDelay: 1000}); !r.AckDue(r.now) {
		t.Error("the newest frame was not obeyed")
	}
}

func TestAckNow(t *testing.T) {
	r := newReceiver(t, AppData)
	r.SetFrequency(wire.AckFrequencyFrame{Threshold: 100, MaxAckDelay: 30_000})
	r.AckNow()
	if r.add(0); !r.AckDue(r.now) {
		t.Error("no ACK")
	}
}

// Section 6.3: the first of consecutive CE marks is reported at once.
func TestAckOfMarks(t *testing.T) {
	for _, tt := range []struct {
		threshold uint64
		want      [4]bool
	}{{10, [4]bool{true, false, false, true}}, {1, [4]bool{true, true, false, true}}} {
		r := newReceiver(t, AppData)
		r.SetFrequency(wire.AckFrequencyFrame{Threshold: tt.threshold, Reordering: 1, MaxAckDelay: 30_000})
		for pn, ecn := range []uint8{ecnCE, ecnCE, ecnECT0, ecnCE} {
			r.Add(r.now, uint64(pn), true, ecn)
			if due := r.AckDue(r.now); due != tt.want[pn] {
				t.Errorf("threshold %d, packet %d: ACK due %v", tt.threshold, pn, due)
			}
			r.AppendAck(nil, r.now, 1000)
		}
	}
}
