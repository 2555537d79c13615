package h3driver

import (
	"time"

	"github.com/dunlin-quic/dunlin/h3"
)

// Config configures a driver. The zero value is the default for every field and a negative number means none. A Config
// is copied on use.
type Config struct {
	// H3 configures HTTP/3. Optional.
	H3 *h3.Config

	// OnEvent, if set, is told every event in the connection's own step, instead of NextEvent. It must not block, so of
	// [Stream]'s methods only CancelRead, CancelWrite, ID and the setters of deadlines are allowed in it. What the
	// event lends (Fields, Settings) is valid until OnEvent returns.
	OnEvent func(Event)

	// HeaderTimeout bounds, on servers, the time from the opening of a request's stream to the end of its header
	// section. A request that takes longer is refused with H3_REQUEST_INCOMPLETE; the others go on. Default 10 s.
	HeaderTimeout time.Duration
	// IdleTimeout closes the connection, after a GOAWAY, when no request has been running for that long. Default none:
	// QUIC's own idle timeout applies.
	IdleTimeout time.Duration
	// FirstRequestTimeout closes, on servers, a connection on which no request's header section has arrived that long after the
	// handshake, after a GOAWAY. Default none.
	FirstRequestTimeout time.Duration
	// MaxRequests bounds, on servers, the requests of one connection: with the last of them a GOAWAY goes out, those that came
	// after it are rejected so that the client sends them elsewhere, and when all are answered the connection ends.
	// Default none.
	MaxRequests int
}

const defaultHeaderTimeout = 10 * time.Second

func (c *Config) withDefaults() Config {
	var out Config
	if c != nil {
		out = *c
	}
	if out.HeaderTimeout == 0 {
		out.HeaderTimeout = defaultHeaderTimeout
	}
	return out
}
