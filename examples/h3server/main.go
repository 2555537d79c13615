// H3server uses HTTP/3's driver directly, without net/http: it takes typed events from each connection's controller and
// gives it commands. It answers every request with what it received.
//
//	go run ./examples/h3server
//	go run ./examples/h3client https://localhost:4433/hello
//
// Interrupt it, and it tells its clients to go away, answers what is under way, and ends.
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"os/signal"
	"strconv"
	"time"

	"github.com/dunlin-quic/dunlin/engine"
	"github.com/dunlin-quic/dunlin/h3"
	"github.com/dunlin-quic/dunlin/h3driver"
	"github.com/dunlin-quic/dunlin/quic"
)

func main() {
	log.SetFlags(log.Ltime | log.Lmicroseconds)
	listen := flag.String("listen", "localhost:4433", "UDP `address` to listen on")
	cert := flag.String("cert", "", "PEM `file` with the certificate; by default one is made for localhost")
	key := flag.String("key", "", "PEM `file` with its key")
	flag.Parse()
	certificate, err := loadOrMake(*cert, *key)
	if err != nil {
		log.Fatal(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	listener, err := start(*listen, certificate)
	if err != nil {
		log.Fatal(err)
	}
	log.Printf("listening on %v", listener.Addr())
	<-ctx.Done()
	log.Print("going away")
	drain, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := listener.Shutdown(drain); err != nil {
		log.Fatal(err)
	}
}

// start serves in the background.
func start(address string, certificate tls.Certificate) (*engine.Listener, error) {
	return engine.Listen(&engine.ListenConfig{
		QUIC: &quic.Config{TLS: &tls.Config{
			Certificates: []tls.Certificate{certificate},
			NextProtos:   []string{h3.NextProto},
		}},
		// The engine calls this for each connection, and runs the driver; the controller is for us.
		NewApplication: func(info engine.ConnInfo) (engine.ApplicationOverQUIC, error) {
			driver := h3driver.NewServer(nil)
			go serve(info.Remote.String(), driver.Controller())
			return driver, nil
		},
	}, address)
}

// serve handles the events of one connection.
func serve(peer string, controller *h3driver.ServerController) {
	for {
		ev, err := controller.NextEvent(context.Background())
		if err != nil {
			return // EventClosed has told why
		}
		switch ev.Kind {
		case h3driver.EventEstablished:
			log.Printf("%s: connected", peer)
		case h3driver.EventHeaders:
			log.Printf("%s: request on stream %d: %v", peer, ev.Stream.ID(), ev.Fields)
			go answer(ev)
		case h3driver.EventReset, h3driver.EventStopSending:
			log.Printf("%s: stream %d: %v", peer, ev.Stream.ID(), ev.Err)
		case h3driver.EventClosed:
			log.Printf("%s: closed after %d packets: %v", peer, controller.Stats().PacketsReceived, ev.Err)
		}
	}
}

// answer sends the request back as the response's body. The stream blocks like any io.Reader and io.Writer; what
// the peer does not read stops us, and what we do not read stops the peer.
func answer(ev h3driver.Event) {
	stream := ev.Stream
	stream.SetDeadline(time.Now().Add(time.Minute))
	var head []byte
	for _, f := range ev.Fields {
		head = fmt.Appendf(head, "%s: %s\n", f.Name, f.Value)
	}
	fields := []h3.Field{{Name: ":status", Value: "200"}, {Name: "content-type", Value: "text/plain; charset=utf-8"}}
	if ev.Fin {
		fields = append(fields, h3.Field{Name: "content-length", Value: strconv.Itoa(len(head))})
		stream.Respond(fields, head) // one command, and one datagram
		return
	}
	err := stream.Send(h3driver.Part{Header: fields, Body: append(head, '\n')})
	if err == nil {
		_, err = io.Copy(stream, stream)
	}
	if err == nil {
		err = stream.SendTrailers([]h3.Field{{Name: "x-received", Value: "all"}})
	}
	if err != nil && !errors.Is(err, net.ErrClosed) {
		log.Printf("stream %d: %v", stream.ID(), err)
		stream.CancelRead(h3.RequestCancelled)
		stream.CancelWrite(h3.InternalError)
	}
}
