package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/dunlin-quic/dunlin/http3"
)

func TestServer(t *testing.T) {
	log.SetOutput(t.Output())
	t.Cleanup(func() { log.SetOutput(os.Stderr) }) // the end of a connection is told when the listener is gone
	certificate, err := makeCertificate()
	if err != nil {
		t.Fatal(err)
	}
	listener, err := start("127.0.0.1:0", certificate)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(certificate.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	transport := &http3.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	defer transport.Close()
	client := &http.Client{Transport: transport, Timeout: 10 * time.Second}
	url := "https://" + listener.Addr().String() + "/path"

	for _, body := range []string{"", strings.Repeat("round trip ", 100_000)} {
		res, err := client.Post(url, "text/plain", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || !strings.Contains(string(got), ":path: /path\n") || !strings.HasSuffix(string(got), body) {
			t.Errorf("%d bytes came back for %d, %v", len(got), len(body), err)
		}
		if body != "" && res.Trailer.Get("X-Received") != "all" {
			t.Errorf("trailers %v", res.Trailer)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := listener.Shutdown(ctx); err != nil {
		t.Error(err)
	}
}
