package quic

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/dunlin-quic/dunlin/internal/blocks"
)

// testLoan is memory lent to a stream. What is given back is overwritten at once: sent once more, it would show.
type testLoan struct {
	*testing.T
	data     []byte
	released int
}

func newLoan(t *testing.T, n int, seed byte) *testLoan {
	l := &testLoan{T: t, data: make([]byte, n)}
	for i := range l.data {
		l.data[i] = seed + byte(i)
	}
	return l
}

func (l *testLoan) Release() {
	if l.released++; l.released > 1 {
		l.Error("memory given back twice")
	}
	clear(l.data)
}

// mustLend lends all of l to s.
func (tt *tableTest) mustLend(s *Stream, l *testLoan, fin bool) {
	tt.Helper()
	if n, err := s.TryLend(l.data, fin, l); n != len(l.data) || err != nil {
		tt.Fatalf("TryLend: %d bytes, %v", n, err)
	}
}

func (tt *tableTest) wantReleased(l *testLoan, want bool) {
	tt.Helper()
	if (l.released == 1) != want {
		tt.Errorf("%d bytes are given back %d times, want %v", len(l.data), l.released, want)
	}
}

// Bytes lent and bytes copied are sent in the order of writing, and again where they were lost.
func TestLendBetweenWrites(t *testing.T) {
	tt := newTable(t, Client)
	s := tt.mustOpen(Uni)
	a, b := newLoan(t, 5000, 1), newLoan(t, 3000, 2)
	tt.mustWrite(s, "before", false)
	tt.mustLend(s, a, false)
	tt.mustWrite(s, "between", false)
	tt.mustLend(s, b, false)
	tt.mustWrite(s, "after", true)
	if held := heldBlocks(s); held > len(a.data)+len(b.data)+3*blocks.SmallSize {
		t.Errorf("%d bytes are held", held)
	}
	want := bytes.Join([][]byte{[]byte("before"), a.data, []byte("between"), b.data, []byte("after")}, nil)

	var first [][]sentFrame
	for tt.pending() {
		first = append(first, tt.packet(1200))
	}
	for _, p := range first {
		tt.lose(p)
	}
	got := make([]byte, len(want))
	end := 0
	for tt.pending() {
		p := tt.packet(1100)
		for _, f := range p {
			end += copy(got[f.stream.Offset:], f.stream.Data)
		}
		tt.wantReleased(a, end > 6+5000+1100)
		tt.ack(p)
		tt.wantReleased(a, end >= 6+5000)
		tt.wantReleased(b, end >= 6+5000+7+3000)
	}
	if !bytes.Equal(got, want) {
		t.Error("other bytes were sent than written")
	}
	tt.wantEvents("closed 2")
}

// However a stream ends, it gives back everything, once.
func TestLoansEnd(t *testing.T) {
	ends := []struct {
		name string
		end  func(tt *tableTest, s *Stream, sent [][]sentFrame)
	}{
		{"acknowledged", func(tt *tableTest, s *Stream, sent [][]sentFrame) {
			for i := range sent { // the last packet first
				tt.ack(sent[len(sent)-1-i])
			}
		}},
		{"Reset", func(tt *tableTest, s *Stream, sent [][]sentFrame) { s.Reset(7) }},
		{"STOP_SENDING", func(tt *tableTest, s *Stream, sent [][]sentFrame) { tt.must(tt.handleStopSending(uint64(s.ID()), 7)) }},
		{"connection closed", func(tt *tableTest, s *Stream, sent [][]sentFrame) { tt.close(ErrIdleTimeout) }},
		{"early data lost", func(tt *tableTest, s *Stream, sent [][]sentFrame) { tt.startOver(ErrEarlyDataRejected) }},
	}
	for _, end := range ends {
		for _, d := range []Dir{Bidi, Uni} {
			t.Run(fmt.Sprintf("%s/%v", end.name, d), func(t *testing.T) {
				tt := newTable(t, Client)
				s := tt.mustOpen(d)
				var loans []*testLoan
				for i := range 10 {
					l := newLoan(t, 2000+i, byte(i))
					loans = append(loans, l)
					tt.mustLend(s, l, i == 9)
				}
				var sent [][]sentFrame
				for tt.pending() {
					sent = append(sent, tt.packet(1200))
				}
				for _, l := range loans {
					tt.wantReleased(l, false)
				}
				end.end(tt, s, sent)
				for _, l := range loans {
					tt.wantReleased(l, true)
				}
				if n, err := s.TryLend(loans[0].data, false, loans[0]); n != 0 || err == nil {
					t.Errorf("TryLend after the end: %d bytes, %v", n, err)
				}
			})
		}
	}
}

func TestLendTakesWhatThereIsRoomFor(t *testing.T) {
	limits := tableLimits
	limits.uni = 3000
	tt := newTableWith(t, Client, tableConfig, limits)
	s := tt.mustOpen(Uni)
	l := newLoan(t, 5000, 1)
	if n, err := s.TryLend(l.data, true, l); n != 3000 || err != nil {
		t.Fatalf("TryLend: %d bytes, %v", n, err)
	}
	if n, err := s.TryLend(l.data[3000:], true, l); n != 0 || err != ErrWouldBlock {
		t.Fatalf("TryLend without room: %d bytes, %v", n, err)
	}
	tt.ack(tt.packet(1200))
	tt.ack(tt.packet(1200))
	tt.wantReleased(l, false)
	tt.ack(tt.packet(1200))
	tt.wantReleased(l, true)
}

// What is too short to be worth a chunk of its own is copied.
func TestShortLoansAreCopied(t *testing.T) {
	tt := newTable(t, Client)
	s := tt.mustOpen(Uni)
	for i := range 100 {
		l := newLoan(t, 100, byte(i))
		tt.mustLend(s, l, false)
		tt.wantReleased(l, true)
	}
	if held := heldBlocks(s); held > 10_000+2*blocks.LargeSize {
		t.Errorf("%d bytes are held for 10,000", held)
	}
	if _, err := s.TryLend(make([]byte, 100), false, nil); err != nil {
		t.Error(err)
	}
}

// A loan without an owner is for good.
func TestLendForGood(t *testing.T) {
	tt := newTable(t, Client)
	s := tt.mustOpen(Uni)
	data := newLoan(t, 5000, 1).data
	if n, err := s.TryLend(data, true, nil); n != len(data) || err != nil {
		t.Fatalf("TryLend: %d bytes, %v", n, err)
	}
	for tt.pending() {
		tt.ack(tt.packet(1200))
	}
	tt.wantEvents("closed 2")
}
