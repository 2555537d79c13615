package http3_test

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dunlin-quic/dunlin/http3"
)

// altSite is an origin over HTTP/1.1 and HTTP/2 on a port of its own, with HTTP/3 elsewhere.
type altSite struct {
	*httptest.Server
	quic   *site
	client *http.Client
	tr     *http3.AltTransport

	mu     sync.Mutex
	altSvc string   // what the origin answers with
	age    string   // likewise
	seen   []string // versions of the requests, with Alt-Used
	now    time.Time
}

func (a *altSite) lastSeen() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.seen[len(a.seen)-1]
}

func newAltSite(t *testing.T) *altSite {
	a := &altSite{now: time.Now()}
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.seen = append(a.seen, fmt.Sprint(r.Proto, " ", r.Header.Get("Alt-Used")))
		if a.altSvc != "" {
			w.Header().Set("Alt-Svc", a.altSvc)
		}
		if a.age != "" {
			w.Header().Set("Age", a.age)
		}
		if r.URL.Path == "/misdirected" && r.ProtoMajor == 3 {
			w.WriteHeader(http.StatusMisdirectedRequest)
			return
		}
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s", r.Proto, body)
	})
	a.quic = newSite(t, h, nil)
	a.Server = httptest.NewUnstartedServer(h)
	a.TLS = &tls.Config{Certificates: []tls.Certificate{testCertificate}}
	a.EnableHTTP2 = true
	a.StartTLS()
	a.tr = &http3.AltTransport{
		TCP:       &http.Transport{TLSClientConfig: &tls.Config{RootCAs: testRoots}, ForceAttemptHTTP2: true},
		HeadStart: 10 * time.Second,
	}
	a.tr.SetClock(func() time.Time {
		a.mu.Lock()
		defer a.mu.Unlock()
		return a.now
	})
	a.client = &http.Client{Transport: a.tr}
	t.Cleanup(func() {
		a.tr.Close()
		a.Server.Close()
	})
	return a
}

func (a *altSite) set(f func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	f()
}

// quicPort is the port of HTTP/3.
func (a *altSite) quicPort() string { return a.quic.addr[strings.LastIndexByte(a.quic.addr, ':')+1:] }

// get returns the version that a request went over.
func (a *altSite) get(t *testing.T, path string) string {
	t.Helper()
	res, err := a.client.Get(a.URL + path)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if body, err := io.ReadAll(res.Body); err != nil || string(body) != res.Proto+" " {
		t.Errorf("%q, %v", body, err)
	}
	if res.Request.URL.String() != a.URL+path || res.Request.Header.Get("Alt-Used") != "" {
		t.Errorf("the response is that to %v, %v", res.Request.URL, res.Request.Header)
	}
	return res.Proto
}

func (a *altSite) want(t *testing.T, versions ...string) {
	t.Helper()
	for i, v := range versions {
		if got := a.get(t, "/"); got != v {
			t.Errorf("request %d went over %s, want %s", i, got, v)
		}
	}
}

const (
	two   = "HTTP/2.0"
	three = "HTTP/3.0"
)

// TestAltSvcIsFollowed goes to HTTP/3 when the origin says so, until that is over.
func TestAltSvcIsFollowed(t *testing.T) {
	a := newAltSite(t)
	a.want(t, two, two)
	a.set(func() { a.altSvc = `h3=":` + a.quicPort() + `"; ma=60` })
	a.want(t, two, three, three)
	if last := a.lastSeen(); last != three+" 127.0.0.1:"+a.quicPort() {
		t.Error(last)
	}
	a.set(func() {
		a.altSvc = ""
		a.now = a.now.Add(61 * time.Second)
	})
	a.want(t, two)
	a.set(func() { a.altSvc = `h3=":` + a.quicPort() + `"` })
	a.want(t, two, three)
	a.set(func() { a.altSvc = "clear" })
	a.want(t, three, two)
	// An answer from a cache that is 50 s old.
	a.set(func() { a.altSvc, a.age = `h3=":`+a.quicPort()+`"; ma=60`, "50" })
	a.want(t, two, three)
	a.set(func() { a.altSvc, a.age, a.now = "", "", a.now.Add(11*time.Second) })
	a.want(t, two)
	// What holds in another network.
	a.set(func() { a.altSvc = `h3=":` + a.quicPort() + `"; persist=1` })
	a.want(t, two, three)
	a.tr.NetworkChanged()
	a.set(func() { a.altSvc = `h3=":` + a.quicPort() + `"` })
	a.want(t, three, three)
	a.tr.NetworkChanged()
	a.want(t, two, three)
	// An alternative on another host, for which the certificate of the origin holds.
	a.set(func() { a.altSvc = `h3="localhost:` + a.quicPort() + `"` })
	a.want(t, three, three)
	if last := a.lastSeen(); last != three+" localhost:"+a.quicPort() {
		t.Error(last)
	}
	a.set(func() { a.altSvc = "" })
	if got := a.get(t, "/misdirected"); got != two {
		t.Errorf("a misdirected request was answered over %s", got)
	}
	a.want(t, two)
}

// TestAltSvcBroken goes back to TCP where HTTP/3 fails, and elsewhere as soon as the origin says where.
func TestAltSvcBroken(t *testing.T) {
	a := newAltSite(t)
	closed, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	_, port, _ := net.SplitHostPort(closed.LocalAddr().String())
	a.set(func() { a.altSvc = `h3=":` + port + `"; ma=9999` })
	a.want(t, two, two)
	a.set(func() { a.altSvc = `h3=":` + a.quicPort() + `"; ma=9999` })
	a.want(t, two, three)

	// The server is gone: what is not answered goes over TCP.
	a.quic.server.Close()
	for {
		if got := a.get(t, "/"); got == two {
			break
		}
	}
	a.want(t, two)
}

// TestAltSvcInTurn tries places in the origin's order, and those that failed not again until it is time.
func TestAltSvcInTurn(t *testing.T) {
	a := newAltSite(t)
	closed, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := closed.LocalAddr().String()
	closed.Close()
	_, dead, _ := net.SplitHostPort(addr)
	a.set(func() {
		a.altSvc = fmt.Sprintf(`h3=":%s"; ma=9999, h3="no-such-host.invalid:1"; ma=9999, h3=":%s"; ma=9999`, dead, a.quicPort())
	})
	a.want(t, two, three, three)

	// Now somebody listens there, who does not answer.
	silent, err := net.ListenPacket("udp", addr)
	if err != nil {
		t.Skip("somebody else has taken the port: ", err)
	}
	defer silent.Close()
	heard := make(chan struct{}, 1000)
	go func() {
		for b := make([]byte, 2000); ; heard <- struct{}{} {
			if _, _, err := silent.ReadFrom(b); err != nil {
				return
			}
		}
	}()
	a.tr.HTTP3.CloseIdleConnections()
	a.want(t, three)
	if len(heard) > 0 {
		t.Error("a place that is broken was tried")
	}
	a.set(func() { a.now = a.now.Add(5 * time.Minute) })
	a.tr.HTTP3.CloseIdleConnections()
	a.want(t, three)
	<-heard // it was tried, in vain
}

// TestAltSvcSilent does not wait for a server that does not answer.
func TestAltSvcSilent(t *testing.T) {
	a := newAltSite(t)
	silent, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	_, port, _ := net.SplitHostPort(silent.LocalAddr().String())
	a.tr.HeadStart = time.Millisecond
	a.set(func() { a.altSvc = `h3=":` + port + `"` })
	a.want(t, two, two, two)
}

// TestAltSvcBodies sends bodies of all kinds to a server of HTTP/3 that is gone: they arrive over TCP, once and whole.
func TestAltSvcBodies(t *testing.T) {
	a := newAltSite(t)
	a.set(func() { a.altSvc = `h3=":` + a.quicPort() + `"` })
	a.want(t, two, three)
	a.quic.server.Close()
	for a.get(t, "/") != two {
		// The client has not heard of it.
	}
	for name, body := range map[string]func() io.Reader{
		"none":   func() io.Reader { return nil },
		"bytes":  func() io.Reader { return strings.NewReader("body") },
		"stream": func() io.Reader { return io.MultiReader(strings.NewReader("body")) },
	} {
		a.set(func() { a.now = a.now.Add(48 * time.Hour); a.altSvc = `h3=":` + a.quicPort() + `"` })
		a.want(t, two)
		r, err := http.NewRequest("POST", a.URL, body())
		if err != nil {
			t.Fatal(err)
		}
		res, err := a.client.Do(r)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got, err := io.ReadAll(res.Body)
		res.Body.Close()
		want := two + " body"
		if name == "none" {
			want = two + " "
		}
		if string(got) != want || err != nil {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

// records are HTTPS records for a test.
type records struct {
	byName map[string][]http3.HTTPSRecord
	err    error
	mu     sync.Mutex
	asked  []string
}

func (r *records) LookupHTTPS(_ context.Context, name string) ([]http3.HTTPSRecord, time.Duration, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked = append(r.asked, name)
	return r.byName[name], time.Hour, r.err
}

// TestHTTPSRecords goes to HTTP/3 with the first request, where the records say so.
func TestHTTPSRecords(t *testing.T) {
	a := newAltSite(t)
	var port uint16
	fmt.Sscan(a.quicPort(), &port)
	h3 := []string{"h2", "h3"}
	a.URL = strings.Replace(a.URL, "127.0.0.1", "localhost", 1)
	own := strings.TrimPrefix(a.URL, "https://localhost:")
	name := "_" + own + "._https.localhost"
	resolve := func(_ context.Context, host, port string) ([]netip.AddrPort, error) {
		if host != name && host != "server.test" {
			return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
		}
		addr, err := netip.ParseAddrPort("127.0.0.1:" + port)
		return []netip.AddrPort{addr}, err
	}
	for _, tt := range []struct {
		name    string
		records map[string][]http3.HTTPSRecord
		err     error
		want    string
		asked   []string
	}{
		{"none", nil, nil, two, []string{name}},
		{"failure", nil, errors.New("SERVFAIL"), two, []string{name}},
		{"HTTP/2 only", map[string][]http3.HTTPSRecord{name: {{Priority: 1, ALPN: []string{"h2"}, Port: port}}}, nil, two, []string{name}},
		{"HTTP/3", map[string][]http3.HTTPSRecord{name: {{Priority: 1, Target: ".", ALPN: h3, Port: port}}}, nil, three, []string{name}},
		{"the second best", map[string][]http3.HTTPSRecord{name: {{Priority: 2, ALPN: h3, Port: port}, {Priority: 1, Target: "elsewhere.test", ALPN: h3, Port: port}}}, nil, three, []string{name}},
		{"the best", map[string][]http3.HTTPSRecord{name: {{Priority: 2, ALPN: h3, Port: 1}, {Priority: 1, ALPN: h3, Port: port}}}, nil, three, []string{name}},
		{"another host", map[string][]http3.HTTPSRecord{name: {{Priority: 1, Target: "server.test.", ALPN: h3, Port: port}}}, nil, three, []string{name}},
		{"alias", map[string][]http3.HTTPSRecord{name: {{Target: "server.test."}}, "server.test": {{Priority: 1, ALPN: h3, Port: port}}}, nil, three, []string{name, "server.test"}},
		{"no service", map[string][]http3.HTTPSRecord{name: {{Target: "."}}}, nil, two, []string{name}},
		{"endless", map[string][]http3.HTTPSRecord{name: {{Target: name}}}, nil, two, slices.Repeat([]string{name}, 8)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := &records{byName: tt.records, err: tt.err}
			a.tr = &http3.AltTransport{
				TCP:          a.tr.TCP,
				HTTP3:        &http3.Transport{TLSClientConfig: &tls.Config{RootCAs: testRoots}, Resolve: resolve},
				HeadStart:    10 * time.Second,
				HTTPSRecords: r,
			}
			a.client = &http.Client{Transport: a.tr}
			defer a.tr.Close()
			a.want(t, tt.want, tt.want)
			if last := a.lastSeen(); last != tt.want+" " {
				t.Error("Alt-Used without Alt-Svc: ", last)
			}
			if !slices.Equal(r.asked, tt.asked) {
				t.Errorf("asked %q, want %q", r.asked, tt.asked)
			}
		})
	}
}

// TestAltProxy leaves requests to the proxy that they are for.
func TestAltProxy(t *testing.T) {
	a := newAltSite(t)
	refused := errors.New("the proxy was asked")
	a.tr.TCP.(*http.Transport).Proxy = func(*http.Request) (*url.URL, error) { return nil, refused }
	if _, err := a.client.Get(a.URL); !errors.Is(err, refused) {
		t.Error(err)
	}
}

// echKey makes a key for Encrypted ClientHello and the configuration to publish (RFC 9849, Section 4).
func echKey(t *testing.T, id byte, publicName string) tls.EncryptedClientHelloKey {
	t.Helper()
	private, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	contents := []byte{id, 0x00, 0x20, 0x00, 32} // X25519 with HKDF-SHA256
	contents = append(contents, private.PublicKey().Bytes()...)
	contents = append(contents, 0, 4, 0, 1, 0, 1) // HKDF-SHA256, AES-128-GCM
	contents = append(contents, 0, byte(len(publicName)))
	contents = append(append(contents, publicName...), 0, 0)
	config := binary.BigEndian.AppendUint16([]byte{0xfe, 0x0d}, uint16(len(contents)))
	return tls.EncryptedClientHelloKey{Config: append(config, contents...), PrivateKey: private.Bytes(), SendAsRetry: true}
}

func echList(k tls.EncryptedClientHelloKey) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(k.Config))), k.Config...)
}

// TestEncryptedClientHello takes the configuration of an HTTPS record, and that of a server which has another by now.
func TestEncryptedClientHello(t *testing.T) {
	keys := []tls.EncryptedClientHelloKey{echKey(t, 1, "server.test"), echKey(t, 2, "server.test")}
	accepted := make(chan bool, 10)
	var altSvc atomic.Value
	var connections atomic.Int32
	s := newSite(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Alt-Svc", altSvc.Load().(string))
		accepted <- r.TLS.ECHAccepted && r.TLS.ServerName == "localhost"
	}), func(s *http3.Server, _ *http3.Transport) {
		s.TLSConfig.EncryptedClientHelloKeys = keys[:1]
		s.ConnContext = func(ctx context.Context, _ *http3.ServerConn) context.Context {
			connections.Add(1)
			return ctx
		}
	})
	_, port, err := net.SplitHostPort(s.addr)
	if err != nil {
		t.Fatal(err)
	}
	var number uint16
	fmt.Sscan(port, &number)
	altSvc.Store(`h3=":` + port + `"`)
	for name, k := range map[string]tls.EncryptedClientHelloKey{"the server's": keys[0], "an old one": keys[1]} {
		record := http3.HTTPSRecord{Priority: 1, ALPN: []string{"h3"}, Port: number, ECH: echList(k)}
		tr := &http3.AltTransport{
			TCP:          &http.Transport{TLSClientConfig: &tls.Config{RootCAs: testRoots}},
			HTTPSRecords: &records{byName: map[string][]http3.HTTPSRecord{"localhost": {record}}},
			HeadStart:    10 * time.Second,
		}
		connections.Store(0)
		for i := range 3 {
			res, err := (&http.Client{Transport: tr}).Get("https://localhost/")
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			res.Body.Close()
			if !<-accepted || !res.TLS.ECHAccepted {
				t.Errorf("%s: request %d: not accepted", name, i)
			}
			if i == 1 { // the Alt-Svc of the first answer names the same place, and has no such configurations
				tr.CloseIdleConnections()
			}
		}
		if n := connections.Load(); n != 2 {
			t.Errorf("%s: %d connections", name, n)
		}
		tr.Close()
	}

	// Without anybody to take the server's configuration, the error has it.
	tr := &http3.Transport{TLSClientConfig: &tls.Config{RootCAs: testRoots, EncryptedClientHelloConfigList: echList(keys[1])}}
	defer tr.Close()
	_, err = tr.RoundTrip(httptest.NewRequest("GET", "https://localhost:"+port+"/", nil))
	var rejected *tls.ECHRejectionError
	if !errors.As(err, &rejected) || !bytes.Equal(rejected.RetryConfigList, echList(keys[0])) {
		t.Errorf("rejected: %v", err)
	}
}
