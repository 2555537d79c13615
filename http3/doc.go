// Package http3 is HTTP/3 for net/http: [Server] runs any http.Handler, [Transport] is an http.RoundTripper.
package http3

// NextProto is the ALPN protocol of HTTP/3 (RFC 9114, Section 3.1).
const NextProto = "h3"
