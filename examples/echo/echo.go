// Echo is a protocol of its own over QUIC, with its own ALPN: a server sends back what comes on every stream. It shows how
// small an engine.ApplicationOverQUIC is: server.go is the server's side, client.go the client's, and
//
//	go run ./examples/echo
//
// runs both and sends the lines of its standard input through them.
package main

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log"
	"math/big"
	"net"
	"os"
	"time"

	"github.com/dunlin-quic/dunlin/engine"
	"github.com/dunlin-quic/dunlin/quic"
)

// protocol is what both sides name in the handshake (RFC 7301).
const protocol = "dunlin-echo"

func main() {
	log.SetFlags(0)
	if err := run(context.Background()); err != nil {
		log.Fatal("echo: ", err)
	}
}

func run(ctx context.Context) error {
	cert, pool, err := certificate()
	if err != nil {
		return err
	}
	listener, err := engine.Listen(&engine.ListenConfig{
		QUIC:           &quic.Config{TLS: &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{protocol}}},
		NewApplication: func(engine.ConnInfo) (engine.ApplicationOverQUIC, error) { return &server{}, nil },
	}, "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer listener.Close()

	c, err := dial(ctx, listener.Addr().String(), &tls.Config{RootCAs: pool, NextProtos: []string{protocol}})
	if err != nil {
		return err
	}
	defer c.close()

	fmt.Println("Type something:")
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		answer, err := c.echo(lines.Text())
		if err != nil {
			return err
		}
		fmt.Println("The server says:", answer)
	}
	return nil
}

// certificate makes a certificate for 127.0.0.1, and the pool that trusts it.
func certificate() (tls.Certificate, *x509.CertPool, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool, nil
}
