package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dunlin-quic/dunlin/engine"
	"github.com/dunlin-quic/dunlin/quic"
)

func TestEcho(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	cert, pool, err := certificate()
	if err != nil {
		t.Fatal(err)
	}
	l, err := engine.Listen(&engine.ListenConfig{
		QUIC:           &quic.Config{TLS: &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{protocol}}},
		NewApplication: func(engine.ConnInfo) (engine.ApplicationOverQUIC, error) { return &server{}, nil },
	}, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()

	c, err := dial(ctx, l.Addr().String(), &tls.Config{RootCAs: pool, NextProtos: []string{protocol}})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			// More than fits into the windows of both sides at a time, for some.
			want := strings.Repeat(fmt.Sprintf("message %d ", i), 1+i%5*20_000)
			got, err := c.echo(want)
			if err != nil {
				t.Error(err)
			} else if got != want {
				t.Errorf("%d: %d bytes came back as %d", i, len(want), len(got))
			}
		})
	}
	wg.Wait()
	c.close()
	<-c.connection.Done()
	if _, err := c.echo("anybody there?"); err != net.ErrClosed {
		t.Errorf("after close: %v", err)
	}

	// Another protocol is refused.
	_, err = dial(ctx, l.Addr().String(), &tls.Config{RootCAs: pool, NextProtos: []string{"gopher"}})
	if err == nil || !strings.Contains(err.Error(), "CRYPTO_ERROR") {
		t.Errorf("another ALPN: %v", err)
	}
}
