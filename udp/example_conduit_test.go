//go:build unix

package udp_test

import (
	"fmt"
	"log"
	"net/netip"

	"github.com/dunlin-quic/dunlin/udp"
)

// A socket whose owner carries the datagrams: here from one conduit to another, in a program perhaps through a relay.
func ExampleConduit() {
	var a, b *udp.Conduit
	conduit := func(address string, to **udp.Conduit) *udp.Conduit {
		local := netip.MustParseAddrPort(address)
		c, err := udp.NewConduit(udp.ConduitConfig{
			Local: local,
			Send: func(d udp.Datagrams) error {
				(*to).Deliver(udp.Message{Buf: d.Buf, N: len(d.Buf), SegmentSize: d.SegmentSize, Remote: local, ECN: d.ECN})
				return nil
			},
			Capabilities: udp.Capabilities{GSO: true, ECN: true, DontFragment: true},
		})
		if err != nil {
			log.Fatal(err)
		}
		return c
	}
	a, b = conduit("192.0.2.1:1000", &b), conduit("192.0.2.2:2000", &a)
	defer a.Close()
	defer b.Close()

	// Either is a udp.Socket, for engine.NewEndpoint as well.
	if err := a.Send(udp.Datagrams{Buf: []byte("hello"), Remote: b.LocalAddr(), ECN: udp.ECT0}); err != nil {
		log.Fatal(err)
	}
	msgs := []udp.Message{{Buf: make([]byte, 64<<10)}}
	if _, err := b.ReadBatch(msgs); err != nil {
		log.Fatal(err)
	}
	m := msgs[0]
	fmt.Printf("%s from %v, ECT(0) %v\n", m.Buf[:m.N], m.Remote, m.ECN == udp.ECT0)
	// Output: hello from 192.0.2.1:1000, ECT(0) true
}

// A socket goes to the process that takes over, here the same one. Datagrams that come in between wait in it.
func ExampleFile() {
	old, err := udp.Listen("127.0.0.1:0", nil)
	if err != nil {
		log.Fatal(err)
	}
	file, err := udp.File(old) // for exec.Cmd.ExtraFiles
	if err != nil {
		log.Fatal(err)
	}
	old.Close()

	next, err := udp.FromFile(file, nil) // or, in that process, udp.Inherited
	if err != nil {
		log.Fatal(err)
	}
	file.Close()
	defer next.Close()
	fmt.Println("the same address:", next.LocalAddr() == old.LocalAddr())
	// Output: the same address: true
}
