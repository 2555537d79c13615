package http3_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptrace"

	"github.com/dunlin-quic/dunlin/http3"
)

// A server and a client in one program. On the Internet the certificate comes from files (see
// [http3.Server.ListenAndServeTLS]) and the client trusts the system's authorities, for which the zero Transport is
// enough.
func Example() {
	listener, err := http3.Listen("localhost:0")
	if err != nil {
		log.Fatal(err)
	}
	server := &http3.Server{
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{testCertificate}},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, "Hello over %s, %s!", r.Proto, r.URL.Query().Get("name"))
		}),
	}
	go server.Serve(listener)
	defer server.Close()

	transport := &http3.Transport{TLSClientConfig: &tls.Config{RootCAs: testRoots}}
	defer transport.Close()
	client := &http.Client{Transport: transport}
	res, err := client.Get("https://" + listener.Addr().String() + "/?name=dunlin")
	if err != nil {
		log.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	fmt.Println(res.Status, string(body), err)
	// Output: 200 OK Hello over HTTP/3.0, dunlin! <nil>
}

// A site on all protocols: HTTP/3 on UDP, HTTP/2 and HTTP/1.1 on TCP, and the latter tell clients of the former.
func ExampleWithAltSvc() {
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, "hello over", r.Proto) })
	go func() {
		log.Fatal(http.ListenAndServeTLS(":443", "cert.pem", "key.pem", http3.WithAltSvc(443, mux)))
	}()
	log.Fatal(http3.ListenAndServe(":443", "cert.pem", "key.pem", mux))
}

// The statistics of the connection that a request used.
func ExampleClientConn() {
	request, err := http.NewRequest("GET", "https://example.com/", nil)
	if err != nil {
		log.Fatal(err)
	}
	var conn *http3.ClientConn
	request = request.WithContext(httptrace.WithClientTrace(request.Context(), &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) { conn = info.Conn.(*http3.ClientConn) },
	}))
	res, err := (&http.Client{Transport: &http3.Transport{}}).Do(request)
	if err != nil {
		log.Fatal(err)
	}
	io.Copy(io.Discard, res.Body)
	res.Body.Close()
	stats := conn.Stats()
	fmt.Println("handshake", stats.HandshakeTime, "round trip", stats.RTT, "packets lost", stats.PacketsLost)
}

// A client that uses HTTP/3 where a site offers it, and TCP elsewhere.
func ExampleAltTransport() {
	client := &http.Client{Transport: &http3.AltTransport{}}
	for range 2 { // over HTTP/2, and over HTTP/3 if the first response told of it
		res, err := client.Get("https://example.com/")
		if err != nil {
			log.Fatal(err)
		}
		res.Body.Close()
		fmt.Println(res.Proto)
	}
}
