package h3_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"math/big"
	"net/netip"
	"time"

	"github.com/dunlin-quic/dunlin/h3"
	"github.com/dunlin-quic/dunlin/quic"
)

// A client and a server in one function: datagrams go from one to the other by hand, and time stands still.
func Example() {
	now := time.Now()
	clientAddr, serverAddr := netip.MustParseAddrPort("192.0.2.1:1111"), netip.MustParseAddrPort("192.0.2.2:443")
	roots, cert := exampleCertificate(now)

	client, err := quic.NewClient(now, &quic.Config{TLS: &tls.Config{
		ServerName: "server.example", RootCAs: roots, NextProtos: []string{h3.NextProto},
	}}, quic.Path{Local: clientAddr, Remote: serverAddr})
	if err != nil {
		fmt.Println(err)
		return
	}
	clientH3 := h3.NewConn(client, nil)

	// The server's side is made when the first datagram arrives.
	demux, err := quic.NewDemux(quic.DemuxConfig{})
	if err != nil {
		fmt.Println(err)
		return
	}
	buf := make([]byte, 1500)
	tr, _ := client.PollTransmit(now, buf, 1)
	atServer := quic.Path{Local: serverAddr, Remote: clientAddr}
	first := quic.Inbound{Path: atServer, Data: buf[:tr.Len]}
	decision := demux.Handle(now, atServer, first.Data, make([]byte, 1500), false)
	server, err := quic.NewServer(now, &quic.Config{TLS: &tls.Config{
		Certificates: []tls.Certificate{cert}, NextProtos: []string{h3.NextProto},
	}}, decision.Accept)
	if err != nil {
		fmt.Println(err)
		return
	}
	serverH3 := h3.NewConn(server, nil)
	server.Receive(now, first)

	// The application's part: a server that greets, and a client that prints.
	serve := func(ev h3.Event) {
		if ev.Kind == h3.EventHeaders {
			ev.Stream.SendHeaders([]h3.Field{{Name: ":status", Value: "200"}}, false)
			ev.Stream.TryWriteBody([]byte("hello"), true)
		}
	}
	done := false
	print := func(ev h3.Event) {
		switch ev.Kind {
		case h3.EventHeaders:
			fmt.Println("status", ev.Fields[0].Value)
		case h3.EventData:
			body := make([]byte, 100)
			n, _ := ev.Stream.TryReadBody(body)
			fmt.Printf("body %q\n", body[:n])
			_, err := ev.Stream.TryReadBody(body)
			done = err == io.EOF
		}
	}

	asked := false
	for !done {
		drive(now, client, clientH3, print, server, atServer)
		drive(now, server, serverH3, serve, client, quic.Path{Local: clientAddr, Remote: serverAddr})
		if client.Established() && !asked {
			asked = true
			request, err := clientH3.OpenRequest()
			if err != nil {
				fmt.Println(err)
				return
			}
			request.SendHeaders([]h3.Field{
				{Name: ":method", Value: "GET"}, {Name: ":scheme", Value: "https"},
				{Name: ":authority", Value: "server.example"}, {Name: ":path", Value: "/"},
			}, true)
		}
	}
	// Output:
	// status 200
	// body "hello"
}

// drive lets one side do what there is to do, and gives its datagrams to its peer, where they arrive by path.
func drive(now time.Time, q *quic.Conn, c *h3.Conn, handle func(h3.Event), peer *quic.Conn, path quic.Path) {
	for ev := q.NextEvent(); ev.Kind != quic.EventNone; ev = q.NextEvent() {
		c.HandleEvent(ev)
	}
	for ev := c.NextEvent(); ev.Kind != h3.EventNone; ev = c.NextEvent() {
		handle(ev)
	}
	c.Flush(now)
	buf := make([]byte, 1500)
	for {
		tr, ok := q.PollTransmit(now, buf, 1)
		if !ok {
			return
		}
		peer.Receive(now, quic.Inbound{Path: path, ECN: tr.ECN, Data: buf[:tr.Len]})
	}
}

// exampleCertificate returns a certificate for server.example and a pool that trusts it.
func exampleCertificate(now time.Time) (*x509.CertPool, tls.Certificate) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"server.example"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour), BasicConstraintsValid: true, IsCA: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	return roots, tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: cert}
}

func ExampleParsePriority() {
	fmt.Printf("%+v\n", h3.ParsePriority("u=1, i"))
	// Output: {Urgency:1 Incremental:true}
}
