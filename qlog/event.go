package qlog

import "time"

// Event is something that happened on a connection. The types of this package are the events of the drafts; a protocol on top
// may add event types of its own, in a namespace of its own.
type Event interface {
	// Name returns the event's type with its namespace, such as "quic:packet_sent".
	Name() string
	// AppendData appends what the event tells, as a JSON object, to b.
	AppendData(b []byte) []byte
}

// Tracer hears what happens on one connection. Its methods are called by the connection's owner, one at a time, in the middle of
// the connection's work: they must not block, nor call the connection. [Trace] is a Tracer that writes a file; a Tracer of
// one's own can count, filter or hand on.
type Tracer interface {
	// Event hears of e, which happened at that time. The event, and all that it points to, is the connection's: it is valid
	// until Event returns.
	Event(at time.Time, e Event)
	// Close hears that no more events follow. It is called once.
	Close()
}

// The event schemas that this package writes: the drafts' numbers are part of them.
const (
	SchemaQUIC  = "urn:ietf:params:qlog:events:quic-13"
	SchemaHTTP3 = "urn:ietf:params:qlog:events:http3-13"
)
