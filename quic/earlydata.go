package quic

import (
	"bytes"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/dunlin-quic/dunlin/internal/monotime"
	"github.com/dunlin-quic/dunlin/internal/protect"
	"github.com/dunlin-quic/dunlin/internal/recovery"
	"github.com/dunlin-quic/dunlin/internal/wire"
	"github.com/dunlin-quic/dunlin/qlog"
)

// EarlyDataState says what has become of early data (0-RTT, RFC 9001, Section 4.6) on a connection.
type EarlyDataState uint8

// The states of early data.
const (
	EarlyDataNone     EarlyDataState = iota // the client offers none
	EarlyDataOffered                        // at a client: streams and datagrams can be used before the handshake is complete
	EarlyDataAccepted                       // the server takes it
	EarlyDataRejected                       // at a client: the server does not; see EventEarlyDataRejected
)

// String returns the state in a word.
func (s EarlyDataState) String() string {
	switch s {
	case EarlyDataNone:
		return "none"
	case EarlyDataOffered:
		return "offered"
	case EarlyDataAccepted:
		return "accepted"
	case EarlyDataRejected:
		return "rejected"
	}
	return "unknown"
}

// EarlyData is what is known of a connection's early data.
type EarlyData struct {
	State EarlyDataState
	// Protocol is, at a client, the application protocol that the early data is in: the one of the connection before.
	Protocol string
	// SessionData is, at a client, what [Conn.SetSessionData] kept on the connection before. It must not be changed.
	SessionData []byte
}

// EarlyData returns what is known of early data. At a client, Protocol and SessionData are there from the start if it offers
// any, until the handshake is complete.
func (c *Conn) EarlyData() EarlyData {
	e := EarlyData{State: c.earlyState}
	if c.early != nil && c.side == Client {
		e.Protocol, e.SessionData = c.early.session.protocol, c.early.session.data
	}
	return e
}

// earlyData is what a connection needs as long as there may be 0-RTT packets.
type earlyData struct {
	version Version         // of 0-RTT packets, whatever version is negotiated (RFC 9369, Section 4.1)
	session session         // at a client: the one resumed
	sealer  *protect.Sealer // nil once no more is to be sent
	opener  *protect.Opener
	params  wire.TransportParameters // at a client: the server's new ones
	dropAt  monotime.Time            // when a server drops its keys
}

// earlyDataLife is how long after it was issued a ticket is good for 0-RTT.
const earlyDataLife = 24 * time.Hour

// resumeSession learns which session TLS is about to resume, and decides whether with early data.
func (c *Conn) resumeSession(state *tls.SessionState) {
	if !state.EarlyData {
		return
	}
	s, ok := findSession(state.Extra)
	if c.side == Server {
		state.EarlyData = ok && c.acceptsEarlyData(&s)
		return
	}
	if !ok || !c.cfg.EarlyData || s.version != c.hs.chosen || c.hs.afterVN {
		state.EarlyData = false
		return
	}
	c.early = &earlyData{session: s}
}

// acceptsEarlyData decides whether a server takes early data with session s.
func (c *Conn) acceptsEarlyData(s *session) bool {
	now := c.epoch.Time(c.now)
	age := now.Sub(s.issued)
	own := c.cfg.limits()
	if !c.cfg.EarlyData || s.version != c.hs.chosen || s.issuer != c.cfg.issuer || age < -tokenSkew || age >= earlyDataLife ||
		// RFC 9000, Section 7.4.1: the client goes by the limits of the ticket.
		reduces(&own, &s.params) || !bytes.Equal(s.data, c.cfg.SessionData) {
		return false
	}
	// RFC 8446, Section 8.1: a ticket serves once. Who replays the attempt repeats its connection IDs as well, so
	// that only one that this connection makes up tells it from others.
	var attempt [wire.MaxConnectionIDLen]byte
	mustRead(c.cfg.Rand, attempt[:])
	return c.cfg.EarlyDataStore.Use(now, s.id, wire.NewConnectionID(attempt[:]), s.issued.Add(earlyDataLife+tokenSkew))
}

// setEarlySecret learns the secret of 0-RTT packets: a client may send them now, or a server has accepted them.
func (c *Conn) setEarlySecret(e tls.QUICEvent) *TransportError {
	if c.early == nil {
		c.early = &earlyData{}
	}
	c.early.version = c.hs.chosen
	var err error
	if c.side == Client {
		c.early.sealer, err = protect.NewSealer(c.early.version, protect.Suite(e.Suite), e.Data)
		c.earlyState = EarlyDataOffered
		remembered := &c.early.session.params
		c.idleTimeout = minTimeout(c.cfg.IdleTimeout, min(remembered.MaxIdleTimeout, forever))
		c.usePeerLimits(remembered)
		if c.trace != nil {
			c.trace.restored(remembered)
		}
	} else {
		// RFC 9001, Section 5.6 (MUST 3).
		c.early.opener, err = protect.NewOpener(c.early.version, protect.Suite(e.Suite), e.Data)
		c.earlyState = EarlyDataAccepted
		c.hs.newKeys = true
	}
	if err != nil {
		return &TransportError{Code: InternalError, Err: err}
	}
	c.event(EventEarlyData)
	c.logEarlySecret(e.Data)
	return nil
}

// helloRandomEnd is where the random value of a ClientHello ends: after the header of the message and the version.
const helloRandomEnd = 4 + 2 + 32

// noteHello keeps the start of the ClientHello, by which the key log names the connection.
func (c *Conn) noteHello(data []byte) {
	if c.cfg.EarlyData && c.cfg.TLS.KeyLogWriter != nil {
		c.hs.hello = append(c.hs.hello, data[:min(len(data), helloRandomEnd-len(c.hs.hello))]...)
	}
}

// logEarlySecret writes the secret to the key log: crypto/tls does so with all others.
func (c *Conn) logEarlySecret(secret []byte) {
	if w := c.cfg.TLS.KeyLogWriter; w != nil && len(c.hs.hello) == helloRandomEnd {
		fmt.Fprintf(w, "CLIENT_EARLY_TRAFFIC_SECRET %s %s\n",
			hex.EncodeToString(c.hs.hello[helloRandomEnd-32:]), hex.EncodeToString(secret))
	}
}

// rejectEarlyData notes that the server takes no early data. What that means for the streams depends on what else it says,
// and is settled when the handshake is complete.
func (c *Conn) rejectEarlyData() {
	if c.early == nil {
		return
	}
	c.early.sealer = nil
	c.earlyState = EarlyDataRejected
	if c.hs.spaces[recovery.Handshake].sealer == nil {
		// A HelloRetryRequest. The second ClientHello of Go 1.26's crypto/tls then has a PSK binder that no server takes,
		// so that the session is of no use for the next attempt either.
		c.forgetSession()
	}
}

// restartEarlyData notes that a client begins its attempt anew, after a Version Negotiation packet. Sessions are bound to
// versions: there is no second try.
func (c *Conn) restartEarlyData() {
	if c.early != nil {
		c.rec.Requeue(recovery.AppData, (*fates)(c))
		c.early.sealer = nil
		c.earlyState = EarlyDataRejected
	}
}

// settleEarlyData does, at a client whose handshake is complete, what follows from the fate of its early data. The keys go
// (RFC 9001, Section 4.9.3).
func (c *Conn) settleEarlyData() *TransportError {
	e := c.early
	c.early = nil
	if c.earlyState != EarlyDataRejected {
		c.earlyState = EarlyDataAccepted
		if reduces(&e.params, &e.session.params) {
			// RFC 9000, Section 7.4.1.
			return transportError(ProtocolViolation, "limits below those of the session, and early data accepted")
		}
		c.usePeerLimits(&e.params)
		return nil
	}
	// RFC 9001, Section 4.6.2: nothing that the client took for granted need be so. Streams start over, and where all of
	// what was written is as good now as it was, they do so by themselves: the server has seen nothing of it.
	limits := peerLimits(&e.params)
	if c.tls.ConnectionState().NegotiatedProtocol != e.session.protocol || !c.streams.fits(limits) {
		c.earlyLost = true
		c.streams.startOver(ErrEarlyDataRejected)
	}
	if c.earlyLost || e.params.MaxDatagramFrameSize < e.session.params.MaxDatagramFrameSize {
		c.dropDatagrams()
	}
	c.rec.Requeue(recovery.AppData, (*fates)(c))
	c.earlyPackets = c.rec.NextPN(recovery.AppData)
	c.streams.replacePeerLimits(limits)
	c.datagrams.peerMax = int(min(e.params.MaxDatagramFrameSize, 65535))
	c.event(EventEarlyDataRejected)
	return nil
}

// sendsEarly reports whether a client can send 0-RTT packets, answersEarly whether a server can send 1-RTT packets before
// the handshake is complete.
func (c *Conn) sendsEarly() bool {
	return c.early != nil && c.early.sealer != nil && !c.complete
}

func (c *Conn) answersEarly() bool {
	return c.early != nil && c.early.opener != nil && c.keys.CanSend()
}

// appendEarly appends a 0-RTT packet to the datagram b of at most limit bytes, with room for its tag.
func (c *Conn) appendEarly(b []byte, limit int) ([]byte, unsealed, bool) {
	if !c.pending1RTT() || !c.maySend(recovery.AppData, limit) {
		return b, unsealed{}, false
	}
	w := packetWriter{space: recovery.AppData, rec: &c.rec}
	p, body, ok := c.beginLong(&w, b, limit)
	if !ok {
		return b, unsealed{}, false
	}
	// Nothing is received and no connection IDs are exchanged yet: of the control frames about the connection, only PING
	// can be pending.
	c.appendControl(&w)
	c.appendDatagrams(&w)
	c.streams.appendFrames(&w, c.now)
	if len(w.buf) == body {
		c.rec.Abandon(recovery.AppData)
		return b, unsealed{}, false
	}
	return finishPacket(&w, &p, body), p, true
}

// receiveEarly processes the 0-RTT packet that data begins with.
func (c *Conn) receiveEarly(d *datagramIn, h *wire.LongHeader, data []byte) packetFate {
	switch {
	case c.side == Client || !c.cfg.EarlyData:
		return d.drop(packetBad, qlog.DroppedKeyUnavailable)
	case c.hs != nil && h.DCID != c.hs.initialDCID && h.DCID != c.local.active[0].id:
		return d.drop(packetBad, qlog.DroppedConnectionUnknown)
	case c.hs != nil && (h.SCID != c.hs.peerSCID || h.Version != c.hs.chosen) || c.early != nil && h.Version != c.early.version:
		return packetBad
	case c.early == nil:
		// RFC 9000, Section 5.2.2: they may overtake the ClientHello, which says whether they are welcome.
		s := recovery.Handshake
		if c.hs == nil || c.hs.spaces[s].gone || c.hs.spaces[s].sealer != nil || !c.hs.aside.add(d, data[:h.PacketLen]) {
			return d.drop(packetBad, qlog.DroppedKeyUnavailable)
		}
		return packetHeld
	}
	pkt := data[:h.PacketLen:h.PacketLen]
	pn, pnLen, ok := c.early.opener.Unmask(pkt, h.PNOffset, expectedPN(&c.recv))
	if !ok {
		return packetBad
	}
	payload, err := c.early.opener.Open(pkt, h.PNOffset+pnLen, pn)
	if err != nil {
		c.keys.CountFailure()
		return d.drop(packetBad, qlog.DroppedDecryptionFailure)
	}
	if !wire.ReservedBitsZero(pkt[0]) {
		c.fail(transportError(ProtocolViolation, "reserved bits set"))
		return packetOpened
	}
	if c.recv.Duplicate(pn) {
		return d.drop(packetDrop, qlog.DroppedDuplicate)
	}
	if d.path == nil {
		d.path = c.path
	}
	in := packetIn{d: d, typ: wire.ZeroRTT, space: recovery.AppData, version: h.Version, pn: pn, size: len(pkt)}
	// Once the client has finished the handshake, it is there: nothing is a replay any more.
	c.streams.early = !c.complete
	active := c.handlePayload(&in, payload)
	c.streams.early = false
	if !active {
		return packetOpened
	}
	if in.refused {
		c.recv.Refuse(pn)
		return d.drop(packetDrop, qlog.DroppedGeneral)
	}
	c.recv.Add(d.received, pn, in.ackEliciting, uint8(d.ecn))
	c.packetProcessed()
	return packetOpened
}

// earlyDeadline returns when a server drops the keys of 0-RTT packets, zero if it has none, or keeps them for now.
func (c *Conn) earlyDeadline() monotime.Time {
	if c.early == nil {
		return 0
	}
	return c.early.dropAt
}

// lazyTokenStore is a TokenStore in memory that takes it only when it is used.
type lazyTokenStore struct {
	store atomic.Pointer[TokenStore]
}

func (l *lazyTokenStore) Use(now time.Time, token TokenID, attempt ConnectionID, expires time.Time) bool {
	s := l.store.Load()
	if s == nil {
		made := NewTokenStore(defaultTokenStoreSize)
		l.store.CompareAndSwap(nil, &made)
		s = l.store.Load()
	}
	return (*s).Use(now, token, attempt, expires)
}
