package quic

import (
	"time"

	"github.com/dunlin-quic/dunlin/internal/monotime"
)

const (
	// mtuProbeTries is how many probes of one size are lost before that size counts as too large (MAX_PROBES of RFC
	// 8899, Section 5.1.2): a single one may be lost for other reasons.
	mtuProbeTries = 3
	// mtuGrain ends the search when less than so many bytes could still be won.
	mtuGrain = 16
	// ethernetDatagram is what fits the commonest link with IPv6: tried second where more was hoped for.
	ethernetDatagram = 1452
	// mtuRaiseInterval is when a finished search starts again (PMTU_RAISE_TIMER of RFC 8899, Section 5.1.1).
	mtuRaiseInterval = 600 * time.Second
	// mtuSearchAfter is how many bytes a connection sends on a path before it looks for larger packets: a few small
	// answers don't repay the probes.
	mtuSearchAfter = 16 << 10
	// blackHolePTOs is how many probe timeouts in a row cast doubt on the size of the packets (RFC 8899, Section 4.3).
	blackHolePTOs = 3
)

// mtuSearch finds the largest datagram that a path carries: path MTU discovery for datagrams (RFC 8899; RFC 9000,
// Section 14.3). The first probe tries the largest size allowed, which most often passes; after that the interval is
// halved.
type mtuSearch struct {
	size    int // datagrams of this size pass
	limit   int // the largest that configuration and peer allow
	ceiling int // nothing larger than this passes, as far as known
	probe   int // size of the probe in flight, 0 if none
	tries   int // lost probes of the present size
	next    monotime.Time
}

// init starts at the size that every path must carry.
func (m *mtuSearch) init(limit int) {
	*m = mtuSearch{size: minDatagramSize, limit: limit, ceiling: limit}
}

// setLimit learns the peer's max_udp_payload_size.
func (m *mtuSearch) setLimit(n int) {
	m.limit = min(m.limit, n)
	m.ceiling = min(m.ceiling, n)
}

// due returns the size of the probe to send at now, 0 for none.
func (m *mtuSearch) due(now monotime.Time) int {
	if m.probe != 0 || now.Before(m.next) || m.size >= m.limit {
		return 0
	}
	if m.ceiling-m.size < mtuGrain {
		if m.next.IsZero() {
			m.next = now.Add(mtuRaiseInterval)
			return 0
		}
		m.ceiling = m.limit
		m.next = 0
	}
	if m.ceiling == m.limit {
		return m.limit
	}
	if m.size < ethernetDatagram && ethernetDatagram < m.ceiling {
		return ethernetDatagram
	}
	return (m.size + m.ceiling + 1) / 2
}

// sent notes that a probe of size bytes is in flight.
func (m *mtuSearch) sent(size int) { m.probe = size }

// acked notes that a probe arrived. It reports whether the size of datagrams grew.
func (m *mtuSearch) acked(size int) bool {
	m.probe, m.tries = 0, 0
	if size <= m.size || size > m.limit {
		return false
	}
	m.size = size
	m.ceiling = max(m.ceiling, size)
	return true
}

// lost notes that a probe was lost.
func (m *mtuSearch) lost(size int) {
	if size != m.probe {
		return
	}
	m.probe = 0
	if m.tries++; m.tries >= mtuProbeTries {
		m.tries = 0
		m.ceiling = max(size-1, m.size)
	}
}

// blackHole falls back to the smallest size after packets of the present one have ceased to arrive. It reports whether
// that changes anything.
func (m *mtuSearch) blackHole(now monotime.Time) bool {
	if m.size == minDatagramSize {
		return false
	}
	m.ceiling = m.limit
	m.size = minDatagramSize
	m.probe, m.tries = 0, 0
	// The path may only have been down as a whole: the search starts again when it had time to come back.
	m.next = now.Add(10 * time.Second)
	return true
}

// MTUProbeAcked implements recovery.Handler.
func (f *fates) MTUProbeAcked(size int) {
	c := (*Conn)(f)
	if c.path.mtu.acked(size) {
		c.rec.SetMaxDatagram(c.path.mtu.size)
	}
}

// MTUProbeLost implements recovery.Handler.
func (f *fates) MTUProbeLost(size int) { f.path.mtu.lost(size) }

// checkBlackHole falls back to small packets when large ones alone get lost, or when too many probe timeouts have passed in
// a row.
func (c *Conn) checkBlackHole() {
	if (c.rec.BlackHole() || c.rec.PTOCount() >= blackHolePTOs) && c.path.mtu.blackHole(c.now) {
		c.rec.SetMaxDatagram(c.path.mtu.size)
	}
}
