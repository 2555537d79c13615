package http3

import "net/http"

// AltSvc returns the value of an Alt-Svc header field (RFC 7838, Section 3) that tells clients of HTTP/1.1 and HTTP/2
// that the same origin speaks HTTP/3 on UDP port port, for a day.
func AltSvc(port int) string { panic("skeleton") }

// WithAltSvc returns a handler that sets the Alt-Svc header field on every response and calls h.
func WithAltSvc(port int, h http.Handler) http.Handler { panic("skeleton") }
