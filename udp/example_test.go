package udp_test

import (
	"fmt"
	"log"

	"github.com/dunlin-quic/dunlin/udp"
)

// Three datagrams leave in one call, and may arrive in one.
func Example() {
	server, err := udp.Listen("127.0.0.1:0", nil)
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	client, err := udp.Listen("127.0.0.1:0", nil)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	if err := client.Send(udp.Datagrams{
		Buf:         []byte("ruff, knot, dunlin"),
		SegmentSize: 6,
		Remote:      server.LocalAddr(),
	}); err != nil {
		log.Fatal(err)
	}

	msgs := make([]udp.Message, 8)
	for i := range msgs {
		msgs[i].Buf = make([]byte, 64<<10)
	}
	for received := 0; received < 3; {
		n, err := server.ReadBatch(msgs)
		if err != nil {
			log.Fatal(err)
		}
		for _, m := range msgs[:n] {
			size := m.SegmentSize
			if size == 0 {
				size = m.N
			}
			for b := m.Buf[:m.N]; len(b) > 0; b = b[min(size, len(b)):] {
				fmt.Printf("%q\n", b[:min(size, len(b))])
				received++
			}
		}
	}
	// Output:
	// "ruff, "
	// "knot, "
	// "dunlin"
}
