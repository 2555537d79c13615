package interop

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"
)

// ciphers restricts gtlsclient and gtlsserver to one AEAD, which crypto/tls can't be made to do.
func ciphers(name string) string {
	return "--ciphers=NORMAL:-VERS-ALL:+VERS-TLS1.3:-CIPHER-ALL:+" + name
}

// ngtcp2's client fetches from Dunlin's server.
func TestGtlsclient(t *testing.T) {
	gtlsclient := need(t, "gtlsclient")
	const size = 5_000_000
	for _, test := range []struct {
		name string
		args []string
		log  string // a pattern in the client's log
	}{
		{"plain", nil, ""},
		{"AES-256-GCM", []string{ciphers("AES-256-GCM")}, "Negotiated cipher suite is AES-256-GCM"},
		{"ChaCha20-Poly1305", []string{ciphers("CHACHA20-POLY1305")}, "Negotiated cipher suite is CHACHA20-POLY1305"},
		{"P-256", []string{"--groups=-GROUP-ALL:+GROUP-SECP256R1"}, ""},
		{"key update", []string{"--key-update=1ms"}, `pkt rx pkn=\d+ dcid=\S+ type=1RTT k=1`},
		{"version negotiation", []string{"--version=0x0a1a2a3a", "--preferred-versions=v1"}, `pkt rx .* type=VN`},
		{"loss", []string{"-t", "0.03", "-r", "0.03"}, ""},
		{"empty connection ID", []string{"--scid="}, ""},
		{"20 requests", []string{"-n", "20"}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			addr := serveDunlin(t, newHandler(), nil)
			dir := t.TempDir()
			ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
			defer cancel()
			args := append([]string{"--exit-on-all-streams-close", "--no-quic-dump", "--no-http-dump", "--download=" + dir}, test.args...)
			port := portOf(addr)
			args = append(args, "127.0.0.1", port, fmt.Sprintf("https://127.0.0.1:%s/content/%d", port, int(size)))
			out, err := exec.CommandContext(ctx, gtlsclient, args...).CombinedOutput()
			if err != nil {
				t.Fatalf("gtlsclient: %v\n%s", err, tail(out))
			}
			checkFile(t, filepath.Join(dir, strconv.Itoa(size)), size)
			if !regexp.MustCompile(test.log).Match(out) {
				t.Errorf("%s does not match gtlsclient's log:\n%s", test.log, tail(out))
			}
		})
	}
}

// ngtcp2's client sends a file to Dunlin's server.
func TestGtlsclientUpload(t *testing.T) {
	gtlsclient := need(t, "gtlsclient")
	const size = 5e6
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	writeContent(t, file, size)
	seen := make(chan string, 1)
	addr := serveDunlin(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen <- r.Method + " " + sumOf(r.Body)
	}), nil)
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	port := portOf(addr)
	out, err := exec.CommandContext(ctx, gtlsclient, "--exit-on-all-streams-close", "-q", "-m", "POST", "-d", file,
		"127.0.0.1", port, "https://127.0.0.1:"+port+"/").CombinedOutput()
	if err != nil {
		t.Fatalf("gtlsclient: %v\n%s", err, tail(out))
	}
	select {
	case got := <-seen:
		if want := "POST " + contentSum(size); got != want {
			t.Errorf("the server saw %q, want %q", got, want)
		}
	default:
		t.Error("the server saw no request")
	}
}

// Dunlin's client fetches from ngtcp2's server.
func TestGtlsserver(t *testing.T) {
	gtlsserver := need(t, "gtlsserver")
	const size = 5e6
	docs := t.TempDir()
	writeContent(t, filepath.Join(docs, "content"), size)
	for _, test := range []struct {
		name string
		args []string
	}{
		{"plain", nil},
		{"Retry", []string{"--validate-addr"}},
		{"AES-256-GCM", []string{ciphers("AES-256-GCM")}},
		{"ChaCha20-Poly1305", []string{ciphers("CHACHA20-POLY1305")}},
		{"P-256", []string{"--groups=-GROUP-ALL:+GROUP-SECP256R1"}},
		{"loss", []string{"-t", "0.03", "-r", "0.03"}},
		{"trailers", []string{"--send-trailers"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			addr := startGtlsserver(t, gtlsserver, docs, test.args...)
			client := newDunlinClient(t)
			resp, err := roundTrip(t.Context(), client, http.MethodGet, urlOf(addr)+"content", nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if got := sumOf(resp.Body); got != contentSum(size) {
				t.Errorf("SHA-256 %s, want %s", got, contentSum(size))
			}
			post, err := roundTrip(t.Context(), client, http.MethodPost, urlOf(addr)+"content", content(1e6), 1e6)
			if err != nil {
				t.Fatal(err)
			}
			defer post.Body.Close()
			if got := sumOf(post.Body); got != contentSum(size) {
				t.Errorf("after an upload: SHA-256 %s, want %s", got, contentSum(size))
			}
		})
	}
}

// The command against ngtcp2's server.
func TestGetFromGtlsserver(t *testing.T) {
	gtlsserver := need(t, "gtlsserver")
	const size = 5e6
	docs := t.TempDir()
	writeContent(t, filepath.Join(docs, "content"), size)
	addr := startGtlsserver(t, gtlsserver, docs)
	file := filepath.Join(t.TempDir(), "file")
	out, err := exec.Command(command(t), "get", "--cacert", testIdentity(t).certFile, "-o", file, urlOf(addr)+"content").CombinedOutput()
	if err != nil {
		t.Fatalf("dunlin get: %v\n%s", err, out)
	}
	checkFile(t, file, size)
}

// startGtlsserver runs gtlsserver on a free port until the test ends.
func startGtlsserver(t *testing.T, program, docs string, args ...string) netip.AddrPort {
	t.Helper()
	addr := freeAddr(t)
	id := testIdentity(t)
	args = append(append([]string{"-q", "-d", docs}, args...), "127.0.0.1", portOf(addr), id.keyFile, id.certFile)
	startServer(t, addr, exec.Command(program, args...))
	return addr
}

// waitForUDP waits until something listens on a port of loopback: until then, datagrams are refused.
func waitForUDP(t *testing.T, addr netip.AddrPort) {
	t.Helper()
	for limit := time.Now().Add(10 * time.Second); time.Now().Before(limit); {
		probe, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(addr))
		if err != nil {
			t.Fatal(err)
		}
		probe.Write([]byte{0})
		probe.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		_, err = probe.Read(make([]byte, 1))
		probe.Close()
		if err != nil && os.IsTimeout(err) {
			return // neither refused nor answered
		}
	}
	t.Fatalf("nothing listens on %s", addr)
}

func writeContent(t *testing.T, file string, size int64) {
	t.Helper()
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.ReadFrom(content(size)); err != nil {
		t.Fatal(err)
	}
}

func checkFile(t *testing.T, file string, size int64) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if got := sumOf(f); got != contentSum(size) {
		t.Errorf("%s: SHA-256 %s, want %s", file, got, contentSum(size))
	}
}

// tail is the end of a peer's log.
func tail(log []byte) []byte { return log[max(0, len(log)-4000):] }
