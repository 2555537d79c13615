package http3

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"syscall"
	"time"
)

// Site serves a handler over HTTP/3 on UDP, and over HTTP/2 and HTTP/1.1 on the same addresses and port of TCP, where responses
// announce HTTP/3 in an Alt-Svc field (RFC 7838). Its fields must not be changed once it listens.
type Site struct {
	// Addr is the address to listen on, "host:port". A name such as "localhost" may be several addresses. Default ":443".
	Addr string
	// Handler answers the requests. Default http.DefaultServeMux.
	Handler http.Handler
	// TLSConfig holds at least a certificate, unless ListenAndServeTLS is given one.
	TLSConfig *tls.Config
	// HTTP3 and TCP configure the servers; their Addr, Handler and TLSConfig are the Site's. Optional. Without TCP, header
	// sections have 10 s to arrive and idle connections are closed after 2 minutes.
	HTTP3 *Server
	TCP   *http.Server

	mu      sync.Mutex // guards what follows, and the servers until Listen has completed them
	udp     *Listener  // nil before Listen
	tcp     []net.Listener
	serving bool
	closing bool          // Shutdown or Close was called
	over    chan struct{} // closed when one of them is done; nil before Listen
	stop    sync.Once
}

// ListenAndServeTLS serves handler over HTTP/1.1, HTTP/2 and HTTP/3 on one address, with the certificate and key of two PEM
// files.
func ListenAndServeTLS(addr, certFile, keyFile string, handler http.Handler) error {
	return (&Site{Addr: addr, Handler: handler}).ListenAndServeTLS(certFile, keyFile)
}

// ListenAndServeTLS listens and serves with the certificate and key of two PEM files. The error is never nil.
func (s *Site) ListenAndServeTLS(certFile, keyFile string) error {
	config, err := withKeyPair(s.TLSConfig, certFile, keyFile)
	if err != nil {
		return err
	}
	s.TLSConfig = config
	return s.ListenAndServe()
}

// ListenAndServe listens and serves. The error is never nil.
func (s *Site) ListenAndServe() error {
	if err := s.Listen(); err != nil {
		return err
	}
	return s.Serve()
}

// Listen opens the sockets: clients that connect from now on are served by Serve. Of a port 0 the system chooses one that is
// free for all. It returns http.ErrServerClosed after Shutdown or Close.
func (s *Site) Listen() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return http.ErrServerClosed
	}
	if s.udp != nil {
		return errors.New("http3: the Site listens already")
	}
	addr := s.Addr
	if addr == "" {
		addr = ":443"
	}
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return err
	}
	var udp *Listener
	for try := 1; ; try++ {
		if udp, err = Listen(addr); err != nil {
			return err
		}
		if s.tcp, err = listenTCP(udp.Addrs()); err == nil {
			break
		}
		udp.Close()
		// What is free for UDP may be taken for TCP.
		if port != "0" || !errors.Is(err, syscall.EADDRINUSE) || try == portTries {
			return err
		}
	}
	s.udp, s.over = udp, make(chan struct{})
	s.configure()
	return nil
}

// configure completes the servers.
func (s *Site) configure() {
	if s.HTTP3 == nil {
		s.HTTP3 = &Server{}
	}
	if s.TCP == nil {
		s.TCP = &http.Server{ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute}
	}
	if s.TCP.ErrorLog == nil {
		s.TCP.ErrorLog = slog.NewLogLogger(s.HTTP3.errorLog().Handler(), slog.LevelWarn)
	}
	config := s.TLSConfig
	if config == nil {
		config = &tls.Config{}
	}
	handler := s.Handler
	if handler == nil {
		handler = http.DefaultServeMux
	}
	s.HTTP3.Handler, s.HTTP3.TLSConfig = handler, config
	port := netip.MustParseAddrPort(s.udp.Addr().String()).Port()
	s.TCP.Handler, s.TCP.TLSConfig = WithAltSvc(int(port), handler), config.Clone()
}

// listenTCP listens on the addresses of UDP sockets.
func listenTCP(addrs []net.Addr) ([]net.Listener, error) {
	var listeners []net.Listener
	for _, addr := range addrs {
		l, err := net.Listen("tcp", addr.String())
		if err != nil {
			for _, opened := range listeners {
				opened.Close()
			}
			return nil, err
		}
		listeners = append(listeners, l)
	}
	return listeners, nil
}

// Addrs returns the addresses that Listen has bound, those of UDP; nil before.
func (s *Site) Addrs() []net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.udp == nil {
		return nil
	}
	return s.udp.Addrs()
}

// Serve serves until Shutdown or Close, of which it returns http.ErrServerClosed, or until a socket fails: then it closes all
// and returns why. Call it once, after Listen.
func (s *Site) Serve() error {
	if err := s.serve(); err != nil {
		return err
	}
	failed := make(chan error, 1+len(s.tcp))
	go func() { failed <- s.HTTP3.Serve(s.udp) }()
	for _, l := range s.tcp {
		go func() { failed <- s.TCP.ServeTLS(l, "", "") }()
	}
	var first error
	for range cap(failed) {
		if err := <-failed; first == nil {
			first = err
			if !errors.Is(err, http.ErrServerClosed) {
				s.Close()
			}
		}
	}
	<-s.over
	return first
}

// serve notes that Serve runs, if it may.
func (s *Site) serve() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.udp == nil && s.closing:
		return http.ErrServerClosed
	case s.udp == nil:
		return errors.New("http3: Serve before Listen")
	case s.serving:
		return errors.New("http3: Serve called twice")
	}
	s.serving = true
	return nil
}

// Shutdown stops accepting, lets the requests that run be answered, and closes. When ctx ends first, what remains is closed and
// Shutdown returns the context's error. It may be called at any time, from any goroutine.
func (s *Site) Shutdown(ctx context.Context) error {
	if !s.close() {
		return nil
	}
	defer s.stop.Do(func() { close(s.over) })
	tcp := make(chan error, 1)
	go func() { tcp <- s.TCP.Shutdown(ctx) }()
	err := errors.Join(s.HTTP3.Shutdown(ctx), <-tcp)
	return errors.Join(err, s.closeAll())
}

// Close closes all sockets and connections at once. It may be called at any time, from any goroutine.
func (s *Site) Close() error {
	if !s.close() {
		return nil
	}
	defer s.stop.Do(func() { close(s.over) })
	return s.closeAll()
}

// close makes a later Listen fail. It returns whether there was one.
func (s *Site) close() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closing = true
	return s.udp != nil
}

func (s *Site) closeAll() error {
	err := errors.Join(s.HTTP3.Close(), s.TCP.Close(), s.udp.Close())
	for _, l := range s.tcp {
		l.Close() // also if it never came to Serve
	}
	return err
}
