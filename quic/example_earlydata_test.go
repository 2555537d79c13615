package quic_test

import (
	"crypto/tls"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/dunlin-quic/dunlin/quic"
)

// countingStore is a store that a fleet of servers could share; it says how often it was asked.
type countingStore struct {
	quic.TokenStore
	mu    sync.Mutex
	asked int
}

func (s *countingStore) Use(now time.Time, token quic.TokenID, attempt quic.ConnectionID, expires time.Time) bool {
	s.mu.Lock()
	s.asked++
	s.mu.Unlock()
	return s.TokenStore.Use(now, token, attempt, expires)
}

// The servers of a fleet, which share session ticket keys, share what they remember of early data as well: so a session is good
// for early data once, at whichever server. A copy of it, which somebody recorded, is not taken.
func ExampleConfig_earlyDataStore() {
	store := &countingStore{TokenStore: quic.NewTokenStore(1000)}
	ticketKey := [32]byte{1} // yours are secret, and change
	cert := certificate()
	newServer := func() *quic.Config {
		t := &tls.Config{NextProtos: []string{"greeting"}, Certificates: []tls.Certificate{cert}}
		t.SetSessionTicketKeys([][32]byte{ticketKey})
		return &quic.Config{TLS: t, EarlyData: true, EarlyDataStore: store}
	}
	fleet := []*quic.Config{newServer(), newServer(), newServer()}

	client := &quic.Config{EarlyData: true, TLS: &tls.Config{
		ServerName: "fleet.test", NextProtos: []string{"greeting"}, InsecureSkipVerify: true, ClientSessionCache: firstSessions{},
	}}
	for i, server := range fleet {
		state, err := visit(client, server)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("server %d: early data %v\n", i+1, state)
	}
	fmt.Println("the store was asked", store.asked, "times")
	// Output:
	// server 1: early data none
	// server 2: early data accepted
	// server 3: early data rejected
	// the store was asked 2 times
}

// firstSessions keeps the first session for each key, and gives it again and again, as a good client never does.
type firstSessions map[string]*tls.ClientSessionState

func (c firstSessions) Get(key string) (*tls.ClientSessionState, bool) { return c[key], c[key] != nil }

func (c firstSessions) Put(key string, s *tls.ClientSessionState) {
	if c[key] == nil {
		c[key] = s
	}
}

// visit connects to a server and says what became of the client's early data.
func visit(clientConfig, serverConfig *quic.Config) (quic.EarlyDataState, error) {
	now := time.Now()
	path := quic.Path{Local: netip.MustParseAddrPort("192.0.2.1:50000"), Remote: netip.MustParseAddrPort("192.0.2.2:443")}
	client, err := quic.NewClient(now, clientConfig, path)
	if err != nil {
		return 0, err
	}
	demux, err := quic.NewDemux(quic.DemuxConfig{})
	if err != nil {
		return 0, err
	}
	first := make([]byte, 1500)
	t, _ := client.PollTransmit(now, first, 1)
	reverse := quic.Path{Local: path.Remote, Remote: path.Local}
	attempt := demux.Handle(now, reverse, first[:t.Len], make([]byte, quic.MinReplyBuffer), false)
	server, err := quic.NewServer(now, serverConfig, attempt.Accept)
	if err != nil {
		return 0, err
	}
	server.Receive(now, quic.Inbound{Path: reverse, Data: first[:t.Len]})
	for range 10 {
		deliver(now, server, client)
		deliver(now, client, server)
	}
	return client.EarlyData().State, client.Err()
}
