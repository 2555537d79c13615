package quic

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"io"
	"slices"
	"sync/atomic"
	"time"

	"github.com/dunlin-quic/dunlin/internal/protect"
	"github.com/dunlin-quic/dunlin/internal/wire"
)

// DemuxConfig configures a [Demux]. The zero value is the default for every field and a negative number means none.
type DemuxConfig struct {
	// Versions are the versions that clients may begin with, and that those who begin with others are told of. Default:
	// all that there are. A fleet that adds or removes a version one server at a time can let this list differ from that
	// of the Config for a while (RFC 9368, Section 5).
	Versions []Version
	// ConnectionIDs is the generator of the connections behind this Demux; nil means 8 random bytes.
	ConnectionIDs ConnectionIDGenerator
	// StatelessResetKey makes stateless reset tokens and address-validation tokens. Share it between the routers of a
	// listener and the servers of a fleet; it must be the one in the Config of the connections. Nil means random.
	StatelessResetKey *[32]byte
	// TokenKeys make the address-validation tokens instead of StatelessResetKey, and can be changed at any time. Optional.
	TokenKeys *TokenKeys
	// Retry says when clients must prove their address before a connection is made.
	Retry RetryPolicy
	// RetryTokenLife is how long the token of a Retry packet is good. Default 10 s.
	RetryTokenLife time.Duration
	// TokenLife is how long the token of a NEW_TOKEN frame is good. Default 24 h; a negative number makes none of them
	// good.
	TokenLife time.Duration
	// Tokens remembers which tokens of NEW_TOKEN frames were used. Share one between the routers of a listener. Nil
	// means one in memory for this Demux alone.
	Tokens TokenStore
	// NoQUICBitGrease is that of the Config of the connections.
	NoQUICBitGrease bool
	// NoAccept makes Demux answer no connection attempt: for sockets that only dial.
	NoAccept bool
	// Rand is the source of unpredictable bytes. Default crypto/rand.Reader.
	Rand io.Reader
}

// RetryPolicy says when a client must prove its address by a Retry round trip (RFC 9000, Section 8.1.2). A client that
// has a good token from an earlier connection need not.
type RetryPolicy uint8

// The retry policies.
const (
	RetryUnderLoad RetryPolicy = iota
	RetryAlways
	RetryNever
)

// MinReplyBuffer is the least size in bytes of the buffer that Demux writes replies to.
const MinReplyBuffer = 1200

// Demux is the stateless front door of a socket: it decides about datagrams that belong to no connection. It names the
// connection ID to look up, answers what is answered without a connection (Version Negotiation, Retry, stateless reset,
// refusals) and lets connection attempts through. It keeps no state per client.
//
// One goroutine at a time may use a Demux, except for Count. The routers of a listener have one each, with a
// StatelessResetKey and a TokenStore in common.
type Demux struct {
	cfg     DemuxConfig
	cids    ConnectionIDGenerator
	secrets *endpointSecrets
	lives   tokenLives
	offered []Version // a reserved version, then those of cfg
	scratch []byte    // a copy of the Initial packet that is being authenticated
	counts  [numDemuxReasons]atomic.Uint64
}

// NewDemux returns a Demux.
func NewDemux(cfg DemuxConfig) (*Demux, error) {
	if cfg.Rand == nil {
		cfg.Rand = rand.Reader
	}
	d := &Demux{cfg: cfg, cids: cfg.ConnectionIDs}
	if d.cids == nil {
		d.cids = newRandomCIDs(defaultCIDLen, cfg.Rand)
	}
	d.lives = tokenLives{retry: cfg.RetryTokenLife, new: cfg.TokenLife}
	if d.lives.retry == 0 {
		d.lives.retry = defaultRetryTokenLife
	}
	if d.lives.new == 0 {
		d.lives.new = defaultTokenLife
	}
	var err error
	if d.cfg.Versions, err = resolveVersions(cfg.Versions); err != nil {
		return nil, err
	}
	d.offered = append([]Version{0}, d.cfg.Versions...)
	d.secrets = newEndpointSecrets(cfg.StatelessResetKey, cfg.Rand)
	if !cfg.NoAccept {
		d.secrets, err = d.secrets.withTokens(cfg.TokenKeys)
	}
	return d, err
}

// DCID returns the destination connection ID of a datagram's first packet, whatever its QUIC version (RFC 8999): the
// one to route it by. It is false for what no connection can have asked for: no QUIC packet, or an ID longer than 20
// bytes. Handle knows what to do with those, too.
func (d *Demux) DCID(datagram []byte) (ConnectionID, bool) {
	inv, ok := wire.ParseInvariant(datagram, d.cids.Len())
	if !ok || len(inv.DCID) > wire.MaxConnectionIDLen {
		return ConnectionID{}, false
	}
	return wire.NewConnectionID(inv.DCID), true
}

// DecisionKind says what is to be done.
type DecisionKind uint8

// What Demux decides.
const (
	Drop       DecisionKind = iota // Reason says why
	Reply                          // send reply[:Len] back
	NewAttempt                     // Accept is set: make a server connection
)

// Decision is what Demux decided.
type Decision struct {
	Kind   DecisionKind
	Reason DemuxReason // also counted: see Demux.Count
	Len    int         // of the reply, in bytes, if Kind is Reply
	Accept Accept      // for NewServer, if Kind is NewAttempt
}

// Accept carries what NewServer needs of a connection attempt. The Initial packet that it stems from is authentic.
type Accept struct {
	Path       Path         // that the Initial came on
	Version    Version      // of its first packets
	DCID, SCID ConnectionID // of the client's Initial
	ODCID      ConnectionID // of the first Initial before a Retry; DCID otherwise
	Retried    bool         // the client has answered a Retry
	Validated  bool         // the client proved its address by a token
	// Context, if its owner sets it, is what callbacks of the tls.Config find as tls.ClientHelloInfo's. It is not waited for.
	Context context.Context

	// The protection of the Initial packets, so that NewServer need not derive it again.
	sealer *protect.Sealer
	opener *protect.Opener
	// secrets makes the stateless reset tokens and the NEW_TOKEN tokens that the Demux will know.
	secrets *endpointSecrets
}

// DemuxReason says why Demux decided so.
type DemuxReason uint8

// Why Demux drops a datagram, replies or lets it through.
const (
	// Dropped.
	DropNotQUIC             DemuxReason = iota // too short, or without the QUIC bit where it must be
	DropMalformed                              // a long header of a version spoken here that is cut short or breaks its rules
	DropSmallUnknownVersion                    // an unknown version in less than 1,200 bytes (RFC 9000, Section 5.2.2)
	DropVersionNegotiation                     // never answered, lest two endpoints answer each other
	DropSmallInitial                           // an Initial in a datagram of less than 1,200 bytes (Section 14.1)
	DropShortDCID                              // a first Initial whose DCID has less than 8 bytes (Section 7.2)
	DropEarlyData                              // 0-RTT of no connection: before its Initial, or after the end
	DropStray                                  // Handshake or Retry of no connection
	DropNotAccepting                           // a connection attempt where none is wanted
	DropForged                                 // an Initial that is not authentic
	DropUnknownShort                           // a short header with an unknown DCID, for which no reset can be sent
	DropForeignID                              // a short header with a DCID that the ConnectionIDVerifier disowns
	DropNoRoom                                 // the buffer for replies is too small
	// Replied.
	ReplyVersionNegotiation
	ReplyRetry
	ReplyInvalidToken   // CONNECTION_CLOSE with INVALID_TOKEN
	ReplyRefused        // CONNECTION_CLOSE by Refuse
	ReplyStatelessReset // the caller should bound how often it sends these (RFC 9000, Section 10.3.3)
	// Let through.
	Accepted

	numDemuxReasons
)

var demuxReasonNames = [numDemuxReasons]string{
	DropNotQUIC: "not_quic", DropMalformed: "malformed", DropSmallUnknownVersion: "small_unknown_version",
	DropVersionNegotiation: "version_negotiation", DropSmallInitial: "small_initial", DropShortDCID: "short_dcid",
	DropEarlyData: "early_data", DropStray: "stray", DropNotAccepting: "not_accepting", DropForged: "forged",
	DropUnknownShort: "unknown_short", DropForeignID: "foreign_id", DropNoRoom: "no_room", ReplyVersionNegotiation: "sent_version_negotiation",
	ReplyRetry: "sent_retry", ReplyInvalidToken: "sent_invalid_token", ReplyRefused: "sent_refused",
	ReplyStatelessReset: "sent_stateless_reset", Accepted: "accepted",
}

// String returns a name in snake case, fit for a metric's label.
func (r DemuxReason) String() string {
	if r < numDemuxReasons {
		return demuxReasonNames[r]
	}
	return "unknown"
}

// DemuxReasons returns all reasons, to go through the counters.
func DemuxReasons() []DemuxReason {
	all := make([]DemuxReason, numDemuxReasons)
	for i := range all {
		all[i] = DemuxReason(i)
	}
	return all
}

// Count returns how often Demux decided for that reason. Any goroutine may call it.
func (d *Demux) Count(r DemuxReason) uint64 {
	if r >= numDemuxReasons {
		return 0
	}
	return d.counts[r].Load()
}

func (d *Demux) drop(r DemuxReason) Decision {
	d.counts[r].Add(1)
	return Decision{Kind: Drop, Reason: r}
}

func (d *Demux) reply(r DemuxReason, packet []byte) Decision {
	d.counts[r].Add(1)
	return Decision{Kind: Reply, Reason: r, Len: len(packet)}
}

// Handle decides what to do with a datagram whose DCID belongs to no connection, and which is not a stateless reset of
// one. The datagram is left as it is. A reply goes into reply, of at least MinReplyBuffer bytes. underLoad is what the
// policy RetryUnderLoad goes by.
func (d *Demux) Handle(now time.Time, path Path, datagram, reply []byte, underLoad bool) Decision {
	// RFC 9000, Section 17.2.1 (MUST 6) and Section 17.2.5.1 (MUST 4).
	inv, ok := wire.ParseInvariant(datagram, d.cids.Len())
	switch {
	case !ok:
		return d.drop(DropNotQUIC)
	case len(reply) < MinReplyBuffer:
		return d.drop(DropNoRoom)
	case !inv.Long:
		return d.reset(datagram, inv.DCID, reply[:0])
	case inv.Version == 0:
		// RFC 9000, Section 6.1: no answer to a Version Negotiation packet.
		return d.drop(DropVersionNegotiation)
	case d.cfg.NoAccept:
		return d.drop(DropNotAccepting)
	case !slices.Contains(d.cfg.Versions, inv.Version):
		return d.negotiate(datagram, inv, reply[:0])
	}
	h, ok := wire.ParseLong(datagram)
	if !ok {
		return d.drop(DropMalformed)
	}
	// RFC 9287, Section 3.1: without the QUIC bit, only clients begin that have a token of an earlier connection, however old.
	if !wire.FixedBit(datagram[0]) && (d.cfg.NoQUICBitGrease || h.Type != wire.Initial || !isNewToken(h.Token)) {
		return d.drop(DropNotQUIC)
	}
	switch h.Type {
	case wire.Initial:
		return d.initial(now, path, datagram, &h, reply[:0], underLoad)
	case wire.ZeroRTT:
		return d.drop(DropEarlyData)
	}
	return d.drop(DropStray)
}

// initial decides about a client's Initial packet.
func (d *Demux) initial(
	now time.Time, path Path, datagram []byte, h *wire.LongHeader, reply []byte, underLoad bool,
) Decision {
	// RFC 9000, Section 14.1: what comes in a smaller datagram must be dropped.
	if len(datagram) < wire.MinInitialDatagram {
		return d.drop(DropSmallInitial)
	}
	token := d.secrets.openToken(now, h.Version, path.Remote, h.DCID, h.Token, d.lives)
	// RFC 9000, Section 7.2. After a Retry, the ID is of our making and as long as those are.
	afterRetry := token.verdict == tokenRetry || token.verdict == tokenBadRetry
	if n := h.DCID.Len(); n < wire.MinClientDCIDLen && (!afterRetry || n != d.cids.Len()) {
		return d.drop(DropShortDCID)
	}
	mustRetry := d.cfg.Retry == RetryAlways || d.cfg.Retry == RetryUnderLoad && underLoad
	// A Retry costs little: it comes before anything is decrypted.
	if token.verdict == tokenNone && mustRetry {
		return d.retry(now, path, h, reply)
	}
	in := Accept{Path: path, Version: h.Version, DCID: h.DCID, SCID: h.SCID, ODCID: h.DCID, secrets: d.secrets}
	if !d.authenticate(&in, datagram, h) {
		return d.drop(DropForged)
	}
	switch token.verdict {
	case tokenBadRetry:
		return d.reply(ReplyInvalidToken, appendClose(reply, &in, d.cids, InvalidToken, "the Retry token is not valid"))
	case tokenRetry:
		in.ODCID, in.Retried, in.Validated = token.odcid, true, true
	case tokenNew:
		in.Validated = d.tokens().Use(now, token.id, h.DCID, token.expires)
		if !in.Validated && mustRetry {
			return d.retry(now, path, h, reply)
		}
	}
	d.counts[Accepted].Add(1)
	return Decision{Kind: NewAttempt, Reason: Accepted, Accept: in}
}

// tokens returns the store of used tokens. One of its own costs nothing before the first token comes.
func (d *Demux) tokens() TokenStore {
	if d.cfg.Tokens == nil {
		d.cfg.Tokens = NewTokenStore(defaultTokenStoreSize)
	}
	return d.cfg.Tokens
}

// authenticate derives the protection of Initial packets and reports whether the one in hand is authentic. Anybody who
// sees the client's packets can make an authentic one; but noise and damage go no further than this.
func (d *Demux) authenticate(in *Accept, datagram []byte, h *wire.LongHeader) bool {
	var err error
	if in.sealer, in.opener, err = protect.NewInitial(in.Version, in.DCID, true); err != nil {
		return false
	}
	d.scratch = append(d.scratch[:0], datagram[:h.PacketLen]...)
	pn, pnLen, ok := in.opener.Unmask(d.scratch, h.PNOffset, 0)
	if !ok {
		return false
	}
	_, err = in.opener.Open(d.scratch, h.PNOffset+pnLen, pn)
	return err == nil
}

// retry writes a Retry packet (RFC 9000, Section 17.2.5).
func (d *Demux) retry(now time.Time, path Path, h *wire.LongHeader, b []byte) Decision {
	scid := d.cids.Generate()
	// RFC 9000, Section 17.2.5.1: it must not be the one that the client used.
	for scid == h.DCID {
		scid = d.cids.Generate()
	}
	var random [1]byte
	mustRead(d.cfg.Rand, random[:])
	b = wire.AppendRetry(b, random[0], h.Version, h.SCID, scid, nil)
	b = d.secrets.appendRetryToken(b, now, h.Version, path.Remote, h.DCID, scid, d.cfg.Rand)
	return d.reply(ReplyRetry, protect.AppendRetryTag(b, h.Version, h.DCID))
}

// negotiate writes a Version Negotiation packet (RFC 9000, Section 6.1).
func (d *Demux) negotiate(datagram []byte, inv wire.Invariant, b []byte) Decision {
	if len(datagram) < wire.MinInitialDatagram {
		return d.drop(DropSmallUnknownVersion)
	}
	var random [5]byte
	mustRead(d.cfg.Rand, random[:])
	// RFC 9000, Section 6.3: a reserved version keeps clients used to ones that they do not know. It must not be the
	// client's own, which would make it drop the packet.
	grease := wire.ReservedVersion(binary.BigEndian.Uint32(random[1:]))
	if grease == inv.Version {
		grease ^= 0x10
	}
	d.offered[0] = grease
	return d.reply(ReplyVersionNegotiation, wire.AppendVersionNegotiation(b, random[0], inv.SCID, inv.DCID, d.offered...))
}

// Sizes of stateless resets (RFC 9000, Section 10.3), in bytes.
const (
	minReset = 5 + wire.ResetTokenLen
	// maxUnpadded is up to which size a reset is but one byte shorter than what it answers.
	maxUnpadded = 43
	// resetSpread is how much longer a reset may be where what it answers is longer, so that its length does not tell
	// it from other packets.
	resetSpread = 64
)

// reset writes a stateless reset, in answer to a datagram with a short header.
func (d *Demux) reset(datagram, dcid, b []byte) Decision {
	if !wire.FixedBit(datagram[0]) {
		return d.drop(DropNotQUIC)
	}
	// RFC 9000, Section 10.3.3: it is smaller than what it answers, so that two endpoints can't answer each other
	// forever. Without connection IDs there are no tokens.
	n := len(datagram) - 1
	if n < minReset || len(dcid) == 0 {
		return d.drop(DropUnknownShort)
	}
	id := wire.NewConnectionID(dcid)
	if v, ok := d.cids.(ConnectionIDVerifier); ok && !v.VerifyConnectionID(id) {
		return d.drop(DropForeignID)
	}
	var random [1]byte
	mustRead(d.cfg.Rand, random[:])
	if n >= maxUnpadded {
		n = min(n, maxUnpadded-1+int(random[0])%resetSpread)
	}
	b = b[:n]
	mustRead(d.cfg.Rand, b[:n-wire.ResetTokenLen])
	b[0] = b[0]&0x3f | 0x40
	token := d.secrets.resetToken(id)
	copy(b[n-wire.ResetTokenLen:], token[:])
	return d.reply(ReplyStatelessReset, b)
}

// Refuse writes to reply a packet that tells the client of an accepted attempt that there will be no connection, such as
// CONNECTION_REFUSED where there are too many, and returns its length. No connection must have been made of it. Nothing
// is remembered: the client's next Initial is a new attempt. reply must have at least MinReplyBuffer bytes.
func (d *Demux) Refuse(in Accept, code TransportErrorCode, reason string, reply []byte) int {
	if len(reply) < MinReplyBuffer {
		d.drop(DropNoRoom)
		return 0
	}
	return d.reply(ReplyRefused, appendClose(reply[:0], &in, d.cids, code, reason)).Len
}

// appendClose appends an Initial packet with a CONNECTION_CLOSE frame (RFC 9000, Section 10.2.3). It elicits no
// acknowledgment and so needs no padding (Section 14.1).
func appendClose(b []byte, in *Accept, cids ConnectionIDGenerator, code TransportErrorCode, reason string) []byte {
	const pn, pnLen, maxFrame = 0, 1, 200
	b = wire.AppendLong(b, wire.Initial, in.Version, in.SCID, cids.Generate(), nil, pn, pnLen)
	pnOffset := len(b) - pnLen
	f := wire.ConnectionCloseFrame{Code: uint64(code), Reason: []byte(reason)}
	b = wire.AppendConnectionClose(b, f, maxFrame)
	wire.PatchLength(b, pnOffset, len(b)-pnOffset+protect.Overhead)
	return in.sealer.Seal(b, pnOffset, pnLen, pn)
}
