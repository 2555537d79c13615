package http3

import (
	"compress/gzip"
	"io"
	"sync"
)

var gzipReaders sync.Pool

// gzipBody undoes the compression that the Transport asked for.
type gzipBody struct {
	body *responseBody
	r    *gzip.Reader // made at the first Read
	err  error
}

// Read implements io.Reader.
func (g *gzipBody) Read(p []byte) (n int, err error) {
	if g.err != nil {
		return 0, g.err
	}
	if g.r == nil {
		if r, _ := gzipReaders.Get().(*gzip.Reader); r != nil {
			g.r, err = r, r.Reset(g.body)
		} else {
			g.r, err = gzip.NewReader(g.body)
		}
	}
	if err == nil {
		n, err = g.r.Read(p)
	}
	if err != nil {
		g.err = err
		if err == io.EOF && g.body.end == nil {
			// The compressed stream ends before the message does: look for the trailers.
			_, g.err = io.Copy(io.Discard, g.body)
			if g.err == nil {
				g.err = io.EOF
			}
			err = g.err
		}
	}
	return n, err
}

// Close implements io.Closer. Like Read it is for one goroutine at a time.
func (g *gzipBody) Close() error {
	if g.r != nil && g.err != nil {
		gzipReaders.Put(g.r)
		g.r = nil
	}
	return g.body.Close()
}
