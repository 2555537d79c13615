// Package quicnet is QUIC for people who want to write Go as with package net: connections and streams with methods that
// block, contexts, deadlines, [io.Reader] and [io.Writer].
//
// A server:
//
//	l, err := quicnet.Listen(&quicnet.ListenConfig{QUIC: &quic.Config{TLS: tlsConfig}}, ":4433")
//	for {
//		conn, err := l.Accept(ctx)
//		if err != nil {
//			return err
//		}
//		go func() {
//			for {
//				stream, err := conn.AcceptStream(ctx)
//				if err != nil {
//					return
//				}
//				go func() {
//					defer stream.Close()
//					io.Copy(stream, stream)
//				}()
//			}
//		}()
//	}
//
// A client calls [Dial], [Conn.OpenStream], and reads and writes. tls.Config.NextProtos must name the protocol that both
// speak (RFC 7301).
//
// Protocols that want one byte stream per connection and nothing else, such as those written for TCP and TLS, get it as a
// net.Listener and a net.Conn from [ListenNet] and [DialNet].
//
// # Beneath
//
// A connection is an application of package engine: a [Driver], whose methods run in the connection's step and never
// block. Who has an endpoint of their own, or several protocols on one listener, makes drivers with [NewDriver]; who needs
// other protocols than blocking streams writes an engine.ApplicationOverQUIC.
//
// # What is bounded
//
// What has arrived on a stream waits in QUIC's receive window until somebody reads, and then up to 64 KiB of it here: who
// does not read stops the peer, on this stream alone. A write waits while QUIC's send buffer has no room. Streams that
// nobody has accepted are bounded by quic.Config.MaxBidiStreams and MaxUniStreams, connections that nobody has accepted by
// [ListenConfig.Backlog], datagrams that nobody has received by 256 KiB.
package quicnet
