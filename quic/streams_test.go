package quic

import (
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dunlin-quic/dunlin/internal/blocks"
	"github.com/dunlin-quic/dunlin/internal/monotime"
	"github.com/dunlin-quic/dunlin/internal/recovery"
	"github.com/dunlin-quic/dunlin/internal/wire"
)

// tableTest drives a stream table with scripted frames and shows the frames that it sends as text.
type tableTest struct {
	*testing.T
	streamTable
	rec recovery.Recovery
	now monotime.Time
}

const tableRTT = 100 * time.Millisecond

var tableLimits = streamLimits{maxData: 1 << 20, bidiLocal: 1 << 18, bidiRemote: 1 << 18, uni: 1 << 18,
	maxStreams: [2]uint64{10, 10}, resetAt: true}

var tableConfig = Config{StreamWindow: 10_000, MaxStreamWindow: 10_000, ConnWindow: 20_000, MaxConnWindow: 20_000,
	MaxBidiStreams: 10, MaxUniStreams: 10}

func newTable(t *testing.T, side Side) *tableTest {
	return newTableWith(t, side, tableConfig, tableLimits)
}

func newTableWith(t *testing.T, side Side, cfg Config, limits streamLimits) *tableTest {
	tt := &tableTest{T: t, now: monotime.Time(time.Hour)}
	tt.init(side, &cfg)
	tt.setPeerLimits(limits)
	tt.setEstimates(tableRTT, tableRTT, 0)
	return tt
}

// sentFrame is a frame in a packet that a table filled: how it reads, and what recovery would say of its fate.
type sentFrame struct {
	text   string
	stream wire.StreamFrame
	record recovery.Frame
}

// packet lets the table fill a packet of the size.
func (tt *tableTest) packet(size int) []sentFrame {
	tt.Helper()
	w := &packetWriter{buf: make([]byte, 0, size), limit: size, space: recovery.AppData, rec: &tt.rec}
	tt.appendFrames(w, tt.now)
	if len(w.buf) > size {
		tt.Fatalf("a packet of %d bytes was filled with %d", size, len(w.buf))
	}
	tt.rec.Abandon(recovery.AppData)
	frames := parseFrames(tt.T, w.buf)
	if w.ackEliciting != (len(frames) > 0) {
		tt.Fatalf("ack-eliciting: %v with %d frames", w.ackEliciting, len(frames))
	}
	return frames
}

func parseFrames(t testing.TB, b []byte) (frames []sentFrame) {
	t.Helper()
	for len(b) > 0 {
		var f sentFrame
		var n int
		ft := wire.FrameType(b[0])
		switch {
		case ft == wire.FramePadding:
			b = b[1:]
			continue
		case ft.IsStream():
			f.stream, n = wire.ParseStream(b)
			f.stream.Data = slices.Clone(f.stream.Data)
			f.text = fmt.Sprintf("STREAM %d %d+%d", f.stream.ID, f.stream.Offset, len(f.stream.Data))
			if f.stream.Fin {
				f.text += " fin"
			}
			f.record = recovery.Frame{Type: wire.FrameStream, ID: f.stream.ID, Offset: f.stream.Offset,
				Length: uint32(len(f.stream.Data)), Fin: f.stream.Fin}
		case ft == wire.FrameResetStream:
			var v wire.ResetStreamFrame
			v, n = wire.ParseResetStream(b)
			f.text = fmt.Sprintf("RESET_STREAM %d code %d size %d", v.ID, v.Code, v.FinalSize)
			f.record = recovery.Frame{Type: ft, ID: v.ID}
		case ft == wire.FrameResetStreamAt:
			var v wire.ResetStreamAtFrame
			v, n = wire.ParseResetStreamAt(b)
			f.text = fmt.Sprintf("RESET_STREAM_AT %d code %d size %d at %d", v.ID, v.Code, v.FinalSize, v.ReliableSize)
			f.record = recovery.Frame{Type: ft, ID: v.ID, Offset: v.ReliableSize}
		case ft == wire.FrameStopSending:
			var v wire.StopSendingFrame
			v, n = wire.ParseStopSending(b)
			f.text = fmt.Sprintf("STOP_SENDING %d code %d", v.ID, v.Code)
			f.record = recovery.Frame{Type: ft, ID: v.ID}
		case ft == wire.FrameMaxData:
			f.record.Type = ft
			f.record.Offset, n = wire.ParseMaxData(b)
			f.text = fmt.Sprintf("MAX_DATA %d", f.record.Offset)
		case ft == wire.FrameDataBlocked:
			f.record.Type = ft
			f.record.Offset, n = wire.ParseDataBlocked(b)
			f.text = fmt.Sprintf("DATA_BLOCKED %d", f.record.Offset)
		case ft == wire.FrameMaxStreamData, ft == wire.FrameStreamDataBlocked:
			var v wire.StreamLimitFrame
			if ft == wire.FrameMaxStreamData {
				v, n = wire.ParseMaxStreamData(b)
			} else {
				v, n = wire.ParseStreamDataBlocked(b)
			}
			f.text = fmt.Sprintf("%v %d %d", ft, v.ID, v.Limit)
			f.record = recovery.Frame{Type: ft, ID: v.ID, Offset: v.Limit}
		case ft >= wire.FrameMaxStreamsBidi && ft <= wire.FrameMaxStreamsUni:
			var v wire.StreamsFrame
			v, n = wire.ParseMaxStreams(b)
			f.text = fmt.Sprintf("%v %v %d", ft, Dir(ft&1), v.Limit)
			f.record = recovery.Frame{Type: ft, Offset: v.Limit}
		case ft >= wire.FrameStreamsBlockedBidi && ft <= wire.FrameStreamsBlockedUni:
			var v wire.StreamsFrame
			v, n = wire.ParseStreamsBlocked(b)
			f.text = fmt.Sprintf("%v %v %d", ft, Dir(ft&1), v.Limit)
			f.record = recovery.Frame{Type: ft, Offset: v.Limit}
		}
		if n == 0 {
			t.Fatalf("malformed frame: %x", b)
		}
		frames = append(frames, f)
		b = b[n:]
	}
	return frames
}

func texts(frames []sentFrame) string {
	var s []string
	for _, f := range frames {
		s = append(s, f.text)
	}
	return strings.Join(s, ", ")
}

// wantPacket checks the frames of the next packet of 1,200 bytes and returns them.
func (tt *tableTest) wantPacket(want string) []sentFrame {
	tt.Helper()
	if pending := tt.pending(); pending != (want != "") {
		tt.Errorf("pending is %v before %q", pending, want)
	}
	frames := tt.packet(1200)
	if got := texts(frames); got != want {
		tt.Errorf("sent %q, want %q", got, want)
	}
	return frames
}

func (tt *tableTest) ack(frames []sentFrame) {
	for _, f := range frames {
		tt.frameAcked(f.record)
	}
}

func (tt *tableTest) lose(frames []sentFrame) {
	for _, f := range frames {
		tt.frameLost(f.record)
	}
}

// wantEvents checks all pending events.
func (tt *tableTest) wantEvents(want string) {
	tt.Helper()
	if got := tt.eventTexts(); got != want {
		tt.Errorf("events %q, want %q", got, want)
	}
}

var eventNames = map[EventKind]string{EventStreamOpened: "opened", EventStreamReadable: "readable",
	EventStreamWritable: "writable", EventStreamClosed: "closed"}

func (tt *tableTest) eventTexts() string {
	var s []string
	for {
		e, ok := tt.nextEvent()
		switch {
		case !ok:
			return strings.Join(s, ", ")
		case e.Kind == EventStreamsAvailable:
			s = append(s, "available "+e.Dir.String())
		default:
			s = append(s, fmt.Sprint(eventNames[e.Kind], " ", e.Stream.ID()))
		}
	}
}

func (tt *tableTest) mustOpen(d Dir) *Stream {
	tt.Helper()
	s, err := tt.open(d)
	if err != nil {
		tt.Fatal(err)
	}
	return s
}

// stream passes data as a STREAM frame, which must be accepted.
func (tt *tableTest) stream(id StreamID, offset int, data string, fin bool) {
	tt.Helper()
	if err := tt.handleStream(tt.now, uint64(id), uint64(offset), []byte(data), fin); err != nil {
		tt.Fatal(err)
	}
}

func (tt *tableTest) must(err error) {
	tt.Helper()
	if err != nil {
		tt.Fatal(err)
	}
}

// wantCode checks that err is a local TransportError with the code.
func (tt *tableTest) wantCode(err error, code TransportErrorCode, format string, args ...any) {
	tt.Helper()
	var te *TransportError
	if !errors.As(err, &te) || te.Code != code || te.Remote || te.Reason == "" {
		tt.Errorf(format+": %v, want %v", append(args, err, code)...)
	}
}

func (tt *tableTest) mustWrite(s *Stream, data string, fin bool) {
	tt.Helper()
	if n, err := s.TryWrite([]byte(data), fin); n != len(data) || err != nil {
		tt.Fatalf("TryWrite on stream %d: %d of %d bytes, %v", s.ID(), n, len(data), err)
	}
}

// wantRead checks what one TryRead returns.
func (tt *tableTest) wantRead(s *Stream, want string, wantErr error) {
	tt.Helper()
	b := make([]byte, 1<<16)
	n, err := s.TryRead(b)
	if string(b[:n]) != want || !errors.Is(err, wantErr) {
		tt.Errorf("TryRead on stream %d: %q, %v, want %q, %v", s.ID(), b[:n], err, want, wantErr)
	}
}

func (tt *tableTest) wantStreamError(err error, want StreamError) {
	tt.Helper()
	var se *StreamError
	if !errors.As(err, &se) || *se != want {
		tt.Errorf("error %v, want %v", err, &want)
	}
}

// all of the four types of streams, seen from side.
func streamTypes(side Side) (all []StreamID) {
	for _, initiator := range []Side{side, side.Peer()} {
		for _, d := range []Dir{Bidi, Uni} {
			all = append(all, NewStreamID(initiator, d, 0))
		}
	}
	return all
}

func eachStreamType(t *testing.T, test func(tt *tableTest, id StreamID, local bool)) {
	for _, side := range []Side{Client, Server} {
		for _, id := range streamTypes(side) {
			local := id.Initiator() == side
			who := "peer's"
			if local {
				who = "own"
			}
			t.Run(fmt.Sprintf("%v/%s %v", side, who, id.Dir()), func(t *testing.T) {
				test(newTable(t, side), id, local)
			})
		}
	}
}

// streamFrames are the frames that name a stream.
var streamFrames = []struct {
	name   string
	sender bool // a frame about the part that the peer sends with
	handle func(tt *tableTest, id uint64) error
}{
	{"STREAM", true, func(tt *tableTest, id uint64) error {
		return tt.handleStream(tt.now, id, 0, []byte("x"), false)
	}},
	{"RESET_STREAM_AT", true, func(tt *tableTest, id uint64) error {
		return tt.handleResetAt(wire.ResetStreamAtFrame{ID: id, Code: 1})
	}},
	{"RESET_STREAM", true, func(tt *tableTest, id uint64) error { return tt.handleReset(id, 1, 0) }},
	{"STREAM_DATA_BLOCKED", true, func(tt *tableTest, id uint64) error { return tt.handleStreamDataBlocked(id, 0) }},
	{"STOP_SENDING", false, func(tt *tableTest, id uint64) error { return tt.handleStopSending(id, 1) }},
	{"MAX_STREAM_DATA", false, func(tt *tableTest, id uint64) error { return tt.handleMaxStreamData(id, 1<<20) }},
}

// RFC 9000, Sections 19.4, 19.5, 19.8, 19.10 and 19.13: which frames are permitted for which streams.
// RFC 9000, Section 19.4 (MUST 1), Section 19.5 (MUST 1, 2), Section 19.8 (MUST 1), Section 19.10 (MUST 1, 2) and
// Section 19.13 (MUST 1).
func TestFramesPermittedByStreamType(t *testing.T) {
	for _, f := range streamFrames {
		t.Run(f.name, func(t *testing.T) {
			eachStreamType(t, func(tt *tableTest, id StreamID, local bool) {
				permitted := id.Dir() == Bidi || f.sender != local
				if local {
					tt.wantCode(f.handle(tt, uint64(id)), StreamStateError, "%s for a stream not opened", f.name)
					tt.mustOpen(id.Dir())
				}
				if err := f.handle(tt, uint64(id)); permitted {
					tt.must(err)
				} else {
					tt.wantCode(err, StreamStateError, f.name)
				}
			})
		})
	}
}

// RFC 9000, Section 3.2 (MUST 1): any of these frames opens a stream of the peer, and those of the same kind before it.
func TestFramesOpenStreamsOfThePeer(t *testing.T) {
	for _, f := range streamFrames {
		t.Run(f.name, func(t *testing.T) {
			eachStreamType(t, func(tt *tableTest, id StreamID, local bool) {
				if local || id.Dir() == Uni && !f.sender {
					return
				}
				third := NewStreamID(id.Initiator(), id.Dir(), 2)
				tt.must(f.handle(tt, uint64(third)))
				var opened []StreamID
				for {
					e, ok := tt.nextEvent()
					if !ok {
						break
					}
					if e.Kind == EventStreamOpened {
						opened = append(opened, e.Stream.ID())
					}
				}
				want := []StreamID{id, NewStreamID(id.Initiator(), id.Dir(), 1), third}
				if !slices.Equal(opened, want) {
					tt.Errorf("opened %v, want %v", opened, want)
				}
			})
		})
	}
}

// RFC 9000, Section 4.6 (MUST 3).
// RFC 9000, Section 19.11 (MUST 4).
func TestStreamLimitOfThePeer(t *testing.T) {
	for _, f := range streamFrames {
		t.Run(f.name, func(t *testing.T) {
			eachStreamType(t, func(tt *tableTest, id StreamID, local bool) {
				if local || id.Dir() == Uni && !f.sender {
					return
				}
				tt.must(f.handle(tt, uint64(NewStreamID(id.Initiator(), id.Dir(), 9))))
				tt.wantCode(f.handle(tt, uint64(NewStreamID(id.Initiator(), id.Dir(), 10))), StreamLimitError, f.name)
				tt.wantCode(f.handle(tt, uint64(NewStreamID(id.Initiator(), id.Dir(), 1<<60-1))), StreamLimitError, f.name)
			})
		})
	}
}

func TestNoStreamsAllowedToThePeer(t *testing.T) {
	cfg := tableConfig
	cfg.MaxBidiStreams, cfg.MaxUniStreams = -1, -1
	tt := newTableWith(t, Server, cfg, tableLimits)
	tt.wantCode(tt.handleStream(tt.now, 0, 0, nil, true), StreamLimitError, "bidirectional")
	tt.wantCode(tt.handleStream(tt.now, 2, 0, nil, true), StreamLimitError, "unidirectional")
}

// RFC 9000, Section 2.1 (MUST 1), Section 4.6 (MUST 2, 4) and Section 19.11 (MUST 2, 3).
func TestOpenStreamsUpToTheLimit(t *testing.T) {
	for _, side := range []Side{Client, Server} {
		for _, d := range []Dir{Bidi, Uni} {
			t.Run(fmt.Sprint(side, " ", d), func(t *testing.T) {
				limits := tableLimits
				limits.maxStreams = [2]uint64{3, 3}
				tt := newTableWith(t, side, tableConfig, limits)
				for i := range uint64(3) {
					if s := tt.mustOpen(d); s.ID() != NewStreamID(side, d, i) {
						t.Errorf("stream %d has ID %d", i, s.ID())
					}
				}
				tt.wantPacket("")
				blocked := fmt.Sprint("STREAMS_BLOCKED ", d, " ")
				if _, err := tt.open(d); err != ErrStreamLimit {
					t.Fatalf("a stream beyond the limit: %v", err)
				}
				lost := tt.wantPacket(blocked + "3")
				tt.open(d)
				tt.wantPacket("") // said once
				tt.lose(lost)
				tt.wantPacket(blocked + "3")
				tt.wantEvents("")

				tt.must(tt.handleMaxStreams(d, 2)) // lower limits have no effect
				tt.wantEvents("")
				tt.must(tt.handleMaxStreams(d, 4))
				tt.wantEvents("available " + d.String())
				tt.lose(lost) // no longer blocked
				tt.wantPacket("")
				tt.mustOpen(d)
				if _, err := tt.open(d); err != ErrStreamLimit {
					t.Fatalf("a stream beyond the new limit: %v", err)
				}
				tt.wantPacket(blocked + "4")
				tt.must(tt.handleMaxStreams(d, 5))
				tt.mustOpen(d) // before the event was told: it would be stale
				tt.wantEvents("")
			})
		}
	}
}

func TestOpenBeforeTheHandshake(t *testing.T) {
	tt := &tableTest{T: t}
	cfg := tableConfig
	tt.init(Client, &cfg)
	if _, err := tt.open(Bidi); err != ErrStreamLimit {
		t.Fatalf("open without the peer's limits: %v", err)
	}
	tt.setPeerLimits(tableLimits)
	tt.wantPacket("")
	tt.wantEvents("available bidirectional")
	tt.mustOpen(Bidi)
}

// RFC 9000, Section 7.4.1: limits remembered for 0-RTT hold until the handshake tells higher ones.
func TestLimitsRiseAfterEarlyData(t *testing.T) {
	early := streamLimits{maxData: 10, bidiRemote: 4, uni: 3, maxStreams: [2]uint64{1, 1}}
	tt := newTableWith(t, Client, tableConfig, early)
	bidi, uni := tt.mustOpen(Bidi), tt.mustOpen(Uni)
	for _, s := range []*Stream{bidi, uni} {
		s.TryWrite([]byte("0123456789"), false)
	}
	tt.wantPacket("STREAM 0 0+4, STREAM 2 0+3")
	tt.wantPacket("STREAM_DATA_BLOCKED 0 4, STREAM_DATA_BLOCKED 2 3")
	tt.setPeerLimits(streamLimits{maxData: 100, bidiRemote: 5, uni: 6, maxStreams: [2]uint64{2, 3}})
	tt.wantEvents("writable 0, writable 2")
	if bidi.Writable() != 1 || uni.Writable() != 3 {
		t.Errorf("%d and %d bytes writable, want 1 and 3", bidi.Writable(), uni.Writable())
	}
	if s := tt.mustOpen(Uni); s.Writable() != 6 {
		t.Errorf("%d bytes writable on a new stream, want 6", s.Writable())
	}
}

// The initial limits, each seen from the side of the transport parameter's sender (RFC 9000, Section 18.2).
func TestInitialStreamCredit(t *testing.T) {
	limits := streamLimits{maxData: 1 << 20, bidiLocal: 11, bidiRemote: 22, uni: 33, maxStreams: [2]uint64{1, 1}}
	for _, side := range []Side{Client, Server} {
		tt := newTableWith(t, side, tableConfig, limits)
		if s := tt.mustOpen(Bidi); s.Writable() != 22 {
			t.Errorf("%v: own bidirectional stream: %d", side, s.Writable())
		}
		if s := tt.mustOpen(Uni); s.Writable() != 33 {
			t.Errorf("%v: own unidirectional stream: %d", side, s.Writable())
		}
		id := NewStreamID(side.Peer(), Bidi, 0)
		tt.stream(id, 0, "x", false)
		if s := tt.get(id); s.Writable() != 11 {
			t.Errorf("%v: peer's bidirectional stream: %d", side, s.Writable())
		}
	}
}

// RFC 9000, Section 4.6 (MUST 1), Section 19.11 (MUST 1) and Section 19.14 (MUST 1).
func TestStreamLimitsBeyondTheIDs(t *testing.T) {
	for _, d := range []Dir{Bidi, Uni} {
		tt := newTable(t, Client)
		tt.must(tt.handleMaxStreams(d, 1<<60))
		tt.wantCode(tt.handleMaxStreams(d, 1<<60+1), FrameEncodingError, "MAX_STREAMS %v", d)
		tt.must(tt.handleStreamsBlocked(d, 1<<60))
		tt.wantCode(tt.handleStreamsBlocked(d, 1<<60+1), FrameEncodingError, "STREAMS_BLOCKED %v", d)
	}
}

func TestDirections(t *testing.T) {
	tt := newTable(t, Client)
	own := tt.mustOpen(Uni)
	tt.stream(3, 0, "hello", false)
	peers := tt.get(3)

	tt.wantRead(own, "", ErrDirection)
	if _, err := own.Peek(); err != ErrDirection {
		t.Errorf("Peek: %v", err)
	}
	own.StopSending(1)
	if _, err := peers.TryWrite([]byte("x"), true); err != ErrDirection {
		t.Errorf("TryWrite: %v", err)
	}
	if n := peers.Writable(); n != 0 {
		t.Errorf("%d bytes writable on a receive-only stream", n)
	}
	peers.Reset(1)
	tt.wantPacket("")
	tt.wantRead(peers, "hello", nil)
}

// Streams that the peer opens and ends without end leave nothing behind, and the peer is allowed new ones as the
// application hears of the end of old ones.
func TestStreamsOfThePeerLeaveNothingBehind(t *testing.T) {
	ends := []struct {
		name string
		end  func(tt *tableTest, id StreamID)
	}{
		{"reset at once", func(tt *tableTest, id StreamID) { tt.must(tt.handleReset(uint64(id), 1, 0)) }},
		{"reset after data", func(tt *tableTest, id StreamID) {
			tt.stream(id, 0, "hello", false)
			tt.must(tt.handleReset(uint64(id), 1, 100))
		}},
		{"empty", func(tt *tableTest, id StreamID) { tt.stream(id, 0, "", true) }},
		{"read", func(tt *tableTest, id StreamID) {
			tt.stream(id, 0, "hello", true)
			tt.wantRead(tt.get(id), "hello", nil)
		}},
		{"stopped", func(tt *tableTest, id StreamID) {
			tt.stream(id, 0, "hello", true)
			tt.get(id).StopSending(2)
		}},
		{"stopped with a gap", func(tt *tableTest, id StreamID) {
			tt.stream(id, 10, "hello", false)
			tt.get(id).StopSending(2)
			tt.ack(tt.packet(1200))
			tt.stream(id, 15, "", true)
		}},
	}
	for _, end := range ends {
		t.Run(end.name, func(t *testing.T) {
			eachStreamType(t, func(tt *tableTest, id StreamID, local bool) {
				if local {
					return
				}
				for i := range uint64(1000) {
					id := NewStreamID(id.Initiator(), id.Dir(), i)
					end.end(tt, id)
					if id.Dir() == Bidi {
						tt.get(id).Reset(3)
						tt.ack(tt.packet(1200))
					}
					got := tt.eventTexts()
					if !strings.HasPrefix(got, fmt.Sprint("opened ", id)) || !strings.HasSuffix(got, fmt.Sprint("closed ", id)) {
						tt.Fatalf("events %q", got)
					}
					tt.ack(tt.packet(1200))
					// Late frames for it are ignored.
					tt.stream(id, 0, "hello", false)
					tt.must(tt.handleReset(uint64(id), 1, 5))
					if id.Dir() == Bidi {
						tt.must(tt.handleStopSending(uint64(id), 1))
						tt.must(tt.handleMaxStreamData(uint64(id), 1))
					}
				}
				tt.wantPacket("")
				tt.wantIdle()
			})
		})
	}
}

// wantIdle checks that the table holds on to nothing.
func (tt *tableTest) wantIdle() {
	tt.Helper()
	t := &tt.streamTable
	if len(t.streams) != 0 || t.last != nil || !t.events.empty() || !t.control.empty() || !t.waiting.empty() ||
		t.unsent != 0 || t.blocked != 0 {
		tt.Errorf("something is left: %d streams, %d bytes unsent", len(t.streams), t.unsent)
	}
	for i := range t.sched.levels {
		if l := t.sched.levels[i]; l != nil && (!l.owed.empty() || !l.turns.empty() || len(l.byID) > 0) {
			tt.Errorf("something is left in urgency %d", i)
		}
	}
	if w := &t.window; w.Received() != w.Consumed() {
		tt.Errorf("%d bytes received and %d given back", w.Received(), w.Consumed())
	}
}

// A peer that opens and resets streams does not run ahead of an application that is slow to hear of it.
func TestStreamCreditWaitsForTheApplication(t *testing.T) {
	tt := newTable(t, Server)
	for i := range uint64(10) {
		tt.must(tt.handleReset(uint64(NewStreamID(Client, Uni, i)), 1, 0))
	}
	tt.wantPacket("")
	tt.wantCode(tt.handleReset(uint64(NewStreamID(Client, Uni, 10)), 1, 0), StreamLimitError, "RESET_STREAM")
	tt.eventTexts()
	tt.wantPacket("MAX_STREAMS unidirectional 20")
}

// RFC 9000, Section 4.6 (MUST 5).
func TestMaxStreamsIsSentAgainWhenLost(t *testing.T) {
	tt := newTable(t, Server)
	end := func(i uint64) {
		tt.must(tt.handleReset(uint64(NewStreamID(Client, Uni, i)), 1, 0))
		tt.eventTexts()
	}
	for i := range uint64(4) {
		end(i)
	}
	tt.wantPacket("") // six are left to the peer: more than half
	end(4)
	first := tt.wantPacket("MAX_STREAMS unidirectional 15")
	end(5)
	tt.lose(first)
	second := tt.wantPacket("MAX_STREAMS unidirectional 16") // with the present value
	tt.lose(first)
	tt.wantPacket("") // a later frame has said more
	tt.ack(second)
	tt.wantPacket("")
}

func TestCloseEndsAllStreams(t *testing.T) {
	tt := newTable(t, Client)
	s, u := tt.mustOpen(Bidi), tt.mustOpen(Uni)
	tt.mustWrite(s, "hello", false)
	tt.stream(0, 0, "hello", false)
	tt.stream(1, 5, "hello", false)
	reason := errors.New("enough")
	tt.close(reason)
	tt.close(errors.New("again"))

	tt.wantEvents("")
	tt.wantPacket("")
	for _, s := range []*Stream{s, u} {
		tt.wantRead(s, "", reason)
		if _, err := s.Peek(); err != reason {
			t.Errorf("Peek: %v", err)
		}
		if n, err := s.TryWrite([]byte("x"), true); n != 0 || err != reason {
			t.Errorf("TryWrite: %d, %v", n, err)
		}
		if s.Writable() != 0 || s.Discard(1) != 0 {
			t.Error("something can be written or discarded")
		}
		s.Reset(1)
		s.StopSending(1)
		s.SetPriority(0, false)
	}
	if _, err := tt.open(Bidi); err != reason {
		t.Errorf("open: %v", err)
	}
	tt.frameLost(recovery.Frame{Type: wire.FrameStream, Length: 5})
	tt.frameAcked(recovery.Frame{Type: wire.FrameStream, Length: 5})
	tt.wantPacket("")
	tt.wantIdle()
}

func TestUseOfAStreamThatIsClosed(t *testing.T) {
	tt := newTable(t, Client)
	s := tt.mustOpen(Bidi)
	tt.mustWrite(s, "hello", true)
	tt.ack(tt.wantPacket("STREAM 0 0+5 fin"))
	tt.stream(0, 0, "world", true)
	tt.wantRead(s, "world", nil)
	tt.wantEvents("readable 0, closed 0") // the end can be read
	for range 2 {
		tt.wantRead(s, "", io.EOF)
		if _, err := s.TryWrite([]byte("x"), false); err != ErrStreamDone {
			t.Errorf("TryWrite: %v", err)
		}
		s.Reset(1)
		s.StopSending(1)
		s.SetPriority(1, true)
		s.Discard(1)
	}
	tt.wantEvents("")
	tt.wantPacket("")
	tt.wantIdle()
}

// heldBlocks returns how many bytes of pooled blocks a stream holds.
func heldBlocks(s *Stream) (n int) {
	for _, b := range s.recv.buf.blocks {
		n += cap(b)
	}
	for _, c := range s.send.buf.chunks {
		n += cap(c.data)
	}
	return n
}

// A stream costs one allocation, and its first kilobyte in either direction none.
func TestAllocationsPerStream(t *testing.T) {
	limits := tableLimits
	limits.maxStreams = [2]uint64{1 << 30, 1 << 30}
	tt := newTableWith(t, Client, tableConfig, limits)
	data := make([]byte, blocks.SmallSize)
	buf := make([]byte, 2*blocks.SmallSize)
	w := &packetWriter{buf: make([]byte, 0, 1200), limit: 1200, space: recovery.AppData, rec: &tt.rec}
	var records []recovery.Frame
	allocs := testing.AllocsPerRun(1000, func() {
		s, _ := tt.open(Bidi)
		s.TryWrite(data, true)
		w.buf = w.buf[:0]
		tt.appendFrames(w, tt.now)
		tt.rec.Abandon(recovery.AppData)
		records = append(records[:0], recovery.Frame{Type: wire.FrameStream, ID: uint64(s.ID()), Length: blocks.SmallSize,
			Fin: true})
		tt.frameAcked(records[0])
		tt.handleStream(tt.now, uint64(s.ID()), 0, data, true)
		s.TryRead(buf)
		for {
			if _, ok := tt.nextEvent(); !ok {
				break
			}
		}
	})
	if allocs > 1 {
		t.Errorf("%v allocations per stream", allocs)
	}
	tt.packet(1200)
	tt.wantIdle()
}

// The halves that streams lack are shared by all connections.
func TestMissingHalvesUntouched(t *testing.T) {
	for _, side := range []Side{Client, Server} {
		tt := newTable(t, side)
		own, err := tt.open(Uni)
		if err != nil {
			t.Fatal(err)
		}
		if err := tt.handleStream(0, uint64(NewStreamID(side.Peer(), Uni, 0)), 0, []byte("x"), false); err != nil {
			t.Fatal(err)
		}
		peers := tt.get(NewStreamID(side.Peer(), Uni, 0))
		for _, s := range []*Stream{own, peers} {
			s.TryRead(make([]byte, 8))
			s.Peek()
			s.Discard(1)
			s.SetPriority(1, false)
			s.Writable()
			s.TryWrite([]byte("x"), true)
			s.StopSending(1)
			s.Reset(1)
		}
		tt.close(ErrIdleTimeout)
	}
	if !reflect.DeepEqual(noSendHalf, sendHalf{}) || !reflect.DeepEqual(noRecvHalf, recvHalf{}) {
		t.Errorf("%+v\n%+v", noSendHalf, noRecvHalf)
	}
}
