package quic

import (
	"github.com/dunlin-quic/dunlin/internal/protect"
	"github.com/dunlin-quic/dunlin/internal/recovery"
	"github.com/dunlin-quic/dunlin/internal/wire"
)

// packetIn is a decrypted packet being processed.
type packetIn struct {
	d     *datagramIn
	typ   wire.PacketType
	space recovery.Space
	// version is that of a packet with a long header.
	version Version
	local   uint64 // sequence number of our connection ID that it was sent to

	phase uint64 // of the keys of a 1-RTT packet

	ackEliciting bool
	refused      bool // it is dropped after all, for want of room
	nonProbing   bool // it has a frame that moves the connection to its path (RFC 9000, Section 9.1)
	// challenge holds the first PATH_CHALLENGE frames.
	challenge  [2][8]byte
	challenges int

	pn   uint64
	size int // of the packet, all of it
}

// handlePayload processes the frames of a packet. It reports false if the connection has ended. Frames of a packet that is
// then refused may come again, in another packet: none of those that are sent again minds. The same packet is not processed
// twice, for a DATAGRAM frame would.
func (c *Conn) handlePayload(in *packetIn, b []byte) bool {
	if c.trace != nil {
		c.trace.packetReceived(in, b)
	}
	if len(b) == 0 {
		// RFC 9000, Section 12.4.
		c.fail(transportError(ProtocolViolation, "packet without frames"))
		return false
	}
	for len(b) > 0 {
		t := wire.PeekFrameType(b)
		if !t.AllowedIn(in.typ) {
			c.failFrame(t, c.frameNotAllowed(t, b))
			return false
		}
		in.ackEliciting = in.ackEliciting || t.AckEliciting()
		in.nonProbing = in.nonProbing || !t.Probing()
		n, err := c.handleFrame(in, t, b)
		if err == errNoRoom {
			in.refused = true
			return true
		}
		if n == 0 && err == nil {
			err = transportError(FrameEncodingError, "malformed frame")
		}
		if err != nil {
			c.failFrame(t, err)
			return false
		}
		if c.state != stateActive {
			return false
		}
		b = b[n:]
	}
	return true
}

// failFrame ends the connection with an error that a frame of type t caused.
func (c *Conn) failFrame(t wire.FrameType, err *TransportError) {
	if err.FrameType == 0 {
		err.FrameType = t
	}
	c.fail(err)
}

// frameNotAllowed says what is wrong with a frame type that may not be where it stands.
func (c *Conn) frameNotAllowed(t wire.FrameType, b []byte) *TransportError {
	// RFC 9000, Section 12.4: the type must be in its shortest encoding.
	v, n, minimal := wire.ParseFrameType(b)
	switch {
	case n > 0 && !minimal:
		return transportError(ProtocolViolation, "frame type not encoded minimally")
	case n == 0 || !v.Known():
		return &TransportError{Code: FrameEncodingError, FrameType: v, Reason: "unknown frame type"}
	}
	return transportError(ProtocolViolation, "frame in the wrong type of packet")
}

// handleFrame processes the frame of type t that b begins with and returns its length, 0 if it is malformed.
func (c *Conn) handleFrame(in *packetIn, t wire.FrameType, b []byte) (n int, err *TransportError) {
	if t.IsStream() {
		f, n := wire.ParseStream(b)
		if n == 0 {
			return 0, nil
		}
		return n, asTransportError(c.streams.handleStream(c.now, f.ID, f.Offset, f.Data, f.Fin))
	}
	switch t {
	case wire.FramePadding:
		return wire.ParsePadding(b), nil
	case wire.FramePing:
		return 1, nil
	case wire.FrameAck, wire.FrameAckECN:
		return c.handleAck(in, b)
	case wire.FrameCrypto:
		f, n := wire.ParseCrypto(b)
		if n == 0 {
			return 0, nil
		}
		if in.space == recovery.Initial {
			if err := c.receivedInitialCrypto(in.version); err != nil {
				return n, err
			}
		}
		return n, c.handleCrypto(in.space, f)
	case wire.FrameConnectionClose, wire.FrameConnectionCloseApp:
		f, n := wire.ParseConnectionClose(b)
		if n > 0 {
			c.peerClosed(f)
		}
		return n, nil
	case wire.FrameDatagram, wire.FrameDatagramLen:
		data, n := wire.ParseDatagram(b)
		if n == 0 {
			return 0, nil
		}
		return n, c.handleDatagram(data, n)
	case wire.FrameResetStream, wire.FrameResetStreamAt, wire.FrameStopSending, wire.FrameMaxData, wire.FrameMaxStreamData,
		wire.FrameMaxStreamsBidi, wire.FrameMaxStreamsUni, wire.FrameDataBlocked, wire.FrameStreamDataBlocked,
		wire.FrameStreamsBlockedBidi, wire.FrameStreamsBlockedUni:
		n, e := c.handleStreamControl(t, b)
		return n, asTransportError(e)
	}
	return c.handleConnControl(in, t, b)
}

// handleStreamControl passes a frame about streams, other than STREAM, to the stream table.
func (c *Conn) handleStreamControl(t wire.FrameType, b []byte) (n int, err error) {
	s := &c.streams
	switch t {
	case wire.FrameResetStream:
		f, n := wire.ParseResetStream(b)
		if n == 0 {
			return 0, nil
		}
		return n, s.handleReset(f.ID, f.Code, f.FinalSize)
	case wire.FrameResetStreamAt:
		f, n := wire.ParseResetStreamAt(b)
		if n == 0 {
			return 0, nil
		}
		return n, s.handleResetAt(f)
	case wire.FrameStopSending:
		f, n := wire.ParseStopSending(b)
		if n == 0 {
			return 0, nil
		}
		return n, s.handleStopSending(f.ID, f.Code)
	case wire.FrameMaxData:
		v, n := wire.ParseMaxData(b)
		if n == 0 {
			return 0, nil
		}
		return n, s.handleMaxData(v)
	case wire.FrameMaxStreamData:
		f, n := wire.ParseMaxStreamData(b)
		if n == 0 {
			return 0, nil
		}
		return n, s.handleMaxStreamData(f.ID, f.Limit)
	case wire.FrameMaxStreamsBidi, wire.FrameMaxStreamsUni:
		f, n := wire.ParseMaxStreams(b)
		if n == 0 {
			return 0, nil
		}
		return n, s.handleMaxStreams(frameDir(f.Uni), f.Limit)
	case wire.FrameDataBlocked:
		v, n := wire.ParseDataBlocked(b)
		if n == 0 {
			return 0, nil
		}
		return n, s.handleDataBlocked(v)
	case wire.FrameStreamDataBlocked:
		f, n := wire.ParseStreamDataBlocked(b)
		if n == 0 {
			return 0, nil
		}
		return n, s.handleStreamDataBlocked(f.ID, f.Limit)
	}
	f, n := wire.ParseStreamsBlocked(b)
	if n == 0 {
		return 0, nil
	}
	return n, s.handleStreamsBlocked(frameDir(f.Uni), f.Limit)
}

func frameDir(uni bool) Dir {
	if uni {
		return Uni
	}
	return Bidi
}

// handleConnControl processes the frames of 1-RTT packets that are about the connection.
func (c *Conn) handleConnControl(in *packetIn, t wire.FrameType, b []byte) (int, *TransportError) {
	switch t {
	case wire.FrameNewToken:
		token, n := wire.ParseNewToken(b)
		if n == 0 {
			return 0, nil
		}
		return n, c.handleNewToken(token)
	case wire.FrameNewConnectionID:
		f, n := wire.ParseNewConnectionID(b)
		if n == 0 {
			return 0, nil
		}
		return n, c.handleNewConnectionID(f)
	case wire.FrameRetireConnectionID:
		seq, n := wire.ParseRetireConnectionID(b)
		if n == 0 {
			return 0, nil
		}
		return n, c.handleRetireConnectionID(seq, in.local)
	case wire.FramePathChallenge:
		data, n := wire.ParsePathChallenge(b)
		c.stats.PathChallengesReceived++
		if n > 0 && in.challenges < len(in.challenge) {
			in.challenge[in.challenges] = data
			in.challenges++
		}
		return n, nil
	case wire.FramePathResponse:
		data, n := wire.ParsePathResponse(b)
		if n > 0 {
			c.handlePathResponse(data)
		}
		return n, nil
	case wire.FrameAckFrequency, wire.FrameImmediateAck:
		return c.handleAckRequest(t, b)
	case wire.FrameHandshakeDone:
		// RFC 9000, Section 19.20: clients have nothing to confirm to a server.
		if c.side == Server {
			return 1, transportError(ProtocolViolation, "HANDSHAKE_DONE from a client")
		}
		c.confirming = !c.confirmed
		return 1, nil
	}
	return 0, transportError(InternalError, "frame without a handler")
}

// fewAckRanges is as many as most ACK frames have.
const fewAckRanges = 16

// handleAck processes an ACK frame.
func (c *Conn) handleAck(in *packetIn, b []byte) (int, *TransportError) {
	// Room for as many ranges as can be would have every new goroutine's stack grow to four times its size for the
	// first acknowledgment.
	if wire.AckRanges(b) > fewAckRanges {
		return c.handleLongAck(in, b)
	}
	var scratch [fewAckRanges]wire.AckRange
	f, n := wire.ParseAck(b, scratch[:0])
	return c.acked(in, &f, n)
}

//go:noinline
func (c *Conn) handleLongAck(in *packetIn, b []byte) (int, *TransportError) {
	var scratch [wire.MaxAckRanges]wire.AckRange
	f, n := wire.ParseAck(b, scratch[:0])
	return c.acked(in, &f, n)
}

// acked processes an ACK frame of n bytes, 0 if it is malformed.
func (c *Conn) acked(in *packetIn, f *wire.AckFrame, n int) (int, *TransportError) {
	if n == 0 {
		return 0, nil
	}
	c.stats.AckFramesReceived++
	if in.space == recovery.AppData && f.Ranges[len(f.Ranges)-1].Smallest < c.earlyPackets {
		// RFC 9001, Section 4.6.2.
		return n, transportError(ProtocolViolation, "acknowledgment of early data that was rejected")
	}
	if err := c.rec.OnAck(c.now, in.d.received, in.space, f, (*fates)(c)); err != nil {
		return n, transportError(ProtocolViolation, "acknowledgment of a packet that was not sent")
	}
	if c.trace != nil {
		c.trace.packetsAcked(in.space)
	}
	if in.space == recovery.AppData {
		c.checkBlackHole()
		if err := c.keys.Acked(f.Largest(), in.phase); err == protect.ErrKeyUpdate {
			return n, transportError(KeyUpdateError, "")
		}
	}
	return n, nil
}

// handleNewToken processes a NEW_TOKEN frame.
// RFC 9001, Section 9.2 (MUST 2).
func (c *Conn) handleNewToken(token []byte) *TransportError {
	// RFC 9000, Section 19.7: clients have no address-validation tokens to give.
	if c.side == Server {
		return transportError(ProtocolViolation, "NEW_TOKEN from a client")
	}
	if c.cfg.Tokens != nil && len(token) <= maxTokenLen {
		c.cfg.Tokens.PutToken(c.cfg.TLS.ServerName, c.version, c.cachedToken(token))
	}
	return nil
}

// asTransportError returns the error of a stream frame as what it is.
func asTransportError(err error) *TransportError {
	if err == nil {
		return nil
	}
	if e, ok := err.(*TransportError); ok {
		return e
	}
	return &TransportError{Code: InternalError, Err: err}
}

// fates is a Conn to whom package recovery tells what became of its packets. It is a type of its own so that these methods are
// none of Conn's.
type fates Conn

// FrameAcked implements recovery.Handler.
func (h *fates) FrameAcked(space recovery.Space, f recovery.Frame) {
	c := (*Conn)(h)
	switch f.Type {
	case wire.FrameAck:
		c.received(space).OnAckOfAck(f.Offset)
	case wire.FrameCrypto:
		if s := c.cryptoOf(space); s != nil {
			s.out.onAcked(f.Offset, f.Length)
		}
	case wire.FrameNewConnectionID, wire.FramePing, wire.FrameHandshakeDone, wire.FrameDatagram, wire.FrameImmediateAck:
		// Nothing waits for these.
	case wire.FrameNewToken:
		if !c.sendNewToken {
			c.newToken = nil
		}
	case wire.FrameRetireConnectionID:
		c.peer.onRetireAcked(f.ID)
	case wire.FrameAckFrequency:
		c.ackFrequencyFate(f.Offset, true)
	default:
		c.streams.frameAcked(f)
	}
}

// FrameLost implements recovery.Handler.
func (h *fates) FrameLost(space recovery.Space, f recovery.Frame) {
	c := (*Conn)(h)
	if c.trace != nil {
		c.trace.remarked(f)
	}
	switch f.Type {
	case wire.FrameAck, wire.FramePing, wire.FrameImmediateAck:
		// RFC 9000, Section 13.3: never repeated.
	case wire.FrameDatagram:
		c.stats.DatagramFramesLost++
	case wire.FrameCrypto:
		if s := c.cryptoOf(space); s != nil {
			s.out.onLost(f.Offset, f.Length)
		}
	case wire.FrameHandshakeDone:
		c.sendHandshakeDone = true
	case wire.FrameNewToken:
		c.sendNewToken = c.newToken != nil
	case wire.FrameNewConnectionID:
		c.local.resend(f.ID)
	case wire.FrameRetireConnectionID:
		c.peer.onRetireLost(f.ID)
	case wire.FrameAckFrequency:
		c.ackFrequencyFate(f.Offset, false)
	default:
		c.streams.frameLost(f)
	}
}

// cryptoOf returns the CRYPTO stream of space, nil if that is gone.
func (c *Conn) cryptoOf(space recovery.Space) *cryptoStream {
	switch {
	case space == recovery.AppData:
		return &c.crypto
	case c.hs != nil && !c.hs.spaces[space].gone:
		return &c.hs.spaces[space].crypto
	}
	return nil
}

// received returns what was received in space, which must not be gone.
func (c *Conn) received(space recovery.Space) *recovery.Received {
	if space == recovery.AppData {
		return &c.recv
	}
	return &c.hs.spaces[space].recv
}
