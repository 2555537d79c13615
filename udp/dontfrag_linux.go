package udp

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// setDontFragment sets the don't-fragment bit for both families where the socket speaks both. PROBE rather than DO: the size of
// a datagram is bounded by the interface alone, and what ICMP claims of the path is left to the protocol above, which probes.
func setDontFragment(rc syscall.RawConn) (ok bool) {
	_ = rc.Control(func(fd uintptr) {
		e4 := unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_PROBE)
		e6 := unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_PROBE)
		ok = e4 == nil || e6 == nil
	})
	return ok
}
