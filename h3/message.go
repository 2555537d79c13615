package h3

import (
	"strconv"
	"strings"
)

// message is what of a header section decides how the message goes on.
type message struct {
	status        int    // of a response
	method        string // of a request
	protocol      string // of an extended CONNECT request (RFC 9220)
	priority      string // of a request: the values of its priority fields
	hasPriority   bool
	contentLength int64 // -1 when the section has none
}

// pseudo is a set of pseudo-header fields.
type pseudo uint8

const (
	pseudoMethod pseudo = 1 << iota
	pseudoScheme
	pseudoAuthority
	pseudoPath
	pseudoStatus
	pseudoProtocol
)

// parseRequest checks the header section of a request (RFC 9114, Sections 4.2 and 4.3.1). A reason that is not empty
// says why it is malformed.
func parseRequest(fields []Field) (m message, reason string) {
	var scheme, authority, path, host string
	var seen pseudo
	hasHost := false
	m.contentLength = -1
	regular := false
	for i := range fields {
		f := &fields[i]
		if strings.HasPrefix(f.Name, ":") {
			var p pseudo
			var to *string
			switch f.Name {
			case ":method":
				p, to = pseudoMethod, &m.method
			case ":scheme":
				p, to = pseudoScheme, &scheme
			case ":authority":
				p, to = pseudoAuthority, &authority
			case ":path":
				p, to = pseudoPath, &path
			case ":protocol":
				p, to = pseudoProtocol, &m.protocol
			default:
				return m, "undefined pseudo-header field"
			}
			if reason := checkPseudo(p, &seen, regular); reason != "" {
				return m, reason
			}
			*to = f.Value
			continue
		}
		regular = true
		if reason := m.field(f, true); reason != "" {
			return m, reason
		}
		if f.Name == "host" {
			if hasHost {
				return m, "several Host fields"
			}
			host, hasHost = f.Value, true
		}
	}
	if seen&pseudoMethod == 0 || !isToken(m.method) {
		return m, "missing or invalid :method"
	}
	switch {
	case seen&pseudoProtocol != 0:
		// RFC 8441, Section 4: an extended CONNECT has the other pseudo-header fields, and their rules, like any request.
		if m.method != "CONNECT" || !isToken(m.protocol) {
			return m, ":protocol without CONNECT, or invalid"
		}
	case m.method == "CONNECT":
		return m, checkConnect(seen, authority)
	}
	if seen&pseudoScheme == 0 || !isScheme(scheme) {
		return m, "missing or invalid :scheme"
	}
	if seen&pseudoPath == 0 {
		return m, "missing :path"
	}
	if seen&pseudoAuthority != 0 && hasHost && authority != host {
		return m, ":authority and Host differ"
	}
	if !hasHost {
		host = authority
	}
	if seen&pseudoAuthority != 0 || hasHost {
		if !isAuthority(host) {
			return m, "empty or invalid :authority or Host"
		}
	}
	if strings.EqualFold(scheme, "https") || strings.EqualFold(scheme, "http") {
		// The scheme has a mandatory authority, no user information in it, and a path that is never empty.
		switch {
		case host == "":
			return m, "neither :authority nor Host"
		case strings.Contains(host, "@"):
			return m, ":authority with user information"
		case path == "*" && m.method == "OPTIONS":
		case !strings.HasPrefix(path, "/"):
			return m, "invalid :path"
		}
	}
	if !isPath(path) {
		return m, "invalid character in :path"
	}
	return m, ""
}

// checkPseudo checks the place of a pseudo-header field: before all others, and once.
func checkPseudo(p pseudo, seen *pseudo, regular bool) string {
	if regular {
		return "pseudo-header field after a regular one"
	}
	if *seen&p != 0 {
		return "pseudo-header field twice"
	}
	*seen |= p
	return ""
}

// checkConnect checks the pseudo-header fields of a CONNECT request (RFC 9114, Section 4.4).
func checkConnect(seen pseudo, authority string) string {
	if seen != pseudoMethod|pseudoAuthority {
		return "CONNECT with :scheme or :path, or without :authority"
	}
	host, port, ok := strings.Cut(authority[strings.LastIndexByte(authority, ']')+1:], ":")
	if n, err := strconv.ParseUint(port, 10, 16); !ok || err != nil || n == 0 || !isAuthority(authority) ||
		host == "" && authority[0] != '[' || strings.Contains(authority, "@") {
		return "CONNECT without host and port"
	}
	return ""
}

// parseResponse checks the header section of a response (RFC 9114, Sections 4.2 and 4.3.2).
func parseResponse(fields []Field) (m message, reason string) {
	var seen pseudo
	m.contentLength = -1
	regular := false
	for i := range fields {
		f := &fields[i]
		if strings.HasPrefix(f.Name, ":") {
			if f.Name != ":status" {
				return m, "undefined pseudo-header field"
			}
			if reason := checkPseudo(pseudoStatus, &seen, regular); reason != "" {
				return m, reason
			}
			if m.status = parseStatus(f.Value); m.status == 0 {
				return m, "invalid :status"
			}
			continue
		}
		regular = true
		if reason := m.field(f, false); reason != "" {
			return m, reason
		}
	}
	if m.status == 0 {
		return m, "missing :status"
	}
	return m, ""
}

// parseStatus returns the status code, 0 if it is invalid. RFC 9114, Section 4.5: there is no 101.
func parseStatus(s string) int {
	if len(s) != 3 || s[0] < '1' || s[0] > '9' || s[1] < '0' || s[1] > '9' || s[2] < '0' || s[2] > '9' || s == "101" {
		return 0
	}
	return int(s[0]-'0')*100 + int(s[1]-'0')*10 + int(s[2]-'0')
}

// checkTrailers checks a trailer section (RFC 9114, Sections 4.2 and 4.3).
func checkTrailers(fields []Field) (reason string) {
	for i := range fields {
		if strings.HasPrefix(fields[i].Name, ":") {
			return "pseudo-header field in trailers"
		}
		if reason := checkField(&fields[i], false); reason != "" {
			return reason
		}
	}
	return ""
}

// field checks a regular field of a header section and notes what it says.
func (m *message) field(f *Field, request bool) (reason string) {
	if reason := checkField(f, request); reason != "" {
		return reason
	}
	switch f.Name {
	case "content-length":
		n := parseContentLength(f.Value)
		if n < 0 || m.contentLength >= 0 && m.contentLength != n {
			return "invalid or conflicting Content-Length"
		}
		m.contentLength = n
	case "priority":
		// RFC 9110, Section 5.3: several lines are one list.
		if m.hasPriority {
			m.priority += "," + f.Value
		} else {
			m.priority, m.hasPriority = f.Value, true
		}
	}
	return ""
}

// parseContentLength returns the value of a Content-Length field, -1 if it is invalid (RFC 9110, Section 8.6).
func parseContentLength(s string) int64 {
	n, err := strconv.ParseUint(s, 10, 63)
	if err != nil || s[0] == '+' {
		return -1
	}
	return int64(n)
}

// checkField checks a field that is not a pseudo-header field (RFC 9114, Sections 4.2 and 10.3).
func checkField(f *Field, request bool) (reason string) {
	if !isFieldName(f.Name) {
		return "invalid character in a field name"
	}
	if !isFieldValue(f.Value) {
		return "invalid character in a field value"
	}
	switch f.Name {
	case "connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade":
		return "connection-specific field"
	case "te":
		if !request || f.Value != "trailers" {
			return "TE other than trailers"
		}
	}
	return ""
}
