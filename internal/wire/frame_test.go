package wire

import (
	"bytes"
	"reflect"
	"testing"
)

// parseFrame parses the frame that b begins with, whatever its type, and returns how to append it again. n is 0 if it is
// malformed or unknown.
func parseFrame(b []byte) (f any, n int, again func([]byte) []byte) {
	typ, _, minimal := ParseFrameType(b)
	if !minimal {
		return nil, 0, nil
	}
	switch {
	case typ == FramePadding:
		n := ParsePadding(b)
		return n, n, func(b []byte) []byte { return AppendPadding(b, n) }
	case typ == FramePing:
		return nil, 1, AppendPing
	case typ == FrameHandshakeDone:
		return nil, 1, AppendHandshakeDone
	case typ == FrameAck || typ == FrameAckECN:
		f, n := ParseAck(b, nil)
		return f, n, func(b []byte) []byte { return appendAckFrame(b, f) }
	case typ == FrameResetStream:
		f, n := ParseResetStream(b)
		return f, n, func(b []byte) []byte { return AppendResetStream(b, f) }
	case typ == FrameResetStreamAt:
		f, n := ParseResetStreamAt(b)
		return f, n, func(b []byte) []byte { return AppendResetStreamAt(b, f) }
	case typ == FrameImmediateAck:
		return nil, 1, AppendImmediateAck
	case typ == FrameAckFrequency:
		f, n := ParseAckFrequency(b)
		return f, n, func(b []byte) []byte { return AppendAckFrequency(b, f) }
	case typ == FrameStopSending:
		f, n := ParseStopSending(b)
		return f, n, func(b []byte) []byte { return AppendStopSending(b, f) }
	case typ == FrameCrypto:
		f, n := ParseCrypto(b)
		return f, n, func(b []byte) []byte { return append(AppendCryptoHeader(b, f.Offset, len(f.Data)), f.Data...) }
	case typ == FrameNewToken:
		f, n := ParseNewToken(b)
		return f, n, func(b []byte) []byte { return AppendNewToken(b, f) }
	case typ.IsStream():
		f, n := ParseStream(b)
		return f, n, func(b []byte) []byte {
			return append(AppendStreamHeader(b, f.ID, f.Offset, len(f.Data), f.Fin), f.Data...)
		}
	case typ == FrameMaxData:
		f, n := ParseMaxData(b)
		return f, n, func(b []byte) []byte { return AppendMaxData(b, f) }
	case typ == FrameMaxStreamData:
		f, n := ParseMaxStreamData(b)
		return f, n, func(b []byte) []byte { return AppendMaxStreamData(b, f) }
	case typ == FrameMaxStreamsBidi || typ == FrameMaxStreamsUni:
		f, n := ParseMaxStreams(b)
		return f, n, func(b []byte) []byte { return AppendMaxStreams(b, f) }
	case typ == FrameDataBlocked:
		f, n := ParseDataBlocked(b)
		return f, n, func(b []byte) []byte { return AppendDataBlocked(b, f) }
	case typ == FrameStreamDataBlocked:
		f, n := ParseStreamDataBlocked(b)
		return f, n, func(b []byte) []byte { return AppendStreamDataBlocked(b, f) }
	case typ == FrameStreamsBlockedBidi || typ == FrameStreamsBlockedUni:
		f, n := ParseStreamsBlocked(b)
		return f, n, func(b []byte) []byte { return AppendStreamsBlocked(b, f) }
	case typ == FrameNewConnectionID:
		f, n := ParseNewConnectionID(b)
		return f, n, func(b []byte) []byte { return AppendNewConnectionID(b, f) }
	case typ == FrameRetireConnectionID:
		f, n := ParseRetireConnectionID(b)
		return f, n, func(b []byte) []byte { return AppendRetireConnectionID(b, f) }
	case typ == FramePathChallenge:
		f, n := ParsePathChallenge(b)
		return f, n, func(b []byte) []byte { return AppendPathChallenge(b, f) }
	case typ == FramePathResponse:
		f, n := ParsePathResponse(b)
		return f, n, func(b []byte) []byte { return AppendPathResponse(b, f) }
	case typ == FrameConnectionClose || typ == FrameConnectionCloseApp:
		f, n := ParseConnectionClose(b)
		return f, n, func(b []byte) []byte { return AppendConnectionClose(b, f, 1<<20) }
	case typ == FrameDatagram || typ == FrameDatagramLen:
		f, n := ParseDatagram(b)
		return f, n, func(b []byte) []byte { return append(AppendDatagramHeader(b, len(f)), f...) }
	}
	return nil, 0, nil
}

const big = 1<<40 + 5 // takes 8 bytes

func cid(s string) ConnectionID { return NewConnectionID([]byte(s)) }

var token16 = [16]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}

// frames are valid frames with how they stand on the wire. A frame that reaches up to the packet's end is marked.
var frames = []struct {
	name  string
	frame any
	wire  []byte
	len   int // as the XLen function says, where there is one
	toEnd bool
}{
	{"PING", nil, []byte{0x01}, 1, false},
	{"RESET_STREAM", ResetStreamFrame{4, 0x41, big}, []byte{0x04, 4, 0x40, 0x41, 0xc0, 0, 1, 0, 0, 0, 0, 5},
		ResetStreamLen(ResetStreamFrame{4, 0x41, big}), false},
	{"RESET_STREAM_AT", ResetStreamAtFrame{4, 0x41, 9, 9}, []byte{0x24, 4, 0x40, 0x41, 9, 9},
		ResetStreamAtLen(ResetStreamAtFrame{4, 0x41, 9, 9}), false},
	{"ACK_FREQUENCY", AckFrequencyFrame{Seq: 3, Threshold: 10, Reordering: 5, MaxAckDelay: 25_000},
		[]byte{0x40, 0xaf, 3, 10, 0x80, 0, 0x61, 0xa8, 5},
		AckFrequencyLen(AckFrequencyFrame{Seq: 3, Threshold: 10, Reordering: 5, MaxAckDelay: 25_000}), false},
	{"IMMEDIATE_ACK", nil, []byte{0x1f}, 1, false},
	{"STOP_SENDING", StopSendingFrame{5, 0x1000}, []byte{0x05, 5, 0x50, 0}, StopSendingLen(StopSendingFrame{5, 0x1000}), false},
	{"CRYPTO", CryptoFrame{300, []byte("hello")}, []byte("\x06\x41\x2c\x05hello"), CryptoHeaderLen(300, 5) + 5, false},
	{"CRYPTO empty", CryptoFrame{0, []byte{}}, []byte{6, 0, 0}, CryptoHeaderLen(0, 0), false},
	{"NEW_TOKEN", []byte("token"), []byte("\x07\x05token"), NewTokenLen(5), false},
	{"STREAM to end", StreamFrame{ID: 3, Data: []byte("abc")}, []byte("\x08\x03abc"), StreamHeaderToEndLen(3, 0) + 3, true},
	{"STREAM to end, FIN", StreamFrame{ID: 3, Data: []byte("abc"), Fin: true}, []byte("\x09\x03abc"), 0, true},
	{"STREAM", StreamFrame{ID: 3, Data: []byte("abc")}, []byte("\x0a\x03\x03abc"), StreamHeaderLen(3, 0, 3) + 3, false},
	{"STREAM, FIN", StreamFrame{ID: 3, Data: []byte{}, Fin: true}, []byte("\x0b\x03\x00"), StreamHeaderLen(3, 0, 0), false},
	{"STREAM with offset to end", StreamFrame{ID: 3, Offset: 9, Data: []byte("abc")}, []byte("\x0c\x03\x09abc"),
		StreamHeaderToEndLen(3, 9) + 3, true},
	{"STREAM with offset to end, FIN", StreamFrame{3, 9, []byte("abc"), true}, []byte("\x0d\x03\x09abc"), 0, true},
	{"STREAM with offset", StreamFrame{ID: 3, Offset: 9, Data: []byte("abc")}, []byte("\x0e\x03\x09\x03abc"),
		StreamHeaderLen(3, 9, 3) + 3, false},
	{"STREAM with offset, FIN", StreamFrame{3, 9, []byte("abc"), true}, []byte("\x0f\x03\x09\x03abc"), 0, false},
	{"MAX_DATA", uint64(big), []byte{0x10, 0xc0, 0, 1, 0, 0, 0, 0, 5}, LimitLen(big), false},
	{"MAX_STREAM_DATA", StreamLimitFrame{8, 70}, []byte{0x11, 8, 0x40, 70},
		StreamLimitLen(StreamLimitFrame{8, 70}), false},
	{"MAX_STREAMS bidi", StreamsFrame{false, 100}, []byte{0x12, 0x40, 100}, LimitLen(100), false},
	{"MAX_STREAMS uni", StreamsFrame{true, 3}, []byte{0x13, 3}, LimitLen(3), false},
	{"MAX_STREAMS most", StreamsFrame{false, MaxStreams}, []byte{0x12, 0xd0, 0, 0, 0, 0, 0, 0, 0}, LimitLen(MaxStreams), false},
	{"DATA_BLOCKED", uint64(7), []byte{0x14, 7}, LimitLen(7), false},
	{"STREAM_DATA_BLOCKED", StreamLimitFrame{8, 70}, []byte{0x15, 8, 0x40, 70},
		StreamLimitLen(StreamLimitFrame{8, 70}), false},
	{"STREAMS_BLOCKED bidi", StreamsFrame{false, 100}, []byte{0x16, 0x40, 100}, LimitLen(100), false},
	{"STREAMS_BLOCKED uni", StreamsFrame{true, 3}, []byte{0x17, 3}, LimitLen(3), false},
	{"NEW_CONNECTION_ID", NewConnectionIDFrame{7, 3, cid("connid"), token16},
		append([]byte("\x18\x07\x03\x06connid"), token16[:]...),
		NewConnectionIDLen(NewConnectionIDFrame{7, 3, cid("connid"), token16}), false},
	{"RETIRE_CONNECTION_ID", uint64(64), []byte{0x19, 0x40, 64}, RetireConnectionIDLen(64), false},
	{"PATH_CHALLENGE", [8]byte{1, 2, 3, 4, 5, 6, 7, 8}, []byte{0x1a, 1, 2, 3, 4, 5, 6, 7, 8}, PathDataLen, false},
	{"PATH_RESPONSE", [8]byte{1, 2, 3, 4, 5, 6, 7, 8}, []byte{0x1b, 1, 2, 3, 4, 5, 6, 7, 8}, PathDataLen, false},
	{"CONNECTION_CLOSE", ConnectionCloseFrame{Code: 10, FrameType: 6, Reason: []byte("why")},
		[]byte("\x1c\x0a\x06\x03why"), 0, false},
	{"CONNECTION_CLOSE app", ConnectionCloseFrame{App: true, Code: 256, Reason: []byte{}}, []byte{0x1d, 0x41, 0, 0}, 0, false},
	{"HANDSHAKE_DONE", nil, []byte{0x1e}, 1, false},
	{"DATAGRAM to end", []byte("data"), []byte("\x30data"), 0, true},
	{"DATAGRAM", []byte("data"), []byte("\x31\x04data"), DatagramHeaderLen(4) + 4, false},
	{"DATAGRAM empty", []byte{}, []byte{0x31, 0}, DatagramHeaderLen(0), false},
	{"ACK", AckFrame{Ranges: []AckRange{{90, 100}, {70, 88}, {0, 0}}, Delay: 77},
		[]byte{0x02, 0x40, 100, 0x40, 77, 2, 10, 0, 18, 0x40, 68, 0}, 0, false},
	{"ACK_ECN", AckFrame{Ranges: []AckRange{{5, 5}}, HasECN: true, ECN: ECNCounts{1, 2, 64}},
		[]byte{0x03, 5, 0, 0, 0, 1, 2, 0x40, 64}, 0, false},
}

// RFC 9000, Section 12.4 (MUST 5) and Section 19.3 (MUST 1).
func TestFrames(t *testing.T) {
	for _, tt := range frames {
		t.Run(tt.name, func(t *testing.T) {
			b := tt.wire
			if !tt.toEnd {
				b = append(bytes.Clone(b), 0xee) // what follows is not touched
			}
			f, n, again := parseFrame(b)
			if n != len(tt.wire) || !reflect.DeepEqual(f, tt.frame) {
				t.Fatalf("parsed %+v, %d bytes", f, n)
			}
			if tt.len != 0 && tt.len != len(tt.wire) {
				t.Errorf("length said to be %d", tt.len)
			}
			if tt.toEnd {
				return
			}
			if got := again(nil); !bytes.Equal(got, tt.wire) {
				t.Errorf("appended %x, want %x", got, tt.wire)
			}
			for i := range tt.wire {
				if _, n, _ := parseFrame(tt.wire[:i]); n != 0 {
					t.Errorf("parsed the first %d bytes", i)
				}
			}
		})
	}
}

func TestStreamHeaderToEnd(t *testing.T) {
	for _, f := range []StreamFrame{
		{ID: 3, Data: []byte("abc")}, {ID: 3, Data: []byte("abc"), Fin: true},
		{ID: 300, Offset: 9, Data: []byte("abc")}, {300, 9, []byte{}, true},
	} {
		b := AppendStreamHeaderToEnd(nil, f.ID, f.Offset, f.Fin)
		if len(b) != StreamHeaderToEndLen(f.ID, f.Offset) {
			t.Errorf("%+v: %d bytes", f, len(b))
		}
		if got, n := ParseStream(append(b, f.Data...)); n != len(b)+len(f.Data) || !reflect.DeepEqual(got, f) {
			t.Errorf("%+v came back as %+v, %d", f, got, n)
		}
	}
}

// RFC 9000, Section 19.3.1 (MUST 1), Section 19.6 (MUST 1), Section 19.7 (MUST 2), Section 19.8 (MUST 2), Section
// 19.11 (MUST 1), Section 19.14 (MUST 1), Section 19.15 (MUST 1, 6) and Section 4.6 (MUST 1).
func TestMalformedFrames(t *testing.T) {
	max := AppendVarint(nil, MaxVarint)
	for _, tt := range []struct {
		name string
		b    []byte
	}{
		{"unknown type", []byte{0x21, 0, 0}},
		{"RESET_STREAM_AT beyond the final size", []byte{0x24, 4, 0, 8, 9}},
		{"ACK_FREQUENCY with a type of four bytes", []byte{0x80, 0, 0, 0xaf, 1, 1, 1, 1}},
		{"type of two bytes", []byte{0x40, 0x01}},
		{"NEW_TOKEN without a token", []byte{0x07, 0}},
		{"MAX_STREAMS above 2^60", append([]byte{0x12}, AppendVarint(nil, MaxStreams+1)...)},
		{"MAX_STREAMS uni above 2^60", append([]byte{0x13}, AppendVarint(nil, MaxStreams+1)...)},
		{"STREAMS_BLOCKED above 2^60", append([]byte{0x16}, AppendVarint(nil, MaxStreams+1)...)},
		{"STREAM beyond 2^62-1", append(append([]byte{0x0c, 0}, max...), 'x')},
		{"STREAM with length beyond 2^62-1", append(append([]byte{0x0e, 0}, max...), 1, 'x')},
		{"CRYPTO beyond 2^62-1", append(append([]byte{0x06}, max...), 1, 'x')},
		{"CRYPTO longer than the packet", append([]byte{0x06, 0}, append(max, 'x')...)},
		{"DATAGRAM longer than the packet", []byte{0x31, 2, 'x'}},
		{"NEW_CONNECTION_ID without an ID", append([]byte{0x18, 1, 0, 0}, token16[:]...)},
		{"NEW_CONNECTION_ID with an ID of 21 bytes", append(append([]byte{0x18, 1, 0, 21}, make([]byte, 21)...), token16[:]...)},
		{"NEW_CONNECTION_ID that retires itself", append([]byte{0x18, 1, 2, 1, 'x'}, token16[:]...)},
		{"ACK below zero", []byte{0x02, 5, 0, 0, 6}},
		{"ACK with a gap below zero", []byte{0x02, 5, 0, 1, 0, 4, 0}},
		{"ACK with a range below zero", []byte{0x02, 5, 0, 1, 0, 0, 4}},
		{"ACK with a huge gap", append(append([]byte{0x02, 5, 0, 1, 0}, max...), 0)},
		{"ACK with more ranges than bytes", append(append([]byte{0x02, 5, 0}, max...), 0)},
	} {
		if f, n, _ := parseFrame(tt.b); n != 0 {
			t.Errorf("%s: parsed as %+v, %d bytes", tt.name, f, n)
		}
	}
}

// A parser that is handed another type's frame refuses it.
func TestWrongFrameType(t *testing.T) {
	b := append([]byte{0x21}, make([]byte, 100)...)
	for name, n := range map[string]int{
		"ACK":                  second(ParseAck(b, nil)),
		"RESET_STREAM":         second(ParseResetStream(b)),
		"RESET_STREAM_AT":      second(ParseResetStreamAt(b)),
		"ACK_FREQUENCY":        second(ParseAckFrequency(b)),
		"STOP_SENDING":         second(ParseStopSending(b)),
		"CRYPTO":               second(ParseCrypto(b)),
		"NEW_TOKEN":            second(ParseNewToken(b)),
		"STREAM":               second(ParseStream(b)),
		"MAX_DATA":             second(ParseMaxData(b)),
		"MAX_STREAM_DATA":      second(ParseMaxStreamData(b)),
		"MAX_STREAMS":          second(ParseMaxStreams(b)),
		"DATA_BLOCKED":         second(ParseDataBlocked(b)),
		"STREAM_DATA_BLOCKED":  second(ParseStreamDataBlocked(b)),
		"STREAMS_BLOCKED":      second(ParseStreamsBlocked(b)),
		"NEW_CONNECTION_ID":    second(ParseNewConnectionID(b)),
		"RETIRE_CONNECTION_ID": second(ParseRetireConnectionID(b)),
		"PATH_CHALLENGE":       second(ParsePathChallenge(b)),
		"PATH_RESPONSE":        second(ParsePathResponse(b)),
		"CONNECTION_CLOSE":     second(ParseConnectionClose(b)),
		"DATAGRAM":             second(ParseDatagram(b)),
	} {
		if n != 0 {
			t.Errorf("%s parsed a frame of type 0x21", name)
		}
	}
}

func second[T any](_ T, n int) int { return n }

func TestConnectionCloseRoom(t *testing.T) {
	reason := bytes.Repeat([]byte("x"), 500)
	for _, app := range []bool{false, true} {
		for room := 25; room < 600; room++ {
			b := AppendConnectionClose([]byte("before"), ConnectionCloseFrame{App: app, Code: MaxVarint, Reason: reason}, room)
			if len(b)-6 > room {
				t.Fatalf("%d bytes where there was room for %d", len(b)-6, room)
			}
			f, n := ParseConnectionClose(b[6:])
			if n != len(b)-6 || f.App != app || f.Code != MaxVarint {
				t.Fatalf("room %d: came back as %+v, %d", room, f, n)
			}
			if left := room - n; len(f.Reason) < len(reason) && left > 1 {
				t.Errorf("room %d: %d bytes left free", room, left)
			}
		}
	}
}

func TestPadding(t *testing.T) {
	for n := range 40 {
		b := append(AppendPadding(nil, n), 1)
		if len(b) != n+1 || ParsePadding(b) != n || ParsePadding(b[:n]) != n {
			t.Errorf("%d bytes: appended %d, parsed %d", n, len(b)-1, ParsePadding(b))
		}
	}
}

func FuzzFrame(f *testing.F) {
	for _, tt := range frames {
		f.Add(tt.wire)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		// Frame after frame, as a packet's payload is read.
		for len(b) > 0 {
			frame, n, again := parseFrame(b)
			if n < 0 || n > len(b) {
				t.Fatalf("%d bytes of %d parsed", n, len(b))
			}
			if n == 0 {
				return
			}
			frame2, n2, _ := parseFrame(again(nil))
			if n2 == 0 || !reflect.DeepEqual(frame, frame2) {
				t.Fatalf("%x: %+v came back as %+v", b[:n], frame, frame2)
			}
			b = b[n:]
		}
	})
}
