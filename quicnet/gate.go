package quicnet

import "context"

// gate is where any number of goroutines wait for something to change. Its methods are called with the lock held that
// guards what they wait for.
type gate struct{ ch chan struct{} }

// opening returns a channel that is closed by the next open.
func (g *gate) opening() <-chan struct{} {
	if g.ch == nil {
		g.ch = make(chan struct{})
	}
	return g.ch
}

// open lets all through that wait now.
func (g *gate) open() {
	if g.ch != nil {
		close(g.ch)
		g.ch = nil
	}
}

// await waits for ch, or until ctx ends.
func await(ctx context.Context, ch <-chan struct{}) error {
	select {
	case <-ch:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
