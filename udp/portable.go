package udp

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
	"time"
)

// maxReadErrors is how many reads in a row may fail before a socket counts as beyond use. Windows reports ICMP errors of
// earlier sends this way, so that a few mean nothing.
const maxReadErrors = 1000

// addrPortConn is what *net.UDPConn offers beyond net.PacketConn: addresses that need no allocation.
type addrPortConn interface {
	net.PacketConn
	ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error)
	WriteToUDPAddrPort(b []byte, addr netip.AddrPort) (int, error)
}

// portableSocket is a Socket over what the standard library offers everywhere: one datagram per call.
type portableSocket struct {
	counters
	pc       addrPortConn
	local    netip.AddrPort
	dontFrag bool
	closed   atomic.Bool
}

func newPortableSocket(c *net.UDPConn, cfg Config) (*portableSocket, error) {
	s := &portableSocket{pc: c, local: addrPortOf(c.LocalAddr())}
	setBuffers(c, cfg)
	rc, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	s.dontFrag = setDontFragment(rc)
	return s, nil
}

// newPacketConnSocket makes a Socket of any net.PacketConn whose addresses are UDP ones.
func newPacketConnSocket(pc net.PacketConn, cfg Config) (Socket, error) {
	c, ok := pc.(addrPortConn)
	if !ok {
		c = netAddrConn{pc}
	}
	local := addrPortOf(pc.LocalAddr())
	if !local.IsValid() {
		return nil, fmt.Errorf("udp: %T has no UDP address", pc)
	}
	setBuffers(pc, cfg)
	return &portableSocket{pc: c, local: local}, nil
}

// setBuffers asks for buffers where pc lets one ask. What the system grants has to do.
func setBuffers(pc net.PacketConn, cfg Config) {
	if b, ok := pc.(interface {
		SetReadBuffer(bytes int) error
		SetWriteBuffer(bytes int) error
	}); ok {
		if cfg.ReceiveBuffer >= 0 {
			_ = b.SetReadBuffer(cfg.ReceiveBuffer)
		}
		if cfg.SendBuffer >= 0 {
			_ = b.SetWriteBuffer(cfg.SendBuffer)
		}
	}
}

func (s *portableSocket) ReadBatch(msgs []Message) (int, error) {
	m := &msgs[0]
	for failed := 0; ; {
		n, remote, err := s.pc.ReadFromUDPAddrPort(m.Buf)
		if err == nil {
			m.N, m.SegmentSize, m.ECN, m.Err = n, 0, 0, nil
			m.Local, m.Remote = s.local, unmap(remote)
			m.Received = time.Now()
			s.reads.Add(1)
			s.datagramsReceived.Add(1)
			return 1, nil
		}
		if s.closed.Load() || errors.Is(err, net.ErrClosed) {
			return 0, closedError("read")
		}
		if errnoIs(err, tooLarge) {
			s.truncated.Add(1)
			continue
		}
		s.readErrors.Add(1)
		if failed++; failed == maxReadErrors {
			return 0, err
		}
	}
}

func (s *portableSocket) Send(d Datagrams) error {
	size := d.SegmentSize
	if size <= 0 {
		size = max(len(d.Buf), 1)
	}
	for {
		b := d.Buf[:min(size, len(d.Buf))]
		d.Buf = d.Buf[len(b):]
		_, err := s.pc.WriteToUDPAddrPort(b, d.Remote)
		switch {
		case err == nil:
			s.sends.Add(1)
			s.datagramsSent.Add(1)
		case s.closed.Load() || errors.Is(err, net.ErrClosed):
			return closedError("send")
		case errnoIs(err, tooLarge):
			s.sendTooLarge.Add(1)
			s.failed(failTooLarge)
		case errnoIs(err, noRoute) || isAddrError(err):
			s.failed(failNoRoute)
			return err
		default:
			s.sendDrops.Add(1)
			s.failed(failDropped)
		}
		if len(d.Buf) == 0 {
			return nil
		}
	}
}

func (s *portableSocket) LocalAddr() netip.AddrPort { return s.local }

func (s *portableSocket) Capabilities() Capabilities { return Capabilities{DontFragment: s.dontFrag} }

func (s *portableSocket) Close() error {
	if s.closed.Swap(true) {
		return closedError("close")
	}
	return s.pc.Close()
}

// closedError says that the socket was closed before op.
func closedError(op string) error { return fmt.Errorf("udp: %s: %w", op, net.ErrClosed) }

// errnoIs reports whether err has a system's error number that match accepts.
func errnoIs(err error, match func(syscall.Errno) bool) bool {
	var errno syscall.Errno
	return errors.As(err, &errno) && match(errno)
}

// isAddrError reports that the standard library itself refused the address, as one of the wrong family.
func isAddrError(err error) bool {
	var a *net.AddrError
	return errors.As(err, &a)
}

// netAddrConn lends a net.PacketConn the methods of addrPortConn.
type netAddrConn struct{ net.PacketConn }

func (c netAddrConn) ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error) {
	n, addr, err := c.ReadFrom(b)
	return n, addrPortOf(addr), err
}

func (c netAddrConn) WriteToUDPAddrPort(b []byte, addr netip.AddrPort) (int, error) {
	return c.WriteTo(b, net.UDPAddrFromAddrPort(addr))
}
