// Package httpsdns looks up DNS records of type HTTPS (RFC 9460), which tell before the first request where an origin is served
// over HTTP/3, and the keys of Encrypted ClientHello. It is a package of its own for the sake of those who have another
// resolver, or none.
//
//	transport := &http3.AltTransport{HTTPSRecords: &httpsdns.Resolver{}}
//	client := &http.Client{Transport: transport}
//
// A [Resolver] asks recursive servers, by default those of the system's configuration, over UDP and where an answer does not fit
// over TCP. It validates nothing and keeps nothing: what a server says may come from an attacker on the way, who
// can keep a client from HTTP/3, or lead it to another address, where the origin's certificate is missing.
package httpsdns
