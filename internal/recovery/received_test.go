package recovery

import (
	"testing"
	"time"

	"github.com/dunlin-quic/dunlin/internal/monotime"
	"github.com/dunlin-quic/dunlin/internal/wire"
)

// receiver is a Received on a clock of its own.
type receiver struct {
	Received
	t   *testing.T
	now monotime.Time
}

func newReceiver(t *testing.T, space Space) *receiver {
	r := &receiver{t: t, now: monotime.Time(time.Hour)}
	r.Init(space, 25*ms, 3)
	return r
}

func (r *receiver) add(numbers ...uint64) {
	for _, pn := range numbers {
		r.Add(r.now, pn, true, 0)
	}
}

// sendAck writes an ACK frame and checks its ranges, lowest and highest numbers in descending order.
func (r *receiver) sendAck(want ...uint64) wire.AckFrame {
	r.t.Helper()
	b := r.AppendAck(nil, r.now, 1000)
	f, n := wire.ParseAck(b, nil)
	if n != len(b) || n == 0 {
		r.t.Fatalf("ACK frame %x does not parse", b)
	}
	var got []uint64
	for _, v := range f.Ranges {
		got = append(got, v.Smallest, v.Largest)
	}
	if len(got) != len(want) {
		r.t.Fatalf("ACK of %v, want %v", got, want)
	}
	for i := range got {
		if got[i] != want[i] {
			r.t.Fatalf("ACK of %v, want %v", got, want)
		}
	}
	return f
}

// RFC 9000, Section 13.2.1 (MUST 1, 2, 4).
func TestAckPolicy(t *testing.T) {
	const elicits, plain = true, false
	type arrival struct {
		pn        uint64
		eliciting bool
		ecn       uint8
	}
	for _, test := range []struct {
		name     string
		space    Space
		arrivals []arrival
		due      bool          // at once
		deadline time.Duration // else; 0 is none
	}{
		{"one packet waits", AppData, []arrival{{0, elicits, 0}}, false, 25 * ms},
		{"the second does not", AppData, []arrival{{0, elicits, 0}, {1, elicits, 0}}, true, 25 * ms},
		{"ACKs are not acknowledged", AppData, []arrival{{0, plain, 0}, {1, plain, 0}, {2, plain, 0}}, false, 0},
		{"a gap", AppData, []arrival{{0, plain, 0}, {2, elicits, 0}}, true, 25 * ms},
		{"a gap before an ACK", AppData, []arrival{{0, elicits, 0}, {2, plain, 0}}, false, 25 * ms},
		{"a late packet", AppData, []arrival{{5, plain, 0}, {4, elicits, 0}}, true, 25 * ms},
		{"a congestion mark", AppData, []arrival{{0, elicits, ecnCE}}, true, 25 * ms},
		{"ECT(0)", AppData, []arrival{{0, elicits, ecnECT0}}, false, 25 * ms},
		{"Initial", Initial, []arrival{{0, elicits, 0}}, true, 25 * ms},
		{"Handshake", Handshake, []arrival{{0, elicits, 0}}, true, 25 * ms},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newReceiver(t, test.space)
			for _, a := range test.arrivals {
				r.Add(r.now, a.pn, a.eliciting, a.ecn)
			}
			if got := r.AckDue(r.now); got != test.due {
				t.Errorf("due at once: %v, want %v", got, test.due)
			}
			if got := r.AckPending(); got != (test.deadline != 0) {
				t.Errorf("pending: %v", got)
			}
			if test.deadline == 0 {
				if at := r.AckDeadline(); at != 0 {
					t.Errorf("deadline %v from now", at.Sub(r.now))
				}
				return
			}
			if at := r.AckDeadline(); at.Sub(r.now) != test.deadline {
				t.Errorf("deadline %v from now, want %v", at.Sub(r.now), test.deadline)
			}
			if !r.AckDue(r.now.Add(test.deadline)) {
				t.Error("not due at the deadline")
			}
			r.AppendAck(nil, r.now, 100)
			if r.AckPending() || r.AckDue(r.now.Add(time.Hour)) || r.AckDeadline() != 0 {
				t.Error("still due after an ACK was sent")
			}
		})
	}
}

// RFC 9000, Section 13.2.5 (MUST 1).
func TestAckDelay(t *testing.T) {
	r := newReceiver(t, AppData)
	r.add(3)
	r.now = r.now.Add(8 * ms)
	r.add(1) // late packets do not restart the clock: the delay is that of the largest
	r.now = r.now.Add(2 * ms)
	if f := r.sendAck(3, 3, 1, 1); f.DelayDuration(3) != 10*ms {
		t.Fatalf("ACK delay %v, want 10ms", f.DelayDuration(3))
	}
}

// RFC 9000, Section 13.4.1 (MUST 1).
func TestAckECNCounts(t *testing.T) {
	r := newReceiver(t, AppData)
	r.Add(r.now, 0, true, 0)
	if f := r.sendAck(0, 0); f.HasECN {
		t.Fatal("ECN counts without marks")
	}
	for pn, ecn := range []uint8{ecnECT0, ecnECT0, ecnCE, ecnECT1, ecnECT0, 0} {
		r.Add(r.now, uint64(pn+1), true, ecn)
	}
	if f := r.sendAck(0, 6); !f.HasECN || f.ECN != (wire.ECNCounts{ECT0: 3, ECT1: 1, CE: 1}) {
		t.Fatalf("ECN counts %+v", f.ECN)
	}
}

// RFC 9000, Section 12.3 (MUST 4).
func TestDuplicates(t *testing.T) {
	r := newReceiver(t, AppData)
	r.add(0, 1, 5)
	for pn, want := range []bool{true, true, false, false, false, true, false} {
		if got := r.Duplicate(uint64(pn)); got != want {
			t.Errorf("packet %d a duplicate: %v, want %v", pn, got, want)
		}
	}
}

// A packet that is refused is not acknowledged, nor taken when it comes again, and few of them are remembered.
func TestRefused(t *testing.T) {
	r := newReceiver(t, AppData)
	r.add(0, 1)
	for pn := uint64(3); pn < 10*maxReceivedRanges; pn += 2 {
		r.Refuse(pn)
		if !r.Duplicate(pn) || r.Duplicate(pn+1) || !r.Duplicate(3) || !r.Duplicate(1) {
			t.Fatalf("wrong idea of duplicates after packet %d was refused", pn)
		}
	}
	if r.refused.Len() != maxReceivedRanges || r.numbers.Len() != 1 || r.numbers.Contains(3) {
		t.Errorf("%d ranges refused, %d received", r.refused.Len(), r.numbers.Len())
	}
	if pn := uint64(10*maxReceivedRanges - 2); r.Duplicate(pn) {
		t.Error("the newest gap counts as received")
	}
}

// RFC 9000, Section 12.3 (MUST 4) and Section 13.2.3 (MUST 1, 2).
func TestReceivedIsBounded(t *testing.T) {
	r := newReceiver(t, AppData)
	for pn := uint64(0); pn < 10*maxReceivedRanges; pn += 2 {
		r.add(pn)
	}
	if n := r.numbers.Len(); n != maxReceivedRanges {
		t.Fatalf("%d ranges kept, want %d", n, maxReceivedRanges)
	}
	// What is forgotten counts as received: it could be a replay.
	if !r.Duplicate(1) || !r.Duplicate(2) || r.Duplicate(10*maxReceivedRanges-3) {
		t.Fatal("wrong idea of duplicates after ranges were forgotten")
	}
}

func TestAckFitsRoom(t *testing.T) {
	r := newReceiver(t, AppData)
	for pn := uint64(1000); pn < 1200; pn += 2 {
		r.add(pn)
	}
	if b := r.AppendAck(nil, r.now, 4); len(b) != 0 || !r.AckPending() {
		t.Fatalf("%d bytes of ACK in 4", len(b))
	}
	b := r.AppendAck(nil, r.now, 30)
	f, n := wire.ParseAck(b, nil)
	if n == 0 || n > 30 || f.Largest() != 1198 || len(f.Ranges) < 8 {
		t.Fatalf("%d bytes with %d ranges up to %d", n, len(f.Ranges), f.Largest())
	}
}

// RFC 9000, Section 13.2.3 (MUST 1, 2).
func TestAckOfAck(t *testing.T) {
	r := newReceiver(t, AppData)
	r.add(0, 1, 2, 5, 6, 9, 10)
	r.sendAck(9, 10, 5, 6, 0, 2)
	r.OnAckOfAck(5)
	r.sendAck(9, 10, 5, 6)
	r.add(11, 13)
	r.OnAckOfAck(10)
	r.sendAck(13, 13, 9, 11)
	r.OnAckOfAck(13)
	r.sendAck(13, 13)
	if !r.Duplicate(7) || r.Duplicate(14) {
		t.Fatal("wrong idea of duplicates after pruning")
	}
}

func TestReceivedAllocatesNothing(t *testing.T) {
	r := newReceiver(t, AppData)
	b := make([]byte, 0, 1200)
	pn := uint64(0)
	step := func() {
		for range 10 {
			pn += 1 + pn%7/6
			r.add(pn)
		}
		b = r.AppendAck(b[:0], r.now, cap(b))
		r.OnAckOfAck(max(pn, 100) - 100)
	}
	for range 100 {
		step()
	}
	if n := testing.AllocsPerRun(1000, step); n != 0 {
		t.Errorf("%v allocations per batch", n)
	}
}
