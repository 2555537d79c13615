package http3

import (
	"context"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// countedBody counts what is done to it.
type countedBody struct {
	io.Reader
	closed int
}

func (b *countedBody) Close() error { b.closed++; return nil }

// TestKeptBody sends a body that can't be had again a second time: the first sender, who may not have noticed that it is over,
// neither takes bytes of it nor closes it; and whatever happens it is closed once.
func TestKeptBody(t *testing.T) {
	newBody := func() (*countedBody, *onceBody, io.ReadCloser) {
		own := &countedBody{Reader: strings.NewReader("body")}
		once := newOnceBody(&http.Request{Body: own})
		return own, once, once.request().Body
	}
	for _, closedBefore := range []bool{false, true} {
		own, once, first := newBody()
		if closedBefore {
			first.Close()
		}
		again := once.again()
		if again == nil {
			t.Fatal("an untouched body is not sent again")
		}
		if n, err := first.Read(make([]byte, 10)); n != 0 || err == nil {
			t.Errorf("the first sender reads %d bytes, %v", n, err)
		}
		first.Close()
		once.settle()
		if own.closed != 0 {
			t.Error("the first sender closes the body of the second")
		}
		if got, err := io.ReadAll(again.Body); string(got) != "body" || err != nil {
			t.Errorf("%q, %v", got, err)
		}
		again.Body.Close()
		if own.closed != 1 {
			t.Errorf("closed %d times", own.closed)
		}
	}
	own, once, first := newBody()
	first.Read(make([]byte, 1))
	first.Close()
	if once.again() != nil {
		t.Error("a body is sent again of which something was read")
	}
	once.settle()
	if own.closed != 1 {
		t.Errorf("closed %d times", own.closed)
	}
	own, once, first = newBody()
	first.Close()
	once.settle()
	if own.closed != 1 {
		t.Errorf("an untouched body is closed %d times", own.closed)
	}
}

// TestNoOrigins remembers no origin.
func TestNoOrigins(t *testing.T) {
	tr := &AltTransport{MaxOrigins: -1}
	defer tr.Close()
	tr.once.Do(tr.init)
	tr.book.set("example.org:443", []alternative{{place: place{port: "443"}, expires: time.Now().Add(time.Hour)}})
	tr.book.result("example.org:443", place{port: "443"}, false)
	if tr.book.ready("example.org:443") || tr.book.order.Len() != 0 {
		t.Error("an origin is remembered")
	}
}

// cachedRecords is a resolver that lends what it has in its cache.
type cachedRecords []HTTPSRecord

func (c cachedRecords) LookupHTTPS(context.Context, string) ([]HTTPSRecord, time.Duration, error) {
	return c, time.Hour, nil
}

// TestRecordsAreBorrowed looks up records that are not in order, and leaves them as they are.
func TestRecordsAreBorrowed(t *testing.T) {
	cache := cachedRecords{{Priority: 2, ALPN: []string{"h3"}, Port: 2}, {Priority: 1, ALPN: []string{"h3"}, Port: 1}}
	found, _, err := lookupRecords(t.Context(), cache, "example.org:443", time.Now())
	if err != nil || len(found) != 2 || found[0].port != "1" {
		t.Errorf("%v, %v", found, err)
	}
	if !slices.IsSortedFunc(cache, func(a, b HTTPSRecord) int { return int(b.Priority) - int(a.Priority) }) {
		t.Error("the resolver's records were changed")
	}
}
