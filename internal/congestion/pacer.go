package congestion

import (
	"time"

	"github.com/dunlin-quic/dunlin/internal/monotime"
)

const (
	// pacerBurst is how much of the rate may go out at once. Timers of the operating system and of Go wake up to a
	// millisecond late; what was not sent meanwhile must not be lost to the rate.
	pacerBurst = 2 * time.Millisecond
	// pacerBurstPackets is the least burst in full packets: an initial window (RFC 9002, Section 7.7).
	pacerBurstPackets = 10
	// pacerQuantum is for how long the pacer, once closed, collects credit at least before it asks to be woken: at high
	// rates many packets go out by one system call.
	pacerQuantum = 500 * time.Microsecond
	// pacerTrain is for how many full packets it collects credit at lower rates: a packet alone costs both ends a wake-up,
	// and twice the CPU time of one in a train. Half a burst, so that a timer may still be late by a millisecond.
	pacerTrain = pacerBurstPackets / 2
	// pacerPatience bounds how long it does: a link of less than 2 Mbit/s carries no second packet meanwhile.
	pacerPatience = 6 * time.Millisecond
)

// Pacer is a token bucket (RFC 9002, Section 7.7) that reckons in time: each packet moves the instant at which the
// bucket was in balance by as long as the packet takes at the current rate. The zero Pacer lets everything pass.
type Pacer struct {
	perMiB  uint64        // nanoseconds per 2^20 bytes; 0 for no limit
	burst   time.Duration // how far balance may lie in the past
	quantum time.Duration // how long credit is collected
	balance monotime.Time
}

// SetRate sets the rate, in bytes per second, and the size of a full packet. A rate of 0 is no limit.
func (p *Pacer) SetRate(rate uint64, maxDatagram int) {
	if rate == 0 {
		p.perMiB = 0
		return
	}
	p.perMiB = max(uint64(time.Second)<<20/rate, 1)
	p.burst = max(pacerBurst, p.duration(pacerBurstPackets*maxDatagram))
	p.quantum = max(pacerQuantum, min(p.duration(pacerTrain*maxDatagram), pacerPatience))
}

// Rate returns the rate in bytes per second, 0 for no limit.
func (p *Pacer) Rate() uint64 {
	if p.perMiB == 0 {
		return 0
	}
	return uint64(time.Second) << 20 / p.perMiB
}

func (p *Pacer) duration(size int) time.Duration { return time.Duration(uint64(size) * p.perMiB >> 20) }

// Release returns when the next packet may go out; now or before for at once.
func (p *Pacer) Release(now monotime.Time) monotime.Time {
	if p.perMiB == 0 || p.balance <= now {
		return now
	}
	return p.balance.Add(p.quantum)
}

// OnSent tells that size bytes went out.
func (p *Pacer) OnSent(now monotime.Time, size int) {
	if p.perMiB != 0 {
		p.balance = max(p.balance, now.Add(-p.burst)).Add(p.duration(size))
	}
}
