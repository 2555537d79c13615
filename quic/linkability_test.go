package quic

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/dunlin-quic/dunlin/internal/wire"
)

// RFC 9000, Section 9.5 (MUST 1): however a client moves, probes and is moved by NATs while both sides replace their connection
// IDs and packets get lost, none is sent to from two local addresses.
func TestConnectionIDsStayWithAddresses(t *testing.T) {
	moves := 0
	for seed := range uint64(60) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 9))
			seen := [2]map[string]netip.AddrPort{{}, {}}
			loss := r.IntN(10)
			p := newTestPair(t, func(p *testPair) {
				if seed%3 == 0 {
					withPreferred(p)
				}
			})
			p.establish()
			p.lose = func(from Side, path Path) bool {
				if !wire.IsLong(p.buf[0]) {
					id := string(p.buf[1 : 1+defaultCIDLen])
					if was, ok := seen[from][id]; ok && was != path.Local {
						t.Errorf("%v sends to %x from %v, and before from %v", from, id, path.Local, was)
					}
					seen[from][id] = path.Local
				}
				return r.IntN(100) < loss
			}
			locals := []netip.AddrPort{testClientAddr, movedAddr, movedPort, netip.AddrPortFrom(movedAddr.Addr(), 9)}
			for range 40 {
				c := p.conn[Client]
				switch r.IntN(6) {
				case 0, 1:
					if c.Migrate(p.now, locals[r.IntN(len(locals))]) == nil {
						moves++
					}
				case 2:
					_ = c.Probe(p.now, locals[r.IntN(len(locals))])
				case 3:
					p.conn[r.IntN(2)].RotateConnectionIDs()
				case 4:
					port := uint16(5000 + r.IntN(3))
					p.rewrite = func(to Side, path Path) Path {
						if to == Server {
							path.Remote = netip.AddrPortFrom(path.Remote.Addr(), path.Remote.Port()^port)
						} else {
							path.Local = netip.AddrPortFrom(path.Local.Addr(), path.Local.Port()^port)
						}
						return path
					}
				case 5:
					p.conn[Side(r.IntN(2))].InitiateKeyUpdate()
				}
				p.idle(time.Duration(r.IntN(200)) * time.Millisecond)
				for side, c := range p.conn {
					if c.Err() != nil {
						t.Fatalf("%v: %v", Side(side), c.Err())
					}
				}
			}
			p.lose, p.rewrite = nil, nil
			p.idle(time.Second)
			p.transfer(Client, 10_000)
			p.transfer(Server, 10_000)
		})
	}
	if moves < 100 {
		t.Errorf("%d moves", moves)
	}
}
