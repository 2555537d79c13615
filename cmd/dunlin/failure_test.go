package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/dunlin-quic/dunlin/h3"
	"github.com/dunlin-quic/dunlin/http3"
	"github.com/dunlin-quic/dunlin/quic"
)

func TestClassify(t *testing.T) {
	u, err := url.Parse("https://host.example:4433/")
	if err != nil {
		t.Fatal(err)
	}
	cert := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"a.example"}, IPAddresses: []net.IP{net.IPv6loopback},
		NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(-time.Hour),
	}
	verification := func(err error) error {
		return &quic.TransportError{Code: quic.CryptoError + 42, Err: &tls.CertificateVerificationError{Err: err}}
	}
	for _, test := range []struct {
		err    error
		status int
		text   string
	}{
		{&net.DNSError{Name: "host.example", IsNotFound: true}, 6, "no such host: host.example"},
		{&net.DNSError{Name: "host.example", Err: "server misbehaving"}, 6, "the name host.example could not be looked up: server misbehaving"},
		{&net.OpError{Op: "read", Err: os.NewSyscallError("recvmsg", syscall.ECONNREFUSED)}, 7, "connection refused: nothing listens on UDP port 4433"},
		{&quic.TransportError{Remote: true, Code: quic.ConnectionRefused}, 7, "the server refuses connections"},
		{quic.ErrHandshakeTimeout, 28, "timed out: no answer on UDP port 4433"},
		{context.DeadlineExceeded, 28, "timed out: no answer on UDP port 4433"},
		{quic.ErrIdleTimeout, 28, "timed out: the server fell silent"},
		{http3.ErrALPN, 35, "the server does not speak HTTP/3 on this port"},
		{&quic.TransportError{Remote: true, Code: quic.CryptoError + 40}, 35, `the TLS handshake failed: the server says "handshake failure"`},
		{quic.ErrVersionNegotiation, 35, "no version of QUIC in common"},
		{verification(x509.UnknownAuthorityError{}), 60, "the certificate does not verify: it is signed by an unknown authority (--cacert"},
		{verification(x509.HostnameError{Certificate: cert, Host: "host.example"}), 60, "it is for a.example, ::1, not for host.example"},
		{verification(x509.CertificateInvalidError{Cert: cert, Reason: x509.Expired}), 60, "it expired on "},
		{verification(x509.CertificateInvalidError{Cert: &x509.Certificate{NotBefore: time.Now().Add(time.Hour)}, Reason: x509.Expired}), 60, "it is valid only from "},
		{verification(errors.New("x509: something else")), 60, "the certificate does not verify: something else"},
		{&h3.Error{Remote: true, Code: h3.InternalError}, 56, "reset by the server: "},
		{&h3.Error{Code: h3.MessageError}, 95, "the server broke HTTP/3: "},
		{&quic.ApplicationError{Remote: true, Code: 0x100}, 56, "connection closed by the server: "},
		{&quic.TransportError{Remote: true, Code: quic.InternalError, Reason: "two\nlines"}, 56, "two lines"},
		{&quic.ApplicationError{Remote: true, Reason: "\x1b]0;title\a \u202egnp \xff"}, 56, "\ufffd]0;title\ufffd \ufffdgnp \ufffd"},
		{&quic.TransportError{Code: quic.FrameEncodingError}, 95, "the server broke QUIC: "},
		{quic.ErrStatelessReset, 56, "connection reset"},
		{&localError{statusWrite, errors.New("disk full")}, 23, "disk full"},
		{&fs.PathError{Op: "read", Path: "f", Err: errors.New("gone")}, 26, "read f: gone"},
		{errors.New("anything"), 1, "anything"},
	} {
		got := classify(context.Background(), u, fmt.Errorf("wrapped: %w", test.err))
		if got.status != test.status || !strings.Contains(got.text, test.text) || strings.Contains(got.text, "\n") {
			t.Errorf("%v: got %d %q, want %d and one line with %q", test.err, got.status, got.text, test.status, test.text)
		}
	}
	interrupted, cancel := context.WithCancel(context.Background())
	cancel()
	if got := classify(interrupted, u, errors.New("whatever came of it")); got.status != statusInterrupted {
		t.Errorf("after an interrupt: got %+v", got)
	}
}
