//go:build !(darwin || freebsd || linux || windows)

package udp

import "syscall"

func setDontFragment(syscall.RawConn) bool { return false }
