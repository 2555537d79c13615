package http3

import (
	"context"
	"crypto/tls"
	"net/http"

	"github.com/dunlin-quic/dunlin/h3driver"
)

// Early data in HTTP (RFC 8470), on servers and clients.

const earlyDataField = "Early-Data"

// IsEarly reports whether a request that a handler got may be a replay of one that an attacker has seen: it came in early data
// and the handshake was not complete yet, or a proxy says that it did there (RFC 8470, Section 5.1). A handler that does not
// want such a request waits with [AwaitHandshake], which does not help against what a proxy let through, or answers with
// http.StatusTooEarly, upon which the client sends it again.
func IsEarly(r *http.Request) bool { return len(r.Header[earlyDataField]) > 0 }

// AwaitHandshake waits, if the request came in early data, until its connection's handshake is complete: it is no replay then,
// and r.TLS has all that was negotiated. It returns an error if the connection ends before that, or r's context. Only the
// handler may call it, since it changes r.
func AwaitHandshake(r *http.Request) error {
	early, _ := r.Context().Value(earlyKey).(*earlyRequest)
	if early == nil {
		return nil
	}
	select {
	case <-early.conn.handshake:
	case <-r.Context().Done():
		return context.Cause(r.Context())
	}
	state := early.conn.controller.ConnectionState()
	if state == nil {
		return early.conn.controller.Err()
	}
	r.TLS = state
	if early.marked {
		early.marked = false
		delete(r.Header, earlyDataField)
	}
	return nil
}

var earlyKey = &contextKey{"early-data"}

// earlyRequest is in the context of a request that came in early data.
type earlyRequest struct {
	conn   *ServerConn
	marked bool // the header field is ours
}

// mark makes an early request known as such, in its header and in the context that it returns. A proxy must pass the mark on
// (RFC 8470, Section 5.1), as net/http/httputil's does with every field that it does not know.
func (x *exchange) mark(header http.Header) context.Context {
	early := &earlyRequest{conn: x.conn, marked: len(header[earlyDataField]) == 0}
	header[earlyDataField] = []string{"1"}
	return context.WithValue(&x.ctx, earlyKey, early)
}

// allowsEarly reports whether a handler gets a request that may be a replay.
func (s *Server) allowsEarly(r *http.Request) bool {
	if s.AllowEarly != nil {
		return s.AllowEarly(r)
	}
	return isSafe(r.Method)
}

// isSafe reports whether a method is one of those that RFC 9110, Section 9.2.1 defines as safe.
func isSafe(method string) bool {
	switch method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return true
	}
	return false
}

// connectionState returns what is negotiated so far.
func (c *ServerConn) connectionState() *tls.ConnectionState {
	if state := c.controller.ConnectionState(); state != nil {
		return state
	}
	return c.tls
}

// onHandshake hears how far the connection is, in its step.
func (c *ServerConn) onHandshake(ev h3driver.Event) {
	switch ev.Kind {
	case h3driver.EventEstablished:
		c.early = ev.Early
		if ev.Early {
			c.handshake = make(chan struct{})
		}
	case h3driver.EventHandshakeComplete, h3driver.EventClosed:
		if c.early {
			c.early = false
			close(c.handshake)
		}
	}
}

// mayBeEarly reports whether the request may be sent in early data: if its method is safe, and, where a handler sends it
// for the sake of a request of its own, that one was early too (RFC 8470, Section 4).
func (x *clientExchange) mayBeEarly() bool {
	if !x.conn.early || x.late || x.hasBody || !isSafe(x.req.Method) {
		return false
	}
	return len(x.req.Header[earlyDataField]) > 0 || x.req.Context().Value(http.ServerContextKey) == nil
}

// tooEarly reports whether a response with status 425 is for this side to act upon: a request that came with the mark of a
// proxy is for the first client to send again (RFC 8470, Section 5.2).
func (x *clientExchange) tooEarly(res *http.Response) bool {
	return res.StatusCode == http.StatusTooEarly && x.stream.Early() && len(x.req.Header[earlyDataField]) == 0
}

// failedEarly reports whether the connection ended before its handshake was complete. What was asked of it, safe requests
// and others that have not been sent, can be asked again of the next connection, which then begins without early data.
func (c *ClientConn) failedEarly() bool {
	if !c.early || c.controller.ConnectionState() != nil || c.controller.Err() == nil {
		return false
	}
	c.sessions.forget()
	c.transport.retire(c)
	return true
}
