package http3

import (
	"net/http"
	"strconv"
)

// statusStrings has the statuses 100 to 599 as text, so that sending and receiving one allocates nothing.
var statusStrings = func() (t [500]struct{ code, line string }) {
	for i := range t {
		t[i].code = strconv.Itoa(i + 100)
		t[i].line = t[i].code + " " + http.StatusText(i+100)
	}
	return t
}()

// statusCode returns "200".
func statusCode(status int) string {
	if i := status - 100; i >= 0 && i < len(statusStrings) {
		return statusStrings[i].code
	}
	return strconv.Itoa(status)
}

// statusText returns "200 OK".
func statusText(status int) string {
	if i := status - 100; i >= 0 && i < len(statusStrings) {
		return statusStrings[i].line
	}
	return strconv.Itoa(status) + " "
}

// bodyAllowed reports whether a response of that status may have a body (RFC 9110, Section 6.4.1).
func bodyAllowed(status int) bool {
	return status >= 200 && status != http.StatusNoContent && status != http.StatusNotModified
}
