package engine

import (
	"fmt"
	"net/netip"

	"github.com/dunlin-quic/dunlin/udp"
)

// Datagram is one that has arrived on a socket of an endpoint.
type Datagram struct {
	Local, Remote netip.AddrPort
	Data          []byte // lent until the function returns
}

// maybeOther reports whether a datagram that begins so may be of another protocol than QUIC. RFC 9443, Section 3: STUN, ZRTP, DTLS,
// TURN channels and RTP with RTCP have first bytes that QUIC has not, if it leaves the QUIC bit alone, but for TURN channels (64 to
// 79), which are told by where they come from.
func maybeOther(first byte) bool { return first <= 79 || first >= 128 && first <= 191 }

// takesOther offers a datagram to EndpointConfig.NonQUIC.
func (r *router) takesOther(m *udp.Message, d []byte) bool {
	if len(d) == 0 || !maybeOther(d[0]) || !r.e.cfg.NonQUIC(Datagram{Local: m.Local, Remote: m.Remote, Data: d}) {
		return false
	}
	r.e.counters.nonQUIC.Add(1)
	return true
}

// WriteTo sends a datagram that is not QUIC's on the socket that connections to that address would use: see
// EndpointConfig.NonQUIC. It may be called from any goroutine, and does not wait for much.
func (e *Endpoint) WriteTo(b []byte, remote netip.AddrPort) error {
	r := e.routerTo(remote.Addr())
	if r == nil {
		return fmt.Errorf("engine: no socket reaches %v", remote)
	}
	return r.sock.Send(udp.Datagrams{Buf: b, Remote: remote})
}
