package quic

import (
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

	// validated: the peer receives what is sent here. Until then, the bytes both ways count.
	validated      bool
	sent, received int64

	challenge pathChallenge
	// responses are the PATH_RESPONSE frames that are owed. RFC 9000, Section 21.9 lets a flood go unanswered.
	responses  [4][8]byte
	nResponses int

	expires monotime.Time // of a path not in use: when it is forgotten
	mtu     mtuSearch
	bytes   uint64 // sent on this path in total
}

// pathChallenge is a path validation under way (RFC 9000, Section 8.2).
type pathChallenge struct {
	active bool
	send   bool // a PATH_CHALLENGE frame is to be sent
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
	if p.validated {
		return maxDatagramSize * 64
	}
	return amplificationFactor*p.received - p.sent
}

// allPaths returns the path in use and the others, some of which may be nil.
func (c *Conn) allPaths() [1 + maxOtherPaths]*path {
	return [...]*path{c.path, c.others[0], c.others[1], c.others[2]}
}

// findPath returns the path of a datagram that arrived, nil if it is not known.
func (c *Conn) findPath(addr Path) *path {
	if c.path.addr == addr {
		return c.path
	}
	for _, p := range c.others {
		if p != nil && p.addr == addr {
			return p
		}
	}
	// RFC 9000, Section 9: servers don't move. Which address of its own a client's socket has is no matter as long as
	// it did not ask for another.
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
	switch {
	case local == c.path.local || c.path.dcid.Len() == 0:
		// RFC 9000, Section 9.5: the peer did not change the connection ID, hence does not know that its address
		// changed; the one towards it may stay as well.
		p.dcid, p.dcidSeq = c.path.dcid, c.path.dcidSeq
	case !c.assignDCID(p):
		return nil
	}
	fallback := c.fallback()
	slot := -1
	for i, o := range c.others {
		if o == nil {
			slot = i
			break
		}
		if o != fallback && (slot < 0 || o.expires.Before(c.others[slot].expires)) {
			slot = i
		}
	}
	if c.others[slot] != nil {
		if c.dropPath(slot); c.state != stateActive {
			return nil
		}
	}
	p.expires = c.now.Add(c.pathTimeout())
	c.others[slot] = p
	return p
}

// dropPath forgets a path that is not in use.
func (c *Conn) dropPath(slot int) {
	p := c.others[slot]
	c.others[slot] = nil
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
	p.challenge = pathChallenge{active: true, send: true, deadline: c.now.Add(c.pathTimeout())}
	p.expires = max(p.expires, p.challenge.deadline)
}

// peerMigrated makes p, from which the peer now sends, the path in use (RFC 9000, Section 9.3).
func (c *Conn) peerMigrated(p *path) {
	old := c.path
	for i, o := range c.others {
		if o == p {
			c.others[i] = old
		}
	}
	c.switchPath(p)
	old.expires = c.now.Add(c.pathTimeout())
	if !p.validated {
		c.continueValidation(p)
	}
	if old.validated {
		// RFC 9000, Section 9.3.3: in case somebody else forwarded the packet, the peer is made to show up on the old
		// path as well.
		c.continueValidation(old)
	}
}

// continueValidation begins to validate p, or gives more time to the validation under way: for a peer that goes to and fro, the
// answers to challenges already sent count, and others are no more frequent (RFC 9000, Section 8.2.1).
func (c *Conn) continueValidation(p *path) {
	if !p.challenge.active {
		c.startValidation(p)
		return
	}
	p.challenge.deadline = c.now.Add(c.pathTimeout())
	p.expires = max(p.expires, p.challenge.deadline)
}

// switchPath makes p the path in use.
func (c *Conn) switchPath(p *path) {
	old := c.path
	c.path = p
	if old.addr.Remote.Addr() == p.addr.Remote.Addr() && old.addr.Local.Addr() == p.addr.Local.Addr() {
		// RFC 9000, Section 9.4: another port alone is most often a NAT's doing. The way is the same.
		p.mtu = old.mtu
		p.bytes = old.bytes
	} else {
		// Of a probe under way on either path, nothing will be heard.
		p.mtu.probe, old.mtu.probe = 0, 0
		c.rec.ResetPath(c.newController(p.mtu.size), p.mtu.size)
	}
	c.updateAmplification()
	c.event(EventPathChanged)
}

// handlePathResponse processes a PATH_RESPONSE frame, on whatever path it came.
func (c *Conn) handlePathResponse(data [8]byte) {
	for _, p := range c.allPaths() {
		if p == nil || !p.challenge.active {
			continue
		}
		ch := &p.challenge
		for i := range min(ch.n, len(ch.data)) {
			if ch.data[i] != data {
				continue
			}
			p.validated = true
			if ch.small[i] {
				// RFC 9000, Section 8.2.1: the address is valid, but not yet that 1,200 bytes pass.
				c.startValidation(p)
			} else {
				p.challenge = pathChallenge{}
			}
			if p == c.path {
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
		if p == nil || !p.challenge.active {
			continue
		}
		if !c.now.Before(p.challenge.deadline) {
			heard := p.challenge.heard
			p.challenge = pathChallenge{}
			if p == c.path {
				c.pathFailed(heard)
				if c.state != stateActive {
					return
				}
			} else {
				p.validated = false
			}
		} else if !p.challenge.send && !p.challenge.next.IsZero() && !c.now.Before(p.challenge.next) {
			p.challenge.send = true
		}
	}
	fallback := c.fallback()
	for i := range c.others {
		// To drop a path may end the connection, and that drops all of them.
		if p := c.others[i]; p != nil && p != fallback && !c.now.Before(p.expires) {
			c.dropPath(i)
		}
	}
}

// fallback returns the path to use again if the one in use can't be validated, nil if there is none or no need of one. It is
// the validated one that was in use last, and is kept whatever else happens on other paths.
func (c *Conn) fallback() *path {
	if c.path.validated {
		return nil
	}
	var last *path
	for _, p := range c.others {
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
		failed := c.path
		c.others[slices.Index(c.others[:], p)] = nil
		c.switchPath(p)
		c.releaseDCID(failed)
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
	for _, p := range c.others {
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
	if !ch.active {
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

// wantsProbe reports whether a probing packet is to be sent on p.
func (p *path) wantsProbe() bool { return p.challenge.send || p.nResponses > 0 }

// appendPathFrames writes the PATH_RESPONSE and PATH_CHALLENGE frames that p waits for into a packet of a datagram that is
// expanded to 1,200 bytes unless small.
func (c *Conn) appendPathFrames(w *packetWriter, p *path, small bool) {
	for p.nResponses > 0 && w.room() >= wire.PathDataLen {
		p.nResponses--
		w.buf = wire.AppendPathResponse(w.buf, p.responses[p.nResponses])
		w.ackEliciting = true
	}
	if ch := &p.challenge; ch.send && w.room() >= wire.PathDataLen {
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
}
