package h3

import (
	"slices"
	"testing"

	"github.com/dunlin-quic/dunlin/quic"
)

var bothSides = []quic.Side{quic.Client, quic.Server}

// settingsFrame is a SETTINGS frame with pairs of identifier and value.
func settingsFrame(v ...uint64) []byte {
	var payload []byte
	for _, v := range v {
		payload = append(payload, varint(v)...)
	}
	return frame(frameSettings, payload...)
}

// ending says how a scripted stream ends.
type ending uint8

const (
	open ending = iota
	fin
	reset
)

// uni opens a unidirectional stream on a side without a Conn.
func (p *pair) uni(side quic.Side, b []byte, e ending) *quic.Stream {
	s := p.open(side, quic.Uni, b, e == fin)
	if e == reset {
		p.run()
		s.Reset(0x100)
	}
	return s
}

// TestUnidirectionalStreams: each row is what a peer sends on unidirectional streams, and the code of the connection
// error that it earns, 0 for none.
func TestUnidirectionalStreams(t *testing.T) {
	client, server := []quic.Side{quic.Client}, []quic.Side{quic.Server}
	control := func(frames ...[]byte) []byte { return cat(emptySettings, cat(frames...)) }
	typ := func(t streamType) []byte { return varint(uint64(t)) }
	long := make([]byte, maxControlFrame)
	for _, tt := range []struct {
		rule    string
		sides   []quic.Side // under test
		streams [][]byte
		end     ending
		want    ErrCode
	}{
		{"9114 6.2.1: nothing wrong", bothSides, [][]byte{control()}, open, 0},
		{"9114 6.2.1: control stream ends", bothSides, [][]byte{control()}, fin, ClosedCriticalStream},
		{"9114 6.2.1: control stream reset", bothSides, [][]byte{control()}, reset, ClosedCriticalStream},
		{"9114 6.2.1: control stream ends before SETTINGS", bothSides, [][]byte{typ(streamControl)}, fin,
			ClosedCriticalStream},
		{"9114 6.2.1: control stream ends within a frame", bothSides, [][]byte{control([]byte{0x07})}, fin,
			ClosedCriticalStream},
		{"9114 6.2.1: two control streams", bothSides, [][]byte{control(), control()}, open, StreamCreationError},
		{"9114 6.2.1: first frame is GOAWAY", bothSides, [][]byte{cat(typ(streamControl), frame(frameGoAway, 0))},
			open, MissingSettings},
		{"9114 6.2.1: first frame is DATA", bothSides, [][]byte{cat(typ(streamControl), dataFrame(""))}, open,
			MissingSettings},
		{"9114 6.2.1, 9: first frame is unknown", bothSides, [][]byte{cat(typ(streamControl), frame(0x21))}, open,
			MissingSettings},
		{"9204 4.2: encoder stream ends", bothSides, [][]byte{typ(streamEncoder)}, fin, ClosedCriticalStream},
		{"9204 4.2: encoder stream reset", bothSides, [][]byte{typ(streamEncoder)}, reset, ClosedCriticalStream},
		{"9204 4.2: decoder stream ends", bothSides, [][]byte{typ(streamDecoder)}, fin, ClosedCriticalStream},
		{"9204 4.2: decoder stream reset", bothSides, [][]byte{typ(streamDecoder)}, reset, ClosedCriticalStream},
		{"9204 4.2: two encoder streams", bothSides, [][]byte{typ(streamEncoder), typ(streamEncoder)}, open,
			StreamCreationError},
		{"9204 4.2: two decoder streams", bothSides, [][]byte{typ(streamDecoder), typ(streamDecoder)}, open,
			StreamCreationError},
		{"9204 4.3.1: capacity above the limit", bothSides,
			[][]byte{cat(typ(streamEncoder), []byte{0x3f, 0xff, 0x7f})}, open, QPACKEncoderStreamError},
		{"9204 4.4.1: acknowledgement of nothing", bothSides, [][]byte{cat(typ(streamDecoder), []byte{0x80})}, open,
			QPACKDecoderStreamError},
		{"9114 6.2: stream without type ends", bothSides, [][]byte{{}}, fin, 0},
		{"9114 6.2: stream ends within its type", bothSides, [][]byte{{0x40}}, fin, 0},
		{"9114 6.2: stream is reset within its type", bothSides, [][]byte{{0x40}}, reset, 0},
		{"9114 6.2.2: push stream from a client", server, [][]byte{cat(typ(streamPush), []byte{0})}, open,
			StreamCreationError},
		{"9114 4.6: push stream without MAX_PUSH_ID", client, [][]byte{cat(typ(streamPush), []byte{0})}, open, IDError},
		{"9114 6.2.3: reserved stream types", bothSides, [][]byte{control(), cat(varint(0x21), []byte("x")),
			varint(0x1f*1e9 + 0x21)}, open, 0},

		{"9114 7.2.4: SETTINGS twice", bothSides, [][]byte{control(settingsFrame())}, open, FrameUnexpected},
		{"9114 7.2.4: setting twice", bothSides,
			[][]byte{cat(typ(streamControl), settingsFrame(6, 1, 0x21, 0, 6, 1))}, open, SettingsError},
		{"9114 7.2.4: setting without value", bothSides, [][]byte{cat(typ(streamControl), settingsFrame(6, 1, 6))},
			open, FrameError},
		{"9114 7.2.4: setting cut short", bothSides,
			[][]byte{cat(typ(streamControl), frame(frameSettings, 6, 0x40))}, open, FrameError},
		{"9114 7.2.4: identifier cut short", bothSides,
			[][]byte{cat(typ(streamControl), frame(frameSettings, 0x40))}, open, FrameError},
		{"9114 7.2.4.1: HTTP/2 setting 0", bothSides, [][]byte{cat(typ(streamControl), settingsFrame(0, 0))}, open,
			SettingsError},
		{"9114 7.2.4.1: HTTP/2 ENABLE_PUSH", bothSides, [][]byte{cat(typ(streamControl), settingsFrame(2, 0))},
			open, SettingsError},
		{"9114 7.2.4.1: HTTP/2 MAX_CONCURRENT_STREAMS", bothSides,
			[][]byte{cat(typ(streamControl), settingsFrame(3, 0))}, open, SettingsError},
		{"9114 7.2.4.1: HTTP/2 INITIAL_WINDOW_SIZE", bothSides,
			[][]byte{cat(typ(streamControl), settingsFrame(4, 0))}, open, SettingsError},
		{"9114 7.2.4.1: HTTP/2 MAX_FRAME_SIZE", bothSides, [][]byte{cat(typ(streamControl), settingsFrame(5, 0))},
			open, SettingsError},
		{"9114 7.2.4.1: reserved and unknown settings", bothSides,
			[][]byte{cat(typ(streamControl), settingsFrame(0x21, 5, 0x7777, 1))}, open, 0},
		{"9114 10.5: SETTINGS without end", bothSides,
			[][]byte{cat(typ(streamControl), appendFrameHeader(nil, frameSettings, maxSettings+1))}, open,
			ExcessiveLoad},

		{"9114 7.2.1: DATA on the control stream", bothSides, [][]byte{control(dataFrame("x"))}, open, FrameUnexpected},
		{"9114 7.2.2: HEADERS on the control stream", bothSides, [][]byte{control(headersFrame())}, open,
			FrameUnexpected},
		{"9114 7.2.5: PUSH_PROMISE on the control stream", bothSides, [][]byte{control(frame(framePushPromise, 0))},
			open, FrameUnexpected},
		{"9114 7.2.8: HTTP/2 PRIORITY", bothSides, [][]byte{control(frame(0x02))}, open, FrameUnexpected},
		{"9114 7.2.8: HTTP/2 PING", bothSides, [][]byte{control(frame(0x06))}, open, FrameUnexpected},
		{"9114 7.2.8: HTTP/2 WINDOW_UPDATE", bothSides, [][]byte{control(frame(0x08))}, open, FrameUnexpected},
		{"9114 7.2.8: HTTP/2 CONTINUATION", bothSides, [][]byte{control(frame(0x09))}, open, FrameUnexpected},
		{"9114 7.2.8: reserved frames", bothSides,
			[][]byte{control(frame(0x21), frame(0x40, 1, 2, 3), frame(0x21, make([]byte, 9000)...))}, open, 0},

		{"9114 7.2.3: CANCEL_PUSH above what is allowed", client, [][]byte{control(frame(frameCancelPush, 0))},
			open, IDError},
		{"9114 7.2.3: CANCEL_PUSH of what was not promised", server,
			[][]byte{control(frame(frameMaxPushID, 5), frame(frameCancelPush, 0))}, open, IDError},
		{"9114 7.1: CANCEL_PUSH without payload", bothSides, [][]byte{control(frame(frameCancelPush))}, open,
			FrameError},
		{"9114 7.2.7: MAX_PUSH_ID from a server", client, [][]byte{control(frame(frameMaxPushID, 0))}, open,
			FrameUnexpected},
		{"9114 7.2.7: MAX_PUSH_ID raised", server,
			[][]byte{control(frame(frameMaxPushID, 0), frame(frameMaxPushID, 0), frame(frameMaxPushID, 7))}, open, 0},
		{"9114 7.2.7: MAX_PUSH_ID lowered", server,
			[][]byte{control(frame(frameMaxPushID, 2), frame(frameMaxPushID, 1))}, open, IDError},
		{"9114 7.1: MAX_PUSH_ID too long", server, [][]byte{control(frame(frameMaxPushID, 2, 0))}, open, FrameError},
		{"9114 7.1: MAX_PUSH_ID too short", server, [][]byte{control(frame(frameMaxPushID, 0x40))}, open, FrameError},
		{"9114 7.2.6: GOAWAY with other than a request's ID", client, [][]byte{control(frame(frameGoAway, 1))},
			open, IDError},
		{"9114 7.2.6: GOAWAY with any push ID", server, [][]byte{control(frame(frameGoAway, 1))}, open, 0},
		{"9114 5.2: GOAWAY lowered", bothSides,
			[][]byte{control(frame(frameGoAway, varint(MaxRequestID)...), frame(frameGoAway, 8),
				frame(frameGoAway, 8), frame(frameGoAway, 4))}, open, 0},
		{"9114 5.2: GOAWAY raised", bothSides, [][]byte{control(frame(frameGoAway, 4), frame(frameGoAway, 8))},
			open, IDError},
		{"9114 7.1: GOAWAY without payload", bothSides, [][]byte{control(frame(frameGoAway))}, open, FrameError},
		{"9114 7.1: GOAWAY too long", bothSides, [][]byte{control(frame(frameGoAway, 0, 0))}, open, FrameError},
		{"9114 10.5: GOAWAY without end", bothSides, [][]byte{control(appendFrameHeader(nil, frameGoAway, 1<<20))},
			open, ExcessiveLoad},

		{"9218 7.2: PRIORITY_UPDATE", server,
			[][]byte{control(frame(framePriorityUpdateRequest, []byte("\x04u=1")...))}, open, 0},
		{"9218 7.2: PRIORITY_UPDATE without value", server, [][]byte{control(frame(framePriorityUpdateRequest, 4))},
			open, 0},
		{"9218 7.2: PRIORITY_UPDATE from a server", client, [][]byte{control(frame(framePriorityUpdateRequest, 4))},
			open, FrameUnexpected},
		{"9218 7.2: PRIORITY_UPDATE of a push from a server", client,
			[][]byte{control(frame(framePriorityUpdatePush, 4))}, open, FrameUnexpected},
		{"9218 7.2: PRIORITY_UPDATE of a stream that is no request", server,
			[][]byte{control(frame(framePriorityUpdateRequest, 2))}, open, IDError},
		{"9218 7.2: PRIORITY_UPDATE of a push", server, [][]byte{control(frame(framePriorityUpdatePush, 0))}, open,
			IDError},
		{"9114 7.1: PRIORITY_UPDATE without ID", server, [][]byte{control(frame(framePriorityUpdateRequest))}, open,
			FrameError},
		{"9114 10.5: PRIORITY_UPDATE without end", server,
			[][]byte{control(frame(framePriorityUpdateRequest, append([]byte{0}, long...)...))}, open, ExcessiveLoad},
	} {
		for _, side := range tt.sides {
			t.Run(tt.rule+"/"+side.String(), func(t *testing.T) {
				var o pairOptions
				o.raw[side.Peer()] = true
				p := newPair(t, o)
				for i, b := range tt.streams {
					end := open
					if i == len(tt.streams)-1 {
						end = tt.end
					}
					p.uni(side.Peer(), b, end)
				}
				p.run()
				if got := p.connCode(side.Peer()); got != tt.want {
					t.Errorf("got %v, want %v", got, tt.want)
				}
				if tt.want == 0 {
					return
				}
				// The side under test says the same of itself.
				ev := p.one(side, EventClosed)
				if e, ok := ev.Err.(*Error); !ok || e.Remote || e.OnStream || e.Code != tt.want ||
					p.h[side].Err() != ev.Err {
					t.Errorf("told %v, %v", ev.Err, p.h[side].Err())
				}
			})
		}
	}
}

func TestUnknownStreamsAreNotRead(t *testing.T) {
	for _, side := range bothSides {
		var o pairOptions
		o.raw[side.Peer()] = true
		p := newPair(t, o)
		s := p.uni(side.Peer(), cat(varint(0x1f*77+0x21), make([]byte, 100)), open)
		p.run()
		if _, err := s.TryWrite([]byte("x"), false); streamCode(err) != StreamCreationError {
			t.Errorf("%v: got %v, want STOP_SENDING with H3_STREAM_CREATION_ERROR", side, err)
		}
	}
}

func TestPeerStopsCriticalStreams(t *testing.T) {
	for _, side := range bothSides {
		for n := range 3 {
			var o pairOptions
			o.raw[side.Peer()] = true
			p := newPair(t, o)
			var streams []*quic.Stream
			for _, ev := range p.raw[side.Peer()] {
				if ev.Kind == quic.EventStreamOpened {
					streams = append(streams, ev.Stream)
				}
			}
			if len(streams) != 4 {
				t.Fatalf("%v opened %d streams, want control, encoder, decoder and a reserved one", side, len(streams))
			}
			b, err := readStream(streams[n])
			if want := []byte{0, 2, 3}[n]; len(b) == 0 || b[0] != want || err != quic.ErrWouldBlock {
				t.Fatalf("%v: stream %d begins with %x, %v", side, n, b, err)
			}
			streams[n].StopSending(0x100)
			p.run()
			if got := p.connCode(side.Peer()); got != ClosedCriticalStream {
				t.Errorf("%v, stream %d: got %v", side, n, got)
			}
		}
	}
}

// RFC 9114, Section 6.1.
func TestServerOpensBidirectionalStream(t *testing.T) {
	p := newPair(t, pairOptions{raw: [2]bool{quic.Server: true}})
	p.open(quic.Server, quic.Bidi, []byte{0}, false)
	p.run()
	if got := p.connCode(quic.Server); got != StreamCreationError {
		t.Errorf("got %v", got)
	}
}

// scripted is what a peer sends on a request stream: a client's request, or a server's response to request.
type scripted struct {
	rule    string
	request []Field // rows for clients: what was asked
	bytes   []byte
	end     ending
	conn    ErrCode // of the connection error, 0 for none
	stream  ErrCode // of RESET_STREAM and STOP_SENDING
	events  []EventKind
}

var requestRows = []scripted{
	{rule: "4.1: request", bytes: headersFrame(getRequest...), end: fin, events: []EventKind{EventHeaders}},
	{rule: "4.1: content and trailers", bytes: cat(headersFrame(postRequest...), dataFrame("a"), dataFrame(""),
		dataFrame("b"), headersFrame(fields("x", "y")...)),
		end: fin, events: []EventKind{EventHeaders, EventData, EventTrailers}},
	{rule: "4.1, 9: unknown frames everywhere", bytes: cat(frame(0x21, 1), headersFrame(postRequest...),
		frame(0x21), dataFrame("a"), frame(0x7777, 1, 2),
		headersFrame(fields("x", "y")...), frame(0x40, make([]byte, 5000)...)), end: fin,
		events: []EventKind{EventHeaders, EventData, EventTrailers, EventFinished}},
	{rule: "4.1: end comes later", bytes: headersFrame(getRequest...), events: []EventKind{EventHeaders}},
	{rule: "4.1: DATA before HEADERS", bytes: dataFrame("x"), conn: FrameUnexpected},
	{rule: "4.1: DATA after trailers", bytes: cat(headersFrame(postRequest...), headersFrame(fields("x", "y")...),
		dataFrame("")), conn: FrameUnexpected,
		events: []EventKind{EventHeaders, EventTrailers}},
	{rule: "4.1: HEADERS after trailers", bytes: cat(headersFrame(postRequest...),
		headersFrame(fields("x", "y")...), headersFrame(fields("x", "y")...)), conn: FrameUnexpected,
		events: []EventKind{EventHeaders, EventTrailers}},
	{rule: "4.1: second request on the stream", bytes: cat(headersFrame(getRequest...),
		headersFrame(getRequest...)), stream: MessageError, events: []EventKind{EventHeaders, EventReset}},
	{rule: "4.1: no request", end: fin, stream: RequestIncomplete},
	{rule: "4.1: only unknown frames", bytes: frame(0x21), end: fin, stream: RequestIncomplete},
	{rule: "4.1.1: reset before the header section", bytes: []byte{1}, end: reset, stream: RequestRejected},
	{rule: "4.1.1: reset after it", bytes: headersFrame(getRequest...), end: reset,
		events: []EventKind{EventHeaders, EventReset}},
	{rule: "4.1.2: less content than Content-Length",
		bytes: cat(headersFrame(append(slices.Clone(postRequest), fields("content-length", "3")...)...),
			dataFrame("ab")),
		end: fin, stream: MessageError, events: []EventKind{EventHeaders, EventData, EventReset}},
	{rule: "4.1.2: more content than Content-Length",
		bytes: cat(headersFrame(append(slices.Clone(postRequest), fields("content-length", "3")...)...),
			dataFrame("ab"), dataFrame("cd")),
		stream: MessageError, events: []EventKind{EventHeaders, EventData, EventReset}},
	{rule: "4.1.2: content of that length",
		bytes: cat(headersFrame(append(slices.Clone(postRequest), fields("content-length", "3")...)...),
			dataFrame("ab"), dataFrame("c")),
		end: fin, events: []EventKind{EventHeaders, EventData}},
	{rule: "4.1.2: no content at all despite Content-Length",
		bytes: headersFrame(append(slices.Clone(postRequest), fields("content-length", "3")...)...), end: fin,
		stream: MessageError},
	{rule: "4.2.2: field section longer than the limit", bytes: appendFrameHeader(nil, frameHeaders, 64<<10+1),
		stream: NoError},
	{rule: "4.3: pseudo-header field in trailers", bytes: cat(headersFrame(postRequest...),
		headersFrame(fields(":path", "/")...)), stream: MessageError,
		events: []EventKind{EventHeaders, EventReset}},
	{rule: "4.4: HEADERS within a CONNECT request",
		bytes:  cat(headersFrame(fields(":method", "CONNECT", ":authority", "a:1")...), dataFrame("x")),
		events: []EventKind{EventHeaders, EventData}},
	{rule: "7.1: ends within a frame header", bytes: []byte{1}, end: fin, conn: FrameError},
	{rule: "7.1: ends within HEADERS", bytes: []byte{1, 5, 0, 0}, end: fin, conn: FrameError},
	{rule: "7.1: ends within DATA", bytes: cat(headersFrame(postRequest...), []byte{0, 5, 'x'}), end: fin,
		conn: FrameError, events: []EventKind{EventHeaders, EventData}},
	{rule: "7.1: ends within an unknown frame", bytes: cat(headersFrame(postRequest...), []byte{0x21, 5, 'x'}),
		end: fin, conn: FrameError, events: []EventKind{EventHeaders}},
	{rule: "7.2.3: CANCEL_PUSH", bytes: frame(frameCancelPush, 0), conn: FrameUnexpected},
	{rule: "7.2.4: SETTINGS", bytes: frame(frameSettings), conn: FrameUnexpected},
	{rule: "7.2.5: PUSH_PROMISE from a client", bytes: frame(framePushPromise, 0), conn: FrameUnexpected},
	{rule: "7.2.6: GOAWAY", bytes: frame(frameGoAway, 0), conn: FrameUnexpected},
	{rule: "7.2.7: MAX_PUSH_ID", bytes: frame(frameMaxPushID, 0), conn: FrameUnexpected},
	{rule: "7.2.8: HTTP/2 PRIORITY", bytes: frame(0x02), conn: FrameUnexpected},
	{rule: "7.2.8: HTTP/2 CONTINUATION", bytes: frame(0x09), conn: FrameUnexpected},
	{rule: "9218 7.2: PRIORITY_UPDATE", bytes: frame(framePriorityUpdateRequest, 0), conn: FrameUnexpected},
	{rule: "9204 2.2: section that can't be decoded", bytes: frame(frameHeaders, 0, 0, 0xff),
		conn: QPACKDecompressionFailed},
	{rule: "9204 2.2: section without prefix", bytes: frame(frameHeaders), conn: QPACKDecompressionFailed},
}

var responseRows = []scripted{
	{rule: "4.1: response", bytes: headersFrame(okResponse...), end: fin, events: []EventKind{EventHeaders}},
	{rule: "4.1: interim responses, content, trailers", bytes: cat(headersFrame(fields(":status", "103")...),
		headersFrame(fields(":status", "100")...),
		headersFrame(okResponse...), dataFrame("x"), headersFrame(fields("x", "y")...)), end: fin,
		events: []EventKind{EventInterim, EventInterim, EventHeaders, EventData, EventTrailers}},
	{rule: "4.1: unknown frames everywhere", bytes: cat(frame(0x21), headersFrame(fields(":status", "103")...),
		frame(0x21), headersFrame(okResponse...), frame(0x21, 1)), end: fin,
		events: []EventKind{EventInterim, EventHeaders, EventFinished}},
	{rule: "4.1: no response", end: fin, stream: MessageError, events: []EventKind{EventReset}},
	{rule: "4.1: only an interim response", bytes: headersFrame(fields(":status", "103")...), end: fin,
		stream: MessageError, events: []EventKind{EventInterim, EventReset}},
	{rule: "4.1: content after an interim response", bytes: cat(headersFrame(fields(":status", "103")...),
		dataFrame("x")), conn: FrameUnexpected, events: []EventKind{EventInterim}},
	{rule: "4.1: DATA before HEADERS", bytes: dataFrame(""), conn: FrameUnexpected},
	{rule: "4.1: second final response", bytes: cat(headersFrame(okResponse...), headersFrame(okResponse...)),
		stream: MessageError, events: []EventKind{EventHeaders, EventReset}},
	{rule: "4.1: DATA after trailers", bytes: cat(headersFrame(okResponse...), headersFrame(fields("x", "y")...),
		dataFrame("")), conn: FrameUnexpected,
		events: []EventKind{EventHeaders, EventTrailers}},
	{rule: "4.1.1: reset by the server", bytes: headersFrame(okResponse...), end: reset,
		events: []EventKind{EventHeaders, EventReset}},
	{rule: "4.1.2: less content than Content-Length",
		bytes: cat(headersFrame(fields(":status", "200", "content-length", "3")...), dataFrame("ab")), end: fin,
		stream: MessageError,
		events: []EventKind{EventHeaders, EventData, EventReset}},
	{rule: "4.1.2: no content despite Content-Length",
		bytes: headersFrame(fields(":status", "200", "content-length", "3")...), end: fin, stream: MessageError,
		events: []EventKind{EventReset}},
	{rule: "4.1.2: Content-Length without content in a response to HEAD",
		request: fields(":method", "HEAD", ":scheme", "https", ":authority", "a", ":path", "/"),
		bytes:   headersFrame(fields(":status", "200", "content-length", "3")...), end: fin,
		events: []EventKind{EventHeaders}},
	{rule: "4.1.2: content in a response to HEAD", request: fields(":method", "HEAD", ":scheme", "https",
		":authority", "a", ":path", "/"),
		bytes: cat(headersFrame(okResponse...), dataFrame("x")), stream: MessageError,
		events: []EventKind{EventHeaders, EventReset}},
	{rule: "4.1.2: Content-Length without content in 304",
		bytes: headersFrame(fields(":status", "304", "content-length", "3")...), end: fin,
		events: []EventKind{EventHeaders}},
	{rule: "4.1.2: content in 204", bytes: cat(headersFrame(fields(":status", "204")...), dataFrame("x")),
		stream: MessageError, events: []EventKind{EventHeaders, EventReset}},
	{rule: "4.2.2: field section longer than the limit", bytes: appendFrameHeader(nil, frameHeaders, 64<<10+1),
		stream: ExcessiveLoad, events: []EventKind{EventReset}},
	{rule: "4.3: pseudo-header field in trailers", bytes: cat(headersFrame(okResponse...),
		headersFrame(okResponse...)), stream: MessageError, events: []EventKind{EventHeaders, EventReset}},
	{rule: "4.4: tunnel", request: fields(":method", "CONNECT", ":authority", "a:1"),
		bytes: cat(headersFrame(fields(":status", "200", "content-length", "3")...), dataFrame("x"),
			dataFrame("longer")),
		events: []EventKind{EventHeaders, EventData}},
	{rule: "4.4: HEADERS in a tunnel", request: fields(":method", "CONNECT", ":authority", "a:1"),
		bytes: cat(headersFrame(okResponse...), headersFrame(fields("x", "y")...)), conn: FrameUnexpected,
		events: []EventKind{EventHeaders}},
	{rule: "4.4: CONNECT refused, with trailers", request: fields(":method", "CONNECT", ":authority", "a:1"),
		bytes: cat(headersFrame(fields(":status", "403")...), headersFrame(fields("x", "y")...)), end: fin,
		events: []EventKind{EventHeaders, EventTrailers}},
	{rule: "7.1: ends within HEADERS", bytes: []byte{1, 5, 0, 0}, end: fin, conn: FrameError},
	{rule: "7.1: ends within DATA", bytes: cat(headersFrame(okResponse...), []byte{0, 5, 'x'}), end: fin,
		conn: FrameError, events: []EventKind{EventHeaders, EventData}},
	{rule: "7.2.3: CANCEL_PUSH", bytes: frame(frameCancelPush, 0), conn: FrameUnexpected},
	{rule: "7.2.4: SETTINGS", bytes: frame(frameSettings), conn: FrameUnexpected},
	{rule: "7.2.5: PUSH_PROMISE without MAX_PUSH_ID", bytes: cat(frame(framePushPromise, 0, 0, 0)), conn: IDError},
	{rule: "7.1: PUSH_PROMISE without payload", bytes: cat(frame(framePushPromise)), conn: FrameError},
	{rule: "4.4: PUSH_PROMISE in a tunnel", request: fields(":method", "CONNECT", ":authority", "a:1"),
		bytes: cat(headersFrame(okResponse...), frame(framePushPromise, 0)), conn: FrameUnexpected,
		events: []EventKind{EventHeaders}},
	{rule: "7.2.6: GOAWAY", bytes: frame(frameGoAway, 0), conn: FrameUnexpected},
	{rule: "7.2.8: HTTP/2 PING", bytes: frame(0x06), conn: FrameUnexpected},
	{rule: "9204 2.2: section that can't be decoded", bytes: frame(frameHeaders, 0, 0, 0xff),
		conn: QPACKDecompressionFailed},
}

// readBodies reads every body as it comes.
func (p *pair) readBodies() {
	p.onEvent = func(_ quic.Side, ev Event) {
		if ev.Kind == EventData {
			readAll(ev.Stream)
		}
	}
}

// kindsOf lists the kinds of all events of side that are about a stream, EventStreamClosed and repeated EventData
// apart.
func (p *pair) kindsOf(side quic.Side) (kinds []EventKind) {
	for _, ev := range p.events[side] {
		again := ev.Kind == EventData && slices.Contains(kinds, EventData)
		if ev.Stream != nil && ev.Kind != EventStreamClosed && ev.Kind != EventStopSending && !again {
			kinds = append(kinds, ev.Kind)
		}
	}
	return kinds
}

func TestRequestStreams(t *testing.T) {
	for _, tt := range requestRows {
		for _, piece := range []int{1 << 20, 1} {
			t.Run(tt.rule, func(t *testing.T) {
				p := newPair(t, pairOptions{raw: [2]bool{quic.Client: true},
					cfg: [2]*Config{quic.Server: {NoGrease: true}}})
				p.readBodies()
				p.uni(quic.Client, emptySettings, open)
				s := p.script(quic.Client, nil, tt, piece)
				p.check(quic.Server, tt, s)
				if tt.conn == 0 {
					// The connection goes on.
					s := p.open(quic.Client, quic.Bidi, headersFrame(getRequest...), true)
					p.run()
					if ev := p.one(quic.Server, EventHeaders); ev.Stream.ID() != s.ID() {
						t.Errorf("the next request has ID %d", ev.Stream.ID())
					}
				}
			})
		}
	}
}

func TestResponseStreams(t *testing.T) {
	for _, tt := range responseRows {
		for _, piece := range []int{1 << 20, 1} {
			t.Run(tt.rule, func(t *testing.T) {
				p := newPair(t, pairOptions{raw: [2]bool{quic.Server: true},
					cfg: [2]*Config{quic.Client: {NoGrease: true}}})
				p.readBodies()
				p.uni(quic.Server, emptySettings, open)
				request := tt.request
				if request == nil {
					request = getRequest
				}
				p.request(request, false)
				p.run()
				var s *quic.Stream
				for _, ev := range p.raw[quic.Server] {
					if ev.Kind == quic.EventStreamOpened && ev.Stream.ID().Dir() == quic.Bidi {
						s = ev.Stream
					}
				}
				readStream(s)
				p.script(quic.Server, s, tt, piece)
				p.check(quic.Client, tt, s)
				if tt.conn == 0 {
					p.request(getRequest, true)
				}
			})
		}
	}
}

// script sends on s, which it opens if it is nil, what the row says, in pieces of the given size.
func (p *pair) script(side quic.Side, s *quic.Stream, tt scripted, piece int) *quic.Stream {
	b := tt.bytes
	if len(b) > 1000 {
		piece = max(piece, 200)
	}
	if s == nil {
		s = p.open(side, quic.Bidi, nil, false)
	}
	for len(b) > 0 {
		n := min(piece, len(b))
		if _, err := s.TryWrite(b[:n], tt.end == fin && n == len(b)); err != nil {
			break // refused already
		}
		b = b[n:]
		if len(b) > 0 {
			p.run()
		}
	}
	if tt.end == fin && len(tt.bytes) == 0 {
		p.write(s, nil, true)
	}
	p.run()
	if tt.end == reset {
		s.Reset(0x10c)
		p.run()
	}
	return s
}

// check compares what became of the row with what it wants. s is the peer's end of the stream.
func (p *pair) check(side quic.Side, tt scripted, s *quic.Stream) {
	p.t.Helper()
	if got := p.connCode(side.Peer()); got != tt.conn {
		p.t.Fatalf("connection: got %v, want %v", got, tt.conn)
	}
	if tt.conn == 0 {
		_, err := readStream(s)
		if got := streamCode(err); got != tt.stream && !(tt.stream == NoError && got == 0) {
			p.t.Errorf("RESET_STREAM: got %v, want %v", err, tt.stream)
		}
		if tt.end == open {
			if _, err := s.TryWrite(nil, false); streamCode(err) != tt.stream {
				p.t.Errorf("STOP_SENDING: got %v, want %v", err, tt.stream)
			}
		}
	}
	if got := p.kindsOf(side); !slices.Equal(got, tt.events) {
		p.t.Errorf("events %v, want %v", got, tt.events)
	}
	for _, ev := range p.events[side] {
		if ev.Kind != EventReset {
			continue
		}
		want := Error{OnStream: true, StreamID: s.ID(), Code: tt.stream}
		if tt.end == reset {
			want.Remote, want.Code = true, RequestCancelled
		}
		e, ok := ev.Err.(*Error)
		if !ok {
			p.t.Fatalf("told %v", ev.Err)
		}
		got := *e
		got.Reason = ""
		if got != want || (e.Reason == "") != want.Remote {
			p.t.Errorf("told %+v, want %+v", *e, want)
		}
	}
	p.events[side] = nil
}
