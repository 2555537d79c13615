package main

import (
	"math"
	"sync/atomic"
	"time"
)

// A histogram counts durations in buckets that grow by about 2 %, from a microsecond to a minute.
type histogram struct {
	buckets [1024]atomic.Int64
}

const bucketGrowth = 1.02

func (h *histogram) add(d time.Duration) {
	us := max(float64(d)/float64(time.Microsecond), 1)
	i := min(int(math.Log(us)/math.Log(bucketGrowth)), len(h.buckets)-1)
	h.buckets[i].Add(1)
}

// quantile returns the duration below which a share q of what was added lies, or 0 if there is nothing.
func (h *histogram) quantile(q float64) time.Duration {
	var total int64
	for i := range h.buckets {
		total += h.buckets[i].Load()
	}
	if total == 0 {
		return 0
	}
	want := int64(math.Ceil(q * float64(total)))
	for i := range h.buckets {
		if want -= h.buckets[i].Load(); want <= 0 {
			return time.Duration(math.Pow(bucketGrowth, float64(i)+0.5) * float64(time.Microsecond))
		}
	}
	return 0
}

func (h *histogram) reset() {
	for i := range h.buckets {
		h.buckets[i].Store(0)
	}
}
