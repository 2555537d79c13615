//go:build linux

package steering_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/dunlin-quic/dunlin/engine"
	"github.com/dunlin-quic/dunlin/engine/steering"
	"github.com/dunlin-quic/dunlin/internal/testcert"
	"github.com/dunlin-quic/dunlin/quic"
)

// The old and the new process of a server that restarts, here in one.
func Example() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	cert, _ := testcert.Get()

	start := func(address string) (*steering.Member, *engine.Endpoint) {
		m, err := steering.Join(&steering.Config{Dir: dir, Addresses: []string{address}})
		if err != nil {
			log.Fatal(err)
		}
		cfg := &engine.ListenConfig{
			QUIC: &quic.Config{TLS: &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"example"}}},
			NewApplication: func(engine.ConnInfo) (engine.ApplicationOverQUIC, error) {
				return engine.Base{}, nil
			},
		}
		m.Configure(&cfg.Endpoint)
		e, err := engine.NewEndpoint(&cfg.Endpoint, m.Sockets()...)
		if err != nil {
			log.Fatal(err)
		}
		if _, err := e.Listen(cfg); err != nil {
			log.Fatal(err)
		}
		return m, e
	}

	first, old := start("127.0.0.1:0")
	second, next := start(first.Addrs()[0].String())
	fmt.Println("members", first.Number(), "and", second.Number(), "share an address:", old.LocalAddr() == next.LocalAddr())

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	fmt.Println("the first ends when its connections have:", old.Shutdown(ctx))
	next.Close()
	// Output:
	// members 1 and 2 share an address: true
	// the first ends when its connections have: <nil>
}
