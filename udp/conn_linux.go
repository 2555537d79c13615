package udp

import (
	"errors"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// conn is a socket's descriptor, and where those wait who use it: in Go's poller, or in system calls. The poller must not even
// know the descriptor of a socket whose reader waits in a system call, or it would wake a thread up for every datagram as well.
type conn struct {
	syscall.RawConn
	polled *net.UDPConn // nil if those wait in system calls
	thread *threadConn  // nil if those wait in the poller
}

func newPolledConn(c *net.UDPConn) (*conn, error) {
	rc, err := c.SyscallConn()
	return &conn{RawConn: rc, polled: c}, err
}

// read calls f until it returns true, and in between waits for something to read. In a thread it waits no longer than patience
// at a time, and then gives up and returns false; a negative patience has no end.
func (c *conn) read(f func(fd uintptr) bool, patience time.Duration) (bool, error) {
	if c.thread != nil {
		return c.thread.await(unix.POLLIN, f, patience)
	}
	return true, c.Read(f)
}

func (c *conn) close() error {
	if c.thread != nil {
		c.thread.close()
		return nil
	}
	if err := c.polled.Close(); !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// file returns a duplicate of the descriptor.
func (c *conn) file() (f *os.File, err error) {
	if c.polled != nil {
		return c.polled.File()
	}
	e := c.Control(func(fd uintptr) {
		var dup int
		if dup, err = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0); err == nil {
			f = os.NewFile(uintptr(dup), "socket")
		}
	})
	return f, errors.Join(e, err)
}

// inPoller returns a conn of the same socket that waits in the poller.
func (c *conn) inPoller() (*conn, error) {
	f, err := c.file()
	if err != nil {
		return nil, err
	}
	defer f.Close()
	pc, err := net.FilePacketConn(f)
	if err != nil {
		return nil, err
	}
	return newPolledConn(pc.(*net.UDPConn))
}

// inThread returns a conn of the same socket that waits in system calls.
func (c *conn) inThread() (*conn, error) {
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, err
	}
	t := &threadConn{wake: wake}
	e := c.Control(func(fd uintptr) { t.fd, err = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0) })
	if err = errors.Join(e, err); err != nil {
		unix.Close(wake)
		return nil, err
	}
	return &conn{RawConn: t, thread: t}, nil
}

// threadConn is a descriptor whose users wait in system calls.
type threadConn struct {
	mu     sync.RWMutex // held for reading while the descriptors are in use
	closed bool
	room   sync.Mutex // whose holder waits for room to send; the others need no thread to wait for it
	fd     int
	wake   int // an eventfd that becomes readable when the conn is closed
}

// Control implements syscall.RawConn.
func (t *threadConn) Control(f func(fd uintptr)) error {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if t.closed {
		return net.ErrClosed
	}
	f(uintptr(t.fd))
	return nil
}

// Read implements syscall.RawConn.
func (t *threadConn) Read(f func(fd uintptr) bool) error {
	_, err := t.await(unix.POLLIN, f, -1)
	return err
}

// Write implements syscall.RawConn.
func (t *threadConn) Write(f func(fd uintptr) bool) error {
	t.room.Lock()
	defer t.room.Unlock()
	_, err := t.await(unix.POLLOUT, f, -1)
	return err
}

// errorPause is how long a wait for room looks away from an error that only the reader takes off the socket, which would end
// it at once.
const errorPause = time.Millisecond

// await calls f until it returns true, and in between waits for the event, as [conn.read] does.
func (t *threadConn) await(event int16, f func(fd uintptr) bool, patience time.Duration) (bool, error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if t.closed {
		return false, net.ErrClosed
	}
	for pause := false; !f(uintptr(t.fd)); {
		fds := [...]unix.PollFd{{Fd: int32(t.fd), Events: event}, {Fd: int32(t.wake), Events: unix.POLLIN}}
		wait := patience
		if pause {
			fds[0].Fd, wait = -1, errorPause
		}
		timeout := unix.NsecToTimespec(int64(wait))
		var ts unsafe.Pointer
		if wait >= 0 {
			ts = unsafe.Pointer(&timeout)
		}
		// unix.Ppoll would allocate the time.
		n, _, errno := unix.Syscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&fds)), uintptr(len(fds)), uintptr(ts), 0, 0, 0)
		switch {
		case errno == unix.EINTR:
		case errno != 0:
			return false, os.NewSyscallError("ppoll", errno)
		case n == 0 && !pause:
			return false, nil
		case fds[1].Revents != 0:
			return false, net.ErrClosed
		}
		pause = fds[0].Revents == unix.POLLERR
	}
	return true, nil
}

// close ends all who wait, and closes the descriptors once nobody uses them any more.
func (t *threadConn) close() {
	one := [8]byte{1}
	_ = t.Control(func(uintptr) { _, _ = unix.Write(t.wake, one[:]) })
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.closed {
		t.closed = true
		unix.Close(t.fd)
		unix.Close(t.wake)
	}
}
