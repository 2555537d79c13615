package quicnet

import (
	"log/slog"

	"github.com/dunlin-quic/dunlin/engine"
	"github.com/dunlin-quic/dunlin/quic"
	"github.com/dunlin-quic/dunlin/udp"
)

// Config configures listeners and connections. The zero value is the default for every field and a negative number means
// none. It is copied on use.
type Config struct {
	// QUIC configures the connections. QUIC.TLS with NextProtos is required; [Dial] sets its ServerName if that is empty.
	QUIC *quic.Config
	// Backlog bounds the connections of a listener that wait for Accept; further ones are closed with CONNECTION_REFUSED.
	// Default 128.
	Backlog int
	// Retry says when clients must prove their address first.
	Retry quic.RetryPolicy
	// CloseCode is the application's code in the CONNECTION_CLOSE of connections that still run when their listener is
	// closed.
	CloseCode uint64
	// Endpoint and Socket configure what the function Listen creates.
	Endpoint engine.EndpointConfig
	Socket   udp.Config
	// Logger hears of the life of connections that the function Dial makes. Default: none.
	Logger *slog.Logger
}

const defaultBacklog = 128

// withDefaults returns a copy of c, which may be nil, with the defaults filled in.
func (c *Config) withDefaults() Config {
	var own Config
	if c != nil {
		own = *c
	}
	if own.Backlog == 0 {
		own.Backlog = defaultBacklog
	}
	own.Backlog = max(own.Backlog, 0)
	return own
}

func (c *Config) closeError() *quic.ApplicationError {
	return &quic.ApplicationError{Code: c.CloseCode}
}
