//go:build linux

package steering

import (
	"net/netip"

	"github.com/dunlin-quic/dunlin/udp"
)

// inlet is the socket through which a member gets what others pass on for one of its addresses. What is sent there leaves by the
// member's own socket of that address.
type inlet struct {
	*udp.Conduit
	m *Member
}

// inletBytes is how much may wait in an inlet.
const inletBytes = 4 << 20

func newInlet(m *Member, s udp.Socket) (*inlet, error) {
	c, err := udp.NewConduit(udp.ConduitConfig{
		Local: s.LocalAddr(), Send: s.Send, Capabilities: s.Capabilities(), QueueBytes: inletBytes,
	})
	return &inlet{c, m}, err
}

// is reports whether what was sent to local is for this inlet.
func (i *inlet) is(local netip.AddrPort) bool {
	l := i.LocalAddr()
	return l == local || l.Port() == local.Port() && l.Addr().IsUnspecified() && (l.Addr().Is6() || local.Addr().Is4())
}

// Close implements udp.Socket. With its last inlet the member leaves the group.
func (i *inlet) Close() error {
	if err := i.Conduit.Close(); err != nil {
		return err // closed before
	}
	if i.m.openInlets.Add(-1) > 0 {
		return nil
	}
	return i.m.leave()
}

var _ udp.Socket = (*inlet)(nil)
