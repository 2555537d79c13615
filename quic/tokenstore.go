package quic

import (
	"encoding/binary"
	"sync/atomic"
	"time"
)

// TokenStore remembers which tokens of NEW_TOKEN frames were used, so that each serves one connection attempt only (RFC
// 9000, Section 8.1.4). Tokens of Retry packets need none: each is bound to the attempt that it was made for.
//
// It must be safe for concurrent use and must not block: the routers of a listener share one, and ask from their receive
// loops. A fleet that shares a StatelessResetKey shares its tokens as well; without a common store, a token can be used
// once at each server.
type TokenStore interface {
	// Use reports whether the attempt whose Initial packets go to connection ID attempt may use the token: if nobody
	// used it before, or this very attempt did, since a client repeats the token in all its Initial packets. What is not
	// good any more after expires may be forgotten then. False makes the client prove its address in another way.
	Use(now time.Time, token TokenID, attempt ConnectionID, expires time.Time) bool
}

// NewTokenStore returns a TokenStore in memory that remembers up to about n tokens, at least 64. While it is full of
// tokens that have not expired, it lets no further token be used, which costs their clients a round trip at most.
func NewTokenStore(n int) TokenStore {
	sets := 64 / tokenWays
	for sets*tokenWays < n {
		sets *= 2
	}
	return &memoryTokenStore{sets: make([]tokenSet, sets)}
}

// defaultTokenStoreSize is for a Demux that is not given a store: a table of 512 KiB, and 64 bytes for each token used.
const defaultTokenStoreSize = 1 << 16

// tokenWays is how many places there are for a token. With 8, the table takes about two thirds of its size before the
// first token is refused for want of a place.
const tokenWays = 8

// memoryTokenStore is a table of token uses. Entries never change; an expired one may be replaced.
type memoryTokenStore struct{ sets []tokenSet }

type tokenSet [tokenWays]atomic.Pointer[tokenUse]

type tokenUse struct {
	token   TokenID
	attempt ConnectionID
	expires int64 // Unix nanoseconds
}

func (s *memoryTokenStore) Use(now time.Time, token TokenID, attempt ConnectionID, expires time.Time) bool {
	// Token IDs are random, so that they are their own hash.
	set := &s.sets[binary.NativeEndian.Uint64(token[:])&uint64(len(s.sets)-1)]
	use := &tokenUse{token, attempt, expires.UnixNano()}
	for {
		var free *atomic.Pointer[tokenUse]
		var old *tokenUse
		for i := range set {
			switch u := set[i].Load(); {
			case u != nil && u.token == token:
				return u.attempt == attempt
			case free == nil && (u == nil || u.expires < now.UnixNano()):
				free, old = &set[i], u
			}
		}
		if free == nil {
			return false
		}
		// Everybody who uses this token at the same time goes for the same place, unless it is filled in between: then
		// look again.
		if free.CompareAndSwap(old, use) {
			return set.sole(use)
		}
	}
}

// sole reports whether no other attempt has got hold of the same token: callers whose clocks differ may see different
// places free.
func (set *tokenSet) sole(use *tokenUse) bool {
	for i := range set {
		if u := set[i].Load(); u != nil && u.token == use.token && u.attempt != use.attempt {
			return false
		}
	}
	return true
}
