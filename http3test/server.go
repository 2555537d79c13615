// Package http3test is net/http/httptest for HTTP/3: a server on the loopback interface for the time of a test, and a client
// that trusts it.
//
//	ts := http3test.NewServer(handler)
//	defer ts.Close()
//	res, err := ts.Client().Get(ts.URL)
//
// Handlers without a network are tested with httptest's ResponseRecorder and NewRequest, which know no version of HTTP.
package http3test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/dunlin-quic/dunlin/http3"
	"github.com/dunlin-quic/dunlin/internal/testcert"
)

// Server is an HTTP/3 server on a port of its own of 127.0.0.1, or of ::1 where there is no IPv4.
type Server struct {
	// URL is the base of URLs for requests to the server: "https://address:port" without a slash at the end.
	URL string
	// Listener holds the server's socket.
	Listener *http3.Listener
	// Config may be changed after NewUnstartedServer and before Start. If its TLSConfig is nil or has no certificate, the
	// server gets one that is valid for 127.0.0.1, ::1, localhost and example.com.
	Config *http3.Server

	certificate tls.Certificate
	transport   *http3.Transport
	served      chan struct{}
}

// NewServer returns a server that runs. The caller closes it.
func NewServer(handler http.Handler) *Server {
	s := NewUnstartedServer(handler)
	s.Start()
	return s
}

// NewUnstartedServer returns a server for the caller to configure and Start. It listens already.
func NewUnstartedServer(handler http.Handler) *Server {
	l, err := http3.Listen("127.0.0.1:0")
	if err != nil {
		var err6 error
		if l, err6 = http3.Listen("[::1]:0"); err6 != nil {
			panic(fmt.Sprintf("http3test: listening on a port: %v", errors.Join(err, err6)))
		}
	}
	return &Server{Listener: l, Config: &http3.Server{Handler: handler}, served: make(chan struct{})}
}

// Start serves. It must be called once.
func (s *Server) Start() {
	if s.URL != "" {
		panic("http3test: Server started twice")
	}
	s.URL = "https://" + s.Listener.Addr().String()
	config := &tls.Config{}
	if s.Config.TLSConfig != nil {
		config = s.Config.TLSConfig.Clone()
	}
	roots := x509.NewCertPool()
	if len(config.Certificates) == 0 {
		own, pool := testcert.Get()
		config.Certificates = []tls.Certificate{own}
		roots = pool
	}
	s.Config.TLSConfig = config
	s.certificate = config.Certificates[0]
	if leaf := s.Certificate(); leaf != nil {
		roots = roots.Clone()
		roots.AddCert(leaf)
	}
	s.transport = &http3.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, Resolve: s.resolve}
	go func() {
		defer close(s.served)
		s.Config.Serve(s.Listener)
	}()
}

// resolve finds the server under its address and under example.com.
func (s *Server) resolve(ctx context.Context, host, port string) ([]netip.AddrPort, error) {
	own := s.Listener.Addr().(*net.UDPAddr).AddrPort()
	if host == "example.com" || strings.HasSuffix(host, ".example.com") {
		return []netip.AddrPort{own}, nil
	}
	n, err := net.DefaultResolver.LookupPort(ctx, "udp", port)
	if err != nil {
		return nil, err
	}
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, err
	}
	var addresses []netip.AddrPort
	for _, ip := range ips {
		addresses = append(addresses, netip.AddrPortFrom(ip.Unmap(), uint16(n)))
	}
	return addresses, nil
}

// Certificate returns the server's certificate; nil if it has none that can be parsed.
func (s *Server) Certificate() *x509.Certificate {
	if s.certificate.Leaf != nil {
		return s.certificate.Leaf
	}
	if len(s.certificate.Certificate) == 0 {
		return nil
	}
	leaf, err := x509.ParseCertificate(s.certificate.Certificate[0])
	if err != nil {
		return nil
	}
	return leaf
}

// Client returns a client that trusts the server's certificate and reaches the server under https://example.com and its
// subdomains as well, on any port. Its Transport is an *http3.Transport, which Close closes. Call it after Start.
func (s *Server) Client() *http.Client { return &http.Client{Transport: s.transport} }

// Close shuts the server down, and returns when all outstanding requests are answered.
func (s *Server) Close() {
	if s.URL == "" {
		s.Listener.Close()
		return
	}
	s.transport.CloseIdleConnections()
	s.Config.Shutdown(context.Background())
	<-s.served
	s.transport.Close()
}
