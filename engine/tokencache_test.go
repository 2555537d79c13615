package engine

import (
	"fmt"
	"sync"
	"testing"

	"github.com/dunlin-quic/dunlin/quic"
)

func TestTokenCache(t *testing.T) {
	c := NewTokenCache(3)
	take := func(server string, v quic.Version, want string) {
		t.Helper()
		if got := c.TakeToken(server, v); string(got) != want || want == "" && got != nil {
			t.Errorf("%s, %v: %q, want %q", server, v, got, want)
		}
	}
	take("a", quic.Version1, "")
	for i := range 3 {
		c.PutToken("a", quic.Version1, fmt.Append(nil, i))
	}
	take("b", quic.Version1, "")
	take("a", quic.Version2, "")
	take("a", quic.Version1, "2") // the newest, once
	c.PutToken("b", quic.Version2, []byte("b"))
	c.PutToken("b", quic.Version1, []byte("c")) // 0 makes room
	take("a", quic.Version1, "1")
	take("a", quic.Version1, "")
	take("b", quic.Version2, "b")
	take("b", quic.Version1, "c")

	c = NewTokenCache(-1) // keeps none
	c.PutToken("a", quic.Version1, []byte("a"))
	take("a", quic.Version1, "")
}

// A client that comes back shows the token that it was given, to a server that else would send a Retry.
func TestTokenCacheSparesRetry(t *testing.T) {
	l := testListen(t, ListenConfig{Retry: quic.RetryAlways})
	e := testEndpoint(t, EndpointConfig{}, "127.0.0.1:0")
	qc := clientQUIC()
	tokens := &tokenPuts{NewTokenCache(0), make(chan struct{}, 8)}
	qc.Tokens = tokens
	var retries [2]uint64
	for i := range retries {
		a := newCaller()
		c, err := e.Dial(testContext(t), l.Addr(), &DialConfig{QUIC: qc, NewApplication: a.app})
		if err != nil {
			t.Fatal(err)
		}
		<-tokens.put
		c.Close()
		<-c.Done()
		retries[i] = l.Endpoint().Stats().Demux["sent_retry"]
	}
	if retries[0] == 0 || retries[1] != retries[0] {
		t.Errorf("Retry packets after each connection: %v", retries)
	}
}

// A client's token is good at all servers of a fleet, once.
func TestFleetTokens(t *testing.T) {
	keys, err := quic.NewTokenKeys([32]byte{1})
	if err != nil {
		t.Fatal(err)
	}
	fleet := EndpointConfig{TokenKeys: keys, TokenStore: quic.NewTokenStore(64)}
	var servers [3]*Listener
	for i := range servers {
		servers[i] = testListen(t, ListenConfig{Retry: quic.RetryAlways, Endpoint: fleet})
	}
	e := testEndpoint(t, EndpointConfig{}, "127.0.0.1:0")
	qc := clientQUIC()
	tokens := &oneToken{put: make(chan struct{}, 8)}
	qc.Tokens = tokens
	for i, l := range servers {
		c, err := e.Dial(testContext(t), l.Addr(), &DialConfig{QUIC: qc, NewApplication: newCaller().app})
		if err != nil {
			t.Fatal(err)
		}
		<-tokens.put
		c.Close()
		<-c.Done()
		// The first server has given the token, the second one lets it be used, the third one knows that it was.
		if retries := l.Endpoint().Stats().Demux["sent_retry"]; (retries == 0) != (i == 1) {
			t.Errorf("server %d: %d Retry packets", i, retries)
		}
	}
}

// oneToken keeps the first token that it gets, and gives it out again and again.
type oneToken struct {
	put   chan struct{}
	mu    sync.Mutex
	token []byte
}

func (o *oneToken) PutToken(_ string, _ quic.Version, token []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.token == nil {
		o.token = token
	}
	o.put <- struct{}{}
}

func (o *oneToken) TakeToken(string, quic.Version) []byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.token
}

// tokenPuts tells when a token comes.
type tokenPuts struct {
	quic.TokenCache
	put chan struct{}
}

func (p *tokenPuts) PutToken(server string, v quic.Version, token []byte) {
	p.TokenCache.PutToken(server, v, token)
	p.put <- struct{}{}
}
