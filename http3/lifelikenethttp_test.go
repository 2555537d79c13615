package http3_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dunlin-quic/dunlin/http3"
)

// house is a server of one protocol, with what there is to do to it, and a client.
type house struct {
	*site
	shutdown   func(context.Context) error
	close      func() error
	serveAgain func() error
	served     chan error
}

type (
	baseKey struct{}
	connKey struct{}
)

// newHouse serves h over proto. In the requests' contexts are a base of "base" and the number of the connection.
func newHouse(t *testing.T, proto string, h http.Handler) *house {
	t.Helper()
	var conns atomic.Int64
	base := context.WithValue(context.Background(), baseKey{}, "base")
	next := func(ctx context.Context) context.Context {
		return context.WithValue(ctx, connKey{}, fmt.Sprint(ctx.Value(baseKey{}), " ", conns.Add(1)))
	}
	if proto == "HTTP/3" {
		s := newSite(t, h, func(s *http3.Server, _ *http3.Transport) {
			s.BaseContext = func(*http3.Listener) context.Context { return base }
			s.ConnContext = func(ctx context.Context, _ *http3.ServerConn) context.Context { return next(ctx) }
		})
		again := func() error {
			l, err := http3.Listen("127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			return s.server.Serve(l)
		}
		return &house{s, s.server.Shutdown, s.server.Close, again, s.served}
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(proto == "HTTP/1.1")
	protocols.SetHTTP2(proto == "HTTP/2")
	server := &http.Server{
		Handler: h, Protocols: protocols,
		TLSConfig:   &tls.Config{Certificates: []tls.Certificate{testCertificate}},
		BaseContext: func(net.Listener) context.Context { return base },
		ConnContext: func(ctx context.Context, _ net.Conn) context.Context { return next(ctx) },
		ErrorLog:    slog.NewLogLogger(quiet.Handler(), slog.LevelError),
		// One connection is enough for all requests: of many at once, HTTP/2's server closes those that say nothing for 2 s, as
		// they do on a busy machine.
		HTTP2: &http.HTTP2Config{MaxConcurrentStreams: tenThousand},
	}
	listen := func() net.Listener {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	l, served := listen(), make(chan error, 1)
	go func() { served <- server.ServeTLS(l, "", "") }()
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: testRoots}, Protocols: protocols, MaxConnsPerHost: 50, MaxIdleConnsPerHost: 50}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		server.Close()
	})
	s := &site{url: "https://" + l.Addr().String(), client: &http.Client{Transport: transport, CheckRedirect: noRedirect}}
	return &house{s, server.Shutdown, server.Close, func() error { return server.ServeTLS(listen(), "", "") }, served}
}

// TestLifeLikeNetHTTP runs what concerns servers as a whole over HTTP/1.1, HTTP/2 and HTTP/3.
func TestLifeLikeNetHTTP(t *testing.T) {
	for _, proto := range []string{"HTTP/1.1", "HTTP/2", "HTTP/3"} {
		t.Run(proto+"/shutdown in the middle", func(t *testing.T) { testShutdownInTheMiddle(t, proto) })
		t.Run(proto+"/shutdown gives up", func(t *testing.T) { testShutdownGivesUp(t, proto) })
		t.Run(proto+"/close in the middle", func(t *testing.T) { testCloseInTheMiddle(t, proto) })
		t.Run(proto+"/contexts", func(t *testing.T) { testContexts(t, proto) })
		t.Run(proto+"/ten thousand at once", func(t *testing.T) { testTenThousandAtOnce(t, proto) })
	}
}

// halfway answers with a half, says so, and goes on when it may; with the rest, or with word that the context has ended.
type halfway struct{ started, proceed, ended chan struct{} }

func newHalfway() *halfway {
	return &halfway{make(chan struct{}), make(chan struct{}), make(chan struct{})}
}

func (h *halfway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer close(h.ended)
	w.Write(pattern(100_000))
	w.(http.Flusher).Flush()
	close(h.started)
	select {
	case <-h.proceed:
		w.Write(pattern(100_000))
	case <-r.Context().Done():
	}
}

func (h *halfway) begin(t *testing.T, s *house) *http.Response {
	t.Helper()
	res, err := s.client.Do(s.newRequest(t, "GET", "/", nil))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { res.Body.Close() })
	<-h.started
	return res
}

func (s *house) mustHaveEnded(t *testing.T) {
	t.Helper()
	if err := <-s.served; !errors.Is(err, http.ErrServerClosed) {
		t.Errorf("Serve returned %v", err)
	}
	if err := s.serveAgain(); !errors.Is(err, http.ErrServerClosed) {
		t.Errorf("Serve returned %v the second time", err)
	}
	if res, err := s.client.Do(s.newRequest(t, "GET", "/", nil)); err == nil {
		res.Body.Close()
		t.Error("the server still answers")
	}
}

func testShutdownInTheMiddle(t *testing.T, proto string) {
	h := newHalfway()
	s := newHouse(t, proto, h)
	res := h.begin(t, s)
	shut := make(chan error, 1)
	go func() { shut <- s.shutdown(context.Background()) }()
	if err := <-s.served; !errors.Is(err, http.ErrServerClosed) {
		t.Errorf("Serve returned %v", err)
	}
	s.served <- http.ErrServerClosed
	select {
	case err := <-shut:
		t.Errorf("Shutdown returned %v with a request running", err)
	default:
	}
	close(h.proceed)
	body, err := io.ReadAll(res.Body)
	if err != nil || !bytes.Equal(body, append(pattern(100_000), pattern(100_000)...)) {
		t.Errorf("%d bytes, %v", len(body), err)
	}
	if err := <-shut; err != nil {
		t.Errorf("Shutdown returned %v", err)
	}
	s.mustHaveEnded(t)
}

func testShutdownGivesUp(t *testing.T, proto string) {
	h := newHalfway()
	s := newHouse(t, proto, h)
	res := h.begin(t, s)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if err := s.shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Shutdown returned %v", err)
	}
	if proto != "HTTP/3" { // which closes by itself what remains
		s.close()
	}
	if _, err := io.ReadAll(res.Body); err == nil {
		t.Error("the client took a half for the whole")
	}
	<-h.ended
	s.mustHaveEnded(t)
}

func testCloseInTheMiddle(t *testing.T, proto string) {
	h := newHalfway()
	s := newHouse(t, proto, h)
	res := h.begin(t, s)
	if err := s.close(); err != nil {
		t.Errorf("Close returned %v", err)
	}
	if _, err := io.ReadAll(res.Body); err == nil {
		t.Error("the client took a half for the whole")
	}
	<-h.ended
	s.mustHaveEnded(t)
}

func testContexts(t *testing.T, proto string) {
	s := newHouse(t, proto, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, local := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
		_, server := r.Context().Value(http.ServerContextKey).(*http.Server)
		fmt.Fprint(w, r.Context().Value(connKey{}), " ", local, " ", server)
	}))
	for range 3 { // by one connection
		if got := s.get(t, "/"); got != "base 1 true true" {
			t.Errorf("got %q", got)
		}
	}
	s.client.CloseIdleConnections()
	if got := s.get(t, "/"); got != "base 2 true true" {
		t.Errorf("got %q after the connection was closed", got)
	}
}

const tenThousand = 10_000

func testTenThousandAtOnce(t *testing.T, proto string) {
	requests := tenThousand
	if testing.Short() {
		requests = 1000
	}
	s := newHouse(t, proto, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s", r.URL.Path, body)
	}))
	if got := s.get(t, "/"); got != "/ " { // there is a connection
		t.Error(got)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var all sync.WaitGroup
	for i := range requests {
		all.Go(func() {
			text := strings.Repeat(fmt.Sprint(i, " "), i%50)
			r, err := http.NewRequestWithContext(ctx, "POST", fmt.Sprint(s.url, "/", i), strings.NewReader(text))
			if err != nil {
				t.Error(err)
				return
			}
			res, err := s.client.Do(r)
			if err != nil {
				t.Error(err)
				return
			}
			defer res.Body.Close()
			body, err := io.ReadAll(res.Body)
			if want := fmt.Sprintf("/%d %s", i, text); string(body) != want || err != nil {
				t.Errorf("got %q %v, want %q", body, err, want)
			}
		})
	}
	all.Wait()
}
