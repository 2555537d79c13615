package main

import (
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// tally counts what came of requests. Any goroutine may add to it.
type tally struct {
	answered, failed atomic.Int64
	unanswered       atomic.Int64 // when the load ended
	sent, received   atomic.Int64 // bytes of bodies
	statuses         [1000]atomic.Int64
	latency          latencies

	mu    sync.Mutex
	first error
	kinds map[string]int64 // failures by what they mean
}

func newTally() *tally { return &tally{kinds: make(map[string]int64)} }

// tallyKinds bounds how many kinds of failures are told apart: a server may put anything into a reason.
const tallyKinds = 20

func (t *tally) answer(shard int, a loadAnswer) {
	t.answered.Add(1)
	t.sent.Add(a.sent)
	t.received.Add(a.received)
	if a.status >= 0 && a.status < len(t.statuses) {
		t.statuses[a.status].Add(1)
	}
	t.latency.record(shard, a.latency)
}

func (t *tally) fail(kind string, err error) {
	t.failed.Add(1)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.first == nil {
		t.first = err
	}
	if _, known := t.kinds[kind]; !known && len(t.kinds) >= tallyKinds {
		kind = "other"
	}
	t.kinds[kind]++
}

func (t *tally) firstError() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.first
}

func (t *tally) failures() map[string]int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return maps.Clone(t.kinds)
}

// latencies is a histogram in parts, so that streams seldom wait for one another.
type latencies struct {
	parts [16]struct {
		mu sync.Mutex
		h  *hdrhistogram.Histogram
	}
}

// The histogram counts microseconds, with three significant digits.
const (
	latencyMax    = 10 * time.Minute
	latencyDigits = 3
)

func newHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(1, latencyMax.Microseconds(), latencyDigits)
}

func (l *latencies) record(shard int, d time.Duration) {
	p := &l.parts[shard%len(l.parts)]
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.h == nil {
		p.h = newHistogram()
	}
	// In range, it can't fail.
	_ = p.h.RecordValue(max(1, min(d, latencyMax).Microseconds()))
}

// merge returns all of it.
func (l *latencies) merge() *hdrhistogram.Histogram {
	sum := newHistogram()
	for i := range l.parts {
		p := &l.parts[i]
		p.mu.Lock()
		if p.h != nil {
			sum.Merge(p.h)
		}
		p.mu.Unlock()
	}
	return sum
}
