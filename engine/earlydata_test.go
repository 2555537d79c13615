package engine

import (
	"crypto/tls"
	"errors"
	"testing"

	"github.com/dunlin-quic/dunlin/quic"
)

// earlyBird is a client's application that sends something as soon as it can.
type earlyBird struct {
	*caller
	x     *exchange
	early bool // it began before the handshake was complete
}

func (a *earlyBird) OnEstablished(s *Session) error {
	a.early = s.Early()
	return a.send(s)
}

func (a *earlyBird) send(s *Session) error {
	st, err := s.Conn().OpenStream(quic.Bidi)
	if err != nil {
		return err
	}
	a.x.unsent = []byte("hello")
	a.calls[st] = a.x
	a.x.send(st)
	return nil
}

// earlyEcho is the server's side. It tells of each connection whether it began early, and of each stream whether early data
// opened it.
type earlyEcho struct {
	echo
	began, streams chan bool
}

func (a *earlyEcho) OnEstablished(s *Session) error {
	a.began <- s.Early()
	return nil
}

func (a *earlyEcho) ProcessReads(s *Session) error {
	for {
		switch ev := s.Conn().NextEvent(); ev.Kind {
		case quic.EventNone:
			return nil
		case quic.EventStreamOpened:
			a.streams <- ev.Stream.Early()
		case quic.EventStreamReadable, quic.EventStreamWritable:
			echoStream(ev.Stream)
		}
	}
}

// earlyTest is a server that takes early data and a client that sends it.
type earlyTest struct {
	*testing.T
	server         ListenConfig
	client         DialConfig
	e              *Endpoint
	sessions       *sessionCache
	began, streams chan bool
}

func newEarlyTest(t *testing.T) *earlyTest {
	et := &earlyTest{T: t, began: make(chan bool, 8), streams: make(chan bool, 8), e: testEndpoint(t, EndpointConfig{}, "127.0.0.1:0")}
	et.server = ListenConfig{QUIC: serverQUIC(), EarlyStart: true, NewApplication: func(ConnInfo) (ApplicationOverQUIC, error) {
		return &earlyEcho{began: et.began, streams: et.streams}, nil
	}}
	et.server.QUIC.EarlyData = true
	et.client = DialConfig{QUIC: clientQUIC(), EarlyStart: true}
	et.client.QUIC.EarlyData = true
	et.client.QUIC.TLS = et.client.QUIC.TLS.Clone()
	et.sessions = &sessionCache{ClientSessionCache: tls.NewLRUClientSessionCache(8), put: make(chan struct{}, 8)}
	et.client.QUIC.TLS.ClientSessionCache = et.sessions
	return et
}

// connect makes a connection whose application says hello at once, and waits for the answer.
func (t *earlyTest) connect(l *Listener) (clientEarly, serverEarly, streamEarly bool, state quic.EarlyDataState) {
	t.Helper()
	a := &earlyBird{caller: newCaller(), x: &exchange{done: make(chan error, 1)}}
	cfg := t.client
	cfg.NewApplication = func(ConnInfo) (ApplicationOverQUIC, error) { return a, nil }
	c, err := t.e.Dial(testContext(t), l.Addr(), &cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := <-a.x.done; err != nil || string(a.x.got) != "hello" {
		t.Fatalf("%q, %v", a.x.got, err)
	}
	if err := c.Do(func(s *Session) {
		clientEarly, state = a.early, s.Conn().EarlyData().State
		if s.Early() {
			t.Error("the handshake should be complete")
		}
	}); err != nil {
		t.Fatal(err)
	}
	serverEarly, streamEarly = <-t.began, <-t.streams
	<-t.sessions.put // the ticket may come after the answer
	c.Close()
	<-c.Done()
	return clientEarly, serverEarly, streamEarly, state
}

// Both applications begin before the handshake is complete, each time that there is a session.
func TestEarlyStart(t *testing.T) {
	et := newEarlyTest(t)
	l := testListen(t, et.server)
	for i := range 3 {
		early := i > 0
		ce, se, st, state := et.connect(l)
		want := quic.EarlyDataNone
		if early {
			want = quic.EarlyDataAccepted
		}
		if ce != early || se != early || st != early || state != want {
			t.Errorf("connection %d: client early %v, server early %v, stream early %v, %v", i, ce, se, st, state)
		}
	}
	if n := l.Endpoint().Stats().Established; n != 3 {
		t.Errorf("%d connections established", n)
	}
}

// Applications that were not asked to begin early do not, and find early data where it was taken.
func TestEarlyStartOff(t *testing.T) {
	for _, side := range []quic.Side{quic.Client, quic.Server} {
		t.Run(side.String(), func(t *testing.T) {
			et := newEarlyTest(t)
			if side == quic.Client {
				et.client.EarlyStart = false
			} else {
				et.server.EarlyStart = false
			}
			l := testListen(t, et.server)
			et.connect(l)
			ce, se, st, state := et.connect(l)
			sent := side == quic.Server // the client did its part
			if ce != sent || se == (side == quic.Server) || st != sent || state != quic.EarlyDataAccepted {
				t.Errorf("client early %v, server early %v, stream early %v, %v", ce, se, st, state)
			}
		})
	}
}

// A server that can't take the early data gets it again.
func TestEarlyStartRejected(t *testing.T) {
	keys := [][32]byte{{1, 2, 3}}
	for _, tt := range []struct {
		name   string
		change func(*ListenConfig) [][32]byte // returns the ticket keys
	}{
		{"other ticket keys", func(*ListenConfig) [][32]byte { return [][32]byte{{4}} }},
		{"another server's session", func(*ListenConfig) [][32]byte { return keys }},
		{"other session data", func(c *ListenConfig) [][32]byte {
			c.QUIC.SessionData = []byte("new")
			return keys
		}},
		{"off", func(c *ListenConfig) [][32]byte {
			c.QUIC.EarlyData = false
			return keys
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			et := newEarlyTest(t)
			l := testListen(t, et.server)
			l.SetSessionTicketKeys(keys)
			et.connect(l)
			q := *et.server.QUIC
			et.server.QUIC = &q
			keys := tt.change(&et.server)
			l = testListen(t, et.server)
			l.SetSessionTicketKeys(keys)
			ce, se, st, state := et.connect(l)
			if !ce || se || st || state != quic.EarlyDataRejected {
				t.Errorf("client early %v, server early %v, stream early %v, %v", ce, se, st, state)
			}
		})
	}
}

// Servers with ticket keys and a store in common take each other's sessions, and nobody takes one twice.
func TestEarlyStartFleet(t *testing.T) {
	et := newEarlyTest(t)
	et.server.QUIC.EarlyDataStore = quic.NewTokenStore(64)
	first, second := testListen(t, et.server), testListen(t, et.server)
	first.SetSessionTicketKeys([][32]byte{{1}})
	second.SetSessionTicketKeys([][32]byte{{2}, {1}}) // rotated already
	et.connect(first)
	et.sessions.frozen = true
	if _, se, _, state := et.connect(second); !se || state != quic.EarlyDataAccepted {
		t.Errorf("another server's session: server early %v, %v", se, state)
	}
	for _, l := range []*Listener{first, second} {
		if ce, se, st, state := et.connect(l); !ce || se || st || state != quic.EarlyDataRejected {
			t.Errorf("used before: client early %v, server early %v, stream early %v, %v", ce, se, st, state)
		}
	}
}

// sessionCache tells when a session comes, and goes on giving out the one that it has once it is frozen.
type sessionCache struct {
	tls.ClientSessionCache
	put    chan struct{}
	frozen bool
}

func (c *sessionCache) Put(key string, s *tls.ClientSessionState) {
	if !c.frozen {
		c.ClientSessionCache.Put(key, s)
	}
	if s != nil {
		c.put <- struct{}{}
	}
}

// refuser is an application that does not want its connection.
type refuser struct{ Base }

var errRefused = &quic.ApplicationError{Code: 7, Reason: "unwanted"}

func (refuser) OnEstablished(*Session) error { return errRefused }

// The application's error ends an attempt that it was to begin with early data, though no packet has gone out yet.
func TestEarlyStartRefused(t *testing.T) {
	et := newEarlyTest(t)
	l := testListen(t, et.server)
	et.connect(l)
	cfg := et.client
	cfg.NewApplication = func(ConnInfo) (ApplicationOverQUIC, error) { return refuser{}, nil }
	_, err := et.e.Dial(testContext(t), l.Addr(), &cfg)
	if got, ok := errors.AsType[*quic.ApplicationError](err); !ok || got.Code != errRefused.Code || got.Remote {
		t.Errorf("%v, want %v", err, errRefused)
	}
}
