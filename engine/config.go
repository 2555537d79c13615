package engine

import (
	"log/slog"
	"time"

	"github.com/dunlin-quic/dunlin/metrics"
	"github.com/dunlin-quic/dunlin/quic"
	"github.com/dunlin-quic/dunlin/udp"
)

// EndpointConfig configures an [Endpoint]. The zero value is the default for every field and a negative number means none.
type EndpointConfig struct {
	// ConnectionIDs makes the connection IDs of all connections of the endpoint, which routes by them; it replaces the
	// field of the same name in quic.Config. If it is a quic.ConnectionIDVerifier, packets with unknown IDs that it does not
	// know for its own are not answered. Default: 8 random bytes.
	ConnectionIDs quic.ConnectionIDGenerator
	// StatelessResetKey replaces the field of the same name in quic.Config. Default: random.
	StatelessResetKey *[32]byte
	// TokenKeys make address-validation tokens; a fleet shares them, or StatelessResetKey, which else makes them.
	TokenKeys *quic.TokenKeys
	// TokenStore remembers which of those tokens were used, so that each is good once. A fleet can share one. Default: one
	// in memory.
	TokenStore quic.TokenStore

	// MaxHandshakes bounds the server handshakes in progress; further attempts are dropped. From half of it on
	// quic.RetryUnderLoad makes clients prove their address. Default 1,000.
	MaxHandshakes int
	// MaxConnections bounds the connections that clients make to this endpoint; further ones are refused with
	// CONNECTION_REFUSED. Default none.
	MaxConnections int

	// MailboxBytes bounds the memory that packets may take up while they wait for one connection, EndpointMailboxBytes for
	// all of them. Defaults 4 MiB and 64 MiB.
	MailboxBytes, EndpointMailboxBytes int

	// NonQUIC is offered every datagram that may be of another protocol on the same sockets, such as STUN, DTLS or RTP, by its
	// first byte (RFC 9443, Section 3: 0 to 79, or 128 to 191), and returns whether it took it; if not, it is QUIC's. Those from
	// 64 to 79 are channels of TURN if they come from a server of TURN, and packets of QUIC otherwise. It is called by
	// the goroutines that read the sockets and must not block. The QUIC bit is not greased then (RFC 9287,
	// Section 3). [Endpoint.WriteTo] sends such datagrams. Default: everything is QUIC's.
	NonQUIC func(Datagram) bool

	// Steering passes on what belongs to other endpoints at the same address: see package engine/steering, whose
	// Member.Configure sets this and the fields that go with it. Default: there are no others.
	Steering Steering

	// Metrics hears what happens on the endpoint. Default: none, at no cost.
	Metrics metrics.Metrics
	// Audit has the bandwidth in use, losses and streams of each connection measured for [Connection.Audit] even if there are
	// no Metrics. The rest of an audit is there in any case.
	Audit bool

	// Logger hears of the life of connections. Default: none.
	Logger *slog.Logger

	closeWhenIdle bool // for one connection only
}

// ListenConfig configures a [Listener].
type ListenConfig struct {
	// QUIC configures the connections; QUIC.TLS with a certificate is required.
	QUIC *quic.Config
	// NewApplication is required.
	NewApplication NewApplicationFunc
	// EarlyStart makes the application of a connection whose early data QUIC.EarlyData lets in begin, and answer, before
	// the handshake is complete. What it reads until quic.EventEstablished may be a replay: see [Session.Early]. Otherwise
	// it begins when the handshake is complete, and reads early data then, when nothing can be a replay any more.
	EarlyStart bool
	// Retry says when clients must prove their address first.
	Retry quic.RetryPolicy
	// CloseError is what the listener's Shutdown and Close, and [Connection.Close], tell the peers. Default: the transport's NO_ERROR.
	CloseError *quic.ApplicationError
	// Preferred are addresses at which the function Listen listens as well, and to which it asks clients to move once they are
	// connected (RFC 9000, Section 9.6): one of each family at most, which name the IP address. Whoever has sockets that are
	// reached by other addresses than their own sets QUIC.PreferredAddress instead. Default none.
	Preferred []string
	// Endpoint and Socket configure what the function Listen creates; they are not for Endpoint.Listen.
	Endpoint EndpointConfig
	Socket   udp.Config
}

// DialConfig configures one [Connection].
type DialConfig struct {
	// QUIC configures the connection. QUIC.TLS is required; the function Dial sets its ServerName if that is empty.
	QUIC *quic.Config
	// NewApplication is required.
	NewApplication NewApplicationFunc
	// EarlyStart makes the application begin, and Dial return, at once where early data can be sent (QUIC.EarlyData). What
	// is sent before quic.EventEstablished an attacker can replay: see [Session.Early]. Whether the peer is there, and
	// who it says, is known with that event; quic.EventEarlyDataRejected tells first what the server did not take.
	EarlyStart bool
	// CloseError is what [Connection.Close], and Shutdown and Close of the endpoint, tell the peer. Default: the transport's NO_ERROR.
	CloseError *quic.ApplicationError
	// AttemptDelay is how long the function Dial waits for one address of a name before it tries the next beside it
	// (RFC 8305, Section 5). Default 250 ms.
	AttemptDelay time.Duration
	// Logger and Metrics hear of the life of the connection that the function Dial makes. Default: none.
	Logger  *slog.Logger
	Metrics metrics.Metrics
}
