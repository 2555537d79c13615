package main

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/dunlin-quic/dunlin/http3"
)

func TestDemoOnce(t *testing.T) {
	config := t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", config)
	t.Setenv("HOME", config)
	r := mustDunlin(t, "demo", "--once")
	for _, want := range []string{
		`(?m)^server  https://localhost:\d+/$`,
		`(?m)^client  the page: HTTP/3\.0, 200 OK, \d+ B in \S+s, of which \S+s for the handshake$`,
		`(?m)^client  60 pictures at once: \S+ kB in \S+s over 1 connection$`,
		`(?m)^client  a download: 67\.1 MB in \S+s, \S+ .bit/s, the SHA-256 fits$`,
		`(?m)^client  RTT `,
	} {
		if !regexp.MustCompile(want).MatchString(r.out) {
			t.Errorf("%s does not match\n%s", want, r.out)
		}
	}
}

func TestDemoServesUntilInterrupted(t *testing.T) {
	config := t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", config)
	t.Setenv("HOME", config)
	d := startCommand(t, "demo")
	d.out.waitFor(t, "Interrupt")
	dev, err := openDevCert(strings.TrimSuffix(d.cacert, "cert.pem"), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http3.Transport{TLSClientConfig: &tls.Config{RootCAs: dev.pool()}}
	defer transport.Close()
	resp, err := (&http.Client{Transport: transport}).Get(d.url + "flock.js")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 200 {
		t.Errorf("status %d", resp.StatusCode)
	}
	if status := d.stop(t); status != 0 {
		t.Errorf("status %d\n%s", status, d.err)
	}
}

func TestDemoHandler(t *testing.T) {
	handler := newDemoHandler()
	for _, test := range []struct {
		target      string
		status      int
		contentType string
		size        int // -1 is not checked
	}{
		{"/", 200, "text/html; charset=utf-8", -1},
		{"/style.css", 200, "text/css; charset=utf-8", -1},
		{"/flock.js", 200, "text/javascript; charset=utf-8", -1},
		{"/pictures/0.svg", 200, "image/svg+xml", -1},
		{"/pictures/59.svg", 200, "image/svg+xml", -1},
		{"/pictures/60.svg", 404, "text/plain; charset=utf-8", -1},
		{"/pictures/-1.svg", 404, "text/plain; charset=utf-8", -1},
		{"/pictures/1.png", 404, "text/plain; charset=utf-8", -1},
		{"/download?bytes=100000", 200, "application/octet-stream", 100000},
		{"/download?bytes=0", 200, "application/octet-stream", 0},
		{"/download?bytes=-1", 400, "text/plain; charset=utf-8", -1},
		{"/download?bytes=99999999999", 400, "text/plain; charset=utf-8", -1},
		{"/download", 400, "text/plain; charset=utf-8", -1},
	} {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest("GET", "https://localhost"+test.target, nil))
		if got := w.Header().Get("Content-Type"); w.Code != test.status || got != test.contentType {
			t.Errorf("%s: status %d, %s; want %d, %s", test.target, w.Code, got, test.status, test.contentType)
		}
		if test.size >= 0 && w.Body.Len() != test.size {
			t.Errorf("%s: %d bytes, want %d", test.target, w.Body.Len(), test.size)
		}
	}
}
