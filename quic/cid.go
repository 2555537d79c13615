package quic

import (
	"crypto/subtle"
	"net/netip"

	"github.com/dunlin-quic/dunlin/internal/rangeset"
	"github.com/dunlin-quic/dunlin/internal/recovery"
	"github.com/dunlin-quic/dunlin/internal/wire"
)

// maxIssuedCIDs is how many connection IDs this side keeps issued, if the peer takes so many. Each costs an entry of a
// routing table; a peer needs one per path.
const maxIssuedCIDs = 3

// localCID is a connection ID that this side issued and the peer has not retired.
type localCID struct {
	seq  uint64
	id   ConnectionID
	send bool // a NEW_CONNECTION_ID frame is to be sent
}

// localCIDs are the connection IDs that this side issued (RFC 9000, Section 5.1.1). They are what the peer puts into the
// packets that it sends.
type localCIDs struct {
	active        []localCID // in order of sequence number; in store unless there are more than usual
	store         [maxIssuedCIDs]localCID
	next          uint64 // sequence number of the next one
	retirePriorTo uint64
	told          uint64 // sequence number of the first one that the peer can't have heard of
	limit         int    // how many the peer takes and we want it to have
	sending       int    // how many have send set
}

// find returns the index of id, -1 if it is not an active ID.
func (l *localCIDs) find(id []byte) int {
	for i := range l.active {
		if string(l.active[i].id.Bytes()) == string(id) {
			return i
		}
	}
	return -1
}

// add issues id with the next sequence number.
func (l *localCIDs) add(id ConnectionID, send bool) {
	if l.active == nil {
		l.active = l.store[:0]
	}
	l.active = append(l.active, localCID{l.next, id, send})
	l.next++
	if send {
		l.sending++
	} else {
		l.told = l.next
	}
}

// remove forgets the ID with that sequence number.
func (l *localCIDs) remove(seq uint64) (localCID, bool) {
	for i, c := range l.active {
		if c.seq == seq {
			if c.send {
				l.sending--
			}
			l.active = append(l.active[:i], l.active[i+1:]...)
			return c, true
		}
	}
	return localCID{}, false
}

// resend queues the NEW_CONNECTION_ID frame of seq again, if that is still active.
func (l *localCIDs) resend(seq uint64) {
	for i := range l.active {
		if c := &l.active[i]; c.seq == seq && !c.send {
			c.send = true
			l.sending++
		}
	}
}

// peerCID is a connection ID that the peer issued and this side has not retired.
type peerCID struct {
	seq      uint64
	id       ConnectionID
	token    StatelessResetToken
	hasToken bool
	used     bool // on some path; its token counts only then (RFC 9000, Section 10.3.1)
	// remote is the address of that path, for the owner's table of tokens.
	remote netip.AddrPort
}

// retiringCID is a RETIRE_CONNECTION_ID frame that is not acknowledged.
type retiringCID struct {
	seq  uint64
	send bool
}

// maxRetiringCIDs bounds the RETIRE_CONNECTION_ID frames not acknowledged. RFC 9000, Section 5.1.2 asks for twice the
// active_connection_id_limit at least.
const maxRetiringCIDs = 4 * activeConnectionIDLimit

// maxCIDGaps bounds how far the sequence numbers seen may be from contiguous.
const maxCIDGaps = 32

// peerCIDs are the connection IDs that the peer issued (RFC 9000, Section 5.1.2): the destination connection IDs of what
// this side sends.
type peerCIDs struct {
	active        []peerCID // in order of arrival
	seen          rangeset.Set
	retirePriorTo uint64
	retiring      []retiringCID
	sending       int
}

// find returns the ID with that sequence number, nil if it is not active.
func (p *peerCIDs) find(seq uint64) *peerCID {
	for i := range p.active {
		if p.active[i].seq == seq {
			return &p.active[i]
		}
	}
	return nil
}

// unused returns the ID of lowest sequence number that no path uses, nil if there is none.
func (p *peerCIDs) unused() *peerCID {
	var best *peerCID
	for i := range p.active {
		if c := &p.active[i]; !c.used && (best == nil || c.seq < best.seq) {
			best = c
		}
	}
	return best
}

// retire queues a RETIRE_CONNECTION_ID frame for seq. It reports false if too many are outstanding.
func (p *peerCIDs) retire(seq uint64) bool {
	if len(p.retiring) >= maxRetiringCIDs {
		return false
	}
	p.retiring = append(p.retiring, retiringCID{seq, true})
	p.sending++
	return true
}

// isReset reports whether tail, with which a datagram ends, is the stateless reset token of a connection ID in use.
//
// RFC 9000, Section 10.3.1 (MUST 3): in constant time, so that the time taken tells nothing of the tokens.
func (p *peerCIDs) isReset(tail *[wire.ResetTokenLen]byte) bool {
	found := 0
	for i := range p.active {
		if c := &p.active[i]; c.hasToken && c.used {
			found |= subtle.ConstantTimeCompare(c.token[:], tail[:])
		}
	}
	return found == 1
}

// minStatelessReset is the length of the shortest stateless reset (RFC 9000, Section 10.3).
const minStatelessReset = 5 + wire.ResetTokenLen

// issueCIDs issues connection IDs up to the limit.
func (c *Conn) issueCIDs() {
	if c.local.active[0].id.Len() == 0 {
		// RFC 9000, Section 5.1.1: who chose an empty ID can't issue others.
		return
	}
	for len(c.local.active) < c.local.limit {
		id, ok := c.newCID()
		if !ok {
			return
		}
		c.local.add(id, true)
		c.endpointEvent(EndpointEvent{Kind: EndpointCIDIssued, CID: id})
	}
}

// newCID asks the generator for an ID that is not in use here.
func (c *Conn) newCID() (ConnectionID, bool) {
	for range 8 {
		id := c.cfg.ConnectionIDs.Generate()
		if c.local.find(id.Bytes()) < 0 {
			return id, true
		}
	}
	return ConnectionID{}, false
}

// RotateConnectionIDs asks the peer to replace all connection IDs that it uses for this side (Retire Prior To of
// RFC 9000, Section 19.15): after a change of the routing behind the IDs, or for privacy. It does nothing before the
// handshake is confirmed, with empty connection IDs, and while an earlier rotation is not complete.
func (c *Conn) RotateConnectionIDs() {
	l := &c.local
	if c.state != stateActive || !c.confirmed || l.active[0].id.Len() == 0 || l.active[0].seq < l.retirePriorTo {
		return
	}
	// RFC 9000, Section 5.1.1: the peer's limit may be exceeded by frames that retire the excess.
	l.retirePriorTo = l.next
	for range max(l.limit, 1) {
		id, ok := c.newCID()
		if !ok {
			break
		}
		l.add(id, true)
		c.endpointEvent(EndpointEvent{Kind: EndpointCIDIssued, CID: id})
	}
	if l.retirePriorTo == l.next {
		l.retirePriorTo = l.active[0].seq
	}
}

// handleRetireConnectionID processes a RETIRE_CONNECTION_ID frame in a packet sent to our connection ID dcid.
func (c *Conn) handleRetireConnectionID(seq, dcid uint64) *TransportError {
	// RFC 9000, Section 19.16. That includes the IDs that are made but not sent: a packet full of these frames could
	// otherwise turn over hundreds of them.
	if seq >= c.local.told || c.cfg.ConnectionIDs.Len() == 0 {
		return transportError(ProtocolViolation, "retirement of a connection ID that was not issued")
	}
	if seq == dcid {
		return transportError(ProtocolViolation, "retirement of the connection ID in use")
	}
	if old, ok := c.local.remove(seq); ok {
		c.endpointEvent(EndpointEvent{Kind: EndpointCIDRetired, CID: old.id})
		c.issueCIDs()
	}
	return nil
}

// handleNewConnectionID processes a NEW_CONNECTION_ID frame.
func (c *Conn) handleNewConnectionID(f wire.NewConnectionIDFrame) *TransportError {
	p := &c.peer
	// RFC 9000, Section 19.15: a peer that wants an empty destination connection ID can't issue others.
	if c.path.dcid.Len() == 0 {
		return transportError(ProtocolViolation, "new connection ID from a peer that uses none")
	}
	for i := range p.active {
		a := &p.active[i]
		if (a.seq == f.Seq) != (a.id == f.ID) || a.seq == f.Seq && a.hasToken && a.token != f.ResetToken {
			return transportError(ProtocolViolation, "connection ID issued twice, differently")
		}
	}
	// RFC 9000, Section 19.15: a frame that is repeated may still raise Retire Prior To.
	repeated := p.seen.Contains(f.Seq)
	if repeated && f.RetirePriorTo <= p.retirePriorTo {
		return nil
	}
	p.seen.Add(f.Seq, f.Seq+1)
	if p.seen.Len() > maxCIDGaps {
		return transportError(ConnectionIDLimitError, "connection IDs with too many gaps in their sequence")
	}
	// RFC 9000, Section 5.1.2: the old ones go before the new one counts.
	p.retirePriorTo = max(p.retirePriorTo, f.RetirePriorTo)
	for i := 0; i < len(p.active); {
		a := p.active[i]
		if a.seq >= p.retirePriorTo {
			i++
			continue
		}
		p.active = append(p.active[:i], p.active[i+1:]...)
		if !c.retirePeerCID(a) {
			return errTooManyRetiring()
		}
	}
	n := peerCID{seq: f.Seq, id: f.ID, token: f.ResetToken, hasToken: true}
	switch {
	case repeated:
	case n.seq < p.retirePriorTo:
		// RFC 9000, Section 19.15: it arrives already retired.
		if !c.retirePeerCID(n) {
			return errTooManyRetiring()
		}
		return nil
	case len(p.active) >= activeConnectionIDLimit:
		return transportError(ConnectionIDLimitError, "more connection IDs than allowed")
	default:
		p.active = append(p.active, n)
	}
	// Other paths get one when there is something to send on them: of some, nothing will be heard again.
	if c.ensureDCID(c.path) && c.roam != nil {
		// A path that was validated when there was none for it.
		c.pursue()
	}
	return nil
}

func errTooManyRetiring() *TransportError {
	return transportError(ConnectionIDLimitError, "too many retired connection IDs not acknowledged")
}

// retirePeerCID tells the peer that a, which is no longer active, is not used any more.
func (c *Conn) retirePeerCID(a peerCID) bool {
	if a.used && a.hasToken {
		c.endpointEvent(EndpointEvent{Kind: EndpointResetTokenRemoved, Token: a.token, Remote: a.remote})
	}
	return c.peer.retire(a.seq)
}

// assignDCID gives path an unused connection ID of the peer. It reports false if there is none.
func (c *Conn) assignDCID(path *path) bool {
	n := c.peer.unused()
	if n == nil {
		return false
	}
	c.usePeerCID(path, n)
	return true
}

// ensureDCID gives path another connection ID if its own was retired. It reports false if there is none: then nothing may be
// sent on it (RFC 9000, Section 5.1.2 (MUST 1)).
func (c *Conn) ensureDCID(path *path) bool {
	if c.hasDCID(path) || c.assignDCID(path) {
		return true
	}
	if c.side == Client {
		return false
	}
	// As for a new path: if the client's address changed without its doing, the ID of the path before will do.
	for _, p := range c.allPaths() {
		if p != nil && p.sameClient(path.addr.Local, path.local) && c.hasDCID(p) {
			path.dcid, path.dcidSeq = p.dcid, p.dcidSeq
			return true
		}
	}
	return false
}

// hasDCID reports whether path has a connection ID that is not retired, or needs none.
func (c *Conn) hasDCID(path *path) bool {
	return c.path.dcid.Len() == 0 || c.peer.find(path.dcidSeq) != nil
}

// usePeerCID makes n the destination connection ID of path.
func (c *Conn) usePeerCID(path *path, n *peerCID) {
	path.dcid, path.dcidSeq = n.id, n.seq
	if n.used {
		return
	}
	n.used, n.remote = true, path.addr.Remote
	if n.hasToken {
		c.endpointEvent(EndpointEvent{Kind: EndpointResetTokenAdded, Token: n.token, Remote: n.remote})
	}
}

// releaseDCID retires the connection ID of a path that is given up, unless another path uses it too.
func (c *Conn) releaseDCID(gone *path) {
	for _, path := range c.allPaths() {
		if path != nil && path != gone && path.dcidSeq == gone.dcidSeq {
			return
		}
	}
	p := &c.peer
	for i, a := range p.active {
		if a.seq == gone.dcidSeq && a.id.Len() > 0 {
			p.active = append(p.active[:i], p.active[i+1:]...)
			if !c.retirePeerCID(a) {
				c.fail(errTooManyRetiring())
			}
			return
		}
	}
}

// appendCIDFrames writes the NEW_CONNECTION_ID and RETIRE_CONNECTION_ID frames that wait.
func (c *Conn) appendCIDFrames(w *packetWriter) {
	for i := range c.local.active {
		l := &c.local.active[i]
		if c.local.sending == 0 {
			break
		}
		if !l.send {
			continue
		}
		f := wire.NewConnectionIDFrame{
			Seq: l.seq, RetirePriorTo: min(c.local.retirePriorTo, l.seq), ID: l.id,
			ResetToken: c.secrets.resetToken(l.id),
		}
		if w.room() < wire.NewConnectionIDLen(f) {
			return
		}
		w.buf = wire.AppendNewConnectionID(w.buf, f)
		w.record(recovery.Frame{Type: wire.FrameNewConnectionID, ID: l.seq})
		l.send = false
		c.local.sending--
		c.local.told = max(c.local.told, l.seq+1)
	}
	for i := range c.peer.retiring {
		r := &c.peer.retiring[i]
		if c.peer.sending == 0 {
			break
		}
		if !r.send {
			continue
		}
		if w.room() < wire.RetireConnectionIDLen(r.seq) {
			return
		}
		w.buf = wire.AppendRetireConnectionID(w.buf, r.seq)
		w.record(recovery.Frame{Type: wire.FrameRetireConnectionID, ID: r.seq})
		r.send = false
		c.peer.sending--
	}
}

// onRetireAcked forgets a RETIRE_CONNECTION_ID frame that arrived.
func (p *peerCIDs) onRetireAcked(seq uint64) {
	for i, r := range p.retiring {
		if r.seq == seq {
			if r.send {
				p.sending--
			}
			p.retiring = append(p.retiring[:i], p.retiring[i+1:]...)
			return
		}
	}
}

// onRetireLost queues a RETIRE_CONNECTION_ID frame again.
func (p *peerCIDs) onRetireLost(seq uint64) {
	for i := range p.retiring {
		if r := &p.retiring[i]; r.seq == seq && !r.send {
			r.send = true
			p.sending++
		}
	}
}
