package http3_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dunlin-quic/dunlin/engine"
	"github.com/dunlin-quic/dunlin/h3"
	"github.com/dunlin-quic/dunlin/h3driver"
	"github.com/dunlin-quic/dunlin/http3"
	"github.com/dunlin-quic/dunlin/internal/udpproxy"
	"github.com/dunlin-quic/dunlin/internal/wire"
	"github.com/dunlin-quic/dunlin/quic"
	"github.com/dunlin-quic/dunlin/udp"
)

// earlySite is a site whose server takes early data and whose client sends it, with a relay between them that can hold back
// what the server sends.
type earlySite struct {
	*site
	*relay
	sessions *sessionCache
	store    quic.TokenStore
}

// relay lies between client and server.
type relay struct {
	*udpproxy.Proxy
	mu    sync.Mutex
	held  chan struct{} // closed when the server's datagrams may pass; nil: they may
	muted chan struct{} // likewise for the client's that complete a handshake
}

func newRelay(t *testing.T, server string) *relay {
	r := new(relay)
	var err error
	if r.Proxy, err = udpproxy.Listen(netip.MustParseAddrPort(server), udpproxy.Config{Tap: r.tap}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		r.letPass()
		r.Proxy.Close()
	})
	return r
}

// sessionCache tells when a session comes. While it is frozen, it keeps the one that it has.
type sessionCache struct {
	tls.ClientSessionCache
	put    chan struct{}
	frozen atomic.Bool
}

func (c *sessionCache) Put(key string, s *tls.ClientSessionState) {
	if !c.frozen.Load() {
		c.ClientSessionCache.Put(key, s)
	}
	if s != nil {
		c.put <- struct{}{}
	}
}

func newEarlySite(t *testing.T, h http.Handler, prepare func(*http3.Server, *http3.Transport)) *earlySite {
	t.Helper()
	s := &earlySite{
		sessions: &sessionCache{ClientSessionCache: tls.NewLRUClientSessionCache(4), put: make(chan struct{}, 100)},
		store:    quic.NewTokenStore(64),
	}
	s.site = newSite(t, h, func(server *http3.Server, tr *http3.Transport) {
		server.QUIC = &quic.Config{EarlyData: true, EarlyDataStore: s.store}
		server.SetSessionTicketKeys([][32]byte{{1}})
		tr.TLSClientConfig.ClientSessionCache = s.sessions
		tr.QUIC = &quic.Config{EarlyData: true}
		if prepare != nil {
			prepare(server, tr)
		}
	})
	s.relay = newRelay(t, s.addr)
	s.url = "https://" + s.relay.Addr().String()
	return s
}

func (r *relay) tap(toServer bool, data []byte) {
	r.mu.Lock()
	wait := r.held
	if toServer {
		wait = r.muted
	}
	r.mu.Unlock()
	if wait != nil && (!toServer || hasHandshake(data)) {
		<-wait
	}
}

// hasHandshake reports whether a datagram has a Handshake packet, as the one that completes the handshake does.
func hasHandshake(data []byte) bool {
	for {
		h, ok := wire.ParseLong(data)
		if !ok || h.Type == wire.Handshake {
			return ok
		}
		data = data[h.PacketLen:]
	}
}

// hold keeps handshakes from being completed, until letPass.
func (r *relay) hold() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.held = make(chan struct{})
}

func (r *relay) letPass() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range []*chan struct{}{&r.held, &r.muted} {
		if *c != nil {
			close(*c)
			*c = nil
		}
	}
}

// mute lets the server's datagrams pass, but has it not hear that the handshake is complete, until letPass.
func (r *relay) mute() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.muted = make(chan struct{})
	close(r.held)
	r.held = nil
}

// visit makes a request on a connection of its own, and waits for a session for the next one.
func (s *earlySite) visit(t *testing.T) string {
	t.Helper()
	body := s.get(t, "/visit")
	s.leave()
	return body
}

// leave ends the connection when it has brought a session.
func (s *earlySite) leave() {
	<-s.sessions.put
	s.client.CloseIdleConnections()
	for len(s.sessions.put) > 0 {
		<-s.sessions.put
	}
}

// restart replaces the server by another one at the same address.
func (s *earlySite) restart(t *testing.T, change func(*http3.Server)) {
	t.Helper()
	s.server.Close()
	<-s.served
	old := s.server
	s.server = &http3.Server{Handler: old.Handler, TLSConfig: old.TLSConfig.Clone(), ErrorLog: quiet}
	s.server.QUIC = &quic.Config{EarlyData: true, EarlyDataStore: s.store}
	s.server.SetSessionTicketKeys([][32]byte{{1}})
	change(s.server)
	l, err := http3.Listen(s.addr)
	if err != nil {
		t.Fatal(err)
	}
	go func() { s.served <- s.server.Serve(l) }()
	t.Cleanup(func() { s.server.Close() })
}

// tellEarly answers with what the server knows of the request.
var tellEarly = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	fmt.Fprintf(w, "%s early=%v complete=%v", r.Method, http3.IsEarly(r), r.TLS.HandshakeComplete)
})

// A request leaves with the first flight and is answered before the handshake is complete, again and again.
func TestEarlyData(t *testing.T) {
	var s *earlySite
	s = newEarlySite(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/early" {
			defer s.letPass()
		}
		tellEarly(w, r)
	}), nil)
	if got := s.visit(t); got != "GET early=false complete=true" {
		t.Error(got)
	}
	for range 3 {
		s.hold()
		if got := s.get(t, "/early"); got != "GET early=true complete=false" {
			t.Error(got)
		}
		if got := s.get(t, "/"); got != "GET early=false complete=true" {
			t.Error("on the same connection: ", got)
		}
		res, err := s.client.Do(s.newRequest(t, "GET", "/", nil))
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if !res.TLS.HandshakeComplete || !res.TLS.DidResume || len(res.TLS.PeerCertificates) == 0 {
			t.Errorf("%+v", res.TLS)
		}
		s.leave()
	}
}

// A handler can wait until an early request is no replay.
func TestAwaitHandshake(t *testing.T) {
	var s *earlySite
	s = newEarlySite(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		before := http3.IsEarly(r)
		s.letPass()
		err := http3.AwaitHandshake(r)
		fmt.Fprintf(w, "%v, %v, early=%v, complete=%v, %q", before, err, http3.IsEarly(r), r.TLS.HandshakeComplete, r.Header["Early-Data"])
	}), nil)
	if got := s.visit(t); got != `false, <nil>, early=false, complete=true, []` {
		t.Error(got)
	}
	s.hold()
	if got := s.visit(t); got != `true, <nil>, early=false, complete=true, []` {
		t.Error(got)
	}
	// What a proxy let through stays what it is.
	s.hold()
	r := s.newRequest(t, "GET", "/", nil)
	r.Header.Set("Early-Data", "1")
	res, err := s.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if got, _ := io.ReadAll(res.Body); string(got) != `true, <nil>, early=true, complete=true, ["1"]` {
		t.Errorf("%s", got)
	}
}

// A handler that waits hears when the connection ends.
func TestAwaitHandshakeOfNobody(t *testing.T) {
	result := make(chan error, 1)
	var s *earlySite
	s = newEarlySite(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if http3.IsEarly(r) {
			go s.transport.Close()
			result <- http3.AwaitHandshake(r)
		}
	}), nil)
	s.visit(t)
	s.hold()
	if _, err := s.client.Do(s.newRequest(t, "GET", "/", nil)); err == nil {
		t.Error("a response from a closed Transport")
	}
	if err := <-result; err == nil {
		t.Error("no error")
	}
}

// Requests that are not safe, or have a body, wait until the handshake is complete.
func TestUnsafeRequestsAreNotEarly(t *testing.T) {
	var s *earlySite
	var order []string
	var mu sync.Mutex
	s = newEarlySite(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		order = append(order, fmt.Sprintf("%s %v", r.Method, http3.IsEarly(r)))
		mu.Unlock()
		if http3.IsEarly(r) {
			s.letPass()
		}
	}), nil)
	s.visit(t)
	mu.Lock()
	order = nil
	mu.Unlock()
	s.hold()
	var wg sync.WaitGroup
	for _, method := range []string{"POST", "DELETE", "SEARCH"} {
		wg.Go(func() {
			res, err := s.client.Do(s.newRequest(t, method, "/", nil))
			if err != nil {
				t.Error(err)
				return
			}
			res.Body.Close()
		})
	}
	s.get(t, "/")
	wg.Wait()
	mu.Lock()
	defer mu.Unlock()
	if len(order) != 4 || order[0] != "GET true" {
		t.Errorf("the server got %q", order)
	}
}

// A server answers early requests with 425 that it does not want, and a Transport sends them again when the handshake is
// complete. Those that came by a proxy are for its client.
func TestTooEarly(t *testing.T) {
	var s *earlySite
	var asked, handled atomic.Int32
	s = newEarlySite(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handled.Add(1)
		tellEarly(w, r)
	}), func(server *http3.Server, _ *http3.Transport) {
		server.AllowEarly = func(*http.Request) bool {
			asked.Add(1)
			s.letPass()
			return false
		}
	})
	s.visit(t)
	handled.Store(0)
	s.hold()
	if got := s.visit(t); got != "GET early=false complete=true" || asked.Load() != 1 || handled.Load() != 1 {
		t.Errorf("%s; %d early requests, %d handled", got, asked.Load(), handled.Load())
	}
	s.hold()
	r := s.newRequest(t, "GET", "/", nil)
	r.Header.Set("Early-Data", "1")
	res, err := s.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusTooEarly || handled.Load() != 1 {
		t.Errorf("status %d, %d requests handled", res.StatusCode, handled.Load())
	}
}

// RFC 8470, Section 5.2: a 425 that nothing early led to is the caller's.
func TestTooEarlyWithoutEarlyData(t *testing.T) {
	s := newSite(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusTooEarly) }), nil)
	res, err := s.client.Do(s.newRequest(t, "GET", "/", nil))
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusTooEarly {
		t.Error(res.Status)
	}
}

// A client that sends in early data what it must not gets a 425 for it: no handler sees it.
func TestEarlyPostIsRefused(t *testing.T) {
	s := newEarlySite(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "POST" {
			t.Error("a handler saw it")
		}
	}), nil)
	s.visit(t)
	socket, err := udp.Listen("127.0.0.1:0", nil)
	if err != nil {
		t.Fatal(err)
	}
	e, err := engine.NewEndpoint(nil, socket)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	status := make(chan string, 1)
	driver := h3driver.NewClient(&h3driver.Config{OnEvent: func(ev h3driver.Event) {
		if ev.Kind == h3driver.EventHeaders {
			status <- ev.Fields[0].Value
		}
	}})
	r := newRelay(t, s.addr) // for this connection alone
	r.hold()
	_, err = e.Dial(t.Context(), r.Addr(), &engine.DialConfig{
		QUIC: &quic.Config{EarlyData: true, TLS: &tls.Config{
			RootCAs: testRoots, ServerName: "127.0.0.1", NextProtos: []string{http3.NextProto},
			ClientSessionCache: prefixed{s.sessions, s.relay.Addr().String() + " "},
		}},
		EarlyStart:     true,
		NewApplication: func(engine.ConnInfo) (engine.ApplicationOverQUIC, error) { return driver, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	stream, err := driver.Controller().OpenRequest(t.Context(), h3driver.Part{Early: true, Fin: true, Header: []h3.Field{
		{Name: ":method", Value: "POST"}, {Name: ":scheme", Value: "https"}, {Name: ":authority", Value: "x"}, {Name: ":path", Value: "/"},
	}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.mute()
	if got := <-status; got != "425" || !stream.Early() {
		t.Errorf("status %s, early %v", got, stream.Early())
	}
}

// prefixed finds what a Transport put into its cache.
type prefixed struct {
	tls.ClientSessionCache
	prefix string
}

func (c prefixed) Get(key string) (*tls.ClientSessionState, bool) {
	return c.ClientSessionCache.Get(c.prefix + key)
}

// Whatever keeps a server from taking early data, it gets the request after the handshake, once.
func TestEarlyDataRejected(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*http3.Server)
	}{
		{"other ticket keys", func(s *http3.Server) { s.SetSessionTicketKeys([][32]byte{{2}}) }},
		{"another server's sessions", func(s *http3.Server) { s.QUIC.EarlyDataStore = nil }},
		{"other settings", func(s *http3.Server) { s.MaxHeaderBytes = 5000 }},
		{"lower limits", func(s *http3.Server) { s.QUIC.StreamWindow = 10 }},
		{"early data off", func(s *http3.Server) { s.QUIC.EarlyData = false }},
		// Go 1.26's crypto/tls can't resume then: the connection fails, and the next one begins without a session.
		{"HelloRetryRequest", func(s *http3.Server) { s.TLSConfig.CurvePreferences = []tls.CurveID{tls.CurveP521} }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var handled atomic.Int32
			s := newEarlySite(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				handled.Add(1)
				tellEarly(w, r)
			}), nil)
			s.visit(t)
			s.restart(t, tt.change)
			handled.Store(0)
			if got := s.visit(t); got != "GET early=false complete=true" || handled.Load() != 1 {
				t.Errorf("%s; handled %d times", got, handled.Load())
			}
		})
	}
}

// A session's early data is taken once.
func TestEarlyDataReplayed(t *testing.T) {
	var s *earlySite
	s = newEarlySite(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.letPass()
		tellEarly(w, r)
	}), nil)
	s.visit(t)
	s.sessions.frozen.Store(true)
	for i, want := range []string{"GET early=true complete=false", "GET early=false complete=true", "GET early=false complete=true"} {
		if i == 0 {
			s.hold()
		}
		if got := s.visit(t); got != want {
			t.Errorf("the session's use %d: %s", i+1, got)
		}
	}
}

// Requests get through where many packets are lost, early or not.
func TestEarlyDataLossy(t *testing.T) {
	s := newEarlySite(t, hello, nil)
	s.visit(t)
	lossy := udpproxy.Impairment{Drop: 0.1, Reorder: 0.1}
	s.relay.SetImpairments(lossy, lossy)
	for range 5 {
		if got := s.get(t, "/"); got != "hello" {
			t.Error(got)
		}
		s.client.CloseIdleConnections()
	}
}

// Early data goes to the address that answered last, not to one where nobody is. Where nobody is any more, the request goes
// elsewhere in the end.
func TestEarlyDataAddress(t *testing.T) {
	deaf, err := udp.Listen("127.0.0.1:0", nil) // it never reads
	if err != nil {
		t.Fatal(err)
	}
	defer deaf.Close()
	var s *earlySite
	var there atomic.Pointer[netip.AddrPort]
	s = newEarlySite(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.letPass()
		tellEarly(w, r)
	}), func(_ *http3.Server, tr *http3.Transport) {
		tr.QUIC.HandshakeTimeout = time.Second
		tr.Resolve = func(context.Context, string, string) ([]netip.AddrPort, error) {
			return []netip.AddrPort{deaf.LocalAddr(), *there.Load()}, nil
		}
	})
	addr := s.relay.Addr()
	there.Store(&addr)
	s.visit(t)
	s.hold()
	if got := s.visit(t); got != "GET early=true complete=false" {
		t.Error(got)
	}
	// The server moves to another address; at its old one nobody listens.
	s.relay.Close()
	moved := netip.MustParseAddrPort(s.addr)
	there.Store(&moved)
	if got := s.visit(t); got != "GET early=false complete=true" {
		t.Error(got)
	}
}

// net/http/httputil's reverse proxy tells its backend of early requests, and passes on a 425.
func TestReverseProxyEarlyData(t *testing.T) {
	var front *earlySite
	var seen []string
	var mu sync.Mutex
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		seen = append(seen, fmt.Sprint(r.Header["Early-Data"]))
		mu.Unlock()
		front.letPass()
		if http3.IsEarly(r) {
			w.WriteHeader(http.StatusTooEarly)
			return
		}
		io.WriteString(w, "hello")
	}))
	defer backend.Close()
	target, err := url.Parse(backend.URL)
	if err != nil {
		t.Fatal(err)
	}
	front = newEarlySite(t, httputil.NewSingleHostReverseProxy(target), nil)
	front.visit(t)
	front.hold()
	if got := front.visit(t); got != "hello" {
		t.Error(got)
	}
	mu.Lock()
	defer mu.Unlock()
	if fmt.Sprint(seen) != "[[] [1] []]" {
		t.Errorf("Early-Data at the backend: %q", seen)
	}
}

// RFC 8470, Section 4: a proxy sends in early data only what came early.
func TestForwardedRequestsAreNotEarly(t *testing.T) {
	backend := newEarlySite(t, tellEarly, nil)
	backend.visit(t)
	target, err := url.Parse(backend.url)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.Transport = backend.transport
	front := newSite(t, proxy, nil)
	res := make(chan string, 1)
	backend.hold()
	go func() { res <- front.get(t, "/") }()
	// The backend's first answer is held back, so that an early request would come before it.
	go backend.letPass()
	if got := <-res; got != "GET early=false complete=true" {
		t.Error(got)
	}
}

// A Transport remembers sessions and tokens without being told to, but sends nothing in early data.
func TestTransportResumes(t *testing.T) {
	s := newSite(t, hello, func(server *http3.Server, _ *http3.Transport) {
		server.Retry = quic.RetryAlways
	})
	for i := range 3 {
		res, err := s.client.Do(s.newRequest(t, "GET", "/", nil))
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, res.Body)
		res.Body.Close()
		if res.TLS.DidResume != (i > 0) {
			t.Errorf("connection %d: resumed %v", i, res.TLS.DidResume)
		}
		// The session came before the response, which was asked for when the handshake was complete.
		s.client.CloseIdleConnections()
	}
}

// The keys of session tickets can be changed while the server runs, and before.
func TestSetSessionTicketKeys(t *testing.T) {
	keys := [][32]byte{{1}, {2}, {3}}
	s := newSite(t, hello, func(server *http3.Server, _ *http3.Transport) { server.SetSessionTicketKeys(keys[:1]) })
	for i, tt := range []struct {
		keys   [][32]byte
		resume bool
	}{{keys[:1], false}, {keys[:1], true}, {[][32]byte{keys[1], keys[0]}, true}, {keys[1:2], true}, {keys[2:], false}} {
		s.server.SetSessionTicketKeys(tt.keys)
		res, err := s.client.Do(s.newRequest(t, "GET", "/", nil))
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, res.Body)
		res.Body.Close()
		if res.TLS.DidResume != tt.resume {
			t.Errorf("connection %d: resumed %v", i, res.TLS.DidResume)
		}
		s.client.CloseIdleConnections()
	}
}
