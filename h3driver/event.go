package h3driver

import "github.com/dunlin-quic/dunlin/h3"

// EventKind says what an [Event] tells.
type EventKind uint8

// What the user of a connection can hear. See each kind for the fields of Event that it sets. Bodies and trailers are
// no events: read them from the stream.
const (
	// EventNone is the kind of the zero Event.
	EventNone EventKind = iota
	// EventEstablished: the connection can carry requests; the first event on a server, and once. Early, if that is in
	// early data, before the handshake is complete.
	EventEstablished
	// EventHandshakeComplete: the handshake is complete, after an EventEstablished that was early: the peer is who it says, and
	// no request is a replay any more, including those told already.
	EventHandshakeComplete
	// EventSettings: the peer's SETTINGS have arrived: Settings. Once.
	EventSettings
	// EventHeaders: on servers a request, and the first event about Stream; on clients the final response. Fields; Fin
	// when there is neither body nor trailers.
	EventHeaders
	// EventInterim: on clients, an interim response (1xx): Stream, Fields.
	EventInterim
	// EventReset: the peer's message on Stream will not be complete: Err says why. If that is because what we sent was
	// malformed, both directions have been reset.
	EventReset
	// EventStopSending: the peer reads no more of our message on Stream: Err says why.
	EventStopSending
	// EventStreamClosed: Stream is done in both directions, and what we sent has been acknowledged unless it was reset;
	// or the connection ended, or a stream of LeaveRequest could not be opened, and Err says why. No further event names it.
	EventStreamClosed
	// EventGoAway: the peer is going away. ID: on clients the first request that it will not process; on servers a
	// push ID. If it comes again before it was fetched, only the last is delivered.
	EventGoAway
	// EventClosed: the connection ended: Err says why. Last of all, once.
	EventClosed
)

var eventNames = [...]string{
	"none", "established", "handshake complete", "settings", "headers", "interim", "reset", "stop sending", "stream closed", "go away", "closed",
}

// String returns the kind in a word or two.
func (k EventKind) String() string { return eventNames[k] }

// Event tells the user of a connection something about it.
type Event struct {
	Kind     EventKind
	Fin      bool         // of EventHeaders: there is neither body nor trailers
	Early    bool         // of EventEstablished: the handshake is not complete
	Stream   *Stream      // of events about a request
	Fields   []h3.Field   // of EventHeaders and EventInterim
	Settings []h3.Setting // of EventSettings; not to be changed
	ID       uint64       // of EventGoAway
	Err      error        // of EventReset, EventStopSending, EventStreamClosed and EventClosed
}

// maxInterim bounds the interim responses of one stream that wait in an event queue. RFC 9110, Section 15.2 lets a
// server send any number.
const maxInterim = 32

// eventQueue holds the events that NextEvent has not fetched yet. Its length is bounded by the number of streams that
// the peer may have open, and of requests that the user has left, since a stream puts in at most one event of each kind
// (interim ones: maxInterim), only its user can finish a stream whose request was fetched, and what concerns a request that
// ended before it was fetched is taken out again. Streams' fields named queue… belong to it.
type eventQueue struct {
	events []Event
	head   int
}

func (q *eventQueue) len() int { return len(q.events) - q.head }

func (q *eventQueue) push(ev Event) {
	if ev.Kind == EventGoAway {
		for i := q.head; i < len(q.events); i++ {
			if q.events[i].Kind == EventGoAway {
				q.events[i] = ev
				return
			}
		}
	}
	if q.head > 0 && len(q.events) == cap(q.events) {
		n := copy(q.events, q.events[q.head:])
		clear(q.events[n:])
		q.events, q.head = q.events[:n], 0
	}
	q.events = append(q.events, ev)
}

func (q *eventQueue) pop() (Event, bool) {
	if q.head == len(q.events) {
		return Event{}, false
	}
	ev := q.events[q.head]
	q.events[q.head] = Event{}
	q.head++
	if q.head == len(q.events) {
		q.events, q.head = q.events[:0], 0
	}
	return ev, true
}

// retract removes all events about s.
func (q *eventQueue) retract(s *Stream) {
	kept := q.events[:q.head]
	for _, ev := range q.events[q.head:] {
		if ev.Stream != s {
			kept = append(kept, ev)
		}
	}
	clear(q.events[len(kept):])
	q.events = kept
}
