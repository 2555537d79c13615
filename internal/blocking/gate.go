package blocking

import (
	"context"
	"errors"
	"sync"
)

// Gate is where any number of goroutines wait for something to change. Its methods are called with the lock held that
// guards what they wait for.
type Gate struct{ ch chan struct{} }

// Opening returns a channel that is closed by the next Open.
func (g *Gate) Opening() <-chan struct{} {
	if g.ch == nil {
		g.ch = make(chan struct{})
	}
	return g.ch
}

// Open lets all through that wait now.
func (g *Gate) Open() {
	if g.ch != nil {
		close(g.ch)
		g.ch = nil
	}
}

// Retry runs try in a connection's step, by do, until it returns something else than blocked; after that it waits for g, which mu
// guards, and runs try again. It returns what try does, what do does if it did not run try, or why ctx has ended.
func Retry[T any](
	ctx context.Context, do func(func(T)) error, mu *sync.Mutex, g *Gate, blocked error, try func(T) error,
) error {
	for {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		var wait <-chan struct{}
		var err error
		if gone := do(func(t T) {
			if err = try(t); errors.Is(err, blocked) {
				mu.Lock()
				wait = g.Opening()
				mu.Unlock()
			}
		}); gone != nil {
			return gone
		}
		if wait == nil {
			return err
		}
		if err := Await(ctx, wait); err != nil {
			return err
		}
	}
}

// Await waits for ch, or until ctx ends.
func Await(ctx context.Context, ch <-chan struct{}) error {
	select {
	case <-ch:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
