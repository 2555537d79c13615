package h3driver

import (
	"context"
	"crypto/tls"
	"time"

	"github.com/dunlin-quic/dunlin/engine"
	"github.com/dunlin-quic/dunlin/h3"
	"github.com/dunlin-quic/dunlin/internal/blocking"
	"github.com/dunlin-quic/dunlin/quic"
)

// controller is what both controllers have in common. Its methods are safe from any goroutine.
type controller struct{ d *driver }

// NextEvent returns the next event, in order. It waits for it, until ctx ends; after EventClosed it returns why the
// connection ended. It is not for drivers with Config.OnEvent. One goroutine at a time may wait.
func (c *controller) NextEvent(ctx context.Context) (Event, error) {
	d := c.d
	d.mu.Lock()
	defer d.mu.Unlock()
	for {
		if ev, ok := d.events.pop(); ok {
			if ev.Kind == EventHeaders {
				ev.Stream.queuedHeaders = false
			} else if ev.Kind == EventInterim {
				ev.Stream.queuedInterim--
			}
			return ev, nil
		}
		if d.told {
			return Event{}, d.err
		}
		if err := ctx.Err(); err != nil {
			return Event{}, err
		}
		d.avail.Wait(&d.mu, time.Time{}, ctx.Done())
	}
}

// wait waits until the connection is established, has ended before, or ctx ends.
func (c *controller) wait(ctx context.Context) (*engine.Session, error) {
	select {
	case <-c.d.established:
	default:
		select {
		case <-c.d.established:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if s := c.d.session.Load(); s != nil {
		return s, nil
	}
	c.d.mu.Lock()
	defer c.d.mu.Unlock()
	return nil, c.d.err
}

// Do runs f as part of the connection's step and returns when it has. It returns net.ErrClosed without running f if
// the connection has ended. It must not be called from OnEvent.
func (c *controller) Do(ctx context.Context, f func(*engine.Session, *h3.Conn)) error {
	session, err := c.wait(ctx)
	if err != nil {
		return err
	}
	return session.Connection().Do(func(s *engine.Session) { f(s, c.d.h3) })
}

// Settings returns the peer's settings, unknown ones included. It waits for them, until ctx ends. They must not be changed.
func (c *controller) Settings(ctx context.Context) ([]h3.Setting, error) {
	d := c.d
	for {
		d.mu.Lock()
		settings, ok, err, settled := d.settings, d.hasSettings, d.err, d.settled.Opening()
		d.mu.Unlock()
		if ok || err != nil {
			return settings, err
		}
		if err := blocking.Await(ctx, settled); err != nil {
			return nil, err
		}
	}
}

// Stats returns the connection's counters, after its end the last ones; zero before it is established. It must not be
// called from OnEvent.
func (c *controller) Stats() quic.Stats {
	if session := c.d.session.Load(); session != nil {
		return session.Connection().Stats()
	}
	return quic.Stats{}
}

// ConnectionState returns what TLS negotiated, nil before the handshake is complete. It must not be changed.
func (c *controller) ConnectionState() *tls.ConnectionState { return c.d.tls.Load() }

// Version returns the version of QUIC that was negotiated, zero before the handshake is complete.
func (c *controller) Version() quic.Version { return quic.Version(c.d.version.Load()) }

// Go has t run in a goroutine that may block: see [engine.Session.Go]. It may only be called in OnEvent.
func (c *controller) Go(t engine.Task) { c.d.session.Load().Go(t) }

// Flush sends what [Stream.Leave] has left: for the Flush of an [engine.Task].
func (c *controller) Flush() { c.d.flush() }

// GoAway begins a graceful shutdown (RFC 9114, Section 5.2): no new requests; the connection closes when the last
// one is done. It does not wait: EventClosed tells.
func (c *controller) GoAway() {
	c.d.mu.Lock()
	c.d.drain = true
	c.d.mu.Unlock()
	c.d.wake()
}

// Close is CloseWithError(h3.NoError, ""). GoAway is the way to part from a peer that is at work.
func (c *controller) Close() error { return c.CloseWithError(h3.NoError, "") }

// CloseWithError closes the connection at once, with an HTTP/3 code and a reason for people; before the connection is
// established, as soon as it is. It does not wait (see Done), and returns nil.
func (c *controller) CloseWithError(code h3.ErrCode, reason string) error {
	err := &quic.ApplicationError{Code: uint64(code), Reason: reason}
	c.d.farewell.CompareAndSwap(nil, err)
	if session := c.d.session.Load(); session != nil {
		session.Connection().CloseWithError(err.Code, err.Reason)
	}
	return nil
}

// Done returns a channel that is closed when the connection has ended, for those who do not wait for EventClosed.
func (c *controller) Done() <-chan struct{} {
	c.d.mu.Lock()
	defer c.d.mu.Unlock()
	if c.d.err != nil {
		return hasEnded
	}
	return c.d.ended.Opening()
}

// hasEnded is the Done of connections that have ended.
var hasEnded = func() chan struct{} {
	ch := make(chan struct{})
	close(ch)
	return ch
}()

// Err returns why the connection ended, nil before: an *h3.Error where HTTP/3 on either side ended it, else an error of package
// quic. All match net.ErrClosed.
func (c *controller) Err() error {
	c.d.mu.Lock()
	defer c.d.mu.Unlock()
	return c.d.err
}
