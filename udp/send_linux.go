package udp

import (
	"fmt"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// maxSegments bounds the segments of one GSO send (UDP_MAX_SEGMENTS of older kernels).
const maxSegments = 64

// maxSendRetries bounds how often a send is tried again because it got the ICMP error of an earlier datagram.
const maxSendRetries = 8

// sender is the state of one Send, pooled, so that any number of goroutines send at a time and none allocates.
type sender struct {
	s       *linuxSocket
	hdr     unix.Msghdr
	iov     unix.Iovec
	name    sockaddr
	control [128]byte
	errno   syscall.Errno
	large   bool                  // some datagram was too large
	once    func(fd uintptr)      // x.sendOnce, bound once
	wait    func(fd uintptr) bool // x.sendOrWait, bound once
}

var senders = sync.Pool{New: func() any {
	x := new(sender)
	x.once, x.wait = x.sendOnce, x.sendOrWait
	return x
}}

func (s *linuxSocket) Send(d Datagrams) error {
	x := senders.Get().(*sender)
	x.s = s
	err := x.send(d)
	x.s, x.iov.Base = nil, nil
	senders.Put(x)
	return err
}

// send splits d into as few system calls as it takes.
func (x *sender) send(d Datagrams) error {
	x.hdr.Namelen = x.s.putAddr(&x.name, d.Remote)
	if x.hdr.Namelen == 0 {
		return fmt.Errorf("udp: send to %v: %w", d.Remote, unix.EAFNOSUPPORT)
	}
	x.hdr.Name = (*byte)(unsafe.Pointer(&x.name))
	x.hdr.Iov = &x.iov
	x.hdr.SetIovlen(1)
	for {
		b := d.Buf
		segment := d.SegmentSize
		if segment <= 0 || segment >= len(b) {
			segment = 0
		} else if most := x.s.segmentsPerSend(segment) * segment; len(b) > most {
			b = b[:most]
		}
		if err := x.sendSegments(d, b, segment); err != nil {
			return err
		}
		if d.Buf = d.Buf[len(b):]; len(d.Buf) == 0 {
			return nil
		}
	}
}

// segmentsPerSend returns how many segments one system call takes.
func (s *linuxSocket) segmentsPerSend(size int) int {
	if !s.gso.Load() {
		return 1
	}
	return max(1, min(maxSegments, MaxDatagram/size))
}

// sendSegments sends b, segments of the given size or, if that is 0 or not less than b's, one datagram.
func (x *sender) sendSegments(d Datagrams, b []byte, segment int) error {
	if segment >= len(b) {
		segment = 0
	}
	errno, err := x.sendmsg(d, b, segment)
	if err != nil {
		return err
	}
	s := x.s
	switch {
	case errno == 0:
		s.sends.Add(1)
		s.datagramsSent.Add(uint64(segments(b, segment)))
		return nil
	case segment > 0 && (errno == unix.EIO || errno == unix.EINVAL || errno == unix.EMSGSIZE || errno == unix.EOPNOTSUPP):
		return x.sendSingly(d, b, segment, errno)
	case tooLarge(errno):
		s.sendTooLarge.Add(uint64(segments(b, segment)))
		s.failed(failTooLarge)
		x.large = true
		return nil
	case noRoute(errno):
		s.failed(failNoRoute)
		return fmt.Errorf("udp: send to %v: %w", d.Remote, errno)
	}
	s.sendDrops.Add(uint64(segments(b, segment)))
	s.failed(failDropped)
	return nil
}

// sendSingly sends b segment by segment after the system refused it as a whole. EIO is a device that can't compute checksums
// for GSO. The other errors may mean that one segment is too large already, for an interface whose MTU shrank or as a probe;
// if it is not, then it was GSO that the system did not like. Either way what it refuses is done without from then on.
func (x *sender) sendSingly(d Datagrams, b []byte, segment int, errno syscall.Errno) error {
	s := x.s
	s.gsoFallbacks.Add(1)
	x.large = false
	for len(b) > 0 {
		n := min(segment, len(b))
		if err := x.sendSegments(d, b[:n], 0); err != nil {
			return err
		}
		b = b[n:]
	}
	if errno == unix.EIO || !x.large {
		s.gso.Store(false)
	}
	return nil
}

// sendmsg makes one system call of b, and again when it got an error that was not its own, or once there is room.
func (x *sender) sendmsg(d Datagrams, b []byte, segment int) (syscall.Errno, error) {
	s := x.s
	x.iov.Base = unsafe.SliceData(b)
	x.iov.SetLen(len(b))
	x.putControl(d, segment)
	for retries := 0; ; {
		if err := s.control(x.once); err != nil {
			return 0, closedError("send")
		}
		switch {
		case x.errno == unix.EINTR:
			continue
		case x.errno == unix.EAGAIN:
			s.sendWaits.Add(1)
			if err := x.await(); err != nil {
				return 0, closedError("send")
			}
		}
		if x.errno != 0 && s.caps.Errors {
			s.erred.Store(true)
		}
		if !s.caps.Errors || retries >= retriesFor(x.errno) {
			return x.errno, nil
		}
		s.sendRetries.Add(1)
		retries++
	}
}

// retriesFor returns how often to try again after an error that may be an earlier datagram's. Every try takes one such
// error off the socket; but most that say "too large" mean what they say.
func retriesFor(e syscall.Errno) int {
	switch e {
	case unix.EMSGSIZE:
		return 1
	case unix.ECONNREFUSED, unix.EHOSTUNREACH, unix.ENETUNREACH, unix.EHOSTDOWN, unix.ENONET, unix.ENOPROTOOPT, unix.EPROTO,
		unix.EACCES:
		return maxSendRetries
	}
	return 0
}

// sendOnce makes one system call, of which the scheduler is not told. A call that it knows of wakes its monitor thread, if all
// processors were idle before, which then runs every 20 µs until they are so again: with one request at a time that costs more than the
// packet's protection. The scheduler can't take a processor away from a raw call; but these do not wait.
func (x *sender) sendOnce(fd uintptr) {
	_, _, x.errno = unix.RawSyscall(unix.SYS_SENDMSG, fd, uintptr(unsafe.Pointer(&x.hdr)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
}

// await makes the system call once there is room.
func (x *sender) await() error {
	if x.s.observer == nil {
		return x.s.write(x.wait)
	}
	began := time.Now()
	err := x.s.write(x.wait)
	x.s.observer.SendWaited(time.Since(began))
	return err
}

func (x *sender) sendOrWait(fd uintptr) bool {
	x.sendOnce(fd)
	return x.errno != unix.EAGAIN && x.errno != unix.EINTR
}

// putControl writes the control messages of d.
func (x *sender) putControl(d Datagrams, segment int) {
	c := x.control[:0]
	v4 := d.Remote.Addr().Is4()
	if segment > 0 {
		c = appendControl(c, unix.IPPROTO_UDP, unix.UDP_SEGMENT, uint16(segment))
	}
	if d.ECN != 0 {
		if v4 {
			c = appendControl(c, unix.IPPROTO_IP, unix.IP_TOS, int32(d.ECN))
		} else {
			c = appendControl(c, unix.IPPROTO_IPV6, unix.IPV6_TCLASS, int32(d.ECN))
		}
	}
	if x.s.wildcard && d.Local.IsValid() && !d.Local.IsUnspecified() && d.Local.Is4() == v4 {
		if v4 {
			c = appendControl(c, unix.IPPROTO_IP, unix.IP_PKTINFO, unix.Inet4Pktinfo{Spec_dst: d.Local.As4()})
		} else {
			info := unix.Inet6Pktinfo{Addr: d.Local.As16()}
			if zone := d.Local.Zone(); zone != "" {
				info.Ifindex = x.s.zones.index(zone)
			}
			c = appendControl(c, unix.IPPROTO_IPV6, unix.IPV6_PKTINFO, info)
		}
	}
	x.hdr.Control = nil
	if len(c) > 0 {
		x.hdr.Control = &x.control[0]
	}
	x.hdr.SetControllen(len(c))
}

// appendControl appends one control message to b, whose backing array is aligned and has room.
func appendControl[T any](b []byte, level, typ int32, v T) []byte {
	size := int(unsafe.Sizeof(v))
	i := len(b)
	b = b[:i+unix.CmsgSpace(size)]
	h := (*unix.Cmsghdr)(unsafe.Pointer(&b[i]))
	h.Level, h.Type = level, typ
	h.SetLen(unix.CmsgLen(size))
	*(*T)(unsafe.Pointer(&b[i+unix.CmsgLen(0)])) = v
	return b
}

// segments returns how many datagrams b is.
func segments(b []byte, segment int) int {
	if segment <= 0 || len(b) == 0 {
		return 1
	}
	return (len(b) + segment - 1) / segment
}
