package recovery

import (
	"math/rand/v2"

	"github.com/dunlin-quic/dunlin/internal/wire"
)

// Packet numbers are left out at random, seldom and ever more seldom, so that a peer that acknowledges packets before
// it has them, to be sent to faster than the path allows, is caught (RFC 9000, Section 21.4).
const (
	skipFirst = 256     // the first gap is about so many packets, each next one twice as many
	skipMax   = 1 << 16 // up to this
)

type skipper struct {
	rand   rand.PCG
	on     bool
	period uint64
	next   uint64    // the next packet number to leave out
	past   [4]uint64 // the last ones that were, +1; older ones no longer catch anybody
}

func (s *skipper) init(seed [2]uint64) {
	s.on = seed != [2]uint64{}
	s.rand.Seed(seed[0], seed[1])
	s.period = skipFirst
	s.draw(0)
}

func (s *skipper) draw(pn uint64) {
	s.next = pn + s.period/2 + s.rand.Uint64()%s.period
	s.period = min(2*s.period, skipMax)
}

// due reports whether pn is to be left out, and if so takes that as done.
func (s *skipper) due(pn uint64) bool {
	if pn != s.next || !s.on {
		return false
	}
	copy(s.past[1:], s.past[:])
	s.past[0] = pn + 1
	s.draw(pn)
	return true
}

// caught reports whether ranges, which descend, contain a number that was left out.
func (s *skipper) caught(ranges []wire.AckRange) bool {
	for _, v := range s.past {
		if v == 0 {
			return false
		}
		for _, r := range ranges {
			if r.Largest < v-1 {
				break
			}
			if r.Smallest <= v-1 {
				return true
			}
		}
	}
	return false
}
