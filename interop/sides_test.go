package interop

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/dunlin-quic/dunlin/http3"
	"github.com/dunlin-quic/dunlin/quic"
	peerquic "github.com/quic-go/quic-go"
	peerhttp3 "github.com/quic-go/quic-go/http3"
)

// identity is a self-signed certificate for loopback, in memory and in files.
type identity struct {
	cert              tls.Certificate
	pool              *x509.CertPool
	certFile, keyFile string
}

var newIdentity = sync.OnceValues(func() (*identity, error) {
	dir, err := builtDir()
	if err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "localhost"},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(24 * time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:     []string{"localhost"},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	id := &identity{
		cert:     tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf},
		pool:     x509.NewCertPool(),
		certFile: filepath.Join(dir, "cert.pem"),
		keyFile:  filepath.Join(dir, "key.pem"),
	}
	id.pool.AddCert(leaf)
	err = os.WriteFile(id.certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600)
	if err == nil {
		err = os.WriteFile(id.keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), 0o600)
	}
	return id, err
})

func testIdentity(t *testing.T) *identity {
	t.Helper()
	id, err := newIdentity()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// side is one implementation in both roles.
type side struct {
	name   string
	serve  func(t *testing.T, h http.Handler) netip.AddrPort
	client func(t *testing.T) http.RoundTripper
}

var (
	ours   = side{"dunlin", func(t *testing.T, h http.Handler) netip.AddrPort { return serveDunlin(t, h, nil) }, newDunlinClient}
	quicGo = side{"quic-go", serveQuicGo, newQuicGoClient}
)

// pairs are the combinations with Dunlin on one end at least.
var pairs = []struct {
	name           string
	client, server side
}{
	{"dunlin from dunlin", ours, ours},
	{"quic-go from dunlin", quicGo, ours},
	{"dunlin from quic-go", ours, quicGo},
}

func serveDunlin(t *testing.T, h http.Handler, config *quic.Config) netip.AddrPort {
	t.Helper()
	return observe(t, h, config, quic.RetryUnderLoad).addr
}

// client is a peer's http.RoundTripper that must be closed.
type client interface {
	http.RoundTripper
	io.Closer
}

// clients makes a client of each implementation that trusts the authorities of pool.
var clients = map[string]func(pool *x509.CertPool) client{
	"dunlin": func(pool *x509.CertPool) client {
		return &http3.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, DisableCompression: true}
	},
	"quic-go": func(pool *x509.CertPool) client {
		return &peerhttp3.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, DisableCompression: true}
	},
}

func newDunlinClient(t *testing.T) http.RoundTripper { return newClient(t, "dunlin") }
func newQuicGoClient(t *testing.T) http.RoundTripper { return newClient(t, "quic-go") }

// newClient makes a client that is closed when the test ends.
func newClient(t *testing.T, name string) http.RoundTripper {
	t.Helper()
	c := clients[name](testIdentity(t).pool)
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func serveQuicGo(t *testing.T, h http.Handler) netip.AddrPort {
	t.Helper()
	socket, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	config := peerhttp3.ConfigureTLSConfig(&tls.Config{Certificates: []tls.Certificate{testIdentity(t).cert}})
	server := &peerhttp3.Server{Handler: h, TLSConfig: config, EnableDatagrams: true}
	served := make(chan error, 1)
	go func() { served <- server.Serve(socket) }()
	t.Cleanup(func() {
		server.Close()
		socket.Close()
		<-served
	})
	return addrPort(socket.LocalAddr())
}

// dialQuicGo makes a raw connection of quic-go's with the ALPN protocol of HTTP/3: what it then says is not HTTP/3
// unless the caller writes it.
func dialQuicGo(ctx context.Context, addr netip.AddrPort, pool *x509.CertPool) (*peerquic.Conn, error) {
	return peerquic.DialAddr(ctx, addr.String(), &tls.Config{RootCAs: pool, NextProtos: []string{"h3"}}, nil)
}

func urlOf(addr netip.AddrPort) string { return "https://" + addr.String() + "/" }

func addrPort(a net.Addr) netip.AddrPort { return netip.MustParseAddrPort(a.String()) }
