package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"strings"
	"syscall"
	"time"
	"unicode"

	"github.com/dunlin-quic/dunlin/h3"
	"github.com/dunlin-quic/dunlin/http3"
	"github.com/dunlin-quic/dunlin/quic"
)

// Exit statuses of get. Where curl has one for the same failure, it is curl's.
const (
	statusOther       = 1
	statusUsage       = 2
	statusResolve     = 6
	statusConnect     = 7
	statusWrite       = 23
	statusRead        = 26
	statusTimeout     = 28
	statusTLS         = 35
	statusReset       = 56
	statusCertificate = 60
	statusHTTP3       = 95
	statusInterrupted = 130
)

const statusHelp = `Exit status: 0 answered, 2 wrong usage, 6 no such host, 7 connection refused, 23 can't write, 26 can't read,
28 timed out, 35 TLS failed (such as no HTTP/3 there: the wrong ALPN), 56 the connection or the response was
reset, 60 the certificate does not verify, 95 HTTP/3 or QUIC broken by the server, 130 interrupted.`

// failure is why a transfer failed, for people and for scripts.
type failure struct {
	status int
	text   string // one line
}

// localError is a failure on this side, of a file.
type localError struct {
	status int
	err    error
}

func (e *localError) Error() string { return e.err.Error() }
func (e *localError) Unwrap() error { return e.err }

// classify finds out what an error of a transfer means.
func classify(ctx context.Context, u *url.URL, err error) *failure {
	f := classifyError(ctx, u, err)
	// A peer's reason may hold anything.
	f.text = strings.Join(strings.Fields(f.text), " ")
	f.text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, f.text)
	return f
}

func classifyError(ctx context.Context, u *url.URL, err error) *failure {
	if ctx.Err() != nil {
		return &failure{statusInterrupted, "interrupted"}
	}
	var local *localError
	if errors.As(err, &local) {
		return &failure{local.status, local.Error()}
	}
	var file *fs.PathError
	if errors.As(err, &file) {
		return &failure{statusRead, file.Error()}
	}
	var dns *net.DNSError
	if errors.As(err, &dns) {
		if dns.IsNotFound {
			return &failure{statusResolve, "no such host: " + dns.Name}
		}
		return &failure{statusResolve, "the name " + dns.Name + " could not be looked up: " + dns.Err}
	}
	if errors.Is(err, syscall.ECONNREFUSED) {
		return &failure{statusConnect, "connection refused: nothing listens on UDP port " + portName(u)}
	}
	if errors.Is(err, http3.ErrALPN) {
		return &failure{statusTLS, "the server does not speak HTTP/3 on this port: it refused the ALPN protocol h3"}
	}
	if text := certificateProblem(err, u.Hostname()); text != "" {
		return &failure{statusCertificate, "the certificate does not verify: " + text}
	}
	return classifyConnection(u, err)
}

// classifyConnection goes on with errors of QUIC and HTTP/3.
func classifyConnection(u *url.URL, err error) *failure {
	var transport *quic.TransportError
	var request *h3.Error
	var application *quic.ApplicationError
	var timeout interface{ Timeout() bool }
	switch {
	case errors.Is(err, quic.ErrIdleTimeout):
		return &failure{statusTimeout, "timed out: the server fell silent"}
	case errors.As(err, &timeout) && timeout.Timeout():
		return &failure{statusTimeout, "timed out: no answer on UDP port " + portName(u)}
	case errors.Is(err, quic.ErrStatelessReset):
		return &failure{statusReset, "connection reset: the server has lost it (a stateless reset)"}
	case errors.Is(err, quic.ErrVersionNegotiation):
		return &failure{statusTLS, "no version of QUIC in common with the server"}
	case errors.As(err, &transport):
		return classifyTransport(transport, err)
	case errors.As(err, &request) && request.Remote:
		return &failure{statusReset, "reset by the server: " + err.Error()}
	case errors.As(err, &application) && application.Remote:
		return &failure{statusReset, "connection closed by the server: " + err.Error()}
	case errors.As(err, &request):
		return &failure{statusHTTP3, "the server broke HTTP/3: " + err.Error()}
	}
	return &failure{statusOther, err.Error()}
}

func classifyTransport(e *quic.TransportError, err error) *failure {
	switch {
	case e.Code == quic.ConnectionRefused && e.Remote:
		return &failure{statusConnect, "the server refuses connections: " + err.Error()}
	case e.Code >= quic.CryptoError && e.Code <= quic.CryptoError+0xff:
		alert := tls.AlertError(e.Code - quic.CryptoError)
		who := "this side"
		if e.Remote {
			who = "the server"
		}
		text := fmt.Sprintf("the TLS handshake failed: %s says %q", who, strings.TrimPrefix(alert.Error(), "tls: "))
		if e.Err != nil {
			text += " (" + e.Err.Error() + ")"
		}
		return &failure{statusTLS, text}
	case e.Remote:
		return &failure{statusReset, "connection closed by the server: " + err.Error()}
	}
	return &failure{statusHTTP3, "the server broke QUIC: " + err.Error()}
}

// certificateProblem says why a server's certificate does not verify, or "" if that is not what went wrong.
func certificateProblem(err error, host string) string {
	const remedy = " (--cacert FILE trusts another authority, -k goes on without)"
	var unknown x509.UnknownAuthorityError
	if errors.As(err, &unknown) {
		return "it is signed by an unknown authority" + remedy
	}
	var name x509.HostnameError
	if errors.As(err, &name) {
		names := append([]string(nil), name.Certificate.DNSNames...)
		for _, ip := range name.Certificate.IPAddresses {
			names = append(names, ip.String())
		}
		valid := "no name"
		if len(names) > 0 {
			valid = strings.Join(names, ", ")
		}
		return "it is for " + valid + ", not for " + host
	}
	var invalid x509.CertificateInvalidError
	if errors.As(err, &invalid) {
		if invalid.Reason == x509.Expired && invalid.Cert != nil {
			if time.Now().Before(invalid.Cert.NotBefore) {
				return "it is valid only from " + invalid.Cert.NotBefore.Format(time.DateTime)
			}
			return "it expired on " + invalid.Cert.NotAfter.Format(time.DateTime)
		}
		return strings.TrimPrefix(invalid.Error(), "x509: ")
	}
	var roots x509.SystemRootsError
	if errors.As(err, &roots) {
		return "this system has no list of authorities" + remedy
	}
	var verification *tls.CertificateVerificationError
	if errors.As(err, &verification) {
		return strings.TrimPrefix(verification.Err.Error(), "x509: ")
	}
	return ""
}

func portName(u *url.URL) string {
	if port := u.Port(); port != "" {
		return port
	}
	return "443"
}
