package h3

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"testing"

	"github.com/dunlin-quic/dunlin/quic"
)

var websocketRequest = fields(":method", "CONNECT", ":protocol", "websocket", ":scheme", "https",
	":authority", "server.test", ":path", "/chat")

// tunnel opens an extended CONNECT request and accepts it.
func (p *pair) tunnel(fields []Field) (client, server *Stream) {
	p.t.Helper()
	client = p.request(fields, false)
	p.settle()
	server = p.one(quic.Server, EventHeaders).Stream
	if err := server.SendHeaders(okResponse, false); err != nil {
		p.t.Fatal(err)
	}
	p.settle()
	p.one(quic.Client, EventHeaders)
	return client, server
}

func extendedOptions() pairOptions {
	return pairOptions{cfg: [2]*Config{quic.Server: {ExtendedConnect: true}}}
}

// TestExtendedConnect sends bytes both ways through an extended CONNECT request (RFC 9220).
func TestExtendedConnect(t *testing.T) {
	p := newPair(t, extendedOptions())
	client, server := p.tunnel(websocketRequest)
	for _, s := range []*Stream{client, server} {
		if n, err := s.TryWriteBody([]byte("frame"), false); n != 5 || err != nil {
			t.Fatal(n, err)
		}
	}
	p.settle()
	for _, s := range []*Stream{client, server} {
		if got, err := readAll(s); string(got) != "frame" || !errors.Is(err, quic.ErrWouldBlock) {
			t.Errorf("%q, %v", got, err)
		}
		if err := s.SendTrailers(nil); err != ErrSequence {
			t.Errorf("trailers in a tunnel: %v", err)
		}
	}
}

// TestExtendedConnectNotOffered asks servers that have not said, or not yet, that they take extended CONNECT.
func TestExtendedConnectNotOffered(t *testing.T) {
	p := newPair(t, pairOptions{})
	s, err := p.h[quic.Client].OpenRequest()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.SendHeaders(websocketRequest, false); err != ErrExtendedConnect {
		t.Errorf("not offered: %v", err)
	}
	if err := s.SendHeaders(getRequest, true); err != nil {
		t.Errorf("afterwards: %v", err)
	}

	// A client that asks nevertheless.
	p = newPair(t, pairOptions{raw: [2]bool{quic.Client: true}})
	p.open(quic.Client, quic.Uni, emptySettings, false)
	qs := p.open(quic.Client, quic.Bidi, headersFrame(websocketRequest...), false)
	p.run()
	if _, err := qs.TryRead(make([]byte, 10)); streamCode(err) != MessageError {
		t.Errorf("asked nevertheless: %v", err)
	}
}

// TestDatagrams sends HTTP datagrams on several requests, both ways; each arrives at its request, in order.
func TestDatagrams(t *testing.T) {
	p := newPair(t, extendedOptions())
	var clients, servers []*Stream
	for range 3 {
		c, s := p.tunnel(websocketRequest)
		clients, servers = append(clients, c), append(servers, s)
	}
	text := func(i, n int) []byte { return bytes.Repeat([]byte{byte('a' + i)}, n*100) }
	for _, ends := range []struct {
		from, to []*Stream
		side     quic.Side
	}{{clients, servers, quic.Server}, {servers, clients, quic.Client}} {
		for n := range 4 {
			for i, s := range ends.from {
				if err := s.TrySendDatagram(text(i, n)); err != nil {
					t.Fatal(err)
				}
			}
		}
		p.settle()
		told := p.take(ends.side, EventDatagram)
		for i, s := range ends.to {
			if n := len(slices.DeleteFunc(slices.Clone(told), func(ev Event) bool { return ev.Stream != s })); n != 1 {
				t.Errorf("stream %d: told %d times", i, n)
			}
			for n := range 4 {
				if got, err := s.TryReceiveDatagram(); !bytes.Equal(got, text(i, n)) || err != nil {
					t.Errorf("stream %d: %q, %v", i, got, err)
				}
			}
			if _, err := s.TryReceiveDatagram(); err != quic.ErrWouldBlock {
				t.Errorf("stream %d: %v", i, err)
			}
		}
	}
	limit := clients[0].MaxDatagramLen()
	if err := clients[0].TrySendDatagram(make([]byte, limit+1)); err != quic.ErrDatagramTooLarge {
		t.Errorf("too large: %v", err)
	}
	if err := clients[0].TrySendDatagram(make([]byte, limit)); err != nil || limit < 1100 {
		t.Errorf("%d bytes: %v", limit, err)
	}
	p.settle()
	if got, err := servers[0].TryReceiveDatagram(); len(got) != limit || err != nil {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	// The end of the message is the end of its datagrams.
	clients[0].TryWriteBody(nil, true)
	clients[1].Reset(RequestCancelled)
	if err := clients[0].TrySendDatagram(nil); err != ErrSequence {
		t.Errorf("after the end: %v", err)
	}
	p.settle()
	readAll(servers[0])
	if _, err := servers[0].TryReceiveDatagram(); err != io.EOF {
		t.Errorf("after the end: %v", err)
	}
	var e *Error
	if _, err := servers[1].TryReceiveDatagram(); !errors.As(err, &e) || e.Code != RequestCancelled {
		t.Errorf("after the reset: %v", err)
	}
}

// TestDatagramRules receives what RFC 9297, Section 2 speaks of.
func TestDatagramRules(t *testing.T) {
	off := &Config{NoDatagrams: true}
	for _, tt := range []struct {
		name     string
		cfg      *Config // the server's, where it matters
		request  []Field
		fin      bool
		datagram []byte
		use      bool
		conn     ErrCode // that the connection ends with
		stream   ErrCode // that the request ends with
		arrives  bool
	}{
		{name: "for an extended CONNECT", request: websocketRequest, datagram: []byte("\x00x"), arrives: true},
		{name: "empty", request: websocketRequest, datagram: []byte{0}, arrives: true},
		{name: "for a request with a use", request: postRequest, use: true, datagram: []byte("\x00x"), arrives: true},
		{name: "2: for a request without", request: postRequest, datagram: []byte("\x00x"), stream: DatagramError},
		{name: "2.1: after the end of the request", request: websocketRequest, fin: true, datagram: []byte("\x00x")},
		{name: "2.1: for a request that has not come", request: websocketRequest, datagram: []byte("\x05x")},
		{name: "2.1: no stream ID", request: websocketRequest, datagram: []byte{}, conn: DatagramError},
		{name: "2.1: stream ID cut short", request: websocketRequest, datagram: []byte{0x40}, conn: DatagramError},
		{name: "2.1: stream ID too large", request: websocketRequest, datagram: varint(1 << 60), conn: DatagramError},
		{name: "the largest stream ID", request: websocketRequest, datagram: varint(1<<60 - 1)},
		{name: "not offered", cfg: off, request: postRequest, datagram: []byte("\x00x")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.cfg == nil {
				tt.cfg = &Config{ExtendedConnect: true}
			}
			p := newPair(t, pairOptions{raw: [2]bool{quic.Client: true}, cfg: [2]*Config{quic.Server: tt.cfg}})
			p.onEvent = func(side quic.Side, ev Event) {
				if ev.Kind == EventHeaders && tt.use {
					ev.Stream.UseDatagrams()
				}
			}
			p.open(quic.Client, quic.Uni, cat(varint(uint64(streamControl)), frame(frameSettings, 0x33, 1)), false)
			qs := p.open(quic.Client, quic.Bidi, headersFrame(tt.request...), tt.fin)
			if err := p.q[quic.Client].TrySendDatagram(tt.datagram); err != nil {
				t.Fatal(err)
			}
			p.settle()
			if got := p.connCode(quic.Client); got != tt.conn {
				t.Errorf("the connection ended with %v, want %v", got, tt.conn)
			}
			if _, err := qs.TryRead(make([]byte, 10)); streamCode(err) != tt.stream {
				t.Errorf("the request ended with %v, want %v", err, tt.stream)
			}
			if n := len(p.take(quic.Server, EventDatagram)); n == 1 != tt.arrives {
				t.Errorf("%d events, arrives: %v", n, tt.arrives)
			}
		})
	}
}

// TestDatagramsNotOffered sends to a peer who has not offered HTTP datagrams, or QUIC's, on which these are.
func TestDatagramsNotOffered(t *testing.T) {
	p := newPair(t, pairOptions{cfg: [2]*Config{quic.Server: {ExtendedConnect: true, NoDatagrams: true}}})
	client, server := p.tunnel(websocketRequest)
	for _, s := range []*Stream{client, server} {
		if err := s.TrySendDatagram([]byte("x")); err != ErrDatagrams || s.MaxDatagramLen() != 0 {
			t.Errorf("%v, %d", err, s.MaxDatagramLen())
		}
	}

	o := extendedOptions()
	o.quic = func(side quic.Side, cfg *quic.Config) {
		if side == quic.Server {
			cfg.MaxDatagramFrame = -1
		}
	}
	client, _ = newPair(t, o).tunnel(websocketRequest)
	if err := client.TrySendDatagram([]byte("x")); err != ErrDatagrams || client.MaxDatagramLen() != 0 {
		t.Errorf("without QUIC's: %v, %d", err, client.MaxDatagramLen())
	}
}

// TestDatagramSettings refuses settings that are neither 0 nor 1.
func TestDatagramSettings(t *testing.T) {
	for _, id := range []byte{byte(SettingEnableConnectProtocol), byte(SettingH3Datagram)} {
		for value := range byte(3) {
			p := newPair(t, pairOptions{raw: [2]bool{quic.Client: true}})
			p.open(quic.Client, quic.Uni, cat(varint(uint64(streamControl)), frame(frameSettings, id, value)), false)
			p.run()
			want := ErrCode(0)
			if value > 1 {
				want = SettingsError
			}
			if got := p.connCode(quic.Client); got != want {
				t.Errorf("setting %#x = %d: %v, want %v", id, value, got, want)
			}
		}
	}
}

// TestDatagramFlood sends many more datagrams than anyone receives: what is held is bounded, what exceeds it is counted, and
// it is given back with the requests.
func TestDatagramFlood(t *testing.T) {
	o := extendedOptions()
	p := newPair(t, o)
	var clients, servers []*Stream
	for range 10 {
		c, s := p.tunnel(websocketRequest)
		clients, servers = append(clients, c), append(servers, s)
	}
	sent := 0
	for range 200 {
		for _, c := range clients {
			if err := c.TrySendDatagram(make([]byte, 1000)); err == nil {
				sent++
			}
		}
		p.settle()
	}
	h := p.h[quic.Server]
	if h.datagrams.held > maxConnDatagrams+1100 || h.datagrams.held < maxConnDatagrams/2 {
		t.Errorf("%d bytes are held", h.datagrams.held)
	}
	received := 0
	for _, s := range servers[:5] {
		n := 0
		for _, err := s.TryReceiveDatagram(); err == nil; _, err = s.TryReceiveDatagram() {
			n++
		}
		if n > maxStreamDatagrams/1000 {
			t.Errorf("%d datagrams were held for one request", n)
		}
		received += n
	}
	if h.DatagramsDropped() == 0 || received == 0 {
		t.Errorf("%d dropped, %d received", h.DatagramsDropped(), received)
	}
	for i := range clients {
		clients[i].Reset(RequestCancelled)
		servers[i].Reset(RequestCancelled)
	}
	p.run()
	if h.datagrams.held != 0 {
		t.Errorf("%d bytes are held of requests that are over", h.datagrams.held)
	}
}
