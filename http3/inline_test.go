package http3

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dunlin-quic/dunlin/internal/testcert"
	"github.com/dunlin-quic/dunlin/quic"
)

// TestRequestsInLine: of requests that wait for their streams on connections that the server keeps ending, some of them given up
// by their users, none is done twice, none is lost, and none is left on a connection's account.
func TestRequestsInLine(t *testing.T) {
	const users, each = 24, 6
	var done [users * each]atomic.Int32
	cert, roots := testcert.Get()
	server := &Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			id, _ := strconv.Atoi(r.URL.Path[1:])
			done[id].Add(1)
			io.Copy(w, r.Body)
		}),
		TLSConfig:          &tls.Config{Certificates: []tls.Certificate{cert}},
		ErrorLog:           slog.New(slog.DiscardHandler),
		QUIC:               &quic.Config{MaxBidiStreams: 3},
		MaxRequestsPerConn: 25,
	}
	l, err := Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go server.Serve(l)
	defer server.Close()
	transport := &Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	defer transport.Close()

	var mu sync.Mutex
	conns := make(map[*ClientConn]bool)
	note := func() {
		transport.mu.Lock()
		defer transport.mu.Unlock()
		mu.Lock()
		defer mu.Unlock()
		for _, e := range transport.pool {
			if e.conn != nil {
				conns[e.conn] = true
			}
		}
	}
	var all sync.WaitGroup
	for user := range users {
		all.Go(func() {
			for i := range each {
				id := user*each + i
				ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
				impatient := id%5 == 0
				if impatient {
					time.AfterFunc(time.Duration(id%7)*100*time.Microsecond, cancel)
				}
				body := strconv.Itoa(id)
				req, _ := http.NewRequestWithContext(ctx, "POST", "https://"+l.Addr().String()+"/"+body, strings.NewReader(body))
				res, err := transport.RoundTrip(req)
				note()
				var got []byte
				if err == nil {
					got, err = io.ReadAll(res.Body)
					res.Body.Close()
				}
				cancel()
				switch n := done[id].Load(); {
				case n > 1:
					t.Errorf("request %d was done %d times", id, n)
				case err == nil && (n != 1 || string(got) != body):
					t.Errorf("request %d: %q, done %d times", id, got, n)
				case err != nil && (!impatient || !errors.Is(err, context.Canceled)):
					t.Errorf("request %d: %v", id, err)
				}
			}
		})
	}
	all.Wait()
	if len(conns) < 3 {
		t.Errorf("%d connections: the server has not ended any", len(conns))
	}
	transport.mu.Lock()
	defer transport.mu.Unlock()
	for c := range conns {
		if c.active != 0 {
			t.Errorf("a connection counts %d requests", c.active)
		}
	}
}
