package interop

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/dunlin-quic/dunlin/internal/udpproxy"
	"github.com/dunlin-quic/dunlin/quic"
)

// curl 8.14, whose QUIC is OpenSSL's, and Dunlin's server.
func TestDebian13Curl(t *testing.T) {
	j := newJail(t)
	server := observe(t, newHandler(), nil, quic.RetryAlways)
	seen := tap(t, server.addr, udpproxy.Config{})
	base := urlOf(seen.addr())
	// Of a hundred of its connections, one or so stalls after the handshake, more on a busy machine: it sends neither its control
	// stream nor the request. That is curl's (see docs/INTEROP.md), and another curl is asked then.
	curl := func(t *testing.T, args ...string) string {
		t.Helper()
		args = append([]string{"--http3-only", "-sS", "--fail", "--fail-early", "--cacert", j.cert(), "--speed-limit", "1", "--speed-time", "3"}, args...)
		for attempt := 1; ; attempt++ {
			out, err := j.command(t.Context(), "/usr/bin/curl", args...).CombinedOutput()
			if err == nil {
				return string(out)
			}
			if attempt == 5 || !bytes.Contains(out, []byte("Operation too slow")) {
				t.Fatalf("curl %v: %v\n%s", args, err, tail(out))
			}
			t.Logf("curl has stalled: %s", out)
		}
	}
	for _, size := range []int64{0, 1, 1200, 65536, 1e6, large} {
		t.Run(fmt.Sprintf("GET %d", size), func(t *testing.T) {
			if got := curl(t, "-o", j.inside("down"), "-w", "%{http_version} %{http_code}", fmt.Sprintf("%scontent/%d", base, size)); got != "3 200" {
				t.Errorf("curl says %q", got)
			}
			checkFile(t, j.outside("down"), size)
		})
		t.Run(fmt.Sprintf("PUT %d", size), func(t *testing.T) {
			writeContent(t, j.outside("up"), size)
			if got, want := curl(t, "-T", j.inside("up"), base+"upload"), fmt.Sprintf("%d %s", size, contentSum(size)); got != want {
				t.Errorf("the server saw %q, want %q", got, want)
			}
		})
	}
	t.Run("HEAD", func(t *testing.T) {
		if got := curl(t, "-I", base+"content/12345"); !strings.HasPrefix(got, "HTTP/3 200") || !strings.Contains(got, "content-length: 12345") {
			t.Errorf("curl shows %q", got)
		}
	})
	t.Run("POST", func(t *testing.T) {
		if got, want := curl(t, "-d", "a=b", base+"upload"), "3 "+sumOf(strings.NewReader("a=b")); got != want {
			t.Errorf("the server saw %q, want %q", got, want)
		}
	})
	t.Run("100 on one connection", func(t *testing.T) {
		curl(t, "-o", j.inside("many-#1"), base+"content/[1000-1099]")
		for size := range int64(100) {
			checkFile(t, j.outside(fmt.Sprintf("many-%d", 1000+size)), 1000+size)
		}
	})
	t.Run("100 at the same time", func(t *testing.T) {
		curl(t, "--parallel", "--parallel-max", "100", "-o", j.inside("parallel-#1"), base+"content/[2000-2099]")
		for size := range int64(100) {
			checkFile(t, j.outside(fmt.Sprintf("parallel-%d", 2000+size)), 2000+size)
		}
	})
	seen.checkRetry(t)
}

// OpenSSL's own client gets as far as it can without an HTTP/3 of its own.
func TestDebian13OpenSSL(t *testing.T) {
	j := newJail(t)
	out := j.run(t, "/usr/bin/openssl", "s_client", "-quic", "-alpn", "h3", "-connect", serveDunlin(t, newHandler(), nil).String(),
		"-CAfile", j.cert(), "-verify_return_error", "-servername", "localhost")
	for _, want := range []string{"Protocol: QUICv1", "ALPN protocol: h3", "Verify return code: 0 (ok)"} {
		if !bytes.Contains(out, []byte(want)) {
			t.Errorf("openssl does not say %q:\n%s", want, tail(out))
		}
	}
}

// nginx 1.26 and Dunlin's client.
func TestDebian13Nginx(t *testing.T) {
	j := newJail(t)
	addr := freeAddr(t)
	if err := os.Mkdir(j.outside("content"), 0o777); err != nil {
		t.Fatal(err)
	}
	for _, size := range []int64{1000, 1e6, large} {
		writeContent(t, j.outside(fmt.Sprintf("content/%d", size)), size)
	}
	config := fmt.Sprintf(`
daemon off;
master_process off;
pid nginx.pid;
user root;
error_log stderr;
events {}
http {
	access_log off;
	server {
		listen %s quic reuseport;
		http3 on;
		quic_retry on;
		ssl_certificate cert.pem;
		ssl_certificate_key key.pem;

		keepalive_requests 10000;
		client_max_body_size 0;
		root .;
		location /put/ { dav_methods PUT; create_full_put_path on; }
	}
}`, addr)
	if err := os.WriteFile(j.outside("nginx.conf"), []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	j.start(t, addr, "/usr/sbin/nginx", "-p", j.folder, "-c", j.inside("nginx.conf"), "-e", "stderr")
	seen := tap(t, addr, udpproxy.Config{})
	base := urlOf(seen.addr())
	client := newDunlinClient(t)
	t.Run("GET", func(t *testing.T) { download(t, client, base, large) })
	t.Run("PUT", func(t *testing.T) {
		req := mustRequest(t, http.MethodPut, base+"put/file")
		req.Body, req.ContentLength = io.NopCloser(content(large)), large
		resp, err := client.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusCreated {
			t.Error(resp.Status)
		}
		checkFile(t, j.outside("put/file"), large)
	})
	t.Run("HEAD", func(t *testing.T) {
		resp, err := client.RoundTrip(mustRequest(t, http.MethodHead, base+"content/1000000"))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK || resp.ContentLength != 1e6 {
			t.Errorf("%s, %d bytes", resp.Status, resp.ContentLength)
		}
	})
	t.Run("1,000 requests, 100 at a time", func(t *testing.T) {
		var running sync.WaitGroup
		for range 100 {
			running.Go(func() {
				for range 10 {
					download(t, client, base, 1000)
				}
			})
		}
		running.Wait()
	})
	seen.checkRetry(t)
	t.Run("key update", func(t *testing.T) {
		client := drive(t, seen.addr(), &quic.Config{TLS: &tls.Config{RootCAs: testIdentity(t).pool}})
		client.get(t, "/content/100000000", large, func() { client.updateKeys(t) })
	})
	t.Run("NAT rebinding", func(t *testing.T) {
		client := drive(t, seen.addr(), &quic.Config{TLS: &tls.Config{RootCAs: testIdentity(t).pool}})
		client.get(t, "/content/100000000", large, seen.relay.Rebind)
		if client.Stats().PathChallengesReceived == 0 {
			t.Error("the server has not validated the new path")
		}
	})
	t.Run("migration", func(t *testing.T) { migrates(t, addr, "/content/100000000", large, nil) })
}
