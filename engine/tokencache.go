package engine

import (
	"cmp"
	"sync"

	"github.com/dunlin-quic/dunlin/quic"
)

// NewTokenCache returns a quic.TokenCache in memory for a client's quic.Config.Tokens. It keeps up to size tokens, of which
// the oldest goes first; with 0, 64; with a negative number, none. A client that shows a token need not prove its address to the server in another way.
func NewTokenCache(size int) quic.TokenCache {
	return &tokenCache{size: max(cmp.Or(size, 64), 0)}
}

// tokenCache is a list, the newest last: there are few.
type tokenCache struct {
	size   int
	mu     sync.Mutex
	tokens []cachedToken
}

type cachedToken struct {
	server  string
	version quic.Version
	token   []byte
}

func (c *tokenCache) PutToken(server string, v quic.Version, token []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.size == 0 {
		return
	}
	if len(c.tokens) == c.size {
		c.remove(0)
	}
	c.tokens = append(c.tokens, cachedToken{server, v, token})
}

func (c *tokenCache) TakeToken(server string, v quic.Version) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := len(c.tokens) - 1; i >= 0; i-- {
		if t := c.tokens[i]; t.server == server && t.version == v {
			c.remove(i)
			return t.token
		}
	}
	return nil
}

func (c *tokenCache) remove(i int) {
	copy(c.tokens[i:], c.tokens[i+1:])
	c.tokens[len(c.tokens)-1] = cachedToken{}
	c.tokens = c.tokens[:len(c.tokens)-1]
}
