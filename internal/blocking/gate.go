package blocking

import "context"

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

// Await waits for ch, or until ctx ends.
func Await(ctx context.Context, ch <-chan struct{}) error {
	select {
	case <-ch:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
