package udp

import (
	"syscall"

	"golang.org/x/sys/windows"
)

// tooLarge reports that a datagram exceeds what the interface carries, or one received exceeds the buffer.
func tooLarge(e syscall.Errno) bool { return e == windows.WSAEMSGSIZE }

// noRoute reports that nothing can be sent to the destination.
func noRoute(e syscall.Errno) bool {
	switch e {
	case windows.WSAENETUNREACH, windows.WSAEHOSTUNREACH, windows.WSAEADDRNOTAVAIL, windows.WSAEAFNOSUPPORT, windows.WSAEINVAL:
		return true
	}
	return false
}
