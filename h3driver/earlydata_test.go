package h3driver

import (
	"crypto/tls"
	"errors"
	"runtime"
	"testing"

	"github.com/dunlin-quic/dunlin/h3"
	"github.com/dunlin-quic/dunlin/quic"
)

// earlyServers makes servers that take each other's sessions, and remembers the client's.
type earlyServers struct {
	*testing.T
	store    quic.TokenStore
	sessions *sessionCache
}

// sessionCache tells when a session comes with settings in it, which may be later than the session.
type sessionCache struct {
	tls.ClientSessionCache
	put chan struct{}
}

func (c *sessionCache) Put(key string, s *tls.ClientSessionState) {
	c.ClientSessionCache.Put(key, s)
	if s != nil {
		c.put <- struct{}{}
	}
}

func newEarlyServers(t *testing.T) *earlyServers {
	return &earlyServers{t, quic.NewTokenStore(64), &sessionCache{tls.NewLRUClientSessionCache(4), make(chan struct{}, 100)}}
}

// listen starts a server with the options' settings.
func (t *earlyServers) listen(o options) *pair {
	t.Helper()
	o.serverQUIC.EarlyData, o.serverQUIC.EarlyDataStore = true, t.store
	o.serverQUIC.SessionData = h3.SessionData(o.server.H3)
	p := listen(t.T, &o)
	p.listener.SetSessionTicketKeys([][32]byte{{1}})
	p.sessions = t.sessions
	return p
}

// opened is what comes of a request.
type opened struct {
	stream *Stream
	err    error
}

// connect makes a connection whose first step finds the given requests. What comes of them it sends later.
func (t *earlyServers) connect(p *pair, parts ...Part) []chan opened {
	t.Helper()
	driver := NewClient(nil)
	p.client = driver.Controller()
	var results []chan opened
	for i, part := range parts {
		c := make(chan opened, 1)
		results = append(results, c)
		go func() {
			s, err := p.client.OpenRequest(testContext(t.T), part, nil)
			c <- opened{s, err}
		}()
		for left := -1; left <= i; runtime.Gosched() {
			driver.mu.Lock()
			left = len(driver.ready)
			driver.mu.Unlock()
		}
	}
	p.dial(t.T, quic.Config{EarlyData: true}, driver)
	p.server = <-p.servers
	return results
}

// visit makes a connection and waits until the client has what it needs for early data.
func (t *earlyServers) visit(p *pair) {
	t.Helper()
	t.connect(p)
	next(t.T, p.client, EventSettings)
	<-t.sessions.put
	p.client.Close()
	for {
		if ev, err := p.client.NextEvent(testContext(t.T)); err != nil || ev.Kind == EventClosed {
			return
		}
	}
}

var earlyGet = Part{Header: getFields, Fin: true, Early: true}

// respond answers the next request, and returns what the server knew of it.
func (t *earlyServers) respond(p *pair) (path string, early bool) {
	t.Helper()
	ev := next(t.T, p.server, EventHeaders)
	early = ev.Stream.Early()
	if err := ev.Stream.Respond(okFields, nil); err != nil {
		t.Fatal(err)
	}
	return ev.Fields[3].Value, early
}

// Requests that may leave early do, the others wait until the handshake is complete, and both are answered.
func TestEarlyRequests(t *testing.T) {
	et := newEarlyServers(t)
	p := et.listen(options{})
	et.visit(p)
	other := Part{Header: append(getFields[:3:3], h3.Field{Name: ":path", Value: "/other"}), Fin: true}
	results := et.connect(p, other, earlyGet)
	for i, want := range []string{"/", "/other"} {
		early := i == 0
		if path, was := et.respond(p); path != want || was != early {
			t.Errorf("the server got %s, early %v; want %s, early %v", path, was, want, early)
		}
	}
	for i, c := range results {
		r := <-c
		if r.err != nil || r.stream.Early() != (i == 1) {
			t.Errorf("request %d: %v, early %v", i, r.err, r.stream.Early())
		}
	}
	if ev := next(t, p.client, EventHandshakeComplete); ev.Err != nil || p.client.ConnectionState() == nil || p.client.Version() == 0 {
		t.Errorf("%+v", ev)
	}
	next(t, p.client, EventHeaders)
	next(t, p.client, EventHeaders)
}

// A server with other settings takes no early data, and gets the request again.
func TestEarlyRequestsRejected(t *testing.T) {
	et := newEarlyServers(t)
	et.visit(et.listen(options{}))
	p := et.listen(options{server: Config{H3: &h3.Config{MaxFieldSectionSize: 5000}}})
	results := et.connect(p, earlyGet)
	if path, early := et.respond(p); path != "/" || early {
		t.Errorf("the server got %s, early %v", path, early)
	}
	if r := <-results[0]; r.err != nil || !r.stream.Early() {
		t.Errorf("%v", r.err)
	}
	next(t, p.client, EventHandshakeComplete)
	next(t, p.client, EventHeaders)
}

// Where a server allows less than before, requests sent early end, and can be sent again on the same connection.
func TestEarlyRequestsLost(t *testing.T) {
	et := newEarlyServers(t)
	et.visit(et.listen(options{}))
	p := et.listen(options{serverQUIC: quic.Config{MaxBidiStreams: 1}})
	results := et.connect(p, earlyGet, earlyGet, Part{Header: postFields, Fin: true})
	for _, c := range results[:2] {
		r := <-c
		if r.err != nil {
			t.Fatal(r.err)
		}
		if err := r.stream.Flush(); !errors.Is(err, quic.ErrEarlyDataRejected) {
			if _, err = r.stream.Read(make([]byte, 1)); !errors.Is(err, quic.ErrEarlyDataRejected) {
				t.Errorf("ended with %v", err)
			}
		}
	}
	// The third waited all the time.
	if _, early := et.respond(p); early {
		t.Error("a request that was not to be early was")
	}
	if r := <-results[2]; r.err != nil {
		t.Error(r.err)
	}
	p.open(t, earlyGet)
}

// When the connection fails in its handshake, what waited for that fails, too.
func TestEarlyRequestsConnectionFails(t *testing.T) {
	et := newEarlyServers(t)
	p := et.listen(options{})
	et.visit(p)
	p.listener.Close()
	p.servers <- nil // nobody answers
	results := et.connect(p, earlyGet, Part{Header: postFields, Fin: true})
	p.client.CloseWithError(h3.InternalError, "")
	if r := <-results[1]; r.err == nil {
		t.Error("a request that waited for the handshake was opened")
	}
	if r := <-results[0]; r.err == nil {
		if _, err := r.stream.Read(make([]byte, 1)); err == nil {
			t.Error("a request was answered")
		}
	}
}
