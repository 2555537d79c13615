package udp

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// readErrors reads the error queue after a read failed; it returns the number of messages found, 0 or 1.
func (r *reader) readErrors() (n int) {
	_ = r.s.control(func(fd uintptr) {
		if r.s.caps.Errors && r.readQueue(fd) {
			n = 1
		}
	})
	return n
}

// readQueue makes the first message of the next ICMP error in the error queue. It passes over what a caller has no use for:
// that a datagram was too large, and errors that this host found itself, have told the sender already.
func (r *reader) readQueue(fd uintptr) bool {
	m, slot := &r.msgs[0], &r.errs
	slot.iov.Base = unsafe.SliceData(m.Buf)
	slot.iov.SetLen(len(m.Buf))
	var h unix.Msghdr
	h.Iov = &slot.iov
	h.SetIovlen(1)
	for {
		h.Name = (*byte)(unsafe.Pointer(&slot.name))
		h.Namelen = uint32(unsafe.Sizeof(slot.name))
		h.Control = &slot.control[0]
		h.SetControllen(controlSpace)
		n, _, errno := unix.Syscall(unix.SYS_RECVMSG, fd, uintptr(unsafe.Pointer(&h)), unix.MSG_ERRQUEUE|unix.MSG_DONTWAIT)
		if errno == unix.EINTR {
			continue
		}
		if errno != 0 {
			return false
		}
		ee, ok := extendedError(slot.control[:h.Controllen])
		if !ok || ee.Origin != unix.SO_EE_ORIGIN_ICMP && ee.Origin != unix.SO_EE_ORIGIN_ICMP6 {
			continue
		}
		r.s.icmpErrors.Add(1)
		if tooLarge(syscall.Errno(ee.Errno)) {
			continue
		}
		*m = Message{Buf: m.Buf, N: int(n), Local: r.s.local, Remote: r.s.addr(&slot.name), Err: syscall.Errno(ee.Errno)}
		r.s.erred.Store(true) // there may be more
		return true
	}
}

// extendedError finds the error among control messages.
func extendedError(control []byte) (ee unix.SockExtendedErr, ok bool) {
	for len(control) >= unix.SizeofCmsghdr {
		hdr, data, rest, err := unix.ParseOneSocketControlMessage(control)
		if err != nil {
			break
		}
		control = rest
		if hdr.Level == unix.IPPROTO_IP && hdr.Type == unix.IP_RECVERR ||
			hdr.Level == unix.IPPROTO_IPV6 && hdr.Type == unix.IPV6_RECVERR {
			if len(data) >= int(unsafe.Sizeof(ee)) {
				return load[unix.SockExtendedErr](data), true
			}
		}
	}
	return ee, false
}
