package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/dunlin-quic/dunlin/engine"
	"github.com/dunlin-quic/dunlin/quic"
)

// newEchoHandler answers with what was asked.
func newEchoHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		w.Header().Set("X-Method", r.Method)
		w.Header().Set("X-Sent", r.Header.Get("X-Sent"))
		w.Header().Set("X-Host", r.Host)
		w.Write(body)
	})
	mux.HandleFunc("/part/{name}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</style.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Set("Trailer", "X-Last")
		fmt.Fprintf(w, "%s;", r.PathValue("name"))
		w.Header().Set("X-Last", "done")
	})
	mux.HandleFunc("/abort", func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "some")
		http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
	return mux
}

func TestGetRequests(t *testing.T) {
	url, cacert := startHandler(t, newEchoHandler())
	file := filepath.Join(t.TempDir(), "file.txt")
	if err := os.WriteFile(file, []byte("of a file"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name string
		args []string
		want []string // in the output with header section
	}{
		{"method", []string{"-X", "DELETE"}, []string{"x-method: DELETE\n"}},
		{"header", []string{"-H", "X-Sent: across", "-H", "Host: other.example"}, []string{"x-sent: across\n", "x-host: other.example\n"}},
		{"data", []string{"-d", "a=1", "-d", "@" + file}, []string{"x-method: POST\n", "\n\na=1&of a file"}},
		{"standard input", []string{"-d", "@-"}, []string{"\n\nof standard input"}},
		{"upload", []string{"-T", file}, []string{"x-method: PUT\n", "\n\nof a file"}},
		{"upload of a stream", []string{"-T", "-"}, []string{"x-method: PUT\n", "\n\nof standard input"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := dunlin(t, "of standard input", append(append([]string{"get", "-i", "--cacert", cacert}, test.args...), url+"echo")...)
			if r.status != 0 {
				t.Fatalf("status %d: %s", r.status, r.err)
			}
			for _, want := range append(test.want, "HTTP/3.0 200 OK\n") {
				if !strings.Contains(r.out, want) {
					t.Errorf("%q is not in\n%s", want, r.out)
				}
			}
		})
	}
}

func TestGetOutputs(t *testing.T) {
	url, cacert := startHandler(t, newEchoHandler())
	dir := t.TempDir()
	t.Chdir(dir)
	read := func(name string) string {
		content, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return err.Error()
		}
		return string(content)
	}
	var many []string
	var want strings.Builder
	for i := range 50 {
		many = append(many, fmt.Sprintf("%spart/%d", url, i))
		fmt.Fprintf(&want, "%d;", i)
	}
	if got := mustDunlin(t, append([]string{"get", "--cacert", cacert}, many...)...).out; got != want.String() {
		t.Errorf("50 URLs: got %q, want them in order", got)
	}
	if got := mustDunlin(t, "get", "--cacert", cacert, "-O", url+"part/one", url+"part/two?q").out; got != "" || read("one")+read("two") != "one;two;" {
		t.Errorf("-O: got %q, files %q and %q", got, read("one"), read("two"))
	}
	got := mustDunlin(t, "get", "--cacert", cacert, "-o", "first", "-o", "-", url+"part/1", url+"part/2", url+"part/3").out
	if got != "2;3;" || read("first") != "1;" {
		t.Errorf("-o first -o -: got %q, file %q", got, read("first"))
	}
	r := dunlin(t, "", "get", "--cacert", cacert, "-o", filepath.Join(dir, "none", "file"), url+"part/1")
	if r.status != statusWrite || strings.Count(r.err, "\n") != 1 {
		t.Errorf("a file that can't be written: status %d, %q", r.status, r.err)
	}
}

func TestGetResolve(t *testing.T) {
	url, cacert := startHandler(t, newEchoHandler())
	port := mustParse(t, url).Port()
	if got := mustDunlin(t, "get", "--cacert", cacert, "--resolve", "localhost:"+port+":127.0.0.1", "https://localhost:"+port+"/part/x").out; got != "x;" {
		t.Errorf("got %q", got)
	}
	r := dunlin(t, "", "get", "--cacert", cacert, "--resolve", "elsewhere.example:"+port+":127.0.0.1", "https://elsewhere.example:"+port+"/part/x")
	if r.status != statusCertificate || !strings.Contains(r.err, "it is for localhost, 127.0.0.1, ::1, not for elsewhere.example") {
		t.Errorf("a name that the certificate lacks: status %d, %q", r.status, r.err)
	}
	if got := mustDunlin(t, "get", "-k", "--resolve", "elsewhere.example:"+port+":127.0.0.1", "https://elsewhere.example:"+port+"/part/x").out; got != "x;" {
		t.Errorf("-k: got %q", got)
	}
}

func TestGetVerboseAndStats(t *testing.T) {
	url, cacert := startHandler(t, newEchoHandler())
	r := mustDunlin(t, "get", "-v", "--stats", "--cacert", cacert, url+"part/x")
	for _, want := range []string{
		`(?m)^\* Connected to 127\.0\.0\.1:\d+ \(127\.0\.0\.1:\d+\) from \S+$`,
		`(?m)^\* QUIC version 1, TLS 1\.3, TLS_\S+, X25519\S*, ALPN h3$`,
		`(?m)^\* Certificate: subject "CN=Dunlin development certificate", `,
		`(?m)^\* The certificate verifies$`,
		`(?m)^> GET /part/x HTTP/3\.0$`,
		`(?m)^> user-agent: dunlin/`,
		`(?m)^< HTTP/3\.0 103 Early Hints$`,
		`(?m)^< link: </style\.css>; rel=preload$`,
		`(?m)^< HTTP/3\.0 200 OK$`,
		`(?m)^< x-last: done$`,
		`(?m)^https://\S+/part/x: status 200, 2 B in \S+s, `,
		`(?m)^  handshake \S+s, first byte after \S+s, RTT \S+s \(least \S+s\), packets sent \d+, received \d+, lost \d+, of up to \d+ bytes$`,
	} {
		if !regexp.MustCompile(want).MatchString(r.err) {
			t.Errorf("%s does not match\n%s", want, r.err)
		}
	}
	if r.out != "x;" {
		t.Errorf("standard output is %q", r.out)
	}
}

func TestGetFailures(t *testing.T) {
	url, cacert := startHandler(t, newEchoHandler())

	free, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refused := "https://" + free.LocalAddr().String() + "/"
	free.Close()

	silent, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()

	expired, err := openDevCert("", func() time.Time { return time.Now().Add(-20 * 24 * time.Hour) })
	if err != nil {
		t.Fatal(err)
	}
	late := startQUIC(t, "h3", expired.current)
	expiredFile := filepath.Join(t.TempDir(), "expired.pem")
	writeCert(t, expiredFile, expired.current.Leaf)

	dev, err := openDevCert(t.TempDir(), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	other := startQUIC(t, "other", dev.current)

	for _, test := range []struct {
		name   string
		args   []string
		status int
		text   string
	}{
		{"no such host", []string{"https://name.invalid/"}, statusResolve, "name.invalid"},
		{"refused", []string{refused}, statusConnect, "connection refused"},
		{"timed out", []string{"--connect-timeout", "200ms", "https://" + silent.LocalAddr().String() + "/"}, statusTimeout, "timed out"},
		{"unknown authority", []string{url + "part/x"}, statusCertificate, "unknown authority"},
		{"expired", []string{"--cacert", expiredFile, late}, statusCertificate, "expired"},
		{"wrong ALPN", []string{"--cacert", dev.certFile(), other}, statusTLS, "ALPN"},
		{"reset", []string{"--cacert", cacert, url + "abort"}, statusReset, "H3_INTERNAL_ERROR"},
		{"usage", []string{"http://localhost/"}, statusUsage, "https"},
		{"a file that is not there", []string{"--cacert", "none", url}, 1, "none"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := dunlin(t, "", append([]string{"get"}, test.args...)...)
			lines := strings.Split(strings.TrimSuffix(r.err, "\n"), "\n")
			if test.status == statusUsage {
				lines = lines[:1] // the second says where to find help
			}
			if r.status != test.status || len(lines) != 1 || !strings.HasPrefix(lines[0], "dunlin: ") || !strings.Contains(lines[0], test.text) {
				t.Errorf("status %d, %q; want %d and one line with %q", r.status, r.err, test.status, test.text)
			}
		})
	}
}

// Bodies that wait for their turn must not use up the flow-control credit of the one in turn, even if there is more of
// them than any window.
func TestGetManyLarge(t *testing.T) {
	const size = 2 << 20
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	url, cacert := startHandler(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Write(bytes.Repeat([]byte(r.URL.Path[1:]), size))
	}))
	args := []string{"get", "--cacert", cacert}
	var want strings.Builder
	for _, name := range strings.Split("abcdefghijkl", "") {
		args = append(args, url+name)
		want.WriteString(strings.Repeat(name, size))
	}
	if got := mustDunlin(t, args...).out; got != want.String() {
		t.Errorf("%d bytes, want %d in order", len(got), want.Len())
	}
	if left, err := filepath.Glob(filepath.Join(temp, "dunlin-get-*")); err != nil || len(left) > 0 {
		t.Errorf("temporary files are left: %v, %v", left, err)
	}
}

// One failure among several URLs does not stop the others, nor change their order: the last answer is there before the
// first.
func TestGetPartialFailure(t *testing.T) {
	last := make(chan struct{})
	url, cacert := startHandler(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/last" {
			io.WriteString(w, "last")
			close(last)
			return
		}
		<-last
		io.WriteString(w, "first ")
	}))
	r := dunlin(t, "", "get", "--cacert", cacert, url+"first", "https://name.invalid/", url+"last")
	if r.status != statusResolve || r.out != "first last" || strings.Count(r.err, "\n") != 1 {
		t.Errorf("status %d, output %q, %q", r.status, r.out, r.err)
	}
}

func TestGetInterrupted(t *testing.T) {
	arrived := make(chan struct{})
	url, cacert := startHandler(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-r.Context().Done()
	}))
	ctx, interrupt := context.WithCancel(context.Background())
	go func() {
		<-arrived
		interrupt()
	}()
	var errs bytes.Buffer
	status := run(ctx, []string{"get", "--cacert", cacert, url}, streams{nil, io.Discard, &errs})
	if status != statusInterrupted || !strings.Contains(errs.String(), "interrupted") {
		t.Errorf("status %d, %q", status, errs.String())
	}
}

// startQUIC listens for QUIC with one ALPN protocol and no use for connections, and returns its URL.
func startQUIC(t *testing.T, protocol string, cert *tls.Certificate) string {
	t.Helper()
	l, err := engine.Listen(&engine.ListenConfig{
		QUIC: &quic.Config{TLS: &tls.Config{Certificates: []tls.Certificate{*cert}, NextProtos: []string{protocol}}},
		NewApplication: func(engine.ConnInfo) (engine.ApplicationOverQUIC, error) {
			return engine.Base{}, nil
		},
	}, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return "https://" + netip.AddrPort(l.Addr()).String() + "/"
}

func writeCert(t *testing.T, name string, cert *x509.Certificate) {
	t.Helper()
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})
	if err := os.WriteFile(name, block, 0o600); err != nil {
		t.Fatal(err)
	}
}
