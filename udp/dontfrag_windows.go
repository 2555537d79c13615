package udp

import (
	"syscall"

	"golang.org/x/sys/windows"
)

// The option's number is the same for both families (ws2ipdef.h); x/sys lacks it.
const ipDontFragment = 14

// setDontFragment sets the don't-fragment bit for the families that the socket speaks.
func setDontFragment(rc syscall.RawConn) (ok bool) {
	_ = rc.Control(func(fd uintptr) {
		e4 := windows.SetsockoptInt(windows.Handle(fd), windows.IPPROTO_IP, ipDontFragment, 1)
		e6 := windows.SetsockoptInt(windows.Handle(fd), windows.IPPROTO_IPV6, ipDontFragment, 1)
		ok = e4 == nil || e6 == nil
	})
	return ok
}
