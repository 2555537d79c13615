package http3

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"

	"golang.org/x/net/http/httpguts"

	"github.com/dunlin-quic/dunlin/h3"
)

var errPath = errors.New("http3: malformed request target")

// newRequest makes net/http's request of a header section, which package h3 has checked (RFC 9114, Section 4.3.1).
func (x *exchange) newRequest(fields []h3.Field, fin bool) (*http.Request, error) {
	pseudo, rest := splitPseudo(fields)
	var method, path, authority, protocol string
	for i := range pseudo {
		switch pseudo[i].Name {
		case ":method":
			method = pseudo[i].Value
		case ":path":
			path = pseudo[i].Value
		case ":authority":
			authority = pseudo[i].Value
		case ":protocol":
			protocol = pseudo[i].Value
		}
	}
	header := toHeader(rest)
	state := x.conn.connectionState()
	if authority == "" {
		authority = header.Get("Host")
	}
	delete(header, "Host")

	var target *url.URL
	if protocol != "" {
		header[protocolKey] = []string{protocol}
	}
	if method == http.MethodConnect && protocol == "" {
		target, path = &url.URL{Host: authority}, authority
	} else {
		var err error
		if target, err = url.ParseRequestURI(path); err != nil {
			return nil, errPath
		}
	}
	x.body.x = x
	if header["Expect"] != nil && httpguts.HeaderValuesContainsToken(header["Expect"], "100-continue") {
		delete(header, "Expect")
		x.body.expected.Store(!fin)
	}
	ctx := context.Context(&x.ctx)
	if x.early = x.early && !state.HandshakeComplete; x.early {
		ctx = x.mark(header)
	}
	// The literal stays on the stack: WithContext makes the copy that the handler gets.
	r := (&http.Request{
		Method:     method,
		URL:        target,
		Proto:      "HTTP/3.0",
		ProtoMajor: 3,
		Header:     header,
		Host:       authority,
		RequestURI: path,
		RemoteAddr: x.conn.remoteName,
		TLS:        state,
		Trailer:    declaredTrailers(header),
		Body:       http.NoBody,
	}).WithContext(ctx)
	if !fin {
		r.Body = &x.body
		r.ContentLength = -1
		if cl := header["Content-Length"]; len(cl) > 0 {
			if n, err := strconv.ParseInt(cl[0], 10, 64); err == nil {
				r.ContentLength = n
			}
		}
	}
	x.body.request = r
	return r, nil
}
