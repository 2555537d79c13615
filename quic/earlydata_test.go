package quic

import (
	"bytes"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/dunlin-quic/dunlin/internal/recovery"
	"github.com/dunlin-quic/dunlin/internal/wire"
)

// earlyPair is a client and a server with configs that are good for early data, for one connection after another.
type earlyPair struct {
	t   *testing.T
	now time.Time
	cfg [2]*Config
}

// newEarlyPair makes the configs and one connection, after which the client has a ticket.
func newEarlyPair(t *testing.T, opts ...func(cfg [2]*Config)) *earlyPair {
	e := &earlyPair{t: t, now: time.Now()} // TLS measures the age of tickets by the clock
	e.cfg = [2]*Config{testConfig(Client), testConfig(Server)}
	e.cfg[Client].TLS.ClientSessionCache = tls.NewLRUClientSessionCache(4)
	for _, cfg := range e.cfg {
		cfg.EarlyData = true
	}
	for _, o := range opts {
		o(e.cfg)
	}
	for side := range e.cfg {
		e.resolve(Side(side))
	}
	p := e.pair()
	if got := p.conn[Client].EarlyData().State; got != EarlyDataNone {
		t.Fatalf("early data on the first connection: %v", got)
	}
	p.establish()
	p.conn[Client].SetSessionData([]byte("settings"))
	p.idle(time.Second)
	e.now = p.now
	return e
}

func (e *earlyPair) resolve(side Side) {
	e.t.Helper()
	cfg, err := e.cfg[side].Resolve()
	if err != nil {
		e.t.Fatal(err)
	}
	e.cfg[side] = cfg
}

// change makes a config of side that is different but for the session tickets.
func (e *earlyPair) change(side Side, change func(*Config)) {
	cfg := *e.cfg[side]
	change(&cfg)
	cfg.secrets = nil
	issuer := cfg.issuer
	e.cfg[side] = &cfg
	e.resolve(side)
	e.cfg[side].issuer = issuer
}

// pair begins the next connection.
func (e *earlyPair) pair(opts ...func(*testPair)) *testPair {
	return newTestPair(e.t, append([]func(*testPair){func(p *testPair) {
		p.cfg = e.cfg
		p.now = e.now
	}}, opts...)...)
}

// sendEarly writes n bytes on a new stream of the client.
func sendEarly(t *testing.T, c *Conn, d Dir, n int) *Stream {
	t.Helper()
	s, err := c.OpenStream(d)
	if err != nil {
		t.Fatal(err)
	}
	if k, err := s.TryWrite(testBytes(n), true); k != n || err != nil {
		t.Fatalf("TryWrite: %d, %v", k, err)
	}
	return s
}

func testBytes(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i * 31 >> 3)
	}
	return b
}

// readEarly reads the client's first stream of direction d at the server to its end.
func readEarly(t *testing.T, p *testPair, d Dir, n int) *Stream {
	t.Helper()
	var got []byte
	var s *Stream
	p.run("early data to arrive", func() bool {
		if p.conn[Server] == nil {
			return false
		}
		if s = p.conn[Server].streams.get(NewStreamID(Client, d, 0)); s == nil {
			return false
		}
		for buf := make([]byte, 4096); ; {
			k, err := s.TryRead(buf)
			got = append(got, buf[:k]...)
			switch {
			case err == io.EOF:
				return true
			case err == ErrWouldBlock:
				return false
			case err != nil:
				t.Fatal(err)
			}
		}
	})
	if !bytes.Equal(got, testBytes(n)) {
		t.Fatalf("%d bytes arrived, not the %d sent", len(got), n)
	}
	return s
}

func (p *testPair) told(side Side, k EventKind) (e Event, ok bool) {
	p.poll(side)
	for _, e := range p.events[side] {
		if e.Kind == k {
			return e, true
		}
	}
	return Event{}, false
}

// The server has the request after half a round trip and answers at once: the client has the answer after one, the time
// that the handshake takes it. RFC 9000, Section 13.2.6 (MUST 3). RFC 9001, Section 4.6.1 (MUST 1), Section 4.9.3 (MUST
// 1) and Section 8.3 (MUST 1).
func TestEarlyData(t *testing.T) {
	e := newEarlyPair(t)
	p := e.pair()
	c := p.conn[Client]
	if got := c.EarlyData(); got.State != EarlyDataOffered || got.Protocol != "test" || string(got.SessionData) != "settings" {
		t.Fatalf("early data: %+v", got)
	}
	if ev := c.NextEvent(); ev.Kind != EventEarlyData {
		t.Errorf("first event %v", ev.Kind)
	}
	start := p.now
	request := sendEarly(t, c, Bidi, 3000)
	if err := c.TrySendDatagram(make([]byte, c.MaxDatagramLen())); err != nil {
		t.Fatal(err)
	}
	s := readEarly(t, p, Bidi, 3000)
	server := p.conn[Server]
	if d := p.now.Sub(start); d != p.delay {
		t.Errorf("the request took %v", d)
	}
	if server.Established() || !s.Early() || server.EarlyData().State != EarlyDataAccepted {
		t.Errorf("established %v, early %v, state %v", server.Established(), s.Early(), server.EarlyData().State)
	}
	if _, err := server.TryReceiveDatagram(); err != nil {
		t.Errorf("datagram: %v", err)
	}
	if _, ok := p.told(Server, EventEarlyData); !ok {
		t.Error("the server did not tell of early data")
	}
	if _, err := s.TryWrite([]byte("answer"), true); err != nil {
		t.Fatal(err)
	}
	var answer []byte
	p.run("answer", func() bool {
		b := make([]byte, 100)
		k, _ := request.TryRead(b)
		answer = append(answer, b[:k]...)
		return len(answer) == len("answer")
	})
	if d := p.now.Sub(start); string(answer) != "answer" || d != 2*p.delay {
		t.Errorf("answer %q after %v", answer, d)
	}
	p.establish()
	if got := c.EarlyData().State; got != EarlyDataAccepted {
		t.Errorf("state at the client: %v", got)
	}
	late := sendEarly(t, c, Uni, 10)
	if readEarly(t, p, Uni, 10).Early() {
		t.Errorf("stream %d is called early", late.ID())
	}
	p.idle(5 * time.Second)
	if c.early != nil || server.early != nil {
		t.Error("keys of 0-RTT packets kept")
	}
	if st := c.Stats(); st.PacketsLost > 0 {
		t.Errorf("%d packets lost", st.PacketsLost)
	}
	p.events = [2][]Event{}
	p.transfer(Client, 100_000)
}

// A client that sends as much as the limits let it: the rest follows when they rise.
// RFC 9000, Section 7.4.1 (MUST 8).
func TestEarlyDataLimits(t *testing.T) {
	e := newEarlyPair(t, func(cfg [2]*Config) {
		cfg[Server].StreamWindow, cfg[Server].MaxUniStreams = 1000, 1
	})
	e.change(Server, func(c *Config) { c.StreamWindow, c.MaxUniStreams = 5000, 3 })
	p := e.pair()
	c := p.conn[Client]
	s, err := c.OpenStream(Uni)
	if err != nil {
		t.Fatal(err)
	}
	if k, _ := s.TryWrite(make([]byte, 2000), false); k != 1000 {
		t.Errorf("%d bytes written", k)
	}
	if _, err := c.OpenStream(Uni); err != ErrStreamLimit {
		t.Errorf("second stream: %v", err)
	}
	p.establish()
	if got := c.EarlyData().State; got != EarlyDataAccepted {
		t.Fatal(got)
	}
	if k, err := s.TryWrite(make([]byte, 4000), true); k != 4000 {
		t.Errorf("%d bytes written after the handshake, %v", k, err)
	}
	if _, ok := p.told(Client, EventStreamsAvailable); !ok {
		t.Error("EventStreamsAvailable not told")
	}
}

// Why servers take no early data, and what becomes of it then.
// RFC 9000, Section 7.4.1 (MUST 5, 6, 7). RFC 9001, Section 4.6.2 (MUST 1, 2).
func TestEarlyDataRejected(t *testing.T) {
	tests := []struct {
		name   string
		change func(e *earlyPair)
		lost   bool // not sent again by itself
	}{
		{"off", func(e *earlyPair) { e.change(Server, func(c *Config) { c.EarlyData = false }) }, false},
		{"lower limit that is high enough", func(e *earlyPair) {
			e.change(Server, func(c *Config) { c.StreamWindow = 100_000 })
		}, false},
		{"stream limit below what was sent", func(e *earlyPair) {
			e.change(Server, func(c *Config) { c.StreamWindow = 2000 })
		}, true},
		{"connection limit below what was sent", func(e *earlyPair) {
			e.change(Server, func(c *Config) { c.ConnWindow = 2000 })
		}, true},
		{"no streams", func(e *earlyPair) { e.change(Server, func(c *Config) { c.MaxBidiStreams = -1 }) }, true},
		{"no datagrams", func(e *earlyPair) { e.change(Server, func(c *Config) { c.MaxDatagramFrame = -1 }) }, false},
		{"session data", func(e *earlyPair) { e.change(Server, func(c *Config) { c.SessionData = []byte("new") }) }, false},
		{"protocol", func(e *earlyPair) {
			e.change(Server, func(c *Config) { c.TLS = c.TLS.Clone(); c.TLS.NextProtos = []string{"new", "test"} })
			e.change(Client, func(c *Config) { c.TLS = c.TLS.Clone(); c.TLS.NextProtos = []string{"test", "new"} })
		}, true},
		{"another server's store", func(e *earlyPair) { e.cfg[Server].issuer++ }, false},
		{"old ticket", func(e *earlyPair) { e.now = e.now.Add(earlyDataLife) }, false},
		{"ticket from the future", func(e *earlyPair) { e.now = e.now.Add(-time.Minute) }, false},
		{"unknown ticket", func(e *earlyPair) {
			e.change(Server, func(c *Config) { c.TLS = testConfig(Server).TLS })
		}, false},
		{"another version's ticket", func(e *earlyPair) {
			cfg := *e.cfg[Server]
			cfg.sessions = new(sessionConfigs)
			cfg.sessions.v1.Store(sessionTLS(cfg.TLS, Version2, true))
			e.cfg[Server] = &cfg
		}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := newEarlyPair(t, func(cfg [2]*Config) {
				cfg[Server].TLS.SetSessionTicketKeys([][32]byte{{1}})
			})
			tt.change(e)
			p := e.pair()
			c := p.conn[Client]
			if got := c.EarlyData().State; got != EarlyDataOffered {
				t.Fatalf("early data %v", got)
			}
			s := sendEarly(t, c, Bidi, 3000)
			if err := c.TrySendDatagram([]byte("datagram")); err != nil {
				t.Fatal(err)
			}
			p.establish()
			ev, ok := p.told(Client, EventEarlyDataRejected)
			if !ok || (ev.Err == ErrEarlyDataRejected) != tt.lost {
				t.Fatalf("EventEarlyDataRejected: %v, %v", ok, ev.Err)
			}
			if got := c.EarlyData().State; got != EarlyDataRejected {
				t.Errorf("state %v", got)
			}
			if got := p.conn[Server].EarlyData().State; got != EarlyDataNone {
				t.Errorf("state at the server %v", got)
			}
			if !tt.lost {
				if readEarly(t, p, Bidi, 3000).Early() {
					t.Error("what was sent again is called early")
				}
			} else {
				if _, err := s.TryWrite(nil, true); err != ErrEarlyDataRejected {
					t.Errorf("TryWrite: %v", err)
				}
				if _, err := s.TryRead(make([]byte, 1)); err != ErrEarlyDataRejected {
					t.Errorf("TryRead: %v", err)
				}
				s.Reset(1)
				s.StopSending(1)
				s.SetPriority(1, false)
			}
			// The connection is as good as any.
			e.now = p.now
			p.events = [2][]Event{}
			p.transfer(Client, 50_000)
			p.transfer(Server, 50_000)
			p.idle(time.Second)
			if err := p.err(Client); err != nil {
				t.Error(err)
			}
		})
	}
}

// RFC 9001, Section 4.6.2: a HelloRetryRequest rejects early data. Go 1.26's crypto/tls then answers with what the server can't
// verify; the next connection, at least, must not fail for the same reason.
func TestEarlyDataHelloRetryRequest(t *testing.T) {
	e := newEarlyPair(t, func(cfg [2]*Config) { cfg[Server].TLS.SetSessionTicketKeys([][32]byte{{1}}) })
	e.change(Server, func(c *Config) {
		c.TLS = c.TLS.Clone()
		c.TLS.CurvePreferences = []tls.CurveID{tls.CurveP521}
	})
	p := e.pair()
	p.run("end of the handshake", func() bool { return p.err(Client) != nil || p.conn[Client].Confirmed() })
	if got := p.conn[Client].EarlyData().State; got != EarlyDataRejected {
		t.Errorf("early data %v", got)
	}
	p = e.pair()
	p.establish()
	p.transfer(Client, 1000)
}

// RFC 9369, Section 5: sessions belong to the version in use in the end, and the next connection begins with that. 0-RTT
// packets stay in the version of the client's first flight (Section 4.1).
func TestEarlyDataVersions(t *testing.T) {
	v1, v2 := []Version{Version1}, []Version{Version2}
	prefer2 := []Version{Version2, Version1}
	for _, tt := range []struct {
		name            string
		client          []Version
		server, becomes []Version // before and after
		first, used     Version   // of the second connection
		state           EarlyDataState
	}{
		{"version 2", v2, v2, v2, Version2, Version2, EarlyDataAccepted},
		{"version 2 from the last connection", nil, prefer2, prefer2, Version2, Version2, EarlyDataAccepted},
		{"switch of versions", nil, v1, prefer2, Version1, Version2, EarlyDataAccepted},
		{"Version Negotiation", nil, v2, v1, Version2, Version1, EarlyDataRejected},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := newEarlyPair(t, func(cfg [2]*Config) {
				cfg[Client].Versions, cfg[Server].Versions = tt.client, tt.server
				cfg[Server].TLS.SetSessionTicketKeys([][32]byte{{1}})
			})
			e.change(Server, func(c *Config) { c.Versions, c.OriginalVersion = tt.becomes, 0 })
			var first Version
			p := e.pair(func(p *testPair) {
				p.demux.Versions = tt.becomes
				p.filter = func(from Side, b []byte) bool {
					for from == Client && len(b) > 0 && wire.IsLong(b[0]) {
						h, _ := wire.ParseLong(b)
						if first == 0 {
							first = h.Version
						}
						if h.Type == wire.ZeroRTT && h.Version != first {
							t.Errorf("0-RTT packet of version %v after a first one of version %v", h.Version, first)
						}
						b = b[h.PacketLen:]
					}
					return true
				}
			})
			if got := p.conn[Client].EarlyData().State; got != EarlyDataOffered {
				t.Fatalf("early data %v", got)
			}
			sendEarly(t, p.conn[Client], Uni, 20_000)
			if early := readEarly(t, p, Uni, 20_000).Early(); early != (tt.state == EarlyDataAccepted) {
				t.Errorf("early %v", early)
			}
			p.establish()
			if first != tt.first {
				t.Errorf("first packet of version %v, want %v", first, tt.first)
			}
			for side, c := range p.conn {
				if c.Version() != tt.used {
					t.Errorf("%v uses version %v, want %v", Side(side), c.Version(), tt.used)
				}
			}
			if got := p.conn[Client].EarlyData().State; got != tt.state {
				t.Errorf("early data %v, want %v", got, tt.state)
			}
			p.events = [2][]Event{}
			p.transfer(Client, 10_000)
			p.transfer(Server, 10_000)
			p.idle(time.Second)
			e.now = p.now
			// What was learnt is of use at once: no round trip is lost again.
			p = e.pair(func(p *testPair) { p.demux.Versions = tt.becomes })
			if got := p.conn[Client]; got.EarlyData().State != EarlyDataOffered || got.Version() != tt.used {
				t.Errorf("third connection: early data %v, version %v", got.EarlyData().State, got.Version())
			}
			p.establish()
			if got := p.conn[Client].EarlyData().State; got != EarlyDataAccepted {
				t.Errorf("third connection: early data %v", got)
			}
		})
	}
}

// RFC 9001, Section 9.2 (MUST 1): who repeats the client's first flight reaches nothing with it. The genuine client
// that comes with the same ticket again loses but the round trip.
func TestEarlyDataReplay(t *testing.T) {
	e := newEarlyPair(t)
	var flight [][]byte
	p := e.pair(func(p *testPair) {
		p.filter = func(from Side, b []byte) bool {
			if from == Client && p.conn[Server] == nil {
				flight = append(flight, append([]byte(nil), b...))
			}
			return true
		}
	})
	sendEarly(t, p.conn[Client], Uni, 1000)
	readEarly(t, p, Uni, 1000)

	replayed := e.pair()
	for _, b := range flight {
		replayed.link[Server] = append(replayed.link[Server], testDatagram{at: replayed.now, data: b, path: testPaths[Server]})
	}
	replayed.deliver(Server)
	c := replayed.conn[Server]
	if c == nil || c.ConnectionState().ServerName == "" {
		t.Fatal("the replay was not even looked at")
	}
	if c.EarlyData().State != EarlyDataNone || len(c.streams.streams) > 0 {
		t.Errorf("replayed early data: %v, %d streams", c.EarlyData().State, len(c.streams.streams))
	}
}

// The ticket that the last connection brought is as good as the first one.
func TestEarlyDataAgainAndAgain(t *testing.T) {
	e := newEarlyPair(t)
	for range 3 {
		p := e.pair()
		if got := p.conn[Client].EarlyData().SessionData; string(got) != "settings" {
			t.Errorf("session data %q", got)
		}
		p.conn[Client].SetSessionData([]byte("settings")) // before there is a ticket to keep it with
		sendEarly(t, p.conn[Client], Uni, 1000)
		readEarly(t, p, Uni, 1000)
		p.establish()
		if got := p.conn[Client].EarlyData().State; got != EarlyDataAccepted {
			t.Fatal(got)
		}
		p.idle(time.Second)
		e.now = p.now
	}
}

// Clients that are not asked to send no early data, and those without a session can't.
// RFC 9001, Section 5.6 (MUST 1).
func TestEarlyDataNotOffered(t *testing.T) {
	e := newEarlyPair(t)
	tests := []struct {
		name   string
		change func(*Config)
	}{
		{"off", func(c *Config) { c.EarlyData = false }},
		{"another server", func(c *Config) {
			c.TLS = c.TLS.Clone()
			c.TLS.ServerName, c.TLS.InsecureSkipVerify = "other.test", true
		}},
		{"no cache", func(c *Config) { c.TLS = c.TLS.Clone(); c.TLS.ClientSessionCache = nil }},
		{"another protocol", func(c *Config) { c.TLS = c.TLS.Clone(); c.TLS.NextProtos = []string{"other"} }},
	}
	before := e.cfg[Client]
	for _, tt := range tests {
		e.cfg[Client] = before
		e.change(Client, tt.change)
		p := e.pair()
		c := p.conn[Client]
		if got := c.EarlyData().State; got != EarlyDataNone || c.early != nil {
			t.Errorf("%s: %v", tt.name, got)
		}
		if _, err := c.OpenStream(Uni); err != ErrStreamLimit {
			t.Errorf("%s: OpenStream: %v", tt.name, err)
		}
		if err := c.TrySendDatagram(nil); err != ErrDatagramUnsupported {
			t.Errorf("%s: TrySendDatagram: %v", tt.name, err)
		}
	}
}

// After a Retry, early data is sent again, with new packet numbers.
// RFC 9000, Section 17.2.3 (MUST 1).
func TestEarlyDataRetry(t *testing.T) {
	e := newEarlyPair(t)
	p := e.pair(func(p *testPair) { p.demux.Retry = RetryAlways })
	start := p.now
	sendEarly(t, p.conn[Client], Uni, 3000)
	s := readEarly(t, p, Uni, 3000)
	if p.retries == 0 || !s.Early() {
		t.Errorf("%d Retry packets, early %v", p.retries, s.Early())
	}
	if d := p.now.Sub(start); d != 3*p.delay {
		t.Errorf("took %v", d)
	}
	p.establish()
}

// isEarly reports whether a datagram has a 0-RTT packet, and whether it has nothing else.
func isEarly(b []byte) (has, only bool) {
	only = true
	for len(b) > 0 {
		h, ok := wire.ParseLong(b)
		if !ok {
			return has, false
		}
		has = has || h.Type == wire.ZeroRTT
		only = only && h.Type == wire.ZeroRTT
		b = b[h.PacketLen:]
	}
	return has, only
}

// 0-RTT packets may be lost, or come before the ClientHello, or after the handshake.
func TestEarlyDataLostAndReordered(t *testing.T) {
	for _, tt := range []struct {
		name  string
		early int           // packets that the server has before the first other one
		delay time.Duration // of datagrams with nothing but 0-RTT packets
		lose  bool
	}{
		{name: "lost", lose: true},
		{name: "late", delay: 45 * time.Millisecond},
		{name: "before the ClientHello", delay: -5 * time.Millisecond},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := newEarlyPair(t)
			n := 0
			var only bool
			p := e.pair(func(p *testPair) {
				p.segs = 1
				p.filter = func(from Side, b []byte) bool {
					_, only = isEarly(b)
					if only {
						n++
					}
					return !only || !tt.lose
				}
				p.delayOf = func() time.Duration {
					if only {
						return tt.delay
					}
					return 0
				}
			})
			sendEarly(t, p.conn[Client], Uni, 6000)
			p.poll(Client)
			if tt.delay < 0 {
				// The server knows the connection by the first datagram of a ClientHello that needs two.
				first := p.link[Server]
				for i := range first {
					if _, only := isEarly(first[i].data); !only && i < len(first)-1 {
						first[0], first[i] = first[i], first[0]
						first[0].at = first[1].at
						break
					}
				}
			}
			readEarly(t, p, Uni, 6000)
			p.establish()
			if n < 3 {
				t.Errorf("only %d datagrams of early data", n)
			}
			if got := p.conn[Server].EarlyData().State; got != EarlyDataAccepted {
				t.Error(got)
			}
			st := p.conn[Client].Stats()
			if lost := st.PacketsLost > 0; lost != tt.lose && tt.delay <= 0 {
				t.Errorf("%d packets lost", st.PacketsLost)
			}
			p.events = [2][]Event{}
			p.transfer(Client, 10_000)
		})
	}
}

// A bad network, accepted or not.
func TestEarlyDataBadNetwork(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			e := newEarlyPair(t, func(cfg [2]*Config) {
				for _, c := range cfg {
					c.HandshakeTimeout = 40 * time.Second
				}
				cfg[Server].TLS.SetSessionTicketKeys([][32]byte{{1}})
			})
			if seed%3 == 0 {
				e.change(Server, func(c *Config) { c.SessionData = []byte("new") })
			}
			r := rand.New(rand.NewPCG(seed, 2))
			loss := 0.1 + 0.2*r.Float64()
			p := e.pair(func(p *testPair) {
				p.filter = func(Side, []byte) bool { return r.Float64() >= loss }
				p.delayOf = func() time.Duration { return time.Duration(r.IntN(30)) * time.Millisecond }
			})
			sendEarly(t, p.conn[Client], Uni, 20_000)
			readEarly(t, p, Uni, 20_000)
			p.establish()
			p.events = [2][]Event{}
			p.transfer(Server, 50_000)
		})
	}
}

// earlyScript stops where the server under test has accepted early data, and has the keys for it.
func earlyScript(t *testing.T, opts ...func(cfg [2]*Config)) *script {
	e := newEarlyPair(t, opts...)
	lose := false
	p := e.pair(func(p *testPair) {
		p.filter = func(from Side, _ []byte) bool { return from != Client || !lose }
	})
	p.run("early data accepted", func() bool {
		if p.conn[Server] != nil && p.conn[Server].early != nil {
			lose = true
		}
		return lose
	})
	s := p.script(t, Server)
	return s
}

// sealEarly returns a 0-RTT packet with the given frames.
func (s *script) sealEarly(frames ...[]byte) []byte {
	w := packetWriter{space: recovery.AppData, rec: &s.peer.rec}
	b := make([]byte, 0, 4096)
	p, body, ok := s.peer.beginLong(&w, b, cap(b))
	if !ok {
		s.t.Fatal("no room")
	}
	for _, f := range frames {
		w.buf = append(w.buf, f...)
	}
	b = finishPacket(&w, &p, body)
	p.flags = recovery.AckEliciting | recovery.InFlight
	if !s.peer.sealAll(b, []unsealed{p}, false) {
		s.t.Fatal("not sealed")
	}
	return b
}

// RFC 9000, Section 12.5, and Table 3: what needs a packet of the server to make sense must not be in 0-RTT packets. The
// limits hold there as they do anywhere.
// RFC 9000, Section 12.4 (MUST 3). RFC 9001, Section 8.3 (MUST 2).
func TestEarlyFrames(t *testing.T) {
	stream := func(id, offset uint64) []byte {
		return append(wire.AppendStreamHeader(nil, id, offset, 1, false), 'x')
	}
	tests := []struct {
		name  string
		frame []byte
		code  TransportErrorCode
	}{
		{"ACK", []byte{0x02, 0, 0, 0, 0}, ProtocolViolation},
		{"CRYPTO", []byte{0x06, 0, 1, 0}, ProtocolViolation},
		{"NEW_TOKEN", []byte{0x07, 1, 0}, ProtocolViolation},
		{"RETIRE_CONNECTION_ID", []byte{0x19, 0}, ProtocolViolation},
		{"PATH_RESPONSE", append([]byte{0x1b}, make([]byte, 8)...), ProtocolViolation},
		{"HANDSHAKE_DONE", []byte{0x1e}, ProtocolViolation},
		{"CONNECTION_CLOSE of the application is allowed", []byte{0x1d, 0, 0}, NoError},
		{"PING is allowed", []byte{0x01}, NoError},
		{"stream beyond the limit", stream(4*5, 0), StreamLimitError},
		{"data beyond the stream's limit", stream(0, 1000), FlowControlError},
		{"data beyond the connection's limit", append(stream(0, 999), stream(4, 999)...), FlowControlError},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := earlyScript(t, func(cfg [2]*Config) {
				cfg[Server].StreamWindow, cfg[Server].ConnWindow, cfg[Server].MaxBidiStreams = 1000, 1500, 5
			})
			before := s.c.Stats().PacketsReceived
			s.receive(s.sealEarly(tt.frame))
			if got := s.c.Stats().PacketsReceived; got != before+1 {
				t.Fatalf("%d packets received", got-before)
			}
			var te *TransportError
			if err := s.c.Err(); err != nil {
				te, _ = err.(*TransportError)
			}
			if tt.name == "PING is allowed" {
				again := s.sealEarly(tt.frame)
				dropped := s.c.Stats().PacketsDropped
				s.receive(again, again)
				if got := s.c.Stats().PacketsDropped; got != dropped+1 {
					t.Errorf("%d of two copies dropped", got-dropped)
				}
			}
			if tt.code == NoError && te != nil || tt.code != NoError && (te == nil || te.Code != tt.code || te.Remote) {
				t.Errorf("error %v, want %v", s.c.Err(), tt.code)
			}
		})
	}
}

// RFC 9000, Section 7.4.1 (MUST 5, 6): a server that accepts early data must not lower its limits.
func TestEarlyDataLimitsLowered(t *testing.T) {
	e := newEarlyPair(t)
	p := e.pair()
	c := p.conn[Client]
	// As if the ticket had promised more.
	c.early.session.params.InitialMaxStreamsUni++
	p.run("failure", func() bool { return p.err(Client) != nil })
	if te, ok := p.err(Client).(*TransportError); !ok || te.Code != ProtocolViolation || te.Remote {
		t.Errorf("error %v", p.err(Client))
	}
}

// RFC 9001, Section 4.6.2: nobody acknowledges what he could not read.
func TestRejectedEarlyDataAcknowledged(t *testing.T) {
	e := newEarlyPair(t, func(cfg [2]*Config) { cfg[Server].TLS.SetSessionTicketKeys([][32]byte{{1}}) })
	e.change(Server, func(c *Config) { c.EarlyData = false })
	p := e.pair()
	sendEarly(t, p.conn[Client], Uni, 100)
	p.establish()
	p.idle(time.Second)
	s := p.script(t, Client)
	s.send([]byte{0x02, 0, 0, 0, 0})
	if te, ok := s.c.Err().(*TransportError); !ok || te.Code != ProtocolViolation || te.Remote {
		t.Errorf("error %v", s.c.Err())
	}
}

// Either side writes the secret of 0-RTT packets to its key log, and both the same.
func TestEarlyDataKeyLog(t *testing.T) {
	var logs [2]bytes.Buffer
	e := newEarlyPair(t, func(cfg [2]*Config) {
		for side := range cfg {
			cfg[side].TLS.KeyLogWriter = &logs[side]
		}
	})
	for side := range logs {
		logs[side].Reset()
	}
	e.pair().establish()
	var lines [2]string
	for side := range logs {
		for line := range strings.Lines(logs[side].String()) {
			if strings.HasPrefix(line, "CLIENT_EARLY_TRAFFIC_SECRET ") {
				lines[side] = line
			} else if lines[side] != "" && strings.Fields(line)[1] != strings.Fields(lines[side])[1] {
				t.Errorf("%v: another client random: %q", Side(side), line)
			}
		}
	}
	if lines[Client] == "" || lines[Client] != lines[Server] {
		t.Errorf("client: %q, server: %q", lines[Client], lines[Server])
	}
	if f := strings.Fields(lines[Client]); len(f) == 3 {
		if b, err := hex.DecodeString(f[2]); err != nil || len(b) < 32 {
			t.Errorf("secret %q", f[2])
		}
	}
}

// What 0-RTT packets a server holds that wait for the ClientHello has a bound.
func TestEarlyDataHeldIsBounded(t *testing.T) {
	s := newHandshakeScript(t, Client, wire.Initial)
	c := s.peer
	c.cfg = func() *Config { cfg := *c.cfg; cfg.EarlyData = true; return &cfg }()
	// As if nothing had come of the ClientHello.
	c.hs.spaces[recovery.Handshake].sealer = nil
	pkt := wire.AppendLong(nil, wire.ZeroRTT, Version1, c.hs.initialDCID, c.hs.peerSCID, nil, 0, 2)
	wire.PatchLength(pkt, len(pkt)-2, 1000)
	pkt = append(pkt, make([]byte, 998)...)
	dropped := c.Stats().PacketsDropped
	for range 100 {
		c.Receive(s.now, Inbound{Path: testPaths[Server], Data: append([]byte(nil), pkt...)})
	}
	if n := len(c.hs.aside.packets); n == 0 || n > maxAsidePackets {
		t.Errorf("%d packets held", n)
	}
	if got := c.Stats().PacketsDropped - dropped; got != 100-uint64(len(c.hs.aside.packets)) {
		t.Errorf("%d packets dropped", got)
	}
}
