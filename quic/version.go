package quic

import (
	"errors"
	"fmt"
	"slices"

	"github.com/dunlin-quic/dunlin/internal/protect"
	"github.com/dunlin-quic/dunlin/internal/recovery"
	"github.com/dunlin-quic/dunlin/internal/wire"
)

// resolveVersions returns a copy of a list of versions, or all that are known here for none.
func resolveVersions(list []Version) ([]Version, error) {
	if len(list) == 0 {
		return []Version{Version1, Version2}, nil
	}
	for i, v := range list {
		if !v.Known() {
			return nil, fmt.Errorf("quic: unknown version %v in Versions", v)
		}
		if slices.Contains(list[:i], v) {
			return nil, fmt.Errorf("quic: version %v twice in Versions", v)
		}
	}
	return slices.Clone(list), nil
}

// resolveVersions fills in the defaults of what c says of versions.
func (c *Config) resolveVersions() (err error) {
	c.peersChoice = len(c.Versions) == 0
	if c.Versions, err = resolveVersions(c.Versions); err != nil {
		return err
	}
	switch {
	case c.OriginalVersion == 0 && slices.Contains(c.Versions, Version1):
		// RFC 9368, Section 2.6: the version that a server is likeliest to understand.
		c.OriginalVersion = Version1
	case c.OriginalVersion == 0:
		c.OriginalVersion = c.Versions[0]
	case !slices.Contains(c.Versions, c.OriginalVersion):
		return errors.New("quic: OriginalVersion is not one of Versions")
	}
	return nil
}

// otherVersion is a version that the peer may switch to, with what protects its Initial packets.
type otherVersion struct {
	version Version
	sealer  *protect.Sealer
	opener  *protect.Opener
}

// versionInformation returns what this side tells of versions (RFC 9368, Section 3). A reserved version keeps peers used
// to ones that they do not know; it stands anywhere among the others.
func (c *Conn) versionInformation() wire.VersionInformation {
	random := c.randomUint64()
	i := int(random>>32) % (len(c.cfg.Versions) + 1)
	return wire.VersionInformation{
		Chosen:    c.version,
		Available: slices.Insert(slices.Clone(c.cfg.Versions), i, wire.ReservedVersion(uint32(random))),
	}
}

// longOpener returns what removes the protection of a packet with a long header, nil if there is none yet. It is false
// for a packet of a version that it can't be of.
//
// RFC 9369, Section 4.1: Initial packets may be of the client's Chosen Version or of the negotiated one, Handshake packets
// of the latter alone.
func (c *Conn) longOpener(space recovery.Space, v Version) (*protect.Opener, bool) {
	switch {
	case v == c.version:
		return c.hs.spaces[space].opener, true
	case v == c.hs.chosen && space == recovery.Initial:
		return c.hs.chosenOpener, c.hs.chosenOpener != nil
	case c.side == Server || c.hs.settled || !slices.Contains(c.cfg.Versions, v):
		return nil, false
	case space == recovery.Handshake:
		return nil, true // it has overtaken the Initial packet that makes the version known
	}
	return c.initialOpener(v)
}

// initialOpener returns what opens Initial packets of a version that the server may have switched to.
func (c *Conn) initialOpener(v Version) (*protect.Opener, bool) {
	o := &c.hs.other
	if o.version != v {
		sealer, opener, err := protect.NewInitial(v, c.hs.initialDCID, c.side == Server)
		if err != nil {
			return nil, false
		}
		*o = otherVersion{v, sealer, opener}
	}
	return o.opener, true
}

// switchVersion makes v the version in use: compatible negotiation (RFC 9368, Section 2.3).
func (c *Conn) switchVersion(v Version) *TransportError {
	if _, ok := c.initialOpener(v); !ok {
		return transportError(InternalError, "no keys for the negotiated version")
	}
	s := &c.hs.spaces[recovery.Initial]
	// RFC 9369, Section 4.1: the client goes on with its Chosen Version until it knows the other, and what the server
	// acknowledged in that may arrive late. So these keys go with all others of Initial packets.
	c.hs.chosenOpener = s.opener
	s.sealer, s.opener = c.hs.other.sealer, c.hs.other.opener
	c.version = v
	c.hs.settled = true
	return nil
}

// receivedInitialCrypto notes the version of an Initial packet with a CRYPTO frame.
//
// RFC 9369, Section 4.1: a server sends them in the negotiated version alone, so a client knows by the first one that no
// other version will follow.
func (c *Conn) receivedInitialCrypto(v Version) *TransportError {
	if c.side == Server {
		return nil
	}
	if v != c.version {
		return transportError(ProtocolViolation, "handshake data in another version than the negotiated one")
	}
	c.hs.settled = true
	return nil
}

func versionError(reason string) *TransportError {
	return &TransportError{Code: VersionNegotiationError, FrameType: wire.FrameCrypto, Reason: reason}
}

// negotiateVersion makes a server choose the version of the connection by what the client tells of versions (RFC 9368,
// Section 2.3).
func (c *Conn) negotiateVersion(i *wire.VersionInformation) *TransportError {
	if i.Chosen == 0 {
		// RFC 9368, Section 4: a client that tells nothing has no choice.
		return nil
	}
	if i.Chosen != c.version {
		return versionError("the Chosen Version is not that of the client's packets")
	}
	prefer, among := c.cfg.Versions, i.Available
	if c.cfg.peersChoice {
		prefer, among = among, prefer
	}
	for _, v := range prefer {
		if !slices.Contains(among, v) {
			continue
		}
		if v == c.version {
			return nil
		}
		return c.switchVersion(v)
	}
	return nil
}

// checkVersion makes a client compare what the server tells of versions with what happened, so that nobody between can
// have influenced it (RFC 9368, Section 4).
func (c *Conn) checkVersion(i wire.VersionInformation) *TransportError {
	if i.Chosen == 0 {
		switch {
		case c.version != c.hs.chosen:
			return versionError("the server switched versions without telling so")
		case !c.hs.afterVN:
			return nil
		case c.version != Version1:
			return versionError("no version_information after a Version Negotiation packet")
		}
		// RFC 9368, Section 8: servers of version 1 may know nothing of this.
		i = wire.VersionInformation{Chosen: Version1, Available: []Version{Version1}}
	}
	// The version in use is one that was offered.
	if i.Chosen != c.version {
		return versionError("the server's Chosen Version is not the one in use")
	}
	if !c.hs.afterVN {
		return nil
	}
	if len(i.Available) == 0 {
		return versionError("no Available Versions after a Version Negotiation packet")
	}
	would, _ := c.preferred(func(v Version) bool { return v == i.Chosen || slices.Contains(i.Available, v) })
	if would != c.hs.chosen {
		return versionError("a Version Negotiation packet did not name all that the server speaks")
	}
	return nil
}

// preferred returns the first of our versions that the server speaks.
func (c *Conn) preferred(speaks func(Version) bool) (Version, bool) {
	i := slices.IndexFunc(c.cfg.Versions, speaks)
	if i < 0 {
		return 0, false
	}
	return c.cfg.Versions[i], true
}

// handleVersionNegotiation processes a Version Negotiation packet (RFC 9000, Section 6.2; RFC 9368, Section 2.1).
func (c *Conn) handleVersionNegotiation(b []byte) {
	p, ok := wire.ParseVersionNegotiation(b)
	// A packet after one that was obeyed, or that does not name our connection IDs, is no answer to ours; one that
	// lists the version we use is false.
	if !ok || c.side == Server || c.hs == nil || c.hs.heard || c.hs.retried || c.hs.afterVN || p.Contains(c.version) ||
		string(p.SCID) != string(c.hs.initialDCID.Bytes()) || string(p.DCID) != string(c.local.active[0].id.Bytes()) {
		c.stats.PacketsDropped++
		return
	}
	v, ok := c.preferred(p.Contains)
	if c.trace != nil {
		c.trace.versionNegotiation(&p, len(b), v)
	}
	if !ok {
		c.terminate(ErrVersionNegotiation)
		return
	}
	if err := c.restart(v); err != nil {
		c.terminate(&TransportError{Code: InternalError, Err: err})
	}
}

// restart begins a client's connection attempt anew with version v. Nothing of the one before is left but its source
// connection ID, by which the packets of the server find their way, and the time that it may take.
func (c *Conn) restart(v Version) error {
	c.closeTLS()
	c.forgetSession() // or every connection would begin with a version that the server does not speak any more
	c.restartEarlyData()
	c.rec = recovery.Recovery{}
	c.initRecovery()
	deadline := c.hs.deadline
	c.initHandshake(v)
	c.hs.deadline = deadline
	c.hs.afterVN = true
	c.arrivals = arrivals{last: c.now}
	return c.startClient()
}
