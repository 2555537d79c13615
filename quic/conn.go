package quic

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/dunlin-quic/dunlin/internal/monotime"
	"github.com/dunlin-quic/dunlin/internal/protect"
	"github.com/dunlin-quic/dunlin/internal/recovery"
	"github.com/dunlin-quic/dunlin/internal/wire"
)

// Conn is one QUIC connection as a state machine. Its methods, and those of its streams, must be called by one goroutine
// at a time. See the package comment for the order of calls.
type Conn struct {
	cfg     *Config
	secrets *endpointSecrets // for the tokens of our connection IDs and, on servers, of NEW_TOKEN frames
	epoch   monotime.Epoch
	now     monotime.Time // as the owner gave it with the call in progress, or with the last one
	created monotime.Time
	side    Side
	state   connState
	version Version

	complete   bool // TLS has finished
	confirming bool // the handshake is confirmed as soon as the packet in hand is processed
	confirmed  bool // RFC 9001, Section 4.1.2

	hs       *handshake // nil once confirmed
	early    *earlyData // nil if there are no 0-RTT packets, or no more
	session  *clientSession
	tls      *tls.QUICConn // nil when TLS has nothing more to say
	tlsState *tls.ConnectionState
	post     postHandshake
	crypto   cryptoStream // of 1-RTT packets

	keys        protect.AppKeys
	keysUpdated monotime.Time // when the peer updated keys last, as long as those before are kept
	recv        recovery.Received
	rec         recovery.Recovery
	streams     streamTable
	datagrams   datagrams
	local       localCIDs
	peer        peerCIDs
	path        *path    // in use
	roam        *roaming // nil while there never was another path
	events      eventQueue
	closing     closing
	err         error // why the connection ended
	stats       connCounters
	last        *Stats // what others counted, once they are gone
	arrivals    arrivals
	trace       *tracing // nil unless traced
	idleTimeout time.Duration
	sendAt      monotime.Time // when the pacer lets the next packet go
	newToken    []byte
	// initialDCID is, on a server once the handshake is confirmed, the connection ID that the client began with. It leads
	// here until the connection rests, so that a late duplicate of an Initial packet is no new attempt. Empty then.
	initialDCID ConnectionID

	// earlyPackets is, after early data was rejected, the packet number that follows the last 0-RTT packet.
	earlyPackets uint64
	quicBit      quicBit
	ackFrequency *ackFrequency // nil if the peer listens to no such thing
	earlyState   EarlyDataState
	earlyLost    bool // early data was rejected and is not sent again

	sendHandshakeDone bool
	sendNewToken      bool
	sendPing          bool
	streamsFirst      bool // whose turn it is, streams' or datagrams'
}

// arrivals is what the idle timeout and keep-alive go by.
type arrivals struct {
	last monotime.Time // of restarting the idle timer
	// sent: an ack-eliciting packet has gone out since the last packet arrived.
	sent bool
}

func newConn(now time.Time, cfg *Config, side Side, addr Path, version Version) *Conn {
	c := &Conn{cfg: cfg, secrets: cfg.secrets, side: side, epoch: monotime.NewEpoch(now)}
	c.now = c.epoch.At(now)
	c.created = c.now
	c.arrivals.last = c.now
	c.idleTimeout = cfg.IdleTimeout
	c.path = &path{addr: addr, validated: side == Client}
	c.path.mtu.init(cfg.MaxPacketSize)
	c.local.limit = 1
	c.initRecovery()
	c.recv.Init(recovery.AppData, ownMaxAckDelay, ownAckDelayExponent)
	c.streams.init(side, cfg)
	c.datagrams.init(cfg)
	c.initHandshake(version)
	return c
}

func (c *Conn) initRecovery() {
	c.rec.Init(recovery.Config{
		Client:      c.side == Client,
		Controller:  c.newController(minDatagramSize),
		MaxDatagram: minDatagramSize,
		NoPacing:    c.cfg.NoPacing,
		Seed:        [2]uint64{c.randomUint64(), c.randomUint64()},
	})
}

// initHandshake begins a handshake with version v.
func (c *Conn) initHandshake(v Version) {
	c.version = v
	c.hs = &handshake{chosen: v}
	if c.cfg.HandshakeTimeout > 0 {
		c.hs.deadline = c.now.Add(c.cfg.HandshakeTimeout)
	}
	for s := range c.hs.spaces {
		c.hs.spaces[s].recv.Init(recovery.Space(s), ownMaxAckDelay, ownAckDelayExponent)
	}
}

// The values of max_ack_delay and ack_delay_exponent that this side offers: those that need no saying (RFC 9000, Section
// 18.2).
const (
	ownMaxAckDelay      = 25 * time.Millisecond
	ownAckDelayExponent = 3
)

// NewClient starts a connection to path.Remote. The first PollTransmit yields the ClientHello. An error is one of the
// configuration.
func NewClient(now time.Time, cfg *Config, path Path) (*Conn, error) {
	cfg, err := cfg.Resolve()
	if err != nil {
		return nil, err
	}
	c := newConn(now, cfg, Client, path, cfg.firstVersion())
	c.useOwnCID(cfg.ConnectionIDs.Generate())
	if err := c.startClient(); err != nil {
		return nil, fmt.Errorf("quic: %w", err)
	}
	return c, nil
}

// startClient begins a connection attempt with the version chosen.
func (c *Conn) startClient() error {
	// RFC 9000, Section 7.2: a destination connection ID that nobody can predict, of 8 bytes at least.
	var dcid [8]byte
	mustRead(c.cfg.Rand, dcid[:])
	c.hs.origDCID = wire.NewConnectionID(dcid[:])
	c.hs.initialDCID = c.hs.origDCID
	c.path.dcid = c.hs.origDCID
	if err := c.setInitialKeys(); err != nil {
		return err
	}
	c.startTrace(c.hs.origDCID)
	if c.cfg.Tokens != nil {
		c.useCachedToken(c.cfg.Tokens.TakeToken(c.cfg.TLS.ServerName, c.version))
	}
	return c.startTLS(context.Background())
}

// NewServer starts the server side of the connection attempt that [Demux] accepted. The caller then passes the first
// datagram to Receive. An error is one of the configuration.
func NewServer(now time.Time, cfg *Config, in Accept) (*Conn, error) {
	cfg, err := cfg.Resolve()
	if err != nil {
		return nil, err
	}
	c := newConn(now, cfg, Server, in.Path, in.Version)
	c.path.validated = in.Validated
	c.path.dcid = in.SCID
	c.hs.peerSCID = in.SCID
	c.hs.origDCID, c.hs.initialDCID, c.hs.retried = in.ODCID, in.DCID, in.Retried
	// Until the client knows ours, it uses the connection ID that it made up, or got by Retry.
	c.endpointEvent(EndpointEvent{Kind: EndpointCIDIssued, CID: in.DCID})
	c.useOwnCID(cfg.ConnectionIDs.Generate())
	c.usePeerSCID(in.SCID)
	if c.secrets = in.secrets; c.secrets == nil {
		if c.secrets, err = cfg.secrets.withTokens(nil); err != nil {
			return nil, fmt.Errorf("quic: %w", err)
		}
	}
	if in.sealer != nil {
		s := &c.hs.spaces[recovery.Initial]
		s.sealer, s.opener = in.sealer, in.opener
	} else if err := c.setInitialKeys(); err != nil {
		return nil, fmt.Errorf("quic: %w", err)
	}
	c.updateAmplification()
	c.startTrace(in.ODCID)

	if err := c.startTLS(cmp.Or(in.Context, context.Background())); err != nil {
		return nil, fmt.Errorf("quic: %w", err)
	}
	return c, nil
}

// useOwnCID makes id the first connection ID of this side.
func (c *Conn) useOwnCID(id ConnectionID) {
	c.local.add(id, false)
	c.endpointEvent(EndpointEvent{Kind: EndpointCIDIssued, CID: id})
}

// usePeerSCID makes the source connection ID of the peer's first packet the one to send to. Its sequence number is 0.
func (c *Conn) usePeerSCID(id ConnectionID) {
	c.hs.peerSCID = id
	c.peer.active = append(c.peer.active, peerCID{id: id, used: true, remote: c.path.addr.Remote})
	c.peer.seen.Add(0, 1)
	c.path.dcid, c.path.dcidSeq = id, 0
}

// setInitialKeys derives the keys of Initial packets (RFC 9001, Section 5.2).
func (c *Conn) setInitialKeys() error {
	var err error
	s := &c.hs.spaces[recovery.Initial]
	s.sealer, s.opener, err = protect.NewInitial(c.version, c.hs.initialDCID, c.side == Server)
	c.hs.other = otherVersion{}
	return err
}

// enter starts a call by the owner at now. Time never goes back.
func (c *Conn) enter(now time.Time) { c.now = max(c.now, c.epoch.At(now)) }

func (c *Conn) randomUint64() uint64 {
	var b [8]byte
	mustRead(c.cfg.Rand, b[:])
	return binary.NativeEndian.Uint64(b[:])
}

// Stream returns the stream with an ID, nil if there is none: not yet, or not any more.
func (c *Conn) Stream(id StreamID) *Stream { return c.streams.get(id) }

// OpenStream opens a stream in direction d. It fails with ErrStreamLimit while the peer allows no more (then
// [EventStreamsAvailable] tells when it does), or with the reason why the connection ended. The peer learns of the
// stream when something is written to it.
func (c *Conn) OpenStream(d Dir) (*Stream, error) {
	if c.err != nil {
		return nil, c.err
	}
	return c.streams.open(d)
}

// Side returns which side this is.
func (c *Conn) Side() Side { return c.side }

// Version returns the version of QUIC in use. It is settled once Established reports true.
func (c *Conn) Version() Version { return c.version }

// Path returns the path in use.
func (c *Conn) Path() Path { return c.path.addr }

// ConnectionState returns what TLS negotiated. Once Established reports true it is complete and always the same, and must
// not be changed.
func (c *Conn) ConnectionState() *tls.ConnectionState {
	switch {
	case c.tlsState != nil:
		return c.tlsState
	case c.tls != nil:
		state := c.tls.ConnectionState()
		return &state
	}
	return &tls.ConnectionState{}
}

// Established reports whether the TLS handshake is complete: the peer is who it says, and streams carry data.
func (c *Conn) Established() bool { return c.complete }

// Confirmed reports whether the handshake is confirmed (RFC 9001, Section 4.1.2).
func (c *Conn) Confirmed() bool { return c.confirmed }

// Err returns why the connection ended: a *[TransportError], an *[ApplicationError], or one of the errors that match
// [net.ErrClosed]. Nil while it has not.
func (c *Conn) Err() error { return c.err }

// Draining reports that the peer ended the connection, so that nothing is sent any more, whatever arrives. An owner that is
// about to close its sockets need not wait for [EndpointDrained] then (RFC 9000, Section 10.2).
func (c *Conn) Draining() bool { return c.state == stateDraining }

// InitiateKeyUpdate replaces the keys that protect 1-RTT packets (RFC 9001, Section 6). It reports whether it did: not before the
// handshake is confirmed, and not while the last update is fresh.
func (c *Conn) InitiateKeyUpdate() bool {
	return c.state == stateActive && c.confirmed && c.keys.InitiateUpdate()
}

// Ping makes the peer acknowledge something soon, which tests that it is there and restarts both idle timers.
func (c *Conn) Ping() { c.sendPing = true }
