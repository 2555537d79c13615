package interop

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dunlin-quic/dunlin/http3"
	peerhttp3 "github.com/quic-go/quic-go/http3"
)

// victimEnv makes this test binary a client that transfers until it is killed: "dunlin URL" or "quic-go URL".
const victimEnv = "DUNLIN_VICTIM"

// runVictim downloads and uploads without end.
func runVictim() {
	var kind, base, certFile string
	if _, err := fmt.Sscan(os.Getenv(victimEnv), &kind, &base, &certFile); err != nil {
		panic(err)
	}
	pem, err := os.ReadFile(certFile)
	if err != nil {
		panic(err)
	}
	config := &tls.Config{RootCAs: x509.NewCertPool()}
	config.RootCAs.AppendCertsFromPEM(pem)
	var client http.RoundTripper = &peerhttp3.Transport{TLSClientConfig: config}
	if kind == "dunlin" {
		client = &http3.Transport{TLSClientConfig: config}
	}
	const endless = 1 << 40
	go func() {
		_, err := roundTrip(context.Background(), client, http.MethodPut, base+"upload", content(endless), endless)
		panic(err)
	}()
	resp, err := roundTrip(context.Background(), client, http.MethodGet, base+"content/"+strconv.Itoa(endless), nil, 0)
	if err != nil {
		panic(err)
	}
	_, err = io.Copy(io.Discard, resp.Body)
	panic(err)
}

// counter is a handler that counts what newHandler reads and writes.
type counter struct{ read, written atomic.Int64 }

func (c *counter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r.Body = &countedBody{r.Body, &c.read}
	newHandler().ServeHTTP(&countedWriter{w, &c.written}, r)
}

type countedBody struct {
	io.ReadCloser
	n *atomic.Int64
}

func (b *countedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.n.Add(int64(n))
	return n, err
}

type countedWriter struct {
	http.ResponseWriter
	n *atomic.Int64
}

func (w *countedWriter) Write(p []byte) (int, error) {
	n, err := w.ResponseWriter.Write(p)
	w.n.Add(int64(n))
	return n, err
}

// Client processes are killed in the middle of a download and an upload.
func TestKilledClients(t *testing.T) {
	var traffic counter
	besiege(t, &traffic, func(addr netip.AddrPort) {
		for _, kind := range []string{"dunlin", "quic-go", "dunlin", "quic-go"} {
			read, written := traffic.read.Load(), traffic.written.Load()
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %s %s", victimEnv, kind, urlOf(addr), testIdentity(t).certFile))
			cmd.Stderr = os.Stderr
			if err := cmd.Start(); err != nil {
				t.Error(err)
				return
			}
			running := waitUntil(20*time.Second, func() bool {
				return traffic.read.Load() > read+5e6 && traffic.written.Load() > written+5e6
			})
			if !running {
				t.Errorf("%s: no transfers within 20 s", kind)
			}
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	})
}
