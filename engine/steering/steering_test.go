//go:build linux

package steering

import (
	"net/netip"
	"testing"

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
			var addr netip.AddrPort
			var members []*Member
			var endpoints []*engine.Endpoint
			for range 4 {
				m := testJoin(t, dir, addr, Config{NoKernel: way.noKernel})
				if !way.noKernel {
					needKernel(t, m)
				}
				e, err := serve(m)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { e.Close() })
				addr = m.Addr()
				members, endpoints = append(members, m), append(endpoints, e)
			}
			if got := endpoints[0].Addrs(); len(got) != 1 || got[0] != addr {
				t.Errorf("addresses %v", got)
			}
			const clients = 6
			travel(t, addr, clients)
			var passed, received, steered, accepted, resets uint64
			for i, m := range members {
				st, est := m.Stats(), endpoints[i].Stats()
				passed, received = passed+st.Passed, received+st.Received
				steered, accepted = steered+est.Steered, accepted+est.Accepted
				resets += est.Demux["sent_stateless_reset"]
				if st.Kernel == way.noKernel || st.PassDrops+st.ReceiveDrops != 0 {
					t.Errorf("%+v", st)
				}
			}
			if way.noKernel {
				resets = 0 // what is passed on may be overtaken by what retires its connection ID
			}
			if accepted != clients || resets != 0 || passed != steered || passed != received || (passed > 0) != way.noKernel {
				t.Errorf("%d connections accepted; %d datagrams passed on, by the endpoints' count %d, received %d; %d resets",
					accepted, passed, steered, received, resets)
			}
		})
	}
}
