package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/dunlin-quic/dunlin/http3"
)

func TestClient(t *testing.T) {
	log.SetOutput(t.Output())
	t.Cleanup(func() { log.SetOutput(os.Stderr) })
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
		NotAfter:     time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	listener, err := http3.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http3.Server{
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusEarlyHints)
			io.WriteString(w, r.Method+" "+r.URL.Path+" ")
			io.Copy(w, r.Body)
			w.Header().Set(http.TrailerPrefix+"X-Last", "word")
		}),
	}
	go server.Serve(listener)
	defer server.Close()

	url := "https://" + listener.Addr().String()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	var out bytes.Buffer
	if err := run(ctx, &out, roots, "the body", url+"/a", url+"/b"); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{url + "/a:\nPOST /a the body", url + "/b:\nPOST /b the body", "trailer x-last: word\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not part of %q", want, out.String())
		}
	}
	if err := run(ctx, &out, x509.NewCertPool(), "", url); err == nil {
		t.Error("an unknown certificate is accepted")
	}
}
