package http3

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"time"

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
	// becomes "h3".
	TLSConfig *tls.Config
	// QUIC configures the connections; its TLS field is ignored. MaxBidiStreams is how many requests a client may
	// have running at a time on one connection. Optional.
	QUIC *quic.Config

	// ReadHeaderTimeout bounds the time from the first byte of a request to the end of its header section; a request
	// that takes longer is refused with H3_REQUEST_INCOMPLETE. Default 10 s.
	ReadHeaderTimeout time.Duration
	// ReadTimeout bounds the time from the end of the header section to the end of the body. Default none.
	ReadTimeout time.Duration
	// WriteTimeout bounds the time from the end of the header section to the end of the response. Default none.
	WriteTimeout time.Duration
	// IdleTimeout closes a connection that has had no request running for that long, after a GOAWAY. Default: only
	// QUIC's own idle timeout applies.
	IdleTimeout time.Duration
	// MaxHeaderBytes bounds the header section of a request as RFC 9114, Section 4.2.2 measures it; larger ones are
	// answered with status 431. Default http.DefaultMaxHeaderBytes.
	MaxHeaderBytes int

	// BaseContext returns the context that all requests on l derive from. Default context.Background.
	BaseContext func(l *Listener) context.Context
	// ConnContext may change the context of the requests of one connection. Optional.
	ConnContext func(ctx context.Context, c *ServerConn) context.Context
	// Logger hears of panics in handlers and of errors on connections. Default slog.Default.
	Logger *slog.Logger
}

// ListenAndServe listens on s.Addr and serves until Shutdown or Close; the error is never nil.
func (s *Server) ListenAndServe() error { panic("skeleton") }

// ListenAndServeTLS is ListenAndServe with a certificate and key from PEM files.
func (s *Server) ListenAndServeTLS(certFile, keyFile string) error { panic("skeleton") }

// Serve accepts connections on l, closing it at the end. It returns http.ErrServerClosed after Shutdown or Close.
func (s *Server) Serve(l *Listener) error { panic("skeleton") }

// Shutdown stops accepting connections and requests, sends GOAWAY on every connection, waits until the requests that
// run are answered, and closes. When ctx ends first, Shutdown returns its error; Close then ends what is left.
func (s *Server) Shutdown(ctx context.Context) error { panic("skeleton") }

// Close closes all listeners and connections at once.
func (s *Server) Close() error { panic("skeleton") }

// ListenAndServe listens on the UDP address addr and serves handler with the certificate and key of two PEM files.
func ListenAndServe(addr, certFile, keyFile string, handler http.Handler) error { panic("skeleton") }

// Listener holds the UDP sockets that a Server serves on.
type Listener struct{ _ int }

// Listen opens UDP sockets for a [Server]. A name that resolves to an IPv4 and an IPv6 address, such as "localhost",
// opens one socket for each, on the same port; ":443" is both families. Several addresses may be given.
func Listen(addrs ...string) (*Listener, error) { panic("skeleton") }

// Addr returns the address of the first socket.
func (l *Listener) Addr() net.Addr { panic("skeleton") }

// Addrs returns the address of every socket.
func (l *Listener) Addrs() []net.Addr { panic("skeleton") }

// Close closes the sockets and the connections on them.
func (l *Listener) Close() error { panic("skeleton") }

// ServerConn is one connection of a Server. Its methods may be called from any goroutine.
type ServerConn struct{ _ int }

// LocalAddr returns the server's UDP address.
func (c *ServerConn) LocalAddr() net.Addr { panic("skeleton") }

// RemoteAddr returns the client's UDP address.
func (c *ServerConn) RemoteAddr() net.Addr { panic("skeleton") }

// Stats returns the connection's counters.
func (c *ServerConn) Stats() quic.Stats { panic("skeleton") }
