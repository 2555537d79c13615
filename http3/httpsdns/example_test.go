package httpsdns_test

import (
	"net/http"

	"github.com/dunlin-quic/dunlin/http3"
	"github.com/dunlin-quic/dunlin/http3/httpsdns"
)

// A client that goes to HTTP/3 with its first request, where the DNS says so.
func Example() {
	transport := &http3.AltTransport{HTTPSRecords: &httpsdns.Resolver{}}
	defer transport.Close()
	client := &http.Client{Transport: transport}
	_ = client
}
