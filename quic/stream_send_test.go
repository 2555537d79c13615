package quic

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/dunlin-quic/dunlin/internal/blocks"
	"github.com/dunlin-quic/dunlin/internal/recovery"
)

// sendStates are ways to bring a fresh sending part into each state (RFC 9000, Section 3.1).
var sendStates = []struct {
	name  string
	reach func(tt *tableTest, s *Stream)
	want  sendState
}{
	{"Ready", func(tt *tableTest, s *Stream) {}, sendOpen},
	{"Ready with data", func(tt *tableTest, s *Stream) { tt.mustWrite(s, "hello", false) }, sendOpen},
	{"Send", func(tt *tableTest, s *Stream) {
		tt.mustWrite(s, "hello", false)
		tt.packet(1200)
	}, sendOpen},
	{"Data Sent", func(tt *tableTest, s *Stream) {
		tt.mustWrite(s, "hello", true)
		tt.packet(1200)
	}, sendEnding},
	{"Data Recvd", func(tt *tableTest, s *Stream) {
		tt.mustWrite(s, "hello", true)
		tt.ack(tt.packet(1200))
	}, sendDataRecvd},
	{"Reset Sent", func(tt *tableTest, s *Stream) {
		tt.mustWrite(s, "hello", false)
		tt.packet(1200)
		s.Reset(99)
		tt.packet(1200)
	}, sendResetSent},
	{"Reset Recvd", func(tt *tableTest, s *Stream) {
		s.Reset(99)
		tt.ack(tt.packet(1200))
	}, sendResetRecvd},
}

// RFC 9000, Section 3.3 (MUST 1, 2), Section 3.5 (MUST 1) and Section 13.3 (MUST 1).
func TestResetAndStopSendingInEachState(t *testing.T) {
	for _, state := range sendStates {
		for _, d := range []Dir{Bidi, Uni} {
			for _, remote := range []bool{false, true} {
				name := fmt.Sprintf("%s/%v/Reset", state.name, d)
				if remote {
					name = fmt.Sprintf("%s/%v/STOP_SENDING", state.name, d)
				}
				t.Run(name, func(t *testing.T) {
					tt := newTable(t, Client)
					s := tt.mustOpen(d)
					state.reach(tt, s)
					if s.send.state != state.want {
						t.Fatalf("state %d, want %d", s.send.state, state.want)
					}
					tt.eventTexts()
					if remote {
						tt.must(tt.handleStopSending(uint64(s.ID()), 7))
					} else {
						s.Reset(7)
					}
					done := state.want == sendDataRecvd || state.want >= sendResetSent
					if done {
						tt.wantPacket("")
						tt.wantEvents("")
						return
					}
					size := s.send.next
					lost := tt.wantPacket(fmt.Sprintf("RESET_STREAM %d code 7 size %d", s.ID(), size))
					if heldBlocks(s) != 0 {
						t.Error("data is kept after the reset")
					}
					// RFC 9000, Section 13.3: what was said is said again, unchanged, until it is acknowledged.
					s.Reset(8)
					tt.must(tt.handleStopSending(uint64(s.ID()), 9))
					tt.wantPacket("")
					tt.lose(lost)
					acked := tt.wantPacket(fmt.Sprintf("RESET_STREAM %d code 7 size %d", s.ID(), size))
					_, err := s.TryWrite([]byte("x"), false)
					if remote {
						tt.wantEvents(fmt.Sprint("writable ", s.ID()))
						tt.wantStreamError(err, StreamError{Remote: true, Code: 7, Stream: s.ID()})
					} else {
						tt.wantEvents("")
						if err != ErrStreamDone {
							t.Errorf("TryWrite: %v", err)
						}
					}
					tt.ack(acked)
					tt.lose(acked) // nonsense, but harmless
					tt.wantPacket("")
					if d == Uni {
						tt.wantEvents(fmt.Sprint("closed ", s.ID()))
						tt.wantIdle()
					} else {
						tt.wantEvents("")
					}
				})
			}
		}
	}
}

// RFC 9000, Section 4.5 (MUST 2).
// RFC 9000, Section 3.3 (MUST 2): a stream that was reset is not said to be blocked.
func TestResetStreamIsNotBlocked(t *testing.T) {
	limits := tableLimits
	limits.uni = 100
	tt := newTableWith(t, Client, tableConfig, limits)
	s := tt.mustOpen(Uni)
	s.TryWrite(make([]byte, 150), false)
	tt.wantPacket("STREAM 2 0+100")
	s.TryWrite(make([]byte, 50), false)
	s.Reset(1)
	tt.wantPacket("RESET_STREAM 2 code 1 size 100")
	tt.must(tt.handleMaxStreamData(2, 1000))
	tt.wantPacket("")
}

func TestEndOfStream(t *testing.T) {
	for _, c := range []struct {
		name   string
		write  func(tt *tableTest, s *Stream)
		frames string
	}{
		{"with the data", func(tt *tableTest, s *Stream) { tt.mustWrite(s, "hello", true) }, "STREAM 2 0+5 fin"},
		{"before the data is sent", func(tt *tableTest, s *Stream) {
			tt.mustWrite(s, "hello", false)
			tt.mustWrite(s, "", true)
		}, "STREAM 2 0+5 fin"},
		{"after the data was sent", func(tt *tableTest, s *Stream) {
			tt.mustWrite(s, "hello", false)
			tt.ack(tt.packet(1200))
			tt.mustWrite(s, "", true)
		}, "STREAM 2 5+0 fin"},
		{"without data", func(tt *tableTest, s *Stream) { tt.mustWrite(s, "", true) }, "STREAM 2 0+0 fin"},
	} {
		t.Run(c.name, func(t *testing.T) {
			tt := newTable(t, Client)
			s := tt.mustOpen(Uni)
			c.write(tt, s)
			if _, err := s.TryWrite([]byte("more"), false); err != ErrStreamDone {
				t.Errorf("write after the end: %v", err)
			}
			tt.lose(tt.wantPacket(c.frames))
			acked := tt.wantPacket(c.frames)
			tt.wantEvents("")
			tt.ack(acked)
			tt.wantEvents("closed 2")
			tt.wantIdle()
		})
	}
}

// Lost data is sent again by ranges, however it was cut into frames at first.
func TestRetransmission(t *testing.T) {
	tt := newTable(t, Client)
	s := tt.mustOpen(Uni)
	tt.mustWrite(s, strings.Repeat("x", 5000), true)
	var sent [][]sentFrame
	for tt.pending() {
		sent = append(sent, tt.packet(1004)) // 1,000 bytes each, but for the first
	}
	tt.ack(sent[1])
	for _, i := range []int{3, 2, 0} {
		tt.lose(sent[i])
	}
	tt.wantPacket("STREAM 2 0+1002, STREAM 2 2002+190")
	tt.wantPacket("STREAM 2 2192+1196")
	tt.wantPacket("STREAM 2 3388+614")
	tt.lose(sent[4])
	tt.wantPacket("STREAM 2 4002+998 fin")
}

// A packet that was declared lost may be acknowledged after all: RFC 9000, Section 13.3.
func TestSpuriousLoss(t *testing.T) {
	tt := newTable(t, Client)
	s := tt.mustOpen(Uni)
	tt.mustWrite(s, "hello", true)
	sent := tt.packet(1200)
	tt.lose(sent)
	tt.ack(sent)
	tt.wantPacket("")
	tt.wantEvents("closed 2")

	s = tt.mustOpen(Uni)
	tt.mustWrite(s, "hello", true)
	sent = tt.packet(1200)
	tt.lose(sent)
	again := tt.wantPacket("STREAM 6 0+5 fin")
	tt.ack(sent)
	tt.lose(again)
	tt.wantPacket("")
	tt.wantEvents("closed 6")
	tt.wantIdle()
}

func TestAcknowledgedOutOfOrder(t *testing.T) {
	tt := newTable(t, Client)
	s := tt.mustOpen(Uni)
	tt.mustWrite(s, strings.Repeat("x", 50_000), true)
	var sent [][]sentFrame
	for tt.pending() {
		sent = append(sent, tt.packet(1200))
	}
	for i := len(sent) - 1; i > 0; i-- {
		tt.ack(sent[i])
		tt.ack(sent[i])
	}
	if held := heldBlocks(s); held < 50_000 {
		t.Errorf("%d bytes are held: data was given up before all before it was acknowledged", held)
	}
	for _, p := range sent[1:] {
		tt.lose(p) // acknowledged: not sent again
	}
	tt.wantPacket("")
	tt.wantEvents("")
	tt.ack(sent[0])
	tt.wantEvents("closed 2")
	if heldBlocks(s) != 0 {
		t.Error("data is held after all was acknowledged")
	}
}

func TestSendBufferIsGivenBackAsItIsAcknowledged(t *testing.T) {
	tt := newTable(t, Client)
	s := tt.mustOpen(Uni)
	written := 0
	for range 1000 {
		tt.mustWrite(s, "0123456789", false)
		written += 10
		tt.ack(tt.packet(1200))
		if held := heldBlocks(s); held != 0 {
			t.Fatalf("%d bytes are held while nothing is in flight", held)
		}
	}
	tt.mustWrite(s, strings.Repeat("x", 40_000), false)
	var sent [][]sentFrame
	for tt.pending() {
		sent = append(sent, tt.packet(1200))
	}
	left := 40_000
	for _, p := range sent {
		tt.ack(p)
		left -= len(p[0].stream.Data)
		if held := heldBlocks(s); held > left+2*blocks.LargeSize {
			t.Fatalf("%d bytes are held for %d", held, left)
		}
	}
}

// Many small writes lie together in blocks, and go out in full packets.
func TestSmallWritesCoalesce(t *testing.T) {
	tt := newTable(t, Client)
	s := tt.mustOpen(Uni)
	for range 10_000 {
		tt.mustWrite(s, "0123456789", false)
	}
	if held := heldBlocks(s); held > 100_000+2*blocks.LargeSize {
		t.Errorf("%d bytes are held for 100,000", held)
	}
	var got bytes.Buffer
	for tt.pending() {
		frames := tt.packet(1200)
		if len(frames) != 1 {
			t.Fatalf("packet of %s", texts(frames))
		}
		got.Write(frames[0].stream.Data)
	}
	if want := strings.Repeat("0123456789", 10_000); got.String() != want {
		t.Error("other bytes were sent than written")
	}
}

// A STREAM frame uses the last byte of a packet, whatever the sizes: the one that fills it has no Length field.
func TestPacketsAreFilledExactly(t *testing.T) {
	for room := 40; room < 140; room++ {
		for data := 1; data < 140; data++ {
			tt := newTable(t, Client)
			s := tt.mustOpen(Uni)
			tt.mustWrite(s, strings.Repeat("x", data), false)
			w := &packetWriter{buf: make([]byte, 0, room), limit: room, space: recovery.AppData, rec: &tt.rec}
			tt.appendFrames(w, tt.now)
			frames := parseFrames(t, w.buf)
			if len(frames) != 1 || len(frames[0].stream.Data) != min(data, room-2) {
				t.Fatalf("room %d, data %d: %s", room, data, texts(frames))
			}
			if data >= room-3 && len(w.buf) != room {
				t.Fatalf("room %d, data %d: the packet has %d bytes", room, data, len(w.buf))
			}
		}
	}
}

func TestNoTinyFramesAtTheEndOfPackets(t *testing.T) {
	tt := newTable(t, Client)
	a, b := tt.mustOpen(Uni), tt.mustOpen(Uni)
	tt.mustWrite(a, strings.Repeat("x", 1180), false)
	tt.mustWrite(b, strings.Repeat("x", 100), false)
	tt.wantPacket("STREAM 2 0+1180")
	tt.wantPacket("STREAM 6 0+100")
	tt.mustWrite(a, strings.Repeat("x", 1180), false)
	tt.mustWrite(b, "hello", false)
	tt.wantPacket("STREAM 2 1180+1180, STREAM 6 100+5")
}

func TestPacketWithoutRoom(t *testing.T) {
	tt := newTable(t, Client)
	s := tt.mustOpen(Bidi)
	tt.mustWrite(s, strings.Repeat("x", 100), false)
	s.StopSending(1)
	tt.stream(3, 0, strings.Repeat("x", 6000), false)
	tt.wantRead(tt.get(3), strings.Repeat("x", 6000), nil)
	want := "STOP_SENDING 0 code 1, MAX_STREAM_DATA 3 16000, STREAM 0 0+100"
	for room := range 110 {
		got := tt.packet(room)
		if len(got) > 0 {
			if room < 3 {
				t.Errorf("%s in %d bytes", texts(got), room)
			}
			tt.lose(got)
		}
	}
	got := texts(tt.packet(1200))
	for f := range strings.SplitSeq(want, ", ") {
		if !strings.Contains(got, f[:10]) {
			t.Errorf("sent %q, want all of %q", got, want)
		}
	}
	tt.wantPacket("")
}

// RFC 9000, Section 2.2 (MUST 3), Section 4.1 (MUST 1, 3) and Section 19.10 (MUST 3).
func TestStreamFlowControlOfThePeer(t *testing.T) {
	limits := tableLimits
	limits.uni = 100
	tt := newTableWith(t, Client, tableConfig, limits)
	s := tt.mustOpen(Uni)
	if n, err := s.TryWrite(make([]byte, 150), true); n != 100 || err != nil {
		t.Fatalf("TryWrite: %d, %v", n, err)
	}
	if n, err := s.TryWrite(make([]byte, 50), true); n != 0 || err != ErrWouldBlock {
		t.Fatalf("TryWrite: %d, %v", n, err)
	}
	tt.wantPacket("STREAM 2 0+100")
	lost := tt.wantPacket("STREAM_DATA_BLOCKED 2 100")
	s.TryWrite(make([]byte, 50), true)
	tt.wantPacket("") // said once
	tt.lose(lost)
	lost = tt.wantPacket("STREAM_DATA_BLOCKED 2 100")

	tt.must(tt.handleMaxStreamData(2, 99))
	tt.wantEvents("")
	tt.must(tt.handleMaxStreamData(2, 120))
	tt.wantEvents("writable 2")
	tt.lose(lost)
	tt.wantPacket("")
	if n, err := s.TryWrite(make([]byte, 50), true); n != 20 || err != nil {
		t.Fatalf("TryWrite: %d, %v", n, err)
	}
	tt.wantPacket("STREAM 2 100+20")
	tt.wantPacket("STREAM_DATA_BLOCKED 2 120")
	tt.must(tt.handleMaxStreamData(2, 1000))
	tt.mustWrite(s, strings.Repeat("x", 30), true)
	tt.wantPacket("STREAM 2 120+30 fin")
}

// A stream that has used all credit but wants no more is not blocked.
func TestNotBlockedWithoutMoreToWrite(t *testing.T) {
	limits := tableLimits
	limits.uni, limits.maxData = 100, 100
	tt := newTableWith(t, Client, tableConfig, limits)
	s := tt.mustOpen(Uni)
	tt.mustWrite(s, strings.Repeat("x", 100), false)
	tt.wantPacket("STREAM 2 0+100")
	tt.mustWrite(s, "", true) // the end needs no credit
	tt.wantPacket("STREAM 2 100+0 fin")
}

// RFC 9000, Section 2.2 (MUST 3), Section 4.1 (MUST 1, 3), Section 13.3 (MUST 3) and Section 19.9 (MUST 1).
func TestConnectionFlowControlOfThePeer(t *testing.T) {
	limits := tableLimits
	limits.maxData = 100
	tt := newTableWith(t, Client, tableConfig, limits)
	a, b, c := tt.mustOpen(Uni), tt.mustOpen(Uni), tt.mustOpen(Uni)
	tt.mustWrite(a, strings.Repeat("x", 60), false)
	tt.mustWrite(b, strings.Repeat("x", 60), true)
	first := tt.wantPacket("STREAM 2 0+60, STREAM 6 0+40, DATA_BLOCKED 100")
	tt.wantPacket("")
	// What needs no credit goes on: data that was lost, the end, a reset.
	tt.lose(first)
	tt.mustWrite(a, "", true)
	tt.mustWrite(c, "", true)
	tt.wantPacket("STREAM 2 0+60 fin, STREAM 6 0+40, STREAM 10 0+0 fin, DATA_BLOCKED 100")
	tt.must(tt.handleMaxData(90))
	tt.wantPacket("")
	tt.must(tt.handleMaxData(110))
	tt.wantPacket("STREAM 6 40+10, DATA_BLOCKED 110")
	tt.lose(first) // DATA_BLOCKED 100 says nothing new; of the data, all is sent again
	tt.wantPacket("STREAM 2 0+60 fin, STREAM 6 0+40")
	tt.must(tt.handleMaxData(1000))
	tt.wantPacket("STREAM 6 50+10 fin")
	b.Reset(5)
	tt.wantPacket("RESET_STREAM 6 code 5 size 60")
}

// RFC 9000, Section 19.9 (MUST 1).
func TestResetGivesBackNoCredit(t *testing.T) {
	limits := tableLimits
	limits.maxData = 100
	tt := newTableWith(t, Client, tableConfig, limits)
	a, b := tt.mustOpen(Uni), tt.mustOpen(Uni)
	tt.mustWrite(a, strings.Repeat("x", 80), false)
	tt.wantPacket("STREAM 2 0+80")
	tt.mustWrite(a, strings.Repeat("x", 80), false)
	a.Reset(1)
	tt.mustWrite(b, strings.Repeat("x", 30), false)
	tt.wantPacket("RESET_STREAM 2 code 1 size 80, STREAM 6 0+20, DATA_BLOCKED 100")
}

// What flow control stops is known, so that the connection can keep itself alive meanwhile.
func TestIsBlocked(t *testing.T) {
	limits := tableLimits
	limits.uni = 100
	for _, c := range []struct {
		name string
		end  func(tt *tableTest, s *Stream, blocked []sentFrame)
	}{
		{"more credit", func(tt *tableTest, s *Stream, blocked []sentFrame) { tt.must(tt.handleMaxStreamData(2, 101)) }},
		{"reset", func(tt *tableTest, s *Stream, blocked []sentFrame) { s.Reset(1) }},
		{"STOP_SENDING", func(tt *tableTest, s *Stream, blocked []sentFrame) { tt.must(tt.handleStopSending(2, 1)) }},
		{"nothing more to write", func(tt *tableTest, s *Stream, blocked []sentFrame) { tt.mustWrite(s, "", true) }},
		{"loss, then more credit", func(tt *tableTest, s *Stream, blocked []sentFrame) {
			tt.lose(blocked)
			tt.wantPacket("STREAM_DATA_BLOCKED 2 100")
			if !tt.isBlocked() {
				t.Error("not blocked though the limit is the same")
			}
			tt.must(tt.handleMaxStreamData(2, 101))
		}},
		{"the end of the connection", func(tt *tableTest, s *Stream, blocked []sentFrame) { tt.close(errors.New("done")) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			tt := newTableWith(t, Client, tableConfig, limits)
			s := tt.mustOpen(Uni)
			s.TryWrite(make([]byte, 150), false)
			tt.wantPacket("STREAM 2 0+100")
			if tt.isBlocked() {
				t.Error("blocked before the peer was told")
			}
			blocked := tt.wantPacket("STREAM_DATA_BLOCKED 2 100")
			if !tt.isBlocked() {
				t.Error("not blocked")
			}
			c.end(tt, s, blocked)
			if tt.isBlocked() || tt.blocked != 0 {
				t.Error("still blocked")
			}
		})
	}

	limits.maxData = 50
	tt := newTableWith(t, Client, tableConfig, limits)
	s := tt.mustOpen(Uni)
	tt.mustWrite(s, strings.Repeat("x", 100), false)
	tt.wantPacket("STREAM 2 0+50, DATA_BLOCKED 50")
	if !tt.isBlocked() {
		t.Error("not blocked by the connection's limit")
	}
	tt.must(tt.handleMaxData(51))
	if tt.isBlocked() {
		t.Error("still blocked by the connection's limit")
	}
}

// The bytes that wait to be sent are bounded, on each stream and on the connection.
func TestUnsentBytesAreBounded(t *testing.T) {
	limits := tableLimits
	limits.maxData, limits.uni = 1<<30, 1<<30
	for _, cwnd := range []int{0, minSendLimit + 50_000} {
		tt := newTableWith(t, Client, tableConfig, limits)
		tt.setEstimates(tableRTT, tableRTT, cwnd)
		bound := max(minSendLimit, cwnd)
		a, b, c := tt.mustOpen(Uni), tt.mustOpen(Uni), tt.mustOpen(Uni)
		huge := make([]byte, 1<<20)
		if n, err := a.TryWrite(huge, false); n != bound || err != nil || a.Writable() != 0 {
			t.Fatalf("cwnd %d: TryWrite took %d bytes, %v", cwnd, n, err)
		}
		if n, err := b.TryWrite(huge, false); n != streamReserve || err != nil || b.Writable() != 0 {
			t.Fatalf("cwnd %d: TryWrite took %d bytes, %v, beside a full stream", cwnd, n, err)
		}
		tt.mustWrite(c, "hello", true) // small messages need not wait
		tt.wantEvents("")
		for tt.unsent > bound/2 {
			tt.wantNoEventBefore(a, b, bound)
			tt.packet(1200)
		}
		got := tt.eventTexts()
		for _, want := range []string{"writable 2", "writable 6"} {
			if strings.Count(got, want) != 1 {
				t.Errorf("cwnd %d: events %q, want %q once", cwnd, got, want)
			}
		}
		for tt.pending() {
			tt.packet(1200)
		}
		tt.wantEvents("") // told once
		if n := b.Writable(); n != bound {
			t.Errorf("cwnd %d: %d bytes writable when all was sent", cwnd, n)
		}
	}
}

// wantNoEventBefore checks that no stream has been told of room that it does not have.
func (tt *tableTest) wantNoEventBefore(a, b *Stream, bound int) {
	tt.Helper()
	for _, s := range []*Stream{a, b} {
		if s.events&eventWritable != 0 && s.Writable() < streamReserve/2 {
			tt.Fatalf("stream %d was told of room for %d bytes", s.ID(), s.Writable())
		}
	}
}

// Whoever waits for room in the connection's backlog hears of it when another stream gives up its part.
func TestResetMakesRoomForOthers(t *testing.T) {
	limits := tableLimits
	limits.maxData, limits.uni = 0, 1<<30
	tt := newTableWith(t, Client, tableConfig, limits)
	a, b := tt.mustOpen(Uni), tt.mustOpen(Uni)
	a.TryWrite(make([]byte, 1<<20), false)
	b.TryWrite(make([]byte, 1<<20), false)
	a.Reset(1)
	tt.wantEvents("writable 6")
	if n := b.Writable(); n != minSendLimit-streamReserve {
		t.Errorf("%d bytes writable", n)
	}
}

func TestWritableIsRetracted(t *testing.T) {
	limits := tableLimits
	limits.uni = 10
	tt := newTableWith(t, Client, tableConfig, limits)
	s := tt.mustOpen(Uni)
	s.TryWrite(make([]byte, 20), false)
	tt.must(tt.handleMaxStreamData(2, 20))
	tt.mustWrite(s, strings.Repeat("x", 10), false) // without waiting for the event
	tt.wantEvents("")
	s.TryWrite(make([]byte, 20), false)
	tt.must(tt.handleMaxStreamData(2, 40))
	s.Reset(1)
	tt.wantEvents("")
}

// RFC 9000, Section 3.5 (MUST 1).
func TestStopSendingTellsOnceAndFailsWrites(t *testing.T) {
	tt := newTable(t, Server)
	tt.stream(0, 0, "request", true)
	s := tt.get(0)
	tt.must(tt.handleStopSending(0, 42))
	tt.must(tt.handleStopSending(0, 43))
	tt.wantEvents("opened 0, readable 0, writable 0")
	tt.wantPacket("RESET_STREAM 0 code 42 size 0")
	for range 2 {
		n, err := s.TryWrite([]byte("x"), true)
		tt.wantStreamError(err, StreamError{Remote: true, Code: 42, Stream: 0})
		if n != 0 || s.Writable() != 0 {
			t.Error("a stream takes data that the peer does not want")
		}
	}
	s.Reset(1) // the peer's code stands
	tt.wantPacket("")
	tt.wantEvents("")
}

func TestCodesThatDoNotFitAreCut(t *testing.T) {
	tt := newTable(t, Client)
	s := tt.mustOpen(Bidi)
	s.Reset(1 << 63)
	s.StopSending(1 << 63)
	tt.wantPacket("RESET_STREAM 0 code 4611686018427387903 size 0, STOP_SENDING 0 code 4611686018427387903")
}

func TestStreamErrorText(t *testing.T) {
	tt := newTable(t, Client)
	s := tt.mustOpen(Bidi)
	tt.must(tt.handleStopSending(0, 0x10c))
	_, err := s.TryWrite([]byte("x"), false)
	var se *StreamError
	if !errors.As(err, &se) || err.Error() != "quic: stream 0 ended by the peer with code 0x10c" {
		t.Errorf("error %v", err)
	}
}
