package h3

import (
	"bytes"
	"crypto/tls"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/dunlin-quic/dunlin/h3/qpack"
	"github.com/dunlin-quic/dunlin/internal/testcert"
	"github.com/dunlin-quic/dunlin/internal/wire"
	"github.com/dunlin-quic/dunlin/quic"
)

var (
	clientAddr = netip.MustParseAddrPort("192.0.2.1:1111")
	serverAddr = netip.MustParseAddrPort("198.51.100.1:443")
	paths      = [2]quic.Path{
		quic.Client: {Local: clientAddr, Remote: serverAddr},
		quic.Server: {Local: serverAddr, Remote: clientAddr},
	}
)

// pair is two QUIC connections joined by a link of one millisecond on virtual time. A side speaks HTTP/3 if it has a
// Conn; else the test moves the bytes of its streams itself.
type pair struct {
	t      testing.TB
	now    time.Time
	q      [2]*quic.Conn
	h      [2]*Conn
	link   [2][]datagram
	buf    []byte
	events [2][]Event      // of the sides with a Conn, fields copied
	raw    [2][]quic.Event // of the others
	// onEvent, if set, sees each event while its fields are valid.
	onEvent func(side quic.Side, ev Event)
	drop    func() bool // whether to lose a datagram
}

type datagram struct {
	at time.Time
	in quic.Inbound
}

// pairOptions says what is not as usual.
type pairOptions struct {
	cfg  [2]*Config
	raw  [2]bool // the side has no Conn
	quic func(side quic.Side, cfg *quic.Config)
	drop func() bool
	// begin, if set, is called when the client has sent its first packet.
	begin func(*pair)
}

// newPair completes a handshake, and the exchange of SETTINGS on the sides with a Conn.
func newPair(t testing.TB, o pairOptions) *pair {
	t.Helper()
	p := &pair{t: t, now: time.Now(), buf: make([]byte, 64<<10), drop: o.drop}
	cert, pool := testcert.Get()
	var cfg [2]*quic.Config
	cfg[quic.Client] = &quic.Config{TLS: &tls.Config{ServerName: "server.test", RootCAs: pool,
		NextProtos: []string{NextProto}}}
	cfg[quic.Server] = &quic.Config{TLS: &tls.Config{Certificates: []tls.Certificate{cert},
		NextProtos: []string{NextProto}}}
	if o.quic != nil {
		o.quic(quic.Client, cfg[quic.Client])
		o.quic(quic.Server, cfg[quic.Server])
	}
	var err error
	if p.q[quic.Client], err = quic.NewClient(p.now, cfg[quic.Client], paths[quic.Client]); err != nil {
		t.Fatal(err)
	}
	n := p.transmit(quic.Client)
	if n == 0 {
		t.Fatal("no ClientHello")
	}
	demux, err := quic.NewDemux(quic.DemuxConfig{})
	if err != nil {
		t.Fatal(err)
	}
	in := p.link[quic.Server][0].in
	d := demux.Handle(p.now, in.Path, in.Data[:min(len(in.Data), max(in.SegmentSize, 1200))], make([]byte, 1500), false)
	if d.Kind != quic.NewAttempt {
		t.Fatalf("demux: %v", d.Reason)
	}
	if p.q[quic.Server], err = quic.NewServer(p.now, cfg[quic.Server], d.Accept); err != nil {
		t.Fatal(err)
	}
	for side := range p.h {
		if !o.raw[side] {
			p.h[side] = NewConn(p.q[side], o.cfg[side])
		}
	}
	t.Cleanup(func() {
		for _, q := range p.q {
			q.Close(p.now, nil)
		}
	})
	if o.begin != nil {
		o.begin(p)
	}
	p.run()
	if !p.q[quic.Client].Established() || !p.q[quic.Server].Established() {
		t.Fatalf("handshake failed: %v, %v", p.q[quic.Client].Err(), p.q[quic.Server].Err())
	}
	return p
}

// transmit puts on the link what side has to send.
func (p *pair) transmit(side quic.Side) (n int) {
	for {
		tr, ok := p.q[side].PollTransmit(p.now, p.buf, 40)
		if !ok {
			return n
		}
		n++
		if p.drop != nil && p.drop() {
			continue
		}
		p.link[side.Peer()] = append(p.link[side.Peer()], datagram{p.now.Add(time.Millisecond), quic.Inbound{
			Path: quic.Path{Local: tr.Path.Remote, Remote: tr.Path.Local}, ECN: tr.ECN,
			Data: bytes.Clone(p.buf[:tr.Len]), SegmentSize: tr.SegmentSize,
		}})
	}
}

// pump lets side do everything that it can do now.
func (p *pair) pump(side quic.Side) {
	q, h := p.q[side], p.h[side]
	for ev := q.NextEvent(); ev.Kind != quic.EventNone; ev = q.NextEvent() {
		if h == nil {
			p.raw[side] = append(p.raw[side], ev)
		} else {
			h.HandleEvent(ev)
		}
	}
	if h != nil {
		for ev := h.NextEvent(); ev.Kind != EventNone; ev = h.NextEvent() {
			if p.onEvent != nil {
				p.onEvent(side, ev)
			}
			ev.Fields = slices.Clone(ev.Fields)
			p.events[side] = append(p.events[side], ev)
		}
		h.Flush(p.now)
	}
	p.transmit(side)
	for q.NextEndpointEvent().Kind != quic.EndpointNone {
	}
}

// run goes on until nothing is on the link and no timer is due within a second.
func (p *pair) run() {
	p.t.Helper()
	for range 1_000_000 {
		next := p.now.Add(time.Second)
		limit := next
		for side := range p.q {
			p.pump(quic.Side(side))
		}
		for side, q := range p.q {
			if len(p.link[side]) > 0 && p.link[side][0].at.Before(next) {
				next = p.link[side][0].at
			}
			if at, ok := q.NextTimeout(); ok && at.Before(next) {
				next = at
			}
			if h := p.h[side]; h != nil {
				if at, ok := h.NextTimeout(); ok && at.Before(next) {
					next = at
				}
			}
		}
		if next.Equal(limit) {
			return
		}
		if next.After(p.now) {
			p.now = next
		}
		for side, q := range p.q {
			for len(p.link[side]) > 0 && !p.link[side][0].at.After(p.now) {
				d := p.link[side][0]
				p.link[side] = p.link[side][1:]
				q.Receive(p.now, d.in)
			}
			if at, ok := q.NextTimeout(); ok && !at.After(p.now) {
				q.HandleTimeout(p.now)
			}
		}
	}
	p.t.Fatal("the connections do not come to rest")
}

// settle goes on until nothing is on the link, whatever the timers wait for.
func (p *pair) settle() {
	for {
		for side := range p.q {
			p.pump(quic.Side(side))
		}
		moved := false
		for side, q := range p.q {
			for _, d := range p.link[side] {
				p.now = d.at
				q.Receive(p.now, d.in)
				moved = true
			}
			p.link[side] = nil
		}
		if !moved {
			return
		}
	}
}

// open opens a stream on a side without a Conn and writes to it.
func (p *pair) open(side quic.Side, d quic.Dir, b []byte, fin bool) *quic.Stream {
	p.t.Helper()
	s, err := p.q[side].OpenStream(d)
	if err != nil {
		p.t.Fatal(err)
	}
	p.write(s, b, fin)
	return s
}

func (p *pair) write(s *quic.Stream, b []byte, fin bool) {
	p.t.Helper()
	if n, err := s.TryWrite(b, fin); n < len(b) || err != nil {
		p.t.Fatalf("wrote %d of %d bytes: %v", n, len(b), err)
	}
}

// request opens a request on the client's Conn and sends its header section.
func (p *pair) request(fields []Field, fin bool) *Stream {
	p.t.Helper()
	s, err := p.h[quic.Client].OpenRequest()
	if err != nil {
		p.t.Fatal(err)
	}
	if err := s.SendHeaders(fields, fin); err != nil {
		p.t.Fatal(err)
	}
	return s
}

// take returns the events of side of the given kind, and forgets all others of that side.
func (p *pair) take(side quic.Side, kind EventKind) []Event {
	var found []Event
	for _, ev := range p.events[side] {
		if ev.Kind == kind {
			found = append(found, ev)
		}
	}
	p.events[side] = nil
	return found
}

// kinds lists the kinds of the events of side about a stream.
func (p *pair) kinds(side quic.Side, s *Stream) (kinds []EventKind) {
	for _, ev := range p.events[side] {
		if ev.Stream == s {
			kinds = append(kinds, ev.Kind)
		}
	}
	return kinds
}

// one returns the only event of the kind.
func (p *pair) one(side quic.Side, kind EventKind) Event {
	p.t.Helper()
	all := slices.Clone(p.events[side])
	found := p.take(side, kind)
	if len(found) != 1 {
		p.t.Fatalf("%v: %d events of kind %d among %v; connection: %v, %v", side, len(found), kind, all,
			p.h[side].Err(),
			p.q[side].Err())
	}
	return found[0]
}

// readAll reads what has arrived of a body.
func readAll(s *Stream) ([]byte, error) {
	var body []byte
	buf := make([]byte, 1000)
	for {
		n, err := s.TryReadBody(buf)
		body = append(body, buf[:n]...)
		if err != nil {
			return body, err
		}
	}
}

// readStream reads what has arrived on a QUIC stream.
func readStream(s *quic.Stream) ([]byte, error) {
	var all []byte
	buf := make([]byte, 1000)
	for {
		n, err := s.TryRead(buf)
		all = append(all, buf[:n]...)
		if err != nil {
			return all, err
		}
	}
}

// connCode returns the code that the peer of side closed the connection with, 0 if it is open.
func (p *pair) connCode(side quic.Side) ErrCode {
	p.t.Helper()
	err := p.q[side].Err()
	if err == nil {
		return 0
	}
	app, ok := err.(*quic.ApplicationError)
	if !ok || !app.Remote {
		p.t.Fatalf("%v: connection ended: %v", side, err)
	}
	return ErrCode(app.Code)
}

// streamCode returns the code of a *quic.StreamError of the peer's, 0 for other errors.
func streamCode(err error) ErrCode {
	if e, ok := err.(*quic.StreamError); ok && e.Remote {
		return ErrCode(e.Code)
	}
	return 0
}

// Bytes of a peer that may break the rules.

func frame(t frameType, payload ...byte) []byte {
	return append(appendFrameHeader(nil, t, len(payload)), payload...)
}

func headersFrame(fields ...Field) []byte {
	return frame(frameHeaders, qpack.NewEncoder(0).Encode(nil, 0, fields)...)
}

func dataFrame(s string) []byte { return frame(frameData, []byte(s)...) }

func varint(v uint64) []byte { return wire.AppendVarint(nil, v) }

func cat(parts ...[]byte) []byte { return slices.Concat(parts...) }

func fields(pairs ...string) (f []Field) {
	for i := 0; i < len(pairs); i += 2 {
		f = append(f, Field{Name: pairs[i], Value: pairs[i+1]})
	}
	return f
}

var (
	getRequest  = fields(":method", "GET", ":scheme", "https", ":authority", "server.test", ":path", "/")
	postRequest = fields(":method", "POST", ":scheme", "https", ":authority", "server.test", ":path", "/")
	okResponse  = fields(":status", "200")

	emptySettings = cat(varint(uint64(streamControl)), frame(frameSettings))
)
