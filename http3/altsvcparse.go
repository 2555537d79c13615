package http3

import (
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// place is where to go over HTTP/3.
type place struct {
	host string // without brackets; "" is the origin's
	port string
}

// alternative is a place where an origin is served.
type alternative struct {
	place
	expires time.Time
	persist bool   // it does not depend on the network that the client is in (RFC 7838, Section 3.1)
	record  bool   // an HTTPS record tells of it
	ech     []byte // of a record
}

// contains reports whether one of the alternatives is at p.
func contains(alternatives []alternative, p place) bool {
	return slices.ContainsFunc(alternatives, func(a alternative) bool { return a.place == p })
}

const (
	defaultAltSvcAge = 24 * time.Hour // RFC 7838, Section 3.1
	// maxAltSvcAge bounds what servers say.
	maxAltSvcAge = 30 * 24 * time.Hour
	// maxAlternatives bounds those of an origin: the first ones count.
	maxAlternatives = 8
)

// parseAltSvc returns the alternatives over HTTP/3 in the values of Alt-Svc fields (RFC 7838, Section 3) of a response that was
// generated at that time, in order of preference. ok is false if no value is well-formed; without alternatives ok says that
// there are none any more.
func parseAltSvc(values []string, generated time.Time) (found []alternative, ok bool) {
	for _, v := range values {
		list, well, clear := parseAltSvcValue(v, generated)
		if clear {
			return nil, true // also of what else the response says
		}
		if well {
			found, ok = append(found, list...), true
		}
	}
	return found[:min(len(found), maxAlternatives)], ok
}

func parseAltSvcValue(v string, generated time.Time) (found []alternative, ok, clear bool) {
	s := scanner{v}
	s.space()
	for {
		protocol := s.token()
		if protocol == "clear" { // case-sensitive
			s.space()
			if s.rest == "" || s.rest[0] == ',' {
				return nil, true, true
			}
		}
		if protocol == "" || !s.take('=') {
			return nil, false, false
		}
		authority, quoted := s.quoted()
		if !quoted {
			return nil, false, false
		}
		a := alternative{expires: generated.Add(defaultAltSvcAge)}
		for s.space(); s.take(';'); s.space() {
			s.space()
			name := s.token()
			if name == "" || !s.take('=') {
				return nil, false, false
			}
			value, quoted := s.quoted()
			if !quoted {
				if value = s.token(); value == "" {
					return nil, false, false
				}
			}
			if strings.EqualFold(name, "ma") {
				n, err := strconv.ParseUint(value, 10, 63)
				if err != nil {
					return nil, false, false
				}
				a.expires = generated.Add(time.Duration(min(n, uint64(maxAltSvcAge/time.Second))) * time.Second)
			}
			if strings.EqualFold(name, "persist") && value == "1" {
				a.persist = true
			}
		}
		if name, err := url.PathUnescape(protocol); err == nil && name == NextProto {
			host, port, err := net.SplitHostPort(authority)
			if n, bad := strconv.ParseUint(port, 10, 16); err == nil && bad == nil && n > 0 {
				a.place = place{strings.ToLower(host), port}
				found = append(found, a)
			}
		}
		if s.rest == "" {
			return found, true, false
		}
		if !s.take(',') {
			return nil, false, false
		}
		for s.space(); s.take(','); s.space() { // RFC 9110, Section 5.6.1: empty elements
		}
		if s.rest == "" {
			return found, true, false
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
