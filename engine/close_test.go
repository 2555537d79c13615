package engine

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dunlin-quic/dunlin/quic"
)

// scripted is an application whose methods do what a test says.
type scripted struct {
	established, reads, writes, drain func(*Session) error
	deadline                          func() (time.Time, bool)
	onClose                           func(error)
	events                            int // that the last ProcessReads drained
	closes                            atomic.Int32
	closed                            chan error
}

func newScripted() *scripted { return &scripted{closed: make(chan error, 8)} }

func (a *scripted) app(ConnInfo) (ApplicationOverQUIC, error) { return a, nil }

func do(f func(*Session) error, s *Session) error {
	if f == nil {
		return nil
	}
	return f(s)
}

func (a *scripted) OnEstablished(s *Session) error { return do(a.established, s) }

func (a *scripted) ProcessReads(s *Session) error {
	for a.events = 0; s.Conn().NextEvent().Kind != quic.EventNone; a.events++ {
	}
	return do(a.reads, s)
}

func (a *scripted) ProcessWrites(s *Session) error { return do(a.writes, s) }
func (a *scripted) Drain(s *Session) error         { return do(a.drain, s) }

func (a *scripted) NextDeadline() (time.Time, bool) {
	if a.deadline == nil {
		return time.Time{}, false
	}
	return a.deadline()
}

func (a *scripted) OnClose(_ *Session, err error) {
	a.closes.Add(1)
	a.closed <- err
	if a.onClose != nil {
		a.onClose(err)
	}
}

// pair is a client's and a server's endpoint on a fake network.
type pair struct {
	net            *fakeNet
	client, server *Endpoint
	listener       *Listener
}

const (
	clientAddr = "10.0.0.1:40000"
	serverAddr = "10.0.0.2:443"
)

func newPair(t *testing.T, cfg ListenConfig) *pair {
	t.Helper()
	n := newFakeNet(5 * time.Millisecond)
	p := &pair{net: n, client: n.endpoint(t, EndpointConfig{}, clientAddr), server: n.endpoint(t, cfg.Endpoint, serverAddr)}
	if cfg.QUIC == nil {
		cfg.QUIC = serverQUIC()
	}
	if cfg.NewApplication == nil {
		cfg.NewApplication = newEcho
	}
	var err error
	if p.listener, err = p.server.Listen(&cfg); err != nil {
		t.Fatal(err)
	}
	return p
}

// close ends both endpoints, and checks that nothing is left of any connection.
func (p *pair) close(t *testing.T) {
	t.Helper()
	p.client.Close()
	p.server.Close()
	for _, e := range []*Endpoint{p.client, p.server} {
		if st := e.Stats(); st.Connections != 0 || st.Handshakes != 0 || st.RoutedIDs != 0 || st.QueuedBytes != 0 {
			t.Errorf("left behind: %+v", st)
		}
		if n := len(e.routes.resets.m); n != 0 {
			t.Errorf("left behind: %d reset tokens", n)
		}
	}
}

func (p *pair) dial(ctx context.Context, app NewApplicationFunc) (*Connection, error) {
	return p.client.Dial(ctx, p.server.LocalAddr(), &DialConfig{QUIC: clientQUIC(), NewApplication: app})
}

// However a connection ends, and on whichever side, both applications hear of it once, with the error that fits.
func TestEnds(t *testing.T) {
	app := &quic.ApplicationError{Code: 0x1234, Reason: "enough"}
	fault := errors.New("fault")
	isApp := func(remote bool) func(error) bool {
		return func(err error) bool {
			e, ok := errors.AsType[*quic.ApplicationError](err)
			return ok && e.Code == app.Code && e.Reason == app.Reason && e.Remote == remote
		}
	}
	isTransport := func(remote bool, code quic.TransportErrorCode) func(error) bool {
		return func(err error) bool {
			e, ok := errors.AsType[*quic.TransportError](err)
			return ok && e.Code == code && e.Remote == remote
		}
	}
	fails := func(err error) func(*Session) error { return func(*Session) error { return err } }
	panics := func(*Session) error { panic("oops") }
	// After change, the next step has the new methods; it comes at once.
	change := func(f func(a *scripted)) func(*scripted, *Connection) {
		return func(a *scripted, c *Connection) {
			c.Do(func(*Session) { f(a) })
			c.Wake()
		}
	}
	here, there := isTransport(false, quic.InternalError), isTransport(true, quic.InternalError)
	cases := []struct {
		name    string
		arrange func(a *scripted)                // before the connection is made
		do      func(a *scripted, c *Connection) // to one side, once both are established
		here    func(error) bool                 // what that side is told
		there   func(error) bool
	}{
		{"Close with a code", nil, func(_ *scripted, c *Connection) { c.CloseWithError(app.Code, app.Reason) }, isApp(false), isApp(true)},
		{
			"Close without", nil, func(_ *scripted, c *Connection) { c.Close() },
			isTransport(false, quic.NoError), isTransport(true, quic.NoError),
		},
		{"OnEstablished fails", func(a *scripted) { a.established = fails(app) }, nil, isApp(false), isApp(true)},
		{"OnEstablished panics", func(a *scripted) { a.established = panics }, nil, here, there},
		{"ProcessReads fails", nil, change(func(a *scripted) { a.reads = fails(app) }), isApp(false), isApp(true)},
		{"ProcessReads panics", nil, change(func(a *scripted) { a.reads = panics }), here, there},
		{"ProcessWrites fails", nil, change(func(a *scripted) { a.writes = fails(app) }), isApp(false), isApp(true)},
		{"ProcessWrites panics", nil, change(func(a *scripted) { a.writes = panics }), here, there},
		{
			"with an error of another kind", nil, change(func(a *scripted) { a.writes = fails(fault) }),
			func(err error) bool { return here(err) && errors.Is(err, fault) }, there,
		},
		{
			"NextDeadline panics", nil,
			change(func(a *scripted) { a.deadline = func() (time.Time, bool) { panic("oops") } }), here, there,
		},
		{
			"OnClose panics", func(a *scripted) { a.onClose = func(error) { panic("oops") } },
			func(_ *scripted, c *Connection) { c.CloseWithError(app.Code, app.Reason) }, isApp(false), isApp(true),
		},
		{
			"a function passed to Do panics", nil, func(_ *scripted, c *Connection) {
				if err := c.Do(func(*Session) { panic("oops") }); err == nil || !strings.Contains(err.Error(), "oops") {
					panic("Do returned without the panic")
				}
			}, here, there,
		},
	}
	for _, side := range []quic.Side{quic.Client, quic.Server} {
		for _, c := range cases {
			t.Run(side.String()+"/"+c.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					client, server := newScripted(), newScripted()
					here, there := client, server
					if side == quic.Server {
						here, there = server, client
					}
					if c.arrange != nil {
						c.arrange(here)
					}
					accepted := make(chan *Connection, 1)
					p := newPair(t, ListenConfig{NewApplication: func(i ConnInfo) (ApplicationOverQUIC, error) {
						accepted <- i.Connection
						return server, nil
					}})
					defer p.close(t)
					conn, err := p.dial(t.Context(), client.app)
					if c.do != nil {
						if err != nil {
							t.Fatal(err)
						}
						if other := <-accepted; side == quic.Server {
							conn = other
						}
						c.do(here, conn)
					}
					if err := <-here.closed; !c.here(err) {
						t.Errorf("this side was told %v", err)
					}
					// A client whose application fails at once completes no handshake: no application is made for it.
					told := int32(1)
					if c.do == nil && side == quic.Client {
						told = 0
					} else if err := <-there.closed; !c.there(err) {
						t.Errorf("the other side was told %v", err)
					}
					// Nothing more comes, also while the connection closes or drains.
					time.Sleep(time.Minute)
					if n, m := here.closes.Load(), there.closes.Load(); n != 1 || m != told {
						t.Errorf("OnClose was called %d and %d times", n, m)
					}
					if n := p.client.Stats().Connections + p.server.Stats().Connections; n != 0 {
						t.Errorf("%d connections left", n)
					}
				})
			})
		}
	}
}

// A connection attempt that fails tells its application, and Dial.
func TestDialFails(t *testing.T) {
	type env struct {
		*pair
		ctx context.Context
		cfg *DialConfig
	}
	cases := []struct {
		name  string
		do    func(*env)
		after time.Duration // at which Dial must have returned
		check func(error) bool
	}{
		{
			"nobody answers", func(e *env) { e.net.drop = dropAll }, 10 * time.Second,
			func(err error) bool {
				n, ok := errors.AsType[net.Error](err)
				return ok && n.Timeout() && errors.Is(err, quic.ErrHandshakeTimeout)
			},
		},
		{
			"the context ends",
			func(e *env) {
				e.net.drop = dropAll
				var cancel context.CancelFunc
				e.ctx, cancel = context.WithTimeout(e.ctx, time.Second)
				time.AfterFunc(time.Minute, cancel)
			}, time.Second,
			func(err error) bool { return errors.Is(err, context.DeadlineExceeded) },
		},
		{
			"the context has ended",
			func(e *env) {
				var cancel context.CancelFunc
				e.ctx, cancel = context.WithCancel(e.ctx)
				cancel()
			}, 0,
			func(err error) bool { return errors.Is(err, context.Canceled) },
		},
		{
			"another protocol", func(e *env) {
				e.cfg.QUIC.TLS = e.cfg.QUIC.TLS.Clone()
				e.cfg.QUIC.TLS.NextProtos = []string{"gopher"}
			}, time.Second,
			func(err error) bool {
				t, ok := errors.AsType[*quic.TransportError](err)
				return ok && t.Remote && t.Code == quic.CryptoError+120 // no_application_protocol
			},
		},
		{
			"a certificate that is not trusted", func(e *env) {
				e.cfg.QUIC.TLS = e.cfg.QUIC.TLS.Clone()
				e.cfg.QUIC.TLS.ServerName = "elsewhere.example"
			}, time.Second,
			func(err error) bool {
				c, ok := errors.AsType[*tls.CertificateVerificationError](err)
				return ok && strings.Contains(c.Error(), "elsewhere.example")
			},
		},
		{
			"no application", func(e *env) {
				e.cfg.NewApplication = func(ConnInfo) (ApplicationOverQUIC, error) { return nil, net.ErrWriteToConnected }
			}, 0,
			func(err error) bool { return err == net.ErrWriteToConnected },
		},
		{
			"a panic instead of an application", func(e *env) {
				e.cfg.NewApplication = func(ConnInfo) (ApplicationOverQUIC, error) { panic("no application") }
			}, 0,
			func(err error) bool { return err != nil && strings.Contains(err.Error(), "no application") },
		},
		{
			"no QUIC config", func(e *env) { e.cfg.QUIC = nil }, 0,
			func(err error) bool { return err != nil },
		},
		{
			"the endpoint is closed", func(e *env) { e.client.Close() }, 0,
			func(err error) bool { return errors.Is(err, net.ErrClosed) },
		},
		{
			"nobody listens any more", func(e *env) { e.listener.Close() }, 10 * time.Second,
			func(err error) bool { return errors.Is(err, quic.ErrHandshakeTimeout) },
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPair(t, ListenConfig{})
				defer p.close(t)
				client := newScripted()
				made := false
				e := &env{p, t.Context(), &DialConfig{QUIC: clientQUIC(), NewApplication: func(ConnInfo) (ApplicationOverQUIC, error) {
					made = true
					return client, nil
				}}}
				c.do(e)
				start := time.Now()
				conn, err := p.client.Dial(e.ctx, p.server.LocalAddr(), e.cfg)
				if conn != nil || !c.check(err) {
					t.Errorf("Dial: %v, %v", conn, err)
				}
				if d := time.Since(start); d > c.after {
					t.Errorf("Dial took %v", d)
				}
				time.Sleep(time.Minute)
				if n := client.closes.Load(); made != (n == 1) {
					t.Errorf("application made: %v; OnClose was called %d times", made, n)
				}
				if n := p.client.Stats().Connections + p.server.Stats().Connections; n != 0 {
					t.Errorf("%d connections left", n)
				}
			})
		})
	}
}

// A peer that vanishes costs its connection, after the idle timeout, and no other.
func TestVanish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newScripted()
		accepted := 0
		p := newPair(t, ListenConfig{NewApplication: func(i ConnInfo) (ApplicationOverQUIC, error) {
			if accepted++; accepted == 1 {
				return server, nil
			}
			return newEcho(i)
		}})
		defer p.close(t)
		gone := newScripted()
		doomed := p.net.endpoint(t, EndpointConfig{}, "10.0.0.3:1")
		if _, err := doomed.Dial(t.Context(), p.server.LocalAddr(), &DialConfig{QUIC: clientQUIC(), NewApplication: gone.app}); err != nil {
			t.Fatal(err)
		}
		qc := clientQUIC()
		qc.KeepAlive = 10 * time.Second
		a := newCaller()
		c, err := p.client.Dial(t.Context(), p.server.LocalAddr(), &DialConfig{QUIC: qc, NewApplication: a.app})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		for _, r := range doomed.routers() {
			r.sock.Close() // and nothing is said any more
		}
		start := time.Now()
		if err := <-server.closed; err != quic.ErrIdleTimeout {
			t.Errorf("the server was told %v", err)
		}
		if d := time.Since(start); d < 29*time.Second || d > 31*time.Second {
			t.Errorf("after %v", d)
		}
		time.Sleep(10 * time.Minute)
		if got, err := a.call(c, []byte("still there?")); err != nil || string(got) != "still there?" {
			t.Errorf("the other connection: %q, %v", got, err)
		}
		doomed.Close()
		if n := gone.closes.Load(); n != 1 {
			t.Errorf("OnClose of the vanished side was called %d times", n)
		}
	})
}

// A server that finds no application for a connection says so to its client, and to nobody else.
func TestNoApplication(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var logged bytes.Buffer
		p := newPair(t, ListenConfig{
			NewApplication: func(ConnInfo) (ApplicationOverQUIC, error) { return nil, &quic.ApplicationError{Code: 3} },
			Endpoint:       EndpointConfig{Logger: slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelInfo}))},
		})
		defer p.close(t)
		a := newScripted()
		if _, err := p.dial(t.Context(), a.app); err != nil {
			t.Logf("Dial: %v", err)
		}
		if e, ok := errors.AsType[*quic.ApplicationError](<-a.closed); !ok || !e.Remote || e.Code != 3 {
			t.Errorf("the client was told %v", e)
		}
		p.server.Close()
		if logged.Len() > 0 {
			t.Errorf("logged: %s", &logged)
		}
	})
}
