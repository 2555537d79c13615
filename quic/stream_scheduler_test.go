package quic

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// sendOrder returns the streams of the next n packets' first frames.
func (tt *tableTest) sendOrder(n int) (order []uint64) {
	tt.Helper()
	for range n {
		frames := tt.packet(1200)
		if len(frames) == 0 {
			return order
		}
		order = append(order, frames[0].stream.ID)
	}
	return order
}

// openWith opens unidirectional streams with data that fills three packets each.
func (tt *tableTest) openWith(priorities ...priority) (streams []*Stream) {
	tt.Helper()
	for _, p := range priorities {
		s := tt.mustOpen(Uni)
		s.SetPriority(p.urgency, p.incremental)
		tt.mustWrite(s, strings.Repeat("x", 1198+1196+1196), true)
		streams = append(streams, s)
	}
	return streams
}

type priority struct {
	urgency     uint8
	incremental bool
}

// RFC 9218, Section 10, for streams 2, 6, 10 and so on, of three packets each.
func TestPriorities(t *testing.T) {
	for _, c := range []struct {
		name       string
		priorities []priority
		want       []uint64
	}{
		{"incremental streams take turns", []priority{{3, true}, {3, true}, {3, true}},
			[]uint64{2, 6, 10, 2, 6, 10, 2, 6, 10}},
		{"others go in order of ID", []priority{{3, false}, {3, false}, {3, false}},
			[]uint64{2, 2, 2, 6, 6, 6, 10, 10, 10}},
		{"the most urgent first", []priority{{7, false}, {0, false}, {3, true}},
			[]uint64{6, 6, 6, 10, 10, 10, 2, 2, 2}},
		{"urgency goes before being incremental", []priority{{1, true}, {0, false}, {1, true}, {0, false}},
			[]uint64{6, 6, 6, 14, 14, 14, 2, 10, 2, 10, 2, 10}},
		{"both kinds share a level", []priority{{3, false}, {3, true}, {3, false}},
			[]uint64{6, 2, 6, 2, 6, 2, 10, 10, 10}},
		{"too high counts as 7", []priority{{200, false}, {7, false}, {6, true}},
			[]uint64{10, 10, 10, 2, 2, 2, 6, 6, 6}},
	} {
		t.Run(c.name, func(t *testing.T) {
			tt := newTable(t, Client)
			tt.openWith(c.priorities...)
			if got := tt.sendOrder(50); !slices.Equal(got, c.want) {
				t.Errorf("sent %v, want %v", got, c.want)
			}
			tt.wantPacket("")
		})
	}
}

func TestDefaultPriority(t *testing.T) {
	tt := newTable(t, Client)
	a, b := tt.mustOpen(Uni), tt.mustOpen(Uni)
	tt.mustWrite(a, strings.Repeat("x", 3000), false)
	tt.mustWrite(b, strings.Repeat("x", 3000), false)
	if got := tt.sendOrder(4); !slices.Equal(got, []uint64{2, 6, 2, 6}) {
		t.Errorf("sent %v: new streams should take turns", got)
	}
	c, d := tt.mustOpen(Uni), tt.mustOpen(Uni)
	c.SetPriority(2, false)
	d.SetPriority(4, false)
	tt.mustWrite(d, strings.Repeat("x", 3000), false)
	tt.mustWrite(c, strings.Repeat("x", 1100), false)
	if got := tt.sendOrder(2); got[0] != 10 || got[1] == 14 {
		t.Errorf("sent %v: new streams should have urgency 3", got)
	}
}

func TestPriorityChangesOnTheWay(t *testing.T) {
	tt := newTable(t, Client)
	s := tt.openWith(priority{3, false}, priority{3, false}, priority{3, true})
	tt.sendOrder(1)
	s[1].SetPriority(1, true)
	if got := tt.sendOrder(2); !slices.Equal(got, []uint64{6, 6}) {
		t.Errorf("sent %v", got)
	}
	s[1].SetPriority(7, false)
	s[0].SetPriority(7, false)
	s[2].SetPriority(7, false)
	if got := tt.sendOrder(1); !slices.Equal(got, []uint64{2}) {
		t.Errorf("sent %v", got)
	}
}

// RFC 9000, Section 13.3: lost data goes before new data, as far as priorities let it.
func TestLostDataGoesFirst(t *testing.T) {
	tt := newTable(t, Client)
	s := tt.openWith(priority{3, false}, priority{3, false}, priority{1, false})
	s[2].Reset(1)
	tt.packet(1200)
	s[1].SetPriority(2, false)
	second := tt.packet(1200)
	s[1].SetPriority(3, false)
	tt.lose(second)
	if got := tt.sendOrder(2); !slices.Equal(got, []uint64{6, 2}) {
		t.Errorf("sent %v, want the lost data of stream 6 first", got)
	}
	urgent := tt.mustOpen(Uni)
	urgent.SetPriority(0, false)
	tt.mustWrite(urgent, strings.Repeat("x", 3000), false)
	tt.lose(second)
	if got := tt.sendOrder(3); !slices.Equal(got[:2], []uint64{14, 14}) {
		t.Errorf("sent %v, want the urgent stream 14 first", got)
	}
}

// The heap of streams always yields the lowest ID, whatever is pushed and removed.
func TestStreamHeap(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	var h streamHeap
	in := map[*Stream]bool{}
	var streams []*Stream
	for i := range 100 {
		streams = append(streams, &Stream{id: StreamID(i), heapIndex: -1})
	}
	for step := range 20_000 {
		s := streams[rnd.IntN(len(streams))]
		if in[s] {
			h.remove(s)
			delete(in, s)
			if s.heapIndex != -1 {
				t.Fatal("a stream that was removed has a place")
			}
		} else {
			h.push(s)
			in[s] = true
		}
		if len(h) != len(in) {
			t.Fatalf("step %d: %d streams, want %d", step, len(h), len(in))
		}
		for i, s := range h {
			if int(s.heapIndex) != i || !in[s] || i > 0 && h[(i-1)/2].id >= s.id {
				t.Fatalf("step %d: the heap is out of order at %d", step, i)
			}
		}
	}
}

func TestStreamListTakesOutOfTheMiddle(t *testing.T) {
	for _, order := range [][]int{{0, 1, 2}, {2, 1, 0}, {1, 0, 2}, {1, 2, 0}} {
		var l streamList
		s := []*Stream{{}, {}, {}}
		for _, s := range s {
			l.push(listControl, s)
			l.push(listControl, s) // once is enough
		}
		for _, i := range order {
			l.remove(listControl, s[i])
			l.remove(listControl, s[i])
			if s[i].in(listControl) || s[i].links[listControl] != (streamLink{}) {
				t.Errorf("%v: stream %d is still in the list", order, i)
			}
			count := 0
			for at := l.head; at != nil; at = at.links[listControl].next {
				count++
			}
			left := 0
			for _, s := range s {
				if s.in(listControl) {
					left++
				}
			}
			if count != left {
				t.Errorf("%v: %d streams in the list, want %d", order, count, left)
			}
		}
		if !l.empty() || l.tail != nil {
			t.Errorf("%v: the list is not empty", order)
		}
	}
}

// However many streams are open, idle ones cost nothing: they are in no list.
func TestIdleStreamsAreInNoList(t *testing.T) {
	limits := tableLimits
	limits.maxStreams[Bidi] = 10_000
	cfg := tableConfig
	cfg.ConnWindow = 1 << 20
	tt := newTableWith(t, Client, cfg, limits)
	var streams []*Stream
	for range 10_000 {
		s := tt.mustOpen(Bidi)
		tt.mustWrite(s, fmt.Sprint("hello", s.ID()), false)
		streams = append(streams, s)
	}
	for tt.pending() {
		tt.ack(tt.packet(1200))
	}
	for _, s := range streams {
		tt.stream(s.ID(), 0, "hello", false)
		tt.wantRead(s, "hello", nil)
	}
	tt.eventTexts()
	for _, s := range streams {
		if s.listed != 0 || s.heapIndex >= 0 || heldBlocks(s) != 0 {
			t.Fatalf("stream %d is in lists %b, at %d in the heap, holds %d bytes", s.ID(), s.listed, s.heapIndex, heldBlocks(s))
		}
	}
}
