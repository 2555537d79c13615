package quic

import (
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/dunlin-quic/dunlin/internal/wire"
	"github.com/dunlin-quic/dunlin/qlog"
)

// DefaultMaxStreams is how many streams of each kind a peer may have open at a time where a Config does not say.
const DefaultMaxStreams = 100

// Config configures connections. The zero value is the default for every field and a negative number means none.
// A Config is copied on use; the TLS config and the hooks it points to must not be changed afterwards.
type Config struct {
	// TLS is required: NextProtos must name at least one protocol, servers need a certificate, clients a ServerName
	// (or InsecureSkipVerify). MinVersion is raised to TLS 1.3.
	TLS *tls.Config

	// Versions are the versions of QUIC to use, the preferred one first. A server picks the first one that the client
	// offers, at no cost of a round trip (RFC 9368, Section 2.3). A client offers all of them, and falls back to the first
	// one that a server speaks which does not know that of its first packets. Versions 1 and 2 differ in nothing that an
	// application sees. Default: all that there are; a client then prefers version 1, a server what the client prefers.
	Versions []Version
	// OriginalVersion is the one of Versions that a client's first packets are of. A server that does not know it costs
	// a round trip. A client that has a session with the server for another of Versions alone begins with that, since
	// sessions are bound to versions. Default: version 1 if that is among them, else the preferred one.
	OriginalVersion Version

	// HandshakeTimeout bounds the time until the handshake is confirmed. Default 10 s.
	HandshakeTimeout time.Duration
	// IdleTimeout is the max_idle_timeout offered to the peer; the lower of both sides' holds
	// (RFC 9000, Section 10.1). Default 30 s.
	IdleTimeout time.Duration
	// KeepAlive sends a PING after that much silence, capped at half the idle timeout. Default none.
	KeepAlive time.Duration

	// StreamWindow is the initial receive window of a stream, MaxStreamWindow what auto-tuning may raise it to, in
	// bytes. Defaults 512 KiB and 16 MiB.
	StreamWindow, MaxStreamWindow int
	// ConnWindow is the initial receive window of the connection, MaxConnWindow what auto-tuning may raise it to, in
	// bytes. Defaults 768 KiB and 24 MiB.
	ConnWindow, MaxConnWindow int
	// MaxBidiStreams and MaxUniStreams bound the streams that the peer may have open at a time. Default DefaultMaxStreams.
	MaxBidiStreams, MaxUniStreams int

	// MaxPacketSize is the largest UDP payload that path MTU discovery tries, in bytes. Default 1,452; a negative
	// number turns discovery off, so that datagrams stay at 1,200 bytes.
	MaxPacketSize int
	// CongestionControl names the congestion controller. Default CUBIC.
	CongestionControl CongestionControl
	// NewCongestionController, if set, makes the congestion controller instead: for every path that comes into use, of
	// which a full packet has maxDatagram bytes at first. Connections call it at the same time. If it returns nil, the
	// path gets the controller that CongestionControl names.
	NewCongestionController func(maxDatagram int) CongestionController
	// NoPacing sends as fast as the congestion window allows.
	NoPacing bool

	// NoQUICBitGrease takes part in no greasing of the QUIC bit (RFC 9287): all packets have the bit, those of the peer, too.
	// So QUIC can be told from other protocols that share a socket with it (RFC 9443).
	NoQUICBitGrease bool

	// AckFrequency asks a peer that takes such requests (draft-ietf-quic-ack-frequency) for sixteen acknowledgments of a
	// congestion window, when that is large, instead of one for every second packet: for paths on which acknowledgments are
	// dear, as they are where the way back is narrow. Feedback becomes coarser by that, and queues longer, BBR's above all,
	// which is why it is off by default. What the peer asks for is done in any case.
	AckFrequency bool

	// ConnectionIDs generates the connection IDs that this side issues. Default: 8 random bytes.
	ConnectionIDs ConnectionIDGenerator
	// StatelessResetKey makes stateless reset tokens and, on servers, address-validation tokens. Share it between
	// the servers of a fleet. Default: random, per Config use.
	StatelessResetKey *[32]byte

	// PreferredAddress is where a server wants its clients to move once the handshake is confirmed (RFC 9000, Section 9.6):
	// packets to that address must reach the connection, too. Default none.
	PreferredAddress PreferredAddress
	// IgnorePreferredAddress keeps a client at the server's first address. By default it moves to the preferred one if that
	// is of the same address family, can be reached, and is no more local than the first.
	IgnorePreferredAddress bool
	// DisableActiveMigration asks the peer not to use other addresses of its own accord (RFC 9000, Section 18.2). Changes
	// that it does not know of, by a NAT, are followed all the same.
	DisableActiveMigration bool

	// MaxDatagramFrame is the max_datagram_frame_size offered (RFC 9221, Section 3). Default 65,535; a negative
	// number refuses datagrams.
	MaxDatagramFrame int

	// Tokens is where clients keep the tokens that servers gave them. Default none.
	Tokens TokenCache

	// EarlyData turns on early data (0-RTT, RFC 9001, Section 4.6), which costs no round trip and which an attacker can
	// replay. Default off.
	//
	// A client sends it where TLS.ClientSessionCache has a session with a server that takes any: see
	// [EventEarlyData]. A server takes it from whoever resumes one of its sessions of the last 24 hours, if neither
	// its limits have become lower nor SessionData another, and if EarlyDataStore lets it. With a TLS.KeyLogWriter, which
	// then gets a line from here, too, that must be safe for concurrent use.
	EarlyData bool
	// SessionData is what the application protocol of a server wants to be the same as it was when a client got its
	// session, for early data to be taken: such as HTTP/3's SETTINGS. At most 1,024 bytes.
	SessionData []byte
	// EarlyDataStore remembers at servers which sessions were resumed with early data, so that each is only once
	// (RFC 8446, Section 8.1). Default: a store in memory, of up to about 65,536 sessions, which goes with sessions
	// of this Config alone: those of another server or of the process before are resumed without early data. A
	// fleet that shares session ticket keys can share a store.
	EarlyDataStore TokenStore

	// NewTracer, if set, is asked for a tracer of every connection attempt, which hears what happens: a [qlog.Trace] writes it
	// to a file. odcid is the original destination connection ID, by which the traces of both ends are recognised. A nil
	// tracer hears nothing. On a server, whoever sends an Initial packet causes a call. Connections call it at the same time.
	// Default none, which costs nothing.
	NewTracer func(side Side, odcid ConnectionID) qlog.Tracer

	// Rand is the source of connection IDs and other unpredictable bytes. Default crypto/rand.Reader.
	Rand io.Reader

	peersChoice bool // a server picks what the client prefers

	secrets  *endpointSecrets // set by Resolve: the config is complete, and never changes again
	sessions *sessionConfigs
	// issuer is in the tickets that a server issues: without a store in common, it takes early data with its own alone.
	issuer uint64
}

// TokenCache keeps address-validation tokens of servers for clients (RFC 9000, Section 8.1.3). Safe for concurrent
// use, and non-blocking.
type TokenCache interface {
	// PutToken keeps token for connections to serverName that begin with version v; it is good for no others (RFC 9369,
	// Section 5). token is a server's token and what else the client remembers of it; the callee owns its memory.
	PutToken(serverName string, v Version, token []byte)
	// TakeToken returns a token for serverName and version v and forgets it, so that no token is seen on two
	// connections; nil if there is none.
	TakeToken(serverName string, v Version) []byte
}

// CongestionControl names a congestion controller.
type CongestionControl uint8

// The congestion controllers.
const (
	CUBIC   CongestionControl = iota // RFC 9438
	NewReno                          // RFC 9002, Section 7
	BBR                              // version 3 (draft-ietf-ccwg-bbr)
)

// ConnectionIDVerifier is an optional interface of a [ConnectionIDGenerator] whose IDs can be told from others', such as those with
// the number of a server or a checksum in them. What comes for an ID that is not known is answered by a stateless reset, unless
// it can't be one of ours: then it is dropped and counted (DropForeignID). Safe for concurrent use.
type ConnectionIDVerifier interface {
	// VerifyConnectionID reports whether the generator, or another one of the same server, may have made id.
	VerifyConnectionID(id ConnectionID) bool
}

// ConnectionIDGenerator makes the connection IDs that a side issues. All IDs have the same length. Safe for concurrent
// use: the routers and connections of a listener share one.
type ConnectionIDGenerator interface {
	// Len returns the length of every ID, 0 to 20 bytes.
	Len() int
	// Generate returns a new ID that an observer can't link to others (RFC 9000, Section 5.1).
	Generate() ConnectionID
}

// The bounds of a datagram's size (RFC 9000, Sections 14.1 and 18.2).
const (
	minDatagramSize = 1200
	maxDatagramSize = 65527
)

// activeConnectionIDLimit is how many connection IDs of the peer a connection keeps at a time.
// RFC 9000, Section 18.2 (MUST 6).
const activeConnectionIDLimit = 8

// Resolve returns a copy of c in which every default is filled in, ready for any number of connections. An owner of
// many connections calls it once: [NewClient] and [NewServer] then share the result, while they make a copy of their own of a
// Config that is not resolved, and with it TLS session ticket keys that no other connection has.
func (c *Config) Resolve() (*Config, error) {
	if c == nil {
		return nil, errors.New("quic: no config")
	}
	if c.secrets != nil {
		return c, nil
	}
	r := *c
	if r.TLS == nil {
		return nil, errors.New("quic: Config.TLS is required")
	}
	if len(r.TLS.NextProtos) == 0 && r.TLS.GetConfigForClient == nil {
		return nil, errors.New("quic: Config.TLS.NextProtos is required")
	}
	if r.TLS.MinVersion < tls.VersionTLS13 {
		r.TLS = r.TLS.Clone()
		r.TLS.MinVersion = tls.VersionTLS13
	}
	if err := r.resolveVersions(); err != nil {
		return nil, err
	}
	r.HandshakeTimeout = durationOr(r.HandshakeTimeout, 10*time.Second)
	r.IdleTimeout = durationOr(r.IdleTimeout, 30*time.Second)
	r.KeepAlive = durationOr(r.KeepAlive, 0)
	for _, f := range []struct {
		v   *int
		def int
	}{
		{&r.StreamWindow, 512 << 10}, {&r.MaxStreamWindow, 16 << 20}, {&r.ConnWindow, 768 << 10}, {&r.MaxConnWindow, 24 << 20},
		{&r.MaxBidiStreams, DefaultMaxStreams}, {&r.MaxUniStreams, DefaultMaxStreams}, {&r.MaxPacketSize, 1452}, {&r.MaxDatagramFrame, 65535},
	} {
		*f.v = intOr(*f.v, f.def)
	}
	r.MaxStreamWindow = max(r.MaxStreamWindow, r.StreamWindow)
	r.MaxConnWindow = max(r.MaxConnWindow, r.ConnWindow)
	r.MaxPacketSize = min(max(r.MaxPacketSize, minDatagramSize), maxDatagramSize)
	r.MaxDatagramFrame = min(r.MaxDatagramFrame, 65535)
	// RFC 9000, Section 4.6: more than 2^60 streams can't be numbered.
	r.MaxBidiStreams = int(min(int64(r.MaxBidiStreams), 1<<60))
	r.MaxUniStreams = int(min(int64(r.MaxUniStreams), 1<<60))
	if r.CongestionControl > BBR {
		return nil, fmt.Errorf("quic: unknown congestion controller %d", r.CongestionControl)
	}
	if r.Rand == nil {
		r.Rand = rand.Reader
	}
	if r.ConnectionIDs == nil {
		r.ConnectionIDs = newRandomCIDs(defaultCIDLen, r.Rand)
	}
	if n := r.ConnectionIDs.Len(); n < 0 || n > wire.MaxConnectionIDLen {
		return nil, fmt.Errorf("quic: connection IDs of %d bytes", n)
	}
	if err := r.PreferredAddress.check(r.ConnectionIDs.Len()); err != nil {
		return nil, err
	}
	if r.StatelessResetKey == nil {
		r.StatelessResetKey = new([32]byte)
		mustRead(r.Rand, r.StatelessResetKey[:])
	}
	if len(r.SessionData) > maxSessionData {
		return nil, fmt.Errorf("quic: Config.SessionData has %d bytes", len(r.SessionData))
	}
	if r.EarlyData && r.EarlyDataStore == nil {
		var b [8]byte
		mustRead(r.Rand, b[:])
		r.issuer = binary.NativeEndian.Uint64(b[:])
		r.EarlyDataStore = new(lazyTokenStore)
	}
	r.sessions = new(sessionConfigs)
	r.secrets = newEndpointSecrets(r.StatelessResetKey, r.Rand)
	return &r, nil
}

// forever is the longest duration that can be added to an instant.
const forever = 100 * 365 * 24 * time.Hour

func durationOr(d, def time.Duration) time.Duration {
	if d == 0 {
		return def
	}
	return min(max(d, 0), forever)
}

func intOr(n, def int) int {
	if n == 0 {
		return def
	}
	return max(n, 0)
}
