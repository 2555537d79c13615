package engine

import (
	"bytes"
	"net/netip"
	"testing"

	"github.com/dunlin-quic/dunlin/udp"
)

// Connections whose packets their owner carries himself: client and server without any socket.
func TestRaw(t *testing.T) {
	for _, gso := range []bool{false, true} {
		var conduits [2]*udp.Conduit
		var endpoints [2]*Endpoint
		addresses := []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:1"), netip.MustParseAddrPort("192.0.2.2:2")}
		for i := range conduits {
			var err error
			if conduits[i], err = udp.NewConduit(udp.ConduitConfig{
				Local: addresses[i], Capabilities: udp.Capabilities{GSO: gso, ECN: true, DontFragment: true},
				Send: func(d udp.Datagrams) error {
					conduits[1-i].Deliver(udp.Message{
						Buf: d.Buf, N: len(d.Buf), SegmentSize: d.SegmentSize, Remote: addresses[i], ECN: d.ECN,
					})
					return nil
				},
			}); err != nil {
				t.Fatal(err)
			}
		}
		for i := range conduits {
			var err error
			if endpoints[i], err = NewEndpoint(nil, conduits[i]); err != nil {
				t.Fatal(err)
			}
			defer endpoints[i].Close()
		}
		l, err := endpoints[1].Listen(&ListenConfig{QUIC: serverQUIC(), NewApplication: newEcho})
		if err != nil {
			t.Fatal(err)
		}
		a, c := testDial(t, endpoints[0], l)
		data := randomBytes(3 << 20)
		if got, err := a.call(c, data); err != nil || !bytes.Equal(got, data) {
			t.Fatal("no echo: ", err)
		}
		if c.LocalAddr() != addresses[0] || c.RemoteAddr() != addresses[1] {
			t.Errorf("from %v to %v", c.LocalAddr(), c.RemoteAddr())
		}
	}
}
