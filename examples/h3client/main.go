// H3client uses HTTP/3's driver directly, without net/http: it opens requests on one connection, all at once, and
// follows the typed events of its controller.
//
//	go run ./examples/h3server
//	go run ./examples/h3client https://localhost:4433/a https://localhost:4433/b
//
// All URLs must name one server. With -body the requests are POSTs.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/dunlin-quic/dunlin/engine"
	"github.com/dunlin-quic/dunlin/h3"
	"github.com/dunlin-quic/dunlin/h3driver"
	"github.com/dunlin-quic/dunlin/quic"
)

func main() {
	log.SetFlags(log.Ltime | log.Lmicroseconds)
	cacert := flag.String("cacert", filepath.Join(os.TempDir(), "dunlin-h3server.pem"), "PEM `file` of certificates to trust")
	body := flag.String("body", "", "`text` to send with each request")
	flag.Parse()
	if flag.NArg() == 0 {
		log.Fatal("which URL? see -help")
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	pem, err := os.ReadFile(*cacert)
	if err != nil {
		log.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	if err := run(ctx, os.Stdout, roots, *body, flag.Args()...); err != nil {
		log.Fatal(err)
	}
}

// run fetches the URLs and writes their bodies to out.
func run(ctx context.Context, out io.Writer, roots *x509.CertPool, body string, urls ...string) error {
	var targets []*url.URL
	for _, s := range urls {
		u, err := url.Parse(s)
		if err != nil {
			return err
		}
		targets = append(targets, u)
	}
	address := targets[0].Host
	if targets[0].Port() == "" {
		address = net.JoinHostPort(targets[0].Hostname(), "443")
	}

	connection, err := engine.Dial(ctx, address, &engine.DialConfig{
		QUIC: &quic.Config{TLS: &tls.Config{RootCAs: roots, NextProtos: []string{h3.NextProto}}},
		// A name may have several addresses, and each that is tried gets a driver of its own.
		NewApplication: func(engine.ConnInfo) (engine.ApplicationOverQUIC, error) {
			return h3driver.NewClient(nil), nil
		},
	})
	if err != nil {
		return err
	}
	controller := connection.Application().(*h3driver.ClientDriver).Controller()
	log.Printf("connected to %v", connection.RemoteAddr())

	for _, u := range targets {
		stream, err := controller.OpenRequest(ctx, request(u, body), u)
		if err != nil {
			return err
		}
		log.Printf("stream %d: requested %v", stream.ID(), u)
	}
	err = follow(ctx, out, controller, len(targets))
	controller.Close()
	<-connection.Done()
	return err
}

// request makes a whole request: what is small leaves in one datagram.
func request(u *url.URL, body string) h3driver.Part {
	method := "GET"
	if body != "" {
		method = "POST"
	}
	return h3driver.Part{
		Header: []h3.Field{
			{Name: ":method", Value: method},
			{Name: ":scheme", Value: "https"},
			{Name: ":authority", Value: u.Host},
			{Name: ":path", Value: u.RequestURI()},
		},
		Body: []byte(body),
		Fin:  true,
	}
}

// follow handles events until all responses are there.
func follow(ctx context.Context, out io.Writer, controller *h3driver.ClientController, requests int) error {
	var mu sync.Mutex // of out
	done := make(chan error, requests)
	go func() {
		for {
			ev, err := controller.NextEvent(ctx)
			if err != nil {
				return
			}
			switch ev.Kind {
			case h3driver.EventSettings:
				log.Printf("the server's settings: %v", ev.Settings)
			case h3driver.EventInterim, h3driver.EventHeaders:
				log.Printf("stream %d: %v", ev.Stream.ID(), ev.Fields)
				if ev.Kind == h3driver.EventHeaders {
					go func() { done <- read(ev.Stream, out, &mu) }()
				}
			case h3driver.EventReset:
				done <- ev.Err
			case h3driver.EventGoAway:
				log.Printf("the server is going away")
			case h3driver.EventClosed:
				for range requests {
					done <- ev.Err
				}
			}
		}
	}()
	var errs []error
	for range requests {
		select {
		case err := <-done:
			errs = append(errs, err)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return errors.Join(errs...)
}

// read copies a response's body to out.
func read(stream *h3driver.Stream, out io.Writer, mu *sync.Mutex) error {
	body, err := io.ReadAll(stream)
	if err != nil {
		return err
	}
	mu.Lock()
	defer mu.Unlock()
	fmt.Fprintf(out, "%v:\n%s", stream.Value, body)
	for _, f := range stream.Trailers() {
		fmt.Fprintf(out, "trailer %s: %s\n", f.Name, f.Value)
	}
	return nil
}
