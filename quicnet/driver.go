package quicnet

import (
	"time"

	"github.com/dunlin-quic/dunlin/engine"
	"github.com/dunlin-quic/dunlin/quic"
)

// Driver runs a [Conn] as an engine.ApplicationOverQUIC: give it to the engine, which calls its methods, and use the Conn.
type Driver struct {
	c Conn
	// ready, if set, takes the connection when it is established.
	ready func(*Conn) error
}

// NewDriver makes the driver of one connection. ready, if not nil, is called once when the connection is established, in
// the connection's step: it must not block, nor call methods of the Conn that do. An error closes the connection as an error
// of an application's methods does.
func NewDriver(ready func(*Conn) error) *Driver {
	d := &Driver{ready: ready}
	d.c.done = make(chan struct{})
	return d
}

// Conn returns the connection. Its methods other than Done and Err may be called once it is established: from ready on, or
// when the engine's Dial has returned.
func (d *Driver) Conn() *Conn { return &d.c }

// OnEstablished implements engine.ApplicationOverQUIC.
func (d *Driver) OnEstablished(s *engine.Session) error {
	d.c.session = s
	d.c.tls, d.c.version = s.Conn().ConnectionState(), s.Conn().Version()
	if d.ready != nil {
		return d.ready(&d.c)
	}
	return nil
}

// ProcessReads implements engine.ApplicationOverQUIC.
func (d *Driver) ProcessReads(s *engine.Session) error {
	c := &d.c
	for {
		ev := s.Conn().NextEvent()
		var own *Stream
		if ev.Stream != nil {
			own, _ = ev.Stream.Value.(*Stream)
		}
		if ev.Kind == quic.EventNone {
			return nil
		}
		s.Expect()
		switch ev.Kind {
		case quic.EventStreamOpened:
			c.opened(ev.Stream)
			continue
		}
		if ev.Stream != nil && own == nil {
			continue // one that was refused
		}
		switch ev.Kind {
		case quic.EventStreamReadable:
			own.readable()
		case quic.EventStreamWritable:
			own.service()
		case quic.EventStreamClosed:
			c.gone(own, s.Now())
		case quic.EventStreamsAvailable:
			c.mu.Lock()
			c.streams[ev.Dir].Open()
			c.mu.Unlock()
		case quic.EventDatagramReceived:
			c.mu.Lock()
			c.datagrams.Open()
			c.mu.Unlock()
		case quic.EventDatagramsWritable:
			c.mu.Lock()
			c.datagramRoom.Open()
			c.mu.Unlock()
		}
	}
}

// ProcessWrites implements engine.ApplicationOverQUIC.
func (d *Driver) ProcessWrites(s *engine.Session) error {
	c := &d.c
	c.mu.Lock()
	streams := c.ready
	c.ready, c.spare = c.spare[:0], nil
	c.mu.Unlock()
	for i, own := range streams {
		own.queued.Store(false)
		own.service()
		streams[i] = nil
	}
	c.mu.Lock()
	c.spare = streams[:0]
	c.mu.Unlock()
	if c.lone != nil && c.lone.leaves(s.Now()) {
		return &quic.ApplicationError{}
	}
	return d.ProcessReads(s)
}

// NextDeadline implements engine.ApplicationOverQUIC.
func (d *Driver) NextDeadline() (time.Time, bool) {
	if lone := d.c.lone; lone != nil {
		return lone.leaveAt, !lone.leaveAt.IsZero()
	}
	return time.Time{}, false
}

// OnClose implements engine.ApplicationOverQUIC.
func (d *Driver) OnClose(_ *engine.Session, err error) { d.c.end(err) }
