package main

import (
	"context"
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

// The floor of a work is what no protocol over UDP can beat here. What is measured of it stands beside the peers in the tables,
// so that they show how much of a library's cost is the machine's.

// floorWork is a floor of one work: its own server and client.
type floorWork struct {
	serve func(cfg serverConfig) (string, error)
	run   func(c *clientEnv) (float64, error)
}

// floors are those of works by name, and of each by the name that stands in the table. The raw works have the rawPeer floor.
var floors = map[string]map[string]floorWork{
	"get":            {"floor": floorBulk('d')},
	"put":            {"floor": floorBulk('u')},
	"small-1x100":    floorRequests(1, 100),
	"small-10x10":    floorRequests(10, 10),
	"small-100x1":    floorRequests(100, 1),
	"small-1x1":      floorRequests(1, 1),
	"handshake-http": floorHandshakes(false),
	"resumed-http":   floorHandshakes(true),
	"handshake-raw":  floorHandshakes(false),
	"resumed-raw":    floorHandshakes(true),
}

// floorBulk is the bulk floor for a body, which goes through the hands of an HTTP library: copied once more where it arrives.
func floorBulk(dir byte) floorWork {
	p := floor{copies: true}
	return floorWork{p.serve, moveBulk(func(string) rawPeer { return p }, dir)}
}

// floor moves bulk: packets sealed with AES-128-GCM, their headers masked, sent by GSO, received by GRO, opened. It
// acknowledges every quarter of its window with one datagram and sends nothing again: on loopback, with a window that fits
// the socket's buffer, nothing is lost, and if it were the run would fail.
type floor struct {
	copies bool // what is read is copied once more
}

const (
	floorPayload = 1400
	floorPacket  = floorPayload + floorOverhead
	floorTrain   = udp.MaxDatagram / floorPacket
	floorWindow  = 2048 // packets
)

// floorConn is both ends' state; everything on a socket is one connection with one stream each way.
type floorConn struct {
	sock   udp.Socket
	remote netip.AddrPort

	sealer, opener *floorKeys

	sent  uint64
	acked atomic.Uint64
	room  chan struct{} // acked has grown
	out   []byte

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
	return &floorConn{
		sock: sock, remote: remote, sealer: newFloorKeys(), opener: newFloorKeys(), room: make(chan struct{}, 1), out: make([]byte, 0, udp.MaxDatagram),
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
	c.out = c.sealer.seal(c.out, kind, c.sent, p)
	c.sent++
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
		p, err := c.opener.open(pkt)
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

func (f floor) serve(cfg serverConfig) (string, error) {
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
			go rawHandler(f.stream(c))
		}
		return c
	})
	return sock.LocalAddr().String(), nil
}

func (f floor) dial(_ context.Context, addr string, _ *tls.Config) (rawConn, error) {
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
	return rawStreams{open: func() (rawStream, error) { return f.stream(c), nil }, close: sock.Close}, nil
}

func (f floor) stream(c *floorConn) rawStream {
	if f.copies {
		return &copiedStream{rawStream: c}
	}
	return c
}

// copiedStream copies what is read once more, as whoever hands a body on from a connection to a handler does.
type copiedStream struct {
	rawStream
	buf  [chunk]byte
	rest []byte
}

func (s *copiedStream) Read(p []byte) (int, error) {
	if len(s.rest) == 0 {
		n, err := s.rawStream.Read(s.buf[:])
		if err != nil {
			return 0, err
		}
		s.rest = s.buf[:n]
	}
	n := copy(p, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}
