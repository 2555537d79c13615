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
	Burst     int           // how many in a row are dropped or corrupted at most; 0 is any number
	Rate      int           // bytes a second that pass, one datagram after the other; 0 is any number
	Buffer    int           // bytes that wait for Rate at most, further datagrams are dropped; default 64 KiB
}

const (
	defaultHoldBack = 5 * time.Millisecond
	defaultQueue    = 4096
	defaultBuffer   = 64 << 10
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

// bound spares a datagram that would make a burst too long. lost counts those in a row, of which this may be the next.
func (i *Impairment) bound(f *fate, lost *int) {
	*lost++
	if i.Burst > 0 && *lost > i.Burst {
		f.drop, f.corruptBit = false, -1
	}
	if !f.drop && f.corruptBit < 0 {
		*lost = 0
	}
}

// passing returns how long size bytes take to pass.
func (i *Impairment) passing(size int) time.Duration {
	if i.Rate <= 0 {
		return 0
	}
	return time.Duration(int64(size) * int64(time.Second) / int64(i.Rate))
}

func (i *Impairment) buffer() int {
	if i.Buffer > 0 {
		return i.Buffer
	}
	return defaultBuffer
}

func (i *Impairment) queue() int {
	if i.Queue > 0 {
		return i.Queue
	}
	return defaultQueue
}
