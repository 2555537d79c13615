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

	fields  *fieldBuffer // the header section, until Run has read it
	fin     bool         // there is no body
	early   bool         // the request may be a replay
	hasBody bool         // the request has one, or trailers
	body    requestBody
	w       response
}

// Run runs the handler; in the goroutine of the request.
func (x *exchange) Run() {
	defer x.conn.running.Add(-1)
	server := x.conn.server
	now := time.Now()
	if d := server.ReadTimeout; d > 0 && !x.fin {
		x.stream.SetReadDeadline(now.Add(d))
	}
	if d := server.WriteTimeout; d > 0 {
		x.stream.SetWriteDeadline(now.Add(d))
		x.w.timed = true
	}
	x.hasBody = !x.fin
	x.w.x = x
	for i := range x.fields.fields {
		if f := &x.fields.fields[i]; f.Name == ":method" {
			x.w.head = f.Value == http.MethodHead
			x.w.connect = f.Value == http.MethodConnect
		}
	}
	if parent := x.ctx.Context; parent.Done() != nil {
		defer context.AfterFunc(parent, func() { x.ctx.end(parent.Err()) })()
	}
	r, err := x.newRequest(x.fields.fields, x.fin)
	x.fields.free()
	x.fields = nil
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

// Flush sends what Run has left.
func (x *exchange) Flush() { x.conn.controller.Flush() }

// run calls the handler and ends the response as the handler ended.
func (x *exchange) run(h http.Handler, r *http.Request) {
	returned := false
	defer func() {
		if returned {
			return
		}
		if v := recover(); v != nil && v != http.ErrAbortHandler {
			x.conn.server.errorLog().LogAttrs(r.Context(), slog.LevelError, "http3: panic serving a request",
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
