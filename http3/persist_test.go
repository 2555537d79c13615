package http3_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dunlin-quic/dunlin/engine"
	"github.com/dunlin-quic/dunlin/h3"
	"github.com/dunlin-quic/dunlin/h3driver"
	"github.com/dunlin-quic/dunlin/http3"
	"github.com/dunlin-quic/dunlin/quic"
)

// TestBurstBeyondMaxRequests: however often a request is refused, it is answered in the end, once.
func TestBurstBeyondMaxRequests(t *testing.T) {
	const limit = 10
	requests := 1000
	if testing.Short() {
		requests = 200
	}
	var handled atomic.Int32
	s := newSite(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handled.Add(1)
		io.Copy(w, r.Body)
	}), func(server *http3.Server, _ *http3.Transport) { server.MaxRequestsPerConn = limit })
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	var wg sync.WaitGroup
	for i := range requests {
		wg.Go(func() {
			want := fmt.Sprint("request ", i)
			r, err := http.NewRequestWithContext(ctx, "POST", s.url, strings.NewReader(want))
			if err != nil {
				t.Error(err)
				return
			}
			res, err := s.client.Do(r)
			if err != nil {
				t.Error(err)
				return
			}
			defer res.Body.Close()
			if got, err := io.ReadAll(res.Body); string(got) != want || err != nil {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
	wg.Wait()
	if n := int(handled.Load()); n != requests {
		t.Errorf("%d requests handled, of %d", n, requests)
	}
}

// scriptedServer serves HTTP/3 with a function that is told of each request and may refuse it.
func scriptedServer(t *testing.T, addr string, handle func(c *h3driver.ServerController, s *h3driver.Stream)) *engine.Listener {
	t.Helper()
	l, err := engine.Listen(&engine.ListenConfig{
		QUIC: &quic.Config{TLS: &tls.Config{Certificates: []tls.Certificate{testCertificate}, NextProtos: []string{"h3"}}},
		NewApplication: func(engine.ConnInfo) (engine.ApplicationOverQUIC, error) {
			driver := h3driver.NewServer(nil)
			controller := driver.Controller()
			go func() {
				for {
					ev, err := controller.NextEvent(context.Background())
					if err != nil {
						return
					}
					if ev.Kind == h3driver.EventHeaders {
						handle(controller, ev.Stream)
					}
				}
			}()
			return driver, nil
		},
	}, addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func refuse(_ *h3driver.ServerController, s *h3driver.Stream) {
	s.CancelRead(h3.RequestRejected)
	s.CancelWrite(h3.RequestRejected)
}

// TestRefusalsWithoutEnd: a server that takes nothing is asked until the context ends, or for as long as a dial may take, and not
// all the time.
func TestRefusalsWithoutEnd(t *testing.T) {
	var refused atomic.Int32
	l := scriptedServer(t, "127.0.0.1:0", func(c *h3driver.ServerController, s *h3driver.Stream) {
		refused.Add(1)
		refuse(c, s)
	})
	url := "https://" + l.Addr().String()
	tr := &http3.Transport{TLSClientConfig: &tls.Config{RootCAs: testRoots}, DialTimeout: 500 * time.Millisecond}
	defer tr.Close()
	r, err := http.NewRequestWithContext(t.Context(), "POST", url, strings.NewReader("hello"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = tr.RoundTrip(r)
	if e, ok := errors.AsType[*h3.Error](err); !ok || e.Code != h3.RequestRejected {
		t.Errorf("error %v", err)
	}
	if n := refused.Load(); n <= 4 || n > 30 {
		t.Errorf("sent %d times", n)
	}

	ctx, cancel := context.WithCancelCause(t.Context())
	gone := errors.New("not waiting any longer")
	refused.Store(0)
	patient := &http3.Transport{TLSClientConfig: tr.TLSClientConfig, DialTimeout: -1}
	defer patient.Close()
	done := make(chan error, 1)
	go func() {
		r, err := http.NewRequestWithContext(ctx, "GET", url, nil)
		if err == nil {
			_, err = patient.RoundTrip(r)
		}
		done <- err
	}()
	for refused.Load() < 6 {
		select {
		case err := <-done:
			t.Fatalf("gave up after %d refusals: %v", refused.Load(), err)
		case <-time.After(time.Millisecond):
		}
	}
	cancel(gone)
	if err := <-done; !errors.Is(err, gone) {
		t.Errorf("error %v", err)
	}
}

// TestRestart: while a server drains it refuses connections, and another takes its place afterwards. Nobody notices.
func TestRestart(t *testing.T) {
	handling, finish := make(chan struct{}, 100), make(chan struct{})
	old := newSite(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handling <- struct{}{}
		<-finish
		io.WriteString(w, "old")
	}), nil)
	slow := make(chan string, 1)
	go func() { slow <- old.get(t, "/") }()
	<-handling
	down := make(chan error, 1)
	go func() { down <- old.server.Shutdown(t.Context()) }()

	// Another Transport, for whom this is the first connection, finds a server that takes none.
	tr := &http3.Transport{TLSClientConfig: &tls.Config{RootCAs: testRoots}, DialTimeout: 100 * time.Millisecond}
	defer tr.Close()
	ask := func(tr *http3.Transport, method string) (string, error) {
		res, err := (&http.Client{Transport: tr}).Do(old.newRequest(t, method, "/", strings.NewReader("body")))
		if err != nil {
			return "", err
		}
		defer res.Body.Close()
		got, err := io.ReadAll(res.Body)
		return string(got), err
	}
	for {
		// The old server's GOAWAY is a thing of its next step.
		_, err := ask(tr, "POST")
		if e, ok := errors.AsType[*quic.TransportError](err); ok && e.Remote && e.Code == quic.ConnectionRefused {
			break
		}
		if err == nil {
			t.Fatal("a server that drains has answered")
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	impatient := make(chan error, 1)
	go func() {
		r := old.newRequest(t, "GET", "/", nil)
		_, err := old.transport.RoundTrip(r.WithContext(ctx))
		impatient <- err
	}()
	cancel()
	if err := <-impatient; !errors.Is(err, context.Canceled) {
		t.Errorf("a request given up: %v", err)
	}

	const requests = 20
	answers := make(chan string, requests)
	newcomer := &http3.Transport{TLSClientConfig: tr.TLSClientConfig}
	defer newcomer.Close()
	for i := range requests {
		go func() {
			method, from := "GET", newcomer
			if i%2 == 0 {
				method = "POST"
			}
			if i%4 < 2 {
				from = old.transport
			}
			got, err := ask(from, method)
			if from == old.transport && got == "old" {
				got = "new" // it was in time
			}
			answers <- fmt.Sprint(got, err)
		}()
	}
	close(finish)
	if got := <-slow; got != "old" {
		t.Errorf("the request that ran was answered %q", got)
	}
	if err := <-down; err != nil {
		t.Error(err)
	}
	scriptedServer(t, old.addr, func(_ *h3driver.ServerController, s *h3driver.Stream) {
		go s.Respond([]h3.Field{{Name: ":status", Value: "200"}}, []byte("new"))
	})
	for range requests {
		if got := <-answers; got != "new<nil>" {
			t.Error(got)
		}
	}
}
