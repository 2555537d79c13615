package h3

import (
	"bytes"
	"errors"
	"io"
	"net"
	"reflect"
	"slices"
	"testing"

	"github.com/dunlin-quic/dunlin/h3/qpack"
	"github.com/dunlin-quic/dunlin/quic"
)

// What a side sends at the beginning, byte for byte (RFC 9114, Section 6.2.1).
func TestFirstBytes(t *testing.T) {
	for _, tt := range []struct {
		cfg  *Config
		want [][]byte
	}{
		{&Config{NoGrease: true}, [][]byte{
			cat([]byte{0}, settingsFrame(6, 64<<10, 1, 4096, 7, 16, 0x33, 1)), {2}, {3},
		}},
		{&Config{NoGrease: true, MaxFieldSectionSize: 1000, QPACKTableCapacity: -1,
			NoDatagrams: true, ExtendedConnect: true,
			Settings: []Setting{{0x4000, 7}}}, [][]byte{
			cat([]byte{0}, settingsFrame(6, 1000, 8, 1, 0x4000, 7)), {2}, {3},
		}},
		{&Config{Rand: bytes.NewReader(make([]byte, 8))}, nil}, // grease, see below
		{&Config{Rand: bytes.NewReader(nil)}, [][]byte{
			cat([]byte{0}, settingsFrame(6, 64<<10, 1, 4096, 7, 16, 0x33, 1)), {2}, {3},
		}},
	} {
		p := newPair(t, pairOptions{raw: [2]bool{quic.Client: true}, cfg: [2]*Config{quic.Server: tt.cfg}})
		var got [][]byte
		for _, ev := range p.raw[quic.Client] {
			if ev.Kind == quic.EventStreamOpened {
				b, _ := readStream(ev.Stream)
				got = append(got, b)
			}
		}
		if tt.want != nil {
			if !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %x, want %x", got, tt.want)
			}
			continue
		}
		if len(got) != 4 {
			t.Fatalf("%d streams", len(got))
		}
		reserved := func(v uint64) bool { return v >= 0x21 && (v-0x21)%0x1f == 0 }
		typ, length, n := parseFrameHeader(got[0][1:])
		settings, _, reason := parseSettings(got[0][1+n:][:length])
		if typ != frameSettings || reason != "" || !reserved(uint64(settings[len(settings)-1].ID)) {
			t.Errorf("no reserved setting: %v, %s", settings, reason)
		}
		rest := got[0][1+n+int(length):]
		typ, length, n = parseFrameHeader(rest)
		if !reserved(uint64(typ)) || n+int(length) != len(rest) {
			t.Errorf("no reserved frame: %x", rest)
		}
		if v, _, _ := parseFrameHeader(got[3]); !reserved(uint64(v)) {
			t.Errorf("no reserved stream: %x", got[3])
		}
	}
}

func TestGoAwayFromServer(t *testing.T) {
	p := newPair(t, pairOptions{})
	c, s := p.h[quic.Client], p.h[quic.Server]
	first := p.request(getRequest, true)
	second := p.request(postRequest, false) // its header section arrives
	p.run()
	if got := s.NextRequestID(); got != 8 {
		t.Fatalf("next request ID %d", got)
	}
	p.events = [2][]Event{}
	s.GoAway(MaxRequestID + 3)
	p.run()
	if ev := p.one(quic.Client, EventGoAway); ev.ID != MaxRequestID {
		t.Errorf("GOAWAY %d", ev.ID)
	}
	if _, err := c.OpenRequest(); err != ErrGoingAway {
		t.Errorf("OpenRequest: %v", err)
	}
	// A request that crosses the second GOAWAY: opened as if the first had not arrived.
	c.goAwayReceived = noGoAway
	third := p.request(getRequest, true)
	s.GoAway(s.NextRequestID())
	s.GoAway(100) // above an earlier one: not sent
	p.run()
	if ev := p.one(quic.Client, EventGoAway); ev.ID != 8 {
		t.Errorf("GOAWAY %d", ev.ID)
	}
	if len(p.events[quic.Server]) > 0 && len(p.take(quic.Server, EventHeaders)) > 0 {
		t.Error("a request above the GOAWAY was told")
	}
	_, err := third.TryReadBody(nil)
	if e, ok := err.(*Error); !ok || e.Code != RequestRejected || !e.Remote || e.StreamID != 8 {
		t.Errorf("third request: %v", err)
	}
	if err := third.SendTrailers(nil); err != third.recvErr {
		t.Errorf("sending on it: %v", err)
	}
	for _, req := range []*Stream{first, second} {
		if req.recvErr != nil {
			t.Errorf("stream %d: %v", req.ID(), req.recvErr)
		}
	}
	s.GoAway(0)
	p.run()
	if got := p.take(quic.Client, EventReset); len(got) != 2 {
		t.Errorf("after GOAWAY 0: %v", got)
	}
}

// RFC 9114, Section 5.2: requests that arrive after GOAWAY are refused, the bytes they carry unread.
func TestServerRefusesAfterGoAway(t *testing.T) {
	p := newPair(t, pairOptions{raw: [2]bool{quic.Client: true}})
	accepted := p.open(quic.Client, quic.Bidi, headersFrame(postRequest...), false)
	started := p.open(quic.Client, quic.Bidi, []byte{1}, false) // opened, its header section not complete
	p.run()
	p.h[quic.Server].GoAway(p.h[quic.Server].NextRequestID())
	late := p.open(quic.Client, quic.Bidi, headersFrame(postRequest...), false)
	p.run()
	for _, tt := range []struct {
		s    *quic.Stream
		want ErrCode
	}{{accepted, 0}, {started, RequestRejected}, {late, RequestRejected}} {
		_, err := readStream(tt.s)
		_, werr := tt.s.TryWrite(dataFrame("x"), false)
		if streamCode(err) != tt.want || streamCode(werr) != tt.want {
			t.Errorf("stream %d: %v, %v, want %v", tt.s.ID(), err, werr, tt.want)
		}
	}
	if got := len(p.take(quic.Server, EventHeaders)); got != 1 {
		t.Errorf("%d requests told", got)
	}
}

func TestGoAwayFromClient(t *testing.T) {
	p := newPair(t, pairOptions{})
	p.h[quic.Client].GoAway(0)
	p.run()
	if ev := p.one(quic.Server, EventGoAway); ev.ID != 0 {
		t.Errorf("GOAWAY %d", ev.ID)
	}
	p.request(getRequest, true)
	p.run()
	p.one(quic.Server, EventHeaders)
}

func TestClose(t *testing.T) {
	p := newPair(t, pairOptions{})
	p.request(getRequest, true)
	p.run()
	s := p.one(quic.Server, EventHeaders).Stream
	p.h[quic.Server].CloseWithError(NoError, "enough")
	if err := s.SendHeaders(okResponse, true); !errors.Is(err, net.ErrClosed) {
		t.Errorf("SendHeaders: %v", err)
	}
	p.run()
	want := Error{Code: NoError, Reason: "enough"}
	if err := p.one(quic.Server, EventClosed).Err; *err.(*Error) != want || !errors.Is(err, net.ErrClosed) {
		t.Errorf("server: %v", err)
	}
	want.Remote = true
	err := p.one(quic.Client, EventClosed).Err
	if *err.(*Error) != want || !errors.Is(err, net.ErrClosed) || p.h[quic.Client].Err() != err {
		t.Errorf("client: %v", err)
	}
	if _, err := p.h[quic.Client].OpenRequest(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("OpenRequest: %v", err)
	}
	p.h[quic.Client].HandleEvent(quic.Event{Kind: quic.EventClosed, Err: err})
	if ev := p.h[quic.Client].NextEvent(); ev.Kind != EventNone {
		t.Errorf("told %v again", ev)
	}
}

func TestMisuse(t *testing.T) {
	p := newPair(t, pairOptions{})
	c := p.request(postRequest, false)
	p.run()
	s := p.one(quic.Server, EventHeaders).Stream
	interim := fields(":status", "103")
	for _, tt := range []struct {
		name string
		err  error
		want error
	}{
		{"request twice", c.SendHeaders(postRequest, false), ErrSequence},
		{"interim response by a client", c.SendInterim(interim), ErrSequence},
		{"request by a server", second(p.h[quic.Server].OpenRequest()), ErrServer},
		{"body before the header section", second(s.TryWriteBody(nil, true)), ErrSequence},
		{"trailers before the header section", s.SendTrailers(nil), ErrSequence},
		{"interim response", s.SendInterim(interim), nil},
		{"response", s.SendHeaders(okResponse, false), nil},
		{"interim response after it", s.SendInterim(interim), ErrSequence},
		{"trailers", s.SendTrailers(nil), nil},
		{"body after trailers", second(s.TryWriteBody([]byte("x"), false)), ErrSequence},
		{"trailers twice", s.SendTrailers(nil), ErrSequence},
		{"end of the body", second(c.TryWriteBody(nil, true)), nil},
		{"body after its end", second(c.TryWriteBody([]byte("x"), false)), ErrSequence},
	} {
		if tt.err != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, tt.err, tt.want)
		}
	}
	for _, err := range []error{
		p.response(t).SendHeaders(interim, false), p.response(t).SendInterim(okResponse),
		p.response(t).SendHeaders(getRequest, false),
	} {
		if e, ok := err.(*Error); !ok || e.Code != MessageError || e.Remote {
			t.Errorf("malformed: %v", err)
		}
	}
}

// second returns the second of two results.
func second[T any](_ T, err error) error { return err }

// response makes a request and returns the server's end of it.
func (p *pair) response(t *testing.T) *Stream {
	t.Helper()
	p.request(getRequest, true)
	p.run()
	return p.one(quic.Server, EventHeaders).Stream
}

func TestCancel(t *testing.T) {
	p := newPair(t, pairOptions{})
	c := p.request(postRequest, false)
	p.run()
	s := p.one(quic.Server, EventHeaders).Stream
	// RFC 9114, Section 4.1: a complete response, without the rest of the request.
	s.StopSending(NoError)
	if err := s.SendHeaders(okResponse, true); err != nil {
		t.Fatal(err)
	}
	if _, err := s.TryReadBody(make([]byte, 1)); err.(*Error).Remote {
		t.Errorf("reading after StopSending: %v", err)
	}
	p.run()
	if got := p.kinds(quic.Client, c); !slices.Equal(got, []EventKind{EventHeaders, EventStopSending,
		EventStreamClosed}) {
		t.Fatalf("events %v", got)
	}
	stop := p.events[quic.Client][slices.IndexFunc(p.events[quic.Client],
		func(ev Event) bool { return ev.Kind == EventStopSending })]
	want := Error{Remote: true, OnStream: true, Code: NoError}
	if *stop.Err.(*Error) != want {
		t.Errorf("told %v", stop.Err)
	}
	if _, err := c.TryWriteBody([]byte("x"), false); *err.(*Error) != want {
		t.Errorf("writing: %v", err)
	}
	if len(p.take(quic.Server, EventReset)) > 0 {
		t.Error("the server was told of its own decision")
	}

	c = p.request(postRequest, false)
	p.run()
	s = p.one(quic.Server, EventHeaders).Stream
	s.SendHeaders(okResponse, false)
	p.run()
	p.events = [2][]Event{}
	c.Reset(RequestCancelled)
	c.StopSending(RequestCancelled)
	p.run()
	if got := p.kinds(quic.Server, s); !slices.Equal(got, []EventKind{EventReset, EventStopSending,
		EventStreamClosed}) {
		t.Errorf("events %v", got)
	}
}

func TestPriorities(t *testing.T) {
	p := newPair(t, pairOptions{raw: [2]bool{quic.Client: true}})
	update := func(id byte, value string) []byte {
		return frame(framePriorityUpdateRequest, append([]byte{id}, value...)...)
	}
	control := p.uni(quic.Client, cat(emptySettings, update(0, "u=5"), update(0, "u=6, i"), update(4, "u=1")), open)
	p.run()
	if got := p.take(quic.Server, EventPriorityUpdate); len(got) != 3 || got[1].Stream != nil ||
		got[1].Priority != (Priority{6, true}) {
		t.Fatalf("updates before the request: %+v", got)
	}
	p.open(quic.Client, quic.Bidi, headersFrame(with(getRequest, "priority", "u=2")...), false)
	p.run()
	s := p.one(quic.Server, EventHeaders).Stream
	if s.Priority() != (Priority{6, true}) {
		t.Errorf("the field overrides an update: %+v", s.Priority())
	}
	p.write(control, update(0, "u=0"), false)
	p.run()
	if ev := p.one(quic.Server, EventPriorityUpdate); ev.Stream != s || s.Priority() != (Priority{0, false}) ||
		ev.ID != 0 {
		t.Errorf("%+v, %+v", ev, s.Priority())
	}
	for range 2 * maxPriorityUpdates {
		for id := byte(8); id < 64; id += 4 {
			p.write(control, update(id, ""), false)
		}
	}
	p.write(control, frame(framePriorityUpdateRequest, append(varint(1<<40), "i"...)...), false)
	p.run()
	if n := len(p.h[quic.Server].updates); n > maxPriorityUpdates {
		t.Errorf("%d updates kept", n)
	}
}

// Without any sign of priorities, responses take turns; once there is one, a request that names none has the default.
func TestResponsesTakeTurns(t *testing.T) {
	for _, signal := range []bool{false, true} {
		p := newPair(t, pairOptions{raw: [2]bool{quic.Client: true}})
		if signal {
			p.uni(quic.Client, cat(emptySettings, frame(framePriorityUpdateRequest, 0, 'u', '=', '3')), open)
			p.run()
		}
		var streams [2]*quic.Stream
		for i := range streams {
			streams[i] = p.open(quic.Client, quic.Bidi, headersFrame(getRequest...), true)
		}
		p.run()
		for _, ev := range p.take(quic.Server, EventHeaders) {
			if err := ev.Stream.SendHeaders(okResponse, false); err != nil {
				t.Fatal(err)
			}
			ev.Stream.TryWriteBody(make([]byte, 60_000), true)
		}
		// What the first datagrams carry of both.
		p.pump(quic.Server)
		for _, d := range p.link[quic.Client] {
			p.q[quic.Client].Receive(p.now, d.in)
		}
		p.link[quic.Client] = nil
		var got [2]int
		for i, s := range streams {
			b, _ := readStream(s)
			got[i] = len(b)
		}
		if got[0] < 1000 || (got[1] < 1000) != signal {
			t.Errorf("with priorities: %t; %v bytes arrived first", signal, got)
		}
	}
}

func TestParsePriority(t *testing.T) {
	for s, want := range map[string]Priority{
		"": {3, false}, "u=0": {0, false}, "u=7,i": {7, true}, " u=1 , i=?1 ": {1, true}, "i=?0": {3, false},
		"u=8":  {3, false},
		"u=-1": {3, false}, "u=22": {3, false}, "u": {3, false}, "u=a, i=yes": {3, false}, "i;a=b,u=2;c": {2, true},
		"u=1,u=4":        {4, false},
		`x="a,u=1", u=2`: {2, false}, `x="\",i", u=2`: {2, false}, "x=(1, i), u=5": {5, false}, ",,": {3, false},
		"U=1": {3, false}, `"`: {3, false},
	} {
		if got := ParsePriority(s); got != want {
			t.Errorf("%q: got %+v, want %+v", s, got, want)
		}
	}
}

func TestFieldSectionLimits(t *testing.T) {
	cfg := [2]*Config{{MaxFieldSectionSize: 500}, {MaxFieldSectionSize: 500}}
	p := newPair(t, pairOptions{cfg: cfg})
	size := uint64(0)
	for _, f := range getRequest {
		size += f.Size()
	}
	filled := func(n uint64) []Field {
		return with(getRequest, "x", string(bytes.Repeat([]byte("0"), int(n-size-33))))
	}
	// Our own side keeps to what the peer announced.
	c, err := p.h[quic.Client].OpenRequest()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.SendHeaders(filled(501), true); err != ErrFieldSectionTooLarge {
		t.Fatalf("SendHeaders: %v", err)
	}
	if err := c.SendHeaders(filled(500), true); err != nil {
		t.Fatal(err)
	}
	p.run()
	p.one(quic.Server, EventHeaders)
	// One that does not gets 431 (RFC 9114, Section 4.2.2).
	p.h[quic.Client].peerMaxSection = 1 << 20
	c = p.request(with(filled(501), "content-length", "5"), false)
	p.run()
	ev := p.one(quic.Client, EventHeaders)
	if ev.Stream != c || !ev.Fin || ev.Fields[0] != (Field{Name: ":status", Value: "431"}) {
		t.Errorf("answer %+v", ev)
	}
	if len(p.take(quic.Server, EventHeaders)) > 0 {
		t.Error("the request was told")
	}
	// Trailers, and responses: an error of the stream.
	c = p.request(postRequest, false)
	if err := c.SendTrailers(filled(501)[4:]); err != nil {
		t.Fatal(err)
	}
	if err := p.request(postRequest, false).SendTrailers(append(filled(501)[4:], filled(501)[4:]...)); err != nil {
		t.Fatal(err)
	}
	p.run()
	resets := p.take(quic.Server, EventReset)
	if len(resets) != 1 || resets[0].Err.(*Error).Code != ExcessiveLoad {
		t.Errorf("%v", resets)
	}
}

// A section that waits for the encoder stream (RFC 9204, Section 2.2.1), and what happens meanwhile.
func TestBlockedSections(t *testing.T) {
	for _, tt := range []struct {
		name string
		want ErrCode
	}{{"unblocked", 0}, {"reset", 0}, {"too many", QPACKDecompressionFailed}} {
		t.Run(tt.name, func(t *testing.T) {
			p := newPair(t, pairOptions{
				raw: [2]bool{quic.Client: true},
				cfg: [2]*Config{quic.Server: {QPACKBlockedStreams: 1, QPACKTableCapacity: 220, NoGrease: true}},
			})
			var decoder *quic.Stream
			for _, ev := range p.raw[quic.Client] {
				if ev.Kind == quic.EventStreamOpened && ev.Stream.ID() == 11 {
					decoder = ev.Stream
				}
			}
			encoder := p.uni(quic.Client, []byte{2}, open)
			// RFC 9204, Appendix B.2, with what a request needs besides.
			section := []byte{0x03, 0x81, 0x10, 0x11, 0xd1, 0xd7}
			s := p.open(quic.Client, quic.Bidi, cat(frame(frameHeaders, section...), dataFrame("body")),
				tt.want == 0 && tt.name != "reset")
			if tt.want != 0 {
				p.open(quic.Client, quic.Bidi, frame(frameHeaders, section...), false)
			}
			p.run()
			if got := p.connCode(quic.Client); got != tt.want {
				t.Fatalf("got %v, want %v", got, tt.want)
			}
			if tt.want != 0 {
				return
			}
			if len(p.events[quic.Server]) > 0 {
				t.Fatalf("told %v", p.events[quic.Server])
			}
			if tt.name == "reset" {
				s.Reset(0)
				p.run()
			}
			p.write(encoder, []byte("\x3f\xbd\x01\xc0\x0fwww.example.com\xc1\x0c/sample/path"), false)
			p.run()
			answer, _ := readStream(decoder)
			if tt.name == "reset" {
				// Stream Cancellation, Insert Count Increment
				if !bytes.Equal(answer, []byte{3, 0x40, 2}) || len(p.events[quic.Server]) > 0 {
					t.Fatalf("answer %x, told %v", answer, p.events[quic.Server])
				}
				return
			}
			if !bytes.Equal(answer, []byte{3, 0x80}) {
				t.Errorf("decoder stream %x", answer)
			}
			ev := p.events[quic.Server][0]
			if ev.Kind != EventHeaders || len(ev.Fields) != 4 || ev.Fields[1].Value != "/sample/path" {
				t.Fatalf("told %+v", ev)
			}
			if body, err := readAll(ev.Stream); string(body) != "body" || err != io.EOF {
				t.Errorf("%q, %v", body, err)
			}
		})
	}
}

// The dynamic table in both directions over a connection.
func TestDynamicTable(t *testing.T) {
	p := newPair(t, pairOptions{})
	request := with(getRequest, "user-agent", "a program with a long name", "x-custom", "some value or other")
	for i := range 4 {
		c := p.request(request, true)
		p.run()
		ev := p.one(quic.Server, EventHeaders)
		if !reflect.DeepEqual(ev.Fields, request) {
			t.Fatalf("request %d: %v", i, ev.Fields)
		}
		if err := ev.Stream.SendHeaders(with(okResponse, "server", "another long name", "x-custom", "yet another"),
			true); err != nil {
			t.Fatal(err)
		}
		p.run()
		if ev := p.one(quic.Client, EventHeaders); ev.Stream != c || len(ev.Fields) != 3 {
			t.Fatalf("response %d: %v", i, ev.Fields)
		}
	}
	if b := p.h[quic.Client].enc.Encode(nil, 1<<20, request); len(b) > 12 {
		t.Errorf("a request takes %d bytes still", len(b))
	}
}

// TestPeerWithoutIncrements refers to the table of a peer who never says that insertions have arrived, as far as it lets streams
// block; its acknowledgment of that section is what the rest goes by (RFC 9204, Section 2.1.4).
func TestPeerWithoutIncrements(t *testing.T) {
	for _, blocked := range []uint64{0, 1} {
		p := newPair(t, pairOptions{raw: [2]bool{quic.Client: true}, cfg: [2]*Config{quic.Server: {NoGrease: true}}})
		p.open(quic.Client, quic.Uni, cat([]byte{byte(streamControl)},
			settingsFrame(uint64(SettingQPACKMaxTableCapacity), 4096, uint64(SettingQPACKBlockedStreams), blocked)), false)
		decoder := p.open(quic.Client, quic.Uni, []byte{byte(streamDecoder)}, false)
		references := 0
		for range 20 {
			qs := p.open(quic.Client, quic.Bidi, headersFrame(getRequest...), true)
			p.run()
			if err := p.one(quic.Server, EventHeaders).Stream.SendHeaders(with(okResponse, "server", "a server of its own"), true); err != nil {
				t.Fatal(err)
			}
			p.run()
			b, err := readStream(qs)
			if err != io.EOF || len(b) < 4 || b[0] != byte(frameHeaders) {
				t.Fatalf("response %x, %v", b, err)
			}
			if b[2] == 0 {
				continue // Required Insert Count
			}
			references++
			if id := byte(qs.ID()); id < 0x7f {
				p.write(decoder, []byte{0x80 | id}, false)
			}
		}
		if want := 10 * int(blocked); references != want {
			t.Errorf("%d blocked streams allowed: %d sections use the table, want %d", blocked, references, want)
		}
		if code := p.connCode(quic.Client); code != 0 {
			t.Errorf("the server has closed with %v", code)
		}
	}
}

// What the decoder has to say costs no datagrams as long as there are others, and does not wait for them for long.
func TestDecoderWaits(t *testing.T) {
	p := newPair(t, pairOptions{})
	request := with(getRequest, "x-custom", "some value or other")
	exchange := func() {
		p.request(request, true)
		p.settle()
		if err := p.one(quic.Server, EventHeaders).Stream.SendHeaders(with(okResponse, "x-custom", "yet another"), true); err != nil {
			t.Fatal(err)
		}
		p.settle()
		p.one(quic.Client, EventHeaders)
	}
	for range 4 {
		exchange()
		p.run()
	}
	before := [2]quic.Stats{p.q[0].Stats(), p.q[1].Stats()}
	const n = 10
	for range n {
		exchange()
	}
	for side, q := range p.q {
		if sent := q.Stats().DatagramsSent - before[side].DatagramsSent; sent != n {
			t.Errorf("%v: %d datagrams for %d requests", quic.Side(side), sent, n)
		}
	}
	client := p.h[quic.Client]
	if len(client.dec.Pending()) == 0 {
		t.Fatal("no section was acknowledged")
	}
	if at, ok := client.NextTimeout(); !ok || at.After(p.now.Add(holdTime)) {
		t.Fatalf("timeout %v, %v", at.Sub(p.now), ok)
	}
	p.run()
	if _, ok := client.NextTimeout(); ok || len(client.dec.Pending()) > 0 {
		t.Error("the acknowledgments still wait")
	}
}

// A peer that gives no credit on the control and QPACK streams must not make us hold ever more.
func TestQPACKStreamWithoutCredit(t *testing.T) {
	p := newPair(t, pairOptions{
		raw: [2]bool{quic.Client: true}, cfg: [2]*Config{quic.Server: {NoGrease: true}},
		quic: func(side quic.Side, cfg *quic.Config) {
			if side == quic.Client {
				cfg.StreamWindow, cfg.MaxStreamWindow = 20, 20
			}
		},
	})
	encoder := p.uni(quic.Client, []byte("\x02\x3f\xbd\x01\xc0\x0fwww.example.com\xc1\x0c/sample/path"), open)
	_ = encoder
	p.run()
	section := frame(frameHeaders, 0x03, 0x81, 0x10, 0x11, 0xd1, 0xd7)
	for i := 0; p.connCode(quic.Client) == 0; i++ {
		if i > maxPending {
			t.Fatal("the connection goes on and on")
		}
		s, err := p.q[quic.Client].OpenStream(quic.Bidi)
		if err != nil {
			p.run()
			continue
		}
		s.TryWrite(section, true)
		s.StopSending(uint64(RequestCancelled))
		if i%90 == 89 {
			p.run()
			for _, ev := range p.take(quic.Server, EventHeaders) {
				ev.Stream.Reset(RequestCancelled)
			}
			p.raw[quic.Client] = nil
		}
	}
	if got := p.connCode(quic.Client); got != ExcessiveLoad {
		t.Errorf("got %v", got)
	}
}

// SendHeaders takes what QUIC has no room for; SendInterim waits.
func TestSectionsWithoutRoom(t *testing.T) {
	p := newPair(t, pairOptions{
		raw: [2]bool{quic.Client: true},
		quic: func(side quic.Side, cfg *quic.Config) {
			if side == quic.Client {
				cfg.StreamWindow, cfg.MaxStreamWindow = 30, 30
			}
		},
	})
	stream := p.open(quic.Client, quic.Bidi, headersFrame(getRequest...), true)
	p.run()
	s := p.one(quic.Server, EventHeaders).Stream
	long := string(bytes.Repeat([]byte("~"), 200))
	interim := fields(":status", "103", "x", long)
	if err := s.SendInterim(interim); err != nil {
		t.Fatal(err)
	}
	if err := s.SendInterim(interim); err != quic.ErrWouldBlock {
		t.Fatal(err)
	}
	if err := s.SendHeaders(okResponse, false); err != nil {
		t.Fatal(err)
	}
	if n, err := s.TryWriteBody([]byte("x"), true); n != 0 || err != quic.ErrWouldBlock {
		t.Fatal(n, err)
	}
	if err := s.SendTrailers(fields("x", long)); err != nil {
		t.Fatal(err)
	}
	var got []byte
	var err error
	for range 100 {
		var b []byte
		if b, err = readStream(stream); err == io.EOF {
			got = append(got, b...)
			break
		}
		got = append(got, b...)
		p.run()
	}
	if err != io.EOF {
		t.Fatal(err)
	}
	var kinds []frameType
	for len(got) > 0 {
		typ, length, n := parseFrameHeader(got)
		if typ.known() {
			kinds = append(kinds, typ)
			if _, err := qpack.NewDecoder(0, 0).Decode(nil, 0, got[n:][:length], 0); err != nil {
				t.Error(err)
			}
		}
		got = got[n+int(length):]
	}
	if !slices.Equal(kinds, []frameType{frameHeaders, frameHeaders, frameHeaders}) {
		t.Errorf("frames %v", kinds)
	}
	if ev := p.take(quic.Server, EventWritable); len(ev) > 1 {
		t.Errorf("told %v", ev)
	}
}

// A body that nobody reads stays in QUIC's window, and so does the rest of it with the peer.
func TestSlowReader(t *testing.T) {
	p := newPair(t, pairOptions{quic: func(_ quic.Side, cfg *quic.Config) {
		cfg.StreamWindow,
			cfg.MaxStreamWindow = 10_000, 10_000
	}})
	c := p.request(postRequest, false)
	body := make([]byte, 100_000)
	sent := 0
	for range 10 {
		n, err := c.TryWriteBody(body[sent:], false)
		sent += n
		p.run()
		if err != quic.ErrWouldBlock {
			t.Fatal(n, err)
		}
	}
	if sent > 10_000 {
		t.Errorf("%d bytes sent", sent)
	}
	s := p.one(quic.Server, EventHeaders).Stream
	p.events[quic.Client] = nil
	got, err := readAll(s)
	if len(got) != sent || err != quic.ErrWouldBlock {
		t.Fatal(len(got), sent, err)
	}
	p.run()
	p.one(quic.Client, EventWritable)
}

// A reader that takes just the bytes of the body still hears of the end, before the stream is gone.
func TestEndIsToldBeforeClose(t *testing.T) {
	p := newPair(t, pairOptions{})
	c := p.request(getRequest, true)
	p.run()
	s := p.one(quic.Server, EventHeaders).Stream
	if err := s.SendHeaders(okResponse, false); err != nil {
		t.Fatal(err)
	}
	if _, err := s.TryWriteBody([]byte("body"), true); err != nil {
		t.Fatal(err)
	}
	p.run()
	if n, err := c.TryReadBody(nil); n != 0 || err != nil {
		t.Fatal(n, err)
	}
	if n, err := c.TryReadBody(make([]byte, 4)); n != 4 || err != nil {
		t.Fatal(n, err)
	}
	p.events[quic.Client] = nil
	p.run()
	if got := p.kinds(quic.Client, c); !slices.Equal(got, []EventKind{EventFinished, EventStreamClosed}) {
		t.Fatalf("events %v", got)
	}
	if _, err := c.TryReadBody(nil); err != io.EOF {
		t.Fatal(err)
	}
}

func TestStreamLimit(t *testing.T) {
	p := newPair(t, pairOptions{quic: func(_ quic.Side, cfg *quic.Config) { cfg.MaxBidiStreams = 1 }})
	p.request(getRequest, true)
	if _, err := p.h[quic.Client].OpenRequest(); err != quic.ErrStreamLimit {
		t.Fatal(err)
	}
	p.run()
	p.one(quic.Server, EventHeaders).Stream.SendHeaders(okResponse, true)
	p.run()
	p.one(quic.Client, EventStreamsAvailable)
	p.request(getRequest, true)
}

func TestErrorStrings(t *testing.T) {
	for _, tt := range []struct {
		err  Error
		want string
	}{
		{Error{Code: NoError}, "h3: H3_NO_ERROR"},
		{Error{Code: VersionFallback, Remote: true, Reason: "r"}, "h3: H3_VERSION_FALLBACK from the peer: r"},
		{Error{Code: QPACKDecompressionFailed, OnStream: true, StreamID: 4},
			"h3: QPACK_DECOMPRESSION_FAILED on stream 4"},
		{Error{Code: 0x21}, "h3: HTTP/3 error 0x21"},
	} {
		if got := tt.err.Error(); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
		if got := errors.Is(&tt.err, net.ErrClosed); got == tt.err.OnStream {
			t.Errorf("%v: matches net.ErrClosed: %t", &tt.err, got)
		}
	}
}
