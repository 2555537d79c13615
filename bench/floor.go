package main

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dunlin-quic/dunlin/udp"
)

func init() { rawPeers["floor"] = floor{} }

// floor is what no protocol over UDP can beat here: packets sealed with AES-128-GCM, their headers masked, sent by GSO,
// received by GRO, opened. It acknowledges every quarter of its window with one datagram and sends nothing again: on
// loopback, with a window that fits the socket's buffer, nothing is lost, and if it were the run would fail.
type floor struct{}

const (
	floorPayload = 1400
	floorHeader  = 9 // a byte of flags and the packet number
	floorPacket  = floorHeader + floorPayload + 16
	floorTrain   = udp.MaxDatagram / floorPacket
	floorWindow  = 2048 // packets
)

// floorConn is both ends' state; everything on a socket is one connection with one stream each way.
type floorConn struct {
	sock   udp.Socket
	remote netip.AddrPort

	aead  cipher.AEAD
	mask  cipher.Block
	nonce [12]byte

	sendMask, receiveMask [16]byte

	sent  uint64
	acked atomic.Uint64
	room  chan struct{} // acked has grown
	out   []byte

	rnonce   [12]byte
	received uint64
	toldAck  uint64
	in       chan []byte // opened payloads of one read
	back     chan []byte // spent buffers
	rest     []byte
	restBuf  []byte
	err      atomic.Pointer[error]
	once     sync.Once
}

func newFloorConn(sock udp.Socket, remote netip.AddrPort) *floorConn {
	key := make([]byte, 16)
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	return &floorConn{
		sock: sock, remote: remote, aead: aead, mask: block, room: make(chan struct{}, 1), out: make([]byte, 0, udp.MaxDatagram),
		in: make(chan []byte, 64), back: make(chan []byte, 64),
	}
}

const (
	floorData = 1 + iota
	floorAck
	floorFin
)

// Write seals p into packets, and sends them in trains.
func (c *floorConn) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		m := min(len(p), floorPayload)
		c.seal(floorData, p[:m])
		p = p[m:]
		if len(p) == 0 || m < floorPayload || len(c.out)+floorPacket > floorTrain*floorPacket {
			if err := c.flush(); err != nil {
				return 0, err
			}
		}
	}
	return n, nil
}

func (c *floorConn) seal(kind byte, p []byte) {
	at := len(c.out)
	c.out = append(c.out, kind)
	c.out = binary.BigEndian.AppendUint64(c.out, c.sent)
	binary.BigEndian.PutUint64(c.nonce[4:], c.sent)
	c.sent++
	header := c.out[at : at+floorHeader]
	c.out = append(c.out, p...)
	body := c.aead.Seal(c.out[at+floorHeader:at+floorHeader], c.nonce[:], c.out[at+floorHeader:], header)
	c.out = c.out[:at+floorHeader+len(body)]
	c.maskHeader(&c.sendMask, c.out[at:])
}

func (c *floorConn) maskHeader(m *[16]byte, pkt []byte) {
	c.mask.Encrypt(m[:], pkt[floorHeader:floorHeader+16])
	for i := range 8 {
		pkt[1+i] ^= m[i]
	}
}

func (c *floorConn) flush() error {
	for c.sent-c.acked.Load() > floorWindow {
		select {
		case <-c.room:
		case <-time.After(5 * time.Second):
			return errors.New("floor: a datagram was lost")
		}
	}
	err := c.sock.Send(udp.Datagrams{Buf: c.out, SegmentSize: floorPacket, Remote: c.remote})
	c.out = c.out[:0]
	return err
}

func (c *floorConn) Close() error {
	c.seal(floorFin, nil)
	return c.flush()
}

// take opens what one read gave, in place, and passes the payload on.
func (c *floorConn) take(m *udp.Message, buf []byte) (fin bool, err error) {
	data := m.Buf[:m.N]
	size := m.SegmentSize
	if size == 0 {
		size = len(data)
	}
	out := buf[:0]
	for len(data) > 0 {
		pkt := data[:min(size, len(data))]
		data = data[len(pkt):]
		if len(pkt) == 9 && pkt[0] == floorAck {
			c.acked.Store(binary.BigEndian.Uint64(pkt[1:]))
			select {
			case c.room <- struct{}{}:
			default:
			}
			continue
		}
		if len(pkt) < floorHeader+16 {
			return false, errors.New("floor: short packet")
		}
		c.maskHeader(&c.receiveMask, pkt)
		copy(c.rnonce[4:], pkt[1:9])
		p, err := c.aead.Open(pkt[floorHeader:floorHeader], c.rnonce[:], pkt[floorHeader:], pkt[:floorHeader])
		if err != nil {
			return false, err
		}
		c.received++
		if pkt[0] == floorFin {
			fin = true
		} else {
			out = append(out, p...)
		}
	}
	if fin || c.received-c.toldAck >= floorWindow/4 {
		c.toldAck = c.received
		ack := binary.BigEndian.AppendUint64([]byte{floorAck}, c.received)
		if err := c.sock.Send(udp.Datagrams{Buf: ack, Remote: c.remote}); err != nil {
			return false, err
		}
	}
	if len(out) > 0 {
		c.in <- out
	} else {
		c.back <- buf
	}
	if fin {
		c.once.Do(func() { close(c.in) })
	}
	return fin, nil
}

func (c *floorConn) buffer() []byte {
	select {
	case b := <-c.back:
		return b[:0]
	default:
		return make([]byte, 0, 1<<16)
	}
}

func (c *floorConn) Read(p []byte) (int, error) {
	if len(c.rest) == 0 {
		if c.restBuf != nil {
			select {
			case c.back <- c.restBuf:
			default:
			}
		}
		b, ok := <-c.in
		if !ok {
			if err := c.err.Load(); err != nil {
				return 0, *err
			}
			return 0, io.EOF
		}
		c.rest, c.restBuf = b, b
	}
	n := copy(p, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

// receive runs the socket of one side; conn finds or makes the connection of a sender.
func floorReceive(sock udp.Socket, conn func(netip.AddrPort) *floorConn) {
	msgs := []udp.Message{{Buf: make([]byte, 1<<16)}}
	for {
		if _, err := sock.ReadBatch(msgs); err != nil {
			return
		}
		c := conn(msgs[0].Remote)
		if _, err := c.take(&msgs[0], c.buffer()); err != nil {
			c.err.CompareAndSwap(nil, &err)
			c.once.Do(func() { close(c.in) })
			return
		}
	}
}

func (floor) serve(cfg serverConfig) (string, error) {
	sock, err := udp.Listen(cfg.addr, nil)
	if err != nil {
		return "", err
	}
	conns := map[netip.AddrPort]*floorConn{}
	go floorReceive(sock, func(from netip.AddrPort) *floorConn {
		c := conns[from]
		if c == nil {
			c = newFloorConn(sock, from)
			conns[from] = c
			go rawHandler(c)
		}
		return c
	})
	return sock.LocalAddr().String(), nil
}

func (floor) dial(_ context.Context, addr string, _ *tls.Config) (rawConn, error) {
	sock, err := udp.Listen("127.0.0.1:0", nil)
	if err != nil {
		return nil, err
	}
	remote, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil, err
	}
	c := newFloorConn(sock, remote)
	go floorReceive(sock, func(netip.AddrPort) *floorConn { return c })
	return rawStreams{open: func() (rawStream, error) { return c, nil }, close: sock.Close}, nil
}
