package udp

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"syscall"
)

const (
	defaultReceiveBuffer = 8 << 20
	defaultSendBuffer    = 2 << 20
)

// Listen opens a socket bound to address, such as "127.0.0.1:4433", "[::1]:0" or ":4433" (every address of both
// families). cfg may be nil.
func Listen(address string, cfg *Config) (Socket, error) {
	c := cfg.withDefaults()
	var lc net.ListenConfig
	if c.ReusePort {
		lc.Control = func(_, _ string, rc syscall.RawConn) error { return setReusePort(rc) }
	}
	pc, err := lc.ListenPacket(context.Background(), "udp", address)
	if err != nil {
		return nil, err
	}
	s, err := wrap(pc, c)
	if err != nil {
		pc.Close()
		return nil, err
	}
	return s, nil
}

// Wrap adopts pc, which must not be used any more except through the Socket. A *net.UDPConn, which must not be connected,
// gets all that the system can do; others are used through their ReadFrom and WriteTo. cfg may be nil; its ReusePort is
// of no effect.
func Wrap(pc net.PacketConn, cfg *Config) (Socket, error) { return wrap(pc, cfg.withDefaults()) }

func wrap(pc net.PacketConn, cfg Config) (Socket, error) {
	c, ok := pc.(*net.UDPConn)
	if cfg.Mark != 0 && (!ok || cfg.Portable || !canMark) {
		return nil, errors.New("udp: what this socket sends can't be marked")
	}
	if !ok {
		return newPacketConnSocket(pc, cfg)
	}
	if c.RemoteAddr() != nil {
		return nil, errors.New("udp: the socket is connected")
	}
	if cfg.Portable {
		return newPortableSocket(c, cfg)
	}
	return newSystemSocket(c, cfg)
}

func (c *Config) withDefaults() Config {
	var d Config
	if c != nil {
		d = *c
	}
	if d.ReceiveBuffer == 0 {
		d.ReceiveBuffer = defaultReceiveBuffer
	}
	if d.SendBuffer == 0 {
		d.SendBuffer = defaultSendBuffer
	}
	return d
}

// addrPortOf returns a's address with an IPv4-mapped one unmapped; the zero AddrPort if it is no UDP address.
func addrPortOf(a net.Addr) netip.AddrPort {
	u, ok := a.(interface{ AddrPort() netip.AddrPort })
	if !ok {
		return netip.AddrPort{}
	}
	return unmap(u.AddrPort())
}

func unmap(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }
