package udp

import (
	"net"
	"net/netip"
	"strconv"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// sockaddr is room for the socket address of either family.
type sockaddr = unix.RawSockaddrInet6

// put writes a as the socket's family wants it and returns the length; 0 if the socket can't reach that family.
func (s *linuxSocket) putAddr(sa *sockaddr, a netip.AddrPort) uint32 {
	ip := a.Addr()
	if !s.v6 {
		if !ip.Is4() {
			return 0
		}
		sa4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(sa))
		sa4.Family = unix.AF_INET
		sa4.Port = htons(a.Port())
		sa4.Addr = ip.As4()
		return unix.SizeofSockaddrInet4
	}
	sa.Family = unix.AF_INET6
	sa.Port = htons(a.Port())
	sa.Flowinfo = 0
	sa.Addr = ip.As16()
	sa.Scope_id = 0
	if zone := ip.Zone(); zone != "" {
		sa.Scope_id = s.zones.index(zone)
	}
	return unix.SizeofSockaddrInet6
}

// addr reads what the kernel wrote.
func (s *linuxSocket) addr(sa *sockaddr) netip.AddrPort {
	switch sa.Family {
	case unix.AF_INET:
		sa4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(sa))
		return netip.AddrPortFrom(netip.AddrFrom4(sa4.Addr), htons(sa4.Port))
	case unix.AF_INET6:
		return netip.AddrPortFrom(s.zoned(netip.AddrFrom16(sa.Addr).Unmap(), sa.Scope_id), htons(sa.Port))
	}
	return netip.AddrPort{}
}

// zoned adds the zone to an address that is only unique within it.
func (s *linuxSocket) zoned(ip netip.Addr, scope uint32) netip.Addr {
	if scope == 0 || !ip.Is6() || !ip.IsLinkLocalUnicast() {
		return ip
	}
	return ip.WithZone(s.zones.name(scope))
}

// htons swaps between the host's and the network's byte order, either way.
func htons(p uint16) uint16 {
	b := [2]byte{byte(p >> 8), byte(p)}
	return *(*uint16)(unsafe.Pointer(&b))
}

// zoneCache remembers the names and numbers of the interfaces that link-local addresses name: asking the system
// takes several calls.
type zoneCache struct {
	mu      sync.Mutex
	names   map[uint32]string
	indexes map[string]uint32
}

func (z *zoneCache) name(index uint32) string {
	z.mu.Lock()
	defer z.mu.Unlock()
	if name, ok := z.names[index]; ok {
		return name
	}
	name := strconv.FormatUint(uint64(index), 10)
	if i, err := net.InterfaceByIndex(int(index)); err == nil {
		name = i.Name
	}
	z.remember(name, index)
	return name
}

func (z *zoneCache) index(name string) uint32 {
	z.mu.Lock()
	defer z.mu.Unlock()
	if index, ok := z.indexes[name]; ok {
		return index
	}
	var index uint32
	if n, err := strconv.ParseUint(name, 10, 32); err == nil {
		index = uint32(n)
	} else if i, err := net.InterfaceByName(name); err == nil {
		index = uint32(i.Index)
	}
	z.remember(name, index)
	return index
}

// maxZones bounds the cache, for zones come from callers too.
const maxZones = 256

func (z *zoneCache) remember(name string, index uint32) {
	if z.names == nil || len(z.indexes) >= maxZones {
		z.names, z.indexes = map[uint32]string{}, map[string]uint32{}
	}
	z.indexes[name] = index
	if index != 0 {
		z.names[index] = name
	}
}
