package engine

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"sync"

	"github.com/dunlin-quic/dunlin/quic"
)

// routes finds the worker of a packet by its destination connection ID. All routers of an endpoint share it, so that a
// connection whose packets begin to arrive on another socket (a client that migrated, with SO_REUSEPORT) is found from
// there too. Workers change it before they send what a peer may answer: an ID can be routed before anyone knows it.
type routes struct {
	shards [routeShards]routeShard
	resets resetTokens
}

// routeShards spreads the locking over several routers and many handshaking workers.
const routeShards = 16

type routeShard struct {
	mu sync.RWMutex
	m  map[quic.ConnectionID]*worker // nil at first: the endpoint of a single connection has three IDs
}

func (r *routes) init() error {
	return r.resets.init()
}

func (r *routes) shard(id *quic.ConnectionID) *routeShard {
	var h byte
	for _, b := range id.Bytes() {
		h ^= b
	}
	return &r.shards[h%routeShards]
}

// lookup returns the worker of id, nil if there is none.
func (r *routes) lookup(id *quic.ConnectionID) *worker {
	s := r.shard(id)
	s.mu.RLock()
	w := s.m[*id]
	s.mu.RUnlock()
	return w
}

// add routes id to w, and returns w. If it is another's already it stays so, and add returns that one: two routers may
// see the first datagrams of one connection attempt at a time.
func (r *routes) add(id quic.ConnectionID, w *worker) *worker {
	s := r.shard(&id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if other := s.m[id]; other != nil {
		return other
	}
	if s.m == nil {
		s.m = make(map[quic.ConnectionID]*worker)
	}
	s.m[id] = w
	return w
}

// remove forgets id if it is w's.
func (r *routes) remove(id quic.ConnectionID, w *worker) {
	s := r.shard(&id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.m[id] == w {
		delete(s.m, id)
	}
}

// len returns the number of IDs.
func (r *routes) len() (n int) {
	for i := range r.shards {
		s := &r.shards[i]
		s.mu.RLock()
		n += len(s.m)
		s.mu.RUnlock()
	}
	return n
}

// resetTokens finds the worker that a stateless reset is for by its token (RFC 9000, Section 10.3.1), for the rest of
// such a datagram is random.
//
// The tokens are kept encrypted under a key of the endpoint's own: how long a lookup takes tells nothing of a token to
// one who guesses, which is the RFC's way to compare other than in constant time.
type resetTokens struct {
	block cipher.Block
	mu    sync.RWMutex
	m     map[quic.StatelessResetToken]*worker
}

func (t *resetTokens) init() (err error) {
	var key [16]byte
	rand.Read(key[:])
	t.m = make(map[quic.StatelessResetToken]*worker)
	t.block, err = aes.NewCipher(key[:])
	return err
}

func (t *resetTokens) hide(token quic.StatelessResetToken) quic.StatelessResetToken {
	t.block.Encrypt(token[:], token[:])
	return token
}

func (t *resetTokens) add(token quic.StatelessResetToken, w *worker) {
	h := t.hide(token)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.m[h] = w
}

func (t *resetTokens) remove(token quic.StatelessResetToken, w *worker) {
	h := t.hide(token)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.m[h] == w {
		delete(t.m, h)
	}
}

// minReset is the length of the shortest stateless reset.
const minReset = 5 + len(quic.StatelessResetToken{})

// find returns the worker that the datagram is a stateless reset of, nil if it is none.
func (t *resetTokens) find(datagram []byte) *worker {
	if len(datagram) < minReset {
		return nil
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	if len(t.m) == 0 {
		return nil
	}
	return t.m[t.hide(quic.StatelessResetToken(datagram[len(datagram)-len(quic.StatelessResetToken{}):]))]
}
