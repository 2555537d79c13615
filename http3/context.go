package http3

import (
	"context"
	"sync"
)

// requestContext is the context of a request on a server. It ends when the peer abandons the stream, when the
// connection is gone and when the handler has returned. Most handlers never look at it, so what it takes to wait for
// its end is made on demand: a context.WithCancel would cost every request an entry in its parent's list of children.
type requestContext struct {
	context.Context // the connection's, which lends its values

	mu    sync.Mutex
	done  chan struct{}
	err   error
	after map[*func()]struct{}
}

// Done implements context.Context.
func (c *requestContext) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done == nil {
		c.done = make(chan struct{})
		if c.err != nil {
			close(c.done)
		}
	}
	return c.done
}

// Err implements context.Context.
func (c *requestContext) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// AfterFunc lets derived contexts hear of the end without a goroutine each: package context looks for this method.
func (c *requestContext) AfterFunc(f func()) (stop func() bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		go f()
		return func() bool { return false }
	}
	if c.after == nil {
		c.after = make(map[*func()]struct{})
	}
	key := &f
	c.after[key] = struct{}{}
	return func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		_, ok := c.after[key]
		delete(c.after, key)
		return ok
	}
}

// end ends the context. Later calls do nothing.
func (c *requestContext) end(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return
	}
	c.err = err
	if c.done != nil {
		close(c.done)
	}
	for f := range c.after {
		go (*f)()
	}
	c.after = nil
}
