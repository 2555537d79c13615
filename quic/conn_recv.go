package quic

import (
	"errors"
	"net/netip"
	"time"

	"github.com/dunlin-quic/dunlin/internal/monotime"
	"github.com/dunlin-quic/dunlin/internal/protect"
	"github.com/dunlin-quic/dunlin/internal/recovery"
	"github.com/dunlin-quic/dunlin/internal/wire"
	"github.com/dunlin-quic/dunlin/qlog"
)

// datagramIn is a datagram being processed.
type datagramIn struct {
	addr     Path
	path     *path // nil if addr is not known
	ecn      ECN
	received monotime.Time
	size     int              // of the whole datagram
	aside    bool             // it was put aside before
	why      qlog.DropTrigger // why its last packet was dropped
}

// drop notes why a packet is dropped.
func (d *datagramIn) drop(f packetFate, why qlog.DropTrigger) packetFate {
	d.why = why
	return f
}

// Receive processes what arrived. A packet that can't be used is counted in Stats.PacketsDropped; what a packet does to
// the connection is told by events.
func (c *Conn) Receive(now time.Time, in Inbound) {
	c.enter(now)
	received := c.now
	if !in.Received.IsZero() {
		received = min(c.epoch.At(in.Received), c.now)
	}
	data := in.Data
	if c.trace != nil {
		c.trace.event(&qlog.UDPDatagramsReceived{Len: len(data), Segment: in.SegmentSize, ECN: uint8(in.ECN)})
	}
	for len(data) > 0 {
		n := len(data)
		if in.SegmentSize > 0 {
			n = min(n, in.SegmentSize)
		}
		c.stats.DatagramsReceived++
		c.stats.BytesReceived += uint64(n)
		if c.state == stateActive {
			d := datagramIn{addr: in.Path, ecn: in.ECN, received: received, size: n}
			c.receiveDatagram(&d, data[:n:n])
		} else {
			c.receiveClosing(in.Path, n)
		}
		data = data[n:]
	}
	if c.state == stateActive {
		c.streams.setEstimates(c.rec.SRTT(), c.rec.MinRTT(), c.rec.Cwnd())
		c.updateAckFrequency()
	}
	if c.trace != nil {
		c.trace.observe()
	}
}

// receiveDatagram processes one datagram.
func (c *Conn) receiveDatagram(d *datagramIn, data []byte) {
	p := c.findPath(d.addr)
	// RFC 9000, Section 9: addresses stay until the handshake is confirmed, those of servers for ever.
	if p == nil && (c.side == Client || !c.confirmed) {
		c.stats.PacketsDropped++
		if c.trace != nil {
			c.trace.event(&qlog.UDPDatagramDropped{Length: len(data)})
		}
		return
	}
	if p != nil {
		p.counts.datagramsReceived++
		p.counts.bytesReceived += uint64(len(data))
		if !p.validated {
			p.received += int64(len(data))
			c.updateAmplification()
		}
	}
	// Packets are decrypted in place, and a failure to decrypt leaves other bytes behind.
	var tail [wire.ResetTokenLen]byte
	if len(data) >= minStatelessReset {
		copy(tail[:], data[len(data)-len(tail):])
	}
	if !c.receivePackets(d, data) && c.state == stateActive && len(data) >= minStatelessReset && c.peer.isReset(&tail) {
		c.drain(ErrStatelessReset)
	}
}

// packetFate is what became of a received packet.
type packetFate uint8

const (
	packetBad    packetFate = iota // not for us, or not decrypted: perhaps a stateless reset
	packetDrop                     // authentic, but processed before
	packetAside                    // put aside for later, with all that follows it
	packetHeld                     // put aside for later
	packetOpened                   // authentic and processed
)

// receivePackets processes the packets coalesced in a datagram (RFC 9000, Section 12.2). It reports whether any of them could
// be decrypted, or is kept until it can.
func (c *Conn) receivePackets(d *datagramIn, data []byte) (ours bool) {
	var dcid ConnectionID
	for first := true; len(data) > 0 && c.state == stateActive; first = false {
		if !wire.IsLong(data[0]) {
			if !first && string(dcid.Bytes()) != string(data[1:min(len(data), 1+dcid.Len())]) {
				c.countPacket(d, d.drop(packetDrop, qlog.DroppedInvalid), nil, data)
				return
			}
			fate := c.receiveShort(d, data)
			c.countPacket(d, fate, nil, data)
			return ours || fate != packetBad
		}
		h, ok := wire.ParseLong(data)
		if !ok || h.Type == wire.Retry || !c.takesQUICBit(data[0]) {
			switch inv, invariant := wire.ParseInvariant(data, 0); {
			case invariant && first && inv.Version == 0:
				c.handleVersionNegotiation(data)
			case ok && first:
				c.handleRetry(data)
			default:
				c.stats.PacketsDropped++
				if c.trace != nil {
					c.trace.invalid(len(data))
				}
			}
			return
		}
		if first {
			dcid = h.DCID
		}
		fate := packetBad
		// RFC 9000, Section 12.2: coalesced packets have one destination.
		if h.DCID == dcid {
			fate = c.receiveLong(d, &h, data)
		}
		c.countPacket(d, fate, &h, data)
		ours = ours || fate != packetBad
		if fate == packetAside {
			return
		}
		data = data[h.PacketLen:]
	}
	return
}

// countPacket counts the packet that b begins with, which has a long header if long is not nil.
func (c *Conn) countPacket(d *datagramIn, fate packetFate, long *wire.LongHeader, b []byte) {
	if c.trace != nil {
		c.trace.fate(d, fate, long, b)
	}
	switch fate {
	case packetOpened:
		c.stats.PacketsReceived++
	case packetBad, packetDrop:
		c.stats.PacketsDropped++
	}
}

// receiveLong processes the packet with a long header that data begins with.
func (c *Conn) receiveLong(d *datagramIn, h *wire.LongHeader, data []byte) packetFate {
	if h.Type == wire.ZeroRTT {
		return c.receiveEarly(d, h, data)
	}
	if c.hs == nil {
		return d.drop(packetBad, qlog.DroppedKeyUnavailable)
	}
	if c.local.active[0].id != h.DCID {
		// RFC 9000, Section 7.2: until it hears from the server, the client uses the ID that it made up.
		if c.side == Client || h.DCID != c.hs.initialDCID {
			return d.drop(packetBad, qlog.DroppedConnectionUnknown)
		}
	}
	space := recovery.Initial
	if h.Type == wire.Handshake {
		space = recovery.Handshake
	}
	s := &c.hs.spaces[space]
	if s.gone {
		return d.drop(packetBad, qlog.DroppedKeyUnavailable)
	}
	opener, ok := c.longOpener(space, h.Version)
	switch {
	case !ok:
		return d.drop(packetBad, qlog.DroppedUnsupported)
	case h.Type == wire.Initial && c.side == Server && d.size < minDatagramSize:
		return d.drop(packetBad, qlog.DroppedInvalid) // RFC 9000, Section 14.1
	case h.Type == wire.Initial && c.side == Client && len(h.Token) > 0:
		return d.drop(packetBad, qlog.DroppedInvalid) // RFC 9000, Section 17.2.2
	case (c.hs.heard || c.side == Server) && h.SCID != c.hs.peerSCID:
		return d.drop(packetBad, qlog.DroppedConnectionUnknown) // RFC 9000, Section 7.2: the peer's first choice holds
	case opener == nil:
		if !c.hs.aside.add(d, data) {
			return d.drop(packetBad, qlog.DroppedKeyUnavailable)
		}
		return packetAside
	}
	pkt := data[:h.PacketLen:h.PacketLen]
	pn, pnLen, ok := opener.Unmask(pkt, h.PNOffset, expectedPN(&s.recv))
	if !ok {
		return d.drop(packetBad, qlog.DroppedInvalid)
	}
	payload, err := opener.Open(pkt, h.PNOffset+pnLen, pn)
	if err != nil {
		c.keys.CountFailure()
		return d.drop(packetBad, qlog.DroppedDecryptionFailure)
	}
	if !c.hs.heard {
		c.hs.heard = true
		if c.side == Client {
			c.usePeerSCID(h.SCID)
		}
	}
	if !wire.ReservedBitsZero(pkt[0]) {
		c.fail(transportError(ProtocolViolation, "reserved bits set"))
		return packetOpened
	}
	if s.recv.Duplicate(pn) {
		return d.drop(packetDrop, qlog.DroppedDuplicate)
	}
	if d.path == nil {
		d.path = c.path
	}
	if h.Version != c.version && h.Version != c.hs.chosen {
		// RFC 9369, Section 4.1: so a client learns which version was negotiated.
		if err := c.switchVersion(h.Version); err != nil {
			c.fail(err)
			return packetOpened
		}
	}
	if space == recovery.Handshake && c.side == Server {
		// RFC 9001, Section 4.9.1, and RFC 9000, Section 8.1: the client has our Handshake keys, hence it is where
		// it says.
		c.dropSpace(recovery.Initial)
		c.path.validated = true
		c.updateAmplification()
	}
	in := packetIn{d: d, typ: h.Type, space: space, version: h.Version, pn: pn, size: len(pkt)}
	if !c.handlePayload(&in, payload) {
		return packetOpened
	}
	s.recv.Add(d.received, pn, in.ackEliciting, uint8(d.ecn))
	c.packetProcessed()
	return packetOpened
}

// receiveShort processes a 1-RTT packet, which extends to the end of data.
func (c *Conn) receiveShort(d *datagramIn, data []byte) packetFate {
	if !c.takesQUICBit(data[0]) {
		return d.drop(packetBad, qlog.DroppedInvalid)
	}
	n := c.local.active[0].id.Len()
	if len(data) < 1+n {
		return packetBad
	}
	i := c.local.find(data[1 : 1+n])
	if i < 0 {
		return d.drop(packetBad, qlog.DroppedConnectionUnknown)
	}
	// RFC 9001, Section 5.7: a server reads no 1-RTT packet before the handshake is complete.
	if !c.complete || !c.keys.CanReceive() {
		if c.hs == nil || !c.hs.aside.add(d, data) {
			return d.drop(packetBad, qlog.DroppedKeyUnavailable)
		}
		return packetAside
	}
	o, err := c.keys.Open(data, 1+n, expectedPN(&c.recv))
	if err != nil {
		switch {
		case errors.Is(err, protect.ErrKeyUpdate):
			c.fail(transportError(KeyUpdateError, ""))
		case errors.Is(err, protect.ErrAEADLimit):
			c.fail(transportError(AEADLimitReached, "too many packets failed authentication"))
		}
		return d.drop(packetBad, qlog.DroppedDecryptionFailure)
	}
	if !wire.ReservedBitsZero(data[0]) {
		c.fail(transportError(ProtocolViolation, "reserved bits set"))
		return packetOpened
	}
	if c.recv.Duplicate(o.PN) {
		return d.drop(packetDrop, qlog.DroppedDuplicate)
	}
	if o.Updated {
		c.keysUpdated = c.now
		if c.trace != nil {
			c.trace.peerUpdated = true
		}
	}
	in := packetIn{
		d: d, typ: wire.OneRTT, space: recovery.AppData, local: c.local.active[i].seq, phase: o.Phase, pn: o.PN, size: len(data),
	}
	d.path = c.findPath(d.addr)
	if !c.handlePayload(&in, o.Payload) {
		return packetOpened
	}
	if in.refused {
		c.recv.Refuse(o.PN)
		return d.drop(packetDrop, qlog.DroppedGeneral)
	}
	largest := o.PN+1 > expectedPN(&c.recv)
	c.recv.Add(d.received, o.PN, in.ackEliciting, uint8(d.ecn))
	if d.path != c.path {
		// A frame of the packet may have moved the connection, and with that had this path forgotten.
		d.path = c.findPath(d.addr)
	}
	if d.path != c.path {
		c.receivedElsewhere(&in, largest)
	} else {
		c.path.local = in.local
		if ch := c.path.challenge; ch != nil {
			ch.heard = true
		}
		if in.challenges > 0 && !c.leftLocal(d.addr.Local) {
			c.answerChallenges(&in, c.path)
		}
		if c.roam != nil && largest && in.nonProbing && c.side == Server {
			c.stay()
		}
	}
	c.packetProcessed()
	return packetOpened
}

// expectedPN returns one more than the largest packet number received.
func expectedPN(r *recovery.Received) uint64 {
	if pn, ok := r.Largest(); ok {
		return pn + 1
	}
	return 0
}

// receivedElsewhere follows the peer to another path, or answers its probes there. largest tells that the packet has the
// highest packet number so far.
func (c *Conn) receivedElsewhere(in *packetIn, largest bool) {
	p := in.d.path
	if p == nil {
		// RFC 9000, Section 9.3: a reordered packet from an address already left would only cost a connection ID.
		if !largest && in.challenges == 0 {
			return
		}
		if p = c.newPath(in.d.addr, in.local); p == nil {
			return
		}
		p.received += int64(in.d.size)
		p.counts.datagramsReceived++
		p.counts.bytesReceived += uint64(in.d.size)
		if in.challenges > 0 {
			c.pathEvent(PathProbed, p)
		}
	}
	p.local = in.local
	p.expires = max(p.expires, c.now.Add(c.pathTimeout()))
	if in.challenges > 0 {
		c.answerChallenges(in, p)
	}
	if c.side == Client {
		return
	}
	// RFC 9000, Section 9.3: only the highest-numbered packet that is more than a probe moves the connection.
	if largest && in.nonProbing && c.ensureDCID(p) {
		c.followPeer(p)
	} else if in.challenges > 0 && !p.validated && p.challenge == nil {
		// RFC 9000, Section 9.6.3: the client that probes is about to move; by then its address is known to be its own.
		c.startValidation(p)
	}
}

// leftLocal reports whether a client that has had several addresses of its own has forgotten the one that it got a packet at.
// RFC 9000, Section 8.2.2: a challenge is answered on its path or not at all. A socket that is known by "any" address is told by
// its port.
func (c *Conn) leftLocal(at netip.AddrPort) bool {
	own := c.path.addr.Local
	return c.side == Client && c.roam != nil && at != own && (at.Port() != own.Port() || !own.Addr().IsUnspecified())
}

// answerChallenges queues the answers to the PATH_CHALLENGE frames of a packet that came on p.
func (c *Conn) answerChallenges(in *packetIn, p *path) {
	for _, data := range in.challenge[:in.challenges] {
		p.addResponse(data)
	}
}

// packetProcessed does what follows an authentic packet.
func (c *Conn) packetProcessed() {
	if c.state != stateActive {
		return
	}
	// RFC 9000, Section 10.1.
	c.arrivals = arrivals{last: c.now}
	if c.hs != nil {
		c.retryAside()
		if c.confirming && c.hs != nil && c.state == stateActive {
			c.confirmHandshake()
		}
	}
}
