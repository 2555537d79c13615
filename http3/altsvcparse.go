package http3

import (
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// alternative is another place where an origin is served over HTTP/3.
type alternative struct {
	host    string // without brackets; "" is the origin's
	port    string
	expires time.Time
	ech     []byte // of an HTTPS record
}

const (
	defaultAltSvcAge = 24 * time.Hour // RFC 7838, Section 3.1
	// maxAltSvcAge bounds what servers say.
	maxAltSvcAge = 30 * 24 * time.Hour
)

// parseAltSvc returns the alternatives over HTTP/3 in the values of Alt-Svc fields (RFC 7838, Section 3), in order of
// preference. ok is false if no value is well-formed; without alternatives ok says that there are none any more.
func parseAltSvc(values []string, now time.Time) (found []alternative, ok bool) {
	for _, v := range values {
		list, well := parseAltSvcValue(v, now)
		if well {
			found, ok = append(found, list...), true
		}
	}
	return found, ok
}

func parseAltSvcValue(v string, now time.Time) (found []alternative, ok bool) {
	s := scanner{v}
	s.space()
	if s.rest == "clear" {
		return nil, true // case-sensitive, and alone
	}
	for {
		protocol := s.token()
		if protocol == "" || !s.take('=') {
			return nil, false
		}
		authority, quoted := s.quoted()
		if !quoted {
			return nil, false
		}
		age := defaultAltSvcAge
		for s.space(); s.take(';'); s.space() {
			s.space()
			name := s.token()
			if name == "" || !s.take('=') {
				return nil, false
			}
			value, quoted := s.quoted()
			if !quoted {
				if value = s.token(); value == "" {
					return nil, false
				}
			}
			if strings.EqualFold(name, "ma") {
				n, err := strconv.ParseUint(value, 10, 63)
				if err != nil {
					return nil, false
				}
				age = time.Duration(min(n, uint64(maxAltSvcAge/time.Second))) * time.Second
			}
		}
		if name, err := url.PathUnescape(protocol); err == nil && name == NextProto {
			host, port, err := net.SplitHostPort(authority)
			if n, bad := strconv.ParseUint(port, 10, 16); err == nil && bad == nil && n > 0 {
				found = append(found, alternative{host: strings.ToLower(host), port: port, expires: now.Add(age)})
			}
		}
		if s.rest == "" {
			return found, true
		}
		if !s.take(',') {
			return nil, false
		}
		for s.space(); s.take(','); s.space() { // RFC 9110, Section 5.6.1: empty elements
		}
		if s.rest == "" {
			return found, true
		}
	}
}

// scanner takes field values apart (RFC 9110, Section 5.6).
type scanner struct{ rest string }

func (s *scanner) space() { s.rest = strings.TrimLeft(s.rest, " \t") }

func (s *scanner) take(c byte) bool {
	if s.rest != "" && s.rest[0] == c {
		s.rest = s.rest[1:]
		return true
	}
	return false
}

func (s *scanner) token() (t string) {
	end := strings.IndexFunc(s.rest, func(r rune) bool {
		return r >= 0x7f || !strings.ContainsRune("!#$%&'*+-.^_`|~", r) &&
			(r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	})
	if end < 0 {
		end = len(s.rest)
	}
	t, s.rest = s.rest[:end], s.rest[end:]
	return t
}

// quoted takes a quoted string. It returns false, and takes nothing, if there is none.
func (s *scanner) quoted() (string, bool) {
	if s.rest == "" || s.rest[0] != '"' {
		return "", false
	}
	var b strings.Builder
	for i := 1; i < len(s.rest); i++ {
		switch c := s.rest[i]; {
		case c == '"':
			s.rest = s.rest[i+1:]
			return b.String(), true
		case c == '\\' && i+1 < len(s.rest):
			i++
			b.WriteByte(s.rest[i])
		default:
			b.WriteByte(c)
		}
	}
	return "", false
}
