package quicnet

import (
	"log/slog"
	"time"

	"github.com/dunlin-quic/dunlin/engine"
	"github.com/dunlin-quic/dunlin/metrics"
	"github.com/dunlin-quic/dunlin/quic"
	"github.com/dunlin-quic/dunlin/udp"
)

// ListenConfig configures a [Listener]. The zero value is the default for every field and a negative number means none. It is
// copied on use.
type ListenConfig struct {
	// QUIC configures the connections; QUIC.TLS with a certificate and NextProtos is required.
	QUIC *quic.Config
	// Backlog bounds the connections that wait for Accept; further ones are closed with CONNECTION_REFUSED. Default 128;
	// a negative number sets no bound.
	Backlog int
	// Retry says when clients must prove their address first.
	Retry quic.RetryPolicy
	// CloseError is what [Conn.Close], [Listener.Close] and [Listener.Shutdown] tell the peers. Default: code 0 of the
	// application, without a reason.
	CloseError *quic.ApplicationError
	// Preferred are addresses at which the functions Listen and ListenNet listen as well, and to which clients are asked to
	// move once they are connected: see engine.ListenConfig. Default none.
	Preferred []string
	// Endpoint and Socket configure what the functions Listen and ListenNet create; they are not for ListenOn.
	Endpoint engine.EndpointConfig
	Socket   udp.Config
}

// DialConfig configures a [Conn] of a client. The zero value is the default for every field and a negative number means none.
// It is copied on use.
type DialConfig struct {
	// QUIC configures the connection. QUIC.TLS with NextProtos is required; Dial and DialNet set its ServerName if that is
	// empty.
	QUIC *quic.Config
	// CloseError is what [Conn.Close] tells the peer. Default: code 0 of the application, without a reason.
	CloseError *quic.ApplicationError
	// AttemptDelay is how long Dial and DialNet wait for one address of a name before they try the next beside it (RFC 8305,
	// Section 5). Default 250 ms.
	AttemptDelay time.Duration
	// Logger and Metrics hear of the life of the connections that Dial and DialNet make. Default: none.
	Logger  *slog.Logger
	Metrics metrics.Metrics
}

const defaultBacklog = 128

// closeError returns what closes a connection: err, or what stands for nil.
func closeError(err *quic.ApplicationError) *quic.ApplicationError {
	if err == nil {
		return &quic.ApplicationError{}
	}
	return err
}
