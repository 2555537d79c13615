package quic

import (
	"net/netip"
	"slices"
	"time"

	"github.com/dunlin-quic/dunlin/internal/monotime"
	"github.com/dunlin-quic/dunlin/internal/recovery"
	"github.com/dunlin-quic/dunlin/internal/wire"
)

// maxOtherPaths is how many paths besides the one in use a connection keeps track of.
const maxOtherPaths = 3

// amplificationFactor is how many times the bytes received from an address that is not validated may be sent there
// (RFC 9000, Section 8.1).
const amplificationFactor = 3

// path is what a connection knows of a pair of addresses.
type path struct {
	addr    Path
	dcid    ConnectionID // the peer's, for packets on this path
	dcidSeq uint64
	local   uint64 // sequence number of our connection ID that the peer used last on this path

	// validated: the peer receives what is sent here. Until then, the bytes both ways count, unless this is a client, which
	// can't be made to send to somebody else.
	validated      bool
	unlimited      bool
	sent, received int64

	challenge *pathChallenge // nil unless validation is under way
	// responses are the PATH_RESPONSE frames that are owed. RFC 9000, Section 21.9 lets a flood go unanswered.
	responses  [4][8]byte
	nResponses int
	answered   monotime.Time // when the last of them were sent

	expires monotime.Time // of a path not in use: when it is forgotten
	// wanted: the connection moves to the path once that is validated.
	wanted bool
	left   *recovery.PathState // of a path that was in use: what was known of it then
	mtu    mtuSearch
	counts pathCounts
}

// noCID stands for the sequence number of a connection ID that is not there.
const noCID = 1<<64 - 1

// roaming is what a connection keeps of paths besides the one in use.
type roaming struct {
	others [maxOtherPaths]*path
	events []PathEvent
	// preferred is the server's address to which a client is going to move, pinned the one that it may not send to from a
	// local address other than that of the handshake. Invalid for none.
	preferred, pinned netip.AddrPort
}

// pathChallenge is a path validation under way (RFC 9000, Section 8.2).
type pathChallenge struct {
	send bool // a PATH_CHALLENGE frame is to be sent
	// data holds the latest challenges sent: an answer to any of them will do.
	data     [3][8]byte
	small    [3]bool // that one was in a datagram below 1,200 bytes
	n        int
	next     monotime.Time // when another challenge is sent
	deadline monotime.Time // when validation fails
	heard    bool          // packets of the peer have come on the path since it began
}

// credit returns how many bytes may be sent on the path before the peer is known to be there.
func (p *path) credit() int64 {
	if p.validated || p.unlimited {
		return maxDatagramSize * 64
	}
	return amplificationFactor*p.received - p.sent
}

// allPaths returns the path in use and the others, some of which may be nil.
func (c *Conn) allPaths() [1 + maxOtherPaths]*path {
	all := [1 + maxOtherPaths]*path{c.path}
	copy(all[1:], c.otherPaths())
	return all
}

// otherPaths returns the paths not in use, some of which may be nil.
func (c *Conn) otherPaths() []*path {
	if c.roam == nil {
		return nil
	}
	return c.roam.others[:]
}

// roaming returns where other paths are kept.
func (c *Conn) roaming() *roaming {
	if c.roam == nil {
		c.roam = new(roaming)
	}
	return c.roam
}

// findPath returns the path of a datagram that arrived, nil if it is not known.
func (c *Conn) findPath(addr Path) *path {
	if c.path.addr == addr {
		return c.path
	}
	for _, p := range c.otherPaths() {
		if p != nil && p.addr == addr {
			return p
		}
	}
	// RFC 9000, Section 9: servers don't move. Which address of its own a client's socket has is no matter, and the owner may
	// know it only as "any". After a move, that is also what comes late to an address that was left and forgotten.
	if c.side == Client && c.path.addr.Remote == addr.Remote {
		return c.path
	}
	return nil
}

// newPath returns a path for an authentic packet that came from an address not seen so far, to our connection ID with the
// sequence number local. It is nil if the path can't be used.
func (c *Conn) newPath(addr Path, local uint64) *path {
	// RFC 9000, Section 9: a client discards what comes from addresses of the server that it does not know.
	if c.side == Client {
		return nil
	}
	p := &path{addr: addr, local: local}
	p.mtu.init(c.path.mtu.limit)
	if same := c.pathWith(addr.Local, local); same != nil || c.path.dcid.Len() == 0 {
		// RFC 9000, Section 9.5: the peer did not change the connection ID, hence does not know that its address
		// changed; the one towards it may stay as well.
		if same == nil {
			same = c.path
		}
		p.dcid, p.dcidSeq = same.dcid, same.dcidSeq
	} else if !c.assignDCID(p) {
		// The peer moves faster than paths are forgotten. It gets a connection ID back, and may give us another for its
		// next attempt.
		c.spareCID(nil)
		return nil
	}
	if slot := c.freeSlot(); c.state == stateActive {
		p.expires = c.now.Add(c.pathTimeout())
		c.roam.others[slot] = p
		return p
	}
	return nil
}

// pathWith returns a path that differs from another in nothing that the client knows of, nil if there is none.
func (c *Conn) pathWith(local netip.AddrPort, seq uint64) *path {
	for _, p := range c.allPaths() {
		if p != nil && p.sameClient(local, seq) {
			return p
		}
	}
	return nil
}

// sameClient reports whether the client sends to one address of the server, with one connection ID, on p and on a path with
// the given address of ours and sequence number of that ID. Then it does not know that the paths are two.
func (p *path) sameClient(local netip.AddrPort, seq uint64) bool {
	return p.addr.Local == local && p.local == seq
}

// freeSlot returns where another path can be kept. If there is no room, a path is forgotten, which may end the connection.
func (c *Conn) freeSlot() int {
	others := c.roaming().others[:]
	if i := slices.Index(others, nil); i >= 0 {
		return i
	}
	return c.forgetPath(nil)
}

// spareCID makes the peer replace one of its connection IDs if all of them are in use, that of a path other than keep.
// While the peer has not heard of an earlier one, it makes no sense to give up more.
func (c *Conn) spareCID(keep *path) {
	if c.path.dcid.Len() > 0 && c.peer.unused() == nil && len(c.peer.retiring) == 0 {
		c.forgetPath(keep)
	}
}

// forgetPath forgets the path that expires next of those that are neither in use, nor to be used again, nor keep. It returns
// where it was kept, -1 if there is none.
func (c *Conn) forgetPath(keep *path) int {
	slot := -1
	others, fallback := c.otherPaths(), c.fallback()
	for i, o := range others {
		if o != nil && o != keep && o != fallback && (slot < 0 || o.expires.Before(others[slot].expires)) {
			slot = i
		}
	}
	if slot >= 0 {
		c.dropPath(slot)
	}
	return slot
}

// dropPath forgets a path that is not in use.
func (c *Conn) dropPath(slot int) {
	p := c.roam.others[slot]
	c.roam.others[slot] = nil
	p.challenge = nil
	c.releaseDCID(p)
}

// pathTimeout is how long path validation may take.
//
// RFC 9000, Section 8.2.4: three times the larger of the current PTO and that of a new path.
func (c *Conn) pathTimeout() time.Duration {
	const initialPTO = 3 * 333 * time.Millisecond
	return 3 * max(c.rec.PTO(recovery.AppData), initialPTO)
}

// startValidation begins to validate p.
func (c *Conn) startValidation(p *path) {
	p.challenge = &pathChallenge{send: true, deadline: c.now.Add(c.pathTimeout())}
	p.expires = max(p.expires, p.challenge.deadline)
}

// continueValidation begins to validate p, or gives more time to the validation under way: for a peer that goes to and fro, the
// answers to challenges already sent count, and others are no more frequent (RFC 9000, Section 8.2.1).
func (c *Conn) continueValidation(p *path) {
	if p.challenge == nil {
		c.startValidation(p)
		return
	}
	p.challenge.deadline = c.now.Add(c.pathTimeout())
	p.expires = max(p.expires, p.challenge.deadline)
}

// peerMigrated makes p, from which the peer now sends, the path in use (RFC 9000, Section 9.3).
func (c *Conn) peerMigrated(p *path) {
	old := c.path
	if c.usePath(p); c.state != stateActive {
		return
	}
	if !p.validated {
		c.continueValidation(p)
	}
	if old.validated {
		// RFC 9000, Section 9.3.3: in case somebody else forwarded the packet, the peer is made to show up on the old
		// path as well.
		c.continueValidation(old)
	}
}

// usePath makes p the path in use, and keeps the old one for what is still under way there.
func (c *Conn) usePath(p *path) {
	old := c.path
	old.expires = c.now.Add(c.pathTimeout())
	c.roam.others[slices.Index(c.roam.others[:], p)] = old
	c.switchPath(p)
	// For the next move, which may be one that leaves no way to ask for an ID.
	c.spareCID(old)
}

// switchPath makes p the path in use.
func (c *Conn) switchPath(p *path) {
	old := c.path
	c.path = p
	c.countLosses(old, p)
	if sameWay(old.addr, p.addr) {
		p.mtu = old.mtu
	} else {
		// Of a probe under way on either path, nothing will be heard.
		p.mtu.probe, old.mtu.probe = 0, 0
		old.left = c.rec.Path()
		if p.left != nil {
			c.rec.ReturnToPath(p.left, p.mtu.size)
		} else {
			c.rec.ResetPath(c.newController(p.mtu.size), p.mtu.size)
		}
		// draft-ietf-quic-ack-frequency, Section 8.5: what was asked of the peer was right for the old path.
		c.updateAckFrequency()
	}
	p.left = nil
	for _, o := range c.otherPaths() {
		if o != nil {
			o.wanted = false
		}
	}
	p.wanted = false
	c.updateAmplification()
	c.event(EventPathChanged)
	c.pathEvent(PathMigrated, p)
}

// sameWay reports whether two paths differ in ports alone. RFC 9000, Section 9.4: that is most often a NAT's doing, or another
// socket of the same host. Sockets bound to all addresses may send from different ones.
func sameWay(a, b Path) bool {
	local := a.Local.Addr()
	return a.Remote.Addr() == b.Remote.Addr() && local == b.Local.Addr() && (a.Local == b.Local || !local.IsUnspecified())
}

// handlePathResponse processes a PATH_RESPONSE frame, on whatever path it came.
func (c *Conn) handlePathResponse(data [8]byte) {
	for _, p := range c.allPaths() {
		if p == nil || p.challenge == nil {
			continue
		}
		ch := p.challenge
		for i := range min(ch.n, len(ch.data)) {
			if ch.data[i] != data {
				continue
			}
			known := p.validated
			p.validated = true
			p.challenge = nil
			if ch.small[i] {
				// RFC 9000, Section 8.2.1: the address is valid, but not yet that 1,200 bytes pass.
				c.startValidation(p)
			}
			if !known {
				c.pathEvent(PathValidated, p)
				c.pursue()
			}
			if p == c.path && c.state == stateActive {
				c.updateAmplification()
				// RFC 9000, Section 9.3: the client may want to come back from its new address.
				c.queueNewToken()
			}
			return
		}
	}
}

// handlePathTimers does what is due for paths.
func (c *Conn) handlePathTimers() {
	for _, p := range c.allPaths() {
		ch := (*pathChallenge)(nil)
		if p != nil {
			ch = p.challenge
		}
		switch {
		case ch == nil:
		case c.now.Before(ch.deadline):
			if !ch.send && due(c.now, ch.next) {
				ch.send = true
			}
		case p == c.path:
			p.challenge = nil
			c.pathFailed(ch.heard)
		default:
			p.validated = false
			c.giveUpPath(p)
			c.pursue()
		}
		if c.state != stateActive {
			return
		}
	}
	fallback := c.fallback()
	for i, p := range c.otherPaths() {
		if p == nil || p == fallback || c.now.Before(p.expires) {
			continue
		}
		if p.wanted {
			// It is validated, but there was no connection ID to use it with.
			c.giveUpPath(p)
			c.pursue()
			if c.state != stateActive || c.roam.others[i] != p {
				return
			}
		}
		if len(c.peer.retiring) > 0 && c.peer.unused() == nil {
			// The peer does not hear that we need other connection IDs. If it is not where we think, but there, this one is
			// all that we can answer with.
			p.expires = c.now.Add(c.pathTimeout())
			continue
		}
		if c.dropPath(i); c.state != stateActive {
			return
		}
	}
}

// giveUpPath expects nothing more of a path that is not in use.
func (c *Conn) giveUpPath(p *path) {
	p.challenge, p.wanted = nil, false
	if p.addr.Remote == c.roam.preferred {
		// RFC 9000, Section 9.6.2: the connection stays at the server's first address for good.
		c.roam.preferred = netip.AddrPort{}
	}
	c.pathEvent(PathFailed, p)
}

// fallback returns the path to use again if the one in use can't be validated, nil if there is none or no need of one. It is
// the validated one that was in use last, and is kept whatever else happens on other paths.
func (c *Conn) fallback() *path {
	if c.path.validated {
		return nil
	}
	var last *path
	for _, p := range c.otherPaths() {
		if p != nil && p.validated && (last == nil || p.expires.After(last.expires)) {
			last = p
		}
	}
	return last
}

// pathFailed gives up the path in use, which could not be validated. heard tells that the peer has sent on it meanwhile.
//
// RFC 9000, Section 9.3.2: the last validated address is used again, and without one the connection is over.
func (c *Conn) pathFailed(heard bool) {
	if c.path.validated {
		return
	}
	if p := c.fallback(); p != nil && c.ensureDCID(p) {
		c.pathEvent(PathFailed, c.path)
		c.usePath(p)
		return
	}
	if heard {
		// There is no other path, and the peer is on this one: it may be a bad one.
		c.startValidation(c.path)
		return
	}
	c.terminate(&TransportError{Code: NoViablePath, Reason: "the peer's new address could not be validated"})
}

// pathDeadline returns when handlePathTimers has something to do, zero for not at all.
func (c *Conn) pathDeadline() monotime.Time {
	t := c.path.challenge.timer()
	fallback := c.fallback()
	for _, p := range c.otherPaths() {
		if p != nil {
			t = monotime.Min(t, p.challenge.timer())
			if p != fallback {
				t = monotime.Min(t, p.expires)
			}
		}
	}
	return t
}

func (ch *pathChallenge) timer() monotime.Time {
	if ch == nil {
		return 0
	}
	if ch.send {
		return ch.deadline
	}
	return monotime.Min(ch.next, ch.deadline)
}

// addResponse queues the answer to a PATH_CHALLENGE frame that came on p.
func (p *path) addResponse(data [8]byte) {
	if p.nResponses < len(p.responses) {
		p.responses[p.nResponses] = data
		p.nResponses++
	}
}

// mustAnswer reports whether a PATH_RESPONSE goes out on the path in use though the congestion window is full: now and then,
// when nothing has been acknowledged for long. A peer that knows us at another address waits for the answer before it sends
// its acknowledgments here.
func (c *Conn) mustAnswer() bool {
	return c.rec.PTOCount() > 0 && !c.now.Before(c.path.answered.Add(c.rec.PTO(recovery.AppData)))
}

// wantsProbe reports whether a probing packet is to be sent on p.
func (p *path) wantsProbe() bool { return p.challenge != nil && p.challenge.send || p.nResponses > 0 }

// appendPathFrames writes the PATH_RESPONSE and PATH_CHALLENGE frames that p waits for into a packet of a datagram that is
// expanded to 1,200 bytes unless small.
func (c *Conn) appendPathFrames(w *packetWriter, p *path, small bool) {
	// The challenge first: whoever watches a new path sees at once that it is being validated.
	if ch := p.challenge; ch != nil && ch.send && w.room() >= wire.PathDataLen {
		i := ch.n % len(ch.data)
		mustRead(c.cfg.Rand, ch.data[i][:])
		ch.small[i] = small
		w.buf = wire.AppendPathChallenge(w.buf, ch.data[i])
		w.ackEliciting = true
		ch.send = false
		// RFC 9000, Section 9.4: challenges are repeated no more often than probe timeouts allow.
		ch.next = c.now.Add(c.rec.PTO(recovery.AppData) << min(ch.n, 6))
		ch.n++
	}
	for p.nResponses > 0 && w.room() >= wire.PathDataLen {
		p.nResponses--
		w.buf = wire.AppendPathResponse(w.buf, p.responses[p.nResponses])
		w.ackEliciting = true
	}
}
