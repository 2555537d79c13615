package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dunlin-quic/dunlin/http3"
)

// syncBuffer collects the output of a command that still runs.
type syncBuffer struct {
	mu      sync.Mutex
	b       bytes.Buffer
	written chan struct{} // has an element after a write
}

func newSyncBuffer() *syncBuffer { return &syncBuffer{written: make(chan struct{}, 1)} }

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case b.written <- struct{}{}:
	default:
	}
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// waitFor returns the first match of a pattern in what is or will be written.
func (b *syncBuffer) waitFor(t *testing.T, pattern string) []string {
	t.Helper()
	re := regexp.MustCompile(pattern)
	limit := time.After(20 * time.Second)
	for {
		if m := re.FindStringSubmatch(b.String()); m != nil {
			return m
		}
		select {
		case <-b.written:
		case <-limit:
			t.Fatalf("%q did not appear in:\n%s", pattern, b.String())
		}
	}
}

// result is what a command line came to.
type result struct {
	status   int
	out, err string
}

// dunlin runs one command line to its end.
func dunlin(t *testing.T, stdin string, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	var out, errs bytes.Buffer
	status := run(ctx, args, streams{strings.NewReader(stdin), &out, &errs})
	return result{status, out.String(), errs.String()}
}

// mustDunlin is dunlin for what must succeed.
func mustDunlin(t *testing.T, args ...string) result {
	t.Helper()
	r := dunlin(t, "", args...)
	if r.status != 0 {
		t.Fatalf("dunlin %s: status %d\n%s", strings.Join(args, " "), r.status, r.err)
	}
	return r
}

// background is a command that runs until it is interrupted.
type background struct {
	out, err  *syncBuffer
	url       string // https://host:port/
	cacert    string
	interrupt context.CancelFunc
	status    chan int
}

// stop interrupts the command and returns its status.
func (b *background) stop(t *testing.T) int {
	t.Helper()
	b.interrupt()
	select {
	case status := <-b.status:
		b.status <- status
		return status
	case <-time.After(20 * time.Second):
		t.Fatal("an interrupt does not end the command")
		return -1
	}
}

// startServe runs "dunlin serve" on a free port of localhost, with a config folder of the test's own.
func startServe(t *testing.T, args ...string) *background {
	t.Helper()
	config := t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", config)
	t.Setenv("HOME", config)
	return startCommand(t, append([]string{"serve", "--listen", "localhost:0"}, args...)...)
}

func startCommand(t *testing.T, args ...string) *background {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	b := &background{out: newSyncBuffer(), err: newSyncBuffer(), interrupt: cancel, status: make(chan int, 1)}
	go func() { b.status <- run(ctx, args, streams{strings.NewReader(""), b.out, b.err}) }()
	t.Cleanup(func() { b.stop(t) })
	b.url = b.out.waitFor(t, `https://\S+/`)[0]
	config, err := os.UserConfigDir()
	if err != nil {
		t.Fatal(err)
	}
	b.cacert = filepath.Join(config, "dunlin", "cert.pem")
	return b
}

// startHandler serves a handler over HTTP/3 on loopback with a development certificate, and returns the URL and the
// file of the certificate.
func startHandler(t *testing.T, handler http.Handler) (url, cacert string) {
	t.Helper()
	dev, err := openDevCert(t.TempDir(), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	l, err := http3.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http3.Server{Handler: handler, TLSConfig: &tls.Config{GetCertificate: dev.get}}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	t.Cleanup(func() {
		server.Close()
		<-served
	})
	return "https://" + l.Addr().String() + "/", dev.certFile()
}

// localhostAddr is the IPv4 address of a server on loopback.
func localhostAddr(t *testing.T, url string) netip.AddrPort {
	t.Helper()
	return netip.MustParseAddrPort("127.0.0.1:" + mustParse(t, url).Port())
}
