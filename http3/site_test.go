package http3_test

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/dunlin-quic/dunlin/http3"
)

// TestSite serves HTTP/1.1, 2 and 3 on one port of both loopback addresses, finds its way from one to the other, and drains.
func TestSite(t *testing.T) {
	release := make(chan struct{})
	site := &http3.Site{Addr: "localhost:0", TLSConfig: &tls.Config{Certificates: []tls.Certificate{testCertificate}},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/wait" {
				w.(http.Flusher).Flush()
				<-release
			}
			io.WriteString(w, r.Proto)
		})}
	if err := site.Listen(); err != nil {
		t.Fatal(err)
	}
	served := make(chan error)
	go func() { served <- site.Serve() }()
	_, port, _ := net.SplitHostPort(site.Addrs()[0].String())
	trust := &tls.Config{RootCAs: testRoots}
	alt := &http3.AltTransport{TCP: &http.Transport{TLSClientConfig: trust, ForceAttemptHTTP2: true}, HeadStart: 1 << 40}
	defer alt.Close()
	get := func(rt http.RoundTripper, url string) string {
		t.Helper()
		res, err := (&http.Client{Transport: rt}).Get(url)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err != nil {
			t.Error(err)
		}
		return string(body)
	}
	one := &http.Transport{TLSClientConfig: trust.Clone()}
	defer one.CloseIdleConnections()
	for _, addr := range site.Addrs() {
		url := "https://" + addr.String() + "/"
		if got := get(one, url); got != "HTTP/1.1" {
			t.Errorf("%s: %s", url, got)
		}
		if got := get(alt, url); got != "HTTP/2.0" {
			t.Errorf("%s: %s", url, got)
		}
		if got := get(alt, url); got != "HTTP/3.0" {
			t.Errorf("%s: %s", url, got)
		}
	}

	res, err := (&http.Client{Transport: alt}).Get("https://127.0.0.1:" + port + "/wait")
	if err != nil {
		t.Fatal(err)
	}
	over := make(chan error)
	go func() { over <- site.Shutdown(context.Background()) }()
	close(release)
	if body, err := io.ReadAll(res.Body); string(body) != "HTTP/3.0" || err != nil {
		t.Errorf("during shutdown: %q, %v", body, err)
	}
	res.Body.Close()
	if err := <-over; err != nil {
		t.Error(err)
	}
	if err := <-served; err != http.ErrServerClosed {
		t.Error(err)
	}

	// A site that never serves gives its port back.
	again := &http3.Site{Addr: "127.0.0.1:" + port, TLSConfig: site.TLSConfig}
	if err := again.Listen(); err != nil {
		t.Fatal(err)
	}
	if err := (&http3.Site{Addr: "127.0.0.1:" + port, TLSConfig: site.TLSConfig}).Listen(); err == nil {
		t.Error("two sites on one port")
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
	if l, err := net.Listen("tcp", "127.0.0.1:"+port); err != nil {
		t.Error(err)
	} else {
		l.Close()
	}
	if err := http3.ListenAndServeTLS("127.0.0.1:0", "nowhere.pem", "nowhere.pem", nil); err == nil {
		t.Error("served without a certificate")
	}
}

// TestSiteOutOfOrder calls what a Site has in orders that are wrong or unlucky.
func TestSiteOutOfOrder(t *testing.T) {
	newSite := func() *http3.Site {
		return &http3.Site{Addr: "127.0.0.1:0", TLSConfig: &tls.Config{Certificates: []tls.Certificate{testCertificate}},
			HTTP3: &http3.Server{ErrorLog: quiet}}
	}
	s := newSite()
	if err := s.Serve(); err == nil || err == http.ErrServerClosed || s.Addrs() != nil {
		t.Errorf("Serve before Listen: %v", err)
	}
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	if err := s.Listen(); err == nil {
		t.Error("listens twice")
	}
	addr := s.Addrs()[0].String()
	if err := s.Shutdown(t.Context()); err != nil {
		t.Errorf("Shutdown before Serve: %v", err)
	}
	if err := s.Serve(); err != http.ErrServerClosed {
		t.Errorf("Serve after Shutdown: %v", err)
	}
	if err := s.Serve(); err == nil {
		t.Error("serves twice")
	}
	if err := s.Close(); err != nil {
		t.Errorf("Close after Shutdown: %v", err)
	}
	again := newSite()
	again.Addr = addr
	if err := again.Listen(); err != nil {
		t.Errorf("the port is not free: %v", err)
	}
	again.Close()

	for _, end := range []func(*http3.Site) error{(*http3.Site).Close, func(s *http3.Site) error { return s.Shutdown(t.Context()) }} {
		s := newSite()
		if err := end(s); err != nil {
			t.Error(err)
		}
		if err := s.ListenAndServe(); err != http.ErrServerClosed {
			t.Errorf("ListenAndServe after the end: %v", err)
		}
		for range 20 {
			s, served := newSite(), make(chan error)
			go func() { served <- s.ListenAndServe() }()
			if err := end(s); err != nil {
				t.Error(err)
			}
			if err := <-served; err != http.ErrServerClosed {
				t.Errorf("ended meanwhile: %v", err)
			}
		}
	}
}
