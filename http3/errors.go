package http3

import "errors"

// Errors of RoundTrip that have no type of their own elsewhere. Others to tell apart with errors.As and errors.Is:
// *net.DNSError (no such host), syscall.ECONNREFUSED (connection refused), errors with Timeout() == true (timed out),
// *tls.CertificateVerificationError (certificate), *h3.Error (reset by the peer, with its code).
var (
	// ErrALPN: the server speaks QUIC but not HTTP/3.
	ErrALPN = errors.New("http3: the server does not speak HTTP/3 (ALPN h3)")
	// ErrTransportClosed: the Transport was closed.
	ErrTransportClosed = errors.New("http3: transport closed")
)

// ErrHandlerDone is returned by writes to a response whose handler has returned.
var ErrHandlerDone = errors.New("http3: write after the handler returned")
