// Package h3driver is HTTP/3 as an application of the engine: typed events, commands, and streams that block.
//
// A driver runs in its connection's step and moves bytes between package h3, which is a state machine, and the
// goroutines of its user. A controller is the user's handle: events come from NextEvent (or from Config.OnEvent, in the
// step itself), and what the user wants done goes through the controller's methods and those of [Stream]. Package http3
// is built on it; use this package where net/http's model does not fit, as tokio-quiche's H3Driver is used in Rust.
//
// A server's connection:
//
//	driver := h3driver.NewServer(nil) // for the engine, which runs it
//	controller := driver.Controller()
//	for {
//		ev, err := controller.NextEvent(ctx)
//		if err != nil {
//			return err // the connection ended, or ctx
//		}
//		if ev.Kind == h3driver.EventHeaders {
//			go ev.Stream.Respond([]h3.Field{{Name: ":status", Value: "200"}}, []byte("hello\n"))
//		}
//	}
//
// On a client, OpenRequest sends a request and returns its stream, LeaveRequest without waiting until it is opened; EventHeaders
// brings the response's header section, and Stream.Read the body.
//
// # How things end
//
// Part.Fin, CloseWrite or a trailer section ends a message; CancelWrite and CancelRead abandon a direction with an HTTP/3 code,
// which the other side gets as an *h3.Error by EventReset or EventStopSending. GoAway ends a connection when its requests are
// answered, CloseWithError at once and with a code, Close with H3_NO_ERROR. EventClosed is the last event; Done and Err tell the
// same to those who follow none.
//
// # Early data
//
// On engine configs with EarlyStart, and quic.Config.EarlyData, EventEstablished comes before the handshake is complete if the
// client has been here before. Requests with Part.Early then leave at once, and the server, which should set
// quic.Config.SessionData to h3.SessionData, sees Stream.Early: such a request may be a replay.
//
// # What is bounded
//
// A body that arrives waits in at most 64 KiB per stream, the rest in QUIC's receive window: who does not read stops
// the peer, and only this stream. Events wait in a queue that a stream can enter only a few times and that is cleared
// of requests that ended before anyone heard of them, so the limit of concurrent streams bounds it. A write waits until
// QUIC's send buffer has room. Waiting for the server's limit of streams is waiting for an event: nothing polls.
package h3driver
