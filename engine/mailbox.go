package engine

import (
	"net"
	"sync"
	"sync/atomic"
)

// mailbox is where other goroutines leave what a worker's next step is to do. It is charged by the capacity of the buffers
// that its packets pin, and has two bounds: its own, and one that all mailboxes of an endpoint share.
type mailbox struct {
	used   atomic.Int64
	limit  int64 // negative means none
	shared *budget

	mu   sync.Mutex
	mail mail
	dead bool
}

// mail is what one step takes out of a mailbox.
type mail struct {
	head, tail *packet
	calls      []call
	end        ending
	refused    error // an ICMP error that ends the connection if it is still an attempt
	drain      bool  // the application is to drain
}

// addPackets moves the packets of other to the end of m's.
func (m *mail) addPackets(other *mail) {
	if other.head == nil {
		return
	}
	if m.head == nil {
		m.head = other.head
	} else {
		m.tail.next = other.head
	}
	m.tail = other.tail
	other.head, other.tail = nil, nil
}

// takePacket returns the first packet, nil if there is none.
func (m *mail) takePacket() *packet {
	p := m.head
	if p != nil {
		m.head, p.next = p.next, nil
	}
	return p
}

// refuseCalls tells those who wait that their function will not run.
func (m *mail) refuseCalls() {
	for _, c := range m.calls {
		c.done <- net.ErrClosed
	}
	m.calls = nil
}

// call is a function that waits to be run in a step. Its caller waits too, which bounds how many there are.
type call struct {
	f    func(*Session)
	done chan error
}

// ending says how a connection is to end, and why.
type ending struct {
	how manner
	err error
}

// manner is how a connection ends, in order of haste.
type manner uint8

const (
	goOn       manner = iota
	closeFully        // tell the peer, and answer what it still sends for a while (RFC 9000, Section 10.2.1)
	closeOnce         // tell the peer once
	abandon           // nobody is there to be told
)

// budget is the bound that the mailboxes of an endpoint share.
type budget struct {
	used  atomic.Int64
	limit int64 // negative means none
}

// put adds a packet, unless a bound is reached or the worker has finished.
func (m *mailbox) put(p *packet) bool {
	if !m.charge(int64(len(p.store))) {
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.dead {
		m.charge(-int64(len(p.store)))
		return false
	}
	m.mail.addPackets(&mail{head: p, tail: p})
	return true
}

// charge takes n bytes of both bounds, or gives them back if n is negative.
func (m *mailbox) charge(n int64) bool {
	if used := m.used.Add(n); n > 0 && m.limit >= 0 && used > m.limit {
		m.used.Add(-n)
		return false
	}
	if used := m.shared.used.Add(n); n > 0 && m.shared.limit >= 0 && used > m.shared.limit {
		m.shared.used.Add(-n)
		m.used.Add(-n)
		return false
	}
	return true
}

// release gives back a packet that was taken, and what it was charged.
func (m *mailbox) release(p *packet) {
	m.charge(-int64(len(p.store)))
	p.release()
}

// take returns everything in the mailbox. The packets stay charged until they are released.
func (m *mailbox) take() mail {
	m.mu.Lock()
	got := m.mail
	m.mail = mail{}
	m.mu.Unlock()
	return got
}

// ask lets f change what the next step is to do. It returns false if there will be none.
func (m *mailbox) ask(f func(*mail)) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.dead {
		return false
	}
	f(&m.mail)
	return true
}

// askEnd asks for the end of the connection. The first reason counts, and the way that waits least.
func (m *mailbox) askEnd(e ending) bool {
	return m.ask(func(got *mail) {
		if got.end.how == goOn {
			got.end.err = e.err
		}
		got.end.how = max(got.end.how, e.how)
	})
}

// close throws away what is there; from now on nothing is taken.
func (m *mailbox) close() {
	m.mu.Lock()
	m.dead = true
	m.mu.Unlock()
	got := m.take()
	m.releaseAll(got.head)
	got.refuseCalls()
}

func (m *mailbox) releaseAll(head *packet) {
	for p := head; p != nil; {
		next := p.next
		m.release(p)
		p = next
	}
}
