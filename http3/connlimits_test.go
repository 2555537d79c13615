package http3_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/dunlin-quic/dunlin/engine"
	"github.com/dunlin-quic/dunlin/http3"
	"github.com/dunlin-quic/dunlin/quic"
)

// A connection has so many requests as it may have; the client loses none of those beyond, however they come.
func TestMaxRequestsPerConn(t *testing.T) {
	const limit, requests = 8, 20
	for _, parallel := range []bool{false, true} {
		var mu sync.Mutex
		perConn := make(map[*http3.ServerConn]int)
		s := newSite(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			perConn[r.Context().Value(limitedConnKey{}).(*http3.ServerConn)]++
		}), func(s *http3.Server, _ *http3.Transport) {
			s.MaxRequestsPerConn = limit
			s.ConnContext = func(ctx context.Context, c *http3.ServerConn) context.Context {
				return context.WithValue(ctx, limitedConnKey{}, c)
			}
		})
		errs := make(chan error, requests)
		get := func() {
			res, err := s.client.Get(s.url)
			if err == nil {
				_, err = io.Copy(io.Discard, res.Body)
				res.Body.Close()
			}
			errs <- err
		}
		for range requests {
			if parallel {
				go get()
			} else {
				get()
			}
		}
		for range requests {
			if err := <-errs; err != nil {
				t.Errorf("parallel %v: %v", parallel, err)
			}
		}
		mu.Lock()
		if len(perConn) < requests/limit {
			t.Errorf("parallel %v: %d connections", parallel, len(perConn))
		}
		for _, n := range perConn {
			if n > limit {
				t.Errorf("parallel %v: %d requests on one connection", parallel, n)
			}
		}
		mu.Unlock()
	}
}

// limitedConnKey is the key of a request's connection in its context.
type limitedConnKey struct{}

// Who connects and asks for nothing is shown out; who asks is not.
func TestFirstRequestTimeout(t *testing.T) {
	s := newSite(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {}), func(s *http3.Server, _ *http3.Transport) {
		s.FirstRequestTimeout = 50 * time.Millisecond
	})
	c, err := engine.Dial(t.Context(), s.addr, &engine.DialConfig{
		QUIC:           &quic.Config{TLS: &tls.Config{RootCAs: testRoots, NextProtos: []string{http3.NextProto}}},
		NewApplication: idleApplication,
	})
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-c.Done():
	case <-time.After(10 * time.Second):
		t.Fatal("still connected")
	}
	if e, ok := errors.AsType[*quic.ApplicationError](c.Err()); !ok || !e.Remote || e.Code != 0x100 {
		t.Errorf("closed with %v", c.Err())
	}
	if a := c.Audit(); a.Received == nil || a.Received.Reason != "no request" {
		t.Errorf("audit: %+v", a.Received)
	}
	<-c.Endpoint().Done()
}
