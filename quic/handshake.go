package quic

import (
	"context"
	"crypto/tls"
	"errors"

	"github.com/dunlin-quic/dunlin/internal/monotime"
	"github.com/dunlin-quic/dunlin/internal/protect"
	"github.com/dunlin-quic/dunlin/internal/recovery"
	"github.com/dunlin-quic/dunlin/internal/wire"
	"github.com/dunlin-quic/dunlin/qlog"
)

// handshake is what a connection needs only until the handshake is confirmed; then it is dropped as a whole.
type handshake struct {
	spaces [2]handshakeSpace // by recovery.Space: Initial and Handshake

	// origDCID is the destination connection ID of the client's very first Initial packet, initialDCID that of its
	// first one in this attempt, from which the Initial keys come: another one after a Retry.
	origDCID, initialDCID ConnectionID
	retried               bool
	// chosen is the client's Chosen Version, that of its first flight (RFC 9368, Section 1.2), afterVN that it was chosen
	// because of a Version Negotiation packet.
	chosen  Version
	afterVN bool
	settled bool // no other version can become the one in use any more
	// chosenOpener opens Initial packets of the chosen version where that is not the one in use, other has the keys of a
	// version to switch to.
	chosenOpener *protect.Opener
	other        otherVersion

	token    []byte // for the client's Initial packets
	peerSCID ConnectionID
	heard    bool // a packet of the peer was authentic, so that peerSCID is set

	readLevel tls.QUICEncryptionLevel
	params    bool // the peer's transport parameters have arrived
	newKeys   bool // packets put aside may be readable now
	aside     asidePackets
	deadline  monotime.Time // when the handshake has taken too long
	hello     []byte        // the start of the ClientHello; see noteHello
}

// handshakeSpace is a packet number space that ends with the handshake.
type handshakeSpace struct {
	sealer *protect.Sealer
	opener *protect.Opener
	recv   recovery.Received
	crypto cryptoStream
	hello  tlsMessages // in what the peer sends
	gone   bool        // keys discarded (RFC 9001, Section 4.9)
}

// tlsAlert returns the error code for a TLS alert (RFC 9001, Section 4.8).
func tlsAlert(alert uint8) TransportErrorCode { return CryptoError + TransportErrorCode(alert) }

// alertUnexpectedMessage is the TLS alert unexpected_message (RFC 8446, Section 6).
const alertUnexpectedMessage = 10

// tlsError makes a connection error of what crypto/tls reports.
func tlsError(err error) *TransportError {
	code := tlsAlert(80) // internal_error
	if alert, ok := errors.AsType[tls.AlertError](err); ok {
		code = tlsAlert(uint8(alert))
	}
	return &TransportError{Code: code, FrameType: wire.FrameCrypto, Reason: err.Error(), Err: err}
}

// startTLS starts the TLS handshake.
func (c *Conn) startTLS(ctx context.Context) error {
	qc := &tls.QUICConfig{TLSConfig: c.cfg.tlsConfig(c.side, c.hs.chosen), EnableSessionEvents: true}
	if c.side == Client {
		c.tls = tls.QUICClient(qc)
	} else {
		c.tls = tls.QUICServer(qc)
	}
	if err := c.tls.Start(ctx); err != nil {
		c.closeTLS()
		return err
	}
	if err := c.driveTLS(); err != nil {
		c.closeTLS()
		return err
	}
	if c.earlyState == EarlyDataNone {
		c.early = nil // TLS had a reason of its own not to offer any
	}
	return nil
}

// closeTLS ends the goroutine that crypto/tls runs during the handshake.
func (c *Conn) closeTLS() {
	if c.tls != nil {
		c.tls.Close()
		c.tls = nil
	}
}

// driveTLS does what TLS asks for.
func (c *Conn) driveTLS() *TransportError {
	for {
		switch e := c.tls.NextEvent(); e.Kind {
		case tls.QUICNoEvent:
			return nil
		case tls.QUICErrorEvent:
			return tlsError(e.Err)
		case tls.QUICSetReadSecret:
			if err := c.setReadSecret(e); err != nil {
				return err
			}
		case tls.QUICSetWriteSecret:
			if err := c.setWriteSecret(e); err != nil {
				return err
			}
		case tls.QUICResumeSession:
			c.resumeSession(e.SessionState)
		case tls.QUICRejectedEarlyData:
			c.rejectEarlyData()
		case tls.QUICStoreSession:
			if err := c.storeSession(e.SessionState); err != nil {
				return err
			}
		case tls.QUICWriteData:
			if c.side == Client && e.Level == tls.QUICEncryptionLevelInitial {
				c.noteHello(e.Data)
			}
			c.cryptoOut(e.Level).write(e.Data)
		case tls.QUICTransportParametersRequired:
			// A server is asked when it has those of the client, and so knows the version.
			tp := c.ownParameters()
			if c.trace != nil {
				c.trace.parameters(qlog.Local, &tp)
			}
			c.tls.SetTransportParameters(wire.AppendTransportParameters(nil, &tp, c.side == Server, c.randomUint64()))
		case tls.QUICTransportParameters:
			if err := c.setPeerParameters(e.Data); err != nil {
				return err
			}
		case tls.QUICHandshakeDone:
			if err := c.handshakeComplete(); err != nil {
				return err
			}
		}
	}
}

// cryptoOut returns what sends CRYPTO frames at an encryption level.
func (c *Conn) cryptoOut(l tls.QUICEncryptionLevel) *cryptoOut {
	switch l {
	case tls.QUICEncryptionLevelInitial:
		return &c.hs.spaces[recovery.Initial].crypto.out
	case tls.QUICEncryptionLevelHandshake:
		return &c.hs.spaces[recovery.Handshake].crypto.out
	}
	return &c.crypto.out
}

func (c *Conn) setReadSecret(e tls.QUICEvent) *TransportError {
	// RFC 9001, Section 4.1.3 (MUST 3): a level ends with what TLS has consumed.
	for s := range c.hs.spaces {
		if e.Level != tls.QUICEncryptionLevelEarly && c.hs.spaces[s].crypto.in.pending() {
			return transportError(ProtocolViolation, "handshake data beyond the end of its encryption level")
		}
	}
	var err error
	switch e.Level {
	case tls.QUICEncryptionLevelEarly:
		return c.setEarlySecret(e)
	case tls.QUICEncryptionLevelHandshake:
		c.hs.spaces[recovery.Handshake].opener, err = protect.NewOpener(c.version, protect.Suite(e.Suite), e.Data)
	case tls.QUICEncryptionLevelApplication:
		err = c.keys.SetReceiveSecret(c.version, protect.Suite(e.Suite), e.Data)
	default:
		return nil
	}
	if err != nil {
		return &TransportError{Code: InternalError, Err: err}
	}
	c.hs.readLevel = e.Level
	c.hs.newKeys = true
	return nil
}

func (c *Conn) setWriteSecret(e tls.QUICEvent) *TransportError {
	var err error
	switch e.Level {
	case tls.QUICEncryptionLevelEarly:
		return c.setEarlySecret(e)
	case tls.QUICEncryptionLevelHandshake:
		c.hs.spaces[recovery.Handshake].sealer, err = protect.NewSealer(c.version, protect.Suite(e.Suite), e.Data)
		c.rec.SetHandshakeKeys()
		c.updateAmplification()
	case tls.QUICEncryptionLevelApplication:
		err = c.keys.SetSendSecret(c.version, protect.Suite(e.Suite), e.Data)
	}
	if err != nil {
		return &TransportError{Code: InternalError, Err: err}
	}
	return nil
}

// handleCrypto processes a CRYPTO frame.
func (c *Conn) handleCrypto(space recovery.Space, f wire.CryptoFrame) *TransportError {
	in, level := &c.crypto.in, tls.QUICEncryptionLevelApplication
	if space != recovery.AppData {
		in = &c.hs.spaces[space].crypto.in
		level = tls.QUICEncryptionLevelInitial
		if space == recovery.Handshake {
			level = tls.QUICEncryptionLevelHandshake
		}
		if level < c.hs.readLevel && f.Offset+uint64(len(f.Data)) > in.base {
			// RFC 9001, Section 4.1.3 (MUST 2).
			return transportError(ProtocolViolation, "new handshake data at an earlier encryption level")
		}
	}
	if !in.add(f.Offset, f.Data) {
		return transportError(CryptoBufferExceeded, "too much handshake data out of order")
	}
	for {
		data := in.next()
		if len(data) == 0 {
			return nil
		}
		if space == recovery.AppData {
			// Before TLS has it, which would not find the error codes that QUIC asks for.
			if err := c.post.check(c.side, data); err != nil {
				return err
			}
		} else {
			data = c.hs.spaces[space].hello.upToTurn(data)
		}
		if space == recovery.Initial && c.side == Server {
			c.noteHello(data)
		}
		if c.tls != nil {
			if err := c.tls.HandleData(level, data); err != nil {
				return tlsError(err)
			}
		}
		in.consume(len(data))
		if c.tls != nil {
			if err := c.driveTLS(); err != nil {
				return err
			}
		}
	}
}

// ownParameters returns the transport parameters that this side sends.
func (c *Conn) ownParameters() wire.TransportParameters {
	tp := c.cfg.limits()
	tp.InitialSCID = c.local.active[0].id
	tp.Versions = c.versionInformation()
	if c.side == Server {
		tp.OriginalDCID = c.hs.origDCID
		tp.RetrySCID, tp.HasRetrySCID = c.hs.initialDCID, c.hs.retried
		if tp.InitialSCID.Len() > 0 {
			tp.ResetToken, tp.HasResetToken = c.secrets.resetToken(tp.InitialSCID), true
			tp.Preferred = c.ownPreferredAddress()
		}
	}
	tp.MaxIdleTimeout = c.cfg.IdleTimeout
	tp.DisableActiveMigration = c.cfg.DisableActiveMigration
	tp.GreaseQUICBit = !c.cfg.NoQUICBitGrease
	tp.HasMinAckDelay, tp.MinAckDelay = true, ownMinAckDelay
	return tp
}

// limits returns the transport parameters that say what the peer may send, and so are remembered for 0-RTT (RFC 9000,
// Section 7.4.1; RFC 9221, Section 3).
func (c *Config) limits() wire.TransportParameters {
	tp := wire.DefaultTransportParameters()
	tp.InitialMaxData = uint64(c.ConnWindow)
	tp.InitialMaxStreamDataBidiLocal = uint64(c.StreamWindow)
	tp.InitialMaxStreamDataBidiRemote = uint64(c.StreamWindow)
	tp.InitialMaxStreamDataUni = uint64(c.StreamWindow)
	tp.InitialMaxStreamsBidi = uint64(c.MaxBidiStreams)
	tp.InitialMaxStreamsUni = uint64(c.MaxUniStreams)
	tp.ActiveConnectionIDLimit = activeConnectionIDLimit
	tp.MaxDatagramFrameSize = uint64(c.MaxDatagramFrame)
	tp.ResetStreamAt = true
	return tp
}

// setPeerParameters processes the peer's transport parameters.
func (c *Conn) setPeerParameters(b []byte) *TransportError {
	tp, err := wire.ParseTransportParameters(b, c.side == Client)
	if err != nil {
		return &TransportError{Code: TransportParameterError, FrameType: wire.FrameCrypto, Reason: err.Error()}
	}
	if reason := c.checkConnectionIDs(&tp); reason != "" {
		return &TransportError{Code: TransportParameterError, FrameType: wire.FrameCrypto, Reason: reason}
	}
	if c.side == Server {
		if err := c.negotiateVersion(&tp.Versions); err != nil {
			return err
		}
	} else if err := c.checkVersion(tp.Versions); err != nil {
		return err
	}
	c.hs.params = true
	if c.trace != nil {
		c.trace.parameters(qlog.Remote, &tp)
	}
	c.negotiateQUICBit(&tp)
	c.negotiateAckFrequency(&tp)
	c.idleTimeout = minTimeout(c.cfg.IdleTimeout, min(tp.MaxIdleTimeout, forever))
	c.rec.SetPeerAckDelay(tp.MaxAckDelay, tp.AckDelayExponent)
	c.path.mtu.setLimit(int(min(tp.MaxUDPPayloadSize, maxDatagramSize)))
	c.local.limit = int(min(tp.ActiveConnectionIDLimit, maxIssuedCIDs))
	if tp.HasResetToken {
		first := &c.peer.active[0]
		first.token, first.hasToken = tp.ResetToken, true
		c.endpointEvent(EndpointEvent{Kind: EndpointResetTokenAdded, Token: first.token, Remote: first.remote})
	}
	if c.side == Client {
		c.usePreferredAddress(&tp)
	}
	if c.side == Client && c.cfg.TLS.ClientSessionCache != nil {
		c.rememberParameters(&tp)
	}
	if c.side == Client && c.early != nil {
		// RFC 9000, Section 7.4.1: 0-RTT packets go by the limits that were remembered, to the last.
		c.early.params = tp
		return nil
	}
	c.usePeerLimits(&tp)
	return nil
}

// usePeerLimits lets streams and datagrams use what the peer allows.
func (c *Conn) usePeerLimits(tp *wire.TransportParameters) {
	c.datagrams.peerMax = int(min(tp.MaxDatagramFrameSize, 65535))
	c.streams.setPeerLimits(peerLimits(tp))
}

func peerLimits(tp *wire.TransportParameters) streamLimits {
	return streamLimits{
		maxData:    tp.InitialMaxData,
		bidiLocal:  tp.InitialMaxStreamDataBidiLocal,
		bidiRemote: tp.InitialMaxStreamDataBidiRemote,
		uni:        tp.InitialMaxStreamDataUni,
		resetAt:    tp.ResetStreamAt,
		maxStreams: [2]uint64{Bidi: tp.InitialMaxStreamsBidi, Uni: tp.InitialMaxStreamsUni},
	}
}

// checkConnectionIDs compares the connection IDs that the peer says were used in the handshake with those that were
// (RFC 9000, Section 7.3), so that nobody between can have changed them. It returns what is wrong.
func (c *Conn) checkConnectionIDs(tp *wire.TransportParameters) string {
	if tp.InitialSCID != c.hs.peerSCID {
		return "initial_source_connection_id does not match"
	}
	if c.side == Server {
		return ""
	}
	if tp.OriginalDCID != c.hs.origDCID {
		return "original_destination_connection_id does not match"
	}
	if tp.HasRetrySCID != c.hs.retried {
		return "retry_source_connection_id without a Retry, or none after one"
	}
	if c.hs.retried && tp.RetrySCID != c.hs.initialDCID {
		return "retry_source_connection_id does not match"
	}
	return ""
}

// handshakeComplete notes that TLS has finished.
func (c *Conn) handshakeComplete() *TransportError {
	// RFC 9001, Section 8.2 (MUST 1): who sends no transport parameters is refused.
	if !c.hs.params {
		return transportError(tlsAlert(109), "no transport parameters")
	}
	cs := c.tls.ConnectionState()
	// RFC 9001, Section 8.1: without a protocol for the application there is no connection.
	if cs.NegotiatedProtocol == "" {
		return transportError(tlsAlert(120), "no application protocol")
	}
	if c.side == Client && c.early != nil {
		if err := c.settleEarlyData(); err != nil {
			return err
		}
	}
	c.complete = true
	c.stats.HandshakeTime = c.now.Sub(c.created)
	c.tlsState = &cs
	if c.trace != nil {
		c.trace.handshake()
	}
	c.event(EventEstablished)
	if c.side == Server {
		if err := c.sendTicket(); err != nil {
			return err
		}
		if c.early != nil {
			// RFC 9001, Section 4.9.3: what was reordered may still come for a while.
			c.early.dropAt = c.now.Add(3 * c.rec.PTO(recovery.AppData))
		}
		// RFC 9001, Section 4.1.2: for a server, complete means confirmed.
		c.confirming = true
		// RFC 9000, Section 19.20 (MUST 1). RFC 9001, Section 4.1.2 (MUST 1).
		c.sendHandshakeDone = true
		c.queueNewToken()
	}
	return nil
}

// confirmHandshake does what the confirmation of the handshake allows. It drops c.hs.
func (c *Conn) confirmHandshake() {
	c.confirming = false
	c.confirmed = true
	c.dropSpace(recovery.Initial)
	c.dropSpace(recovery.Handshake)
	c.rec.SetHandshakeConfirmed()
	c.keys.Confirmed()
	if c.side == Server {
		c.initialDCID = c.hs.initialDCID
	}
	if c.side == Server || c.cfg.TLS.ClientSessionCache == nil {
		// What may still come, session tickets for the client, is of no use.
		c.tls = nil
	}
	c.hs = nil
	c.issueCIDs()
	c.startPreferredAddress()
	c.event(EventConfirmed)
}

// dropSpace discards the keys of a packet number space and all that belongs to it (RFC 9001, Section 4.9).
func (c *Conn) dropSpace(s recovery.Space) {
	if c.hs.spaces[s].gone {
		return
	}
	c.hs.spaces[s] = handshakeSpace{gone: true}
	c.rec.DropSpace(s)
}

// queueNewToken makes a server give its client a token for the next connection (RFC 9000, Section 8.1.3).
// RFC 9000, Section 19.7 (MUST 3).
func (c *Conn) queueNewToken() {
	if c.side == Server {
		c.newToken = c.secrets.newToken(c.epoch.Time(c.now), c.version, c.path.addr.Remote.Addr(), c.cfg.Rand)
		c.sendNewToken = true
	}
}

// maxTokenLen is the length of the longest token of a server that is kept: it has to fit an Initial packet.
const maxTokenLen = 512
