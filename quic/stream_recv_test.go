package quic

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/dunlin-quic/dunlin/internal/blocks"
)

// The receiving parts under test are those of the peer's unidirectional stream 3 and of the own bidirectional stream 0.
func eachReceivingPart(t *testing.T, test func(tt *tableTest, s *Stream)) {
	t.Run("uni", func(t *testing.T) {
		tt := newTable(t, Client)
		tt.stream(3, 0, "", false)
		s := tt.get(3)
		tt.wantEvents("opened 3")
		test(tt, s)
	})
	t.Run("bidi", func(t *testing.T) {
		tt := newTable(t, Client)
		test(tt, tt.mustOpen(Bidi))
	})
}

func (tt *tableTest) recv(s *Stream, offset int, data string, fin bool) {
	tt.Helper()
	tt.stream(s.ID(), offset, data, fin)
}

func TestReadInOrder(t *testing.T) {
	eachReceivingPart(t, func(tt *tableTest, s *Stream) {
		tt.wantRead(s, "", ErrWouldBlock)
		tt.recv(s, 0, "hello ", false)
		tt.wantEvents(fmt.Sprint("readable ", s.ID()))
		tt.recv(s, 6, "world", true)
		tt.wantEvents("") // still to be read
		tt.wantRead(s, "hello world", nil)
		tt.wantRead(s, "", io.EOF)
		tt.wantRead(s, "", io.EOF)
	})
}

func TestReadableIsEdgeTriggered(t *testing.T) {
	eachReceivingPart(t, func(tt *tableTest, s *Stream) {
		readable := fmt.Sprint("readable ", s.ID())
		tt.recv(s, 0, "a", false)
		tt.wantEvents(readable)
		tt.wantRead(s, "a", nil)
		tt.recv(s, 1, "b", false)
		tt.wantEvents("") // TryRead has not said ErrWouldBlock
		tt.wantRead(s, "b", nil)
		tt.wantRead(s, "", ErrWouldBlock)
		tt.recv(s, 3, "d", false)
		tt.wantEvents("") // nothing in order
		tt.recv(s, 2, "c", false)
		tt.wantEvents(readable)
		tt.wantRead(s, "cd", nil)
		tt.wantRead(s, "", ErrWouldBlock)
		tt.recv(s, 4, "", true)
		tt.wantEvents(strings.TrimSuffix(readable+", "+map[bool]string{true: "closed 3"}[s.ID() == 3], ", "))
		tt.wantRead(s, "", io.EOF)
	})
}

func TestReadableIsRetracted(t *testing.T) {
	eachReceivingPart(t, func(tt *tableTest, s *Stream) {
		readable := fmt.Sprint("readable ", s.ID())
		tt.recv(s, 0, "a", false)
		tt.wantRead(s, "a", nil) // before the event was told
		tt.wantEvents("")
		tt.recv(s, 1, "b", false)
		tt.wantEvents(readable)
		tt.wantRead(s, "b", nil)
		tt.wantRead(s, "", ErrWouldBlock)
		tt.recv(s, 2, "c", false)
		s.StopSending(1)
		tt.wantEvents("")
	})
}

// RFC 9000, Section 2.2 (MUST 1).
func TestReadOutOfOrder(t *testing.T) {
	const data = "0123456789"
	frames := [][2]int{{0, 3}, {3, 5}, {5, 6}, {6, 10}}
	// All orders in which four frames can arrive.
	for order := range 256 {
		var seen [4]bool
		var sequence []int
		for i := range 4 {
			k := order >> (2 * i) & 3
			if !seen[k] {
				seen[k] = true
				sequence = append(sequence, k)
			}
		}
		if len(sequence) < 4 {
			continue
		}
		tt := newTable(t, Client)
		s := tt.mustOpen(Bidi)
		for _, k := range sequence {
			f := frames[k]
			tt.recv(s, f[0], data[f[0]:f[1]], f[1] == 10)
		}
		tt.wantRead(s, data, nil)
		tt.wantRead(s, "", io.EOF)
	}
}

// RFC 9000, Section 2.2: data at an offset must not change. If a peer sends other data all the same, what arrived first
// stands, so that nothing already seen changes.
func TestWhatArrivedFirstStands(t *testing.T) {
	eachReceivingPart(t, func(tt *tableTest, s *Stream) {
		tt.recv(s, 2, "23", false)
		tt.recv(s, 6, "67", false)
		tt.recv(s, 0, "abcdefghij", false)
		tt.wantRead(s, "ab23ef67ij", nil)
		tt.recv(s, 5, "XXXXXXX", false)
		tt.recv(s, 0, "YYY", false)
		tt.wantRead(s, "XX", nil)
	})
}

func TestPeekAndDiscard(t *testing.T) {
	eachReceivingPart(t, func(tt *tableTest, s *Stream) {
		if b, err := s.Peek(); b != nil || err != ErrWouldBlock {
			t.Fatalf("Peek: %q, %v", b, err)
		}
		tt.recv(s, 0, "hello", false)
		for range 2 {
			if b, err := s.Peek(); string(b) != "hello" || err != nil {
				t.Fatalf("Peek: %q, %v", b, err)
			}
		}
		if n := s.Discard(-1) + s.Discard(0); n != 0 {
			t.Errorf("discarded %d bytes", n)
		}
		if n := s.Discard(2); n != 2 {
			t.Errorf("discarded %d bytes, want 2", n)
		}
		if b, err := s.Peek(); string(b) != "llo" || err != nil {
			t.Errorf("Peek: %q, %v", b, err)
		}
		if n := s.Discard(100); n != 3 {
			t.Errorf("discarded %d bytes, want the 3 there are", n)
		}
		tt.recv(s, 5, "", true)
		if b, err := s.Peek(); b != nil || err != io.EOF {
			t.Errorf("Peek: %q, %v", b, err)
		}
	})
}

func TestReadIntoNothing(t *testing.T) {
	eachReceivingPart(t, func(tt *tableTest, s *Stream) {
		tt.recv(s, 0, "hello", true)
		if n, err := s.TryRead(nil); n != 0 || err != nil {
			t.Errorf("TryRead(nil) = %d, %v", n, err)
		}
		tt.wantRead(s, "hello", nil)
	})
}

// RFC 9000, Section 4.5.
func TestFinalSize(t *testing.T) {
	type frame struct {
		reset       bool
		offset, len int
		fin         bool
	}
	stream := func(offset, len int) frame { return frame{false, offset, len, false} }
	fin := func(offset, len int) frame { return frame{false, offset, len, true} }
	reset := func(size int) frame { return frame{reset: true, len: size} }
	pass := func(tt *tableTest, s *Stream, f frame) error {
		if f.reset {
			return tt.handleReset(uint64(s.ID()), 1, uint64(f.len))
		}
		return tt.handleStream(tt.now, uint64(s.ID()), uint64(f.offset), make([]byte, f.len), f.fin)
	}
	for _, c := range []struct {
		name   string
		first  []frame
		second frame
		ok     bool
	}{
		{"the same end again", []frame{fin(0, 10)}, fin(0, 10), true},
		{"the same end by another frame", []frame{fin(0, 10)}, fin(10, 0), true},
		{"data before the end", []frame{fin(10, 0)}, stream(0, 10), true},
		{"data beyond the end", []frame{fin(0, 10)}, stream(10, 1), false},
		{"data across the end", []frame{fin(0, 10)}, stream(5, 6), false},
		{"an earlier end", []frame{fin(0, 10)}, fin(0, 9), false},
		{"a later end", []frame{fin(0, 10)}, fin(0, 11), false},
		{"an end before data", []frame{stream(0, 10)}, fin(0, 9), false},
		{"an end before data after a gap", []frame{stream(9, 1)}, fin(0, 9), false},
		{"an end at the data", []frame{stream(0, 10)}, fin(10, 0), true},
		{"an earlier end with a gap", []frame{fin(5, 5)}, fin(0, 9), false},
		{"reset at the end", []frame{fin(0, 10)}, reset(10), true},
		{"reset at the end with a gap", []frame{fin(5, 5)}, reset(10), true},
		{"reset before the end", []frame{fin(5, 5)}, reset(9), false},
		{"reset beyond the end", []frame{fin(5, 5)}, reset(11), false},
		{"reset before data", []frame{stream(0, 10)}, reset(9), false},
		{"reset beyond data", []frame{stream(0, 10)}, reset(11), true},
		{"reset again", []frame{reset(10)}, reset(10), true},
		{"another reset", []frame{reset(10)}, reset(11), false},
		{"data after reset", []frame{reset(10)}, stream(0, 10), true},
		{"data beyond reset", []frame{reset(10)}, stream(0, 11), false},
		{"end beyond reset", []frame{reset(10)}, fin(0, 11), false},
		{"data beyond reset without data", []frame{reset(0)}, stream(0, 1), false},
		{"beyond an empty stream", []frame{fin(0, 0)}, stream(0, 1), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, stop := range []bool{false, true} {
				// The own bidirectional stream: it stays in the table whatever its receiving part does.
				tt := newTable(t, Client)
				s := tt.mustOpen(Bidi)
				for _, f := range c.first {
					tt.must(pass(tt, s, f))
				}
				if stop {
					s.StopSending(9)
				}
				if err := pass(tt, s, c.second); c.ok {
					tt.must(err)
				} else {
					tt.wantCode(err, FinalSizeError, "stopped: %v", stop)
				}
			}
		})
	}
}

// RFC 9000, Section 4.1 (MUST 2).
// RFC 9000, Section 19.9 (MUST 2) and Section 19.10 (MUST 4).
func TestFlowControlLimits(t *testing.T) {
	cfg := tableConfig
	cfg.StreamWindow, cfg.MaxStreamWindow = 100, 100
	cfg.ConnWindow, cfg.MaxConnWindow = 250, 250
	for _, c := range []struct {
		name  string
		frame func(tt *tableTest, id, end uint64) error
	}{
		{"STREAM", func(tt *tableTest, id, end uint64) error {
			return tt.handleStream(tt.now, id, 0, make([]byte, end), false)
		}},
		{"STREAM after a gap", func(tt *tableTest, id, end uint64) error {
			return tt.handleStream(tt.now, id, end-1, make([]byte, 1), false)
		}},
		{"STREAM, only the end", func(tt *tableTest, id, end uint64) error {
			return tt.handleStream(tt.now, id, end, nil, true)
		}},
		{"RESET_STREAM", func(tt *tableTest, id, end uint64) error { return tt.handleReset(id, 1, end) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			tt := newTableWith(t, Server, cfg, tableLimits)
			tt.must(c.frame(tt, 2, 100))
			tt.wantCode(c.frame(tt, 6, 101), FlowControlError, "beyond the stream's limit")
			tt = newTableWith(t, Server, cfg, tableLimits)
			tt.must(c.frame(tt, 2, 100))
			tt.must(c.frame(tt, 6, 100))
			if c.name != "RESET_STREAM" { // which gives its credit back, though the peer has not been told yet
				tt.wantCode(c.frame(tt, 10, 51), FlowControlError, "beyond the connection's limit")
			}
			tt.must(c.frame(newTableWith(t, Server, cfg, tableLimits), 10, 50))
			tt.wantCode(tt.handleStream(tt.now, 14, 1<<62-2, []byte("x"), false), FlowControlError, "far beyond")
		})
	}
}

// RFC 9000, Section 4.2 (MUST 1).
func TestWindowsFollowTheReader(t *testing.T) {
	tt := newTable(t, Server)
	data := strings.Repeat("x", 10_000)
	tt.stream(2, 0, data, false)
	s := tt.get(2)
	tt.wantPacket("")
	s.Discard(4999)
	tt.wantPacket("")
	s.Discard(1)
	first := tt.wantPacket("MAX_STREAM_DATA 2 15000")
	s.Discard(5000)
	second := tt.wantPacket("MAX_DATA 30000, MAX_STREAM_DATA 2 20000")
	tt.lose(first) // an outdated limit is not sent again
	tt.wantPacket("")
	tt.lose(second)
	tt.wantPacket("MAX_DATA 30000, MAX_STREAM_DATA 2 20000")
	tt.stream(2, 10_000, data, false)
	s.Discard(5000)
	tt.lose(second) // a limit that is still the last one is sent again with its present value
	tt.wantPacket("MAX_DATA 35000, MAX_STREAM_DATA 2 25000")

	// Once the final size is known, the peer needs no more credit for the stream: RFC 9000, Section 3.2.
	tt.stream(2, 25_000, "", true)
	tt.stream(2, 20_000, data[:5000], false)
	s.Discard(10_000)
	tt.wantPacket("MAX_DATA 45000")
	tt.lose(tt.packet(1200))
	tt.lose(second)
	tt.wantPacket("")
}

// Both windows double while the reader takes half of one in less than two round trips, and stay put otherwise.
func TestWindowsGrow(t *testing.T) {
	cfg := tableConfig
	cfg.MaxStreamWindow, cfg.MaxConnWindow = 35_000, 50_000
	for _, fast := range []bool{true, false} {
		tt := newTableWith(t, Server, cfg, tableLimits)
		tt.stream(2, 0, "", false)
		s := tt.get(2)
		pace := 3 * tableRTT
		if fast {
			pace = tableRTT
		}
		sent := uint64(0)
		for range 20 {
			n := min(s.recv.window.Limit()-sent, tt.window.Limit()-sent)
			for n > 0 {
				m := min(n, 1000)
				tt.stream(2, int(sent), strings.Repeat("x", int(m)), false)
				sent += m
				n -= m
				s.Discard(int(m))
			}
			tt.now = tt.now.Add(pace)
			tt.packet(1200)
		}
		stream, conn := s.recv.window.Size(), tt.window.Size()
		if fast && (stream != 35_000 || conn != 50_000) || !fast && (stream != 10_000 || conn != 20_000) {
			t.Errorf("fast: %v: windows %d and %d", fast, stream, conn)
		}
	}
}

// What the RTT is longer than the lowest one is time in queues, which longer windows would only lengthen: it makes windows
// grow up to a size that does no harm, and from there on only if the path itself is that long.
func TestWindowsDoNotGrowByQueueing(t *testing.T) {
	const most = 4 * cachedWindow
	cfg := tableConfig
	cfg.StreamWindow, cfg.MaxStreamWindow, cfg.ConnWindow, cfg.MaxConnWindow = cachedWindow/4, most, most, most
	for _, c := range []struct {
		minRTT time.Duration
		want   uint64
	}{
		{tableRTT, most},
		{tableRTT / maxQueueing, most},
		{tableRTT / 10, cachedWindow},
		{0, most}, // not known
	} {
		tt := newTableWith(t, Server, cfg, tableLimits)
		tt.setEstimates(tableRTT, c.minRTT, 0)
		tt.stream(2, 0, "", false)
		s := tt.get(2)
		for sent := 0; sent < 4*most; {
			n := int(s.recv.window.Limit()) - sent
			tt.stream(2, sent, strings.Repeat("x", n), false)
			sent += n
			s.Discard(n)
			tt.now = tt.now.Add(tableRTT)
			tt.packet(1200)
		}
		if size := s.recv.window.Size(); size != c.want {
			t.Errorf("lowest RTT %v of %v: the window is %d, want %d", c.minRTT, tableRTT, size, c.want)
		}
	}
}

// The connection's window stays ahead of that of its largest stream even if many share it.
func TestConnectionWindowIsAheadOfStreams(t *testing.T) {
	cfg := tableConfig
	cfg.MaxStreamWindow, cfg.MaxConnWindow = 1<<20, 1<<20
	tt := newTableWith(t, Server, cfg, tableLimits)
	tt.stream(2, 0, strings.Repeat("x", 10_000), false)
	tt.get(2).Discard(10_000)
	tt.now = tt.now.Add(time.Millisecond)
	tt.wantPacket("MAX_DATA 50000, MAX_STREAM_DATA 2 30000")
	if stream, conn := tt.get(2).recv.window.Size(), tt.window.Size(); conn < stream+stream/2 {
		t.Errorf("the connection's window is %d, the stream's %d", conn, stream)
	}
}

// RFC 9000, Section 4.5 (MUST 1).
func TestResetByThePeer(t *testing.T) {
	eachReceivingPart(t, func(tt *tableTest, s *Stream) {
		id := uint64(s.ID())
		tt.recv(s, 0, "hello", false)
		tt.recv(s, 10, "world", false)
		tt.eventTexts()
		tt.wantRead(s, "hello", nil)
		tt.wantRead(s, "", ErrWouldBlock)
		tt.must(tt.handleReset(id, 42, 9000))
		if heldBlocks(s) != 0 {
			t.Error("data is held after a reset")
		}
		want := fmt.Sprint("readable ", id)
		if s.ID() == 3 {
			want += ", closed 3"
		}
		tt.wantEvents(want)
		for range 2 {
			_, err := s.TryRead(make([]byte, 10))
			tt.wantStreamError(err, StreamError{Remote: true, Code: 42, Stream: s.ID()})
			_, err = s.Peek()
			tt.wantStreamError(err, StreamError{Remote: true, Code: 42, Stream: s.ID()})
		}
		// The final size is settled with the connection's flow control.
		if w := &tt.window; w.Received() != 9000 || w.Consumed() != 9000 {
			t.Errorf("received %d, given back %d, want 9000", w.Received(), w.Consumed())
		}
	})
}

// What was peeked at before a reset is gone, and not counted twice.
func TestDiscardAfterReset(t *testing.T) {
	eachReceivingPart(t, func(tt *tableTest, s *Stream) {
		tt.recv(s, 0, string(make([]byte, 9_000)), false)
		if _, err := s.Peek(); err != nil {
			t.Fatal(err)
		}
		tt.must(tt.handleReset(uint64(s.ID()), 42, 9_000))
		if n := s.Discard(8_500); n != 0 {
			t.Errorf("discarded %d bytes", n)
		}
		if w := &tt.window; w.Consumed() != 9_000 {
			t.Errorf("%d bytes given back, want 9000", w.Consumed())
		}
	})
}

// RFC 9000, Section 3.2: a reset that comes after all data does not take it away.
func TestResetAfterAllDataIsIgnored(t *testing.T) {
	eachReceivingPart(t, func(tt *tableTest, s *Stream) {
		tt.recv(s, 0, "hello", true)
		tt.must(tt.handleReset(uint64(s.ID()), 42, 5))
		tt.wantRead(s, "hello", nil)
		tt.wantRead(s, "", io.EOF)
	})
}

// RFC 9000, Section 4.4 (MUST 1): the end of one direction of a stream leaves the flow control of the other alone.
func TestFlowControlOfTheOtherDirection(t *testing.T) {
	tt := newTable(t, Client)
	s := tt.mustOpen(Bidi)
	s.Reset(1)
	tt.ack(tt.packet(1200))
	tt.recv(s, 0, strings.Repeat("x", 10_000), false)
	tt.wantCode(tt.handleStream(tt.now, uint64(s.ID()), 10_000, []byte("x"), false), FlowControlError, "after our reset")
	s.Discard(5000)
	tt.wantPacket(fmt.Sprintf("MAX_STREAM_DATA %d 15000", s.ID()))
	tt.recv(s, 10_000, "x", false)

	limits := tableLimits
	limits.bidiRemote = 100
	tt = newTableWith(t, Client, tableConfig, limits)
	s = tt.mustOpen(Bidi)
	tt.must(tt.handleReset(uint64(s.ID()), 1, 0))
	if n, _ := s.TryWrite(make([]byte, 200), false); n != 100 {
		t.Errorf("%d bytes written after the peer's reset, want 100", n)
	}
	tt.must(tt.handleMaxStreamData(uint64(s.ID()), 150))
	if n, _ := s.TryWrite(make([]byte, 200), false); n != 50 {
		t.Errorf("%d bytes written after MAX_STREAM_DATA, want 50", n)
	}
}

func TestResetWhileDataIsMissing(t *testing.T) {
	eachReceivingPart(t, func(tt *tableTest, s *Stream) {
		tt.recv(s, 5, "world", true)
		tt.must(tt.handleReset(uint64(s.ID()), 42, 10))
		_, err := s.TryRead(make([]byte, 10))
		tt.wantStreamError(err, StreamError{Remote: true, Code: 42, Stream: s.ID()})
	})
}

// RFC 9000, Section 3.5: STOP_SENDING in every state of the receiving part.
func TestStopSendingInEachState(t *testing.T) {
	for _, c := range []struct {
		name     string
		reach    func(tt *tableTest, s *Stream)
		sent     bool // STOP_SENDING goes out
		terminal bool // without another frame from the peer
		err      error
	}{
		{"Recv", func(tt *tableTest, s *Stream) {}, true, false, nil},
		{"Recv with data", func(tt *tableTest, s *Stream) { tt.recv(s, 0, "hello", false) }, true, false, nil},
		{"Size Known", func(tt *tableTest, s *Stream) { tt.recv(s, 5, "world", true) }, true, true, nil},
		{"Data Recvd", func(tt *tableTest, s *Stream) { tt.recv(s, 0, "hello", true) }, false, true, nil},
		{"Data Read", func(tt *tableTest, s *Stream) {
			tt.recv(s, 0, "hello", true)
			tt.wantRead(s, "hello", nil)
		}, false, true, io.EOF},
		{"Reset Recvd", func(tt *tableTest, s *Stream) { tt.must(tt.handleReset(uint64(s.ID()), 42, 5)) }, false, true,
			&StreamError{Remote: true, Code: 42}},
	} {
		t.Run(c.name, func(t *testing.T) {
			eachReceivingPart(t, func(tt *tableTest, s *Stream) {
				id := uint64(s.ID())
				c.reach(tt, s)
				s.StopSending(7)
				s.StopSending(8)
				if heldBlocks(s) != 0 {
					t.Error("data is held that nobody will read")
				}
				if w := &tt.window; w.Received() != w.Consumed() {
					t.Error("the connection's window is not given back")
				}
				if c.sent {
					want := fmt.Sprintf("STOP_SENDING %d code 7", id)
					tt.lose(tt.wantPacket(want))
					acked := tt.wantPacket(want)
					tt.ack(acked)
					tt.lose(acked)
				}
				tt.wantPacket("")
				if got := s.recv.terminal(); got != c.terminal {
					t.Errorf("terminal: %v, want %v", got, c.terminal)
				}
				_, err := s.TryRead(make([]byte, 10))
				switch want := c.err.(type) {
				case nil:
					tt.wantStreamError(err, StreamError{Code: 7, Stream: s.ID()})
				case *StreamError:
					tt.wantStreamError(err, StreamError{Remote: true, Code: want.Code, Stream: s.ID()})
				default:
					if err != want {
						t.Errorf("error %v, want %v", err, want)
					}
				}
			})
		})
	}
}

// STREAM frames received after STOP_SENDING still count (RFC 9000, Section 3.5), their room is given back at once.
// RFC 9000, Section 4.5 (MUST 1).
func TestDataAfterStopSending(t *testing.T) {
	for _, end := range []string{"fin", "reset"} {
		eachReceivingPart(t, func(tt *tableTest, s *Stream) {
			id := uint64(s.ID())
			tt.eventTexts()
			s.StopSending(7)
			lost := tt.wantPacket(fmt.Sprintf("STOP_SENDING %d code 7", id))
			tt.recv(s, 0, strings.Repeat("x", 6000), false)
			tt.recv(s, 7000, strings.Repeat("x", 3000), false)
			if heldBlocks(s) != 0 {
				t.Error("data is held that nobody will read")
			}
			tt.wantEvents("")
			if w := &tt.window; w.Received() != 10_000 || w.Consumed() != 10_000 {
				t.Errorf("received %d, given back %d, want 10000", w.Received(), w.Consumed())
			}
			tt.wantPacket("MAX_DATA 30000") // but no MAX_STREAM_DATA
			tt.wantCode(tt.handleStream(tt.now, id, 10_000, []byte("x"), false), FlowControlError, "beyond the limit")
			if end == "reset" {
				tt.must(tt.handleReset(id, 42, 10_000))
				tt.lose(lost)
				tt.wantPacket("") // no longer needed
			} else {
				tt.recv(s, 10_000, "", true)
				tt.lose(lost)
				tt.ack(tt.wantPacket(fmt.Sprintf("STOP_SENDING %d code 7", id)))
			}
			if id == 3 {
				tt.wantEvents("closed 3")
				tt.wantIdle()
			} else {
				tt.wantEvents("")
			}
			_, err := s.TryRead(make([]byte, 10))
			tt.wantStreamError(err, StreamError{Code: 7, Stream: s.ID()})
		})
	}
}

// Whatever the peer does with the bytes that flow control lets it send, what is held for a stream stays within the
// distance between the first byte not read and the highest received, rounded up to blocks.
func TestReceiveStorageIsBounded(t *testing.T) {
	const window = 1 << 20
	cfg := Config{StreamWindow: window, MaxStreamWindow: window, ConnWindow: 2 * window, MaxConnWindow: 2 * window,
		MaxUniStreams: 10}
	for _, step := range []int{1, 300, blocks.SmallSize, blocks.LargeSize - 1, blocks.LargeSize, 100_000} {
		for _, size := range []int{1, 100, 1200} {
			tt := newTableWith(t, Server, cfg, tableLimits)
			tt.stream(2, 0, "", false)
			s := tt.get(2)
			payload := strings.Repeat("x", size)
			for i, offset := 0, 1; offset+size <= window && i < maxGaps; i, offset = i+1, offset+size+step {
				tt.stream(2, offset, payload, false)
				if held := heldBlocks(s); held > offset+size+blocks.LargeSize {
					t.Fatalf("step %d, size %d: %d bytes held for %d", step, size, held, offset+size)
				}
			}
			tt.must(tt.handleReset(2, 1, window))
			if heldBlocks(s) != 0 {
				t.Error("data is held after a reset")
			}
		}
	}
}

func TestReceiveStorageIsGivenBackWhenRead(t *testing.T) {
	tt := newTable(t, Server)
	tt.stream(2, 0, "", false)
	s := tt.get(2)
	offset := 0
	for i := range 2000 {
		n := 1 + i*37%3000
		tt.stream(2, offset, strings.Repeat("x", n), false)
		offset += n
		if small := n <= blocks.SmallSize; small && heldBlocks(s) != blocks.SmallSize {
			t.Fatalf("%d bytes held for %d", heldBlocks(s), n)
		}
		tt.wantRead(s, strings.Repeat("x", n), nil)
		if heldBlocks(s) != 0 {
			t.Fatalf("%d bytes held when all is read", heldBlocks(s))
		}
		tt.packet(1200)
	}
}

// What a burst took besides blocks is given back as well.
func TestStorageOfABurstIsGivenBack(t *testing.T) {
	limits := tableLimits
	limits.uni, limits.maxData = 1<<20, 1<<20
	cfg := Config{StreamWindow: 1 << 20, ConnWindow: 1 << 20, MaxUniStreams: 1}
	tt := newTableWith(t, Server, cfg, limits)
	tt.setEstimates(tableRTT, tableRTT, 1<<20)
	for i := 1<<20 - 2; i > 1<<20-2000; i -= 2 {
		tt.stream(2, i, "x", false)
	}
	r := tt.get(2)
	tt.stream(2, 0, strings.Repeat("x", 1<<20), false)
	r.Discard(1 << 20)

	s := tt.mustOpen(Uni)
	tt.mustWrite(s, strings.Repeat("x", 1<<20), false)
	var sent [][]sentFrame
	for len(sent) < 800 {
		sent = append(sent, tt.packet(1200))
	}
	for _, start := range []int{1, 0} {
		for i := start; i < len(sent); i += 2 {
			tt.ack(sent[i])
		}
	}
	for tt.pending() {
		tt.ack(tt.packet(1200))
	}
	for name, n := range map[string]int{
		"received blocks": cap(r.recv.buf.blocks), "received ranges": cap(r.recv.buf.later.Ranges()),
		"chunks": cap(s.send.buf.chunks), "acknowledged ranges": cap(s.send.buf.later.Ranges()),
	} {
		if n > keepStorage {
			t.Errorf("%s: storage for %d is kept", name, n)
		}
	}
}

// RFC 9000, Section 21.6.
func TestGapsAreBounded(t *testing.T) {
	cfg := tableConfig
	cfg.StreamWindow, cfg.ConnWindow = 1<<20, 1<<20
	tt := newTableWith(t, Server, cfg, tableLimits)
	for i := range maxGaps {
		tt.stream(2, 1+2*i, "x", false)
	}
	tt.stream(2, 0, "x", false) // one gap less
	tt.stream(2, 1+2*maxGaps, "x", false)
	beyond := 1 + 2*maxGaps + 2
	if err := tt.handleStream(tt.now, 2, uint64(beyond), []byte("x"), false); err != errNoRoom {
		t.Errorf("one gap too many: %v", err)
	}
	// What closes a gap, or widens a piece, is welcome.
	tt.stream(2, beyond-1, "x", false)
	tt.stream(2, 2, "x", false)
	tt.stream(2, beyond+2, "x", false)
	if got := tt.get(2).recv.buf.later.Len(); got != maxGaps {
		t.Errorf("%d pieces, want %d", got, maxGaps)
	}
}

// RFC 9000, Section 4.2 (MUST 1) and Section 4.6 (MUST 5).
func TestBlockedFramesChangeNothing(t *testing.T) {
	tt := newTable(t, Server)
	tt.must(tt.handleDataBlocked(0))
	tt.must(tt.handleStreamsBlocked(Bidi, 0))
	tt.must(tt.handleStreamsBlocked(Uni, 10))
	tt.wantEvents("")
	tt.must(tt.handleStreamDataBlocked(2, 0))
	tt.wantEvents("opened 2")
	tt.wantPacket("")
}
