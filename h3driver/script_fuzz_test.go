package h3driver

import (
	"context"
	"crypto/tls"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dunlin-quic/dunlin/engine"
	"github.com/dunlin-quic/dunlin/h3"
	"github.com/dunlin-quic/dunlin/quic"
)

// userSide is what both sides' users have.
type userSide interface {
	NextEvent(context.Context) (Event, error)
	GoAway()
	CloseWithError(h3.ErrCode, string) error
}

// scripted is a connection whose users, or an attacker at one end of it, do what a script says. Time is virtual.
type scripted struct {
	t      *testing.T
	script []byte
	client *ClientController // nil if the client writes the bytes of HTTP/3 by hand
	users  [2]scriptedUser
	raw    *scriptedRaw
	loans  []*int
}

// scriptedUser is a side with a driver.
type scriptedUser struct {
	userSide
	d       *driver
	streams []*Stream
	live    map[*Stream]bool // of which events may still come
	started bool
	closed  bool
}

// scriptedRaw is a side without: it has streams of QUIC.
type scriptedRaw struct {
	engine.Base
	streams []*quic.Stream
	conn    *engine.Connection
}

func (r *scriptedRaw) OnEstablished(s *engine.Session) error {
	r.conn = s.Connection()
	return nil
}

func (r *scriptedRaw) ProcessReads(s *engine.Session) error {
	for ev := s.Conn().NextEvent(); ev.Kind != quic.EventNone; ev = s.Conn().NextEvent() {
		if ev.Kind == quic.EventStreamOpened {
			r.streams = append(r.streams, ev.Stream)
		}
	}
	return nil
}

func (s *scripted) byte() (v byte) {
	if len(s.script) > 0 {
		v, s.script = s.script[0], s.script[1:]
	}
	return v
}

func (s *scripted) below(n int) int { return int(s.byte()) % n }

func (s *scripted) take(n int) []byte {
	n = min(n, len(s.script))
	b := s.script[:n]
	s.script = s.script[n:]
	return b
}

// soon bounds what the next call waits for, in virtual time.
func (s *scripted) soon(f func(context.Context)) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(1+s.below(16))*time.Millisecond)
	defer cancel()
	f(ctx)
}

// connect makes the connection.
func (s *scripted) connect() {
	options, lossy := s.byte(), s.below(4)
	var sent int
	clientSocket, serverSocket := newLink(func() bool {
		sent++
		return lossy > 0 && sent > 10 && sent%(lossy*5) == 0
	})
	cfg := Config{HeaderTimeout: 2 * time.Second, H3: &h3.Config{ExtendedConnect: true, MaxFieldSectionSize: 2000}}
	if options&1 != 0 {
		cfg.IdleTimeout = time.Second
	}
	if options&2 != 0 {
		cfg.H3.NoDatagrams = true
	}
	q := quic.Config{
		MaxBidiStreams: 6, MaxUniStreams: 6, StreamWindow: 8 << 10, ConnWindow: 16 << 10, MaxStreamWindow: 16 << 10, MaxConnWindow: 32 << 10,
		IdleTimeout: 20 * time.Second,
	}
	s.raw = &scriptedRaw{}
	use := func(side quic.Side, d *driver, c userSide) {
		s.users[side] = scriptedUser{userSide: c, d: d, live: map[*Stream]bool{}}
	}
	application := func(side quic.Side, raw bool) engine.ApplicationOverQUIC {
		switch {
		case raw:
			return s.raw
		case side == quic.Client:
			c := NewClient(&cfg)
			s.client = c.Controller()
			use(side, &c.driver, s.client)
			return c
		}
		d := NewServer(&cfg)
		use(side, &d.driver, d.Controller())
		return d
	}
	server, err := engine.NewEndpoint(nil, serverSocket)
	if err != nil {
		s.t.Fatal(err)
	}
	serverQUIC, clientQUIC := q, q
	serverQUIC.TLS = &tls.Config{Certificates: []tls.Certificate{testCertificate}, NextProtos: []string{h3.NextProto}}
	clientQUIC.TLS = &tls.Config{RootCAs: testRoots, ServerName: "127.0.0.1", NextProtos: []string{h3.NextProto}}
	if _, err = server.Listen(&engine.ListenConfig{QUIC: &serverQUIC, NewApplication: func(engine.ConnInfo) (engine.ApplicationOverQUIC, error) {
		return application(quic.Server, options&12 == 4), nil
	}}); err != nil {
		s.t.Fatal(err)
	}
	client, err := engine.NewEndpoint(nil, clientSocket)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { client.Close(); server.Close() })
	app := application(quic.Client, options&12 == 8)
	_, err = client.Dial(context.Background(), serverSocket.local, &engine.DialConfig{QUIC: &clientQUIC,
		NewApplication: func(engine.ConnInfo) (engine.ApplicationOverQUIC, error) { return app, nil }})
	if err != nil {
		s.t.Fatal(err)
	}
	synctest.Wait()
	time.Sleep(50 * time.Millisecond)
}

// listen fetches an event of a side, and checks that it may come now.
func (s *scripted) listen(side int, ctx context.Context) bool {
	u := &s.users[side]
	if u.userSide == nil {
		return false
	}
	ev, err := u.NextEvent(ctx)
	if err != nil {
		if !u.closed && ctx.Err() == nil {
			s.t.Fatalf("side %d: NextEvent: %v, closed %v", side, err, u.closed)
		}
		return false
	}
	if u.closed || !u.started && ev.Kind != EventEstablished && ev.Kind != EventClosed {
		s.t.Fatalf("side %d: event %v, started %v, closed %v", side, ev.Kind, u.started, u.closed)
	}
	switch ev.Kind {
	case EventEstablished:
		if u.started {
			s.t.Fatal("established twice")
		}
		u.started = true
	case EventHeaders, EventInterim:
		if ev.Stream == nil || len(ev.Fields) == 0 {
			s.t.Fatalf("event %v of stream %v with %v", ev.Kind, ev.Stream, ev.Fields)
		}
		if side == int(quic.Server) {
			if u.live[ev.Stream] {
				s.t.Fatal("a request twice")
			}
			u.live[ev.Stream] = true
			u.streams = append(u.streams, ev.Stream)
		} else if !u.live[ev.Stream] {
			s.t.Fatalf("event %v of a stream that is closed", ev.Kind)
		}
	case EventReset, EventStopSending:
		if !u.live[ev.Stream] || ev.Err == nil {
			s.t.Fatalf("side %d: event %v of stream %d, of which none may come: %v", side, ev.Kind, ev.Stream.ID(), ev.Err)
		}
	case EventStreamClosed:
		if !u.live[ev.Stream] {
			s.t.Fatal("a stream is closed twice")
		}
		delete(u.live, ev.Stream)
	case EventClosed:
		u.closed = true
		if ev.Err == nil || len(u.live) > 0 {
			s.t.Fatalf("side %d closed, with %d streams open: %v", side, len(u.live), ev.Err)
		}
	}
	return true
}

var scriptedFields = [][]h3.Field{
	getFields, postFields, okFields, {{Name: ":status", Value: "103"}}, {{Name: "x", Value: "y"}}, {{Name: "Bad", Value: "\x00"}}, nil,
	append([]h3.Field{{Name: "content-length", Value: "10"}}, okFields...),
	{{Name: ":method", Value: "CONNECT"}, {Name: ":protocol", Value: "websocket"}, {Name: ":scheme", Value: "https"}, {Name: ":authority", Value: "a"}, {Name: ":path", Value: "/"}},
}

type scriptedLoan struct{ n *int }

func (l scriptedLoan) Release() { *l.n++ }

func (s *scripted) part() Part {
	how := s.byte()
	p := Part{Header: scriptedFields[s.below(len(scriptedFields))], Body: make([]byte, s.below(4)*s.below(256)*12), Fin: how&3 == 0}
	p.Interim = how&12 == 12
	if how&48 == 48 {
		p.Trailer = scriptedFields[s.below(len(scriptedFields))]
	}
	if how&64 != 0 {
		n := new(int)
		s.loans = append(s.loans, n)
		p.Release = scriptedLoan{n}
	}
	return p
}

// use lets the user of a side do something.
func (s *scripted) use(side int) {
	u := &s.users[side]
	if u.userSide == nil {
		s.attack(side)
		return
	}
	kind := s.below(16)
	if kind == 0 && s.client != nil && side == int(quic.Client) || kind > 4 && len(u.streams) == 0 {
		if side != int(quic.Client) {
			return
		}
		s.soon(func(ctx context.Context) {
			if st, err := s.client.OpenRequest(ctx, s.part(), nil); err == nil {
				u.streams = append(u.streams, st)
				u.live[st] = true
			} else if st != nil {
				s.t.Fatal("a stream and an error")
			}
		})
		return
	}
	if kind <= 4 {
		switch {
		case kind == 4 && s.byte() == 7:
			u.CloseWithError(h3.ErrCode(s.below(1000)), "enough")
		case kind == 3 && s.byte() < 16:
			u.GoAway()
		default:
			s.soon(func(ctx context.Context) {
				for range 8 {
					if !s.listen(side, ctx) {
						break
					}
				}
			})
		}
		return
	}
	st := u.streams[s.below(len(u.streams))]
	st.SetDeadline(time.Now().Add(time.Duration(s.below(8)) * time.Millisecond))
	switch kind {
	case 5, 6:
		st.Send(s.part())
	case 7, 8:
		st.Read(make([]byte, 1+s.below(256)*8))
		st.Trailers()
	case 9:
		st.Write(make([]byte, s.below(256)*16))
	case 10:
		st.CancelRead(h3.ErrCode(s.below(1000)))
	case 11:
		st.CancelWrite(h3.ErrCode(s.below(1000)))
	case 12:
		st.UseDatagrams()
		s.soon(func(ctx context.Context) { st.SendDatagram(ctx, make([]byte, s.below(256)*6)) })
	case 13:
		s.soon(func(ctx context.Context) { st.ReceiveDatagram(ctx, make([]byte, 100)) })
	case 14:
		st.CloseWrite()
	case 15:
		st.Flush()
	}
}

// attack lets the side without a driver do something.
func (s *scripted) attack(side int) {
	r := s.raw
	if r.conn == nil {
		return
	}
	how := s.byte()
	var data []byte
	switch how >> 4 & 3 {
	case 0:
		data = s.take(s.below(32))
	case 1:
		data = headersFrame(scriptedFields[s.below(len(scriptedFields))]...)
	case 2:
		n := s.below(64)
		data = append([]byte{byte(s.below(16)), byte(n)}, make([]byte, n)...) // a frame of any type
	case 3:
		data = append([]byte{byte(s.below(5)), 4, 0}, s.take(s.below(16))...) // a unidirectional stream with SETTINGS
	}
	which, fin, code := s.byte(), s.byte()&7 == 0, uint64(s.byte())
	r.conn.Do(func(session *engine.Session) {
		c := session.Conn()
		var st *quic.Stream
		if len(r.streams) > 0 {
			st = r.streams[int(which)%len(r.streams)]
		}
		switch kind := how & 15; {
		case kind < 4 || st == nil:
			dir := quic.Bidi
			if how&128 != 0 || side == int(quic.Server) {
				dir = quic.Uni
			}
			if opened, err := c.OpenStream(dir); err == nil {
				opened.TryWrite(data, fin)
				r.streams = append(r.streams, opened)
			}
		case kind < 9:
			st.TryWrite(data, fin)
		case kind < 11:
			st.TryRead(make([]byte, 2000))
		case kind == 11:
			st.Reset(code)
		case kind == 12:
			st.ResetAt(code, uint64(which))
		case kind == 13:
			st.StopSending(code)
		case kind == 14:
			c.TrySendDatagram(data)
		case which == 9:
			c.Close(session.Now(), &quic.ApplicationError{Code: code})
		}
	})
}

// Drivers, whatever their users and their peers do, tell what happened in an order that makes sense, hold no more than a bound,
// give back what was lent, and leave no goroutine behind.
func FuzzScript(f *testing.F) {
	if raceEnabled {
		f.Skip("the script says what the link loses, too, which goroutines ask at times that only virtual time keeps apart")
	}
	for seed := range byte(24) {
		script := make([]byte, 300)
		x := uint32(seed) + 1
		for i := range script {
			x ^= x << 13
			x ^= x >> 17
			x ^= x << 5
			script[i] = byte(x >> 11)
		}
		script[0] = seed // with an attacker in half of them
		f.Add(script)
	}
	f.Fuzz(func(t *testing.T, script []byte) {
		if len(script) > 2048 {
			return
		}
		emptyPools()
		defer emptyPools()
		synctest.Test(t, func(t *testing.T) {
			s := &scripted{t: t, script: script}
			s.connect()
			for len(s.script) > 0 {
				op := s.byte()
				s.use(int(op >> 7))
				if op&3 == 0 {
					time.Sleep(time.Duration(op>>2&15) * time.Duration(op>>2&15) * time.Millisecond)
				}
				s.checkBounds()
			}
			for side := range s.users {
				if u := s.users[side]; u.userSide != nil {
					u.CloseWithError(h3.NoError, "")
				}
			}
			if s.raw.conn != nil {
				s.raw.conn.Do(func(session *engine.Session) { session.Conn().Close(session.Now(), nil) })
			}
			time.Sleep(time.Minute)
			for side := range s.users {
				for s.listen(side, context.Background()) {
				}
				if u := s.users[side]; u.userSide != nil && !u.closed {
					t.Errorf("side %d: no EventClosed", side)
				}
			}
			for _, n := range s.loans {
				if *n != 1 {
					t.Errorf("memory was given back %d times", *n)
				}
			}
		})
	})
}

// checkBounds checks that a driver holds no more than it should.
func (s *scripted) checkBounds() {
	for side, u := range s.users {
		if u.userSide == nil {
			continue
		}
		u.d.mu.Lock()
		events, live := u.d.events.len(), int(u.d.live.n.Load())
		u.d.mu.Unlock()
		// Those of the streams that are open, and of those that its user has not heard of the end of.
		if most := 8 + (live+len(u.live)+8)*(4+maxInterim); events > most {
			s.t.Fatalf("side %d: %d events wait, with %d streams", side, events, live)
		}
	}
}

// emptyPools throws away what is in sync.Pools: channels and timers don't leave or enter the bubble of a script.
func emptyPools() {
	runtime.GC()
	runtime.GC()
}
