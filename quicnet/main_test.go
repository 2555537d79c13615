package quicnet_test

import (
	"context"
	"crypto/tls"
	"testing"
	"time"

	"github.com/dunlin-quic/dunlin/internal/leakcheck"
	"github.com/dunlin-quic/dunlin/internal/testcert"
	"github.com/dunlin-quic/dunlin/quic"
	"github.com/dunlin-quic/dunlin/quicnet"
)

func TestMain(m *testing.M) { leakcheck.Main(m) }

const protocol = "test"

func serverConfig(q quic.Config) *quicnet.ListenConfig {
	cert, _ := testcert.Get()
	q.TLS = &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{protocol}}
	return &quicnet.ListenConfig{QUIC: &q}
}

func clientConfig(q quic.Config) *quicnet.DialConfig {
	_, roots := testcert.Get()
	q.TLS = &tls.Config{RootCAs: roots, NextProtos: []string{protocol}}
	return &quicnet.DialConfig{QUIC: &q}
}

func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// listen returns a listener that is closed with the test.
func listen(t *testing.T, cfg *quicnet.ListenConfig) *quicnet.Listener {
	t.Helper()
	l, err := quicnet.Listen(cfg, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// connect returns both ends of a connection.
func connect(t *testing.T, server, client quic.Config) (s, c *quicnet.Conn) {
	t.Helper()
	l := listen(t, serverConfig(server))
	c, err := quicnet.Dial(testContext(t), l.Addr().String(), clientConfig(client))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(); <-c.Done() })
	if s, err = l.Accept(testContext(t)); err != nil {
		t.Fatal(err)
	}
	return s, c
}
