package quic

import "net/netip"

// EventKind says what an [Event] tells.
type EventKind uint8

// What the application can hear from a connection. See each kind for the fields of Event that it sets.
const (
	// EventNone is the kind of the zero Event: there is none.
	EventNone EventKind = iota
	// EventEarlyData: streams and datagrams can be used before the handshake is complete (RFC 9001, Section 4.6). At a
	// client they are sent in 0-RTT packets, which an attacker can replay to the server. At a server, what comes
	// before EventEstablished may be such a replay; see Stream.Early. Once.
	EventEarlyData
	// EventEarlyDataRejected: at a client, the server did not take the early data. If Err is nil, everything is sent
	// again, but for datagrams; a client for whose protocol something else has changed resets what it does not
	// want to be. If Err is [ErrEarlyDataRejected], the server speaks another protocol now, or has lowered its limits: the
	// streams opened so far and unsent datagrams are gone, no event names them, and stream IDs begin anew. Before
	// EventEstablished, once.
	EventEarlyDataRejected
	// EventEstablished: the TLS handshake is complete; Conn.ConnectionState is final. Once.
	EventEstablished
	// EventConfirmed: the handshake is confirmed (RFC 9001, Section 4.1.2). Once.
	EventConfirmed
	// EventStreamOpened: the peer opened Stream. Told before any other event about it, in order of stream IDs.
	EventStreamOpened
	// EventStreamReadable: TryRead on Stream would not return ErrWouldBlock: data, the end, or an error. Told again
	// only after TryRead has returned ErrWouldBlock.
	EventStreamReadable
	// EventStreamWritable: after TryWrite accepted less than all, Stream has room again, or its write half failed.
	// Also told, once, when the peer sends STOP_SENDING.
	EventStreamWritable
	// EventStreamClosed: both halves of Stream are done and everything sent is acknowledged (or the stream was
	// reset). No further event names it; its methods return errors. Drop references to it.
	EventStreamClosed
	// EventStreamsAvailable: after OpenStream returned ErrStreamLimit, the peer allows more streams of direction Dir.
	EventStreamsAvailable
	// EventDatagramReceived: Conn.TryReceiveDatagram has at least one datagram.
	EventDatagramReceived
	// EventDatagramsWritable: after TrySendDatagram returned ErrWouldBlock, there is room again.
	EventDatagramsWritable
	// EventPathChanged: the connection now uses another path, see Conn.Path.
	EventPathChanged
	// EventClosed: the connection ended; Err says why. Last of all, once.
	EventClosed
)

// Event tells the application something about its connection.
type Event struct {
	Kind   EventKind
	Stream *Stream // of events about a stream
	Dir    Dir     // of EventStreamsAvailable
	Err    error   // of EventClosed, never nil; of EventEarlyDataRejected
}

// EndpointEventKind says what an [EndpointEvent] tells.
type EndpointEventKind uint8

// What the owner of the routing table hears from a connection.
const (
	// EndpointNone is the kind of the zero EndpointEvent: there is none.
	EndpointNone EndpointEventKind = iota
	// EndpointCIDIssued: route packets for CID to this connection.
	EndpointCIDIssued
	// EndpointCIDRetired: stop doing so.
	EndpointCIDRetired
	// EndpointResetTokenAdded: a datagram from Remote that ends in Token is a stateless reset of this connection.
	EndpointResetTokenAdded
	// EndpointResetTokenRemoved: no longer so.
	EndpointResetTokenRemoved
	// EndpointDrained: nothing is owed to the peer any more; forget the connection and its IDs.
	EndpointDrained
)

// StatelessResetToken is RFC 9000, Section 10.3's token.
type StatelessResetToken [16]byte

// EndpointEvent tells the owner of the routing table what to route to a connection.
type EndpointEvent struct {
	Kind   EndpointEventKind
	CID    ConnectionID        // that was issued or retired
	Token  StatelessResetToken // that was added or removed
	Remote netip.AddrPort      // of the reset tokens
}

// eventQueue holds the events that the connection itself tells, each kind at most once. Those of streams come from the
// stream table.
type eventQueue struct {
	pending  uint16 // bits by EventKind
	endpoint []EndpointEvent
}

// event queues an event without fields.
func (c *Conn) event(k EventKind) { c.events.pending |= 1 << k }

// take removes the event of kind k, if it is queued.
func (q *eventQueue) take(k EventKind) bool {
	had := q.pending&(1<<k) != 0
	q.pending &^= 1 << k
	return had
}

func (c *Conn) endpointEvent(e EndpointEvent) {
	if c.events.endpoint == nil {
		c.events.endpoint = make([]EndpointEvent, 0, 2) // they come in twos: two IDs at the beginning, two in reserve
	}
	c.events.endpoint = append(c.events.endpoint, e)
}

// NextEvent returns the next event for the application; its kind is EventNone if there is none. Events that later ones
// have made pointless are not told.
func (c *Conn) NextEvent() Event {
	if c.events.pending != 0 {
		if c.events.take(EventEarlyData) {
			return Event{Kind: EventEarlyData}
		}
		if c.events.take(EventEarlyDataRejected) {
			e := Event{Kind: EventEarlyDataRejected}
			if c.earlyLost {
				e.Err = ErrEarlyDataRejected
			}
			return e
		}
		for _, k := range [...]EventKind{
			EventEstablished, EventConfirmed, EventPathChanged, EventDatagramReceived, EventDatagramsWritable,
		} {
			if c.events.take(k) {
				return Event{Kind: k}
			}
		}
		if c.events.take(EventClosed) {
			return Event{Kind: EventClosed, Err: c.err}
		}
	}
	if c.state == stateActive {
		if e, ok := c.streams.nextEvent(); ok {
			return e
		}
	}
	return Event{}
}

// NextEndpointEvent returns the next event for the owner of the routing table; its kind is EndpointNone if there is none.
func (c *Conn) NextEndpointEvent() EndpointEvent {
	q := &c.events
	if len(q.endpoint) == 0 {
		return EndpointEvent{}
	}
	e := q.endpoint[0]
	if q.endpoint = q.endpoint[1:]; len(q.endpoint) == 0 {
		q.endpoint = nil
	}
	return e
}
