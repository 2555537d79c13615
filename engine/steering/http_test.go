//go:build linux

package steering

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/dunlin-quic/dunlin/http3"
	"github.com/dunlin-quic/dunlin/internal/testcert"
)

// opening tells when a member accepts connections.
type opening struct {
	*Member
	opened chan struct{}
}

func (o opening) Open() error {
	defer close(o.opened)
	return o.Member.Open()
}

// webServer is a server of HTTP/3 that is a member.
type webServer struct {
	m      *Member
	server *http3.Server
	served chan error
}

// startWebServer returns when the server accepts connections.
func startWebServer(t *testing.T, dir string, addr netip.AddrPort, noKernel bool) *webServer {
	t.Helper()
	cert, _ := testcert.Get()
	s := &webServer{m: testJoin(t, dir, addr, Config{NoKernel: noKernel}), served: make(chan error, 1)}
	s.server = &http3.Server{
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			io.Copy(w, r.Body)
			fmt.Fprintf(w, " from %d", s.m.Number())
		}),
	}
	s.m.Configure(&s.server.Endpoint)
	o := opening{s.m, make(chan struct{})}
	s.server.Endpoint.Steering = o
	l := http3.NewListener(s.m.Sockets()...)
	if n := len(l.Addrs()); n != 1 {
		t.Errorf("%d addresses", n)
	}
	go func() { s.served <- s.server.Serve(l) }()
	<-o.opened
	return s
}

func post(tr *http3.Transport, to netip.AddrPort) error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	body := bytes.Repeat([]byte("body"), 1000)
	r, err := http.NewRequestWithContext(ctx, "POST", "https://"+to.String()+"/", bytes.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := tr.RoundTrip(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err == nil && (resp.StatusCode != http.StatusOK || !bytes.HasPrefix(got, body)) {
		err = fmt.Errorf("status %d, %d bytes", resp.StatusCode, len(got))
	}
	return err
}

// Servers of HTTP/3 restart under load, and no request fails, be it one that must not be sent twice; no attempt is refused.
func TestHTTPRestart(t *testing.T) {
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			dir := t.TempDir()
			if !way.noKernel {
				needKernel(t, testJoin(t, t.TempDir(), netip.AddrPort{}, Config{}))
			}
			server := startWebServer(t, dir, netip.AddrPort{}, way.noKernel)
			addr := server.m.Addrs()[0]
			done := make(chan struct{})
			answered := make(chan struct{})
			_, roots := testcert.Get()
			var clients sync.WaitGroup
			defer clients.Wait()
			stop := sync.OnceFunc(func() { close(done) })
			defer stop()
			for range 4 {
				clients.Go(func() {
					tr := &http3.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
					defer tr.Close()
					for {
						if err := post(tr, addr); err != nil {
							t.Error(err)
							stop()
						}
						select {
						case answered <- struct{}{}:
						case <-done:
							return
						}
					}
				})
			}
			more := func() {
				for range 100 {
					select {
					case <-answered:
					case <-done:
						t.FailNow()
					}
				}
			}
			for range 3 {
				more()
				next := startWebServer(t, dir, addr, way.noKernel)
				more()
				ended := make(chan error, 1)
				go func() { ended <- server.server.Shutdown(testContext(t)) }()
				more()
				if err := <-ended; err != nil {
					t.Error(err)
				}
				if err := <-server.served; err != http.ErrServerClosed {
					t.Error(err)
				}
				for _, st := range server.server.Stats() {
					if st.Refused != 0 || st.Connections != 0 {
						t.Errorf("%d attempts refused, %d connections left", st.Refused, st.Connections)
					}
				}
				server = next
			}
			more()
			stop()
			clients.Wait()
			if err := server.server.Close(); err != nil {
				t.Error(err)
			}
			<-server.served
		})
	}
}
