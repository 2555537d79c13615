// Package h3 is HTTP/3 (RFC 9114) over a [quic.Conn], as a state machine for clients and servers: it has no sockets, no
// goroutines, no clock and no locks. Package h3driver runs it over real sockets, package http3 makes net/http of it.
//
// # Driving a connection
//
// A [Conn] belongs to one owner, who also drives the QUIC connection below it. After anything has happened, be it a
// datagram, a timer or a call on a stream, the owner does three things in this order:
//
//	for ev := q.NextEvent(); ev.Kind != quic.EventNone; ev = q.NextEvent() {
//		c.HandleEvent(ev) // note what QUIC has
//	}
//	for ev := c.NextEvent(); ev.Kind != h3.EventNone; ev = c.NextEvent() {
//		// requests, responses, bodies: the application's part
//	}
//	c.Flush(now)
//	// and then q.PollTransmit, q.NextTimeout and so on, as package quic says; c.NextTimeout is another deadline
//
// HandleEvent only notes; NextEvent and [Stream.TryReadBody] read. So what nobody asks for stays in QUIC's flow-control
// window: a slow reader slows its peer down, and takes no memory here.
//
// # Messages
//
// A client opens a [Stream] with [Conn.OpenRequest], a server hears of one by [EventHeaders]. Both send a message with
// [Stream.SendHeaders], [Stream.TryWriteBody] and [Stream.SendTrailers], a server interim responses before with
// [Stream.SendInterim]; and both hear of the peer's message in the same order: EventInterim (clients), EventHeaders,
// EventData whenever there is body to read, EventTrailers, and EventFinished unless the end came with one of the
// others. Fields carry the pseudo-header fields of RFC 9114, Section 4.3, such as :method and :status, in front.
//
// A message that breaks a rule of RFC 9114, Section 4 is malformed: its stream ends with H3_MESSAGE_ERROR and the
// connection goes on. A server is not even told of a request whose header section is malformed; after that section,
// and on clients, EventReset tells. A peer that breaks the framing itself ends the connection, with the code that RFC
// 9114, Section 8 has for it. This side's own messages are checked by the same rules before they are sent.
//
// # Shutting down
//
// [Conn.GoAway] says which requests are still served, and [Conn.Close] ends the connection. On clients, [ErrGoingAway]
// and errors with code [RequestRejected] mean that the request was not processed and may be sent again elsewhere.
//
// # CONNECT and datagrams
//
// After a CONNECT request and a 2xx response, the bodies are the two directions of a tunnel (RFC 9114, Section 4.4). With
// Config.ExtendedConnect a server also takes CONNECT requests with a :protocol field, whose bodies are what that protocol
// makes of them, such as WebSocket (RFC 9220). HTTP datagrams (RFC 9297) go beside the bodies of such requests, and of those
// that Stream.UseDatagrams was called for: Stream.TrySendDatagram and Stream.TryReceiveDatagram.
//
// # What is not here
//
// Server push is refused: this package never sends MAX_PUSH_ID, and never pushes.
package h3
