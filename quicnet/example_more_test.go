package quicnet_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/netip"
	"time"

	"github.com/dunlin-quic/dunlin/engine"
	"github.com/dunlin-quic/dunlin/internal/testcert"
	"github.com/dunlin-quic/dunlin/quic"
	"github.com/dunlin-quic/dunlin/quicnet"
	"github.com/dunlin-quic/dunlin/udp"
)

// serve listens and has each connection handled in a goroutine of its own.
func serve(protocol string, handle func(*quicnet.Conn)) *quicnet.Listener {
	certificate, _ := testcert.Get() // your own here
	l, err := quicnet.Listen(&quicnet.ListenConfig{
		QUIC: &quic.Config{TLS: &tls.Config{Certificates: []tls.Certificate{certificate}, NextProtos: []string{protocol}}},
	}, "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	go func() {
		for {
			conn, err := l.Accept(context.Background())
			if err != nil {
				return
			}
			go handle(conn)
		}
	}()
	return l
}

func dial(ctx context.Context, l *quicnet.Listener, protocol string) *quicnet.Conn {
	_, roots := testcert.Get()
	conn, err := quicnet.Dial(ctx, l.Addr().String(), &quicnet.DialConfig{
		QUIC: &quic.Config{TLS: &tls.Config{RootCAs: roots, NextProtos: []string{protocol}}},
	})
	if err != nil {
		log.Fatal(err)
	}
	return conn
}

// Datagrams are sent once and may be lost: for what is worth nothing when it is late.
func ExampleConn_SendDatagram() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	l := serve("position", func(conn *quicnet.Conn) {
		p := make([]byte, 1500)
		for {
			n, err := conn.ReceiveDatagram(ctx, p)
			if err != nil {
				return
			}
			conn.SendDatagram(ctx, append([]byte("seen at "), p[:n]...))
		}
	})
	defer l.Close()

	conn := dial(ctx, l, "position")
	defer conn.Close()
	fmt.Println("there is room for 1000 bytes:", conn.MaxDatagramLen() >= 1000)
	if err := conn.SendDatagram(ctx, []byte("54.68 N, 8.55 E")); err != nil {
		log.Fatal(err)
	}
	p := make([]byte, 1500)
	n, err := conn.ReceiveDatagram(ctx, p)
	fmt.Printf("%s, %v\n", p[:n], err)
	// Output:
	// there is room for 1000 bytes: true
	// seen at 54.68 N, 8.55 E, <nil>
}

// A connection ends with a code of the application's, which the other side gets as an error.
func ExampleConn_CloseWithError() {
	const busy = 3 // the protocol says what its codes mean
	ctx := context.Background()
	l := serve("work", func(conn *quicnet.Conn) { conn.CloseWithError(busy, "come back tomorrow") })
	defer l.Close()

	conn := dial(ctx, l, "work")
	_, err := conn.AcceptStream(ctx)
	var end *quic.ApplicationError
	if errors.As(err, &end) && end.Remote && end.Code == busy {
		fmt.Println("busy:", end.Reason)
	}
	<-conn.Done()
	fmt.Println("closed:", errors.Is(conn.Err(), net.ErrClosed))
	// Output:
	// busy: come back tomorrow
	// closed: true
}

// Each direction of a stream can be abandoned by itself, with a code.
func ExampleStream_CancelRead() {
	const enough = 1
	ctx := context.Background()
	stopped := make(chan error)
	l := serve("news", func(conn *quicnet.Conn) {
		stream, err := conn.OpenUniStream(ctx)
		for err == nil {
			_, err = io.WriteString(stream, "more of the same; ")
		}
		stopped <- err
	})
	defer l.Close()

	conn := dial(ctx, l, "news")
	defer conn.Close()
	stream, err := conn.AcceptUniStream(ctx)
	if err != nil {
		log.Fatal(err)
	}
	io.CopyN(io.Discard, stream, 1000)
	stream.CancelRead(enough)
	var reset *quic.StreamError
	fmt.Println(errors.As(<-stopped, &reset), reset.Remote, reset.Code == enough)
	// Output: true true true
}

// What is urgent overtakes what is not, on the same connection.
func ExampleStream_SetPriority() {
	ctx := context.Background()
	l := serve("files", func(conn *quicnet.Conn) {
		for {
			stream, err := conn.AcceptStream(ctx)
			if err != nil {
				return
			}
			go func() {
				defer stream.Close()
				what, _ := io.ReadAll(stream)
				if string(what) == "backup" {
					stream.SetPriority(7, true) // what is left over, in turns with others of its kind
				} else {
					stream.SetPriority(1, false) // at once, and whole before the next
				}
				fmt.Fprintf(stream, "the %s", what)
			}()
		}
	})
	defer l.Close()

	conn := dial(ctx, l, "files")
	defer conn.Close()
	for _, what := range []string{"backup", "page"} {
		stream, err := conn.OpenStream(ctx)
		if err != nil {
			log.Fatal(err)
		}
		io.WriteString(stream, what)
		stream.CloseWrite()
		got, err := io.ReadAll(stream)
		fmt.Printf("%s, %v\n", got, err)
	}
	// Output:
	// the backup, <nil>
	// the page, <nil>
}

// A listener that ends lets those who are being served finish.
func ExampleListener_Shutdown() {
	ctx := context.Background()
	l := serve("work", func(conn *quicnet.Conn) {
		if stream, err := conn.AcceptStream(ctx); err == nil {
			io.Copy(stream, stream)
			stream.Close()
		}
	})
	conn := dial(ctx, l, "work")
	stream, err := conn.OpenStream(ctx)
	if err != nil {
		log.Fatal(err)
	}
	io.WriteString(stream, "begun, ")
	io.ReadFull(stream, make([]byte, 7))

	ended := make(chan error)
	go func() {
		patience, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		ended <- l.Shutdown(patience)
	}()
	io.WriteString(stream, "and completed")
	stream.CloseWrite()
	rest, err := io.ReadAll(stream)
	fmt.Printf("%s, %v\n", rest, err)
	conn.Close()
	fmt.Println(<-ended)
	// Output:
	// and completed, <nil>
	// <nil>
}

// One endpoint both listens and dials: peers that call one another do so from one port, as those behind a NAT must.
func ExampleListenOn() {
	ctx := context.Background()
	certificate, roots := testcert.Get()
	config := &quic.Config{TLS: &tls.Config{
		Certificates: []tls.Certificate{certificate}, NextProtos: []string{"peer"}, RootCAs: roots, ServerName: "localhost",
	}}
	peer := func() *quicnet.Listener {
		socket, err := udp.Listen("127.0.0.1:0", nil)
		if err != nil {
			log.Fatal(err)
		}
		e, err := engine.NewEndpoint(nil, socket)
		if err != nil {
			log.Fatal(err)
		}
		l, err := quicnet.ListenOn(e, &quicnet.ListenConfig{QUIC: config})
		if err != nil {
			log.Fatal(err)
		}
		return l
	}
	a, b := peer(), peer()
	defer a.Engine().Endpoint().Close()
	defer b.Engine().Endpoint().Close()

	address := netip.MustParseAddrPort(b.Addr().String())
	if _, err := quicnet.DialOn(ctx, a.Engine().Endpoint(), address, &quicnet.DialConfig{QUIC: config}); err != nil {
		log.Fatal(err)
	}
	conn, err := b.Accept(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("called from where it listens:", conn.RemoteAddr().String() == a.Addr().String())
	// Output: called from where it listens: true
}

// Several protocols on one listener, of which blocking streams are one: the driver is the application that the engine runs.
func ExampleNewDriver() {
	ctx := context.Background()
	certificate, roots := testcert.Get()
	conns := make(chan *quicnet.Conn, 1)
	l, err := engine.Listen(&engine.ListenConfig{
		QUIC: &quic.Config{TLS: &tls.Config{Certificates: []tls.Certificate{certificate}, NextProtos: []string{"log", "echo"}}},
		NewApplication: engine.ByProtocol(map[string]engine.NewApplicationFunc{
			"echo": func(engine.ConnInfo) (engine.ApplicationOverQUIC, error) {
				return quicnet.NewDriver(func(c *quicnet.Conn) error { conns <- c; return nil }), nil
			},
			"log": func(engine.ConnInfo) (engine.ApplicationOverQUIC, error) { return engine.Base{}, nil },
		}),
	}, "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()

	client, err := quicnet.Dial(ctx, l.Addr().String(), &quicnet.DialConfig{
		QUIC: &quic.Config{TLS: &tls.Config{RootCAs: roots, NextProtos: []string{"echo"}}},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	server := <-conns
	fmt.Println(server.ConnectionState().NegotiatedProtocol)
	// Output: echo
}
