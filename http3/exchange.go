package http3

import (
	"context"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/dunlin-quic/dunlin/h3"
	"github.com/dunlin-quic/dunlin/h3driver"
)

// exchange is one request and its response on a server.
type exchange struct {
	conn   *ServerConn
	stream *h3driver.Stream
	ctx    requestContext

	early   bool // the request may be a replay
	hasBody bool // the request has one, or trailers
	body    requestBody
	w       response
}

// serve runs the handler; in the goroutine of the request.
func (x *exchange) serve(b *fieldBuffer, fin bool) {
	defer x.conn.running.Add(-1)
	server := x.conn.server
	now := time.Now()
	if d := server.ReadTimeout; d > 0 && !fin {
		x.stream.SetReadDeadline(now.Add(d))
	}
	if d := server.WriteTimeout; d > 0 {
		x.stream.SetWriteDeadline(now.Add(d))
		x.w.timed = true
	}
	x.hasBody = !fin
	x.w.x = x
	for i := range b.fields {
		if b.fields[i].Name == ":method" {
			x.w.head = b.fields[i].Value == http.MethodHead
			x.w.connect = b.fields[i].Value == http.MethodConnect
		}
	}
	if parent := x.ctx.Context; parent.Done() != nil {
		defer context.AfterFunc(parent, func() { x.ctx.end(parent.Err()) })()
	}
	r, err := x.newRequest(b.fields, fin)
	b.free()
	switch {
	case err != nil:
		x.refuse(http.StatusBadRequest)
	case x.early && !server.allowsEarly(r):
		x.refuse(http.StatusTooEarly)
	default:
		x.run(server.handler(), r)
	}
	x.ctx.end(context.Canceled)
}

// run calls the handler and ends the response as the handler ended.
func (x *exchange) run(h http.Handler, r *http.Request) {
	returned := false
	defer func() {
		if returned {
			return
		}
		if v := recover(); v != nil && v != http.ErrAbortHandler {
			x.conn.server.logger().LogAttrs(r.Context(), slog.LevelError, "http3: panic serving a request",
				slog.String("remote", x.conn.remoteName), slog.Any("panic", v), slog.String("stack", string(debug.Stack())))
		}
		x.abort(h3.InternalError)
	}()
	h.ServeHTTP(&x.w, r)
	returned = true
	x.finish()
}

// finish sends what is left of the response.
func (x *exchange) finish() {
	x.body.finish()
	if err := x.w.finish(); err != nil {
		x.abort(h3.InternalError)
		return
	}
	if x.hasBody && !x.body.sawEnd {
		// RFC 9114, Section 4.1: a server that has answered without needing the rest of the request says so.
		x.stream.CancelRead(h3.NoError)
	}
}

// abort makes the client see that the response is incomplete.
func (x *exchange) abort(code h3.ErrCode) {
	x.body.finish()
	x.w.discard()
	x.stream.CancelWrite(code)
	x.stream.CancelRead(code)
}

// refuse answers a request that no handler sees.
func (x *exchange) refuse(status int) {
	x.w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	x.w.WriteHeader(status)
	x.w.Write([]byte(statusText(status) + "\n"))
	x.finish()
}
