package http3

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/dunlin-quic/dunlin/h3"
	"github.com/dunlin-quic/dunlin/h3driver"
)

// chunk is the memory of one Part of a response: its header section and the first bytes of its body. The connection
// gives it back when it has sent them, so that a handler that returns waits for nothing.
type chunk struct {
	fields   []h3.Field
	trailers []h3.Field
	body     []byte
	array    [chunkSize]byte
}

// chunkSize is how much of a response is held back before its header section is sent; a response that ends before
// gets a Content-Length.
const chunkSize = 4 << 10

var chunks = sync.Pool{New: func() any { return new(chunk) }}

func newChunk() *chunk {
	c := chunks.Get().(*chunk)
	c.body = c.array[:0]
	return c
}

// Release implements h3driver.Releaser.
func (c *chunk) Release() {
	clear(c.fields)
	clear(c.trailers)
	c.fields, c.trailers = c.fields[:0], c.trailers[:0]
	chunks.Put(c)
}

// bodyChunk is the memory of one Part of a large body.
type bodyChunk struct {
	head  *chunk // of the same Part, or nil
	array [bodyChunkSize]byte
}

// bodyChunkSize is what one train of packets carries, which is 64 KiB with headers and tags. Were it a little more, every
// train would be followed by one of a packet or two.
const bodyChunkSize = 62 << 10

var bodyChunks = sync.Pool{New: func() any { return new(bodyChunk) }}

// Release implements h3driver.Releaser.
func (c *bodyChunk) Release() {
	if c.head != nil {
		c.head.Release()
		c.head = nil
	}
	bodyChunks.Put(c)
}

// response is the http.ResponseWriter of a request. It also implements http.Flusher, io.StringWriter, io.ReaderFrom and
// the methods that http.ResponseController looks for.
type response struct {
	x       *exchange
	header  http.Header
	chunk   *chunk // header section and body bytes that are not sent yet; nil if there are none
	head    bool   // the request's method is HEAD
	connect bool   // it is CONNECT
	timed   bool   // there is a write deadline

	wroteHeader bool        // WriteHeader was called with a final status
	headerSent  atomic.Bool // the header section is on its way; also looked at by readers of the request's body
	done        bool        // the handler has returned
	closed      atomic.Bool // the response has ended: it was a tunnel
	status      int
	length      int64 // the declared Content-Length, -1 if none
	written     int64 // body bytes that the handler wrote
	hasType     bool  // no Content-Type is to be guessed
	declared    []string
}

// Header implements http.ResponseWriter.
func (w *response) Header() http.Header {
	if w.header == nil {
		w.header = make(http.Header, 8)
	}
	return w.header
}

// WriteHeader implements http.ResponseWriter.
func (w *response) WriteHeader(status int) {
	switch {
	case status < 100 || status > 999:
		panic(fmt.Sprintf("http3: invalid WriteHeader code %v", status)) // as net/http does
	case w.done:
		return
	case w.wroteHeader:
		w.misuse("superfluous WriteHeader")
		return
	case status == http.StatusSwitchingProtocols:
		// RFC 9114, Section 4.5: HTTP/3 has no upgrade.
		w.misuse("WriteHeader with status 101")
		status = http.StatusInternalServerError
	case status < 200:
		w.sendInterim(status)
		return
	}
	w.wroteHeader = true
	w.status = status
	w.chunk = newChunk()
	w.snapshot(w.chunk, status)
}

func (w *response) misuse(what string) {
	w.x.conn.server.errorLog().LogAttrs(&w.x.ctx, slog.LevelWarn, "http3: handler called "+what,
		slog.String("remote", w.x.conn.remoteName))
}

// sendInterim sends an informational response; the header map stays as it is (RFC 8297, Section 2).
func (w *response) sendInterim(status int) {
	c := newChunk()
	c.fields = append(c.fields, h3.Field{Name: ":status", Value: statusCode(status)})
	for key, values := range w.header {
		if key = http.CanonicalHeaderKey(key); key != "Content-Length" && key != "Trailer" && !strings.HasPrefix(key, http.TrailerPrefix) {
			c.fields = appendField(c.fields, key, values)
		}
	}
	_ = w.x.stream.Send(h3driver.Part{Header: c.fields, Interim: true, Release: c}) // an error shows in the writing
}

// snapshot puts the header section into c as it is when WriteHeader is called; what depends on the body follows.
func (w *response) snapshot(c *chunk, status int) {
	c.fields = append(c.fields, h3.Field{Name: ":status", Value: statusCode(status)})
	w.length = -1
	dated := false
	for key, values := range w.header {
		key = http.CanonicalHeaderKey(key)
		if len(values) == 0 {
			// As in net/http, a key without values says that no value is to be made up.
			w.hasType = w.hasType || key == "Content-Type"
			dated = dated || key == "Date"
			continue
		}
		switch key {
		case "Content-Length":
			n, err := strconv.ParseInt(strings.TrimSpace(values[0]), 10, 64)
			if err != nil || n < 0 {
				w.misuse("WriteHeader with an invalid Content-Length")
				continue
			}
			if status == http.StatusNoContent {
				continue // RFC 9110, Section 8.6
			}
			w.length = n
			values = values[:1]
		case "Content-Type", "Content-Encoding":
			w.hasType = true
		case "Date":
			dated = true
		case "Trailer":
			w.declareTrailers(values)
		case "Connection":
			if strings.EqualFold(values[0], "close") {
				w.x.conn.controller.GoAway()
			}
		default:
			if strings.HasPrefix(key, http.TrailerPrefix) {
				continue
			}
		}
		c.fields = appendField(c.fields, key, values)
	}
	if !dated {
		c.fields = append(c.fields, h3.Field{Name: "date", Value: httpDate(time.Now())})
	}
}

// Write implements http.ResponseWriter.
func (w *response) Write(p []byte) (int, error) {
	if err := w.prepare(len(p)); err != nil {
		return 0, err
	}
	return w.write(p)
}

// WriteString implements io.StringWriter.
func (w *response) WriteString(s string) (int, error) {
	if err := w.prepare(len(s)); err != nil {
		return 0, err
	}
	if w.chunk != nil && len(s) <= cap(w.chunk.body)-len(w.chunk.body) {
		w.chunk.body = append(w.chunk.body, s...)
		return len(s), nil
	}
	return w.write([]byte(s))
}

// prepare makes sure that n more bytes of body may be written.
func (w *response) prepare(n int) error {
	if w.done {
		return ErrHandlerDone
	}
	if !w.wroteHeader {
		w.WriteHeader(http.StatusOK)
	}
	if !bodyAllowed(w.status) {
		return http.ErrBodyNotAllowed
	}
	w.written += int64(n)
	if w.length >= 0 && w.written > w.length {
		w.written -= int64(n)
		return http.ErrContentLength
	}
	return nil
}

func (w *response) write(p []byte) (n int, err error) {
	c := w.chunk
	if c == nil && len(p) < chunkSize {
		c = newChunk()
		w.chunk = c
	}
	if c != nil {
		n = copy(c.body[len(c.body):cap(c.body)], p)
		c.body = c.body[:len(c.body)+n]
		if n == len(p) {
			return n, nil
		}
		if err := w.send(false); err != nil {
			return n, err
		}
	}
	if w.head {
		return len(p), nil
	}
	// The handler's memory is its own again when Write returns: it is copied once, here, and what holds the copy is lent to
	// the connection until the client has acknowledged it.
	for len(p)-n >= chunkSize {
		// A response that has to wait holds one buffer, and not a second one that waits behind it.
		if err := w.x.stream.Flush(); err != nil {
			return n, err
		}
		c := bodyChunks.Get().(*bodyChunk)
		m := copy(c.array[:], p[n:])
		if err := w.x.stream.Send(h3driver.Part{Body: c.array[:m], Release: c}); err != nil {
			return n, err
		}
		n += m
	}
	if n < len(p) {
		w.chunk = newChunk()
		w.chunk.body = append(w.chunk.body, p[n:]...)
	}
	return len(p), nil
}

// ReadFrom implements io.ReaderFrom: io.Copy reads into buffers that are lent to the connection, and reads the next one
// meanwhile.
func (w *response) ReadFrom(r io.Reader) (total int64, err error) {
	for {
		c := bodyChunks.Get().(*bodyChunk)
		n, err := r.Read(c.array[:])
		if n > 0 {
			if werr := w.writeChunk(c, n); werr != nil {
				return total, werr
			}
			total += int64(n)
		} else {
			c.Release()
		}
		if err == io.EOF {
			return total, nil
		}
		if err != nil {
			return total, err
		}
	}
}

// writeChunk writes the first n bytes of c and releases it.
func (w *response) writeChunk(c *bodyChunk, n int) error {
	if err := w.prepare(n); err != nil {
		c.Release()
		return err
	}
	if w.head || n <= chunkSize {
		_, err := w.write(c.array[:n])
		c.Release()
		return err
	}
	p := h3driver.Part{Body: c.array[:n], Release: c}
	if w.chunk != nil && len(w.chunk.body) == 0 && !w.headerSent.Load() {
		w.guessType(w.chunk, c.array[:n])
		w.headerSent.Store(true)
		c.head, w.chunk = w.chunk, nil
		p.Header = c.head.fields
	} else if w.chunk != nil {
		if err := w.send(false); err != nil {
			c.Release()
			return err
		}
	}
	return w.x.stream.Send(p)
}

// guessType adds to c a Content-Type for a body that starts with p, if the handler gave none.
func (w *response) guessType(c *chunk, p []byte) {
	if !w.hasType && len(p) > 0 && bodyAllowed(w.status) {
		w.hasType = true
		c.fields = append(c.fields, h3.Field{Name: "content-type", Value: http.DetectContentType(p)})
	}
}

// send hands the chunk over, with fin as the end of the response.
func (w *response) send(fin bool) error {
	c := w.chunk
	w.chunk = nil
	if c == nil {
		c = newChunk()
	}
	p := h3driver.Part{Body: c.body, Fin: fin, Release: c}
	if !w.headerSent.Load() {
		w.guessType(c, c.body)
		if fin && w.length < 0 && bodyAllowed(w.status) && (!w.head || len(c.body) > 0) && !w.connect {
			c.fields = append(c.fields, h3.Field{Name: "content-length", Value: strconv.FormatInt(w.written, 10)})
		}
		p.Header = c.fields
		w.headerSent.Store(true)
	}
	if w.head {
		p.Body, p.Fin = nil, p.Fin || p.Header != nil
		if p.Header == nil {
			c.Release()
			return nil
		}
	}
	if fin && !w.head {
		c.trailers = w.trailers(c.trailers)
		if len(c.trailers) > 0 {
			p.Trailer = c.trailers
		}
	}
	if fin {
		return w.x.stream.Leave(p)
	}
	return w.x.stream.Send(p)
}

// declareTrailers notes the keys that the Trailer field announces.
func (w *response) declareTrailers(values []string) {
	for _, v := range values {
		for name := range strings.SplitSeq(v, ",") {
			w.declared = append(w.declared, http.CanonicalHeaderKey(strings.TrimSpace(name)))
		}
	}
}

// trailers appends the trailer section: what was declared, and what has net/http's prefix.
func (w *response) trailers(fields []h3.Field) []h3.Field {
	for _, key := range w.declared {
		if httpguts.ValidTrailerHeader(key) {
			fields = appendField(fields, key, w.header[key])
		}
	}
	for prefixed, values := range w.header {
		if key, ok := strings.CutPrefix(prefixed, http.TrailerPrefix); ok && httpguts.ValidTrailerHeader(key) {
			fields = appendField(fields, http.CanonicalHeaderKey(key), values)
		}
	}
	return fields
}

// finish ends the response after the handler has returned.
func (w *response) finish() error {
	if !w.wroteHeader {
		w.WriteHeader(http.StatusOK)
	}
	w.done = true
	if w.closed.Load() {
		return nil
	}
	if w.length > w.written && !w.head && bodyAllowed(w.status) {
		// The response would be malformed (RFC 9114, Section 4.1.2).
		w.discard()
		return http.ErrContentLength
	}
	if err := w.send(true); err != nil {
		return err
	}
	if w.timed {
		w.x.Flush()
		return w.x.stream.Flush()
	}
	return nil
}

// discard gives back what is not sent yet.
func (w *response) discard() {
	w.done = true
	if w.chunk != nil {
		w.chunk.Release()
		w.chunk = nil
	}
}

// Flush implements http.Flusher.
func (w *response) Flush() { _ = w.FlushError() }

// FlushError sends what is buffered; for http.ResponseController.
func (w *response) FlushError() error {
	if w.done {
		return ErrHandlerDone
	}
	if !w.wroteHeader {
		w.WriteHeader(http.StatusOK)
	}
	if w.chunk == nil {
		return nil
	}
	err := w.send(false)
	w.x.conn.connection.Yield() // a handler that flushes has something else to do before it returns
	return err
}

// SetReadDeadline is for http.ResponseController.
func (w *response) SetReadDeadline(t time.Time) error {
	return w.x.stream.SetReadDeadline(t)
}

// SetWriteDeadline is for http.ResponseController.
func (w *response) SetWriteDeadline(t time.Time) error {
	w.timed = !t.IsZero()
	return w.x.stream.SetWriteDeadline(t)
}

// EnableFullDuplex is for http.ResponseController: requests and responses are always independent.
func (w *response) EnableFullDuplex() error { return nil }
