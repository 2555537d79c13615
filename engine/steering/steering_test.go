//go:build linux

package steering

import (
	"net/netip"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/dunlin-quic/dunlin/engine"
)

// ways are the two ways in which packets find their member.
var ways = []struct {
	name     string
	noKernel bool
}{{"kernel", false}, {"passing on", true}}

// serve makes an echo server of a member.
func serve(m *Member) (*engine.Endpoint, error) {
	cfg := &engine.ListenConfig{QUIC: serverQUIC(), NewApplication: newEcho}
	m.Configure(&cfg.Endpoint)
	e, err := engine.NewEndpoint(&cfg.Endpoint, m.Sockets()...)
	if err != nil {
		return nil, err
	}
	if _, err := e.Listen(cfg); err != nil {
		e.Close()
		return nil, err
	}
	return e, nil
}

// Clients that move find their connection, whichever socket the hash of their new address means; in the kernel, nothing
// is ever passed on.
func TestMigrate(t *testing.T) {
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			dir := t.TempDir()
			addresses := []string{"127.0.0.1:0", "127.0.0.1:0"}
			var members []*Member
			var endpoints []*engine.Endpoint
			for range 4 {
				m := testJoin(t, dir, netip.AddrPort{}, Config{Addresses: addresses, NoKernel: way.noKernel})
				if !way.noKernel {
					needKernel(t, m)
				}
				e, err := serve(m)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { e.Close() })
				for i, a := range m.Addrs() {
					addresses[i] = a.String()
				}
				members, endpoints = append(members, m), append(endpoints, e)
			}
			if got := endpoints[0].Addrs(); !slices.Equal(got, members[0].Addrs()) {
				t.Errorf("addresses %v", got)
			}
			const clients = 6
			for _, to := range members[0].Addrs() {
				travel(t, to, clients/2)
			}
			for _, e := range endpoints { // now the counters stand still
				e.Close()
			}
			var passed, received, steered, accepted, resets uint64
			count := func() {
				passed, received, steered, accepted, resets = 0, 0, 0, 0, 0
				for i, m := range members {
					st, est := m.Stats(), endpoints[i].Stats()
					passed, received = passed+st.Passed, received+st.Received
					steered, accepted = steered+est.Steered, accepted+est.Accepted
					resets += est.Demux["sent_stateless_reset"]
					if st.Kernel == way.noKernel || st.PassDrops+st.ReceiveDrops != 0 {
						t.Errorf("%+v", st)
					}
				}
			}
			// A router that somebody took the reading from may still be at its last batch.
			count()
			for limit := time.Now().Add(10 * time.Second); passed != steered && time.Now().Before(limit) && !t.Failed(); count() {
				runtime.Gosched()
			}
			if way.noKernel {
				resets = 0 // what is passed on may be overtaken by what retires its connection ID
			}
			if accepted != clients || resets != 0 || passed != steered || (passed > 0) != way.noKernel ||
				received > passed || (received > 0) != way.noKernel {
				t.Errorf("%d connections accepted; %d datagrams passed on, by the endpoints' count %d, received %d; %d resets",
					accepted, passed, steered, received, resets)
			}
		})
	}
}
