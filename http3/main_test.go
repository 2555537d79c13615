package http3_test

import (
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"testing"
	"time"

	"github.com/dunlin-quic/dunlin/http3"
	"github.com/dunlin-quic/dunlin/internal/leakcheck"
	"github.com/dunlin-quic/dunlin/internal/testcert"
)

func TestMain(m *testing.M) { leakcheck.Main(m) }

var testCertificate, testRoots = testcert.Get()

// site is a server under test and a client for it.
type site struct {
	url       string
	addr      string
	client    *http.Client
	server    *http3.Server    // nil over TCP
	transport *http3.Transport // nil over TCP
	served    chan error
	tag       string // sent with requests as X-Tag, if set
}

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// newSite starts a server and a client of HTTP/3. prepare, which may be nil, may change them before.
func newSite(t testing.TB, h http.Handler, prepare func(*http3.Server, *http3.Transport)) *site {
	t.Helper()
	s := &site{served: make(chan error, 1)}
	s.server = &http3.Server{
		Handler:   h,
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{testCertificate}},
		ErrorLog:  quiet,
	}
	s.transport = &http3.Transport{TLSClientConfig: &tls.Config{RootCAs: testRoots}}
	if prepare != nil {
		prepare(s.server, s.transport)
	}
	l, err := http3.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.addr = l.Addr().String()
	s.url = "https://" + s.addr
	s.client = &http.Client{Transport: s.transport, CheckRedirect: noRedirect}
	go func() { s.served <- s.server.Serve(l) }()
	t.Cleanup(func() {
		s.transport.Close()
		s.server.Close()
	})
	return s
}

func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// newTCPSite does the same with net/http, with HTTP/2 or HTTP/1.1.
func newTCPSite(t testing.TB, h http.Handler, http2 bool) *site {
	t.Helper()
	server := httptest.NewUnstartedServer(h)
	server.EnableHTTP2 = http2
	server.Config.ErrorLog = slog.NewLogLogger(quiet.Handler(), slog.LevelError)
	server.StartTLS()
	client := server.Client()
	client.CheckRedirect = noRedirect
	t.Cleanup(func() {
		client.CloseIdleConnections()
		server.CloseClientConnections()
		server.Close()
	})
	return &site{url: server.URL, addr: server.Listener.Addr().String(), client: client}
}

// newRequest makes a request that ends with the test.
func (s *site) newRequest(t testing.TB, method, path string, body io.Reader) *http.Request {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, method, s.url+path, body)
	if err != nil {
		t.Fatal(err)
	}
	if s.tag != "" {
		r.Header.Set("X-Tag", s.tag)
	}
	return r
}

// get returns the body of a GET that must succeed.
func (s *site) get(t testing.TB, path string) string {
	t.Helper()
	res, err := s.client.Do(s.newRequest(t, "GET", path, nil))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// connection returns the connection that a request now uses.
func (s *site) connection(t testing.TB) *http3.ClientConn {
	t.Helper()
	var conn *http3.ClientConn
	r := s.newRequest(t, "GET", "/", nil)
	res, err := s.client.Do(r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) { conn = info.Conn.(*http3.ClientConn) },
	})))
	if err != nil {
		t.Fatal(err)
	}
	io.Copy(io.Discard, res.Body)
	res.Body.Close()
	return conn
}
