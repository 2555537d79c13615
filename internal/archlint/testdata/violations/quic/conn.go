package quic

import (
	_ "C" // want "the sans-IO core may not import C \(quic\)"
	"context"
	crand "crypto/rand"
	"math/rand/v2"
	"net"
	"net/netip"
	"os" // want "the sans-IO core may not import os \(quic\)"
	"sync"
	"time"

	_ "example.com/flock/engine" // want "quic may not import engine: quic is one connection"
	_ "example.com/flock/internal/deep"
)

type Conn struct {
	mu     sync.Mutex // want "sync.Mutex: the sans-IO core takes no lock"
	pool   sync.Pool
	remote netip.AddrPort
	sock   net.Conn // want "net.Conn: the sans-IO core has no sockets"
}

func (c *Conn) Run(ctx context.Context) error {
	go c.Run(ctx)           // want "go statement: the sans-IO core starts no goroutine \(quic\)"
	now := time.Now         // want "time.Now: the sans-IO core has no clock"
	time.Sleep(time.Second) // want "time.Sleep: "
	_ = time.Since(now())   // want "time.Since: "
	_ = rand.IntN(7)        // want "rand.IntN: hidden randomness"
	_ = rand.New(rand.NewPCG(1, 2))
	_, _ = crand.Read(nil) // want "crand.Read: hidden randomness"
	_ = crand.Reader
	_, _ = context.WithTimeout(ctx, 1) // want "context.WithTimeout: "
	os.Exit(0)
	return net.ErrClosed
}
