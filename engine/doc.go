// Package engine runs QUIC connections on UDP sockets: it is the half of Dunlin that has sockets, goroutines and a clock,
// around the half that has none (package quic).
//
// # An application
//
// What runs on a connection is an [ApplicationOverQUIC]: an object with methods that the engine calls when packets have
// come, when there may be something to write, and when the connection ends. They are called one at a time and must not
// block, so that an application needs no locks of its own. A server makes one for every connection that it accepts, a
// client one for every connection that it dials:
//
//	l, err := engine.Listen(&engine.ListenConfig{
//		QUIC:           &quic.Config{TLS: tlsConfig},
//		NewApplication: func(engine.ConnInfo) (engine.ApplicationOverQUIC, error) { return &myServer{}, nil },
//	}, ":4433")
//
//	c, err := engine.Dial(ctx, "example.org:4433", &engine.DialConfig{
//		QUIC:           &quic.Config{TLS: tlsConfig},
//		NewApplication: func(engine.ConnInfo) (engine.ApplicationOverQUIC, error) { return &myClient{}, nil },
//	})
//
// The directory examples/echo has a whole protocol that can be read in two minutes.
//
// Who would rather have streams that block uses package quicnet, for HTTP there are http3 and h3driver: all of them are
// applications of this package.
//
// # How it ends
//
// A connection ends when either side closes it, when nothing is heard for the idle timeout, or when somebody breaks the protocol.
// [Connection.CloseWithError] closes it with a code and a reason, [Connection.Close] with the CloseError of its config, and an
// application by returning an error from any of its methods. OnClose then hears why, as the last call; so do [Connection.Done]
// and [Connection.Err]. [Listener.Shutdown] has applications that are a [Drainer] finish what they do.
//
// # Who runs it
//
// A router reads one socket. It finds the connection of every datagram by its connection ID, and leaves the datagrams in the
// mailbox of that connection's worker. The worker's step empties the mailbox into the quic.Conn, lets the application read
// and write, and sends what the connection has to send, until there is nothing left to do.
//
// A worker has no goroutine of its own. The step is run by whoever has cause to: by the router that brought the packets, for
// that saves waking up anybody; by a goroutine of the runtime's timers; by a goroutine that was started for it; or
// by the one that just wrote something and called [Session.Flush]. Between steps a connection is some memory and one timer.
// What may block an application leaves to [Session.Go]. One that does take its time in its methods all the same delays other
// connections by milliseconds at most: then another goroutine reads the socket.
//
// Goroutines outside of the step reach the connection through its handle, the [Connection], and through [Session.Wake]: they
// leave what they want done where the application finds it, and wake it up. [Connection.Do] runs a function in the step.
//
// # Sockets and paths
//
// All sockets of an endpoint lead to all of its connections, by connection IDs alone: a client whose address changes is found
// wherever its packets arrive, also by another of several sockets that share an address (SO_REUSEPORT). Several endpoints, of one
// process or of many, share an address by package engine/steering, which also lets a server restart without a loss. Across machines
// it is up to whoever spreads the packets: IDs made by EndpointConfig.ConnectionIDs can say where they belong, and who gets a packet
// for an ID that is not his answers it by a stateless reset.
//
// A client moves to another network with [Endpoint.AddSocket] and [Connection.Migrate], in the middle of whatever it is doing, and
// may then close the socket that it came from with [Endpoint.RemoveSocket]. A listener with [ListenConfig.Preferred] addresses has
// its clients move there once they are connected. Applications that are a [PathObserver] hear of all that.
//
// # Whose packets, whose application
//
// A listener can serve several protocols ([ByProtocol]), let somebody look at each connection before it gets its application
// ([PauseAfterHandshake]), and share its sockets with other protocols than QUIC (EndpointConfig.NonQUIC). The package udp has sockets
// without a socket (udp.Conduit), for who carries the packets himself, and hands sockets over to the next process (udp.File).
//
// # What can be known
//
// [Connection.Stats] has the counters of a connection and [Connection.Audit] its account for a log; [Endpoint.Stats] those of the
// whole. EndpointConfig.Metrics hears of events as they happen: the module metrics/prometheus makes figures of them.
//
// # What is bounded
//
// Packets wait in mailboxes up to EndpointConfig.MailboxBytes for one connection and EndpointMailboxBytes for all; what exceeds
// that is dropped and counted, and congestion control does the rest. MaxHandshakes and MaxConnections bound what clients
// can make a server hold; under load they must prove their address first (RFC 9000, Section 8.1). [Endpoint.Stats] counts
// whatever was dropped and why.
package engine
