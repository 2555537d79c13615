package http3

import (
	"crypto/tls"
	"net/netip"
	"slices"
	"sync"

	"github.com/dunlin-quic/dunlin/engine"
	"github.com/dunlin-quic/dunlin/quic"
)

// rememberedServers is of how many servers a Transport remembers a TLS session and an address-validation token.
const rememberedServers = 64

// memory is what a Transport remembers of servers, unless its fields say otherwise.
type memory struct {
	once     sync.Once
	sessions tls.ClientSessionCache
	tokens   quic.TokenCache

	mu      sync.Mutex
	reached map[string]netip.AddrPort // by authority: the address that answered last
}

func (m *memory) init() {
	m.sessions = tls.NewLRUClientSessionCache(rememberedServers)
	m.tokens = engine.NewTokenCache(rememberedServers)
}

// reach notes that an authority's server answered at addr.
func (m *memory) reach(authority string, addr netip.AddrPort) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.reached == nil {
		m.reached = make(map[string]netip.AddrPort)
	}
	if _, known := m.reached[authority]; !known && len(m.reached) == rememberedServers {
		for other := range m.reached {
			delete(m.reached, other)
			break
		}
	}
	m.reached[authority] = addr
}

// prefer returns addrs with the one first that answered last. Early data goes to the first address at once, before it is known
// whether anybody is there.
func (m *memory) prefer(authority string, addrs []netip.AddrPort) []netip.AddrPort {
	m.mu.Lock()
	last := m.reached[authority]
	m.mu.Unlock()
	i := slices.Index(addrs, last)
	if i <= 0 {
		return addrs
	}
	return slices.Concat(addrs[i:i+1], addrs[:i], addrs[i+1:])
}

// sessions is a cache for the connections with one authority, since TLS does not tell the servers of one name apart. It can
// be told to forget what it gave out.
type sessions struct {
	all       tls.ClientSessionCache
	authority string

	mu   sync.Mutex
	used []string
}

func (s *sessions) Get(key string) (*tls.ClientSessionState, bool) {
	key = s.authority + " " + key
	state, ok := s.all.Get(key)
	if ok {
		s.mu.Lock()
		s.used = append(s.used, key)
		s.mu.Unlock()
	}
	return state, ok
}

func (s *sessions) Put(key string, state *tls.ClientSessionState) {
	s.all.Put(s.authority+" "+key, state)
}

// forget makes the next connection begin without the sessions that this one was given.
func (s *sessions) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, key := range s.used {
		s.all.Put(key, nil)
	}
	s.used = nil
}

// tokens is likewise a cache for one authority.
type tokens struct {
	all       quic.TokenCache
	authority string
}

func (t tokens) PutToken(_ string, v quic.Version, token []byte) {
	t.all.PutToken(t.authority, v, token)
}

func (t tokens) TakeToken(_ string, v quic.Version) []byte { return t.all.TakeToken(t.authority, v) }
