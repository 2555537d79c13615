// Package quic is a connection of QUIC version 1 or 2 (RFC 8999, 9000, 9001, 9002, 9221, 9368, 9369) as a state machine: no
// sockets, no goroutines, no clock, no locks. Datagrams and the time go in, datagrams and deadlines come out, and the same inputs
// give the same outputs. Package engine drives it over sockets; use that unless you have packets and a clock of your own.
//
// # A connection and its owner
//
// A [Conn] belongs to one owner at a time, who calls four kinds of methods:
//
//   - Getters, which change nothing: [Conn.Side], [Conn.Path], [Conn.Stats], [Conn.ConnectionState], [Conn.Err] and so on.
//   - Handling, for what happens outside: [Conn.Receive] when datagrams arrive, [Conn.HandleTimeout] when time has
//     passed.
//   - Changing, for what the application wants: [Conn.OpenStream], [Stream.TryRead], [Stream.TryWrite],
//     [Conn.TrySendDatagram], [Conn.Close]. None of them waits: a call that can't go on returns [ErrWouldBlock], and an
//     event tells when it can.
//   - Polling, for what comes of it: [Conn.PollTransmit], [Conn.NextTimeout], [Conn.NextEndpointEvent],
//     [Conn.NextEvent].
//
// After any number of calls of the second and third kind, the owner polls, in this order:
//
//  1. NextEvent until there is none, acting on each: it may lead to more data to send.
//  2. NextEndpointEvent until there is none, keeping the table by which datagrams find their connection: before the
//     peer can answer to a connection ID that it learns of.
//  3. PollTransmit until it reports false, sending what it fills in.
//  4. NextTimeout once, to know when to call HandleTimeout if nothing else happens before.
//
// To receive everything that has arrived before polling makes for fewer and larger datagrams, and one acknowledgment for
// many packets: so does handing over a whole train of datagrams in one [Inbound], as the kernel's GRO gives it, and
// sending a whole train by one GSO call.
//
// # The life of a connection
//
// A client begins with [NewClient]. A server begins with [Demux], which needs no memory for a client: datagrams that
// belong to no connection go to [Demux.Handle], which answers some itself and lets attempts through to [NewServer].
//
// Both sides tell each other in the handshake which versions they speak, and so use the one that they prefer without a round
// trip, whichever the client began with ([Config.Versions]). A client whose first version the server does not know begins
// again with another; its owner sees no more of that than a new ClientHello.
//
// [EventEstablished] says that the TLS handshake is complete: the peer is who its certificate says, and streams carry data.
// [EventClosed] says that all is over and why. The connection still has something to do then, to make sure that the peer
// hears of it: the owner goes on to poll until [EndpointDrained].
//
// # Early data
//
// With Config.EarlyData, a client that resumes a session has its streams at once ([EventEarlyData]), and what it writes leaves with
// the first datagram. Two things are to be known. An attacker can send a copy of it to the server, which takes one but can't tell
// which; so it should ask for nothing that must not happen twice. And the server may reject it ([EventEarlyDataRejected]): then
// it is sent again, if the server has the same protocol and room for it, else its streams are gone.
//
// # Paths
//
// A connection survives that its addresses change. A server follows its client wherever packets come from, and makes sure that
// the client is there before it sends much. A client moves of its own accord by [Conn.Migrate]: its owner opens another socket,
// passes what arrives there to Receive with that Local address, and sends each [Transmit] from its Path.Local. The connection
// first validates the new path, then goes over to it and keeps the old one for a few seconds, for packets under way; a
// path that proves dead costs nothing but the attempt. [Conn.Probe] only validates. [Conn.NextPathEvent] tells how it went, and
// [Conn.PathStats] what each path is like.
//
// A server with [Config.PreferredAddress] asks its clients to talk to another address of its own, and they move there as soon as
// the handshake is confirmed. Nothing else makes a server change its address.
//
// # Errors
//
// A received packet that makes no sense is counted in [Stats]; one that breaks the protocol ends the connection with the
// error code that the RFCs demand. [Conn.Err] is a *[TransportError] if QUIC or TLS found the fault, an
// *[ApplicationError] if the application protocol closed, each telling which side did; or a sentinel such as
// [ErrIdleTimeout]. All match [net.ErrClosed]. A stream that was reset returns a *[StreamError].
//
// # Bounds
//
// Whatever a peer sends, a connection holds no more than its [Config] allows: stream data up to the windows granted, and small
// fixed bounds for handshake data out of order (64 KiB), packets whose keys have not come (16), received packet number ranges,
// connection IDs (8), paths (4) and unreliable datagrams (256 KiB). An idle connection owns no buffers.
package quic
