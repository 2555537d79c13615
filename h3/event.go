package h3

import "github.com/dunlin-quic/dunlin/h3/qpack"

// Field is one field line of a header or trailer section.
type Field = qpack.Field

// EventKind says what an [Event] tells.
type EventKind uint8

// What the application can hear from a connection. See each kind for the fields of Event that it sets.
const (
	// EventNone is the kind of the zero Event: there is none.
	EventNone EventKind = iota
	// EventSettings: the peer's SETTINGS have arrived: Settings. Once, but possibly after the first request.
	EventSettings
	// EventHeaders: on servers the header section of a request, and the first event about Stream; on clients that of
	// the final response. Fields, valid until the next call of NextEvent; Fin, when the message ends here.
	EventHeaders
	// EventInterim: on clients an interim response (1xx, RFC 9110, Section 15.2): Stream, Fields as above.
	EventInterim
	// EventData: Stream.TryReadBody would not return quic.ErrWouldBlock. Told again only after it has done so.
	EventData
	// EventTrailers: the trailer section: Stream, Fields as above; Fin. TryReadBody has returned all of the body.
	EventTrailers
	// EventFinished: the peer's message is complete, and TryReadBody returns io.EOF. Left out where Fin or TryReadBody
	// has said so already.
	EventFinished
	// EventReset: the peer's message on Stream will not be complete: Err says why. The peer reset the stream, or
	// its message was malformed and Stream has been reset in both directions, or, on clients, GOAWAY said
	// that the server will not process the request (Err.Code RequestRejected: safe to send again).
	EventReset
	// EventStopSending: the peer reads no more of our message on Stream: Err says why. With code NoError, a server
	// has sent its response without needing the rest of the request (RFC 9114, Section 4.1).
	EventStopSending
	// EventWritable: after TryWriteBody took less than all or SendInterim would block, Stream has room again.
	EventWritable
	// EventStreamClosed: Stream is done in both directions and what we sent is acknowledged, or it was reset. No
	// further event names it. Drop references to it.
	EventStreamClosed
	// EventDatagram: Stream.TryReceiveDatagram would not return quic.ErrWouldBlock. Told again only after it has done so.
	EventDatagram
	// EventDatagramsWritable: after Stream.TrySendDatagram returned quic.ErrWouldBlock, there is room again.
	EventDatagramsWritable
	// EventStreamsAvailable: on clients, after OpenRequest returned quic.ErrStreamLimit: the server allows more.
	EventStreamsAvailable
	// EventPriorityUpdate: on servers, the client changed the priority of a request (RFC 9218, Section 7), and it has
	// been applied to Stream. Priority; Stream, nil when the request has not arrived yet; ID, its stream ID.
	EventPriorityUpdate
	// EventGoAway: the peer is going away (RFC 9114, Section 5.2). ID: on clients the stream ID of the first request
	// that will not be processed, on servers a push ID. May come again with a lower ID.
	EventGoAway
	// EventClosed: the connection ended: Err, an *Error where HTTP/3 on either side ended it. Last of all, once. With
	// quic.ErrEarlyDataRejected only what was begun in early data has: see NewConn.
	EventClosed
)

// Event tells the application something about its connection.
type Event struct {
	Kind     EventKind
	Fin      bool      // of EventHeaders and EventTrailers: the message ends here
	Priority Priority  // of EventPriorityUpdate
	Stream   *Stream   // of events about a request
	Fields   []Field   // of a section; lent until the next call of NextEvent
	Settings []Setting // of EventSettings; not to be changed
	ID       uint64    // of EventGoAway and EventPriorityUpdate
	Err      error     // of EventReset, EventStopSending and EventClosed
}
