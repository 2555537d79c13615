package interop

import (
	"context"
	"crypto/tls"
	"net/http"
	"net/netip"
	"sync"
	"testing"

	"github.com/dunlin-quic/dunlin/http3"
	"github.com/dunlin-quic/dunlin/quic"
)

// observed is a server of Dunlin's that keeps what its connections and requests were like.
type observed struct {
	addr netip.AddrPort

	mu       sync.Mutex
	conns    []*http3.ServerConn
	requests []observedRequest
}

type observedRequest struct {
	conn    int // its index
	resumed bool
	cipher  uint16
}

// observe serves HTTP/3 until the test ends. config may be nil.
func observe(t *testing.T, h http.Handler, config *quic.Config, retry quic.RetryPolicy, addresses ...string) *observed {
	t.Helper()
	if len(addresses) == 0 {
		addresses = []string{"127.0.0.1:0"}
	}
	l, err := http3.Listen(addresses...)
	if err != nil {
		t.Fatal(err)
	}
	o := &observed{addr: addrPort(l.Addr())}
	type index struct{}
	server := &http3.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			o.mu.Lock()
			o.requests = append(o.requests, observedRequest{r.Context().Value(index{}).(int), r.TLS.DidResume, r.TLS.CipherSuite})
			o.mu.Unlock()
			h.ServeHTTP(w, r)
		}),
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{testIdentity(t).cert}}, QUIC: config, Retry: retry,
		ExtendedConnect: true,
		ConnContext: func(ctx context.Context, c *http3.ServerConn) context.Context {
			o.mu.Lock()
			defer o.mu.Unlock()
			o.conns = append(o.conns, c)
			return context.WithValue(ctx, index{}, len(o.conns)-1)
		},
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
		if err := <-served; err != http.ErrServerClosed {
			t.Errorf("Serve returned %v", err)
		}
	})
	return o
}

// stats returns the counters of all connections.
func (o *observed) stats() (all []quic.Stats) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, c := range o.conns {
		all = append(all, c.Stats())
	}
	return all
}

// resumptions returns how many connections resumed a session.
func (o *observed) resumptions() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	resumed := make(map[int]bool)
	for _, r := range o.requests {
		if r.resumed {
			resumed[r.conn] = true
		}
	}
	return len(resumed)
}
