package quic

import (
	"crypto/tls"
	"io"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/dunlin-quic/dunlin/internal/testcert"
)

// testConfig returns a config for side.
func testConfig(side Side) *Config {
	cert, roots := testcert.Get()
	t := &tls.Config{NextProtos: []string{"test"}, MinVersion: tls.VersionTLS13}
	if side == Client {
		t.ServerName = "server.test"
		t.RootCAs = roots
	} else {
		t.Certificates = []tls.Certificate{cert}
	}
	return &Config{TLS: t}
}

var (
	testClientAddr = netip.MustParseAddrPort("192.0.2.1:1111")
	testServerAddr = netip.MustParseAddrPort("198.51.100.1:443")
	testPaths      = [2]Path{
		Client: {Local: testClientAddr, Remote: testServerAddr},
		Server: {Local: testServerAddr, Remote: testClientAddr},
	}
)

// testPair is a client and a server joined by a link with a fixed delay, on virtual time.
type testPair struct {
	t     testing.TB
	now   time.Time
	delay time.Duration
	cfg   [2]*Config
	conn  [2]*Conn // the server's is made by the first datagram
	link  [2][]testDatagram
	buf   []byte
	// filter, if set, sees each datagram that a side sends, and drops it by returning false.
	filter func(from Side, data []byte) bool
	// lose, if set, drops what a side sends on a path by returning true.
	lose func(from Side, p Path) bool
	// rewrite, if set, gives the path that a datagram for a side arrives by.
	rewrite func(to Side, p Path) Path
	// mark, if set, changes the ECN mark of what a side sends.
	mark func(from Side, e ECN) ECN
	// delayOf, if set, gives the extra delay of a datagram.
	delayOf func() time.Duration
	demux   DemuxConfig
	front   *Demux
	retries int
	still   int // steps since time moved on
	events  [2][]Event
	segs    int
	sent    [2]int
}

type testDatagram struct {
	at      time.Time
	data    []byte
	segment int
	path    Path
	ecn     ECN
}

func newTestPair(t testing.TB, opts ...func(*testPair)) *testPair {
	p := &testPair{
		t: t, now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), delay: 10 * time.Millisecond,
		cfg: [2]*Config{testConfig(Client), testConfig(Server)}, buf: make([]byte, 64<<10), segs: 40,
	}
	for _, o := range opts {
		o(p)
	}
	c, err := NewClient(p.now, p.cfg[Client], testPaths[Client])
	if err != nil {
		t.Fatal(err)
	}
	p.conn[Client] = c
	t.Cleanup(func() {
		for _, c := range p.conn {
			if c != nil {
				c.Close(p.now, nil)
			}
		}
	})
	return p
}

// poll drains what side has to say.
func (p *testPair) poll(side Side) {
	c := p.conn[side]
	if c == nil {
		return
	}
	for {
		tr, ok := c.PollTransmit(p.now, p.buf, p.segs)
		if !ok {
			break
		}
		p.sent[side]++
		if p.lose != nil && p.lose(side, tr.Path) {
			continue
		}
		data := p.buf[:tr.Len]
		to := side.Peer()
		path := Path{Local: tr.Path.Remote, Remote: tr.Path.Local}
		if p.mark != nil {
			tr.ECN = p.mark(side, tr.ECN)
		}
		if p.rewrite != nil {
			path = p.rewrite(to, path)
		}
		if p.filter == nil && p.delayOf == nil {
			p.link[to] = append(p.link[to], testDatagram{
				p.now.Add(p.delay), append([]byte(nil), data...), tr.SegmentSize, path, tr.ECN,
			})
			continue
		}
		for len(data) > 0 {
			n := min(len(data), tr.SegmentSize)
			if p.filter == nil || p.filter(side, data[:n]) {
				d := testDatagram{p.now.Add(p.delay), append([]byte(nil), data[:n]...), 0, path, tr.ECN}
				if p.delayOf != nil {
					d.at = d.at.Add(p.delayOf())
				}
				i := len(p.link[to])
				for i > 0 && p.link[to][i-1].at.After(d.at) {
					i--
				}
				p.link[to] = slices.Insert(p.link[to], i, d)
			}
			data = data[n:]
		}
	}
	for {
		e := c.NextEvent()
		if e.Kind == EventNone {
			break
		}
		p.events[side] = append(p.events[side], e)
	}
	for c.NextEndpointEvent().Kind != EndpointNone {
	}
}

// deliver hands over what has arrived at side.
func (p *testPair) deliver(side Side) {
	for len(p.link[side]) > 0 && !p.link[side][0].at.After(p.now) {
		d := p.link[side][0]
		p.link[side] = p.link[side][1:]
		if p.conn[side] == nil {
			p.accept(d)
		}
		if p.conn[side] != nil {
			p.conn[side].Receive(p.now, Inbound{Path: d.path, ECN: d.ecn, Data: d.data, SegmentSize: d.segment})
		}
	}
}

// accept makes the server's connection.
func (p *testPair) accept(d testDatagram) {
	if p.front == nil {
		var err error
		if p.front, err = NewDemux(p.demux); err != nil {
			p.t.Fatal(err)
		}
	}
	reply := make([]byte, MinReplyBuffer)
	dec := p.front.Handle(p.now, d.path, d.data, reply, false)
	if dec.Kind == Reply {
		p.retries++
		back := testPaths[Client]
		p.link[Client] = append(p.link[Client], testDatagram{p.now.Add(p.delay), reply[:dec.Len], 0, back, NotECT})
	}
	if dec.Kind != NewAttempt {
		return
	}
	c, err := NewServer(p.now, p.cfg[Server], dec.Accept)
	if err != nil {
		p.t.Fatal(err)
	}
	p.conn[Server] = c
}

// step polls both sides, then moves on to the next instant at which something happens. It reports false if nothing will,
// or if that is later than limit.
func (p *testPair) step(limit time.Time) bool {
	p.poll(Client)
	p.poll(Server)
	next := limit.Add(1)
	for side, c := range p.conn {
		if len(p.link[side]) > 0 && p.link[side][0].at.Before(next) {
			next = p.link[side][0].at
		}
		if c != nil {
			if at, ok := c.NextTimeout(); ok && at.Before(next) {
				next = at
			}
		}
	}
	if next.After(limit) {
		return false
	}
	if next.After(p.now) {
		p.now = next
		p.still = 0
	} else if p.still++; p.still > 50 {
		p.t.Fatal("timeouts that are due stay due: an owner would spin")
	}
	for side, c := range p.conn {
		p.deliver(Side(side))
		if c != nil {
			if at, ok := c.NextTimeout(); ok && !at.After(p.now) {
				c.HandleTimeout(p.now)
			}
		}
	}
	return true
}

// run goes on until done, for a virtual minute and 100,000 steps at most.
func (p *testPair) run(what string, done func() bool) {
	p.t.Helper()
	limit := p.now.Add(time.Minute)
	for range 100_000 {
		if done() {
			return
		}
		if !p.step(limit) {
			break
		}
	}
	if !done() {
		p.t.Fatalf("%s: not within %v; client: %v, server: %v", what, p.now.Sub(limit.Add(-time.Minute)), p.err(Client), p.err(Server))
	}
}

// idle goes on until d has passed.
func (p *testPair) idle(d time.Duration) {
	limit := p.now.Add(d)
	for p.step(limit) {
	}
	p.now = limit
}

func (p *testPair) err(s Side) error {
	if p.conn[s] == nil {
		return nil
	}
	return p.conn[s].Err()
}

// establish completes and confirms the handshake.
func (p *testPair) establish() {
	p.t.Helper()
	p.run("handshake", func() bool {
		return p.conn[Server] != nil && p.conn[Client].Confirmed() && p.conn[Server].Confirmed()
	})
}

// transfer moves n bytes over a new stream of from to the other side and back nothing, and reports what arrived.
func (p *testPair) transfer(from Side, n int) {
	p.t.Helper()
	s, err := p.conn[from].OpenStream(Uni)
	if err != nil {
		p.t.Fatal(err)
	}
	var r *Stream
	sent, got := 0, 0
	out, in := make([]byte, 32<<10), make([]byte, 32<<10)
	done := false
	p.run("transfer", func() bool {
		for sent < n {
			b := out[:min(len(out), n-sent)]
			for i := range b {
				b[i] = byte((sent + i) * 31 >> 3)
			}
			k, err := s.TryWrite(b, sent+len(b) == n)
			sent += k
			if err != nil && err != ErrWouldBlock {
				p.t.Fatal(err)
			}
			if k < len(b) {
				break
			}
		}
		for _, e := range p.events[from.Peer()] {
			if e.Kind == EventStreamOpened {
				r = e.Stream
			}
		}
		p.events[from.Peer()] = nil
		for r != nil && !done {
			k, err := r.TryRead(in)
			for i, b := range in[:k] {
				if b != byte((got+i)*31>>3) {
					p.t.Fatalf("byte %d is wrong", got+i)
				}
			}
			got += k
			if err == io.EOF {
				done = true
			} else if err == ErrWouldBlock {
				break
			} else if err != nil {
				p.t.Fatal(err)
			}
		}
		return done
	})
	if got != n {
		p.t.Fatalf("%d bytes arrived, want %d", got, n)
	}
}

func TestTransfer(t *testing.T) {
	for _, from := range []Side{Client, Server} {
		t.Run(from.String(), func(t *testing.T) {
			p := newTestPair(t)
			p.establish()
			start := p.now
			p.transfer(from, 4<<20)
			st := p.conn[from].Stats()
			t.Logf("%v: %+v", p.now.Sub(start), st)
			if st.PacketsLost > 0 {
				t.Errorf("%d packets lost on a link that loses none", st.PacketsLost)
			}
			if st.PacketSize != 1452 {
				t.Errorf("packet size %d after path MTU discovery, want 1452", st.PacketSize)
			}
		})
	}
}
