package h3

import (
	"slices"
	"strings"
	"testing"

	"github.com/dunlin-quic/dunlin/quic"
)

// with returns the fields of a request with pairs of name and value added at the end, or, for pseudo-header fields,
// replaced; a pseudo-header field that is to have the value "-" is left out.
func with(base []Field, pairs ...string) []Field {
	f := slices.Clone(base)
	for _, add := range fields(pairs...) {
		i := slices.IndexFunc(f, func(f Field) bool { return f.Name == add.Name })
		switch {
		case i < 0 || !strings.HasPrefix(add.Name, ":"):
			f = append(f, add)
		case add.Value == "-":
			f = slices.Delete(f, i, i+1)
		default:
			f[i] = add
		}
	}
	return f
}

// messageRow is a header section and whether it is malformed.
type messageRow struct {
	rule      string
	fields    []Field
	malformed bool
}

// sectionRows are about regular fields, which are the same in requests, responses and trailers.
func sectionRows(base []Field) []messageRow {
	rows := []messageRow{
		{"4.2: upper case in a name", with(base, "X-name", "v"), true},
		{"4.2: empty name", with(base, "", "v"), true},
		{"4.2: Connection", with(base, "connection", "close"), true},
		{"4.2: Keep-Alive", with(base, "keep-alive", "timeout=5"), true},
		{"4.2: Proxy-Connection", with(base, "proxy-connection", "close"), true},
		{"4.2: Transfer-Encoding", with(base, "transfer-encoding", "chunked"), true},
		{"4.2: Upgrade", with(base, "upgrade", "websocket"), true},
		{"4.2: TE other than trailers", with(base, "te", "gzip"), true},
		{"4.2: TE with more than trailers", with(base, "te", "trailers, gzip"), true},
		{"4.3: pseudo-header field after a regular one", with(base, "x", "y", ":nothing", "v"), true},
		{"4.3: undefined pseudo-header field", append(fields(":nothing", "v"), base...), true},
		{"4.3: name of a colon alone", append(fields(":", "v"), base...), true},
		{"10.3: empty value", with(base, "x", ""), false},
		{"10.3: space and tab within a value", with(base, "x", "a \t b"), false},
		{"10.3: obs-text in a value", with(base, "x", "\x80\xff"), false},
		{"10.3: all of token in a name", with(base, "!#$%&'*+-.^_`|~09az", "v"), false},
	}
	for _, c := range []byte("\x00\t\n\r \"(),/:;<=>?@[\\]{}A\x7f\x80\xff") {
		rows = append(rows, messageRow{"10.3: character in a name", with(base, "x"+string([]byte{c})+"y", "v"), true})
	}
	for c := range byte(0x21) {
		if c == ' ' || c == '\t' {
			rows = append(rows, messageRow{"10.3: value begins with white space", with(base, "x", string(c)+"a"), true},
				messageRow{"10.3: value ends with white space", with(base, "x", "a"+string(c)), true},
				messageRow{"10.3: value of white space", with(base, "x", string(c)), true})
			continue
		}
		rows = append(rows, messageRow{"10.3: control character in a value", with(base, "x", "a"+string(c)+"b"), true})
	}
	return append(rows, messageRow{"10.3: DEL in a value", with(base, "x", "a\x7fb"), true})
}

func requestMessageRows() []messageRow {
	connect := fields(":method", "CONNECT", ":authority", "server.test:443")
	websocket := fields(":method", "CONNECT", ":protocol", "websocket", ":scheme", "https", ":authority", "server.test", ":path", "/chat")
	return append(sectionRows(getRequest), []messageRow{
		{"4.3.1: all well", getRequest, false},
		{"4.2: TE: trailers", with(getRequest, "te", "trailers"), false},
		{"4.3: :status in a request", append(fields(":status", "200"), getRequest...), true},
		{"4.3.1: no :method", with(getRequest, ":method", "-"), true},
		{"4.3.1: empty :method", with(getRequest, ":method", ""), true},
		{"4.3.1: :method no token", with(getRequest, ":method", "GE T"), true},
		{"4.3.1: unknown :method", with(getRequest, ":method", "BREW"), false},
		{"4.3.1: :method twice", append(fields(":method", "GET"), getRequest...), true},
		{"4.3.1: no :scheme", with(getRequest, ":scheme", "-"), true},
		{"4.3.1: empty :scheme", with(getRequest, ":scheme", ""), true},
		{"4.3.1: invalid :scheme", with(getRequest, ":scheme", "1http"), true},
		{"4.3.1: :scheme twice", append(fields(":scheme", "https"), getRequest...), true},
		{"4.3.1: no :path", with(getRequest, ":path", "-"), true},
		{"4.3.1: empty :path", with(getRequest, ":path", ""), true},
		{"4.3.1: empty :path of upper-case scheme", with(getRequest, ":scheme", "HTTPS", ":path", ""), true},
		{"4.3.1: :path without slash", with(getRequest, ":path", "index.html"), true},
		{"4.3.1: :path is a URI", with(getRequest, ":path", "https://server.test/"), true},
		{"4.3.1: :path twice", append(fields(":path", "/"), getRequest...), true},
		{"4.3.1: space in :path", with(getRequest, ":path", "/a b"), true},
		{"4.3.1: line break in :path", with(getRequest, ":path", "/a\r\nb"), true},
		{"4.3.1: fragment in :path", with(getRequest, ":path", "/a#b"), true},
		{"4.3.1: query in :path", with(getRequest, ":path", "/a?b=/?"), false},
		{"4.3.1: asterisk", with(getRequest, ":method", "OPTIONS", ":path", "*"), false},
		{"4.3.1: asterisk in other methods", with(getRequest, ":path", "*"), true},
		{"4.3.1: neither :authority nor Host", with(getRequest, ":authority", "-"), true},
		{"4.3.1: Host alone", with(getRequest, ":authority", "-", "host", "server.test"), false},
		{"4.3.1: empty Host alone", with(getRequest, ":authority", "-", "host", ""), true},
		{"4.3.1: empty :authority", with(getRequest, ":authority", ""), true},
		{"4.3.1: the same Host", with(getRequest, "host", "server.test"), false},
		{"4.3.1: another Host", with(getRequest, "host", "other.test"), true},
		{"4.3.1: empty Host beside :authority", with(getRequest, "host", ""), true},
		{"4.3.1: Host twice", with(getRequest, "host", "server.test", "host", "server.test"), true},
		{"4.3.1: :authority twice", append(fields(":authority", "server.test"), getRequest...), true},
		{"4.3.1: user information", with(getRequest, ":authority", "user@server.test"), true},
		{"4.3.1: path in :authority", with(getRequest, ":authority", "server.test/x"), true},
		{"4.3.1: space in :authority", with(getRequest, ":authority", "server test"), true},
		{"4.3.1: port and IPv6", with(getRequest, ":authority", "[2001:db8::1]:4433"), false},
		{"4.3.1: other schemes need neither", with(getRequest, ":scheme", "urn", ":authority", "-", ":path", ""),
			false},
		{"4.3.1: :protocol was not negotiated", append(fields(":protocol", "websocket"), getRequest...), true},
		{"4.4: CONNECT", connect, false},
		{"4.4: CONNECT to IPv6", fields(":method", "CONNECT", ":authority", "[::1]:443"), false},
		{"4.4: CONNECT with :scheme", with(connect, ":scheme", "https"), true},
		{"4.4: CONNECT with :path", append(fields(":path", "/"), connect...), true},
		{"4.4: CONNECT without :authority", fields(":method", "CONNECT"), true},
		{"4.4: CONNECT with Host instead", fields(":method", "CONNECT", "host", "server.test:443"), true},
		{"4.4: CONNECT without port", fields(":method", "CONNECT", ":authority", "server.test"), true},
		{"4.4: CONNECT without port to IPv6", fields(":method", "CONNECT", ":authority", "[::1]"), true},
		{"4.4: CONNECT without host", fields(":method", "CONNECT", ":authority", ":443"), true},
		{"4.4: CONNECT to port 0", fields(":method", "CONNECT", ":authority", "a:0"), true},
		{"RFC 8441, 4: extended CONNECT", with(websocket), false},
		{"RFC 8441, 4: without :scheme", with(websocket, ":scheme", "-"), true},
		{"RFC 8441, 4: without :path", with(websocket, ":path", "-"), true},
		{"RFC 8441, 4: without :authority", with(websocket, ":authority", "-"), true},
		{"RFC 8441, 4: :protocol of another method", append(fields(":protocol", "websocket"), getRequest...), true},
		{"RFC 8441, 4: :protocol empty", append(fields(":protocol", ""), with(websocket, ":protocol", "-")...), true},
		{"RFC 8441, 4: :protocol twice", append(fields(":protocol", "websocket"), websocket...), true},
		{"4.4: CONNECT to a port too large", fields(":method", "CONNECT", ":authority", "a:65536"), true},
		{"4.1.2: Content-Length no number", with(getRequest, "content-length", "a"), true},
		{"4.1.2: empty Content-Length", with(getRequest, "content-length", ""), true},
		{"4.1.2: Content-Length with sign", with(getRequest, "content-length", "+0"), true},
		{"4.1.2: negative Content-Length", with(getRequest, "content-length", "-1"), true},
		{"4.1.2: Content-Length too large", with(getRequest, "content-length", "9223372036854775808"), true},
		{"4.1.2: different Content-Lengths", with(getRequest, "content-length", "0", "content-length", "1"), true},
		{"4.1.2: the same Content-Length twice", with(getRequest, "content-length", "0", "content-length", "0"), false},
	}...)
}

func responseMessageRows() []messageRow {
	return append(sectionRows(okResponse), []messageRow{
		{"4.3.2: all well", okResponse, false},
		{"4.3.2: unknown status", fields(":status", "599"), false},
		{"4.3.2: no :status", fields("x", "y"), true},
		{"4.3.2: nothing", nil, true},
		{"4.3.2: :status twice", append(fields(":status", "200"), okResponse...), true},
		{"4.3.2: :status of two digits", fields(":status", "20"), true},
		{"4.3.2: :status of four digits", fields(":status", "2000"), true},
		{"4.3.2: :status of letters", fields(":status", "2oo"), true},
		{"4.3.2: :status 099", fields(":status", "099"), true},
		{"4.3.2: empty :status", fields(":status", ""), true},
		{"4.5: 101", fields(":status", "101"), true},
		{"4.3: :status after a field", fields("x", "y", ":status", "200"), true},
		{"4.3: :method in a response", append(fields(":method", "GET"), okResponse...), true},
		{"4.2: TE in a response", with(okResponse, "te", "trailers"), true},
		{"4.1.2: Content-Length no number", with(okResponse, "content-length", "1 2"), true},
	}...)
}

// A malformed request costs its stream, and nothing else; and our own side does not send one.
func TestMalformedRequests(t *testing.T) {
	extended := [2]*Config{quic.Server: {ExtendedConnect: true}}
	p := newPair(t, pairOptions{raw: [2]bool{quic.Client: true}, cfg: extended})
	own := newPair(t, pairOptions{cfg: extended})
	for _, tt := range requestMessageRows() {
		p.events[quic.Server] = nil
		s := p.open(quic.Client, quic.Bidi, headersFrame(tt.fields...), false)
		p.run()
		_, err := readStream(s)
		_, werr := s.TryWrite(nil, false)
		told := len(p.take(quic.Server, EventHeaders)) > 0
		want := ErrCode(0)
		if tt.malformed {
			want = MessageError
		}
		if streamCode(err) != want || streamCode(werr) != want || told == tt.malformed {
			t.Errorf("%s: %v: %v, %v, told: %t", tt.rule, tt.fields, err, werr, told)
		}
		s.Reset(uint64(RequestCancelled))
		s.StopSending(uint64(RequestCancelled))

		c, err := own.h[quic.Client].OpenRequest()
		if err != nil {
			t.Fatal(err)
		}
		err = c.SendHeaders(tt.fields, false)
		if e, ok := err.(*Error); tt.malformed && (!ok || e.Code != MessageError || !e.OnStream) ||
			!tt.malformed && err != nil {
			t.Errorf("%s: %v: SendHeaders: %v", tt.rule, tt.fields, err)
		}
		c.Reset(RequestCancelled)
		c.StopSending(RequestCancelled)
		own.run()
		for ev := range slices.Values(own.take(quic.Server, EventHeaders)) {
			ev.Stream.Reset(RequestCancelled)
			ev.Stream.StopSending(RequestCancelled)
		}
		own.run()
	}
	if got := p.connCode(quic.Client); got != 0 {
		t.Errorf("the connection ended: %v", got)
	}
}

func TestMalformedResponses(t *testing.T) {
	p := newPair(t, pairOptions{raw: [2]bool{quic.Server: true}})
	for _, tt := range responseMessageRows() {
		c := p.request(getRequest, true)
		p.run()
		s := p.raw[quic.Server][len(p.raw[quic.Server])-1].Stream
		if s == nil || s.ID() != c.ID() {
			t.Fatal("no request")
		}
		readStream(s)
		p.events[quic.Client] = nil
		p.write(s, headersFrame(tt.fields...), false)
		p.run()
		_, err := s.TryWrite(nil, false)
		reset := slices.Contains(p.kinds(quic.Client, c), EventReset)
		told := slices.Contains(p.kinds(quic.Client, c), EventHeaders)
		if (streamCode(err) == MessageError) != tt.malformed || reset != tt.malformed || told == tt.malformed {
			t.Errorf("%s: %v: %v, reset: %t, told: %t", tt.rule, tt.fields, err, reset, told)
		}
		if _, err := c.TryReadBody(make([]byte, 1)); tt.malformed && (err == nil || err.(*Error).Code != MessageError) {
			t.Errorf("%s: TryReadBody: %v", tt.rule, err)
		}
		c.Reset(RequestCancelled)
		c.StopSending(RequestCancelled)
		p.run()
	}
}

func TestMalformedTrailers(t *testing.T) {
	rows := append(sectionRows(nil), messageRow{"4.2: TE in trailers", fields("te", "trailers"), true},
		messageRow{"4.3: :path in trailers", fields(":path", "/"), true}, messageRow{"4.1: empty trailers", nil, false})
	p := newPair(t, pairOptions{})
	raw := newPair(t, pairOptions{raw: [2]bool{quic.Client: true}})
	for _, tt := range rows {
		c := p.request(postRequest, false)
		if err := c.SendTrailers(tt.fields); (err != nil) != tt.malformed {
			t.Errorf("%s: SendTrailers: %v", tt.rule, err)
		}
		c.Reset(RequestCancelled)
		c.StopSending(RequestCancelled)
		p.run()
		for _, ev := range p.take(quic.Server, EventHeaders) {
			ev.Stream.Reset(RequestCancelled)
		}

		s := raw.open(quic.Client, quic.Bidi, cat(headersFrame(postRequest...), headersFrame(tt.fields...)), false)
		raw.events[quic.Server] = nil
		raw.run()
		kinds := raw.kindsOf(quic.Server)
		want := EventTrailers
		if tt.malformed {
			want = EventReset
		}
		if !slices.Equal(kinds, []EventKind{EventHeaders, want}) {
			t.Errorf("%s: %v: events %v", tt.rule, tt.fields, kinds)
		}
		s.Reset(0)
		s.StopSending(0)
		raw.run()
		for _, ev := range raw.take(quic.Server, EventHeaders) {
			ev.Stream.Reset(RequestCancelled)
		}
	}
}
