package quicnet_test

import (
	"io"
	"net"
	"testing"

	"golang.org/x/net/nettest"

	"github.com/dunlin-quic/dunlin/quic"
	"github.com/dunlin-quic/dunlin/quicnet"
)

func connectNet(t testing.TB) (server, client net.Conn, stop func()) {
	l, err := quicnet.ListenNet(serverConfig(quic.Config{}), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	client, err = quicnet.DialNet(t.Context(), l.Addr().String(), clientConfig(quic.Config{}))
	if err != nil {
		t.Fatal(err)
	}
	server, err = l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return server, client, func() {
		for _, c := range []net.Conn{server, client} {
			c.Close()
			quicnet.NetConn(c).Close()
			<-quicnet.NetConn(c).Done()
		}
		l.Close()
	}
}

// TestNetConn is what golang.org/x/net/nettest expects of a net.Conn.
func TestNetConn(t *testing.T) {
	nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
		c1, c2, stop = connectNet(t)
		return c1, c2, stop, nil
	})
}

// TestNetClose closes both ends as soon as everything is written: it arrives, and then the connections end by themselves,
// though the listener was closed in between.
func TestNetClose(t *testing.T) {
	l, err := quicnet.ListenNet(serverConfig(quic.Config{}), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	client, err := quicnet.DialNet(t.Context(), l.Addr().String(), clientConfig(quic.Config{}))
	if err != nil {
		t.Fatal(err)
	}
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if _, err := l.Accept(); err == nil {
		t.Error("a closed listener accepts")
	}
	go func() {
		server.Write(pattern(300_000))
		server.Close()
	}()
	if got, err := io.ReadAll(client); len(got) != 300_000 || err != nil {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	client.Close()
	if err := client.Close(); err == nil {
		t.Error("closed twice")
	}
	<-quicnet.NetConn(server).Done()
	<-quicnet.NetConn(client).Done()
}
