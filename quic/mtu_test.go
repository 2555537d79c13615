package quic

import (
	"fmt"
	"testing"
	"time"

	"github.com/dunlin-quic/dunlin/internal/monotime"
)

// mtuFilter drops what is larger than *mtu.
func mtuFilter(mtu *int) func(*testPair) {
	return func(p *testPair) {
		p.filter = func(_ Side, b []byte) bool { return len(b) <= *mtu }
	}
}

func TestMTUSearch(t *testing.T) {
	for _, limit := range []int{1452, 1472, 8972, 65527} {
		for _, mtu := range []int{1200, 1201, 1215, 1280, 1300, 1400, 1451, 1452, 1500, 9000, 65527} {
			t.Run(fmt.Sprintf("%d/%d", limit, mtu), func(t *testing.T) {
				var m mtuSearch
				m.init(limit)
				probes := 0
				for now := monotime.Time(1); ; now++ {
					n := m.due(now)
					if n == 0 {
						break
					}
					if n <= m.size || n > limit {
						t.Fatalf("probe of %d bytes at size %d", n, m.size)
					}
					if m.sent(n); m.due(now) != 0 {
						t.Fatal("two probes at a time")
					}
					if n <= mtu {
						m.acked(n)
					} else {
						m.lost(n)
					}
					if probes++; probes > 60 {
						t.Fatal("no end")
					}
				}
				want := min(limit, mtu)
				if m.size > want || m.size <= want-mtuGrain {
					t.Errorf("found %d after %d probes", m.size, probes)
				}
			})
		}
	}
}

func TestMTUSearchIgnoresSingleLosses(t *testing.T) {
	var m mtuSearch
	m.init(1452)
	for range mtuProbeTries - 1 {
		m.sent(m.due(1))
		m.lost(1452)
	}
	m.sent(m.due(1))
	if !m.acked(1452) || m.size != 1452 {
		t.Errorf("size %d", m.size)
	}
}

func TestMTUSearchStartsAgain(t *testing.T) {
	var m mtuSearch
	m.init(1452)
	now := monotime.Time(1)
	for n := m.due(now); n != 0; n = m.due(now) {
		m.sent(n)
		m.lost(n)
	}
	if m.size != 1200 {
		t.Fatalf("size %d", m.size)
	}
	if m.due(now.Add(mtuRaiseInterval-1)) != 0 {
		t.Error("a probe too early")
	}
	if n := m.due(now.Add(mtuRaiseInterval)); n != 1452 {
		t.Errorf("probe of %d bytes later", n)
	}
}

// RFC 9000, Section 14.3: packets grow as far as the path lets them.
func TestPathMTU(t *testing.T) {
	for _, tt := range []struct{ limit, mtu int }{{1452, 1200}, {1452, 1400}, {1452, 9000}, {8972, 1452}, {8972, 9000}} {
		for side := range Side(2) {
			t.Run(fmt.Sprintf("%d/%d/%v", tt.limit, tt.mtu, side), func(t *testing.T) {
				p := newTestPair(t, mtuFilter(&tt.mtu), func(p *testPair) { p.cfg[side].MaxPacketSize = tt.limit })
				p.establish()
				want := min(tt.mtu, tt.limit)
				p.transfer(side, 6<<20)
				st := p.conn[side].Stats()
				if st.PacketSize > want || st.PacketSize <= want-mtuGrain {
					t.Errorf("packets of %d bytes", st.PacketSize)
				}
				if st.Cwnd < 100_000 {
					t.Errorf("congestion window %d: lost probes were taken for congestion", st.Cwnd)
				}
			})
		}
	}
}

func TestNoPathMTUDiscovery(t *testing.T) {
	p := newTestPair(t, func(p *testPair) {
		p.cfg[Client].MaxPacketSize = -1
		p.filter = func(from Side, b []byte) bool {
			if from == Client && len(b) > 1200 {
				t.Fatalf("%d bytes", len(b))
			}
			return true
		}
	})
	p.establish()
	p.transfer(Client, 1<<20)
}

// RFC 8899, Section 4.3: a path that gets narrower is no end of the connection.
func TestPathMTUBlackHole(t *testing.T) {
	for side := range Side(2) {
		mtu := 1452
		p := newTestPair(t, mtuFilter(&mtu))
		p.establish()
		p.transfer(side, 1<<20)
		if got := p.conn[side].Stats().PacketSize; got != 1452 {
			t.Fatalf("packets of %d bytes", got)
		}
		mtu = 1300
		p.transfer(side, 1<<20)
		mtu = 1452
		p.idle(11 * time.Second)
		p.transfer(side, 1<<20)
		if got := p.conn[side].Stats().PacketSize; got != 1452 {
			t.Errorf("%v: packets of %d bytes after the path recovered", side, got)
		}
	}
}
