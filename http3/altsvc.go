package http3

import (
	"net/http"
	"strconv"
)

// AltSvc returns the value of an Alt-Svc header field (RFC 7838, Section 3) that tells clients of HTTP/1.1 and HTTP/2
// that the same origin speaks HTTP/3 on UDP port port, for a day.
func AltSvc(port int) string {
	return `h3=":` + strconv.Itoa(port) + `"; ma=86400`
}

// WithAltSvc returns a handler that sets the Alt-Svc header field on every response and calls h.
func WithAltSvc(port int, h http.Handler) http.Handler {
	value := []string{AltSvc(port)}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header()["Alt-Svc"] = value
		h.ServeHTTP(w, r)
	})
}
