package interop

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dunlin-quic/dunlin/http3"
	"github.com/dunlin-quic/dunlin/internal/udpproxy"
	"github.com/dunlin-quic/dunlin/quic"
)

// quic-go's programs for the QUIC interop runner know by the environment variable TESTCASE what to do, and have the paths
// and the port of the runner's containers built in. So each runs in a folder that is its root.

var buildRunnerPrograms = sync.OnceValues(func() (string, error) {
	dir, err := builtDir()
	if err != nil {
		return "", err
	}
	dir = filepath.Join(dir, "runner")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return "", err
	}
	build := exec.Command("go", "build", "-o", dir,
		"github.com/quic-go/quic-go/interop/client", "github.com/quic-go/quic-go/interop/server")
	build.Env = append(build.Environ(), "CGO_ENABLED=0") // where they run there are no libraries
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return dir, nil
})

// runnerCommand prepares the client or the server, and returns the folder that is its root.
func runnerCommand(t *testing.T, ctx context.Context, program, testCase string, args ...string) (*exec.Cmd, string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("quic-go's interop programs have paths and port 443 built in, which takes root")
	}
	dir, err := buildRunnerPrograms()
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	for _, folder := range []string{"logs", "downloads", "www", "certs"} {
		if err := os.Mkdir(filepath.Join(root, folder), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Link(filepath.Join(dir, program), filepath.Join(root, program)); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, "/"+program, args...)
	setRoot(cmd, root)
	cmd.Env = []string{"TESTCASE=" + testCase}
	return cmd, root
}

// runnerClient runs quic-go's client until it has downloaded files of these sizes, and checks them.
func runnerClient(t *testing.T, addr netip.AddrPort, testCase string, sizes ...int64) {
	t.Helper()
	var urls []string
	for _, size := range sizes {
		urls = append(urls, urlOf(addr)+strconv.FormatInt(size, 10))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	cmd, root := runnerCommand(t, ctx, "client", testCase, urls...)
	out, err := cmd.CombinedOutput()
	if testCase == "versionnegotiation" {
		// It ends with the list of versions, but expects another error message of its own library than that has.
		if want := "no compatible QUIC version found (we support [0x1a2a3a4a], server offered ["; !bytes.Contains(out, []byte(want)) {
			t.Errorf("%v\n%s", err, tail(out))
		}
		return
	}
	if err != nil {
		log, _ := os.ReadFile(filepath.Join(root, "logs", "log.txt"))
		t.Fatalf("quic-go's client: %v\n%s\n%s", err, tail(out), tail(log))
	}
	for _, size := range sizes {
		checkFile(t, filepath.Join(root, "downloads", strconv.FormatInt(size, 10)), size)
	}
}

// runnerServer runs quic-go's server until the test ends.
func runnerServer(t *testing.T, testCase string, sizes ...int64) netip.AddrPort {
	t.Helper()
	cmd, root := runnerCommand(t, context.Background(), "server", testCase)
	id := testIdentity(t)
	for from, to := range map[string]string{id.certFile: "cert.pem", id.keyFile: "priv.key"} {
		data, err := os.ReadFile(from)
		if err == nil {
			err = os.WriteFile(filepath.Join(root, "certs", to), data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, size := range sizes {
		writeContent(t, filepath.Join(root, "www", strconv.FormatInt(size, 10)), size)
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			log, _ := os.ReadFile(filepath.Join(root, "logs", "log.txt"))
			t.Logf("quic-go's server:\n%s\n%s", tail(out.Bytes()), tail(log))
		}
	})
	addr := netip.MustParseAddrPort("127.0.0.1:443")
	waitForUDP(t, addr)
	return addr
}

// upTo returns n sizes, the largest of which is last.
func upTo(last int64, n int) []int64 {
	sizes := make([]int64, n)
	for i := range sizes {
		sizes[i] = last - int64(n-1-i)
	}
	return sizes
}

// quic-go's interop client in each of its cases, and the conditions that the interop runner sets for passing.
func TestRunnerClient(t *testing.T) {
	bad := func(imp udpproxy.Impairment) udpproxy.Config {
		return udpproxy.Config{ToServer: imp, ToClient: imp, Seed: 1}
	}
	for _, tt := range []struct {
		name     string // TESTCASE, unless testCase is set
		testCase string
		address  string // default 127.0.0.1:0
		sizes    []int64
		retry    quic.RetryPolicy
		path     udpproxy.Config
		conns    int
		config   quic.Config
		rebindAt int // when that much has come from the server
		check    func(t *testing.T, conns []hqConn, seen *wiretap)
	}{
		{name: "handshake", sizes: []int64{1 << 10}, conns: 1},
		{name: "transfer", sizes: []int64{2 << 20, 3 << 20, 5 << 20}, conns: 1},
		{name: "retry", sizes: []int64{10 << 10}, retry: quic.RetryAlways, conns: 1,
			check: func(t *testing.T, _ []hqConn, seen *wiretap) {
				seen.checkRetry(t)
			}},
		{name: "keyupdate", sizes: []int64{3 << 20}, conns: 1,
			check: func(t *testing.T, conns []hqConn, _ *wiretap) {
				if conns[0].stats.KeyUpdates == 0 {
					t.Error("the keys were not updated")
				}
			}},
		{name: "chacha20", sizes: []int64{3 << 20}, conns: 1,
			check: func(t *testing.T, conns []hqConn, _ *wiretap) {
				if conns[0].tls.CipherSuite != tls.TLS_CHACHA20_POLY1305_SHA256 {
					t.Error(tls.CipherSuiteName(conns[0].tls.CipherSuite))
				}
			}},
		{name: "multiconnect", sizes: upTo(1<<10, 50), conns: 50},
		{name: "resumption", sizes: upTo(5<<10, 2), conns: 2, check: checkResumed},
		{name: "zerortt", sizes: upTo(71, 40), config: quic.Config{EarlyData: true}, conns: 2,
			check: func(t *testing.T, conns []hqConn, seen *wiretap) {
				checkResumed(t, conns, seen)
				checkEarly(t, conns[1], seen)
				if conns[1].earlyFiles == 0 {
					t.Error("no file was asked for by early data")
				}
			}},
		{name: "versionnegotiation", sizes: []int64{1 << 10},
			check: func(t *testing.T, _ []hqConn, seen *wiretap) {
				if seen.sightings().negotiations == 0 {
					t.Error("no Version Negotiation packet")
				}
			}},
		{name: "ipv6", testCase: "transfer", address: "[::1]:0", sizes: []int64{5 << 20}, conns: 1},
		{name: "rebind-port", testCase: "transfer", sizes: []int64{20 << 20}, conns: 1, rebindAt: 2 << 20,
			check: func(t *testing.T, conns []hqConn, seen *wiretap) {
				seen.checkRebound(t)
				if len(conns[0].paths) != 2 {
					t.Errorf("the paths were %v", conns[0].paths)
				}
			}},
		{name: "longrtt", testCase: "handshake", sizes: []int64{1 << 10}, conns: 1,
			path: bad(udpproxy.Impairment{Delay: 375 * time.Millisecond})},
		// The runner's simulator loses no more than three in a row.
		{name: "handshakeloss", testCase: "multiconnect", sizes: upTo(1<<10, 10), conns: 10,
			path: bad(udpproxy.Impairment{Drop: 0.3, Burst: 3, Delay: 15 * time.Millisecond})},
		{name: "handshakecorruption", testCase: "multiconnect", sizes: upTo(1<<10, 10), conns: 10,
			path: bad(udpproxy.Impairment{Corrupt: 0.3, Burst: 3, Delay: 15 * time.Millisecond})},
		{name: "transferloss", testCase: "transfer", sizes: []int64{2 << 20}, conns: 1,
			path: bad(udpproxy.Impairment{Drop: 0.02, Delay: 15 * time.Millisecond})},
		{name: "transfercorruption", testCase: "transfer", sizes: []int64{2 << 20}, conns: 1,
			path: bad(udpproxy.Impairment{Corrupt: 0.02, Delay: 15 * time.Millisecond})},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel() // they mostly wait
			l := serveHQ(t, cmp.Or(tt.address, "127.0.0.1:0"), tt.config, tt.retry)
			seen := tap(t, l.Addr(), tt.path)
			seen.rebindAt(tt.rebindAt)
			runnerClient(t, seen.addr(), cmp.Or(tt.testCase, tt.name), tt.sizes...)
			conns := l.connections(t, tt.conns)
			for _, c := range conns {
				if c.version != quic.Version1 {
					t.Errorf("version %v", c.version)
				}
			}
			if tt.check != nil {
				tt.check(t, conns, seen)
			}
		})
	}
}

// checkResumed checks that of two connections the second resumed the first one's session.
func checkResumed(t *testing.T, conns []hqConn, _ *wiretap) {
	if conns[0].tls.DidResume || !conns[1].tls.DidResume {
		t.Errorf("resumed: %v, %v", conns[0].tls.DidResume, conns[1].tls.DidResume)
	}
}

// checkEarly checks that early data was sent and taken.
func checkEarly(t *testing.T, conn hqConn, seen *wiretap) {
	t.Helper()
	if early := seen.sightings().early; conn.early != quic.EarlyDataAccepted || early == 0 {
		t.Errorf("early data: %v; 0-RTT packets: %d", conn.early, early)
	}
}

// The case http3 of quic-go's interop client.
func TestRunnerClientHTTP3(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{size}", func(w http.ResponseWriter, r *http.Request) {
		if size, err := strconv.ParseInt(r.PathValue("size"), 10, 64); err == nil {
			io.Copy(w, content(size))
		}
	})
	runnerClient(t, serveDunlin(t, mux, nil), "http3", 5<<10, 10<<10, 500<<10)
}

// Dunlin's client in each case of quic-go's interop server, which wants port 443: so not at the same time.
func TestRunnerServer(t *testing.T) {
	for _, tt := range []struct {
		name  string // TESTCASE, up to a comma
		sizes []int64
		get   func(t *testing.T, addr netip.AddrPort, sizes []int64, seen *wiretap)
	}{
		{"handshake", []int64{1 << 10}, getOnce},
		{"transfer", []int64{2 << 20, 3 << 20, 5 << 20}, getOnce},
		{"retry", []int64{10 << 10}, func(t *testing.T, addr netip.AddrPort, sizes []int64, seen *wiretap) {
			getOnce(t, addr, sizes, seen)
			seen.checkRetry(t)
		}},
		{"chacha20", []int64{3 << 20}, func(t *testing.T, addr netip.AddrPort, sizes []int64, _ *wiretap) {
			conn := getHQ(t, addr, &quic.Config{TLS: hqClientTLS(t)}, sizes...)
			if conn.tls.CipherSuite != tls.TLS_CHACHA20_POLY1305_SHA256 {
				t.Error(tls.CipherSuiteName(conn.tls.CipherSuite))
			}
		}},
		{"transfer, key update", []int64{20 << 20}, func(t *testing.T, addr netip.AddrPort, sizes []int64, _ *wiretap) {
			client := &hqClient{sizes: sizes, updateKeys: true}
			if conn := client.get(t, addr, &quic.Config{TLS: hqClientTLS(t)}); conn.stats.KeyUpdates == 0 {
				t.Error("the keys were not updated")
			}
		}},
		{"transfer, rebinding", []int64{20 << 20}, func(t *testing.T, addr netip.AddrPort, sizes []int64, seen *wiretap) {
			seen.rebindAt(2 << 20)
			getOnce(t, addr, sizes, seen)
			seen.checkRebound(t)
		}},
		{"multiconnect", upTo(1<<10, 50), func(t *testing.T, addr netip.AddrPort, sizes []int64, _ *wiretap) {
			for _, size := range sizes {
				getHQ(t, addr, &quic.Config{TLS: hqClientTLS(t)}, size)
			}
		}},
		{"resumption", upTo(5<<10, 2), func(t *testing.T, addr netip.AddrPort, sizes []int64, seen *wiretap) {
			config := &quic.Config{TLS: hqClientTLS(t)}
			config.TLS.ClientSessionCache = tls.NewLRUClientSessionCache(1)
			checkResumed(t, []hqConn{getHQ(t, addr, config, sizes[0]), getHQ(t, addr, config, sizes[1])}, seen)
		}},
		{"zerortt", upTo(71, 40), func(t *testing.T, addr netip.AddrPort, sizes []int64, seen *wiretap) {
			config := &quic.Config{TLS: hqClientTLS(t), EarlyData: true}
			config.TLS.ClientSessionCache = tls.NewLRUClientSessionCache(1)
			conns := []hqConn{getHQ(t, addr, config, sizes[0]), getHQ(t, addr, config, sizes[1:]...)}
			checkResumed(t, conns, seen)
			checkEarly(t, conns[1], seen)
		}},
		{"versionnegotiation", []int64{1 << 10}, func(t *testing.T, addr netip.AddrPort, sizes []int64, seen *wiretap) {
			conn := getHQ(t, addr, &quic.Config{TLS: hqClientTLS(t), OriginalVersion: quic.Version2}, sizes...)
			if conn.version != quic.Version2 || !seen.sightings().asked[quic.Version2] {
				t.Errorf("version %v", conn.version)
			}
		}},
		{"http3", []int64{5 << 10, 10 << 10, 500 << 10}, func(t *testing.T, addr netip.AddrPort, sizes []int64, _ *wiretap) {
			client := &http3.Transport{TLSClientConfig: &tls.Config{RootCAs: testIdentity(t).pool}, DisableCompression: true}
			defer client.Close()
			for _, size := range sizes {
				if err := getContent(t, client, addr, strconv.FormatInt(size, 10), size); err != nil {
					t.Error(err)
				}
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			testCase, _, _ := strings.Cut(tt.name, ",")
			seen := tap(t, runnerServer(t, testCase, tt.sizes...), udpproxy.Config{})
			tt.get(t, seen.addr(), tt.sizes, seen)
		})
	}
}

// Dunlin's client moves to another port in a transfer from quic-go's server.
func TestRunnerServerMigration(t *testing.T) {
	const size = 20 << 20
	migrates(t, runnerServer(t, "http3", size), fmt.Sprintf("/%d", size), size, nil)
}

func getOnce(t *testing.T, addr netip.AddrPort, sizes []int64, _ *wiretap) {
	conn := getHQ(t, addr, &quic.Config{TLS: hqClientTLS(t)}, sizes...)
	if conn.version != quic.Version1 {
		t.Errorf("version %v", conn.version)
	}
}
