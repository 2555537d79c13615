// Package http3 is HTTP/3 (RFC 9114) for net/http: [Server] runs any http.Handler, and [Transport] is an
// http.RoundTripper for any http.Client.
//
// A server:
//
//	server := &http3.Server{Addr: ":443", Handler: mux}
//	log.Fatal(server.ListenAndServeTLS("cert.pem", "key.pem"))
//
// A client:
//
//	client := &http.Client{Transport: &http3.Transport{}}
//	res, err := client.Get("https://example.com/")
//
// # Where to begin
//
// Browsers, and other clients that begin with HTTP/1.1 or HTTP/2, need to be told that a site speaks HTTP/3, too. So a public
// server is a [Site], or in one call [ListenAndServeTLS]: it serves all three versions on one address. A Server serves HTTP/3
// alone, to clients that know; [WithAltSvc] is for who has servers of his own for the others. Both have a Shutdown that lets
// requests be answered.
//
// A Transport speaks HTTP/3 and nothing else. An [AltTransport] begins with HTTP/2 and goes to HTTP/3 where a site has it, as
// browsers do. Tests of handlers are served by package http3test.
//
// # Like net/http, and unlike it
//
// What handlers and clients can observe is as over net/http's HTTP/2: bodies stream in both directions with
// backpressure, trailers and informational responses pass both ways, contexts end when the other side gives up,
// http.ResponseController flushes and sets deadlines, and a Transport undoes the compression that it asked for. Where
// the two differ it is written here:
//
//   - A request or response that is abandoned (by a panic in the handler, http.ErrAbortHandler, the end of a client's
//     context) is reset with a code, and the other side sees a *h3.Error. QUIC may drop at once what it has received of
//     it.
//   - A handler that writes more than its Content-Length gets http.ErrContentLength, as over HTTP/1.1.
//   - A handler that leaves some of a request's body unread does not read on: the client is asked to stop sending, and
//     takes the response for complete (RFC 9114, Section 4.1).
//   - "OPTIONS *" reaches the handler.
//
// # Connections
//
// A Transport has one connection per authority, over which all its requests go; requests above the server's limit of
// concurrent streams wait in line. A request's httptrace.ClientTrace is told of the connection as a [*ClientConn], from
// which statistics can be read.
//
// A connection to a server that the Transport knows resumes its TLS session, which spares certificates and signatures.
//
// # Early data
//
// With EarlyData in the QUIC config of a Transport, GET, HEAD, OPTIONS and TRACE requests without a body leave at once where it
// resumes a session, a round trip earlier than they else could (0-RTT). An attacker can replay them to the server, so
// that it is off by default on both sides, and for requests that may do no harm twice. All others wait until the
// handshake is complete. What the server does not take is sent again.
//
// A Server whose QUIC config has EarlyData takes each session's early data once, and answers before the handshake is complete.
// A handler learns of it by [IsEarly], or the Early-Data header field, and can [AwaitHandshake]; until then
// Request.TLS.HandshakeComplete is false. Requests with other methods are answered with status 425: see
// Server.AllowEarly. A net/http/httputil.ReverseProxy as handler passes the field on, and 425 back (RFC 8470).
//
// # More than requests
//
// A CONNECT request becomes a [Tunnel] of bytes and datagrams, on servers by [AcceptTunnel]. With Server.ExtendedConnect clients
// may say which protocol it is for (RFC 9220); [WebSocketHandler] makes WebSockets of that, for libraries that know those of
// HTTP/1.1. [RequestDatagrams] has the datagrams of a request that is answered in another way (RFC 9297). The Priority header
// field of a request says what is sent first (RFC 9218).
//
// # Looking at it
//
// Server.Stats counts for the whole server, [ServerConn] and [ClientConn] for one connection. Server.Endpoint and
// Transport.Metrics take a metrics.Metrics, for Prometheus that of the module metrics/prometheus; quic.Config.NewTracer writes
// traces for qvis (package qlog). Server.ErrorLog hears of panics in handlers.
//
// # Beneath
//
// Package h3driver lies below this one, for those whom net/http's model does not suit: typed events and commands. ClientConn
// and ServerConn have the engine's handle of their connection, which moves it to another network and runs functions in its step.
package http3

import "github.com/dunlin-quic/dunlin/h3"

// NextProto is the ALPN protocol of HTTP/3 (RFC 9114, Section 3.1).
const NextProto = h3.NextProto
