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
// A client:
//
//	conn, err := quicnet.Dial(ctx, "example.org:4433", &quicnet.DialConfig{QUIC: &quic.Config{TLS: tlsConfig}})
//	stream, err := conn.OpenStream(ctx)
//	io.WriteString(stream, "hello")
//	stream.CloseWrite()
//	answer, err := io.ReadAll(stream)
//
// tls.Config.NextProtos must name the protocol that both speak (RFC 7301). Beside streams there are datagrams, which may be lost:
// [Conn.SendDatagram].
//
// # How things end
//
// [Stream.CloseWrite] ends one direction of a stream, after what was written; [Stream.CancelWrite] and [Stream.CancelRead] abandon
// one with a code of the application's, which the other side gets as a *quic.StreamError; [Stream.Close] is done with both.
//
// [Conn.CloseWithError] ends a connection at once with a code and a reason, which the other side gets as a
// *quic.ApplicationError; [Conn.Close] does with the CloseError of the config. What the peer has not read yet it may never read:
// so the side that reads last closes. [Conn.Done] and [Conn.Err] tell of the end, whoever brought it about, and so does every call
// that waits; the error matches net.ErrClosed.
//
// [Listener.Shutdown] lets the connections end first, [Listener.Close] does not.
//
// # One stream
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
