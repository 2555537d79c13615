//go:build linux

package steering

import (
	"net/netip"

	"github.com/dunlin-quic/dunlin/udp"
)

// What members tell each other through their Unix sockets, by the first byte.
const (
	askForMaps  = 'm' // answered by the same, with the kernel's maps as file descriptors if there are any
	aDatagram   = 'd' // then how often it was passed on, ECN, both addresses with their lengths, and the datagram
	maxAddrPort = 64  // an IPv6 address, a zone, a port
	maxHeader   = 3 + 2*(1+maxAddrPort)
	maxMessage  = maxHeader + udp.MaxDatagram
)

// appendMessage appends datagram, which m brought, to b. It is false if an address is too long.
func appendMessage(b []byte, m *udp.Message, datagram []byte) ([]byte, bool) {
	b = append(b, aDatagram, m.Forwarded+1, byte(m.ECN))
	for _, a := range [2]netip.AddrPort{m.Local, m.Remote} {
		at := len(b)
		b = append(b, 0)
		b, _ = a.AppendBinary(b) // can't fail
		n := len(b) - at - 1
		if n > maxAddrPort {
			return b, false
		}
		b[at] = byte(n)
	}
	return append(b, datagram...), true
}

// parseMessage returns what appendMessage has made. The datagram stays in b.
func parseMessage(b []byte) (m udp.Message, ok bool) {
	if len(b) < 3 || b[0] != aDatagram {
		return m, false
	}
	m.Forwarded, m.ECN = b[1], udp.ECN(b[2]&3)
	b = b[3:]
	for _, a := range [2]*netip.AddrPort{&m.Local, &m.Remote} {
		if len(b) == 0 {
			return m, false
		}
		n := int(b[0])
		if b = b[1:]; n > maxAddrPort || len(b) < n || a.UnmarshalBinary(b[:n]) != nil || !a.IsValid() {
			return m, false
		}
		b = b[n:]
	}
	m.Buf, m.N = b, len(b)
	return m, true
}
