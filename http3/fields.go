package http3

import (
	"net/http"
	"net/textproto"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/dunlin-quic/dunlin/h3"
)

// commonFields are the field names that need no allocation to change between net/http's spelling and HTTP/3's.
var commonFields = [...]string{
	"accept", "accept-charset", "accept-encoding", "accept-language", "accept-ranges", "access-control-allow-credentials",
	"access-control-allow-headers", "access-control-allow-methods", "access-control-allow-origin",
	"access-control-expose-headers", "access-control-max-age", "access-control-request-headers",
	"access-control-request-method", "age", "allow", "alt-svc", "authorization", "cache-control", "content-disposition",
	"content-encoding", "content-language", "content-length", "content-location", "content-range",
	"content-security-policy", "content-type", "cookie", "cross-origin-resource-policy", "date", "early-data", "etag",
	"expect", "expires", "forwarded", "from", "host", "if-match", "if-modified-since", "if-none-match", "if-range",
	"if-unmodified-since", "last-modified", "link", "location", "origin", "permissions-policy", "priority",
	"proxy-authenticate", "proxy-authorization", "purpose", "range", "referer", "referrer-policy", "retry-after",
	"sec-ch-ua", "sec-ch-ua-mobile", "sec-ch-ua-platform", "sec-fetch-dest", "sec-fetch-mode", "sec-fetch-site",
	"sec-fetch-user", "server", "server-timing", "set-cookie", "strict-transport-security", "te",
	"timing-allow-origin", "trailer", "transfer-encoding", "upgrade-insecure-requests", "user-agent", "vary", "via",
	"www-authenticate", "x-content-type-options", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto",
	"x-frame-options", "x-real-ip", "x-request-id", "x-xss-protection",
}

var (
	canonicalNames = make(map[string]string, len(commonFields)) // by name in lower case
	lowerNames     = make(map[string]string, len(commonFields)) // by canonical name
)

func init() {
	for _, lower := range commonFields {
		canonical := http.CanonicalHeaderKey(lower)
		canonicalNames[lower] = canonical
		lowerNames[canonical] = lower
	}
}

// canonicalName returns net/http's spelling of a field name.
func canonicalName(name string) string {
	if c, ok := canonicalNames[name]; ok {
		return c
	}
	return http.CanonicalHeaderKey(name)
}

// lowerName returns HTTP/3's spelling of a field name, false if it is none (RFC 9114, Section 4.2).
func lowerName(key string) (string, bool) {
	if l, ok := lowerNames[key]; ok {
		return l, true
	}
	if !httpguts.ValidHeaderFieldName(key) {
		return "", false
	}
	return strings.ToLower(key), true
}

// connectionSpecific reports whether a field belongs to one connection of HTTP/1.1 and must not be sent (RFC 9114,
// Section 4.2). TE is one but for a value that clients may send.
func connectionSpecific(name string) bool {
	switch name {
	case "connection", "proxy-connection", "keep-alive", "transfer-encoding", "upgrade", "te":
		return true
	}
	return false
}

// neverIndex reports whether a field must not enter a compression table, where its value could be guessed byte by byte
// (RFC 9204, Section 7.1).
func neverIndex(name, value string) bool {
	switch name {
	case "authorization", "proxy-authorization":
		return true
	case "cookie", "set-cookie":
		return len(value) < 20
	}
	return false
}

// appendField appends key's values, leaving out what is no valid field of HTTP/3.
func appendField(fields []h3.Field, key string, values []string) []h3.Field {
	name, ok := lowerName(key)
	if !ok || connectionSpecific(name) {
		return fields
	}
	for _, v := range values {
		// RFC 9114, Section 10.3: whitespace at the ends is no part of a value.
		v = textproto.TrimString(v)
		if httpguts.ValidHeaderFieldValue(v) {
			fields = append(fields, h3.Field{Name: name, Value: v, NeverIndex: neverIndex(name, v)})
		}
	}
	return fields
}

// sectionSize is the size of a field section as RFC 9114, Section 4.2.2 measures it.
func sectionSize(fields []h3.Field) int {
	n := 0
	for i := range fields {
		n += len(fields[i].Name) + len(fields[i].Value) + 32
	}
	return n
}

// splitPseudo returns the pseudo-header fields, which come first, and the rest.
func splitPseudo(fields []h3.Field) (pseudo, rest []h3.Field) {
	for i := range fields {
		if fields[i].Name[0] != ':' {
			return fields[:i], fields[i:]
		}
	}
	return fields, nil
}

// toHeader makes a header map of fields without pseudo-header fields. Cookies that were split for better compression
// become one (RFC 9114, Section 4.2.1).
func toHeader(fields []h3.Field) http.Header {
	h := make(http.Header, len(fields))
	values := make([]string, len(fields)) // one allocation for the slices of all keys that come once
	cookies := 0
	for i := range fields {
		if fields[i].Name == "cookie" {
			if cookies++; cookies > 1 {
				continue
			}
		}
		key := canonicalName(fields[i].Name)
		if old := h[key]; old != nil {
			h[key] = append(old, fields[i].Value)
			continue
		}
		values[i] = fields[i].Value
		h[key] = values[i : i+1 : i+1]
	}
	if cookies > 1 {
		var b strings.Builder
		for i := range fields {
			if fields[i].Name == "cookie" {
				if b.Len() > 0 {
					b.WriteString("; ")
				}
				b.WriteString(fields[i].Value)
			}
		}
		h["Cookie"][0] = b.String()
	}
	return h
}

// declaredTrailers returns a map with the keys that the Trailer field announces, nil if none, and removes the field.
func declaredTrailers(h http.Header) http.Header {
	values, ok := h["Trailer"]
	if !ok {
		return nil
	}
	delete(h, "Trailer")
	trailer := make(http.Header)
	for _, v := range values {
		for name := range strings.SplitSeq(v, ",") {
			key := http.CanonicalHeaderKey(strings.TrimSpace(name))
			if httpguts.ValidTrailerHeader(key) {
				trailer[key] = nil
			}
		}
	}
	if len(trailer) == 0 {
		return nil
	}
	return trailer
}

// mergeTrailers adds a received trailer section to *trailer.
func mergeTrailers(trailer *http.Header, fields []h3.Field) {
	for i := range fields {
		key := canonicalName(fields[i].Name)
		if !httpguts.ValidTrailerHeader(key) {
			continue
		}
		if *trailer == nil {
			*trailer = make(http.Header, len(fields))
		}
		(*trailer)[key] = append((*trailer)[key], fields[i].Value)
	}
}

// appendTrailers appends the valid fields of trailer that have values.
func appendTrailers(fields []h3.Field, trailer http.Header) []h3.Field {
	for key, values := range trailer {
		if httpguts.ValidTrailerHeader(key) {
			fields = appendField(fields, key, values)
		}
	}
	return fields
}
