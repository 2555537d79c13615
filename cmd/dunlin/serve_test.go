package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/dunlin-quic/dunlin/qlog"
)

func writeFiles(t *testing.T, files map[string]string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestServeFolder(t *testing.T) {
	large := make([]byte, 3<<20)
	rand.Read(large)
	dir := writeFiles(t, map[string]string{"a.txt": "0123456789", "large.bin": string(large)})
	s := startServe(t, dir)
	u, err := url.Parse(s.url)
	if err != nil {
		t.Fatal(err)
	}
	hosts := []string{"localhost", "127.0.0.1"}
	if l, err := net.Listen("tcp", "[::1]:0"); err == nil {
		l.Close()
		hosts = append(hosts, "[::1]")
	}
	for _, host := range hosts {
		base := "https://" + host + ":" + u.Port() + "/"
		if got := mustDunlin(t, "get", "--cacert", s.cacert, base+"a.txt").out; got != "0123456789" {
			t.Errorf("%s: got %q", base, got)
		}
	}
	if got := mustDunlin(t, "get", "--cacert", s.cacert, "-H", "Range: bytes=3-5", s.url+"a.txt").out; got != "345" {
		t.Errorf("a range: got %q", got)
	}
	if got := mustDunlin(t, "get", "--cacert", s.cacert, s.url+"large.bin").out; got != string(large) {
		t.Errorf("a file of %d bytes does not arrive whole", len(large))
	}
	if got := mustDunlin(t, "get", "--cacert", s.cacert, s.url).out; !strings.Contains(got, `<a href="a.txt">`) {
		t.Errorf("the listing: got %q", got)
	}
	for _, path := range []string{"none", "../../etc/passwd", "%2e%2e/%2e%2e/etc/passwd"} {
		if got := mustDunlin(t, "get", "-i", "--cacert", s.cacert, s.url+path).out; !strings.HasPrefix(got, "HTTP/3.0 404 ") {
			t.Errorf("%s: got %q, want status 404", path, got)
		}
	}
	for _, line := range []string{
		`T\d\d:\d\d:\d\dZ 127\.0\.0\.1 HTTP/3\.0 GET "/a\.txt" 200 10 `,
		`HTTP/3\.0 GET "/large\.bin" 200 3145728 `,
		`HTTP/3\.0 GET "/none" 404 `,
	} {
		s.out.waitFor(t, line)
	}
	if status := s.stop(t); status != 0 {
		t.Errorf("after an interrupt: status %d\n%s", status, s.err)
	}
}

// What serve prints on how to trust its certificate must be true.
func TestServePrintsTrust(t *testing.T) {
	s := startServe(t, writeFiles(t, map[string]string{"a.txt": "a"}))
	s.out.waitFor(t, `curl --http3 --cacert \S+ \S+\n`)
	text := s.out.String()
	content, err := os.ReadFile(s.cacert)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(content)
	conn, err := tls.Dial("tcp", mustParse(t, s.url).Host, &tls.Config{RootCAs: pool})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	dev, err := openDevCert(filepath.Dir(s.cacert), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"--ignore-certificate-errors-spki-list=" + dev.spki(),
		"--origin-to-force-quic-on=" + mustParse(t, s.url).Host,
		"dunlin get --cacert " + s.cacert + " " + s.url,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("serve does not print %q:\n%s", want, text)
		}
	}
}

func mustParse(t *testing.T, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestServeOverTCP(t *testing.T) {
	s := startServe(t, writeFiles(t, map[string]string{"a.txt": "0123456789"}))
	content, err := os.ReadFile(s.cacert)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(content)
	for _, test := range []struct {
		http2 bool
		proto string
	}{{true, "HTTP/2.0"}, {false, "HTTP/1.1"}} {
		transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: test.http2}
		resp, err := (&http.Client{Transport: transport}).Get(s.url + "a.txt")
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		transport.CloseIdleConnections()
		if err != nil || string(body) != "0123456789" || resp.Proto != test.proto {
			t.Errorf("%s: got %q over %s, %v", test.proto, body, resp.Proto, err)
		}
		want := fmt.Sprintf(`h3=":%s"`, mustParse(t, s.url).Port())
		if got := resp.Header.Get("Alt-Svc"); !strings.Contains(got, want) {
			t.Errorf("%s: Alt-Svc is %q, want %s in it", test.proto, got, want)
		}
		s.out.waitFor(t, regexp.QuoteMeta(test.proto+` GET "/a.txt" 200 10 `))
	}
}

func TestServeProxy(t *testing.T) {
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Alt-Svc", `h3=":1"`)
		switch r.URL.Path {
		case "/base/echo":
			sum := sha256.New()
			n, err := io.Copy(sum, r.Body)
			fmt.Fprintf(w, "%s %d %x %v %s", r.Method, n, sum.Sum(nil), err, r.Header.Get("X-Forwarded-For"))
		case "/base/abort":
			w.Header().Set("Content-Length", "1000")
			io.WriteString(w, "some")
			http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		default:
			http.NotFound(w, r)
		}
	}))
	defer upstream.Close()
	upload := make([]byte, 2<<20)
	rand.Read(upload)
	file := filepath.Join(t.TempDir(), "upload.bin")
	if err := os.WriteFile(file, upload, 0o600); err != nil {
		t.Fatal(err)
	}
	s := startServe(t, "--proxy", upstream.URL+"/base")

	want := fmt.Sprintf("PUT %d %x <nil> 127.0.0.1", len(upload), sha256.Sum256(upload))
	base := "https://127.0.0.1:" + mustParse(t, s.url).Port() + "/"
	if got := mustDunlin(t, "get", "--cacert", s.cacert, "-T", file, base+"echo").out; got != want {
		t.Errorf("an upload: got %q, want %q", got, want)
	}
	got := mustDunlin(t, "get", "-i", "--cacert", s.cacert, s.url+"none").out
	if !strings.HasPrefix(got, "HTTP/3.0 404 ") || strings.Contains(got, "alt-svc") {
		t.Errorf("the upstream's 404: got %q", got)
	}
	if r := dunlin(t, "", "get", "--cacert", s.cacert, s.url+"abort"); r.status != statusReset || strings.Count(r.err, "\n") != 1 {
		t.Errorf("an aborted response: status %d, %q; want %d and one line", r.status, r.err, statusReset)
	}
	s.out.waitFor(t, `"/abort" 200 \d+ \S+ aborted`)

	upstream.Close()
	if got := mustDunlin(t, "get", "-i", "--cacert", s.cacert, s.url+"echo").out; !strings.HasPrefix(got, "HTTP/3.0 502 ") {
		t.Errorf("without an upstream: got %q", got)
	}
	s.err.waitFor(t, "upstream failed")
}

// An interrupt lets running requests end.
func TestServeShutdownDrains(t *testing.T) {
	running, release := make(chan struct{}), make(chan struct{})
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/late" {
			return
		}
		close(running)
		<-release
		io.WriteString(w, "whole")
	}))
	defer upstream.Close()
	s := startServe(t, "--proxy", upstream.URL)
	got := make(chan result, 1)
	go func() { got <- dunlin(t, "", "get", "--cacert", s.cacert, s.url) }()
	<-running
	s.interrupt()
	refused := func() bool {
		return dunlin(t, "", "get", "--cacert", s.cacert, "--connect-timeout", "1s", s.url+"late").status != 0
	}
	for tries := 0; !refused(); tries++ {
		if tries == 100 {
			t.Fatal("connections made after the interrupt are served")
		}
	}
	close(release)
	if r := <-got; r.status != 0 || r.out != "whole" {
		t.Errorf("the running request: status %d, %q, %q", r.status, r.out, r.err)
	}
	if status := s.stop(t); status != 0 {
		t.Errorf("serve: status %d\n%s", status, s.err)
	}
}

func TestServeWithCertificate(t *testing.T) {
	dir := t.TempDir()
	if _, err := openDevCert(dir, time.Now); err != nil {
		t.Fatal(err)
	}
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	s := startServe(t, "--cert", cert, "--key", key, "-q", writeFiles(t, map[string]string{"a.txt": "a"}))
	if got := mustDunlin(t, "get", "--cacert", cert, s.url+"a.txt").out; got != "a" {
		t.Errorf("got %q", got)
	}
	if out := s.out.String(); strings.Contains(out, "Development certificate") || strings.Contains(out, "a.txt") {
		t.Errorf("with a certificate and -q, serve prints\n%s", out)
	}
}

func TestServeErrors(t *testing.T) {
	config := t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", config)
	t.Setenv("HOME", config)
	dir := t.TempDir()
	for _, test := range []struct {
		status int
		args   []string
	}{
		{1, []string{filepath.Join(dir, "none")}},
		{1, []string{"--listen", "localhost", dir}},
		{1, []string{"--listen", "name.invalid:0", dir}},
		{1, []string{"--cert", filepath.Join(dir, "none"), "--key", filepath.Join(dir, "none"), dir}},
		{2, []string{"--cert", "cert.pem", dir}},
		{2, []string{"--proxy", "ftp://localhost", "--listen", "localhost:0"}},
		{2, []string{"--proxy", "http://localhost", dir}},
		{2, []string{dir, dir}},
		{2, []string{"--nonsense"}},
	} {
		ctx, cancel := context.WithCancel(context.Background())
		out, errs := newSyncBuffer(), newSyncBuffer()
		status := run(ctx, append([]string{"serve"}, test.args...), streams{strings.NewReader(""), out, errs})
		cancel()
		if status != test.status || !strings.HasPrefix(errs.String(), "dunlin: ") {
			t.Errorf("serve %v: status %d, %q; want %d", test.args, status, errs, test.status)
		}
	}
}

func TestServeKeyLog(t *testing.T) {
	file := filepath.Join(t.TempDir(), "keys")
	t.Setenv("SSLKEYLOGFILE", file)
	s := startServe(t, writeFiles(t, map[string]string{"a.txt": "a"}))
	mustDunlin(t, "get", "--cacert", s.cacert, s.url+"a.txt")
	s.stop(t)
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	// Once from each side.
	if got := strings.Count(string(content), "CLIENT_TRAFFIC_SECRET_0 "); got != 2 {
		t.Errorf("the key log has %d lines of CLIENT_TRAFFIC_SECRET_0, want 2:\n%s", got, content)
	}
}

// serve and get leave a trace of each connection where --qlog or QLOGDIR says, complete when they end.
func TestQlog(t *testing.T) {
	serverDir, clientDir := filepath.Join(t.TempDir(), "server"), filepath.Join(t.TempDir(), "client")
	t.Setenv("QLOGDIR", serverDir+string(os.PathSeparator))
	s := startServe(t, writeFiles(t, map[string]string{"a.txt": "a"}))
	mustDunlin(t, "get", "--cacert", s.cacert, "--qlog", clientDir, s.url+"a.txt")
	s.stop(t)
	clients, _ := filepath.Glob(filepath.Join(clientDir, "*_client.sqlog"))
	if len(clients) != 1 {
		t.Fatalf("traces of the client: %v", clients)
	}
	id := strings.TrimSuffix(filepath.Base(clients[0]), "_client.sqlog")
	for _, name := range []string{clients[0], filepath.Join(serverDir, id+"_server.sqlog")} {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		r, err := qlog.NewReader(f)
		if err != nil {
			t.Fatal(err)
		}
		last, n := "", 0
		for {
			e, err := r.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			last = e.Name
			if e.Name == "http3:frame_created" || e.Name == "http3:frame_parsed" {
				n++
			}
		}
		if last != "quic:connection_state_updated" || n < 4 {
			t.Errorf("%s: %d frames of HTTP/3, the last event is %s", name, n, last)
		}
	}
}
