package udp

import (
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

// TestBuffersLeftAlone: a negative size leaves the system's buffers as they are, on both paths.
func TestBuffersLeftAlone(t *testing.T) {
	sizes := func(c *net.UDPConn) (got [2]int) {
		raw, err := c.SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		raw.Control(func(fd uintptr) {
			for i, option := range []int{unix.SO_RCVBUF, unix.SO_SNDBUF} {
				if got[i], err = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, option); err != nil {
					t.Error(err)
				}
			}
		})
		return got
	}
	for _, portable := range []bool{false, true} {
		c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		before := sizes(c)
		s, err := Wrap(c, &Config{ReceiveBuffer: -1, SendBuffer: -1, Portable: portable})
		if err != nil {
			t.Fatal(err)
		}
		if after := sizes(c); after != before {
			t.Errorf("portable %v: %v became %v", portable, before, after)
		}
		s.Close()
	}
}
