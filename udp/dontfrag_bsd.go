//go:build darwin || freebsd

package udp

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// setDontFragment sets the don't-fragment bit for the families that the socket speaks.
func setDontFragment(rc syscall.RawConn) (ok bool) {
	_ = rc.Control(func(fd uintptr) {
		e4 := unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_DONTFRAG, 1)
		e6 := unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_DONTFRAG, 1)
		ok = e4 == nil || e6 == nil
	})
	return ok
}
