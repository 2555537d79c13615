package quic

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/dunlin-quic/dunlin/internal/wire"
)

// PreferredAddress is where a server would rather be talked to once the handshake is confirmed (RFC 9000, Section 9.6). An
// address family that is not offered has an invalid AddrPort.
type PreferredAddress struct {
	IPv4, IPv6 netip.AddrPort
}

// check reports what is wrong with a preferred address of servers whose connection IDs have cidLen bytes.
func (a PreferredAddress) check(cidLen int) error {
	v4, v6 := a.IPv4.IsValid(), a.IPv6.IsValid()
	switch {
	case v4 && (!a.IPv4.Addr().Is4() || a.IPv4.Addr().IsUnspecified() || a.IPv4.Port() == 0),
		v6 && (!a.IPv6.Addr().Is6() || a.IPv6.Addr().Is4In6() || a.IPv6.Addr().IsUnspecified() || a.IPv6.Port() == 0):
		return fmt.Errorf("quic: preferred address %v, %v", a.IPv4, a.IPv6)
	case (v4 || v6) && cidLen == 0:
		// RFC 9000, Section 18.2.
		return errors.New("quic: a preferred address needs connection IDs that are not empty")
	}
	return nil
}

// ownPreferredAddress returns the transport parameter of a server, nil if it has none. The connection ID in it has the
// sequence number 1.
func (c *Conn) ownPreferredAddress() *wire.PreferredAddress {
	a := c.cfg.PreferredAddress
	if a == (PreferredAddress{}) {
		return nil
	}
	id, ok := c.newCID()
	if !ok {
		return nil
	}
	c.useOwnCID(id)
	return &wire.PreferredAddress{IPv4: a.IPv4, IPv6: a.IPv6, ID: id, ResetToken: c.secrets.resetToken(id)}
}

// usePreferredAddress notes what a client is told of the server's addresses.
func (c *Conn) usePreferredAddress(tp *wire.TransportParameters) {
	current := c.path.addr.Remote
	if tp.DisableActiveMigration {
		c.roaming().pinned = current
	}
	p := tp.Preferred
	if p == nil {
		return
	}
	c.peer.seen.Add(1, 2)
	c.peer.active = append(c.peer.active, peerCID{seq: 1, id: p.ID, token: p.ResetToken, hasToken: true})
	address := p.IPv4
	if current.Addr().Is6() {
		// RFC 9000, Section 9.6.3: one of the same family.
		address = p.IPv6
	}
	if !c.cfg.IgnorePreferredAddress && mayBeServer(address) && address != current &&
		reach(address.Addr()) >= reach(current.Addr()) {
		c.roaming().preferred = address
	}
}

// reach tells how far away an address may be.
//
// RFC 9000, Sections 21.5.3 and 21.5.6: a server in the Internet is not to make clients send packets to what only they can
// reach.
func reach(a netip.Addr) int {
	switch {
	case a.IsLoopback() || a.IsUnspecified():
		return 0
	case a.IsLinkLocalUnicast():
		return 1
	case a.IsPrivate() || sharedAddresses.Contains(a.Unmap()):
		return 2
	}
	return 3
}

// sharedAddresses is the network between customers and the NAT of their carrier (RFC 6598).
var sharedAddresses = netip.MustParsePrefix("100.64.0.0/10")

// noServer are addresses that no server has, and IPv6 addresses that stand for IPv4 ones, which a system or a gateway nearby
// may send to instead: how far those reach can't be told. RFC 6890; RFC 4291, Section 2.5.5; RFC 6052, Section 2.1; RFC 8215.
var noServer = [...]netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("224.0.0.0/4"), netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("::/128"), netip.MustParsePrefix("ff00::/8"),
	netip.MustParsePrefix("64:ff9b::/96"), netip.MustParsePrefix("64:ff9b:1::/48"),
}

// mayBeServer reports whether packets may be sent to an address of which only a server says that it is its own.
func mayBeServer(a netip.AddrPort) bool {
	for _, p := range noServer {
		if p.Contains(a.Addr()) {
			return false
		}
	}
	return a.IsValid() && a.Port() != 0 && !a.Addr().Is4In6()
}

// startPreferredAddress begins to move a client to the server's preferred address, once the handshake is confirmed.
func (c *Conn) startPreferredAddress() {
	if c.roam == nil || !c.roam.preferred.IsValid() {
		return
	}
	if p, err := c.probe(Path{Local: c.path.addr.Local, Remote: c.roam.preferred}); err == nil {
		p.wanted = true
	}
}

// atPreferredAddress reports whether a server sends from its preferred address.
func (c *Conn) atPreferredAddress() bool {
	local := c.path.addr.Local
	return local == c.cfg.PreferredAddress.IPv4 || local == c.cfg.PreferredAddress.IPv6
}
