package http3_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"time"

	"github.com/dunlin-quic/dunlin/h3"
	"github.com/dunlin-quic/dunlin/http3"
	"github.com/dunlin-quic/dunlin/http3test"
	"github.com/dunlin-quic/dunlin/quic"
	"github.com/dunlin-quic/dunlin/udp"
)

// A client for the Internet, with limits of its own. The zero Transport is ready to use as well.
func ExampleTransport() {
	transport := &http3.Transport{
		TLSClientConfig:       &tls.Config{MinVersion: tls.VersionTLS13}, // certificates are verified, always
		DialTimeout:           5 * time.Second,
		ResponseHeaderTimeout: 10 * time.Second,
		QUIC:                  &quic.Config{KeepAlive: 15 * time.Second},
	}
	defer transport.Close()
	client := &http.Client{Transport: transport, Timeout: time.Minute}
	res, err := client.Get("https://example.com/")
	if err != nil {
		log.Fatal(err)
	}
	defer res.Body.Close()
	fmt.Println(res.Proto, res.Status)
}

// Which errors there are, and how to tell them apart.
func ExampleTransport_errors() {
	ts := http3test.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			<-r.Context().Done() // the client has given up
		}
		panic(http.ErrAbortHandler)
	}))
	defer ts.Close()

	var reset *h3.Error
	_, err := ts.Client().Get(ts.URL + "/abort")
	fmt.Println("the server's code:", errors.As(err, &reset) && reset.Remote, reset.Code)

	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	request, _ := http.NewRequestWithContext(ctx, "GET", ts.URL+"/slow", nil)
	_, err = ts.Client().Do(request)
	fmt.Println("too slow:", errors.Is(err, context.DeadlineExceeded))
	// Output:
	// the server's code: true H3_INTERNAL_ERROR
	// too slow: true
}

// What is urgent is sent first (RFC 9218): urgency 0 before 7, the default being 3; i is for what is useful in parts.
func ExampleTransport_priority() {
	ts := http3test.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.URL.Path, " is sent with priority ", r.Header.Get("Priority"))
	}))
	defer ts.Close()
	for _, what := range []struct{ path, priority string }{{"/style.css", "u=1"}, {"/photo.jpg", "u=5, i"}} {
		request, err := http.NewRequest("GET", ts.URL+what.path, nil)
		if err != nil {
			log.Fatal(err)
		}
		request.Header.Set("Priority", what.priority)
		res, err := ts.Client().Do(request)
		if err != nil {
			log.Fatal(err)
		}
		body, _ := io.ReadAll(res.Body)
		res.Body.Close()
		fmt.Printf("%s\n", body)
	}
	// Output:
	// /style.css is sent with priority u=1
	// /photo.jpg is sent with priority u=5, i
}

// A client changes networks in the middle of a download: here to another port of the same host.
func ExampleClientConn_Engine() {
	goOn := make(chan bool)
	ts := http3test.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "begun here, ")
		http.NewResponseController(w).Flush()
		<-goOn
		fmt.Fprint(w, "completed there")
	}))
	defer ts.Close()

	var conn *http3.ClientConn
	ctx := httptrace.WithClientTrace(context.Background(), &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) { conn = info.Conn.(*http3.ClientConn) },
	})
	request, err := http.NewRequestWithContext(ctx, "GET", ts.URL, nil)
	if err != nil {
		log.Fatal(err)
	}
	res, err := ts.Client().Do(request)
	if err != nil {
		log.Fatal(err)
	}
	defer res.Body.Close()

	// On a phone this would be the address that the other network has given it.
	server, err := netip.ParseAddrPort(conn.RemoteAddr().String())
	if err != nil {
		log.Fatal(err)
	}
	socket, err := udp.Listen(netip.AddrPortFrom(server.Addr(), 0).String(), &udp.Config{Errors: true})
	if err != nil {
		log.Fatal(err)
	}
	if err := conn.Engine().Endpoint().AddSocket(socket); err != nil {
		log.Fatal(err)
	}
	if err := conn.Engine().Migrate(ctx, socket.LocalAddr()); err != nil {
		log.Fatal(err)
	}
	fmt.Println("moved:", conn.Engine().PathStats()[0].Path.Local == socket.LocalAddr())
	close(goOn)
	body, err := io.ReadAll(res.Body)
	fmt.Printf("%s, %v\n", body, err)
	// Output:
	// moved: true
	// begun here, completed there, <nil>
}
