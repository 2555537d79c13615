package http3

import (
	"container/list"
	"slices"
	"sync"
	"time"
)

// altBook remembers where origins are served over HTTP/3, for a bounded number of them: those used last.
type altBook struct {
	now func() time.Time
	max int

	mu    sync.Mutex
	order list.List // of *altOrigin, the one used last in front
	byKey map[string]*list.Element
}

// altOrigin is what is known of one origin.
type altOrigin struct {
	key          string
	alternatives []alternative // in order of preference
	broken       []brokenPlace // the one that failed last at the end
	askAt        time.Time     // when its HTTPS records are due again
	probe        *altCall      // an attempt at a connection
	records      *altCall      // a query for HTTPS records
}

// brokenPlace is a place where HTTP/3 has failed.
type brokenPlace struct {
	place
	until    time.Time // it is not tried before
	failures int       // in a row
}

// maxBroken bounds the places of an origin that are remembered as broken: those that failed last.
const maxBroken = 2 * maxAlternatives

// altCall is something under way that several requests may wait for.
type altCall struct {
	done chan struct{}
	err  error // set before done is closed
}

// How long a place is left alone after a failure: twice as long after each further one.
const (
	brokenMin = 5 * time.Minute
	brokenMax = 48 * time.Hour
)

// origin returns the entry of an origin, with b.mu held.
func (b *altBook) origin(key string) *altOrigin {
	if e := b.byKey[key]; e != nil {
		b.order.MoveToFront(e)
		return e.Value.(*altOrigin)
	}
	if b.byKey == nil {
		b.byKey = make(map[string]*list.Element)
	}
	o := &altOrigin{key: key}
	b.byKey[key] = b.order.PushFront(o)
	for b.order.Len() > b.max {
		last := b.order.Back()
		b.order.Remove(last)
		delete(b.byKey, last.Value.(*altOrigin).key)
	}
	return o
}

// ready reports whether there is a place to go to over HTTP/3 now.
func (b *altBook) ready(key string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.byKey[key]
	if e == nil {
		return false
	}
	b.order.MoveToFront(e)
	return e.Value.(*altOrigin).ready(b.now())
}

// usable returns the places to go to over HTTP/3 now, the best first.
func (b *altBook) usable(key string) (places []alternative) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if e := b.byKey[key]; e != nil {
		now := b.now()
		o := e.Value.(*altOrigin)
		for i := range o.alternatives {
			if o.usable(i, now) {
				places = append(places, o.alternatives[i])
			}
		}
	}
	return places
}

func (o *altOrigin) ready(now time.Time) bool {
	for i := range o.alternatives {
		if o.usable(i, now) {
			return true
		}
	}
	return false
}

// usable reports whether the alternative i is fresh, and not broken.
func (o *altOrigin) usable(i int, now time.Time) bool {
	if !now.Before(o.alternatives[i].expires) {
		return false
	}
	at := o.brokenAt(o.alternatives[i].place)
	return at < 0 || !now.Before(o.broken[at].until)
}

func (o *altOrigin) brokenAt(p place) int {
	return slices.IndexFunc(o.broken, func(b brokenPlace) bool { return b.place == p })
}

// set replaces the alternatives of an origin by those of an Alt-Svc field (RFC 7838, Section 3.1); none forgets them. A place that
// was known keeps its configurations for Encrypted ClientHello, of which the field says nothing. It returns whether one of those before is
// not among them.
func (b *altBook) set(key string, alternatives []alternative) (less bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.byKey[key] == nil && len(alternatives) == 0 {
		return false
	}
	o := b.origin(key)
	less = slices.ContainsFunc(o.alternatives, func(a alternative) bool { return !contains(alternatives, a.place) })
	for i := range alternatives { // RFC 9460, Section 9.3: an Alt-Svc field goes together with the records
		if at := slices.IndexFunc(o.alternatives, func(a alternative) bool { return a.place == alternatives[i].place }); at >= 0 {
			alternatives[i].ech = o.alternatives[at].ech
		}
	}
	o.alternatives = alternatives
	return less
}

// setECH changes how to reach a place.
func (b *altBook) setECH(key string, a alternative) {
	b.mu.Lock()
	defer b.mu.Unlock()
	o := b.origin(key)
	for i := range o.alternatives {
		if o.alternatives[i].place == a.place {
			o.alternatives[i].ech = a.ech
		}
	}
}

// result remembers whether HTTP/3 worked at a place.
func (b *altBook) result(key string, p place, worked bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	o := b.origin(key)
	now := brokenPlace{place: p}
	if i := o.brokenAt(p); i >= 0 {
		now = o.broken[i]
		o.broken = slices.Delete(o.broken, i, i+1)
	}
	if worked {
		return
	}
	if len(o.broken) == maxBroken {
		o.broken = slices.Delete(o.broken, 0, 1)
	}
	now.failures++
	now.until = b.now().Add(min(brokenMin<<min(now.failures-1, 10), brokenMax))
	o.broken = append(o.broken, now)
}

// moved forgets what does not hold in another network (RFC 7838, Section 2.2).
func (b *altBook) moved() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for e := b.order.Front(); e != nil; e = e.Next() {
		o := e.Value.(*altOrigin)
		o.alternatives = slices.DeleteFunc(slices.Clone(o.alternatives), func(a alternative) bool { return !a.persist })
		o.broken, o.askAt = nil, time.Time{}
	}
}

// call returns what is under way for an origin at the place that slot names, and starts it with run, in a goroutine of its
// own, if nothing is. Of a slot that wanted says is not due it returns nil.
func (b *altBook) call(key string, slot func(*altOrigin) **altCall, wanted func(*altOrigin) bool, run func() error) *altCall {
	b.mu.Lock()
	defer b.mu.Unlock()
	o := b.origin(key)
	at := slot(o)
	if *at != nil {
		return *at
	}
	if !wanted(o) {
		return nil
	}
	c := &altCall{done: make(chan struct{})}
	*at = c
	go func() {
		err := run()
		b.mu.Lock()
		defer b.mu.Unlock()
		c.err = err
		*at = nil
		close(c.done)
	}()
	return c
}
