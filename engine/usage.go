package engine

import (
	"time"

	"github.com/dunlin-quic/dunlin/quic"
)

const (
	// usageRounds is over how many round trips bandwidth and loss are measured: single ones come in bursts.
	usageRounds = 10
	// minUsageRound keeps connections with a tiny round-trip time from measuring all the time.
	minUsageRound   = 10 * time.Millisecond
	firstUsageRound = 50 * time.Millisecond // before there is a round-trip time

	// The bandwidth in use is the most of the last two minutes, kept as one figure for every ten seconds.
	usageSlot  = 10 * time.Second
	usageSlots = 12
)

// usage measures how much bandwidth a connection uses and how much of what it sends is lost. That is not what the path could
// carry: a connection with little to send uses little.
type usage struct {
	rounds  [usageRounds]usageRound // a ring
	n, next int
	current usageRound // from when on, and the counters then
	period  time.Duration

	slots [usageSlots]float64 // the most in each, by the time since the first round modulo their number
	slot  int64               // the one in hand, counted from the first round
	began time.Time

	bandwidth          float64 // the most of the slots, in bits per second
	maxBandwidth, loss float64 // the most there ever were
}

// usageRound is one round: how long it was and what was counted in it.
type usageRound struct {
	start             time.Time
	took              time.Duration
	sent, acked, lost uint64
}

func (u *usage) begin(now time.Time) {
	u.began, u.period = now, firstUsageRound
	u.current.start = now
}

// due reports whether a round is over.
func (u *usage) due(now time.Time) bool { return now.Sub(u.current.start) >= u.period }

// update ends a round.
func (u *usage) update(now time.Time, st *quic.Stats) {
	c := &u.current
	u.rounds[u.next] = usageRound{
		took: now.Sub(c.start), sent: st.BytesSent - c.sent, acked: st.BytesAcked - c.acked, lost: st.BytesLost - c.lost,
	}
	u.next = (u.next + 1) % usageRounds
	u.n = min(u.n+1, usageRounds)
	u.current = usageRound{start: now, sent: st.BytesSent, acked: st.BytesAcked, lost: st.BytesLost}
	if st.RTT > 0 {
		u.period = max(st.RTT, minUsageRound)
	}

	u.advance(int64(now.Sub(u.began) / usageSlot))
	// Of a few rounds only, one burst would be all that there is to see.
	if u.n >= usageRounds/2 {
		u.measure()
	}
	u.bandwidth = 0
	for _, b := range u.slots {
		u.bandwidth = max(u.bandwidth, b)
	}
}

// advance empties the slots that time has passed over.
func (u *usage) advance(slot int64) {
	for range min(slot-u.slot, usageSlots) {
		u.slot++
		u.slots[u.slot%usageSlots] = 0
	}
	u.slot = slot
}

// measure takes the rounds that there are together.
func (u *usage) measure() {
	var all usageRound
	for _, r := range u.rounds[:u.n] {
		all.took += r.took
		all.sent += r.sent
		all.acked += r.acked
		all.lost += r.lost
	}
	if all.took <= 0 || all.sent == 0 {
		return
	}
	// What was acknowledged now may have been sent before, in a burst: neither alone is what was in use.
	b := 8 * float64(min(all.sent, all.acked)) / all.took.Seconds()
	s := &u.slots[u.slot%usageSlots]
	*s = max(*s, b)
	u.maxBandwidth = max(u.maxBandwidth, b)
	// What is lost was sent in earlier rounds: after a burst it can be more than what these have sent.
	u.loss = max(u.loss, min(1, float64(all.lost)/float64(all.sent)))
}
