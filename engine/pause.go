package engine

import (
	"errors"
	"sync"
	"time"

	"github.com/dunlin-quic/dunlin/quic"
)

// defaultPause is how long a connection waits for its application by default.
const defaultPause = 10 * time.Second

// Paused is a connection whose handshake is done and whose application is not chosen yet: see [PauseAfterHandshake]. Its methods are
// safe from any goroutine.
type Paused struct {
	Base
	limit   time.Duration
	arrived func(*Paused)
	until   time.Time // zero: for ever
	drain   bool      // the application is to drain at once

	mu   sync.Mutex
	info ConnInfo
	next NewApplicationFunc
	done bool // Resume was called, or the connection has ended
}

// PauseAfterHandshake makes the connections of a listener wait, once their handshake is complete, until somebody who has looked at
// them chooses an application with [Paused.Resume], or closes them with [Paused.Refuse]. Until then they are alive, but read
// nothing: what peers send waits within QUIC's windows. One that nobody wants for timeout is closed with
// CONNECTION_REFUSED; 0 means 10 s, a negative number for ever.
//
// arrived is told of each in its step: it must not block, but pass the Paused on, by a channel with room or a goroutine of its
// own; an application that can be chosen without waiting needs no pause. A listener that shuts down closes those that wait.
func PauseAfterHandshake(timeout time.Duration, arrived func(*Paused)) NewApplicationFunc {
	if timeout == 0 {
		timeout = defaultPause
	}
	return func(info ConnInfo) (ApplicationOverQUIC, error) {
		return &Paused{limit: timeout, arrived: arrived, info: info}, nil
	}
}

// Info tells what is known of the connection: its addresses, what TLS negotiated, and its handle.
func (p *Paused) Info() ConnInfo {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.info
}

// errResumed is returned by who comes second.
var errResumed = errors.New("engine: the connection has an application already")

// Resume gives the connection the application that f makes. f runs in a step of the connection soon after, as any
// [NewApplicationFunc] does, and then the application's OnEstablished. Resume returns an error that matches net.ErrClosed if the
// connection has ended, another if it was resumed before.
func (p *Paused) Resume(f NewApplicationFunc) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.next != nil:
		return errResumed
	case p.done:
		return errEnded
	}
	p.next, p.done = f, true
	p.info.Connection.Wake()
	return nil
}

// Refuse closes the connection as [Connection.CloseWithError] does.
func (p *Paused) Refuse(code uint64, reason string) { p.Info().Connection.CloseWithError(code, reason) }

// errUnwanted tells a peer that nobody wanted its connection.
var errUnwanted = &quic.TransportError{Code: quic.ConnectionRefused, Reason: "no application took the connection"}

// OnEstablished implements [ApplicationOverQUIC].
func (p *Paused) OnEstablished(s *Session) error {
	if p.limit >= 0 {
		p.until = s.Now().Add(p.limit)
	}
	p.mu.Lock()
	p.info = s.w.info(s.Conn().ConnectionState()) // clients learn now what was negotiated
	p.mu.Unlock()
	p.arrived(p)
	return nil
}

// ProcessReads implements [ApplicationOverQUIC].
func (p *Paused) ProcessReads(s *Session) error {
	p.mu.Lock()
	next, info := p.next, p.info
	p.mu.Unlock()
	if next == nil {
		return nil
	}
	app, err := next(info)
	if err != nil {
		return err
	}
	s.w.setApp(app)
	if err := app.OnEstablished(s); err != nil {
		return err
	}
	if d, ok := app.(Drainer); ok && p.drain {
		if err := d.Drain(s); err != nil {
			return err
		}
	}
	return app.ProcessReads(s)
}

// ProcessWrites implements [ApplicationOverQUIC].
func (p *Paused) ProcessWrites(s *Session) error {
	if p.until.IsZero() || s.Now().Before(p.until) {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.done {
		return nil // just now; a step follows
	}
	p.done = true
	return errUnwanted
}

// NextDeadline implements [ApplicationOverQUIC].
func (p *Paused) NextDeadline() (time.Time, bool) { return p.until, !p.until.IsZero() }

// Drain implements [Drainer].
func (p *Paused) Drain(s *Session) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.done {
		p.drain = true
		return nil
	}
	p.done = true
	if s.w.farewell != nil {
		return s.w.farewell
	}
	return &quic.TransportError{Code: quic.NoError}
}

// OnClose implements [ApplicationOverQUIC].
func (p *Paused) OnClose(*Session, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done = true
}
