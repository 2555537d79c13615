package udp

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// linuxSocket is the Socket of Linux: recvmmsg with GRO, sendmsg with GSO, and control messages for everything else.
//
// Reading goes through RawConn.Read, which waits in Go's poller, or in a thread: see ThreadReader. Sending goes through
// RawConn.Control, so that goroutines send side by side; only when the send buffer is full does one wait in RawConn.Write.
type linuxSocket struct {
	counters
	conn     atomic.Pointer[conn] // changed by the reader alone
	local    netip.AddrPort
	v6       bool         // AF_INET6; IPv4 addresses are mapped at the system's door
	wildcard bool         // bound to all addresses
	caps     Capabilities // but for GSO
	gso      atomic.Bool
	closed   atomic.Bool
	erred    atomic.Bool // there may be something in the error queue that the poller does not tell of again
	r        reader      // of ReadBatch's one caller
	zones    zoneCache
}

func newSystemSocket(c *net.UDPConn, cfg Config) (Socket, error) {
	pc, err := newPolledConn(c)
	if err != nil {
		return nil, err
	}
	s := &linuxSocket{local: addrPortOf(c.LocalAddr())}
	s.conn.Store(pc)
	s.wildcard = s.local.Addr().IsUnspecified()
	if e := pc.Control(func(fd uintptr) { err = s.setup(int(fd), cfg) }); e != nil {
		return nil, e
	}
	if err != nil {
		return nil, err
	}
	s.caps.DontFragment = setDontFragment(pc)
	s.r.init(s)
	return s, nil
}

// setup turns on what the kernel has. Only what can't be done without is an error: kernels and sandboxes differ.
func (s *linuxSocket) setup(fd int, cfg Config) error {
	domain, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
	if err != nil {
		return err
	}
	s.v6 = domain == unix.AF_INET6
	on := func(level, option int) bool { return unix.SetsockoptInt(fd, level, option, 1) == nil }

	// An IPv6 socket that takes IPv4-mapped addresses wants the options of both families.
	s.caps.ECN = on(unix.IPPROTO_IP, unix.IP_RECVTOS)
	s.caps.PacketInfo = s.v6 || on(unix.IPPROTO_IP, unix.IP_PKTINFO)
	if s.v6 {
		s.caps.ECN = on(unix.IPPROTO_IPV6, unix.IPV6_RECVTCLASS) && s.caps.ECN
		s.caps.PacketInfo = on(unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO)
	}
	if cfg.Errors {
		s.caps.Errors = on(unix.IPPROTO_IP, unix.IP_RECVERR)
		if s.v6 {
			s.caps.Errors = on(unix.IPPROTO_IPV6, unix.IPV6_RECVERR) && s.caps.Errors
		}
	} else {
		// A file may come from who wanted them. What nobody takes out of the error queue would end every wait at once.
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_RECVERR, 0)
		if s.v6 {
			_ = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVERR, 0)
		}
	}
	if cfg.Mark != 0 {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK, int(cfg.Mark)); err != nil {
			return fmt.Errorf("udp: SO_MARK: %w", err)
		}
	}
	s.caps.GRO = on(unix.IPPROTO_UDP, unix.UDP_GRO)
	s.caps.DropCounter = on(unix.SOL_SOCKET, unix.SO_RXQ_OVFL)
	if cfg.Timestamps {
		on(unix.SOL_SOCKET, unix.SO_TIMESTAMPNS)
	}
	_, err = unix.GetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_SEGMENT)
	s.gso.Store(err == nil)

	// The FORCE options pass the limits of net.core for those who may; the others go as far as these allow.
	buffer := func(force, within, size int) {
		if size >= 0 && unix.SetsockoptInt(fd, unix.SOL_SOCKET, force, size) != nil {
			_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, within, size)
		}
	}
	buffer(unix.SO_RCVBUFFORCE, unix.SO_RCVBUF, cfg.ReceiveBuffer)
	buffer(unix.SO_SNDBUFFORCE, unix.SO_SNDBUF, cfg.SendBuffer)
	return nil
}

func (s *linuxSocket) LocalAddr() netip.AddrPort { return s.local }

func (s *linuxSocket) Capabilities() Capabilities {
	c := s.caps
	c.GSO = s.gso.Load()
	return c
}

func (s *linuxSocket) Close() error {
	if s.closed.Swap(true) {
		return closedError("close")
	}
	return s.conn.Load().close()
}

// control calls f with the descriptor.
func (s *linuxSocket) control(f func(fd uintptr)) error {
	return s.use(func(c *conn) error { return c.Control(f) })
}

// write calls f with the descriptor until it returns true, and in between waits for room in the send buffer.
func (s *linuxSocket) write(f func(fd uintptr) bool) error {
	return s.use(func(c *conn) error { return c.Write(f) })
}

// File implements what [File] looks for.
func (s *linuxSocket) File() (f *os.File, err error) {
	err = s.use(func(c *conn) (err error) {
		f, err = c.file()
		return err
	})
	return f, err
}

// use calls f with the conn, and again if that was closed meanwhile because the socket goes on with another.
func (s *linuxSocket) use(f func(*conn) error) error {
	for {
		c := s.conn.Load()
		if err := f(c); err == nil || s.conn.Load() == c {
			return err
		}
	}
}

// change goes on with another conn of the same socket, or returns false. Only the reader may call it.
func (s *linuxSocket) change(to func(*conn) (*conn, error)) bool {
	old := s.conn.Load()
	c, err := to(old)
	if err != nil {
		return false
	}
	s.conn.Store(c)
	if s.closed.Load() {
		_ = c.close() // Close may have found the old one
	}
	_ = old.close()
	return true
}
