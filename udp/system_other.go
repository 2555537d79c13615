//go:build !linux

package udp

import "net"

// newSystemSocket returns the portable socket: this system has no other.
func newSystemSocket(c *net.UDPConn, cfg Config) (Socket, error) { return newPortableSocket(c, cfg) }
