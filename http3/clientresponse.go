package http3

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/dunlin-quic/dunlin/h3"
)

var errStatus = errors.New("http3: malformed status")

// parseStatus returns the value of :status.
func parseStatus(pseudo []h3.Field) (int, error) {
	for i := range pseudo {
		if pseudo[i].Name == ":status" {
			status, err := strconv.Atoi(pseudo[i].Value)
			if err != nil || status < 100 || status > 999 {
				return 0, errStatus
			}
			return status, nil
		}
	}
	return 0, errStatus
}

// newResponse makes net/http's response of a header section. It frees b.
func (x *clientExchange) newResponse(b *fieldBuffer, fin bool) (*http.Response, error) {
	pseudo, rest := splitPseudo(b.fields)
	status, err := parseStatus(pseudo)
	header := toHeader(rest)
	b.free()
	if err != nil {
		return nil, err
	}
	res := &http.Response{
		Status:        statusText(status),
		StatusCode:    status,
		Proto:         "HTTP/3.0",
		ProtoMajor:    3,
		Header:        header,
		ContentLength: -1,
		Trailer:       declaredTrailers(header),
		Request:       x.req,
		TLS:           x.conn.controller.ConnectionState(),
	}
	if cl := header["Content-Length"]; len(cl) > 0 {
		if n, err := strconv.ParseInt(cl[0], 10, 64); err == nil {
			res.ContentLength = n
		}
	} else if fin && x.req.Method != http.MethodHead {
		res.ContentLength = 0
	}
	if x.req.Method == http.MethodConnect && status/100 == 2 {
		t := &clientTunnel{responseBody{x: x, res: res}, tunnelStream{x.stream, x.conn.local, x.conn.remote}}
		t.watch()
		res.Body, res.ContentLength = t, -1
		return res, nil
	}
	if x.tunnel() {
		x.stream.CloseWrite() // there is none
	}
	if fin {
		res.Body = http.NoBody
		x.done()
		return res, nil
	}
	body := &responseBody{x: x, res: res}
	body.watch()
	res.Body = body
	if x.gzip && strings.EqualFold(header.Get("Content-Encoding"), "gzip") {
		delete(header, "Content-Encoding")
		delete(header, "Content-Length")
		res.ContentLength = -1
		res.Uncompressed = true
		res.Body = &gzipBody{body: body}
	}
	return res, nil
}

// responseBody is the Body of a response on a client.
type responseBody struct {
	x    *clientExchange
	res  *http.Response
	stop func() bool // takes back the AfterFunc of the request's context
	over sync.Once
	end  error // what Read returned last, if an error
}

// watch gives the request up when its context ends.
func (b *responseBody) watch() {
	if ctx := b.x.req.Context(); ctx.Done() != nil {
		b.stop = context.AfterFunc(ctx, func() { b.x.abort(context.Cause(ctx)) })
	}
}

func (b *responseBody) unwatch() {
	if b.stop != nil {
		b.stop()
	}
}

// Read implements io.Reader.
func (b *responseBody) Read(p []byte) (int, error) {
	if b.end != nil {
		return 0, b.end
	}
	n, err := b.x.stream.Read(p)
	if err == nil {
		return n, nil
	}
	if err == io.EOF {
		mergeTrailers(&b.res.Trailer, b.x.stream.Trailers())
	} else if reason := b.x.reason(); reason != nil {
		err = reason
	}
	b.end = err
	b.finish()
	return n, err
}

// finish takes the response off the connection's account.
func (b *responseBody) finish() {
	b.over.Do(func() {
		b.unwatch()
		b.x.done()
	})
}

// Close implements io.Closer. What has not been read is refused: the server hears H3_REQUEST_CANCELLED.
func (b *responseBody) Close() error {
	b.over.Do(func() {
		b.unwatch()
		b.x.abort(http.ErrBodyReadAfterClose)
		b.x.done()
	})
	return nil
}
