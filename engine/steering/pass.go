//go:build linux

package steering

import (
	"hash/maphash"
	"sync"
	"time"

	"github.com/dunlin-quic/dunlin/internal/wire"
	"github.com/dunlin-quic/dunlin/udp"
)

// maxForwards is how often a datagram is passed on: to the member whose ID it seems to bear, and by that one, if it drains, to
// one who accepts connections. Then nobody passes it on any more, lest two do so to each other.
const maxForwards = 2

// messages are buffers for what is passed on.
var messages = sync.Pool{New: func() any { return new([maxMessage]byte) }}

// Pass implements engine.Steering.
func (m *Member) Pass(in *udp.Message, datagram []byte) bool {
	inv, ok := wire.ParseInvariant(datagram, idLen)
	if !ok || in.Forwarded >= maxForwards {
		return false
	}
	if owner := m.ids.owner(inv.DCID); owner != 0 && owner != m.number && m.send(owner, in, datagram) {
		return true
	}
	// What is left may begin a connection. A Handshake packet is passed on as well, to be dropped there.
	if !inv.Long || !m.draining.Load() {
		return false
	}
	numbers := m.others.get(m.dir)
	if len(numbers) == 0 {
		return false
	}
	// The packets of one attempt have one DCID: they go to one member.
	at := maphash.Bytes(attemptSeed, inv.DCID)
	for i := range uint64(len(numbers)) {
		if n := numbers[(at%uint64(len(numbers))+i)%uint64(len(numbers))]; n != m.number && m.send(n, in, datagram) {
			return true
		}
	}
	return false
}

var attemptSeed = maphash.MakeSeed()

// send passes a datagram on to member n. It is false if there is none: a datagram that was lost on the way is off our hands too.
func (m *Member) send(n uint8, in *udp.Message, datagram []byte) bool {
	buf := messages.Get().(*[maxMessage]byte)
	defer messages.Put(buf)
	message, ok := appendMessage(buf[:0], in, datagram)
	if !ok {
		return false
	}
	sent, alive := m.peers[n].send(m.dir.socket(n), message)
	switch {
	case !alive:
		return false
	case sent:
		m.passed.Add(1)
	default:
		m.passDrops.Add(1)
	}
	return true
}

// acceptors is the list of those who accept connections, as one who drains needs it: read again now and then.
type acceptors struct {
	mu      sync.Mutex
	numbers []byte
	read    time.Time
}

// acceptorsLife is how long a list is good. Nobody who has stopped accepting in this time loses an attempt: it passes it on.
const acceptorsLife = 20 * time.Millisecond

func (a *acceptors) get(dir folder) []byte {
	a.mu.Lock()
	defer a.mu.Unlock()
	if now := time.Now(); now.Sub(a.read) > acceptorsLife {
		a.numbers, a.read = dir.accepting(), now
	}
	return a.numbers
}
