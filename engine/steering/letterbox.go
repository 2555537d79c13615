//go:build linux

package steering

import (
	"errors"
	"net"
	"sync"
	"time"

	"github.com/dunlin-quic/dunlin/udp"
)

// letterbox is the Unix socket at which the other members reach one.
type letterbox struct {
	l       *net.UnixListener
	kernel  *kernel
	deliver func(udp.Message)

	serving sync.WaitGroup
	mu      sync.Mutex
	conns   map[*net.UnixConn]struct{} // nil once closed
}

// acceptPause is how long a letterbox does not accept after an error.
const acceptPause = 10 * time.Millisecond

// open begins to serve the others: with the maps of k, which may be nil, and what they pass on is given to deliver.
func (b *letterbox) open(k *kernel, deliver func(udp.Message)) {
	b.kernel, b.deliver, b.conns = k, deliver, make(map[*net.UnixConn]struct{})
	b.serving.Go(b.accept)
}

func (b *letterbox) accept() {
	for {
		c, err := b.l.AcceptUnix()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			time.Sleep(acceptPause) // too many open files, perhaps: those who wait stay in the queue
			continue
		}
		b.mu.Lock()
		if b.conns == nil {
			c.Close()
		} else {
			b.conns[c] = struct{}{}
			b.serving.Go(func() { b.serve(c) })
		}
		b.mu.Unlock()
	}
}

// serve hears one other member out.
func (b *letterbox) serve(c *net.UnixConn) {
	defer func() {
		c.Close()
		b.mu.Lock()
		delete(b.conns, c)
		b.mu.Unlock()
	}()
	buf := make([]byte, maxMessage)
	for {
		n, err := c.Read(buf)
		if err != nil || n == 0 {
			return
		}
		if buf[0] == askForMaps {
			if b.kernel.answer(c) != nil {
				return
			}
			continue
		}
		if m, ok := parseMessage(buf[:n]); ok {
			b.deliver(m)
		}
	}
}

// close stops serving the others, and waits for what is under way.
func (b *letterbox) close() error {
	err := b.l.Close() // which removes the file
	b.mu.Lock()
	for c := range b.conns {
		c.Close()
	}
	b.conns = nil
	b.mu.Unlock()
	b.serving.Wait()
	return err
}
