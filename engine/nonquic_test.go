package engine

import (
	"bytes"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/dunlin-quic/dunlin/quic"
	"github.com/dunlin-quic/dunlin/udp"
)

// One socket of the caller's listens, dials, and carries another protocol beside both.
func TestSharedSocket(t *testing.T) {
	open := func(others chan Datagram) *Endpoint {
		pc, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		s, err := udp.Wrap(pc, nil)
		if err != nil {
			t.Fatal(err)
		}
		e, err := NewEndpoint(&EndpointConfig{NonQUIC: func(d Datagram) bool {
			if d.Data[0] >= 64 && d.Data[0] <= 79 {
				return false // we use no TURN
			}
			d.Data = bytes.Clone(d.Data)
			others <- d
			return true
		}}, s)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { e.Close() })
		return e
	}
	here, there := make(chan Datagram, 100), make(chan Datagram, 100)
	a, b := open(here), open(there)
	listen := func(e *Endpoint) *Listener {
		l, err := e.Listen(&ListenConfig{QUIC: serverQUIC(), NewApplication: newEcho})
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	la, lb := listen(a), listen(b)
	first, c1 := testDial(t, a, lb)
	second, c2 := testDial(t, b, la)
	if c1.LocalAddr() != c2.RemoteAddr() || c1.RemoteAddr() != c2.LocalAddr() {
		t.Errorf("%v to %v, and %v to %v", c1.LocalAddr(), c1.RemoteAddr(), c2.LocalAddr(), c2.RemoteAddr())
	}
	data := randomBytes(300_000)
	answers := make(chan error, 2)
	go func() {
		got, err := first.call(c1, data)
		if !bytes.Equal(got, data) {
			t.Error("no echo")
		}
		answers <- err
	}()
	firsts := []byte{0, 3, 19, 20, 63, 128, 191}
	for _, x := range firsts {
		if err := a.WriteTo([]byte{x, 'o', 't', 'h', 'e', 'r'}, b.LocalAddr()); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := second.call(c2, data); err != nil || !bytes.Equal(got, data) {
		t.Error("no echo: ", err)
	}
	if err := <-answers; err != nil {
		t.Error(err)
	}
	for _, x := range firsts {
		select {
		case d := <-there:
			if d.Data[0] != x || string(d.Data[1:]) != "other" || d.Remote != a.LocalAddr() {
				t.Errorf("%v from %v", d.Data, d.Remote)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("another protocol's datagrams are lost")
		}
	}
	if n := b.Stats().NonQUIC; n != uint64(len(firsts)) || len(here) > 0 || len(there) > 0 {
		t.Errorf("%d datagrams taken; %d and %d too many", n, len(here), len(there))
	}
	if err := a.WriteTo(nil, netip.MustParseAddrPort("[::1]:1")); err == nil {
		t.Error("sent to another family")
	}
}

// countedIDs are connection IDs that begin with a server's number.
type countedIDs struct {
	quic.ConnectionIDGenerator
	server byte
}

func (c countedIDs) Generate() quic.ConnectionID {
	id := c.ConnectionIDGenerator.Generate()
	b := bytes.Clone(id.Bytes())
	b[0] = c.server
	id, _ = quic.NewConnectionID(b)
	return id
}

func (c countedIDs) VerifyConnectionID(id quic.ConnectionID) bool { return id.Bytes()[0] == c.server }

// Packets for another server's connections are not answered by a reset, which would be believed if the servers share their keys.
func TestForeignConnectionIDs(t *testing.T) {
	random, err := quic.NewConnectionIDGenerator(8, nil)
	if err != nil {
		t.Fatal(err)
	}
	e := testEndpoint(t, EndpointConfig{ConnectionIDs: countedIDs{random, 7}}, "127.0.0.1:0")
	l, err := e.Listen(&ListenConfig{QUIC: serverQUIC(), NewApplication: newEcho})
	if err != nil {
		t.Fatal(err)
	}
	a, c := testDial(t, testEndpoint(t, EndpointConfig{}, "127.0.0.1:0"), l)
	if _, err := a.call(c, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	pc, err := net.Dial("udp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	stray := append([]byte{0x40, 8}, make([]byte, 100)...)
	pc.Write(stray) // another server's
	stray[1] = 7
	pc.Write(stray) // ours, of a connection that is gone
	pc.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := pc.Read(make([]byte, 1500)); err != nil {
		t.Fatal("no stateless reset: ", err)
	}
	if st := e.Stats().Demux; st["foreign_id"] != 1 || st["sent_stateless_reset"] != 1 {
		t.Errorf("%v", st)
	}
}
