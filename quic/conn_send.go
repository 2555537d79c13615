package quic

import (
	"time"

	"github.com/dunlin-quic/dunlin/internal/monotime"
	"github.com/dunlin-quic/dunlin/internal/protect"
	"github.com/dunlin-quic/dunlin/internal/recovery"
	"github.com/dunlin-quic/dunlin/internal/wire"
)

// maxTrainBytes bounds a train by what one GSO send can carry: 64 KiB minus headers.
const maxTrainBytes = 65507

// PollTransmit fills buf with up to maxSegments datagrams for one path, and says where they go. It reports false if
// nothing may be sent now: NextTimeout tells when to ask again if nothing arrives before. All datagrams have the same
// size, but the last may be shorter. buf should have room for one datagram of Config.MaxPacketSize at least; with less,
// datagrams are smaller, and below 1,200 bytes nothing is sent. The caller asks again until nothing is left.
func (c *Conn) PollTransmit(now time.Time, buf []byte, maxSegments int) (Transmit, bool) {
	t, ok := c.pollTransmit(now, buf, maxSegments)
	if c.trace != nil {
		c.trace.polled(t, ok)
	}
	return t, ok
}

func (c *Conn) pollTransmit(now time.Time, buf []byte, maxSegments int) (Transmit, bool) {
	c.enter(now)
	c.sendAt = 0
	if len(buf) < minDatagramSize || maxSegments < 1 || c.state == stateDrained {
		return Transmit{}, false
	}
	if c.state != stateActive {
		return c.pollClose(buf)
	}
	if t, ok := c.pollPathProbe(buf); ok {
		return t, true
	}
	if c.confirmed && !c.ensureDCID(c.path) {
		return Transmit{}, false
	}
	if t, ok := c.pollMTUProbe(buf); ok {
		return t, true
	}
	return c.pollTrain(buf[:min(len(buf), maxTrainBytes)], maxSegments)
}

// pollTrain sends packets of the connection's ordinary business on the path in use.
func (c *Conn) pollTrain(buf []byte, maxSegments int) (Transmit, bool) {
	// RFC 9001, Section 5.3 (MUST 3) and Section 6.6 (MUST 3).
	if c.keys.UpdateDue() {
		c.keys.InitiateUpdate()
	}
	p := c.path
	size := min(p.mtu.size, len(buf))
	ect0 := c.rec.MarkECT0()
	total := 0
	for range maxSegments {
		if len(buf)-total < size {
			break
		}
		limit := size
		if credit := p.credit(); credit < int64(limit) {
			// RFC 9000, Section 8.1: the last datagram that the limit allows may be short.
			limit = int(max(credit, 0))
		}
		n := c.appendDatagram(buf[total:total], limit, ect0)
		if c.state != stateActive {
			return c.pollClose(buf)
		}
		if n == 0 {
			break
		}
		total += n
		c.sentDatagram(p, n)
		switch {
		case n == size:
			continue
		case total == n && c.hs == nil && !c.datagrams.out.Empty():
			// Unreliable datagrams that leave room in packets, but not for one more, are mostly of one length: with packets
			// as long as the first one they go in one train all the same.
			size = n
			continue
		}
		break
	}
	if !c.sendAt.IsZero() && !c.pendingData() && !p.wantsProbe() {
		// The pacer holds nothing back.
		c.sendAt = 0
	}
	if c.rec.Samples() && !c.pendingData() {
		c.rec.RanDry(c.now)
	}
	if total == 0 {
		return Transmit{}, false
	}
	return c.transmit(p, total, min(size, total), ect0), true
}

func (c *Conn) transmit(p *path, total, segment int, ect0 bool) Transmit {
	t := Transmit{Path: p.addr, Len: total, SegmentSize: segment}
	if ect0 {
		t.ECN = ECT0
	}
	return t
}

// sentDatagram counts a datagram of n bytes.
func (c *Conn) sentDatagram(p *path, n int) {
	c.stats.DatagramsSent++
	c.stats.BytesSent += uint64(n)
	p.counts.datagramsSent++
	p.counts.bytesSent += uint64(n)
	if !p.validated {
		p.sent += int64(n)
		if p == c.path {
			c.updateAmplification()
		}
	}
}

// updateAmplification tells loss detection whether a server can send at all. Before there are Handshake keys, that takes a
// full datagram.
func (c *Conn) updateAmplification() {
	least := int64(minUsefulDatagram)
	if c.hs != nil && c.hs.spaces[recovery.Handshake].sealer == nil {
		least = minDatagramSize
	}
	c.rec.SetAmplificationLimited(c.path.credit() < least)
}

// minUsefulDatagram is the least number of bytes for which it pays to build a datagram.
const minUsefulDatagram = 64

// unsealed is a packet whose payload may still grow.
type unsealed struct {
	space recovery.Space
	start int // where it begins in the datagram
	pnPos int // where its packet number stands, from start
	pnLen int
	pn    uint64
	flags recovery.Flags
	early bool // a 0-RTT packet
	again bool // it has data that was sent before
}

// appendDatagram builds one datagram of at most limit bytes at the start of b, which is empty and has the capacity for
// it. It returns the datagram's length, 0 if there is nothing to be sent.
func (c *Conn) appendDatagram(b []byte, limit int, ect0 bool) int {
	if limit < minUsefulDatagram {
		return 0
	}
	var packets [recovery.NumSpaces]unsealed
	n := 0
	pad := false
	if c.hs != nil {
		for s := range recovery.AppData {
			if s == recovery.Initial && limit < minDatagramSize {
				continue
			}
			next, pkt, ok := c.appendLong(b, limit, s, c.maySend(s, limit))
			if !ok {
				continue
			}
			b = next
			packets[n] = pkt
			n++
			// RFC 9000, Section 14.1: so that the path is known to carry datagrams of that size.
			if s == recovery.Initial && (c.side == Client || pkt.flags&recovery.AckEliciting != 0) {
				pad = true
			}
		}
	}
	// RFC 9001, Section 4.9 (MUST 2).
	if c.complete || c.answersEarly() {
		if next, pkt, ok := c.append1RTT(b, limit, c.maySend(recovery.AppData, limit)); ok {
			b = next
			packets[n] = pkt
			n++
		}
	} else if c.sendsEarly() {
		if next, pkt, ok := c.appendEarly(b, limit); ok {
			b = next
			packets[n] = pkt
			n++
		}
	}
	if n == 0 {
		return 0
	}
	if pad {
		b = padDatagram(b, &packets[n-1])
	}
	if !c.sealAll(b, packets[:n], ect0) {
		c.fail(errAEADLimit())
		return 0
	}
	// RFC 9001, Section 4.9.1: a client that sends a Handshake packet has no more use for Initial keys.
	if c.hs != nil && c.side == Client {
		for i := range packets[:n] {
			if packets[i].space == recovery.Handshake {
				c.dropSpace(recovery.Initial)
			}
		}
	}
	return len(b)
}

// maySend reports whether congestion control allows size bytes in space now. If the pacer does later, it notes when.
func (c *Conn) maySend(space recovery.Space, size int) bool {
	at := c.rec.SendTime(c.now, space, size)
	if !at.After(c.now) {
		return true
	}
	if at != monotime.Never {
		c.sendAt = at
	}
	return false
}

// padDatagram expands the datagram b, of which last is the last packet, to 1,200 bytes.
func padDatagram(b []byte, last *unsealed) []byte {
	short := minDatagramSize - len(b)
	if short <= 0 {
		return b
	}
	last.flags |= recovery.InFlight
	// The room for the last packet's tag stands at the end already.
	b = wire.AppendPadding(b[:len(b)-protect.Overhead], short)
	return b[:len(b)+protect.Overhead]
}

// errAEADLimit is the end of a connection whose keys are used up (RFC 9001, Section 6.6 (MUST 4)).
func errAEADLimit() *TransportError {
	return transportError(AEADLimitReached, "no more packets can be protected")
}

// sealAll protects the packets of the datagram b. It reports false if the keys are used up.
func (c *Conn) sealAll(b []byte, packets []unsealed, ect0 bool) bool {
	for i := range packets {
		end := len(b)
		if i+1 < len(packets) {
			end = packets[i+1].start
		}
		if !c.seal(b[:end], &packets[i], ect0) {
			return false
		}
	}
	return true
}

// seal protects the packet with which b ends, the room for its tag included. It reports false if the keys are used up.
func (c *Conn) seal(b []byte, p *unsealed, ect0 bool) bool {
	pkt := b[p.start : len(b)-protect.Overhead]
	flags := p.flags
	if ect0 {
		flags |= recovery.ECT0
	}
	if c.trace != nil {
		c.trace.sending(p, pkt[p.pnPos+p.pnLen:], len(b)-p.start, flags)
	}
	if p.early {
		wire.PatchLength(pkt, p.pnPos, len(pkt)-p.pnPos+protect.Overhead)
		c.early.sealer.Seal(pkt, p.pnPos, p.pnLen, p.pn)
	} else if p.space == recovery.AppData {
		if _, err := c.keys.Seal(pkt, p.pnPos, p.pnLen, p.pn); err != nil {
			c.rec.Abandon(p.space)
			return false
		}
	} else {
		wire.PatchLength(pkt, p.pnPos, len(pkt)-p.pnPos+protect.Overhead)
		c.hs.spaces[p.space].sealer.Seal(pkt, p.pnPos, p.pnLen, p.pn)
	}
	c.rec.Sent(c.now, p.space, len(b)-p.start, flags)
	c.stats.PacketsSent++
	if p.again {
		c.stats.PacketsRetransmitted++
	}
	if flags&recovery.AckEliciting != 0 && !c.arrivals.sent {
		// RFC 9000, Section 10.1: the first of them since something arrived restarts the idle timer.
		c.arrivals = arrivals{last: c.now, sent: true}
	}
	return true
}

// packetNumber returns the number of the next packet in space, and how many bytes it takes.
func (c *Conn) packetNumber(space recovery.Space) (pn uint64, n int) {
	pn = c.rec.NextPN(space)
	next := uint64(0)
	if acked, ok := c.rec.LargestAcked(space); ok {
		next = acked + 1
	}
	return pn, wire.PNLen(pn, next)
}

// appendLong appends an Initial or Handshake packet to the datagram b of at most limit bytes, with room for its tag.
func (c *Conn) appendLong(b []byte, limit int, space recovery.Space, allowed bool) ([]byte, unsealed, bool) {
	s := &c.hs.spaces[space]
	if s.sealer == nil || s.gone {
		return b, unsealed{}, false
	}
	probe := c.rec.ProbesOwed(space) > 0
	ack := s.recv.AckDue(c.now)
	data := (allowed || probe) && s.crypto.out.pending()
	if !ack && !data && !probe {
		return b, unsealed{}, false
	}
	w := packetWriter{space: space, rec: &c.rec}
	p, body, ok := c.beginLong(&w, b, limit)
	if !ok {
		return b, unsealed{}, false
	}
	if ack || s.recv.AckPending() {
		c.appendAck(&w, &s.recv)
	}
	if data {
		s.crypto.out.appendFrames(&w)
	}
	if probe && !w.ackEliciting && w.room() > 0 {
		w.buf = wire.AppendPing(w.buf)
		w.record(recovery.Frame{Type: wire.FramePing})
	}
	if len(w.buf) == body {
		c.rec.Abandon(space)
		return b, unsealed{}, false
	}
	return finishPacket(&w, &p, body), p, true
}

// beginLong writes the header of an Initial, 0-RTT or Handshake packet into w. body is where its frames begin.
func (c *Conn) beginLong(w *packetWriter, b []byte, limit int) (p unsealed, body int, ok bool) {
	typ := wire.Initial
	switch w.space {
	case recovery.Handshake:
		typ = wire.Handshake
	case recovery.AppData:
		typ = wire.ZeroRTT
	}
	p = unsealed{space: w.space, start: len(b), early: typ == wire.ZeroRTT}
	p.pn, p.pnLen = c.packetNumber(w.space)
	w.limit = limit - protect.Overhead
	scid := c.local.active[0].id
	if w.limit-len(b) < wire.LongHeaderLen(typ, c.path.dcid, scid, len(c.hs.token), p.pnLen)+minLongPayload {
		return p, 0, false
	}
	version := c.version
	if p.early {
		version = c.early.version
	}
	w.buf = wire.AppendLong(b, typ, version, c.path.dcid, scid, c.hs.token, p.pn, p.pnLen)
	p.pnPos = len(w.buf) - p.pnLen - p.start
	c.greaseQUICBit(w.buf[p.start:])
	return p, len(w.buf), true
}

// minLongPayload is the least room for frames with which a packet with a long header is begun.
const minLongPayload = 32

// finishPacket makes w's packet long enough for header protection, and leaves room for its tag.
func finishPacket(w *packetWriter, p *unsealed, body int) []byte {
	if w.ackEliciting {
		p.flags |= recovery.AckEliciting | recovery.InFlight
	}
	p.again = w.again
	// RFC 9001, Section 5.4.2: four bytes from the packet number on, so that there is a sample.
	if short := 4 - p.pnLen - (len(w.buf) - body); short > 0 {
		w.buf = wire.AppendPadding(w.buf, short)
		p.flags |= recovery.InFlight
	}
	return w.buf[:len(w.buf)+protect.Overhead]
}

// appendAck writes an ACK frame.
func (c *Conn) appendAck(w *packetWriter, r *recovery.Received) {
	n := len(w.buf)
	if w.buf = r.AppendAck(w.buf, c.now, w.room()); len(w.buf) > n {
		largest, _ := r.Largest()
		w.rec.Record(w.space, recovery.Frame{Type: wire.FrameAck, Offset: largest})
		c.stats.AckFramesSent++
	}
}

// append1RTT appends a 1-RTT packet to the datagram b of at most limit bytes, with room for its tag.
func (c *Conn) append1RTT(b []byte, limit int, allowed bool) ([]byte, unsealed, bool) {
	probe := c.rec.ProbesOwed(recovery.AppData) > 0
	ack := c.recv.AckDue(c.now)
	data := (allowed || probe) && c.pending1RTT()
	if !ack && !data && !probe {
		return b, unsealed{}, false
	}
	w := packetWriter{space: recovery.AppData, rec: &c.rec}
	p, body, ok := c.begin1RTT(&w, b, limit, c.path)
	if !ok {
		return b, unsealed{}, false
	}
	if ack || c.recv.AckPending() {
		c.appendAck(&w, &c.recv)
	}
	if data {
		c.appendControl(&w)
		if c.datagrams.out.Empty() || c.streamsFirst && c.streams.pending() {
			c.streamsFirst = false
			c.streams.appendFrames(&w, c.now)
		} else {
			c.appendDatagrams(&w)
			c.streamsFirst = c.streams.pending()
			c.streams.appendFrames(&w, c.now)
		}
	}
	if probe && c.ackFrequency != nil && w.room() > 0 {
		// draft-ietf-quic-ack-frequency, Section 7: the peer is not to wait for more packets before it answers.
		c.appendUrgentPing(&w)
	}
	if !w.ackEliciting && w.room() > 0 && (probe || len(w.buf) > body && c.rec.WantPing(recovery.AppData)) {
		w.buf = wire.AppendPing(w.buf)
		w.record(recovery.Frame{Type: wire.FramePing})
	}
	if len(w.buf) == body {
		c.rec.Abandon(recovery.AppData)
		return b, unsealed{}, false
	}
	if room := w.room(); data && room > 0 && room <= trainPadding && c.pending1RTT() {
		// A few bytes of padding let the packets that follow go out in the same train.
		w.buf = wire.AppendPadding(w.buf, room)
	}
	return finishPacket(&w, &p, body), p, true
}

// trainPadding is how many bytes of padding a packet may get for the sake of a longer train.
const trainPadding = 64

// begin1RTT writes the header of a 1-RTT packet on path into w. body is where its frames begin.
func (c *Conn) begin1RTT(w *packetWriter, b []byte, limit int, path *path) (p unsealed, body int, ok bool) {
	p = unsealed{space: recovery.AppData, start: len(b)}
	p.pn, p.pnLen = c.packetNumber(recovery.AppData)
	w.limit = limit - protect.Overhead
	if w.limit-len(b) < wire.ShortHeaderLen(path.dcid, p.pnLen)+4 {
		return p, 0, false
	}
	// RFC 9000, Section 17.4: the spin bit, which tells observers the RTT, is not used.
	w.buf = wire.AppendShort(b, path.dcid, false, c.keys.KeyPhase(), p.pn, p.pnLen)
	p.pnPos = len(w.buf) - p.pnLen - p.start
	c.greaseQUICBit(w.buf[p.start:])
	return p, len(w.buf), true
}

// pending1RTT reports whether there is anything to send in 1-RTT packets besides acknowledgments.
func (c *Conn) pending1RTT() bool {
	return c.streams.pending() || c.pendingControl() || !c.datagrams.out.Empty()
}

// Sending reports whether there is anything to be sent besides acknowledgments, now or when congestion control allows it. What
// is in no hurry, and too little for a datagram of its own, can wait until then.
func (c *Conn) Sending() bool { return c.err == nil && c.pendingData() }

// pendingData reports whether there is anything to send besides acknowledgments.
func (c *Conn) pendingData() bool {
	if c.hs != nil {
		for i := range c.hs.spaces {
			if s := &c.hs.spaces[i]; s.sealer != nil && s.crypto.out.pending() {
				return true
			}
		}
	}
	return (c.complete || c.answersEarly() || c.sendsEarly()) && c.pending1RTT()
}

// pendingControl reports whether appendControl has something to write.
func (c *Conn) pendingControl() bool {
	return c.sendHandshakeDone || c.sendNewToken || c.sendPing || c.local.sending > 0 && !c.sparesWait() || c.peer.sending > 0 ||
		c.crypto.out.pending() || c.ackFrequency != nil && c.ackFrequency.due
}

// sparesWait reports whether the first connection IDs that the peer is to have in reserve wait for the next packet. None is
// sent for them alone: where the handshake has just ended, its last packet is still to be acknowledged, at the latest after
// max_ack_delay, and nobody needs them before there is another path.
func (c *Conn) sparesWait() bool {
	return c.local.told == 1 && c.roam == nil && c.recv.AckPending() && !c.recv.AckDue(c.now)
}

// appendControl writes the frames of 1-RTT packets that are about the connection.
func (c *Conn) appendControl(w *packetWriter) {
	if c.local.sending == 0 && !c.pendingControl() {
		return
	}
	if c.sendHandshakeDone && w.room() > 0 {
		w.buf = wire.AppendHandshakeDone(w.buf)
		w.record(recovery.Frame{Type: wire.FrameHandshakeDone})
		c.sendHandshakeDone = false
	}
	c.crypto.out.appendFrames(w)
	if c.sendNewToken && w.room() >= wire.NewTokenLen(len(c.newToken)) {
		w.buf = wire.AppendNewToken(w.buf, c.newToken)
		w.record(recovery.Frame{Type: wire.FrameNewToken})
		c.sendNewToken = false
	}
	c.appendCIDFrames(w)
	if c.ackFrequency != nil && c.ackFrequency.due {
		c.appendAckFrequency(w)
	}
	if c.sendPing && w.room() > 0 {
		// The answer is what it is about: whether the peer is there, or that it has seen this side move.
		c.appendUrgentPing(w)
		c.sendPing = false
	}
}

// appendUrgentPing writes a frame that the peer acknowledges, without delay if it can be asked for that. w has room for a
// byte.
func (c *Conn) appendUrgentPing(w *packetWriter) {
	frame := recovery.Frame{Type: wire.FramePing}
	if c.ackFrequency == nil {
		w.buf = wire.AppendPing(w.buf)
	} else {
		frame.Type = wire.FrameImmediateAck
		w.buf = wire.AppendImmediateAck(w.buf)
	}
	w.record(frame)
}

// pollPathProbe sends a packet that validates a path, or that lets the peer do so.
func (c *Conn) pollPathProbe(buf []byte) (Transmit, bool) {
	if !c.confirmed || c.roam == nil && !c.path.wantsProbe() {
		return Transmit{}, false
	}
	for _, p := range c.allPaths() {
		if p == nil || !p.wantsProbe() || !c.ensureDCID(p) {
			continue
		}
		// RFC 9000, Sections 8.2.1 and 8.2.2: expanded to 1,200 bytes, if the path may carry so many yet.
		size := int(min(p.credit(), minDatagramSize))
		if size < minUsefulDatagram {
			continue
		}
		// RFC 9000, Section 8.2.2: congestion control may delay an answer. A challenge that waited for it on a new path
		// would wait for what is lost on the old one.
		if p.unlimited && p != c.path && c.local.sending > 0 && c.maySend(recovery.AppData, size) {
			// RFC 9000, Section 5.1.1: the peer needs one of our connection IDs to answer from there.
			continue
		}
		challenge := p.challenge != nil && p.challenge.send
		if p == c.path && !challenge && !c.maySend(recovery.AppData, size) && !c.mustAnswer() {
			continue
		}
		w := packetWriter{space: recovery.AppData, rec: &c.rec}
		u, body, ok := c.begin1RTT(&w, buf[:0], size, p)
		if !ok {
			continue
		}
		answering := p.nResponses > 0
		if answering {
			p.answered = c.now
		}
		c.appendPathFrames(&w, p, size < minDatagramSize)
		if p == c.path {
			if c.recv.AckPending() {
				c.appendAck(&w, &c.recv)
			}
			if answering && w.room() > 0 {
				// RFC 9000, Section 9.3.3: a packet that is no probe, as an answer on the path in use.
				w.buf = wire.AppendPing(w.buf)
				w.record(recovery.Frame{Type: wire.FramePing})
			}
		} else {
			u.flags |= recovery.OffPath
		}
		w.buf = wire.AppendPadding(w.buf, w.room())
		return c.sendAlone(p, finishPacket(&w, &u, body), &u)
	}
	return Transmit{}, false
}

// pollMTUProbe sends a packet that tests whether the path carries a larger one.
func (c *Conn) pollMTUProbe(buf []byte) (Transmit, bool) {
	p := c.path
	if !c.confirmed || p.counts.bytesSent < mtuSearchAfter || !p.validated {
		return Transmit{}, false
	}
	size := p.mtu.due(c.now)
	if size == 0 || size > len(buf) || c.rec.SendTime(c.now, recovery.AppData, size).After(c.now) {
		return Transmit{}, false
	}
	w := packetWriter{space: recovery.AppData, rec: &c.rec}
	u, body, ok := c.begin1RTT(&w, buf[:0], size, p)
	if !ok {
		return Transmit{}, false
	}
	// draft-ietf-quic-ack-frequency, Section 8.4: a probe that is acknowledged late is no probe that was lost.
	c.appendUrgentPing(&w)
	w.buf = wire.AppendPadding(w.buf, w.room())
	u.flags |= recovery.MTUProbe
	p.mtu.sent(size)
	return c.sendAlone(p, finishPacket(&w, &u, body), &u)
}

// sendAlone seals a packet that is a datagram on its own.
func (c *Conn) sendAlone(p *path, b []byte, u *unsealed) (Transmit, bool) {
	ect0 := p == c.path && c.rec.MarkECT0()
	if !c.seal(b, u, ect0) {
		c.fail(errAEADLimit())
		return c.pollClose(b[:cap(b)])
	}
	c.sentDatagram(p, len(b))
	return c.transmit(p, len(b), len(b), ect0), true
}
