package http3_test

import (
	"bufio"
	"context"
	"crypto/sha1"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"time"

	"github.com/dunlin-quic/dunlin/http3"
	"github.com/dunlin-quic/dunlin/http3test"
	"github.com/dunlin-quic/dunlin/quic"
)

// A server with limits of its own, which ends when it has answered the requests that run.
func ExampleServer() {
	server := &http3.Server{
		Handler:   http.FileServer(http.Dir("public")),
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{testCertificate}}, // or see ListenAndServeTLS

		ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		QUIC:              &quic.Config{MaxBidiStreams: 50}, // requests at a time on one connection
		Retry:             quic.RetryUnderLoad,
	}
	listener, err := http3.Listen("localhost:0")
	if err != nil {
		log.Fatal(err)
	}
	served := make(chan error)
	go func() { served <- server.Serve(listener) }()

	// In a program this comes with a signal.
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	fmt.Println(server.Shutdown(ctx), errors.Is(<-served, http.ErrServerClosed))
	// Output: <nil> true
}

// One handler for all versions of HTTP, on the same port of UDP and TCP. A program calls ListenAndServeTLS instead of Listen and
// Serve, with the files of its certificate.
func ExampleSite() {
	site := &http3.Site{
		Addr:      "127.0.0.1:0",
		Handler:   http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "Hello over ", r.Proto) }),
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{testCertificate}},
	}
	if err := site.Listen(); err != nil {
		log.Fatal(err)
	}
	go site.Serve()
	defer site.Close()

	config := &tls.Config{RootCAs: testRoots}
	overUDP := &http3.Transport{TLSClientConfig: config}
	defer overUDP.Close()
	overTCP := &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true}
	defer overTCP.CloseIdleConnections()
	for _, transport := range []http.RoundTripper{overUDP, overTCP} {
		res, err := (&http.Client{Transport: transport}).Get("https://" + site.Addrs()[0].String() + "/")
		if err != nil {
			log.Fatal(err)
		}
		body, _ := io.ReadAll(res.Body)
		res.Body.Close()
		fmt.Printf("%s, announces HTTP/3: %v\n", body, res.Header.Get("Alt-Svc") != "")
	}
	// Output:
	// Hello over HTTP/3.0, announces HTTP/3: false
	// Hello over HTTP/2.0, announces HTTP/3: true
}

// HTTP/3 in front of a server that does not speak it: net/http/httputil's reverse proxy is a handler as any other.
func ExampleServer_proxy() {
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s for %s", r.Proto, r.Header.Get("X-Forwarded-Proto"))
	}))
	defer upstream.Close()
	target, err := url.Parse(upstream.URL)
	if err != nil {
		log.Fatal(err)
	}

	front := http3test.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.SetXForwarded()
	}})
	defer front.Close()

	res, err := front.Client().Get(front.URL)
	if err != nil {
		log.Fatal(err)
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	fmt.Printf("%s, then %s\n", res.Proto, body)
	// Output: HTTP/3.0, then HTTP/1.1 for https
}

// Trailers, early hints and streaming work as net/http has them.
func ExampleServer_trailers() {
	ts := http3test.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</style.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)

		w.Header().Set("Trailer", "Checksum")
		n, _ := io.Copy(w, r.Body) // full duplex: the answer begins while the request goes on
		w.Header().Set("Checksum", fmt.Sprint(n))
	}))
	defer ts.Close()

	upload, writer := io.Pipe()
	go func() {
		defer writer.Close()
		for range 3 {
			fmt.Fprintln(writer, "piece by piece")
		}
	}()
	res, err := ts.Client().Post(ts.URL, "text/plain", upload)
	if err != nil {
		log.Fatal(err)
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	fmt.Printf("%schecksum %s\n", body, res.Trailer.Get("Checksum"))
	// Output:
	// piece by piece
	// piece by piece
	// piece by piece
	// checksum 45
}

// Early data saves clients that come back a round trip. The server must not do twice what comes in it, for somebody may send a
// copy.
func ExampleServer_earlyData() {
	ts := http3test.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if http3.IsEarly(r) && r.URL.Path == "/transfer" {
			w.WriteHeader(http.StatusTooEarly) // the client sends it again, when the handshake is complete
			return
		}
		fmt.Fprint(w, "resumed: ", r.TLS.DidResume)
	}))
	ts.Config.QUIC = &quic.Config{EarlyData: true}
	ts.Start()
	defer ts.Close()

	transport := ts.Client().Transport.(*http3.Transport)
	transport.QUIC = &quic.Config{EarlyData: true}
	sessions := &waitForSession{ClientSessionCache: tls.NewLRUClientSessionCache(10), put: make(chan bool, 10)}
	transport.TLSClientConfig.ClientSessionCache = sessions
	for range 2 {
		res, err := ts.Client().Get(ts.URL + "/transfer")
		if err != nil {
			log.Fatal(err)
		}
		body, _ := io.ReadAll(res.Body)
		res.Body.Close()
		fmt.Printf("%d, %s\n", res.StatusCode, body)
		<-sessions.put                   // what the next connection resumes comes after the handshake
		transport.CloseIdleConnections() // so that there is a next one
	}
	// Output:
	// 200, resumed: false
	// 200, resumed: true
}

// waitForSession is a session cache that tells when it has got something.
type waitForSession struct {
	tls.ClientSessionCache
	put chan bool
}

func (w *waitForSession) Put(key string, s *tls.ClientSessionState) {
	w.ClientSessionCache.Put(key, s)
	if s != nil {
		w.put <- true
	}
}

// WebSockets over HTTP/3, with a library that knows those of HTTP/1.1. The handler here does by hand what such a library does
// in its Accept or Upgrade.
func ExampleWebSocketHandler() {
	accept := func(w http.ResponseWriter, r *http.Request) {
		conn, rw, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		sum := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
		fmt.Fprintf(rw, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
			base64.StdEncoding.EncodeToString(sum[:]))
		rw.Flush()
		io.Copy(conn, rw) // frames come back as they are
	}
	ts := http3test.NewUnstartedServer(http3.WebSocketHandler(http.HandlerFunc(accept)))
	ts.Config.ExtendedConnect = true // tells clients that there are WebSockets
	ts.Start()
	defer ts.Close()

	// A WebSocket library's Dial, given ts.Client(), sends this.
	request, err := http.NewRequest("GET", ts.URL+"/chat", nil)
	if err != nil {
		log.Fatal(err)
	}
	request.Header = http.Header{
		"Connection": {"Upgrade"}, "Upgrade": {"websocket"},
		"Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="},
	}
	res, err := ts.Client().Do(request)
	if err != nil {
		log.Fatal(err)
	}
	conn := res.Body.(io.ReadWriteCloser)
	defer conn.Close()
	fmt.Fprintln(conn, "frames")
	line, _ := bufio.NewReader(conn).ReadString('\n')
	fmt.Print(res.StatusCode, " ", line)
	// Output: 101 frames
}

// A tunnel for a protocol of one's own: bytes both ways, and unreliable datagrams beside them.
func ExampleAcceptTunnel() {
	ts := http3test.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect || r.Header.Get(":protocol") != "echo" {
			http.Error(w, "this is for tunnels", http.StatusNotImplemented)
			return
		}
		tunnel, err := http3.AcceptTunnel(w, r)
		if err != nil {
			return
		}
		go func() {
			p := make([]byte, 1500)
			for {
				n, err := tunnel.ReceiveDatagram(r.Context(), p)
				if err != nil {
					return
				}
				tunnel.SendDatagram(r.Context(), p[:n])
			}
		}()
		io.Copy(tunnel, tunnel)
		tunnel.CloseWrite()
	}))
	ts.Config.ExtendedConnect = true
	ts.Start()
	defer ts.Close()

	request, err := http.NewRequest(http.MethodConnect, ts.URL+"/", nil)
	if err != nil {
		log.Fatal(err)
	}
	request.Header[":protocol"] = []string{"echo"}
	res, err := ts.Client().Transport.RoundTrip(request)
	if err != nil {
		log.Fatal(err)
	}
	tunnel := res.Body.(http3.Tunnel)
	defer tunnel.Close()
	if err := tunnel.SendDatagram(request.Context(), []byte("a datagram")); err != nil {
		log.Fatal(err)
	}
	p := make([]byte, 100)
	n, err := tunnel.ReceiveDatagram(request.Context(), p)
	fmt.Printf("%s, %v\n", p[:n], err)
	io.WriteString(tunnel, "bytes")
	tunnel.CloseWrite()
	got, err := io.ReadAll(tunnel)
	fmt.Printf("%s, %v\n", got, err)
	// Output:
	// a datagram, <nil>
	// bytes, <nil>
}
