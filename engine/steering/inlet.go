//go:build linux

package steering

import (
	"errors"
	"net"
	"sync"
	"time"

	"github.com/dunlin-quic/dunlin/udp"
)

// inlet is the socket through which a member gets what others pass on. What is sent there leaves by the member's own socket.
type inlet struct {
	*udp.Conduit
	m      *Member
	number uint8
	l      *net.UnixListener

	serving sync.WaitGroup
	mu      sync.Mutex
	conns   map[*net.UnixConn]struct{} // nil once shut
}

// inletBytes is how much may wait for the member.
const inletBytes = 4 << 20

// newInlet takes a number. The caller holds the folder's lock.
func newInlet(m *Member, number uint8) (*inlet, error) {
	n, l, err := m.dir.listen(number)
	if err != nil {
		return nil, err
	}
	return &inlet{m: m, number: n, l: l, conns: make(map[*net.UnixConn]struct{})}, nil
}

// acceptPause is how long an inlet does not accept after an error.
const acceptPause = 10 * time.Millisecond

// open begins to listen to the others, once the member has its socket.
func (i *inlet) open() (err error) {
	caps := i.m.socket.Capabilities()
	i.Conduit, err = udp.NewConduit(udp.ConduitConfig{
		Local: i.m.socket.LocalAddr(), Send: i.m.socket.Send, Capabilities: caps, QueueBytes: inletBytes,
	})
	if err == nil {
		i.serving.Go(i.accept)
	}
	return err
}

func (i *inlet) accept() {
	for {
		c, err := i.l.AcceptUnix()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			time.Sleep(acceptPause) // too many open files, perhaps: those who wait stay in the queue
			continue
		}
		i.mu.Lock()
		if i.conns == nil {
			c.Close()
		} else {
			i.conns[c] = struct{}{}
			i.serving.Go(func() { i.serve(c) })
		}
		i.mu.Unlock()
	}
}

// serve hears one other member out.
func (i *inlet) serve(c *net.UnixConn) {
	defer func() {
		c.Close()
		i.mu.Lock()
		delete(i.conns, c)
		i.mu.Unlock()
	}()
	buf := make([]byte, maxMessage)
	for {
		n, err := c.Read(buf)
		if err != nil || n == 0 {
			return
		}
		if buf[0] == askForMaps {
			if i.m.kernel.answer(c) != nil {
				return
			}
			continue
		}
		if m, ok := parseMessage(buf[:n]); ok {
			i.Deliver(m) // counts what it has no room for
		}
	}
}

// shut stops listening to the others, and waits for what is under way.
func (i *inlet) shut() error {
	err := i.l.Close() // which removes the file
	i.mu.Lock()
	for c := range i.conns {
		c.Close()
	}
	i.conns = nil
	i.mu.Unlock()
	i.serving.Wait()
	return err
}

// Close implements udp.Socket. The member leaves the group.
func (i *inlet) Close() error {
	err := i.Conduit.Close()
	if err != nil {
		return err // closed before
	}
	return i.m.leave()
}

var _ udp.Socket = (*inlet)(nil)
