//go:build linux

package steering

import (
	"sync"

	"golang.org/x/sys/unix"
)

// peer is another member, as one that passes datagrams on sees it. It connects when it is first needed.
type peer struct {
	mu     sync.Mutex
	fd     int  // plus 1; 0 if not connected
	closed bool // for good
}

// peerBuffer is how much may wait on its way to another member, in bytes of the system's reckoning.
const peerBuffer = 4 << 20

// send sends a message to the member at the Unix socket called name. It does not wait: sent is false if the member's queue is
// full, or nothing can be sent for want of something here. alive is false only if there is certainly no such member: its
// connections are then reset in its name.
func (p *peer) send(name string, message []byte) (sent, alive bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false, true
	}
	for range 2 { // the number may have gone to another process since the last time
		fresh := p.fd == 0
		if fresh {
			if err := p.connect(name); err != nil {
				return false, !gone(err)
			}
		}
		switch err := unix.Send(p.fd-1, message, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL); err {
		case nil:
			return true, true
		case unix.EAGAIN, unix.ENOBUFS, unix.EMSGSIZE, unix.EINTR:
			return false, true
		}
		p.disconnect()
		if fresh {
			break
		}
	}
	return false, false
}

func (p *peer) connect(name string) error {
	fd, err := connect(name)
	if err != nil {
		return err
	}
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, peerBuffer) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, peerBuffer)
	}
	p.fd = fd + 1
	return nil
}

func (p *peer) disconnect() {
	if p.fd != 0 {
		unix.Close(p.fd - 1)
		p.fd = 0
	}
}

func (p *peer) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.disconnect()
	p.closed = true
}
