package h3driver

import (
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/dunlin-quic/dunlin/udp"
)

// memorySocket is one end of a link in memory, for tests under testing/synctest.
type memorySocket struct {
	local netip.AddrPort
	peer  *memorySocket
	lose  func() bool // whether a datagram gets lost
	queue chan udp.Message
	done  chan struct{}
	once  sync.Once
}

// newLink returns the two ends of a link that takes a millisecond.
func newLink(lose func() bool) (client, server *memorySocket) {
	end := func(addr string) *memorySocket {
		return &memorySocket{
			local: netip.MustParseAddrPort(addr), lose: lose, queue: make(chan udp.Message, 1000), done: make(chan struct{}),
		}
	}
	client, server = end("192.0.2.1:1111"), end("198.51.100.1:443")
	client.peer, server.peer = server, client
	return client, server
}

func (s *memorySocket) ReadBatch(msgs []udp.Message) (int, error) {
	select {
	case m := <-s.queue:
		n := copy(msgs[0].Buf, m.Buf)
		m.Buf, m.N = msgs[0].Buf, n
		msgs[0] = m
		return 1, nil
	case <-s.done:
		return 0, net.ErrClosed
	}
}

func (s *memorySocket) Send(d udp.Datagrams) error {
	size := d.SegmentSize
	if size <= 0 {
		size = len(d.Buf)
	}
	for b := d.Buf; len(b) > 0; b = b[min(size, len(b)):] {
		if s.lose() {
			continue
		}
		m := udp.Message{Buf: append([]byte(nil), b[:min(size, len(b))]...), Local: s.peer.local, Remote: s.local, ECN: d.ECN}
		time.AfterFunc(time.Millisecond, func() {
			m.Received = time.Now()
			select {
			case s.peer.queue <- m:
			default: // a full queue
			}
		})
	}
	return nil
}

func (s *memorySocket) LocalAddr() netip.AddrPort { return s.local }

func (s *memorySocket) Capabilities() udp.Capabilities { return udp.Capabilities{GSO: true, ECN: true} }

func (s *memorySocket) Stats() udp.Stats { return udp.Stats{} }

func (s *memorySocket) Close() error {
	s.once.Do(func() { close(s.done) })
	return nil
}
