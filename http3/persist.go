package http3

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/dunlin-quic/dunlin/h3"
	"github.com/dunlin-quic/dunlin/quic"
)

// persistence is how a request goes on that the server has not answered, from one connection to the next.
type persistence struct {
	attempts int       // that may have reached the server, or of which it has said nothing
	refusals int       // since a connection took requests
	since    time.Time // the first of these refusals
}

const (
	// maxAttempts bounds how often a request is sent that nobody has refused.
	maxAttempts = 4
	minBackoff  = 10 * time.Millisecond
	maxBackoff  = time.Second
)

// again waits until the request may be sent once more after err, which is what came of it on c. It returns why it may not. sent says
// whether it got a stream.
//
// A request that was refused is no attempt. It may be refused many times by a server that takes few requests on a
// connection and then sends GOAWAY, and each time others have made progress. Where nobody has, or the server refuses this
// request alone, it takes its time, until its context ends or the server had as long as a dial has.
func (p *persistence) again(ctx context.Context, c *ClientConn, sent bool, err error) error {
	switch {
	case c.took.Load() && (!sent || refused(err) && c.goneAway.Load()):
		p.refusals = 0
		return nil
	case !refused(err) || c.transport.book != nil: // who has another way takes it
		if p.attempts++; p.attempts == maxAttempts {
			return err
		}
		return nil
	}
	if p.refusals++; p.refusals == 1 {
		p.since = time.Now()
		return nil
	}
	if d := positive(c.transport.DialTimeout, defaultDialTimeout); d > 0 && time.Since(p.since) > d {
		return err
	}
	if !sleep(ctx, backoff(p.refusals-2)) {
		return context.Cause(ctx)
	}
	return nil
}

// refused reports whether the server has said that it will not process a request (RFC 9114, Sections 4.1.1 and 5.2).
func refused(err error) bool {
	e, ok := errors.AsType[*h3.Error](err)
	return ok && e.OnStream && e.Code == h3.RequestRejected || errors.Is(err, h3.ErrGoingAway)
}

// refusedConnection reports whether a server took no connection: it is shutting down, or full.
func refusedConnection(err error) bool {
	e, ok := errors.AsType[*quic.TransportError](err)
	return ok && e.Remote && e.Code == quic.ConnectionRefused
}

// backoff returns how long to wait before the nth repetition: longer each time, and not all clients equally long.
func backoff(n int) time.Duration {
	d := min(minBackoff<<min(n, 10), maxBackoff)
	return d/2 + rand.N(d/2)
}

// sleep returns false if ctx ends before d is over.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
