package http3

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/dunlin-quic/dunlin/engine"
	"github.com/dunlin-quic/dunlin/h3"
	"github.com/dunlin-quic/dunlin/quic"
)

// Server runs an http.Handler over HTTP/3. Its fields must not be changed once it serves. The zero value of every
// optional field is its default, a negative number means none.
type Server struct {
	// Addr is the UDP address that ListenAndServe and ListenAndServeTLS listen on, as in http.Server: "host:port",
	// by default ":443".
	Addr string
	// Handler answers the requests. Default http.DefaultServeMux.
	Handler http.Handler
	// TLSConfig holds at least a certificate, unless ListenAndServeTLS is given one. It is cloned; its NextProtos
	// becomes "h3" and the names of Protocols. What its GetConfigForClient returns must name "h3" itself.
	TLSConfig *tls.Config
	// QUIC configures the connections; its TLS field is ignored. MaxBidiStreams is how many requests a client may
	// have running at a time on one connection; of requests that it abandons, the handlers of as many again may go on,
	// and further ones are rejected. With EarlyData, requests may come in early data: see AllowEarly. Optional.
	QUIC *quic.Config
	// Retry says when clients must prove their address first. Default quic.RetryUnderLoad.
	Retry quic.RetryPolicy
	// Endpoint configures what lies around the connections: how many there may be, the keys that a fleet shares, the metrics and
	// the Logger that hear of them. Optional.
	Endpoint engine.EndpointConfig

	// Protocols are applications of other protocols on the same address, by the name that TLS negotiates (ALPN); clients that
	// offer HTTP/3 too get that. Optional.
	Protocols map[string]engine.NewApplicationFunc

	// ReadHeaderTimeout bounds the time from the beginning of a request to the end of its header section; a request
	// that takes longer is refused with H3_REQUEST_INCOMPLETE. Default 10 s.
	ReadHeaderTimeout time.Duration
	// ReadTimeout bounds the time from the end of the header section to the end of the body. Default none.
	ReadTimeout time.Duration
	// WriteTimeout bounds the time from the end of the request's header section to the end of the response. Default
	// none.
	WriteTimeout time.Duration
	// IdleTimeout closes a connection that has had no request running for that long, after a GOAWAY. Default: only
	// QUIC's own idle timeout applies.
	IdleTimeout time.Duration
	// FirstRequestTimeout closes a connection on which no request comes that long after the handshake, after a GOAWAY. Default
	// none.
	FirstRequestTimeout time.Duration
	// MaxRequestsPerConn bounds the requests of one connection: with the last of them comes a GOAWAY, upon which clients open
	// another connection, and when all are answered this one ends. Default none.
	MaxRequestsPerConn int
	// MaxHeaderBytes bounds the header section of a request as RFC 9114, Section 4.2.2 measures it; larger ones are
	// answered with status 431. Default 64 KiB, also with a negative number, since there must be a bound.
	MaxHeaderBytes int

	// AllowEarly says whether a handler gets a request that came in early data and may be a replay, for which IsEarly reports
	// true; others are answered with status 425, upon which the client sends them again. Default: those with a safe
	// method (GET, HEAD, OPTIONS, TRACE).
	AllowEarly func(*http.Request) bool

	// ExtendedConnect tells clients that the handler takes extended CONNECT requests (RFC 9220): those of method CONNECT
	// whose Header has a ":protocol", as net/http's HTTP/2 has it. See [AcceptTunnel] and [WebSocketHandler]. Browsers then
	// open their WebSockets over HTTP/3.
	ExtendedConnect bool

	// BaseContext returns the context that all requests on l derive from. Default context.Background.
	BaseContext func(l *Listener) context.Context
	// ConnContext may change the context of the requests of one connection. It must not block. Optional.
	ConnContext func(ctx context.Context, c *ServerConn) context.Context
	// ErrorLog hears of panics in handlers and of their misuse of the ResponseWriter. Default slog.Default, as net/http's
	// servers use the standard logger.
	ErrorLog *slog.Logger

	mu        sync.Mutex
	endpoints map[*engine.Endpoint]*engine.Listener
	keys      [][32]byte    // of session tickets
	done      chan struct{} // closed with closed; made with endpoints
	closed    bool          // Shutdown or Close was called
}

// ServerContextKey is the key of a request context's value that is the *Server. http.LocalAddrContextKey works too.
var ServerContextKey = &contextKey{"http3-server"}

type contextKey struct{ name string }

func (k *contextKey) String() string { return "http3 context value " + k.name }

// ListenAndServe listens on s.Addr and serves until Shutdown or Close; the error is never nil.
func (s *Server) ListenAndServe() error {
	addr := s.Addr
	if addr == "" {
		addr = ":443"
	}
	l, err := Listen(addr)
	if err != nil {
		return err
	}
	return s.Serve(l)
}

// ListenAndServeTLS is ListenAndServe with a certificate and key from PEM files.
func (s *Server) ListenAndServeTLS(certFile, keyFile string) error {
	config, err := withKeyPair(s.TLSConfig, certFile, keyFile)
	if err != nil {
		return err
	}
	s.TLSConfig = config
	return s.ListenAndServe()
}

// withKeyPair returns a copy of config, which may be nil, with the certificate and key of two PEM files.
func withKeyPair(config *tls.Config, certFile, keyFile string) (*tls.Config, error) {
	cert, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, err
	}
	if config == nil {
		config = &tls.Config{}
	}
	config = config.Clone()
	config.Certificates = []tls.Certificate{cert}
	return config, nil
}

// ListenAndServe listens on the UDP address addr and serves handler with the certificate and key of two PEM files.
func ListenAndServe(addr, certFile, keyFile string, handler http.Handler) error {
	return (&Server{Addr: addr, Handler: handler}).ListenAndServeTLS(certFile, keyFile)
}

// Serve accepts connections on l, closing it at the end. It returns http.ErrServerClosed after Shutdown or Close, else
// net.ErrClosed when l was closed, or why one of its sockets failed.
func (s *Server) Serve(l *Listener) error {
	endpoint, err := s.listen(l)
	if err != nil {
		l.Close()
		return err
	}
	select {
	case <-s.done:
		return http.ErrServerClosed
	case <-l.done:
	case <-endpoint.Done():
	}
	failure := endpoint.Close()
	l.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return http.ErrServerClosed
	}
	delete(s.endpoints, endpoint)
	return cmp.Or(failure, net.ErrClosed)
}

func (s *Server) listen(l *Listener) (*engine.Endpoint, error) {
	if s.TLSConfig == nil {
		return nil, errors.New("http3: Server.TLSConfig with a certificate is required")
	}
	cfg := engine.ListenConfig{
		Retry:      s.Retry,
		CloseError: &quic.ApplicationError{Code: uint64(h3.NoError)},
	}
	var transport quic.Config
	if s.QUIC != nil {
		transport = *s.QUIC
	}
	transport.TLS = s.TLSConfig.Clone()
	transport.TLS.NextProtos = append([]string{NextProto}, slices.Sorted(maps.Keys(s.Protocols))...)
	if transport.EarlyData && transport.SessionData == nil {
		transport.SessionData = h3.SessionData(s.h3Config())
	}
	cfg.QUIC = &transport
	cfg.EarlyStart = transport.EarlyData
	base := context.Background()
	if s.BaseContext != nil {
		base = s.BaseContext(l)
	}
	base = context.WithValue(base, ServerContextKey, s)
	// net/http/httputil's reverse proxy aborts a response that its upstream cut short only where it finds this key:
	// else the client would take the part for the whole.
	base = context.WithValue(base, http.ServerContextKey, &http.Server{Addr: s.Addr, Handler: s.Handler, TLSConfig: s.TLSConfig})
	cfg.NewApplication = func(info engine.ConnInfo) (engine.ApplicationOverQUIC, error) {
		return s.newConn(base, info), nil
	}
	if len(s.Protocols) > 0 {
		applications := maps.Clone(s.Protocols)
		applications[NextProto] = cfg.NewApplication
		cfg.NewApplication = engine.ByProtocol(applications)
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, http.ErrServerClosed
	}
	endpoint, err := engine.NewEndpoint(&s.Endpoint, l.sockets...)
	if err != nil {
		return nil, err
	}
	listener, err := endpoint.Listen(&cfg)
	if err != nil {
		endpoint.Close()
		return nil, err
	}
	if s.keys != nil {
		listener.SetSessionTicketKeys(s.keys)
	}
	if s.endpoints == nil {
		s.done = make(chan struct{})
		s.endpoints = make(map[*engine.Endpoint]*engine.Listener)
	}
	s.endpoints[endpoint] = listener
	return endpoint, nil
}

// SetSessionTicketKeys replaces the keys of TLS session tickets, as tls.Config's method of this name does, at any time: the
// first one encrypts, all of them decrypt. Servers that share keys resume each other's sessions; for early data they must
// share QUIC.EarlyDataStore, too. By default keys are random and change every day.
func (s *Server) SetSessionTicketKeys(keys [][32]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys = slices.Clone(keys)
	for _, l := range s.endpoints {
		l.SetSessionTicketKeys(keys)
	}
}

// Stats returns the counters of the sockets that the server serves on, one set for each call of Serve; after Shutdown and
// Close the last ones. It may be called from any goroutine.
func (s *Server) Stats() []engine.EndpointStats {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []engine.EndpointStats
	for e := range s.endpoints {
		all = append(all, e.Stats())
	}
	return all
}

// stop marks the server closed and returns what it serves on.
func (s *Server) stop() []*engine.Endpoint {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed && s.done != nil {
		close(s.done)
	}
	s.closed = true
	var endpoints []*engine.Endpoint
	for e := range s.endpoints {
		endpoints = append(endpoints, e)
	}
	return endpoints
}

// Shutdown stops accepting connections, sends GOAWAY on every connection so that no new requests come, waits until
// those that run are answered, and closes. When ctx ends first, the remaining connections are closed and Shutdown
// returns the context's error.
func (s *Server) Shutdown(ctx context.Context) error {
	endpoints := s.stop()
	errs := make(chan error, len(endpoints))
	for _, e := range endpoints {
		go func() { errs <- e.Shutdown(ctx) }()
	}
	var first error
	for range endpoints {
		if err := <-errs; first == nil {
			first = err
		}
	}
	return first
}

// Close closes all listeners and connections at once.
func (s *Server) Close() error {
	var first error
	for _, e := range s.stop() {
		if err := e.Close(); first == nil {
			first = err
		}
	}
	return first
}

func (s *Server) handler() http.Handler {
	if s.Handler != nil {
		return s.Handler
	}
	return http.DefaultServeMux
}

func (s *Server) errorLog() *slog.Logger {
	if s.ErrorLog != nil {
		return s.ErrorLog
	}
	return slog.Default()
}
