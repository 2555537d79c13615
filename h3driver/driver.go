package h3driver

import (
	"crypto/tls"
	"errors"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dunlin-quic/dunlin/engine"
	"github.com/dunlin-quic/dunlin/h3"
	"github.com/dunlin-quic/dunlin/internal/blocking"
	"github.com/dunlin-quic/dunlin/quic"
)

// driver is what both sides have in common: an engine.ApplicationOverQUIC whose methods run in the connection's step,
// and the place where the user's goroutines leave work for it.
type driver struct {
	cfg  Config
	side quic.Side

	session     atomic.Pointer[engine.Session]        // nil until the connection is established
	farewell    atomic.Pointer[quic.ApplicationError] // what CloseWithError was called with; it may be called before
	established chan struct{}                         // closed then, or when the connection has ended before
	tls         atomic.Pointer[tls.ConnectionState]   // nil until the handshake is complete
	version     atomic.Uint32                         // likewise 0

	// Owned by the connection's step.
	h3        *h3.Conn
	live      liveList
	waiting   []*Stream // clients: requests that wait for the server's stream limit, oldest first
	held      []*Stream // clients: requests that are not for early data
	headers   headerTimers
	idleSince time.Time // zero while requests run
	draining  drainState
	drainAt   time.Time // when the final GOAWAY is due, or later the end of a connection without requests
	early     bool      // the handshake is not complete
	served    bool      // servers: there has been a request
	requests  int       // servers: how many, if Config.MaxRequests counts them
	goneAway  bool      // clients: the server has sent GOAWAY
	closing   bool      // h3.CloseWithError was called
	closed    bool      // EventClosed has been told

	mu     sync.Mutex // guards what follows; held for short, also by the step
	ready  []*Stream  // have something for the step to do, each once
	spare  []*Stream  // the other half of a double buffer
	drain  bool       // Shutdown was called
	events eventQueue
	avail  blocking.Slot // NextEvent waits here
	told   bool          // EventClosed is in the queue, or was
	err    error         // why the connection ended
	ended  blocking.Gate // Done

	settings     []h3.Setting // the peer's
	hasSettings  bool
	settled      blocking.Gate // the peer's settings have arrived
	datagramRoom blocking.Gate // QUIC's queue has room for datagrams again
}

func (d *driver) init(side quic.Side, cfg *Config) {
	d.cfg = cfg.withDefaults()
	d.side = side
	d.established = make(chan struct{})
}

// enqueue leaves s for the next step. It returns why the connection ended, if it has.
func (d *driver) enqueue(s *Stream) error {
	if s.queued.Swap(true) {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.err == nil {
		d.ready = append(d.ready, s)
	}
	return d.err
}

// wake schedules a step. Before the connection is established none is needed: the first one finds what was left.
func (d *driver) wake() {
	if session := d.session.Load(); session != nil {
		session.Wake()
	}
}

// kick leaves s for the next step and runs that in the calling goroutine if the connection is idle. The caller holds
// no lock that a step takes.
func (d *driver) kick(s *Stream) error {
	if err := d.enqueue(s); err != nil {
		return err
	}
	d.flush()
	return nil
}

// flush runs a step in the calling goroutine if the connection is idle. The caller holds no lock that a step takes.
func (d *driver) flush() {
	if session := d.session.Load(); session != nil {
		if d.live.n.Load() > 1 {
			session.Flush()
		} else {
			session.FlushAlone() // there is nobody else
		}
	}
}

// yield says that what the calling goroutine waits for may take its time.
func (d *driver) yield() {
	if session := d.session.Load(); session != nil {
		session.Yield()
	}
}

// OnEstablished implements engine.ApplicationOverQUIC.
func (d *driver) OnEstablished(s *engine.Session) error {
	d.h3 = h3.NewConn(s.Conn(), d.cfg.H3)
	d.idleSince = s.Now()
	if d.early = s.Early(); !d.early {
		d.negotiated(s.Conn())
	}
	d.session.Store(s)
	close(d.established)
	d.tell(Event{Kind: EventEstablished, Early: d.early})
	if err := d.farewell.Load(); err != nil {
		return err
	}
	return nil
}

// ProcessReads implements engine.ApplicationOverQUIC.
func (d *driver) ProcessReads(s *engine.Session) error {
	d.pump(s)
	return nil
}

// ProcessWrites implements engine.ApplicationOverQUIC.
func (d *driver) ProcessWrites(s *engine.Session) error {
	for range maxRounds {
		if !d.serviceReady() {
			break
		}
		// Reading a body to its end brings its trailers to light, and so on.
		d.pump(s)
	}
	d.handleTimeouts(s)
	d.h3.Flush(s.Now())
	return nil
}

// maxRounds bounds how often a step looks for new work of busy users before it lets the connection transmit; each of
// them schedules another step.
const maxRounds = 4

// serviceReady does what users left to do. It returns false if there was nothing.
func (d *driver) serviceReady() bool {
	d.mu.Lock()
	streams := d.ready
	d.ready, d.spare = d.spare[:0], nil
	drain := d.drain
	d.mu.Unlock()
	if drain && d.draining == drainNone {
		d.draining = drainRequested
	}
	for i, s := range streams {
		s.queued.Store(false)
		if s.h == nil {
			d.open(s)
		}
		s.service()
		streams[i] = nil
	}
	d.mu.Lock()
	d.spare = streams[:0]
	d.mu.Unlock()
	return len(streams) > 0
}

// pump moves events from QUIC through HTTP/3 to the user.
func (d *driver) pump(s *engine.Session) {
	for {
		ev := s.Conn().NextEvent()
		switch {
		case ev.Kind == quic.EventEstablished && d.early:
			d.handshakeComplete(s)
		case ev.Kind == quic.EventEarlyDataRejected && ev.Err != nil:
			d.startOver(s, ev.Err)
			continue
		case d.side == quic.Client:
		case ev.Kind == quic.EventStreamOpened && ev.Stream.ID().Dir() == quic.Bidi:
			d.headers.opened(s.Now(), ev.Stream)
		case ev.Kind == quic.EventStreamClosed:
			d.headers.forget(ev.Stream.ID())
		}
		if ev.Kind != quic.EventNone {
			d.h3.HandleEvent(ev)
		}
		for d.dispatch(s) {
		}
		if ev.Kind == quic.EventNone {
			return
		}
	}
}

// dispatch handles the next event of HTTP/3. It returns false if there was none.
func (d *driver) dispatch(session *engine.Session) bool {
	ev := d.h3.NextEvent()
	if ev.Kind == h3.EventNone {
		return false
	}
	var s *Stream
	if ev.Stream != nil {
		s, _ = ev.Stream.Value.(*Stream)
		if s == nil && ev.Kind != h3.EventHeaders {
			return true // a request that ended before its header section, or one we have taken leave of
		}
	}
	if ev.Kind != h3.EventStreamClosed {
		session.Expect()
	}
	switch ev.Kind {
	case h3.EventSettings:
		d.mu.Lock()
		d.settings, d.hasSettings = ev.Settings, true
		d.settled.Open()
		d.mu.Unlock()
		d.tell(Event{Kind: EventSettings, Settings: ev.Settings})
	case h3.EventHeaders:
		if s == nil {
			d.headers.forget(ev.Stream.ID())
			s = &Stream{d: d, id: ev.Stream.ID(), opened: true, early: d.early}
			d.adopt(s, ev.Stream)
			d.served = true
			d.countRequest()
		}
		s.mu.Lock()
		if ev.Fin {
			s.endRead(io.EOF)
		} else if s.in.Err == nil {
			s.in.More = true
		}
		s.mu.Unlock()
		d.tell(Event{Kind: EventHeaders, Stream: s, Fields: ev.Fields, Fin: ev.Fin})
	case h3.EventInterim:
		d.tell(Event{Kind: EventInterim, Stream: s, Fields: ev.Fields})
	case h3.EventData, h3.EventFinished:
		s.mu.Lock()
		if s.in.Err == nil {
			s.in.More = true
			s.fill()
		}
		s.mu.Unlock()
	case h3.EventTrailers:
		fields := append([]h3.Field(nil), ev.Fields...)
		s.mu.Lock()
		if s.in.Err == nil {
			s.in.trailers = fields
			if ev.Fin {
				s.endRead(io.EOF)
			} else {
				s.in.More = true
			}
		}
		s.mu.Unlock()
	case h3.EventDatagram:
		s.openGates()
	case h3.EventDatagramsWritable:
		d.mu.Lock()
		d.datagramRoom.Open()
		d.mu.Unlock()
	case h3.EventReset:
		if s.ended == nil {
			s.ended = ev.Err
		}
		s.failRead(ev.Err)
		d.tell(Event{Kind: EventReset, Stream: s, Err: ev.Err})
	case h3.EventStopSending:
		s.failWrite(ev.Err)
		d.tell(Event{Kind: EventStopSending, Stream: s, Err: ev.Err})
	case h3.EventWritable:
		s.service()
	case h3.EventStreamClosed:
		d.remove(session, s)
		d.tell(Event{Kind: EventStreamClosed, Stream: s})
	case h3.EventStreamsAvailable:
		d.openWaiting()
	case h3.EventGoAway:
		if d.side == quic.Client {
			d.goneAway = true
		}
		d.tell(Event{Kind: EventGoAway, ID: ev.ID})
		if d.side == quic.Client {
			d.openWaiting() // which fails now, when its user knows why
		}
	case h3.EventClosed:
		d.end(ev.Err)
	}
	return true
}

// adopt makes s the user's side of h.
func (d *driver) adopt(s *Stream, h *h3.Stream) {
	h.Value = s
	s.h = h
	d.live.add(s)
	d.idleSince = time.Time{}
}

// remove takes leave of s.
func (d *driver) remove(session *engine.Session, s *Stream) {
	d.live.remove(s)
	if d.live.n.Load() == 0 {
		d.idleSince = session.Now()
	}
	err := s.ended
	if err == nil {
		err = errStreamOver
	}
	s.close(err)
}

// errStreamOver is what a half of a stream returns that QUIC has finished though its user has not, which takes a stream
// that both sides have reset.
var errStreamOver = errors.New("h3driver: the stream is closed")

// OnClose implements engine.ApplicationOverQUIC.
func (d *driver) OnClose(s *engine.Session, err error) {
	if d.h3 != nil && !d.closed {
		d.h3.HandleEvent(quic.Event{Kind: quic.EventClosed, Err: err})
		for d.dispatch(s) {
		}
	}
	d.end(err)
}

// end fails everything because the connection ended.
func (d *driver) end(err error) {
	if d.closed {
		return
	}
	d.closed = true
	d.mu.Lock()
	d.err = err
	d.ended.Open()
	d.settled.Open()
	d.datagramRoom.Open()
	waiting := slices.Concat(d.ready, d.waiting, d.held)
	d.ready = nil
	d.mu.Unlock()
	d.waiting, d.held = nil, nil
	if d.h3 == nil {
		close(d.established)
	}
	for s := d.live.head; s != nil; s = d.live.head {
		d.live.remove(s)
		s.close(err)
		d.tell(Event{Kind: EventStreamClosed, Stream: s, Err: err})
	}
	for _, s := range waiting {
		d.refuse(s, err)
	}
	d.tell(Event{Kind: EventClosed, Err: err})
}

// tell delivers an event, by the callback or by the queue.
func (d *driver) tell(ev Event) {
	if d.cfg.OnEvent != nil {
		d.cfg.OnEvent(ev)
		return
	}
	ev.Fields = append([]h3.Field(nil), ev.Fields...)
	ev.Settings = append([]h3.Setting(nil), ev.Settings...)
	s := ev.Stream
	var refuse h3.ErrCode // 0: deliver
	d.mu.Lock()
	switch ev.Kind {
	case EventHeaders:
		s.queuedHeaders = true
	case EventInterim:
		if s.queuedInterim == maxInterim {
			refuse = h3.ExcessiveLoad
			break
		}
		s.queuedInterim++
	case EventReset, EventStopSending, EventStreamClosed:
		if s.retracted {
			d.mu.Unlock()
			return
		}
		// Nobody has heard of this request, and nobody will.
		if d.side == quic.Server && s.queuedHeaders && ev.Kind != EventStopSending {
			d.events.retract(s)
			s.retracted = true
			refuse = h3.RequestCancelled
		}
	}
	if refuse == 0 {
		d.events.push(ev)
		d.told = ev.Kind == EventClosed
		d.avail.Wake()
	}
	d.mu.Unlock()
	if refuse != 0 {
		s.CancelRead(refuse)
		s.CancelWrite(refuse)
	}
}
