//go:build !windows

package udp

import "syscall"

// tooLarge reports that a datagram exceeds what the interface carries, or one received exceeds the buffer.
func tooLarge(e syscall.Errno) bool { return e == syscall.EMSGSIZE }

// noRoute reports that nothing can be sent to the destination.
func noRoute(e syscall.Errno) bool {
	switch e {
	case syscall.ENETUNREACH, syscall.EHOSTUNREACH, syscall.EADDRNOTAVAIL, syscall.EAFNOSUPPORT, syscall.EINVAL:
		return true
	}
	return false
}
