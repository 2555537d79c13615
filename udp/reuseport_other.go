//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package udp

import (
	"errors"
	"syscall"
)

func setReusePort(syscall.RawConn) error {
	return errors.New("udp: this system can't bind several sockets to one address")
}
