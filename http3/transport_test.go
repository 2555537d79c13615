package http3_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/textproto"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/dunlin-quic/dunlin/engine"
	"github.com/dunlin-quic/dunlin/h3"
	"github.com/dunlin-quic/dunlin/h3driver"
	"github.com/dunlin-quic/dunlin/http3"
	"github.com/dunlin-quic/dunlin/quic"
)

var hello = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "hello") })

func TestOneDialForManyRequests(t *testing.T) {
	var conns atomic.Int32
	s := newSite(t, hello, func(s *http3.Server, _ *http3.Transport) {
		s.ConnContext = func(ctx context.Context, _ *http3.ServerConn) context.Context {
			conns.Add(1)
			return ctx
		}
	})
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() { s.get(t, "/") })
	}
	wg.Wait()
	if n := conns.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
	s.client.CloseIdleConnections()
	s.get(t, "/")
	if n := conns.Load(); n != 2 {
		t.Errorf("%d connections after CloseIdleConnections", n)
	}
}

func TestCancelledRequestLeavesTheDialToOthers(t *testing.T) {
	resolving, resolve := make(chan struct{}, 2), make(chan struct{})
	var s *site
	s = newSite(t, hello, func(_ *http3.Server, tr *http3.Transport) {
		tr.Resolve = func(ctx context.Context, host, port string) ([]netip.AddrPort, error) {
			resolving <- struct{}{}
			<-resolve
			return []netip.AddrPort{netip.MustParseAddrPort(s.addr)}, ctx.Err()
		}
	})
	s.url = "https://example.com"
	ctx, cancel := context.WithCancel(context.Background())
	first := make(chan error, 1)
	go func() {
		_, err := s.client.Do(s.newRequest(t, "GET", "/", nil).WithContext(ctx))
		first <- err
	}()
	<-resolving
	joined := make(chan struct{})
	second := make(chan error, 1)
	go func() {
		r := s.newRequest(t, "GET", "/", nil)
		res, err := s.client.Do(r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{
			GetConn: func(string) { close(joined) },
		})))
		if err == nil {
			res.Body.Close()
		}
		second <- err
	}()
	<-joined
	// GetConn is told just before the request joins: it joins the attempt, or makes another if that was given up.
	cancel()
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled request: %v", err)
	}
	close(resolve)
	if err := <-second; err != nil {
		t.Errorf("other request: %v", err)
	}
}

// TestAbandonedDialIsJoinedByNobody: a request that comes while an attempt is being given up has one of its own.
func TestAbandonedDialIsJoinedByNobody(t *testing.T) {
	resolving, resolve := make(chan struct{}, 2), make(chan struct{})
	var s *site
	s = newSite(t, hello, func(_ *http3.Server, tr *http3.Transport) {
		tr.Resolve = func(ctx context.Context, host, port string) ([]netip.AddrPort, error) {
			resolving <- struct{}{}
			<-resolve // some resolvers take no notice of contexts
			return []netip.AddrPort{netip.MustParseAddrPort(s.addr)}, nil
		}
	})
	s.url = "https://example.com"
	ctx, cancel := context.WithCancel(context.Background())
	go func() { <-resolving; cancel() }()
	if _, err := s.client.Do(s.newRequest(t, "GET", "/", nil).WithContext(ctx)); !errors.Is(err, context.Canceled) {
		t.Fatalf("cancelled request: %v", err)
	}
	go func() { <-resolving; close(resolve) }()
	if got := s.get(t, "/"); got != "hello" {
		t.Errorf("got %q", got)
	}
}

// TestServerThatClosesAtOnce: a connection that ends before it could be used is replaced a few times, not for ever.
func TestServerThatClosesAtOnce(t *testing.T) {
	var conns atomic.Int32
	l, err := engine.Listen(&engine.ListenConfig{
		QUIC: &quic.Config{TLS: &tls.Config{Certificates: []tls.Certificate{testCertificate}, NextProtos: []string{"h3"}}},
		NewApplication: func(engine.ConnInfo) (engine.ApplicationOverQUIC, error) {
			conns.Add(1)
			return nil, &quic.ApplicationError{Code: uint64(h3.NoError), Reason: "not now"}
		},
	}, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	tr := &http3.Transport{TLSClientConfig: &tls.Config{RootCAs: testRoots}}
	defer tr.Close()
	for range 20 {
		before := conns.Load()
		r, err := http.NewRequest("GET", "https://"+l.Addr().String(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tr.RoundTrip(r); !errors.Is(err, net.ErrClosed) {
			t.Errorf("error %v", err)
		}
		// Each of the times that the request may be sent has so many attempts at a connection.
		if n := conns.Load() - before; n > 16 {
			t.Errorf("%d connections", n)
		}
	}
}

// TestDialErrors: each cause can be told from the others.
func TestDialErrors(t *testing.T) {
	s := newSite(t, hello, nil)
	closed, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refusing := closed.LocalAddr().String()
	closed.Close()
	silent, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	other := otherProtocol(t)

	timeout := func(err error) bool {
		var e net.Error
		return errors.As(err, &e) && e.Timeout()
	}
	for _, c := range []struct {
		name, url string
		transport *http3.Transport
		is        func(error) bool
	}{
		{"no such host", "https://no-such-host.invalid/", &http3.Transport{}, func(err error) bool {
			var e *net.DNSError
			return errors.As(err, &e)
		}},
		{"connection refused", "https://" + refusing, &http3.Transport{}, func(err error) bool {
			return errors.Is(err, syscall.ECONNREFUSED)
		}},
		{"timed out", "https://" + silent.LocalAddr().String(), &http3.Transport{DialTimeout: 50 * time.Millisecond}, timeout},
		{"unknown authority", s.url, &http3.Transport{}, func(err error) bool {
			var e *tls.CertificateVerificationError
			var unknown x509.UnknownAuthorityError
			return errors.As(err, &e) && errors.As(err, &unknown)
		}},
		{"wrong name", s.url, &http3.Transport{TLSClientConfig: &tls.Config{RootCAs: testRoots, ServerName: "wrong.example"}}, func(err error) bool {
			var e x509.HostnameError
			return errors.As(err, &e)
		}},
		{"wrong ALPN", other, &http3.Transport{TLSClientConfig: &tls.Config{RootCAs: testRoots}}, func(err error) bool {
			return errors.Is(err, http3.ErrALPN)
		}},
		{"http", "http://localhost/", &http3.Transport{}, func(err error) bool { return strings.Contains(err.Error(), "https") }},
		{"bad port", "https://localhost:99999/", &http3.Transport{}, func(err error) bool {
			var e *net.AddrError
			return errors.As(err, &e)
		}},
		{"no host", "https:///path", &http3.Transport{}, func(err error) bool { return strings.Contains(err.Error(), "no host") }},
		{"bad field", s.url, &http3.Transport{}, func(err error) bool { return strings.Contains(err.Error(), "invalid header field") }},
	} {
		t.Run(c.name, func(t *testing.T) {
			defer c.transport.Close()
			r, err := http.NewRequest("POST", c.url, &endlessBody{closed: make(chan struct{})})
			if err != nil {
				t.Fatal(err)
			}
			body := r.Body.(*endlessBody)
			if c.name == "bad field" {
				r.Header.Set("X-Bad", "a\nb")
			}
			res, err := c.transport.RoundTrip(r)
			if err == nil {
				res.Body.Close()
				t.Fatal("no error")
			}
			if !c.is(err) {
				t.Errorf("error %v (%T)", err, err)
			}
			select {
			case <-body.closed:
			case <-time.After(5 * time.Second):
				t.Error("the request's body was not closed")
			}
		})
	}
}

// otherProtocol returns the URL of a QUIC server that does not speak HTTP/3.
func otherProtocol(t *testing.T) string {
	l, err := engine.Listen(&engine.ListenConfig{
		QUIC: &quic.Config{TLS: &tls.Config{Certificates: []tls.Certificate{testCertificate}, NextProtos: []string{"other"}}},
		NewApplication: func(engine.ConnInfo) (engine.ApplicationOverQUIC, error) {
			return engine.Base{}, nil
		},
	}, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return "https://" + l.Addr().String()
}

func TestAddressesAreTriedInTurn(t *testing.T) {
	closed, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refusing := netip.MustParseAddrPort(closed.LocalAddr().String())
	closed.Close()
	silentConn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silentConn.Close()
	silent := netip.MustParseAddrPort(silentConn.LocalAddr().String())
	var addrs []netip.AddrPort
	s := newSite(t, hello, func(_ *http3.Server, tr *http3.Transport) {
		tr.Resolve = func(ctx context.Context, host, port string) ([]netip.AddrPort, error) {
			if host != "example.com" || port != "443" {
				t.Errorf("asked for %s %s", host, port)
			}
			return addrs, nil
		}
	})
	good := netip.MustParseAddrPort(s.addr)
	s.url = "https://example.com"
	for _, c := range []struct {
		name  string
		addrs []netip.AddrPort
		works bool
	}{
		{"refusing first", []netip.AddrPort{refusing, good}, true},
		{"silent first", []netip.AddrPort{silent, good}, true},
		{"silent last", []netip.AddrPort{good, silent}, true},
		{"all refusing", []netip.AddrPort{refusing, refusing}, false},
		{"none", nil, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			addrs = c.addrs
			s.client.CloseIdleConnections()
			res, err := s.client.Do(s.newRequest(t, "GET", "/", nil))
			if err == nil {
				res.Body.Close()
			}
			if (err == nil) != c.works {
				t.Errorf("error %v", err)
			}
		})
	}
}

func TestTrace(t *testing.T) {
	s := newSite(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusEarlyHints)
		io.Copy(w, r.Body)
	}), nil)
	var mu sync.Mutex
	var told []string
	tell := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		told = append(told, fmt.Sprintf(format, args...))
	}
	var conn *http3.ClientConn
	trace := &httptrace.ClientTrace{
		GetConn: func(hostPort string) { tell("get conn %v", hostPort == s.addr) },
		GotConn: func(info httptrace.GotConnInfo) {
			conn = info.Conn.(*http3.ClientConn)
			tell("got conn, reused %v", info.Reused)
		},
		ConnectStart:      func(network, addr string) { tell("connect %s %v", network, addr == s.addr) },
		ConnectDone:       func(network, addr string, err error) { tell("connected %v", err) },
		TLSHandshakeStart: func() { tell("handshake") },
		TLSHandshakeDone: func(state tls.ConnectionState, err error) {
			tell("handshake done %s %v", state.NegotiatedProtocol, err)
		},
		WroteHeaderField:     func(key string, value []string) { tell("field %s", key) },
		WroteHeaders:         func() { tell("wrote headers") },
		WroteRequest:         func(info httptrace.WroteRequestInfo) { tell("wrote request %v", info.Err) },
		GotFirstResponseByte: func() { tell("first byte") },
		Got1xxResponse:       func(code int, _ textproto.MIMEHeader) error { tell("interim %d", code); return nil },
	}
	for range 2 {
		r := s.newRequest(t, "POST", "/", strings.NewReader("body"))
		res, err := s.client.Do(r.WithContext(httptrace.WithClientTrace(r.Context(), trace)))
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, res.Body)
		res.Body.Close()
		tell("---")
	}
	mu.Lock()
	defer mu.Unlock()
	request := []string{
		"field :method", "field :scheme", "field :authority", "field :path", "field content-length",
		"field accept-encoding", "field user-agent", "wrote headers", "wrote request <nil>", "first byte", "interim 103", "---",
	}
	want := slices.Concat([]string{
		"get conn true", "handshake", "connect udp true", "connected <nil>", "handshake done h3 <nil>", "got conn, reused false",
	}, request, []string{"get conn true", "got conn, reused true"}, request)
	if !slices.Equal(told, want) {
		t.Errorf("told\n%s\nwant\n%s", strings.Join(told, "\n"), strings.Join(want, "\n"))
	}
	stats := conn.Stats()
	if stats.HandshakeTime <= 0 || stats.RTT <= 0 || stats.BytesSent == 0 || stats.BytesReceived == 0 {
		t.Errorf("stats %+v", stats)
	}
	if state := conn.ConnectionState(); state.Version != tls.VersionTLS13 || len(state.VerifiedChains) == 0 {
		t.Errorf("state %+v", state)
	}
	if conn.RemoteAddr().String() != s.addr || conn.LocalAddr() == nil {
		t.Errorf("addresses %v %v", conn.LocalAddr(), conn.RemoteAddr())
	}
	if _, err := conn.Read(nil); err == nil {
		t.Error("Read works")
	}
	if conn.Err() != nil {
		t.Errorf("error %v while it lives", conn.Err())
	}
	conn.Close()
	for deadline := time.Now().Add(10 * time.Second); conn.Err() == nil; {
		if time.Now().After(deadline) {
			t.Fatal("Close does not close")
		}
	}
	if after := conn.Stats(); after.HandshakeTime != stats.HandshakeTime {
		t.Errorf("stats after the end: %+v", after)
	}
}

func TestInterimErrorEndsTheRequest(t *testing.T) {
	stop := errors.New("stop")
	s := newSite(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusEarlyHints)
		<-r.Context().Done()
	}), nil)
	r := s.newRequest(t, "GET", "/", nil)
	_, err := s.client.Do(r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{
		Got1xxResponse: func(int, textproto.MIMEHeader) error { return stop },
	})))
	if !errors.Is(err, stop) {
		t.Errorf("error %v", err)
	}
}

func TestInterimResponsesWithoutEnd(t *testing.T) {
	ended := make(chan struct{})
	s := newSite(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(ended)
		w.Header().Set("X-Fill", strings.Repeat("x", 500))
		for r.Context().Err() == nil {
			w.WriteHeader(http.StatusProcessing)
		}
	}), func(_ *http3.Server, tr *http3.Transport) { tr.MaxResponseHeaderBytes = 10_000 })
	if _, err := s.client.Do(s.newRequest(t, "GET", "/", nil)); err == nil || !strings.Contains(err.Error(), "interim") {
		t.Errorf("error %v", err)
	}
	<-ended
}

func TestLargeResponseHeaderIsRefused(t *testing.T) {
	s := newSite(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/large" {
			w.Header().Set("X-Large", strings.Repeat("x", 20_000))
		}
	}), func(_ *http3.Server, tr *http3.Transport) { tr.MaxResponseHeaderBytes = 10_000 })
	if _, err := s.client.Do(s.newRequest(t, "GET", "/large", nil)); err == nil {
		t.Error("a large header section was accepted")
	}
	s.get(t, "/")
}

func TestResponseHeaderTimeout(t *testing.T) {
	s := newSite(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }),
		func(_ *http3.Server, tr *http3.Transport) { tr.ResponseHeaderTimeout = 20 * time.Millisecond })
	for _, body := range []io.Reader{nil, onlyReader{strings.NewReader("body")}} {
		_, err := s.client.Do(s.newRequest(t, "POST", "/", body))
		var e net.Error
		if !errors.As(err, &e) || !e.Timeout() {
			t.Errorf("error %v", err)
		}
	}
}

func TestContextEndsTheResponseBody(t *testing.T) {
	cause := errors.New("the cause")
	ended := make(chan struct{})
	s := newSite(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		close(ended)
	}), nil)
	ctx, cancel := context.WithCancelCause(context.Background())
	res, err := s.client.Do(s.newRequest(t, "GET", "/", nil).WithContext(ctx))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	time.AfterFunc(10*time.Millisecond, func() { cancel(cause) })
	if _, err := io.ReadAll(res.Body); !errors.Is(err, cause) {
		t.Errorf("error %v", err)
	}
	<-ended
}

// TestRejectedRequestIsSentAgain: a server that is going away rejects with H3_REQUEST_REJECTED, and a new connection
// takes the request, body included (RFC 9114, Sections 4.1.1 and 5.2).
func TestRejectedRequestIsSentAgain(t *testing.T) {
	for _, way := range []string{"reject", "close"} {
		t.Run(way, func(t *testing.T) { testSentAgain(t, way) })
	}
}

func testSentAgain(t *testing.T, way string) {
	var conns atomic.Int32
	l, err := engine.Listen(&engine.ListenConfig{
		QUIC: &quic.Config{TLS: &tls.Config{Certificates: []tls.Certificate{testCertificate}, NextProtos: []string{"h3"}}},
		NewApplication: func(engine.ConnInfo) (engine.ApplicationOverQUIC, error) {
			first := conns.Add(1) == 1
			driver := h3driver.NewServer(nil)
			controller := driver.Controller()
			go func() {
				for seen := 0; ; {
					ev, err := controller.NextEvent(context.Background())
					if err != nil {
						return
					}
					if ev.Kind != h3driver.EventHeaders {
						continue
					}
					seen++
					switch {
					case first && seen > 1 && way == "reject":
						ev.Stream.CancelRead(h3.RequestRejected)
						ev.Stream.CancelWrite(h3.RequestRejected)
					case first && seen > 1:
						controller.Close()
					default:
						go func() {
							body, _ := io.ReadAll(ev.Stream)
							ev.Stream.Respond([]h3.Field{{Name: ":status", Value: "200"}}, body)
						}()
					}
				}
			}()
			return driver, nil
		},
	}, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	tr := &http3.Transport{TLSClientConfig: &tls.Config{RootCAs: testRoots}}
	defer tr.Close()
	methods := []string{"POST", "POST"}
	if way == "close" {
		methods[1] = "GET" // what was sent before the end is repeated only if the method is idempotent
	}
	for i, method := range methods {
		for _, size := range []int{100, 100_000} {
			if i == 0 && size > 100 {
				continue
			}
			r, err := http.NewRequest(method, "https://"+l.Addr().String(), bytes.NewReader(pattern(size)))
			if err != nil {
				t.Fatal(err)
			}
			res, err := tr.RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(res.Body)
			res.Body.Close()
			if !bytes.Equal(got, pattern(size)) || err != nil {
				t.Errorf("%d bytes, %v", len(got), err)
			}
		}
	}
	if way == "close" && conns.Load() != 2 {
		t.Errorf("%d connections", conns.Load())
	}
}

// TestStreamLimitIsAwaited: requests above the server's limit wait for their turn.
func TestStreamLimitIsAwaited(t *testing.T) {
	var running, most atomic.Int32
	s := newSite(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := running.Add(1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		io.Copy(w, r.Body)
		running.Add(-1)
	}), func(s *http3.Server, _ *http3.Transport) { s.QUIC = &quic.Config{MaxBidiStreams: 3} })
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			text := strings.Repeat("x", i)
			res, err := s.client.Do(s.newRequest(t, "POST", "/", strings.NewReader(text)))
			if err != nil {
				t.Error(err)
				return
			}
			defer res.Body.Close()
			if got, err := io.ReadAll(res.Body); string(got) != text || err != nil {
				t.Errorf("%q %v", got, err)
			}
		})
	}
	wg.Wait()
	if n := most.Load(); n > 3 {
		t.Errorf("%d requests ran at once", n)
	}
}

func TestWaitForStreamEndsWithTheContext(t *testing.T) {
	release := make(chan struct{})
	s := newSite(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		<-release
	}), func(s *http3.Server, _ *http3.Transport) { s.QUIC = &quic.Config{MaxBidiStreams: 1} })
	res, err := s.client.Do(s.newRequest(t, "GET", "/", nil))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if _, err := s.client.Do(s.newRequest(t, "GET", "/", nil).WithContext(ctx)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
	close(release)
	s.get(t, "/")
}

func TestTransportClose(t *testing.T) {
	s := newSite(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}), nil)
	res, err := s.client.Do(s.newRequest(t, "GET", "/", nil))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	s.transport.Close()
	if _, err := io.ReadAll(res.Body); !errors.Is(err, net.ErrClosed) {
		t.Errorf("body: %v", err)
	}
	if _, err := s.client.Do(s.newRequest(t, "GET", "/", nil)); !errors.Is(err, http3.ErrTransportClosed) {
		t.Errorf("request: %v", err)
	}
}

func TestIdleConnTimeout(t *testing.T) {
	s := newSite(t, hello, func(_ *http3.Server, tr *http3.Transport) { tr.IdleConnTimeout = 20 * time.Millisecond })
	conn := s.connection(t)
	for deadline := time.Now().Add(10 * time.Second); conn.Err() == nil; {
		if time.Now().After(deadline) {
			t.Fatal("the idle connection was not closed")
		}
	}
	s.get(t, "/")
}

func TestBodyLengthMismatch(t *testing.T) {
	s := newSite(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) }), nil)
	for _, length := range []int64{10, 1000, 99, 101} {
		for _, memory := range []bool{false, true} {
			r := s.newRequest(t, "POST", "/", bytes.NewReader(pattern(100)))
			if !memory {
				r.GetBody = nil
			}
			r.ContentLength = length
			if _, err := s.transport.RoundTrip(r); err == nil {
				t.Errorf("100 bytes declared as %d, in memory %v: no error", length, memory)
			}
		}
	}
	s.get(t, "/")
}

func TestExpectContinueIsNotAwaitedForever(t *testing.T) {
	s := newSite(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// A server that never says 100: it looks at the body only after the client has sent it of its own accord.
		w.(http.Flusher).Flush()
		io.Copy(w, r.Body)
	}), func(_ *http3.Server, tr *http3.Transport) { tr.ExpectContinueTimeout = time.Millisecond })
	pr, pw := io.Pipe()
	go func() { io.WriteString(pw, "body"); pw.Close() }()
	r := s.newRequest(t, "POST", "/", pr)
	r.Header.Set("Expect", "100-continue")
	res, err := s.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	io.ReadAll(res.Body)
}
