package http3_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/dunlin-quic/dunlin/http3"
)

// everywhere makes a Transport find the site under every name.
func everywhere(s *site) func(context.Context, string, string) ([]netip.AddrPort, error) {
	return func(context.Context, string, string) ([]netip.AddrPort, error) {
		return []netip.AddrPort{netip.MustParseAddrPort(s.addr)}, nil
	}
}

// TestCoalesce shares a connection between the names that its certificate is valid for, unless the server says 421.
func TestCoalesce(t *testing.T) {
	var mu sync.Mutex
	conns := make(map[*http3.ServerConn]int)
	type key struct{}
	s := newSite(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		n := conns[r.Context().Value(key{}).(*http3.ServerConn)]
		if strings.HasPrefix(r.Host, "example.com") && n == 1 {
			w.WriteHeader(http.StatusMisdirectedRequest)
			return
		}
		fmt.Fprint(w, n, " ", r.Host, " ", string(body))
	}), func(server *http3.Server, tr *http3.Transport) {
		tr.Coalesce = true
		server.ConnContext = func(ctx context.Context, c *http3.ServerConn) context.Context {
			mu.Lock()
			defer mu.Unlock()
			conns[c] = len(conns) + 1
			return context.WithValue(ctx, key{}, c)
		}
	})
	s.transport.Resolve = everywhere(s)
	ask := func(host string, body io.Reader) string {
		t.Helper()
		r, err := http.NewRequest("POST", "https://"+host+"/", body)
		if err != nil {
			t.Fatal(err)
		}
		res, err := s.client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		got, err := io.ReadAll(res.Body)
		if err != nil {
			t.Error(err)
		}
		return fmt.Sprint(res.StatusCode, " ", string(got))
	}
	for _, want := range []string{"1 localhost a", "1 server.test a", "1 server.test:4433 a", "2 example.com a", "1 localhost a", "2 example.com a"} {
		host := strings.Fields(want)[1]
		if got := ask(host, strings.NewReader("a")); got != "200 "+want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	// A body that can't be had again.
	if got := ask("example.com:1", io.MultiReader(strings.NewReader("a"))); got != "421 " && got != "200 2 example.com:1 a" {
		t.Error(got)
	}
	// The certificate is not valid for this one.
	if res, err := s.client.Get("https://elsewhere.test/"); err == nil {
		res.Body.Close()
		t.Error("a name of another certificate was served")
	}

	mu.Lock()
	clear(conns)
	mu.Unlock()
	got := "200 0 server.test b"
	for got == "200 0 server.test b" { // a connection stays busy until the goroutine that sent its last body has ended
		s.transport.CloseIdleConnections()
		got = ask("server.test", strings.NewReader("b"))
	}
	if got != "200 1 server.test b" {
		t.Error(got)
	}
	if got := ask("localhost", strings.NewReader("b")); got != "200 1 localhost b" {
		t.Error(got)
	}
}

// TestMaxIdleConns closes the connection that has been idle for longest, and no busy one.
func TestMaxIdleConns(t *testing.T) {
	release := make(chan struct{})
	s := newSite(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		if r.URL.Path == "/wait" {
			<-release
		}
	}), func(_ *http3.Server, tr *http3.Transport) { tr.MaxIdleConns = 2 })
	s.transport.Resolve = everywhere(s)
	visit := func(host string) *http3.ClientConn {
		s.url = "https://" + host
		return s.connection(t)
	}
	busy, err := s.client.Get("https://localhost:1/wait")
	if err != nil {
		t.Fatal(err)
	}
	a, b := visit("localhost:2"), visit("localhost:3")
	if again := visit("localhost:2"); again != a {
		t.Error("within the limit a connection was not kept")
	}
	c := visit("localhost:4")
	<-b.Done()
	if a.Err() != nil || c.Err() != nil {
		t.Error("more than one connection was closed:", a.Err(), c.Err())
	}
	close(release)
	if _, err := io.ReadAll(busy.Body); err != nil {
		t.Errorf("on the busy connection: %v", err)
	}
	busy.Body.Close()
	<-a.Done()
}
