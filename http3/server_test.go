package http3_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"net/http"
	"net/http/httptrace"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dunlin-quic/dunlin/h3"
	"github.com/dunlin-quic/dunlin/http3"
	"github.com/dunlin-quic/dunlin/quic"
	"github.com/dunlin-quic/dunlin/udp"
)

func TestRequestKnowsItsConnection(t *testing.T) {
	type key struct{}
	var server *http3.Server
	s := newSite(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := r.Context()
		local, _ := ctx.Value(http.LocalAddrContextKey).(net.Addr)
		host, _, err := net.SplitHostPort(r.RemoteAddr)
		fmt.Fprintf(w, "proto %s %d.%d; ", r.Proto, r.ProtoMajor, r.ProtoMinor)
		fmt.Fprintf(w, "remote %s %v; local ok %v; ", host, err, local.String() == r.Host)
		fmt.Fprintf(w, "server ok %v; base %v; ", ctx.Value(http3.ServerContextKey) == server, ctx.Value(key{}))
		fmt.Fprintf(w, "tls %s", r.TLS.NegotiatedProtocol)
	}), func(s *http3.Server, _ *http3.Transport) {
		server = s
		s.BaseContext = func(l *http3.Listener) context.Context {
			return context.WithValue(context.Background(), key{}, len(l.Addrs()))
		}
		s.ConnContext = func(ctx context.Context, c *http3.ServerConn) context.Context {
			if c.RemoteAddr() == nil || c.LocalAddr() == nil {
				t.Error("connection without addresses")
			}
			return context.WithValue(ctx, key{}, fmt.Sprint(ctx.Value(key{}), "+conn"))
		}
	})
	const want = "proto HTTP/3.0 3.0; remote 127.0.0.1 <nil>; local ok true; server ok true; base 1+conn; tls h3"
	if got := s.get(t, "/"); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestDerivedContextsEndWithTheRequest(t *testing.T) {
	ended := make(chan error, 3)
	s := newSite(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		derived, cancel := context.WithTimeout(r.Context(), time.Hour)
		_ = cancel // ended by its parent
		go func() { <-derived.Done(); ended <- context.Cause(derived) }()
		context.AfterFunc(r.Context(), func() { ended <- r.Context().Err() })
		stopped := context.AfterFunc(r.Context(), func() { t.Error("ran though it was stopped") })
		if !stopped() || stopped() {
			t.Error("stop must be true the first time only")
		}
	}), nil)
	s.get(t, "/")
	for range 2 {
		if err := <-ended; err != context.Canceled {
			t.Errorf("derived context ended with %v", err)
		}
	}
}

func TestBaseContextEndsRequests(t *testing.T) {
	base, cancel := context.WithCancel(context.Background())
	started := make(chan struct{})
	s := newSite(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(started)
		<-r.Context().Done()
		io.WriteString(w, r.Context().Err().Error())
	}), func(s *http3.Server, _ *http3.Transport) {
		s.BaseContext = func(*http3.Listener) context.Context { return base }
	})
	go func() { <-started; cancel() }()
	if got := s.get(t, "/"); got != "context canceled" {
		t.Errorf("got %q", got)
	}
}

func TestLargeRequestHeaderIsAnswered431(t *testing.T) {
	s := newSite(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "seen")
	}), func(s *http3.Server, _ *http3.Transport) { s.MaxHeaderBytes = 4000 })
	if got := s.get(t, "/"); got != "seen" { // also brings the server's settings
		t.Fatal(got)
	}
	// A client that knows the limit refuses by itself.
	r := s.newRequest(t, "GET", "/", nil)
	r.Header.Set("X-Large", strings.Repeat("a", 5000))
	if _, err := s.client.Do(r); !errors.Is(err, h3.ErrFieldSectionTooLarge) {
		t.Errorf("own limit: %v", err)
	}
	// The first request of a connection may leave before the settings come.
	for answered := false; !answered; {
		s.client.CloseIdleConnections()
		res, err := s.client.Do(r)
		if errors.Is(err, h3.ErrFieldSectionTooLarge) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if answered = true; res.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("status %s", res.Status)
		}
	}
	if got := s.get(t, "/"); got != "seen" {
		t.Errorf("the connection did not survive: %q", got)
	}
}

func TestMoreThanTheDeclaredLength(t *testing.T) {
	s := newSite(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "4")
		io.WriteString(w, "four")
		if _, err := io.WriteString(w, "!"); !errors.Is(err, http.ErrContentLength) {
			t.Errorf("the fifth byte: %v", err)
		}
	}), nil)
	if got := s.get(t, "/"); got != "four" {
		t.Errorf("got %q", got)
	}
}

func TestLessThanTheDeclaredLength(t *testing.T) {
	for _, size := range []int{0, 3, 100_000} {
		s := newSite(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "100001")
			w.Write(make([]byte, size))
		}), nil)
		res, err := s.client.Do(s.newRequest(t, "GET", "/", nil))
		if err == nil {
			_, err = io.Copy(io.Discard, res.Body)
			res.Body.Close()
		}
		var e *h3.Error
		if !errors.As(err, &e) || !e.Remote || e.Code != h3.InternalError {
			t.Errorf("%d bytes of 100001: %v", size, err)
		}
	}
}

// TestFieldsOfConnectionsStayBehind: what belongs to a connection of HTTP/1.1 is left out, whatever its spelling (RFC 9114,
// Section 4.2), and does not make the message malformed.
func TestFieldsOfConnectionsStayBehind(t *testing.T) {
	for _, key := range []string{"Connection", "keep-alive", "transfer-encoding", "Transfer-encoding", "upgrade", "te", "Te", "proxy-connection"} {
		t.Run(key, func(t *testing.T) {
			s := newSite(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header()[key] = []string{"x"}
				w.Header()["content-length"] = []string{"5"}
				if r.Header[http.CanonicalHeaderKey(key)] != nil {
					t.Errorf("the server saw %q", r.Header)
				}
				w.WriteHeader(http.StatusEarlyHints)
				io.WriteString(w, "hello")
			}), nil)
			r := s.newRequest(t, "POST", "/", strings.NewReader("hello"))
			r.Header[key] = []string{"x"}
			r.Header["content-length"] = []string{"7"} // what counts is r.ContentLength
			res, err := s.client.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			if body, err := io.ReadAll(res.Body); string(body) != "hello" || err != nil {
				t.Errorf("body %q, %v", body, err)
			}
			if res.Header[http.CanonicalHeaderKey(key)] != nil || len(res.Header["Content-Length"]) != 1 {
				t.Errorf("the client saw %q", res.Header)
			}
		})
	}
}

func TestPanicIsLogged(t *testing.T) {
	var buf lockedBuffer
	s := newSite(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/abort" {
			panic(http.ErrAbortHandler)
		}
		if r.URL.Path == "/goexit" {
			runtime.Goexit()
		}
		panic("something is wrong")
	}), func(s *http3.Server, _ *http3.Transport) {
		s.ErrorLog = slog.New(slog.NewTextHandler(&buf, nil))
	})
	for _, path := range []string{"/abort", "/goexit", "/panic"} {
		_, err := s.client.Do(s.newRequest(t, "GET", path, nil))
		var e *h3.Error
		if !errors.As(err, &e) || !e.Remote || !e.OnStream || e.Code != h3.InternalError {
			t.Errorf("%s: %v", path, err)
		}
		logged := buf.String()
		if strings.Contains(logged, "panic") != (path == "/panic") {
			t.Errorf("%s: logged %q", path, logged)
		}
	}
	if logged := buf.String(); !strings.Contains(logged, "something is wrong") || !strings.Contains(logged, "server_test.go") {
		t.Errorf("logged %q", logged)
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func TestWriteHeaderPanicsOnNonsense(t *testing.T) {
	s := newSite(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, status := range []int{-1, 0, 99, 1000} {
			func() {
				defer func() { fmt.Fprint(w, recover() != nil, " ") }()
				w.WriteHeader(status)
			}()
		}
	}), nil)
	if got := s.get(t, "/"); got != "true true true true " {
		t.Errorf("got %q", got)
	}
}

func TestSwitchingProtocolsIsRefused(t *testing.T) {
	s := newSite(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusSwitchingProtocols)
	}), nil)
	res, err := s.client.Do(s.newRequest(t, "GET", "/", nil))
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != 500 {
		t.Errorf("status %s", res.Status)
	}
}

func TestUseAfterTheHandlerReturned(t *testing.T) {
	type leftover struct {
		w http.ResponseWriter
		r *http.Request
	}
	left := make(chan leftover, 1)
	s := newSite(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { left <- leftover{w, r} }), nil)
	res, err := s.client.Do(s.newRequest(t, "POST", "/", onlyReader{bytes.NewReader(pattern(100_000))}))
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	l := <-left
	<-l.r.Context().Done() // serving is over
	if _, err := l.w.Write([]byte("x")); !errors.Is(err, http3.ErrHandlerDone) {
		t.Errorf("write: %v", err)
	}
	if err := http.NewResponseController(l.w).Flush(); !errors.Is(err, http3.ErrHandlerDone) {
		t.Errorf("flush: %v", err)
	}
	if _, err := l.r.Body.Read(make([]byte, 1)); !errors.Is(err, http.ErrBodyReadAfterClose) {
		t.Errorf("read: %v", err)
	}
	l.w.WriteHeader(500) // does nothing
}

// TestUnreadBodyIsStopped: RFC 9114, Section 4.1: a server that has answered asks the client to stop, and the client
// takes the response for complete.
func TestUnreadBodyIsStopped(t *testing.T) {
	s := newSite(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "enough")
	}), nil)
	body := &endlessBody{closed: make(chan struct{})}
	res, err := s.client.Do(s.newRequest(t, "POST", "/", body))
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(res.Body)
	if string(got) != "enough" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	res.Body.Close()
	select {
	case <-body.closed:
	case <-time.After(10 * time.Second):
		t.Error("the client goes on sending")
	}
}

// endlessBody is a request body without end, that says when it was closed.
type endlessBody struct {
	once   sync.Once
	closed chan struct{}
}

func (b *endlessBody) Read(p []byte) (int, error) { return len(p), nil }
func (b *endlessBody) Close() error               { b.once.Do(func() { close(b.closed) }); return nil }

// TestSlowReaderCostsNoMemory: a handler that writes without end to a client that does not read is stopped by flow
// control, and other requests on the connection go on.
func TestSlowReaderCostsNoMemory(t *testing.T) {
	var written atomic.Int64
	s := newSite(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/other" {
			io.WriteString(w, "fine")
			return
		}
		piece := make([]byte, 32<<10)
		for {
			n, err := w.Write(piece)
			if written.Add(int64(n)); err != nil {
				return
			}
		}
	}), func(_ *http3.Server, tr *http3.Transport) {
		tr.QUIC = &quic.Config{StreamWindow: 64 << 10, MaxStreamWindow: 64 << 10}
	})
	res, err := s.client.Do(s.newRequest(t, "GET", "/endless", nil))
	if err != nil {
		t.Fatal(err)
	}
	// The rest of the connection works while the first response stands still, however often it is asked.
	var last int64
	for range 200 {
		if got := s.get(t, "/other"); got != "fine" {
			t.Fatal(got)
		}
		last = written.Load()
	}
	// The client's window and buffer, QUIC's send buffer, and one write.
	if last > 64<<10+64<<10+256<<10+32<<10 {
		t.Errorf("the handler wrote %d bytes that nobody reads", last)
	}
	n, err := io.CopyN(io.Discard, res.Body, 1<<20)
	if err != nil {
		t.Errorf("reading on after %d: %v", n, err)
	}
	res.Body.Close()
}

func TestSlowHandlerStopsTheClient(t *testing.T) {
	start := make(chan struct{})
	s := newSite(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/other" {
			return
		}
		<-start
		n, err := io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, n, err)
	}), func(s *http3.Server, _ *http3.Transport) {
		s.QUIC = &quic.Config{StreamWindow: 64 << 10, MaxStreamWindow: 64 << 10}
	})
	const size = 5 << 20
	body := &countingReader{r: bytes.NewReader(make([]byte, size))}
	done := make(chan string, 1)
	go func() {
		res, err := s.client.Do(s.newRequest(t, "POST", "/", body))
		if err != nil {
			done <- err.Error()
			return
		}
		defer res.Body.Close()
		answer, _ := io.ReadAll(res.Body)
		done <- string(answer)
	}()
	for range 200 {
		s.get(t, "/other")
	}
	if n := body.n.Load(); n > 64<<10+512<<10 {
		t.Errorf("the client read %d bytes of its body though the handler reads none", n)
	}
	close(start)
	if got, want := <-done, fmt.Sprint(size, nil); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

type countingReader struct {
	r io.Reader
	n atomic.Int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n.Add(int64(n))
	return n, err
}

// TestAbandonedRequestsAreBounded: a client that abandons requests at once gains no more handlers than its streams
// allow twice.
func TestAbandonedRequestsAreBounded(t *testing.T) {
	release := make(chan struct{})
	var running, most atomic.Int32
	s := newSite(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := running.Add(1)
		defer running.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		if r.URL.Path == "/stubborn" {
			<-release
		}
	}), func(s *http3.Server, _ *http3.Transport) { s.QUIC = &quic.Config{MaxBidiStreams: 10} })
	s.get(t, "/")
	for range 300 {
		ctx, cancel := context.WithCancel(context.Background())
		r := s.newRequest(t, "GET", "/stubborn", nil)
		ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
			WroteRequest: func(httptrace.WroteRequestInfo) { cancel() },
		})
		res, err := s.client.Do(r.WithContext(ctx))
		if err == nil {
			res.Body.Close()
		}
	}
	if n := most.Load(); n > 20 {
		t.Errorf("%d handlers ran at once", n)
	}
	close(release)
	s.get(t, "/")
}

// TestAnyNumberOfStreams: limits as large as an int leave room for handlers.
func TestAnyNumberOfStreams(t *testing.T) {
	for _, n := range []int{1, math.MaxInt32, math.MaxInt} {
		s := newSite(t, hello, func(s *http3.Server, _ *http3.Transport) { s.QUIC = &quic.Config{MaxBidiStreams: n} })
		r := s.newRequest(t, "GET", "/", nil)
		res, err := s.client.Do(r)
		if err != nil {
			t.Errorf("with %d streams: %v", n, err)
			continue
		}
		res.Body.Close()
	}
}

func TestServerTimeouts(t *testing.T) {
	t.Run("read", func(t *testing.T) {
		s := newSite(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, err := io.ReadAll(r.Body)
			fmt.Fprint(w, errors.Is(err, os.ErrDeadlineExceeded))
		}), func(s *http3.Server, _ *http3.Transport) { s.ReadTimeout = 20 * time.Millisecond })
		pr, pw := io.Pipe()
		defer pw.Close()
		res, err := s.client.Do(s.newRequest(t, "POST", "/", pr))
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if body, err := io.ReadAll(res.Body); string(body) != "true" || err != nil {
			t.Errorf("got %q, %v", body, err)
		}
	})
	t.Run("write", func(t *testing.T) {
		failed := make(chan error, 1)
		s := newSite(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			var err error
			for err == nil {
				_, err = w.Write(make([]byte, 10_000))
			}
			failed <- err
		}), func(s *http3.Server, _ *http3.Transport) { s.WriteTimeout = 50 * time.Millisecond })
		res, err := s.client.Do(s.newRequest(t, "GET", "/", nil))
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if err := <-failed; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("write failed with %v", err)
		}
		if _, err := io.Copy(io.Discard, res.Body); err == nil {
			t.Error("the client took the response for complete")
		}
	})
	t.Run("idle", func(t *testing.T) {
		s := newSite(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}),
			func(s *http3.Server, _ *http3.Transport) { s.IdleTimeout = 20 * time.Millisecond })
		conn := s.connection(t)
		for deadline := time.Now().Add(10 * time.Second); conn.Err() == nil; runtime.Gosched() {
			if time.Now().After(deadline) {
				t.Fatal("the idle connection was not closed")
			}
		}
		var e *h3.Error
		if err := conn.Err(); !errors.As(err, &e) || !e.Remote || e.Code != h3.NoError {
			t.Errorf("closed with %v", err)
		}
		s.get(t, "/") // by another connection
	})
}

func TestShutdownDrains(t *testing.T) {
	started, release := make(chan struct{}), make(chan struct{})
	s := newSite(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Write(pattern(100_000))
		w.(http.Flusher).Flush()
		close(started)
		<-release
		w.Write(pattern(100_000))
	}), nil)
	res, err := s.client.Do(s.newRequest(t, "GET", "/", nil))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	<-started
	shut := make(chan error, 1)
	go func() { shut <- s.server.Shutdown(context.Background()) }()
	if err := <-s.served; !errors.Is(err, http.ErrServerClosed) {
		t.Errorf("Serve returned %v", err)
	}
	select {
	case err := <-shut:
		t.Fatalf("Shutdown returned %v with a request running", err)
	default:
	}
	close(release)
	body, err := io.ReadAll(res.Body)
	if err != nil || !bytes.Equal(body, append(pattern(100_000), pattern(100_000)...)) {
		t.Errorf("%d bytes, %v", len(body), err)
	}
	if err := <-shut; err != nil {
		t.Errorf("Shutdown returned %v", err)
	}
	l, err := http3.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		t.Errorf("Serve after Shutdown returned %v", err)
	}
}

func TestShutdownGivesUp(t *testing.T) {
	ended := make(chan struct{})
	s := newSite(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		close(ended)
	}), nil)
	res, err := s.client.Do(s.newRequest(t, "GET", "/", nil))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := s.server.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Shutdown returned %v", err)
	}
	<-ended
	if _, err := io.ReadAll(res.Body); err == nil {
		t.Error("the client took the response for complete")
	}
}

func TestServeReturnsWhenTheListenerCloses(t *testing.T) {
	l, err := http3.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http3.Server{TLSConfig: &tls.Config{Certificates: []tls.Certificate{testCertificate}}}
	served := make(chan error)
	go func() { served <- s.Serve(l) }()
	l.Close()
	if err := <-served; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Serve returned %v", err)
	}
}

// brittleSocket fails when it is closed, as one does whose device is gone.
type brittleSocket struct{ udp.Socket }

var errGone = errors.New("the device is gone")

func (s brittleSocket) ReadBatch(msgs []udp.Message) (int, error) {
	n, err := s.Socket.ReadBatch(msgs)
	if err != nil {
		err = errGone
	}
	return n, err
}

// TestServeReturnsWhenASocketFails: nobody waits for a server that hears nothing.
func TestServeReturnsWhenASocketFails(t *testing.T) {
	sound, err := udp.Listen("127.0.0.1:0", nil)
	if err != nil {
		t.Fatal(err)
	}
	brittle, err := udp.Listen("127.0.0.1:0", nil)
	if err != nil {
		t.Fatal(err)
	}
	l := http3.NewListener(sound, brittleSocket{brittle})
	s := &http3.Server{TLSConfig: &tls.Config{Certificates: []tls.Certificate{testCertificate}}}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	brittle.Close()
	select {
	case err := <-served:
		if !errors.Is(err, errGone) {
			t.Errorf("Serve returned %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("Serve has not returned")
		s.Close()
	}
	if err := sound.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the other socket was open (%v)", err)
	}
}

func TestServeNeedsTLS(t *testing.T) {
	l, err := http3.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := (&http3.Server{}).Serve(l); err == nil || !strings.Contains(err.Error(), "TLSConfig") {
		t.Errorf("Serve returned %v", err)
	}
}

func TestListen(t *testing.T) {
	l, err := http3.Listen("localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	for _, a := range l.Addrs() {
		host, p, err := net.SplitHostPort(a.String())
		if err != nil || p != port || !net.ParseIP(host).IsLoopback() {
			t.Errorf("localhost became %v", l.Addrs())
		}
	}
	for _, bad := range []string{"", "nonsense", "127.0.0.1:http:1", "no-such-host.invalid:1"} {
		if l, err := http3.Listen(bad); err == nil {
			l.Close()
			t.Errorf("Listen(%q) works", bad)
		}
	}
	if _, err := http3.Listen(); err == nil {
		t.Error("Listen without an address works")
	}
	if l, err := http3.Listen(l.Addr().String()); err == nil {
		l.Close()
		t.Error("two listeners on one port")
	}
}

func TestAltSvc(t *testing.T) {
	h := http3.WithAltSvc(4433, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "hello") }))
	s := newTCPSite(t, h, true)
	res, err := s.client.Do(s.newRequest(t, "GET", "/", nil))
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if got, want := res.Header.Get("Alt-Svc"), `h3=":4433"; ma=86400`; got != want || want != http3.AltSvc(4433) {
		t.Errorf("Alt-Svc %q, want %q", got, want)
	}
}

func TestMalformedTarget(t *testing.T) {
	s := newSite(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { t.Error("handled") }), nil)
	r := s.newRequest(t, "GET", "/", nil)
	r.URL.Opaque = "/%zz"
	res, err := s.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusBadRequest {
		t.Errorf("status %s", res.Status)
	}
}

func TestOptionsStar(t *testing.T) {
	s := newSite(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.RequestURI) }), nil)
	r := s.newRequest(t, "OPTIONS", "/", nil)
	r.URL.Path = "*"
	res, err := s.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if body, _ := io.ReadAll(res.Body); string(body) != "*" {
		t.Errorf("got %q", body)
	}
}

func TestConnect(t *testing.T) {
	s := newSite(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != "CONNECT" || r.Host != "example.org:22" || r.RequestURI != "example.org:22" {
			t.Errorf("%s %s %s", r.Method, r.Host, r.RequestURI)
		}
		w.(http.Flusher).Flush()
		buf := make([]byte, 100)
		for {
			n, err := r.Body.Read(buf)
			w.Write(buf[:n])
			if http.NewResponseController(w).Flush() != nil || err != nil {
				return
			}
		}
	}), nil)
	pr, pw := io.Pipe()
	r := s.newRequest(t, "CONNECT", "", pr)
	r.Host = "example.org:22"
	res, err := s.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	io.WriteString(pw, "through the tunnel")
	answer := make([]byte, 18)
	if _, err := io.ReadFull(res.Body, answer); string(answer) != "through the tunnel" {
		t.Errorf("%q %v", answer, err)
	}
	pw.Close()
	if rest, err := io.ReadAll(res.Body); len(rest) > 0 || err != nil {
		t.Errorf("%q %v", rest, err)
	}
}

// TestHandlersThatBlock: once handlers have proved quick, one that blocks, whatever it waits for, stops neither its
// connection nor others.
func TestHandlersThatBlock(t *testing.T) {
	release := make(chan struct{})
	waits := map[string]func(w http.ResponseWriter, r *http.Request){
		"/channel": func(w http.ResponseWriter, r *http.Request) { <-release },
		"/body":    func(w http.ResponseWriter, r *http.Request) { io.ReadAll(r.Body) },
		"/flush": func(w http.ResponseWriter, r *http.Request) {
			w.(http.Flusher).Flush()
			<-release
		},
		"/write": func(w http.ResponseWriter, r *http.Request) {
			for range 100 {
				w.Write(make([]byte, 100_000)) // nobody reads it for now
			}
		},
	}
	s := newSite(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if wait := waits[r.URL.Path]; wait != nil {
			wait(w, r)
		}
	}), nil)
	other := &http3.Transport{TLSClientConfig: s.transport.TLSClientConfig}
	defer other.Close()
	var ends []func()
	for path := range waits {
		for range 400 {
			s.get(t, "/")
		}
		body, end := io.Pipe()
		answered := make(chan error, 1)
		go func() {
			res, err := s.transport.RoundTrip(s.newRequest(t, "POST", path, body))
			if err == nil {
				<-release
				_, err = io.Copy(io.Discard, res.Body)
				res.Body.Close()
			}
			answered <- err
		}()
		ends = append(ends, func() {
			end.Close()
			if err := <-answered; err != nil {
				t.Error(path, err)
			}
		})
		for range 3 {
			s.get(t, "/")
			res, err := other.RoundTrip(s.newRequest(t, "GET", "/", nil))
			if err != nil {
				t.Fatal(path, err)
			}
			res.Body.Close()
		}
	}
	close(release)
	for _, end := range ends {
		end()
	}
}
