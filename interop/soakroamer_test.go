package interop

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/dunlin-quic/dunlin/engine"
	"github.com/dunlin-quic/dunlin/h3"
	"github.com/dunlin-quic/dunlin/h3driver"
	"github.com/dunlin-quic/dunlin/quic"
	"github.com/dunlin-quic/dunlin/udp"
)

// roam fetches from a server, over one connection, until rest is closed, and moves to a new port in the middle of each answer.
// Nothing may be lost on the way.
func roam(t *testing.T, server netip.AddrPort, l *ledger, rest <-chan struct{}) {
	port := func() udp.Socket {
		socket, err := udp.Listen("127.0.0.1:0", nil)
		if err != nil {
			t.Error(err)
		}
		return socket
	}
	endpoint, err := engine.NewEndpoint(nil, port())
	if err != nil {
		t.Error(err)
		return
	}
	defer endpoint.Close()
	driver := h3driver.NewClient(nil)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	conn, err := endpoint.Dial(ctx, server, &engine.DialConfig{
		QUIC: &quic.Config{
			KeepAlive: time.Second, IdleTimeout: *soakPatience,
			TLS: &tls.Config{RootCAs: testIdentity(t).pool, NextProtos: []string{h3.NextProto}, ServerName: "localhost"},
		},
		NewApplication: func(engine.ConnInfo) (engine.ApplicationOverQUIC, error) { return driver, nil },
	})
	if err != nil {
		t.Error(err)
		return
	}
	client := &driven{conn, driver.Controller(), server.String()}
	defer client.close()
	const size = 1_500_000
	for {
		select {
		case <-rest:
			return
		default:
		}
		id := l.open(true)
		_, w := watched(ctx, fmt.Sprintf("roamer's request %d", id))
		l.note(id, func(e *entry) { e.watch = w })
		_, err := client.fetch(ctx, fmt.Sprintf("/?id=%d&answer=%d", id, size), size, func() {
			from, to := endpoint.LocalAddr(), port()
			if err := endpoint.AddSocket(to); err != nil {
				t.Error(err)
				return
			}
			// A busy machine may be too late with its answer on the new path: then the connection stays.
			left := from
			if err := conn.Migrate(ctx, to.LocalAddr()); err != nil {
				l.count("stays: " + err.Error())
				left = to.LocalAddr()
			} else {
				l.count("moves")
			}
			if err := endpoint.RemoveSocket(left); err != nil {
				t.Error(err)
			}
		})
		if err != nil {
			t.Errorf("the roamer: %v; %v", err, w)
			return
		}
		l.note(id, func(e *entry) { e.acked = contentSum(0) }) // its body was empty
	}
}
