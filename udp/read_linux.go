package udp

import (
	"fmt"
	"net/netip"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// maxBatch bounds the messages of one recvmmsg.
const maxBatch = 64

// controlSpace holds every control message that a read can bring: packet info, both families' ECN marks, segment size,
// drop counter, timestamp; or an extended error with the offender's address.
const controlSpace = 256

// mmsghdr is struct mmsghdr of the kernel.
type mmsghdr struct {
	hdr unix.Msghdr
	n   uint32
}

// readSlot is what one message of a batch needs besides the caller's buffer. The kernel is given pointers into it.
type readSlot struct {
	iov     unix.Iovec
	name    sockaddr
	control [controlSpace]byte
}

// reader is the state of ReadBatch, prepared once, so that reading allocates nothing.
type reader struct {
	s     *linuxSocket
	hdrs  []mmsghdr
	slots []readSlot
	errs  readSlot // for the error queue

	try      func(fd uintptr) bool // r.tryRead, bound once
	msgs     []Message             // ReadBatch's argument while it runs
	n        int                   // what tryRead found
	errno    syscall.Errno
	woken    bool // tryRead found nothing before: there is a reason to call it again
	dropSeen uint32
}

func (r *reader) init(s *linuxSocket) {
	r.s = s
	r.try = r.tryRead
}

// ReadBatch implements [Socket].
func (s *linuxSocket) ReadBatch(msgs []Message) (int, error) {
	if s.conn.Load().polled == nil {
		s.change((*conn).inPoller) // where that fails, for want of descriptors, a thread is as good
	}
	return s.read(msgs, -1)
}

// ReadBatchInThread implements [ThreadReader].
func (s *linuxSocket) ReadBatchInThread(msgs []Message, patience time.Duration) (int, error) {
	if s.conn.Load().thread == nil && !s.change((*conn).inThread) && !s.closed.Load() {
		return 0, nil // for want of descriptors
	}
	return s.read(msgs, patience)
}

// read returns 0 and no error if nothing came for as long as patience.
func (s *linuxSocket) read(msgs []Message, patience time.Duration) (int, error) {
	r, c := &s.r, s.conn.Load()
	r.prepare(msgs[:min(len(msgs), maxBatch)])
	for failed := 0; ; {
		r.n, r.errno, r.woken = 0, 0, false
		came, err := c.read(r.try, patience)
		if s.closed.Load() {
			return 0, closedError("read")
		}
		if err != nil && c.thread == nil && s.change((*conn).inThread) {
			// The poller refuses a socket that it found with an error and without room to send, until it hears of it again.
			c = s.conn.Load()
			continue
		}
		if err != nil || !came {
			return 0, err
		}
		if r.errno != 0 {
			// With Errors, an ICMP error shows itself here once before it is found in the error queue.
			s.readErrors.Add(1)
			if failed++; failed == maxReadErrors {
				return 0, fmt.Errorf("udp: read: %w", r.errno)
			}
			r.n = r.readErrors()
		}
		if r.n = r.finish(r.n); r.n > 0 {
			n := r.n
			r.msgs = nil
			return n, nil
		}
	}
}

// prepare points the kernel's structures at the caller's buffers.
func (r *reader) prepare(msgs []Message) {
	for len(r.hdrs) < len(msgs) {
		// All pointers are set again below: growing may move the slots.
		r.hdrs = append(r.hdrs, mmsghdr{})
		r.slots = append(r.slots, readSlot{})
	}
	r.msgs = msgs
	for i := range msgs {
		h, slot := &r.hdrs[i].hdr, &r.slots[i]
		slot.iov.Base = unsafe.SliceData(msgs[i].Buf)
		slot.iov.SetLen(len(msgs[i].Buf))
		h.Name = (*byte)(unsafe.Pointer(&slot.name))
		h.Namelen = uint32(unsafe.Sizeof(slot.name))
		h.Iov = &slot.iov
		h.SetIovlen(1)
		h.Control = &slot.control[0]
		h.SetControllen(controlSpace)
		h.Flags = 0
		msgs[i].Err = nil
	}
}

// tryRead is called until it returns true, whenever there may be something to read. For the raw system call see sendOnce.
func (r *reader) tryRead(fd uintptr) bool {
	for {
		n, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&r.hdrs[0])),
			uintptr(len(r.msgs)), unix.MSG_DONTWAIT, 0, 0)
		switch errno {
		case 0:
			r.n = int(n)
			return true
		case unix.EINTR:
			continue
		case unix.EAGAIN:
		default:
			r.errno = errno
			return true
		}
		// The error queue makes the socket neither readable nor its reads fail, if a send got the error first. Looking there
		// costs as much as reading: once for every datagram that comes alone, if it were done before each wait.
		if r.s.caps.Errors && (r.woken || r.s.erred.Swap(false)) && r.readQueue(fd) {
			r.n = 1
			return true
		}
		r.woken = true
		return false
	}
}

// finish turns what the kernel wrote for the first n messages into Messages, and returns how many are left when truncated
// ones have been dropped.
func (r *reader) finish(n int) int {
	if n == 0 {
		return 0
	}
	s := r.s
	s.reads.Add(1)
	if r.msgs[0].Err != nil {
		return n // from the error queue, finished already
	}
	now := time.Now()
	kept, datagrams := 0, uint64(0)
	for i := range n {
		h, m := &r.hdrs[i], &r.msgs[i]
		m.N = int(h.n)
		m.Received = now
		m.Remote = s.addr(&r.slots[i].name)
		r.parseControl(m, r.slots[i].control[:h.hdr.Controllen])
		if h.hdr.Flags&unix.MSG_TRUNC != 0 || !m.Remote.IsValid() {
			s.truncated.Add(1)
			continue
		}
		datagrams++
		if m.SegmentSize > 0 {
			datagrams += uint64((m.N - 1) / m.SegmentSize)
		}
		if kept != i {
			r.msgs[kept], r.msgs[i] = r.msgs[i], r.msgs[kept]
		}
		kept++
	}
	s.datagramsReceived.Add(datagrams)
	if kept == 0 {
		r.prepare(r.msgs) // the next try starts anew
	}
	return kept
}

// parseControl sets what the control messages tell of m.
func (r *reader) parseControl(m *Message, control []byte) {
	s := r.s
	m.SegmentSize, m.ECN = 0, 0
	m.Local = s.local
	for len(control) >= unix.SizeofCmsghdr {
		hdr, data, rest, err := unix.ParseOneSocketControlMessage(control)
		if err != nil {
			return
		}
		control = rest
		switch {
		case hdr.Level == unix.IPPROTO_IP && hdr.Type == unix.IP_TOS && len(data) >= 1:
			m.ECN = ECN(data[0] & 3)
		case hdr.Level == unix.IPPROTO_IPV6 && hdr.Type == unix.IPV6_TCLASS && len(data) >= 4:
			m.ECN = ECN(load[uint32](data) & 3)
		case hdr.Level == unix.IPPROTO_IP && hdr.Type == unix.IP_PKTINFO && len(data) >= unix.SizeofInet4Pktinfo:
			info := load[unix.Inet4Pktinfo](data)
			m.Local = netip.AddrPortFrom(netip.AddrFrom4(info.Addr), s.local.Port())
		case hdr.Level == unix.IPPROTO_IPV6 && hdr.Type == unix.IPV6_PKTINFO && len(data) >= unix.SizeofInet6Pktinfo:
			info := load[unix.Inet6Pktinfo](data)
			m.Local = netip.AddrPortFrom(s.zoned(netip.AddrFrom16(info.Addr).Unmap(), info.Ifindex), s.local.Port())
		case hdr.Level == unix.IPPROTO_UDP && hdr.Type == unix.UDP_GRO && len(data) >= 4:
			if size := int(load[uint32](data)); size > 0 && size < m.N {
				m.SegmentSize = size
			}
		case hdr.Level == unix.SOL_SOCKET && hdr.Type == unix.SO_RXQ_OVFL && len(data) >= 4:
			// A counter since the socket was made, modulo 2^32.
			dropped := load[uint32](data)
			n := uint64(dropped - r.dropSeen)
			s.receiveDrops.Add(n)
			if n > 0 && s.observer != nil {
				s.observer.ReceiveDropped(n)
			}
			r.dropSeen = dropped
		case hdr.Level == unix.SOL_SOCKET && hdr.Type == unix.SCM_TIMESTAMPNS && len(data) >= int(unsafe.Sizeof(unix.Timespec{})):
			t := load[unix.Timespec](data)
			// The stamp is of the wall clock; only its distance from now goes into the monotonic time.
			if age := m.Received.Sub(time.Unix(t.Unix())); age > 0 && age < time.Second {
				m.Received = m.Received.Add(-age)
			}
		}
	}
}

// load reads a T of the kernel's from b, which need not be aligned.
func load[T any](b []byte) (v T) {
	copy(unsafe.Slice((*byte)(unsafe.Pointer(&v)), unsafe.Sizeof(v)), b)
	return v
}
