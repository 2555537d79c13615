package quicnet

import (
	"context"
	"net/netip"

	"github.com/dunlin-quic/dunlin/engine"
)

// Dial connects to address, "host:port", on a socket of its own that is closed with the connection. It returns once the
// handshake is complete, or when ctx ends.
func Dial(ctx context.Context, address string, cfg *DialConfig) (*Conn, error) {
	return dial(cfg, newDriver, func(c *engine.DialConfig) (*engine.Connection, error) {
		return engine.Dial(ctx, address, c)
	})
}

// DialOn connects to remote on an endpoint, which other connections share. It returns once the handshake is complete, or
// when ctx ends.
func DialOn(ctx context.Context, e *engine.Endpoint, remote netip.AddrPort, cfg *DialConfig) (*Conn, error) {
	return dial(cfg, newDriver, func(c *engine.DialConfig) (*engine.Connection, error) {
		return e.Dial(ctx, remote, c)
	})
}

func newDriver() *Driver { return NewDriver(nil) }

func dial(cfg *DialConfig, driver func() *Driver, on func(*engine.DialConfig) (*engine.Connection, error)) (*Conn, error) {
	if cfg == nil {
		cfg = &DialConfig{} // in which the engine misses something
	}
	connection, err := on(&engine.DialConfig{
		QUIC: cfg.QUIC,
		// Several are made if the name has several addresses.
		NewApplication: func(engine.ConnInfo) (engine.ApplicationOverQUIC, error) { return driver(), nil },
		CloseError:     closeError(cfg.CloseError),
		AttemptDelay:   cfg.AttemptDelay,
		Logger:         cfg.Logger,
		Metrics:        cfg.Metrics,
	})
	if err != nil {
		return nil, err
	}
	return connection.Application().(*Driver).Conn(), nil
}
