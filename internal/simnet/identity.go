package simnet

import (
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"sync"
	"time"
)

// ServerName is the name that the certificate of [World.TLS] is for.
const ServerName = "server.simnet.test"

// ALPN is the application protocol of [World.TLS].
const ALPN = "simnet"

// identity is the servers' self-signed certificate: always the same bytes, so that handshakes repeat.
var identity = sync.OnceValue(func() *x509.Certificate {
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: ServerName},
		DNSNames:              []string{ServerName},
		NotBefore:             beginning.Add(-time.Hour),
		NotAfter:              beginning.Add(365 * 24 * time.Hour),
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	der, err := x509.CreateCertificate(nil, template, template, identityKey().Public(), identityKey())
	if err != nil {
		panic(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return cert
})

var identityKey = sync.OnceValue(func() ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed([]byte("a key for a network that is none"))
})

// TLS returns configs for a client and a server of this world: its clock, and a certificate that the client verifies.
func (w *World) TLS() (client, server *tls.Config) {
	roots := x509.NewCertPool()
	roots.AddCert(identity())
	client = &tls.Config{
		NextProtos: []string{ALPN},
		ServerName: ServerName,
		RootCAs:    roots,
		Time:       w.Now,
		// The hybrid key exchange takes a second Initial packet and some time. Who tests it sets it.
		CurvePreferences: []tls.CurveID{tls.X25519},
	}
	server = &tls.Config{
		NextProtos: []string{ALPN},
		Certificates: []tls.Certificate{{
			Certificate: [][]byte{identity().Raw}, PrivateKey: identityKey(), Leaf: identity(),
		}},
		Time: w.Now,
	}
	return client, server
}
