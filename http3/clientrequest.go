package http3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/dunlin-quic/dunlin/h3"
	"github.com/dunlin-quic/dunlin/h3driver"
)

// userAgent is sent where the request names none.
const userAgent = "dunlin/1"

// firstPart makes the header section, and whole if the request is complete with it: without a body, or with a small one
// from memory.
func (x *clientExchange) firstPart() (p h3driver.Part, whole bool, err error) {
	c := newChunk()
	defer func() {
		if err != nil {
			c.Release()
		}
	}()
	if c.fields, err = x.appendPseudo(c.fields); err != nil {
		return p, false, err
	}
	c.fields = x.appendFields(c.fields)
	p = h3driver.Part{Header: c.fields, Release: c, Early: x.mayBeEarly()}
	if x.trace != nil && x.trace.WroteHeaderField != nil {
		for _, f := range c.fields {
			x.trace.WroteHeaderField(f.Name, []string{f.Value})
		}
	}
	if !x.hasBody {
		p.Fin = !x.tunnel()
		return p, true, nil
	}
	length := x.bodyLength()
	if x.req.GetBody == nil || length < 0 || length > chunkSize || len(x.req.Trailer) > 0 || x.expectsContinue() {
		return p, false, nil
	}
	x.bodyTouched.Store(true)
	c.body = c.body[:length]
	n, err := io.ReadFull(x.req.Body, c.body)
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return p, false, bodyLengthError(length, int64(n))
	}
	if err == nil {
		err = x.checkEnd(length)
	}
	x.closeBody()
	p.Body, p.Fin = c.body, true
	return p, true, err
}

func bodyLengthError(want, got int64) error {
	return fmt.Errorf("http3: ContentLength=%d with Body length %d", want, got)
}

// checkEnd makes sure that the body ends where ContentLength says.
func (x *clientExchange) checkEnd(length int64) error {
	var probe [1]byte
	for {
		n, err := x.req.Body.Read(probe[:])
		switch {
		case n > 0:
			return errors.New("http3: the request's body is longer than its ContentLength of " + strconv.FormatInt(length, 10))
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
	}
}

// bodyLength returns the length of the body, -1 if it is unknown.
func (x *clientExchange) bodyLength() int64 {
	switch {
	case !x.hasBody:
		return 0
	case x.req.ContentLength > 0:
		return x.req.ContentLength
	}
	return -1
}

func (x *clientExchange) expectsContinue() bool {
	values := x.req.Header["Expect"]
	return len(values) > 0 && httpguts.HeaderValuesContainsToken(values, "100-continue")
}

// appendPseudo appends the pseudo-header fields (RFC 9114, Section 4.3.1).
func (x *clientExchange) appendPseudo(fields []h3.Field) ([]h3.Field, error) {
	req := x.req
	method := req.Method
	if method == "" {
		method = http.MethodGet
	}
	authority := req.Host
	if authority == "" {
		authority = req.URL.Host
	}
	if !ascii(authority) {
		var err error
		if authority, err = httpguts.PunycodeHostPort(authority); err != nil {
			return fields, err
		}
	}
	if !httpguts.ValidHostHeader(authority) {
		return fields, errors.New("http3: invalid Host " + quote(authority))
	}
	fields = append(fields, h3.Field{Name: ":method", Value: method})
	if method == http.MethodConnect {
		protocol := req.Header[protocolKey]
		if len(protocol) == 0 {
			return append(fields, h3.Field{Name: ":authority", Value: authority}), nil
		}
		fields = append(fields, h3.Field{Name: ":protocol", Value: protocol[0]})
	}
	path := requestPath(req.URL, authority)
	if path == "" || path[0] != '/' && path != "*" {
		return fields, errors.New("http3: invalid request path " + quote(path))
	}
	return append(fields,
		h3.Field{Name: ":scheme", Value: req.URL.Scheme},
		h3.Field{Name: ":authority", Value: authority},
		h3.Field{Name: ":path", Value: path}), nil
}

// requestPath returns the :path of a URL, also of one that is opaque because its path was not to be encoded.
func requestPath(u *url.URL, authority string) string {
	if u.Opaque == "" && u.RawQuery == "" && !u.ForceQuery && u.RawPath == "" && plainPath(u.Path) {
		return u.Path
	}
	return strings.TrimPrefix(u.RequestURI(), u.Scheme+"://"+authority)
}

// plainPath reports whether a path is its own encoding.
func plainPath(p string) bool {
	if p == "" {
		return false
	}
	for i := range len(p) {
		c := p[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '/', c == '-', c == '_', c == '.', c == '~':
		default:
			return false
		}
	}
	return true
}

// appendFields appends the other fields of the header section.
func (x *clientExchange) appendFields(fields []h3.Field) []h3.Field {
	req := x.req
	agent, encoding, ranged := false, false, false
	for key, values := range req.Header {
		switch key = http.CanonicalHeaderKey(key); key {
		case "Host", "Content-Length", "Trailer", protocolKey:
			continue // of these Request has fields of its own
		case "Alt-Used":
			if x.alternative {
				continue
			}
		case "User-Agent":
			agent = true
			if len(values) == 0 || values[0] == "" {
				continue
			}
		case "Te":
			// RFC 9114, Section 4.2.
			if httpguts.HeaderValuesContainsToken(values, "trailers") {
				fields = append(fields, h3.Field{Name: "te", Value: "trailers"})
			}
			continue
		case "Accept-Encoding":
			encoding = true
		case "Range":
			ranged = true
		}
		fields = appendField(fields, key, values)
	}
	if length := x.bodyLength(); length > 0 || length == 0 && sendsZeroLength(req.Method) {
		fields = append(fields, h3.Field{Name: "content-length", Value: strconv.FormatInt(length, 10)})
	}
	if len(req.Trailer) > 0 && x.hasBody {
		keys := make([]string, 0, len(req.Trailer))
		for key := range req.Trailer {
			keys = append(keys, key)
		}
		fields = append(fields, h3.Field{Name: "trailer", Value: strings.Join(keys, ", ")})
	}
	if !x.conn.transport.DisableCompression && !encoding && !ranged && req.Method != http.MethodHead && req.Method != http.MethodConnect {
		x.gzip = true
		fields = append(fields, h3.Field{Name: "accept-encoding", Value: "gzip"})
	}
	if x.alternative {
		fields = append(fields, h3.Field{Name: "alt-used", Value: x.conn.altUsed()})
	}
	if !agent {
		fields = append(fields, h3.Field{Name: "user-agent", Value: userAgent})
	}
	return fields
}

// sendsZeroLength reports whether an absent body of a method is worth a word, as net/http decides.
func sendsZeroLength(method string) bool {
	switch method {
	case http.MethodPost, http.MethodPut, http.MethodPatch:
		return true
	}
	return false
}

// allowBody ends the wait of a body with "Expect: 100-continue": leave is given, or will not be.
func (x *clientExchange) allowBody(given bool) {
	if x.proceed == nil {
		return
	}
	if !given {
		// RFC 9110, Section 10.1.1: the final response came without leave, so the body is not wanted.
		x.stopped.Store(true)
	}
	x.proceedOnce.Do(func() { close(x.proceed) })
}

// sendBody sends the body; in a goroutine of its own.
func (x *clientExchange) sendBody() {
	if ctx := x.req.Context(); ctx.Done() != nil {
		defer context.AfterFunc(ctx, func() { x.abort(context.Cause(ctx)) })()
	}
	err := x.copyBody()
	x.closeBody()
	if err != nil {
		var reading *bodyReadError
		if errors.As(err, &reading) && !x.stopped.Load() {
			// Before the server knows: what it may still answer is an answer to something else.
			x.gotError(reading.err)
			x.abort(reading.err)
		}
		x.stream.CancelWrite(h3.RequestCancelled)
	}
	x.wroteRequest(err)
	close(x.bodySent)
	x.done()
}

// bodyReadError is a failure of the request's body, as against one of the stream.
type bodyReadError struct{ err error }

func (e *bodyReadError) Error() string { return e.err.Error() }

func (x *clientExchange) wroteRequest(err error) {
	if x.trace != nil && x.trace.WroteRequest != nil {
		x.trace.WroteRequest(httptrace.WroteRequestInfo{Err: err})
	}
}

// copyBody sends the body and its trailers. An error of the stream means that the server does not want the rest.
func (x *clientExchange) copyBody() error {
	if x.proceed != nil && !x.waitToProceed() {
		return errNotWanted
	}
	x.bodyTouched.Store(true)
	length := x.bodyLength()
	var sent int64
	for {
		c := bodyChunks.Get().(*bodyChunk)
		n, err := x.req.Body.Read(c.array[:])
		sent += int64(n)
		if err == nil && length >= 0 && sent == length {
			// The end of the message can travel with its last bytes.
			if err = x.checkEnd(length); err == nil {
				err = io.EOF
			}
		}
		switch {
		case err == io.EOF && length >= 0 && sent != length, length >= 0 && sent > length:
			err = bodyLengthError(length, sent)
			fallthrough
		case err != nil && err != io.EOF:
			c.Release()
			return &bodyReadError{err}
		}
		p := h3driver.Part{Body: c.array[:n], Fin: err == io.EOF, Release: c}
		if p.Fin && len(x.req.Trailer) > 0 {
			p.Trailer = appendTrailers(nil, x.req.Trailer)
		}
		if err := x.stream.Send(p); err != nil {
			return err
		}
		if p.Fin {
			return x.stream.Flush()
		}
	}
}

var errNotWanted = errors.New("http3: the server answered without wanting the request's body")

// waitToProceed waits for the server's leave to send the body. It returns false if the body is not wanted.
func (x *clientExchange) waitToProceed() bool {
	if x.trace != nil && x.trace.Wait100Continue != nil {
		x.trace.Wait100Continue()
	}
	timeout := time.NewTimer(positive(x.conn.transport.ExpectContinueTimeout, defaultExpectContinueTimeout))
	defer timeout.Stop()
	select {
	case <-x.proceed:
	case <-timeout.C:
	case <-x.req.Context().Done():
		return false
	}
	return !x.stopped.Load()
}
