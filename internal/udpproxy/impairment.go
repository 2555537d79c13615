package udpproxy

import (
	"math/rand/v2"
	"time"
)

// Impairment is what one direction does to datagrams. Probabilities are from 0 to 1 and apply to each datagram by
// itself. The zero value passes everything on at once.
type Impairment struct {
	Drop      float64
	Duplicate float64
	Reorder   float64 // held back for HoldBack while later ones pass
	Corrupt   float64 // one bit is flipped
	Delay     time.Duration
	Jitter    time.Duration // up to this much more delay; does not reorder
	HoldBack  time.Duration // default 5 ms
	Queue     int           // datagrams held at most, further ones are dropped; default 4,096
}

const (
	defaultHoldBack = 5 * time.Millisecond
	defaultQueue    = 4096
)

// fate is what happens to one datagram.
type fate struct {
	drop, duplicate, reorder bool
	corruptBit               int // -1 leaves it whole
	delay                    time.Duration
}

// decide draws the fate of a datagram of size bytes. It draws the same number of values whatever the outcome, so that
// datagrams of one seed meet the same fates in the same order.
func (i *Impairment) decide(rng *rand.Rand, size int) fate {
	drop, duplicate, reorder, corrupt := rng.Float64(), rng.Float64(), rng.Float64(), rng.Float64()
	bit, jitter := rng.Float64(), rng.Float64()
	f := fate{
		drop:       drop < i.Drop,
		duplicate:  duplicate < i.Duplicate,
		reorder:    reorder < i.Reorder,
		corruptBit: -1,
		delay:      i.Delay + time.Duration(jitter*float64(i.Jitter)),
	}
	if corrupt < i.Corrupt && size > 0 {
		f.corruptBit = int(bit * float64(size*8))
	}
	if f.reorder {
		f.delay += i.holdBack()
	}
	return f
}

func (i *Impairment) holdBack() time.Duration {
	if i.HoldBack > 0 {
		return i.HoldBack
	}
	return defaultHoldBack
}

func (i *Impairment) queue() int {
	if i.Queue > 0 {
		return i.Queue
	}
	return defaultQueue
}
