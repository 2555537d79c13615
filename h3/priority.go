package h3

import "strings"

// Priority is the priority of a response (RFC 9218, Section 4).
type Priority struct {
	Urgency     uint8 // 0, the highest, to 7
	Incremental bool  // useful in parts: shares the bandwidth with others of its urgency
}

// DefaultPriority is that of a request which names none.
var DefaultPriority = Priority{Urgency: 3}

// ParsePriority parses the value of a priority field or PRIORITY_UPDATE frame, a dictionary (RFC 9218, Section 4; RFC
// 8941, Section 3.2). Members that it does not know or whose values are wrong are ignored, as the RFC asks.
func ParsePriority(s string) Priority {
	p := DefaultPriority
	for len(s) > 0 {
		var member string
		member, s = cutMember(s)
		member = strings.Trim(member, " \t")
		member, _, _ = strings.Cut(member, ";") // parameters
		key, value, hasValue := strings.Cut(member, "=")
		switch key {
		case "u":
			if len(value) == 1 && value[0] >= '0' && value[0] <= '7' {
				p.Urgency = value[0] - '0'
			}
		case "i":
			if !hasValue || value == "?1" {
				p.Incremental = true
			} else if value == "?0" {
				p.Incremental = false
			}
		}
	}
	return p
}

// cutMember cuts s after its first member, at a comma outside quoted strings and inner lists.
func cutMember(s string) (member, rest string) {
	quoted, depth := false, 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '(':
			depth++
		case c == ')':
			depth--
		case c == ',' && depth <= 0:
			return s[:i], s[i+1:]
		}
	}
	return s, ""
}
