package quic

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

var (
	// ErrNoMigration says that a connection can't use another path of its own accord (RFC 9000, Section 9): it is a
	// server's, or its server sent disable_active_migration, or uses empty connection IDs, which would tell observers that
	// packets on both paths belong together.
	ErrNoMigration = errors.New("quic: the connection may not migrate")
	// ErrNotConfirmed says that something has to wait for [EventConfirmed].
	ErrNotConfirmed = errors.New("quic: the handshake is not confirmed")
	// ErrTooManyPaths says that a connection is busy with as many paths as it keeps track of.
	ErrTooManyPaths = errors.New("quic: too many paths")
)

// Probe begins to find out whether the peer can be reached from another local address (RFC 9000, Section 9.1), while the
// connection stays where it is. [Conn.NextPathEvent] tells how that ends: PathValidated, or after a few seconds PathFailed. A
// path that is not in use is forgotten some seconds after the peer was last heard there; probe it again to keep it.
//
// Probing takes a connection ID that the peer has to spare, and waits for one if there is none. It fails with
// ErrNotConfirmed, ErrNoMigration, ErrTooManyPaths, or the reason why the connection ended.
func (c *Conn) Probe(now time.Time, local netip.AddrPort) error {
	c.enter(now)
	_, err := c.probe(Path{Local: local, Remote: c.path.addr.Remote})
	return err
}

// Migrate moves a client's connection to another local address, as soon as it is known that the peer can be reached from
// there (RFC 9000, Section 9.2). Until then, which takes a round trip, the connection stays where it is: for good, if the new
// path proves dead. [Conn.NextPathEvent] tells PathMigrated, or PathFailed. The latest call counts; the address in use takes
// back earlier ones. Errors are those of [Conn.Probe].
//
// Round-trip time, congestion window, packet size and ECN are learnt anew on the new path, unless it differs in a port
// alone.
func (c *Conn) Migrate(now time.Time, local netip.AddrPort) error {
	c.enter(now)
	if local == c.path.addr.Local && c.err == nil {
		c.abandonMoves(local)
		return c.err
	}
	p, err := c.probe(Path{Local: local, Remote: c.path.addr.Remote})
	if err != nil {
		return err
	}
	c.abandonMoves(local)
	if c.state != stateActive {
		return c.err
	}
	p.wanted = true
	if preferred := c.roam.preferred; preferred.IsValid() {
		// RFC 9000, Section 9.6.3: both addresses of the server are tried from the new one of ours.
		if q, err := c.probe(Path{Local: local, Remote: preferred}); err == nil {
			q.wanted = true
		}
	}
	c.pursue()
	return c.err
}

// Migrating reports whether the connection is going to move once a path is validated.
func (c *Conn) Migrating() bool {
	for _, p := range c.otherPaths() {
		if p != nil && p.wanted {
			return true
		}
	}
	return false
}

// reaches reports whether the ends are of one address family, or the local one is that of a socket for both.
func (p Path) reaches() bool {
	local := p.Local.Addr()
	return local.IsValid() && (local.Is4() == p.Remote.Addr().Is4() || local.Is6() && local.IsUnspecified())
}

// probe begins to validate a path of a client's choice, or goes on to.
func (c *Conn) probe(to Path) (*path, error) {
	switch {
	case c.err != nil:
		return nil, c.err
	case !c.confirmed:
		return nil, ErrNotConfirmed
	case c.side == Server || c.path.dcid.Len() == 0:
		return nil, ErrNoMigration
	case c.roam != nil && c.roam.pinned == to.Remote && to.Local != c.path.addr.Local:
		// RFC 9000, Section 18.2: disable_active_migration is about the address of the handshake.
		return nil, ErrNoMigration
	case !to.reaches():
		return nil, fmt.Errorf("quic: no path from %v to %v", to.Local, to.Remote)
	}
	for _, p := range c.allPaths() {
		if p != nil && p.addr == to {
			if !p.validated && p.challenge == nil {
				c.startValidation(p)
			}
			return p, nil
		}
	}
	slot := slices.Index(c.roaming().others[:], nil)
	if slot < 0 || c.peer.unused() == nil {
		// The peer replaces the connection ID of a path that was left.
		if left := c.forgetLeftPath(); slot < 0 {
			slot = left
		}
	}
	if slot < 0 {
		return nil, ErrTooManyPaths
	}
	if c.state != stateActive {
		return nil, c.err
	}
	p := &path{addr: to, dcidSeq: noCID, local: noCID, unlimited: true}
	p.mtu.init(c.path.mtu.limit)
	c.ensureDCID(p)
	c.startValidation(p)
	c.roam.others[slot] = p
	return p, nil
}

// forgetLeftPath forgets the path of which nothing is expected any more that expires next, and returns where it was kept, -1
// if there is none.
func (c *Conn) forgetLeftPath() int {
	others := c.otherPaths()
	slot := -1
	for i, o := range others {
		if o != nil && o.challenge == nil && !o.wanted && (slot < 0 || o.expires.Before(others[slot].expires)) {
			slot = i
		}
	}
	if slot >= 0 {
		c.dropPath(slot)
	}
	return slot
}

// abandonMoves gives up moving to paths from other local addresses than local.
func (c *Conn) abandonMoves(local netip.AddrPort) {
	for i, p := range c.otherPaths() {
		if p != nil && p.wanted && p.addr.Local != local {
			if c.dropPath(i); c.state != stateActive {
				return
			}
		}
	}
}

// pursue moves the connection to the path where it is wanted, if that is validated.
func (c *Conn) pursue() {
	var best *path
	for _, p := range c.otherPaths() {
		if p == nil || !p.wanted {
			continue
		}
		preferred := p.addr.Remote == c.roam.preferred
		if preferred && !p.validated {
			// RFC 9000, Section 9.6.3: the preferred address of the server goes first, whatever comes of others.
			return
		}
		if p.validated && (best == nil || preferred) {
			best = p
		}
	}
	switch {
	case best == nil || !c.ensureDCID(best):
	case c.side == Server:
		c.peerMigrated(best)
	default:
		c.moveTo(best)
	}
}

// moveTo makes p, which is validated, a client's path in use.
func (c *Conn) moveTo(p *path) {
	p.wanted = false
	c.abandonMoves(netip.AddrPort{})
	if c.state != stateActive {
		return
	}
	if p.addr.Remote == c.roam.preferred {
		c.roam.preferred, c.roam.pinned = netip.AddrPort{}, netip.AddrPort{}
	}
	c.usePath(p)
	// A packet that is more than a probe: so the server learns of it at once, even if there is nothing to tell.
	c.sendPing = true
}

// followPeer goes where the client now sends from (RFC 9000, Section 9.3), or to.
func (c *Conn) followPeer(p *path) {
	switch {
	case p.addr.Local == c.path.addr.Local || p.validated && !c.atPreferredAddress():
		c.peerMigrated(p)
	case !c.atPreferredAddress():
		// RFC 9000, Section 9.6.2: a server begins to send from another address when it knows that its packets arrive.
		c.stay()
		p.wanted = true
		c.continueValidation(p)
	}
	// RFC 9000, Section 9.6.2: once it has moved, what comes to the old address moves it no more.
}

// stay forgets that a server was about to send from another address: the client has sent something newer to this one.
func (c *Conn) stay() {
	for _, p := range c.otherPaths() {
		if p != nil {
			p.wanted = false
		}
	}
}
