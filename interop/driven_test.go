package interop

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"testing"

	"github.com/dunlin-quic/dunlin/engine"
	"github.com/dunlin-quic/dunlin/h3"
	"github.com/dunlin-quic/dunlin/h3driver"
	"github.com/dunlin-quic/dunlin/quic"
	"github.com/dunlin-quic/dunlin/udp"
)

// driven is a client of Dunlin's for HTTP/3 whose connection is at hand: for what net/http has no words for.
type driven struct {
	*engine.Connection
	controller *h3driver.ClientController
	authority  string
}

// drive connects, with early data if config says so and there is a session. Of config everything but NextProtos counts.
func drive(t *testing.T, addr netip.AddrPort, config *quic.Config) *driven {
	t.Helper()
	config.TLS.NextProtos = []string{h3.NextProto}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	driver := h3driver.NewClient(nil)
	conn, err := engine.Dial(ctx, addr.String(), &engine.DialConfig{
		QUIC: config, EarlyStart: true,
		NewApplication: func(engine.ConnInfo) (engine.ApplicationOverQUIC, error) { return driver, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	d := &driven{conn, driver.Controller(), addr.String()}
	t.Cleanup(d.close)
	return d
}

func (d *driven) close() {
	d.controller.Close()
	<-d.Done()
}

// get fetches size bytes of content from path, by early data if there is any, checks them, and tells whether there was.
// When the first MB has come, it calls during, which may be nil.
func (d *driven) get(t *testing.T, path string, size int64, during func()) (early bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	early, err := d.fetch(ctx, path, size, during)
	if err != nil {
		t.Errorf("GET %s: %v", path, err)
	}
	return early
}

// fetch is get for callers with a context of their own.
func (d *driven) fetch(ctx context.Context, path string, size int64, during func()) (early bool, err error) {
	stream, err := d.controller.OpenRequest(ctx, h3driver.Part{Header: []h3.Field{
		{Name: ":method", Value: "GET"}, {Name: ":scheme", Value: "https"},
		{Name: ":authority", Value: d.authority}, {Name: ":path", Value: path},
	}, Fin: true, Early: true}, nil)
	if err != nil {
		return false, err
	}
	early = stream.Early()
	return early, d.receive(ctx, stream, size, during)
}

func (d *driven) receive(ctx context.Context, stream *h3driver.Stream, size int64, during func()) error {
	for {
		ev, err := d.controller.NextEvent(ctx)
		if err != nil {
			return err
		}
		if ev.Kind != h3driver.EventHeaders {
			continue
		}
		if len(ev.Fields) == 0 || ev.Fields[0].Value != "200" {
			return fmt.Errorf("header section %v", ev.Fields)
		}
		break
	}
	got := sha256.New()
	if during != nil {
		if _, err := io.CopyN(got, stream, 1e6); err != nil {
			return err
		}
		during()
	}
	if _, err := io.Copy(got, stream); err != nil {
		return err
	}
	if got := hex.EncodeToString(got.Sum(nil)); got != contentSum(size) {
		return errors.New("not the content")
	}
	return nil
}

// state returns the version and what has become of early data.
func (d *driven) state(t *testing.T) (v quic.Version, early quic.EarlyDataState) {
	t.Helper()
	if err := d.Do(func(s *engine.Session) { v, early = s.Conn().Version(), s.Conn().EarlyData().State }); err != nil {
		t.Fatal(err)
	}
	return v, early
}

// returns fetches from a server on two connections, and checks that the second one asks by early data, which is taken.
func returns(t *testing.T, seen *wiretap, path string, size int64) {
	t.Helper()
	config := &quic.Config{EarlyData: true, Tokens: engine.NewTokenCache(10), TLS: &tls.Config{
		RootCAs: testIdentity(t).pool, ClientSessionCache: tls.NewLRUClientSessionCache(1),
	}}
	client := drive(t, seen.addr(), config)
	client.get(t, path, size, nil)
	client.close()
	first := seen.sightings()
	client = drive(t, seen.addr(), config)
	asked := client.get(t, path, size, nil)
	_, early := client.state(t)
	both := seen.sightings()
	if !asked || early != quic.EarlyDataAccepted || first.early > 0 || both.early == 0 {
		t.Errorf("asked early: %v; early data: %v; 0-RTT packets: %d on the first connection, %d on both", asked, early, first.early, both.early)
	}
	if both.retries != first.retries {
		t.Errorf("Retry packets: %d on the first connection, %d on both", first.retries, both.retries)
	}
}

// migrates fetches from a server, moves to another port in the meantime, and checks that the connection is there afterwards;
// or that the move fails as it must and the connection goes on where it was.
func migrates(t *testing.T, addr netip.AddrPort, path string, size int64, want error) {
	t.Helper()
	sockets := make([]udp.Socket, 2)
	for i := range sockets {
		socket, err := udp.Listen("127.0.0.1:0", nil)
		if err != nil {
			t.Fatal(err)
		}
		sockets[i] = socket
	}
	endpoint, err := engine.NewEndpoint(nil, sockets...)
	if err != nil {
		t.Fatal(err)
	}
	defer endpoint.Close()
	driver := h3driver.NewClient(nil)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conn, err := endpoint.Dial(ctx, addr, &engine.DialConfig{
		QUIC:           &quic.Config{TLS: &tls.Config{RootCAs: testIdentity(t).pool, NextProtos: []string{h3.NextProto}, ServerName: "localhost"}},
		NewApplication: func(engine.ConnInfo) (engine.ApplicationOverQUIC, error) { return driver, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	client := &driven{conn, driver.Controller(), addr.String()}
	defer client.close()
	there := sockets[0].LocalAddr()
	if there == conn.LocalAddr() {
		there = sockets[1].LocalAddr()
	}
	client.get(t, path, size, func() {
		if err := conn.Migrate(ctx, there); err != want {
			t.Errorf("Migrate returned %v, want %v", err, want)
		}
	})
	var used quic.Path
	if err := conn.Do(func(s *engine.Session) { used = s.Conn().Path() }); err != nil || (used.Local == there) != (want == nil) {
		t.Errorf("the path is %v, %v; the other port %v", used, err, there)
	}
}
