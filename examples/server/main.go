// Server is net/http's hello, world over HTTP/3.
package main

import (
	"fmt"
	"log"
	"net/http"

	"github.com/dunlin-quic/dunlin/http3"
)

func main() {
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "Hello over %s\n", r.Proto)
	})
	log.Fatal(http3.ListenAndServeTLS("localhost:4433", "cert.pem", "key.pem", nil))
}
