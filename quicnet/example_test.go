package quicnet_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"

	"github.com/dunlin-quic/dunlin/internal/testcert"
	"github.com/dunlin-quic/dunlin/quic"
	"github.com/dunlin-quic/dunlin/quicnet"
)

// A server that answers on every stream, and a client that asks.
func Example() {
	ctx := context.Background()
	certificate, roots := testcert.Get() // your own here

	l, err := quicnet.Listen(&quicnet.ListenConfig{
		QUIC: &quic.Config{TLS: &tls.Config{Certificates: []tls.Certificate{certificate}, NextProtos: []string{"greeting"}}},
	}, "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			conn, err := l.Accept(ctx)
			if err != nil {
				return
			}
			go func() {
				for {
					stream, err := conn.AcceptStream(ctx)
					if err != nil {
						return
					}
					go func() {
						defer stream.Close()
						name, _ := io.ReadAll(io.LimitReader(stream, 100))
						fmt.Fprintf(stream, "Hello %s!", name)
					}()
				}
			}()
		}
	}()

	conn, err := quicnet.Dial(ctx, l.Addr().String(), &quicnet.DialConfig{
		QUIC: &quic.Config{TLS: &tls.Config{RootCAs: roots, NextProtos: []string{"greeting"}}},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	stream, err := conn.OpenStream(ctx)
	if err != nil {
		log.Fatal(err)
	}
	io.WriteString(stream, "dunlin")
	stream.CloseWrite()
	answer, err := io.ReadAll(stream)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", answer)
	// Output: Hello dunlin!
}

// A protocol for one net.Conn, in which the server speaks first.
func ExampleDialNet() {
	certificate, roots := testcert.Get() // your own here

	l, err := quicnet.ListenNet(&quicnet.ListenConfig{
		QUIC: &quic.Config{TLS: &tls.Config{Certificates: []tls.Certificate{certificate}, NextProtos: []string{"smtp"}}},
	}, "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		fmt.Fprintln(c, "220 mail.example.com ready")
		bufio.NewReader(c).ReadString('\n')
		fmt.Fprintln(c, "221 bye")
	}()

	c, err := quicnet.DialNet(context.Background(), l.Addr().String(), &quicnet.DialConfig{
		QUIC: &quic.Config{TLS: &tls.Config{RootCAs: roots, NextProtos: []string{"smtp"}}},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	lines := bufio.NewScanner(c)
	for lines.Scan() {
		fmt.Println(lines.Text())
		fmt.Fprintln(c, "QUIT")
	}
	// Output:
	// 220 mail.example.com ready
	// 221 bye
}
