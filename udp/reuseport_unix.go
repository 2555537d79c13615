//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package udp

import (
	"syscall"

	"golang.org/x/sys/unix"
)

func setReusePort(rc syscall.RawConn) error {
	var err error
	if e := rc.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
	}); e != nil {
		return e
	}
	return err
}
