package interop

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/dunlin-quic/dunlin/engine"
	"github.com/dunlin-quic/dunlin/internal/udpproxy"
	"github.com/dunlin-quic/dunlin/quic"
)

const aioquicExamples = "/usr/share/doc/python-aioquic-doc/examples"

// aioquic's client and Dunlin's server.
func TestDebian13AioquicClient(t *testing.T) {
	for _, tt := range []struct {
		name  string
		args  []string
		sizes []int64
		retry quic.RetryPolicy
		check func(t *testing.T, server *observed, seen sightings)
	}{
		{name: "download", sizes: []int64{5e6}},
		{name: "50 requests", sizes: upTo(10_000, 50)},
		{name: "Retry", sizes: []int64{1e5}, retry: quic.RetryAlways},
		{name: "version 2", args: []string{"--negotiate-v2"}, sizes: []int64{1e5},
			check: func(t *testing.T, _ *observed, seen sightings) {
				if !seen.asked[quic.Version1] || !seen.answered[quic.Version2] || seen.negotiations > 0 {
					t.Errorf("%+v", seen)
				}
			}},
		{name: "AES-256-GCM", args: []string{"--cipher-suites=AES_256_GCM_SHA384"}, sizes: []int64{1e5},
			check: wantCipher(tls.TLS_AES_256_GCM_SHA384)},
		{name: "ChaCha20-Poly1305", args: []string{"--cipher-suites=CHACHA20_POLY1305_SHA256"}, sizes: []int64{1e5},
			check: wantCipher(tls.TLS_CHACHA20_POLY1305_SHA256)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			j := newJail(t)
			server := observe(t, newHandler(), nil, tt.retry)
			seen := tap(t, server.addr, udpproxy.Config{})
			j.aioquicClient(t, seen.addr(), tt.sizes, tt.args...)
			if tt.retry == quic.RetryAlways {
				seen.checkRetry(t)
			}
			if tt.check != nil {
				tt.check(t, server, seen.sightings())
			}
			if n := len(server.stats()); n != 1 {
				t.Errorf("%d connections", n)
			}
		})
	}
}

// wantCipher returns a check that all requests came protected by one cipher suite.
func wantCipher(id uint16) func(*testing.T, *observed, sightings) {
	return func(t *testing.T, server *observed, _ sightings) {
		server.mu.Lock()
		defer server.mu.Unlock()
		for _, r := range server.requests {
			if r.cipher != id {
				t.Error(tls.CipherSuiteName(r.cipher))
			}
		}
	}
}

// aioquicClient downloads that much of content, at the same time, checks it and returns the client's log.
func (j *jail) aioquicClient(t *testing.T, addr netip.AddrPort, sizes []int64, args ...string) string {
	t.Helper()
	args = append([]string{aioquicExamples + "/http3_client.py", "--ca-certs=" + j.cert(), "--output-dir=" + j.folder}, args...)
	for _, size := range sizes {
		args = append(args, contentURL(addr, size))
	}
	out := j.run(t, "/usr/bin/python3", args...)
	for _, size := range sizes {
		checkFile(t, j.outside(strconv.FormatInt(size, 10)), size)
	}
	return string(out)
}

// A second connection of aioquic's client asks by early data.
func TestDebian13AioquicClientReturns(t *testing.T) {
	j := newJail(t)
	server := observe(t, newHandler(), &quic.Config{EarlyData: true}, quic.RetryUnderLoad)
	seen := tap(t, server.addr, udpproxy.Config{})
	ticket := "--session-ticket=" + j.inside("ticket")
	j.aioquicClient(t, seen.addr(), []int64{1e5}, ticket)
	if first := seen.sightings(); first.early != 0 {
		t.Errorf("on the first connection: %+v", first)
	}
	j.aioquicClient(t, seen.addr(), []int64{1e5}, ticket, "--zero-rtt")
	if both := seen.sightings(); both.early == 0 || server.resumptions() != 1 {
		t.Errorf("on both connections: %+v; %d resumptions", both, server.resumptions())
	}
}

// aioquic's client sends a form.
func TestDebian13AioquicClientPost(t *testing.T) {
	j := newJail(t)
	body := strings.Repeat("0123456789", 1000)
	addr := serveDunlin(t, newHandler(), nil)
	j.run(t, "/usr/bin/python3", aioquicExamples+"/http3_client.py", "--ca-certs="+j.cert(), "--output-dir="+j.folder,
		"-d", body, urlOf(addr)+"upload")
	got, err := os.ReadFile(j.outside("upload"))
	if want := fmt.Sprintf("%d %s", len(body), sumOf(strings.NewReader(body))); err != nil || string(got) != want {
		t.Errorf("%q, %v; want %q", got, err, want)
	}
}

// aioquic's own suite of tests of servers, which says what the server passed by letters.
func TestDebian13AioquicSuite(t *testing.T) {
	j := newJail(t)
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { w.Write([]byte("hello\n")) })
	config := &quic.Config{EarlyData: true}
	plain := observe(t, mux, config, quic.RetryUnderLoad).addr
	retry := observe(t, mux, config, quic.RetryAlways).addr
	out := j.run(t, "/usr/bin/python3", "-c", fmt.Sprintf(`
import asyncio, ssl, interop
tests = [(name, test) for name, test in vars(interop).items()
    if name.startswith("test_") and name not in ("test_http_0", "test_throughput")]
server = interop.Server("dunlin", "127.0.0.1", port=%d, retry_port=%d, verify_mode=ssl.CERT_NONE)
asyncio.run(interop.main([server], tests))
`, plain.Port(), retry.Port()))
	result := regexp.MustCompile(`(?m)^dunlin\s+(.*)$`).FindSubmatch(out)
	if result == nil {
		t.Fatalf("no result:\n%s", tail(out))
	}
	// Not expected: the spin bit (P), which Dunlin leaves alone; push (p), which it does not do; structured logs on a web page
	// (L); a comparison with TCP (T). And entries of QPACK's dynamic table in use (d): Dunlin's encoder refers to those only that
	// the decoder says to have, and aioquic's, which sends no Insert Count Increment, says so only of those referred to.
	for _, letter := range "VHDCRZSQMBAU3" {
		if !bytes.ContainsRune(result[1], letter) {
			t.Errorf("the result is %s, without %c", result[1], letter)
		}
	}
	if t.Failed() {
		t.Logf("%s", out)
	}
}

// aioquicApp answers as newHandler does, with files of its folder.
const aioquicApp = `
import hashlib, os

async def app(scope, receive, send):
    body, size, more = hashlib.sha256(), 0, True
    while more:
        message = await receive()
        part = message.get("body", b"")
        body.update(part)
        size += len(part)
        more = message.get("more_body", False)
    if scope["path"].startswith("/content"):
        with open(os.path.join(os.path.dirname(__file__), os.path.basename(scope["path"])), "rb") as file:
            answer = file.read()
    else:
        answer = f"{size} {body.hexdigest()}".encode()
    headers = [(b"content-length", str(len(answer)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer, "more_body": False})
`

// aioquicServer runs aioquic's server, with files of these sizes, until the test ends.
func (j *jail) aioquicServer(t *testing.T, sizes []int64, args ...string) netip.AddrPort {
	t.Helper()
	for _, size := range sizes {
		writeContent(t, j.outside(strconv.FormatInt(size, 10)), size)
	}
	if err := os.WriteFile(j.outside("aioquicapp.py"), []byte(aioquicApp), 0o644); err != nil {
		t.Fatal(err)
	}
	addr := freeAddr(t)
	args = append([]string{aioquicExamples + "/http3_server.py", "-c", j.cert(), "-k", j.key(), "--host=127.0.0.1", "--port=" + portOf(addr)}, args...)
	j.start(t, addr, "/usr/bin/python3", append(args, "aioquicapp:app")...)
	return addr
}

// net/http's way with aioquic's server.
func TestDebian13AioquicServer(t *testing.T) {
	j := newJail(t)
	base := urlOf(j.aioquicServer(t, []int64{1000, 5e6}))
	client := newDunlinClient(t)
	download(t, client, base, 5e6)
	upload(t, client, base, 5e6)
	var running sync.WaitGroup
	for range 100 {
		running.Go(func() { download(t, client, base, 1000) })
	}
	running.Wait()
}

// Dunlin's client and aioquic's server, case by case.
func TestDebian13AioquicServerCases(t *testing.T) {
	const size = 3e6
	wantVersion := func(asked, want quic.Version) func(*testing.T, *driven, *wiretap) {
		return wantVersion(size, asked, want)
	}
	for _, tt := range []struct {
		name   string
		args   []string
		config quic.Config
		use    func(t *testing.T, client *driven, seen *wiretap)
	}{
		{name: "version 2 alone", config: quic.Config{Versions: []quic.Version{quic.Version2}}, use: wantVersion(quic.Version2, quic.Version2)},
		{name: "from version 1 to version 2", use: wantVersion(quic.Version1, quic.Version2),
			config: quic.Config{Versions: []quic.Version{quic.Version2, quic.Version1}, OriginalVersion: quic.Version1}},
		{name: "from version 2 to version 1", use: wantVersion(quic.Version2, quic.Version1),
			config: quic.Config{OriginalVersion: quic.Version2}},
		{name: "Retry", args: []string{"--retry"}, use: func(t *testing.T, client *driven, seen *wiretap) {
			client.get(t, "/content", size, nil)
			seen.checkRetry(t)
		}},
		{name: "key update", use: func(t *testing.T, client *driven, _ *wiretap) {
			client.get(t, "/content", size, func() { client.updateKeys(t) })
		}},
		{name: "NAT rebinding", use: func(t *testing.T, client *driven, seen *wiretap) {
			client.get(t, "/content", size, seen.relay.Rebind)
			if client.Stats().PathChallengesReceived == 0 {
				t.Error("the server has not validated the new path")
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			j := newJail(t)
			addr := j.aioquicServer(t, nil, tt.args...)
			writeContent(t, j.outside("content"), size)
			seen := tap(t, addr, udpproxy.Config{})
			tt.config.TLS = &tls.Config{RootCAs: testIdentity(t).pool}
			tt.use(t, drive(t, seen.addr(), &tt.config), seen)
		})
	}
}

// Dunlin's client would move to another port in a transfer, but aioquic's server answers a PATH_CHALLENGE on the path that it
// uses only, and not, as RFC 9000, Section 8.2.2 wants, on the one that it came by: so the connection stays where it is.
func TestDebian13AioquicServerMigration(t *testing.T) {
	migrates(t, newJail(t).aioquicServer(t, []int64{5e6}), "/content/5000000", 5e6, engine.ErrPathFailed)
}

// A second connection of Dunlin's client to aioquic's server asks by early data.
func TestDebian13AioquicServerReturns(t *testing.T) {
	j := newJail(t)
	seen := tap(t, j.aioquicServer(t, []int64{1e5}), udpproxy.Config{})
	returns(t, seen, "/content/100000", 1e5)
}
