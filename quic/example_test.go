package quic_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"math/big"
	"net/netip"
	"time"

	"github.com/dunlin-quic/dunlin/quic"
)

// The network of this example: what one side polls, the other receives at once.
func deliver(now time.Time, from, to *quic.Conn) {
	buf := make([]byte, 64<<10)
	for {
		t, ok := from.PollTransmit(now, buf, 40)
		if !ok {
			return
		}
		to.Receive(now, quic.Inbound{
			Path:        quic.Path{Local: t.Path.Remote, Remote: t.Path.Local},
			ECN:         t.ECN,
			Data:        buf[:t.Len],
			SegmentSize: t.SegmentSize,
		})
	}
}

// A client greets a server, without a socket between them.
func Example() {
	now := time.Now()
	path := quic.Path{
		Local:  netip.MustParseAddrPort("192.0.2.1:50000"),
		Remote: netip.MustParseAddrPort("192.0.2.2:443"),
	}
	client, err := quic.NewClient(now, &quic.Config{TLS: &tls.Config{
		NextProtos:         []string{"greeting"},
		InsecureSkipVerify: true, // the certificate is made on the spot
	}}, path)
	if err != nil {
		fmt.Println(err)
		return
	}

	// The server's front door lets the first datagram through.
	demux, err := quic.NewDemux(quic.DemuxConfig{})
	if err != nil {
		fmt.Println(err)
		return
	}
	first := make([]byte, 1500)
	t, _ := client.PollTransmit(now, first, 1)
	reverse := quic.Path{Local: path.Remote, Remote: path.Local}
	attempt := demux.Handle(now, reverse, first[:t.Len], make([]byte, quic.MinReplyBuffer), false)
	server, err := quic.NewServer(now, &quic.Config{TLS: &tls.Config{
		NextProtos:   []string{"greeting"},
		Certificates: []tls.Certificate{certificate()},
	}}, attempt.Accept)
	if err != nil {
		fmt.Println(err)
		return
	}
	server.Receive(now, quic.Inbound{Path: reverse, Data: first[:t.Len]})

	for range 10 {
		deliver(now, client, server)
		deliver(now, server, client)
		for e := client.NextEvent(); e.Kind != quic.EventNone; e = client.NextEvent() {
			if e.Kind == quic.EventEstablished {
				s, err := client.OpenStream(quic.Uni)
				if err == nil {
					_, err = s.TryWrite([]byte("hello, server"), true)
				}
				fmt.Println("client writes:", err)
			}
		}
		for e := server.NextEvent(); e.Kind != quic.EventNone; e = server.NextEvent() {
			if e.Kind == quic.EventStreamReadable {
				b := make([]byte, 100)
				n, err := e.Stream.TryRead(b)
				fmt.Printf("server reads: %s\n", b[:n])
				if err == nil {
					_, err = e.Stream.TryRead(b)
				}
				fmt.Println("and then:", err == io.EOF)
				server.Close(now, nil)
			}
			if e.Kind == quic.EventClosed {
				fmt.Println("server:", e.Err)
			}
		}
	}
	fmt.Println("client:", client.Err())
	// Output:
	// client writes: <nil>
	// server reads: hello, server
	// and then: true
	// server: quic: NO_ERROR
	// client: quic: NO_ERROR from the peer
}

func certificate() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	t := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// aimd is a congestion controller that adds a packet to the window in each round trip and halves it when a packet is lost.
type aimd struct {
	quic.CongestionBase
	window, maxDatagram int
}

func (c *aimd) OnAck(a quic.CongestionAck) {
	if !a.InRecovery && a.WindowLimited {
		c.window += max(c.maxDatagram*a.Bytes/c.window, 1)
	}
}

func (c *aimd) OnCongestion(time.Duration, bool)         { c.window = max(c.window/2, 2*c.maxDatagram) }
func (c *aimd) OnPersistentCongestion(now time.Duration) { c.window = 2 * c.maxDatagram }
func (c *aimd) SetMaxDatagramSize(bytes int)             { c.maxDatagram = bytes }
func (c *aimd) Window() int                              { return c.window }

// A controller of one's own: each path of each connection gets one.
func ExampleCongestionController() {
	cfg := &quic.Config{
		TLS: &tls.Config{NextProtos: []string{"greeting"}, InsecureSkipVerify: true},
		NewCongestionController: func(maxDatagram int) quic.CongestionController {
			fmt.Println("a path with packets of", maxDatagram, "bytes")
			return &aimd{window: 10 * maxDatagram, maxDatagram: maxDatagram}
		},
	}
	client, err := quic.NewClient(time.Now(), cfg, quic.Path{
		Local:  netip.MustParseAddrPort("192.0.2.1:50000"),
		Remote: netip.MustParseAddrPort("192.0.2.2:443"),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("window:", client.Stats().Cwnd)
	// Output:
	// a path with packets of 1200 bytes
	// window: 12000
}
