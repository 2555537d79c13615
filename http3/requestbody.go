package http3

import (
	"io"
	"net/http"
	"sync/atomic"

	"github.com/dunlin-quic/dunlin/h3"
	"github.com/dunlin-quic/dunlin/h3driver"
)

// requestBody is the Body of a request on a server.
type requestBody struct {
	x        *exchange
	request  *http.Request
	expected atomic.Bool // the client waits for 100 Continue
	closed   atomic.Bool
	sawEnd   bool
}

var continueFields = []h3.Field{{Name: ":status", Value: "100"}}

// Read implements io.Reader.
func (b *requestBody) Read(p []byte) (int, error) {
	if b.closed.Load() {
		return 0, http.ErrBodyReadAfterClose
	}
	if b.expected.CompareAndSwap(true, false) && !b.x.w.headerSent.Load() {
		// RFC 9110, Section 10.1.1. An error shows in the reading.
		_ = b.x.stream.Send(h3driver.Part{Header: continueFields, Interim: true})
	}
	n, err := b.x.stream.Read(p)
	if err == io.EOF && !b.sawEnd {
		b.sawEnd = true
		mergeTrailers(&b.request.Trailer, b.x.stream.Trailers())
	}
	return n, err
}

// Close implements io.Closer. What the client still sends is thrown away when the handler returns.
func (b *requestBody) Close() error {
	b.closed.Store(true)
	return nil
}

// finish makes reads after the handler's return fail.
func (b *requestBody) finish() { b.closed.Store(true) }
