package http3

import (
	"container/list"
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
	brokenUntil  time.Time     // HTTP/3 has failed, and is not tried before
	failures     int           // in a row
	askAt        time.Time     // when its HTTPS records are due again
	probe        *altCall      // an attempt at a connection
	records      *altCall      // a query for HTTPS records
}

// altCall is something under way that several requests may wait for.
type altCall struct {
	done chan struct{}
	err  error // set before done is closed
}

// How long HTTP/3 is left alone after a failure: twice as long after each further one.
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

// alternative returns the best place to go to over HTTP/3 now.
func (b *altBook) alternative(key string) (alternative, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.byKey[key]
	if e == nil {
		return alternative{}, false
	}
	b.order.MoveToFront(e)
	o := e.Value.(*altOrigin)
	now := b.now()
	if now.Before(o.brokenUntil) {
		return alternative{}, false
	}
	for len(o.alternatives) > 0 && !now.Before(o.alternatives[0].expires) {
		o.alternatives = o.alternatives[1:]
	}
	if len(o.alternatives) == 0 {
		return alternative{}, false
	}
	return o.alternatives[0], true
}

// set replaces the alternatives of an origin (RFC 7838, Section 3.1); none forgets them.
func (b *altBook) set(key string, alternatives []alternative) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.byKey[key] == nil && len(alternatives) == 0 {
		return
	}
	b.origin(key).alternatives = alternatives
}

// drop removes an alternative that does not serve the origin.
func (b *altBook) drop(key string, a alternative) {
	b.mu.Lock()
	defer b.mu.Unlock()
	o := b.origin(key)
	for i := range o.alternatives {
		if o.alternatives[i].host == a.host && o.alternatives[i].port == a.port {
			o.alternatives = append(o.alternatives[:i:i], o.alternatives[i+1:]...)
			return
		}
	}
}

// result remembers whether HTTP/3 worked.
func (b *altBook) result(key string, worked bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	o := b.origin(key)
	if worked {
		o.failures, o.brokenUntil = 0, time.Time{}
		return
	}
	o.failures++
	o.brokenUntil = b.now().Add(min(brokenMin<<min(o.failures-1, 10), brokenMax))
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
