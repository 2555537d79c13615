package main

import (
	"bufio"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"

	"github.com/dunlin-quic/dunlin/udp"
)

// The floors of handshakes: the same TLS as a QUIC library does it, by crypto/tls's QUICConn, without QUIC.
//
// "floor-tls" is TLS alone: the messages of several handshakes at once cross in one piece, so that what carries them costs
// next to nothing. "floor" does what no library over UDP can do without: a socket for every client, sealed packets of 1,200
// bytes, packet keys made of TLS's secrets. Neither acknowledges or repeats anything.

func floorHandshakes(resumed bool) map[string]floorWork {
	visit := func(c *clientEnv, cfg *tls.Config) error { return visitFloor(c.addr, cfg) }
	single := floorWork{serveFloorHandshakes, func(c *clientEnv) (float64, error) {
		if resumed {
			return resumptions(c, func(r *returner) (bool, error) { return true, visit(c, r.tls) })
		}
		return handshakes(c, func() error { return visit(c, c.tls) })
	}}
	return map[string]floorWork{
		"floor":     single,
		"floor-tls": {serveFloorTLS, func(c *clientEnv) (float64, error) { return c.floorTLS(resumed) }},
	}
}

// floorTLS is one side of a handshake, a small request and its answer. What it says is frames: an encryption level, a length,
// bytes.
type floorTLS struct {
	conn     *tls.QUICConn
	server   bool
	keys     bool   // packet keys are made
	in, out  []byte // frames, of in the last one may be incomplete
	answered bool   // the request, after which there is nothing more to do
}

// floorStream is the level of the request and the answer.
const floorStream = 0xff

const floorFrameHeader = 3

func newFloorTLS(cfg *tls.Config, server, keys bool) (*floorTLS, error) {
	t := &floorTLS{server: server, keys: keys}
	quic := &tls.QUICConfig{TLSConfig: cfg}
	if server {
		t.conn = tls.QUICServer(quic)
	} else {
		t.conn = tls.QUICClient(quic)
	}
	t.conn.SetTransportParameters(nil)
	if err := t.conn.Start(context.Background()); err != nil {
		return nil, err
	}
	return t, t.events()
}

// floorServerTLS is the configuration of a server, the same for all its connections, so that it knows its tickets.
func floorServerTLS(cert tls.Certificate) *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{rawALPN}, MinVersion: tls.VersionTLS13}
}

// floorClientTLS adds to a client's configuration what QUIC asks for.
func floorClientTLS(cfg *tls.Config) *tls.Config {
	cfg = cfg.Clone()
	cfg.NextProtos = []string{rawALPN}
	return cfg
}

func (t *floorTLS) frame(level byte, data []byte) {
	t.out = append(t.out, level)
	t.out = binary.BigEndian.AppendUint16(t.out, uint16(len(data)))
	t.out = append(t.out, data...)
}

// events does what TLS asks for.
func (t *floorTLS) events() error {
	for {
		switch e := t.conn.NextEvent(); e.Kind {
		case tls.QUICNoEvent:
			return nil
		case tls.QUICWriteData:
			t.frame(byte(e.Level), e.Data)
		case tls.QUICSetReadSecret, tls.QUICSetWriteSecret:
			if t.keys {
				if err := floorPacketKeys(e.Data); err != nil {
					return err
				}
			}
		case tls.QUICHandshakeDone:
			if !t.server {
				t.frame(floorStream, zeros[:9])
			} else if err := t.conn.SendSessionTicket(tls.QUICSessionTicketOptions{}); err != nil {
				return err
			}
		}
	}
}

// feed processes what the other side has said.
func (t *floorTLS) feed(data []byte) error {
	t.in = append(t.in, data...)
	for len(t.in) >= floorFrameHeader {
		n := floorFrameHeader + int(binary.BigEndian.Uint16(t.in[1:]))
		if len(t.in) < n {
			break
		}
		level, data := t.in[0], t.in[floorFrameHeader:n]
		t.in = t.in[n:]
		if level == floorStream {
			t.answered = true
			if t.server {
				t.frame(floorStream, zeros[:smallAnswer])
			}
			continue
		}
		if err := t.conn.HandleData(tls.QUICEncryptionLevel(level), data); err != nil {
			return err
		}
		if err := t.events(); err != nil {
			return err
		}
	}
	if t.answered {
		return t.conn.Close()
	}
	return nil
}

// take returns what there is to say.
func (t *floorTLS) take() []byte {
	out := t.out
	t.out = nil
	return out
}

// floorPacketKeys makes of a secret what protects packets: a key, an IV and a key for headers.
func floorPacketKeys(secret []byte) error {
	for _, part := range []struct {
		info   string
		length int
	}{{"key", 16}, {"iv", 12}, {"hp", 16}} {
		key, err := hkdf.Expand(sha256.New, secret, part.info, part.length)
		if err != nil {
			return err
		}
		if part.length == 12 {
			continue
		}
		block, err := aes.NewCipher(key)
		if err == nil && part.info == "key" {
			_, err = cipher.NewGCM(block)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// floorFlight is the payload of a packet of a handshake, of which QUIC's clients send 1,200 bytes at first.
const floorFlight = 1200 - floorOverhead

// say sends frames as a train of packets, of which the last one may be shorter.
func (s *floorSocket) say(data []byte, to netip.AddrPort) error {
	for len(data) > 0 {
		n := min(len(data), floorFlight)
		s.out = s.sealer.seal(s.out, floorData, s.sent, data[:n])
		s.sent++
		data = data[n:]
	}
	s.remote = to
	return s.flush(floorFlight)
}

// serveFloorHandshakes answers in the goroutine that reads.
func serveFloorHandshakes(cfg serverConfig) (string, error) {
	s, err := newFloorSocket(cfg.addr, "")
	if err != nil {
		return "", err
	}
	config := floorServerTLS(cfg.cert)
	conns := map[netip.AddrPort]*floorTLS{}
	go s.serve(func(data []byte, from netip.AddrPort) (err error) {
		t := conns[from]
		if t == nil {
			if t, err = newFloorTLS(config, true, true); err != nil {
				return err
			}
			conns[from] = t
		}
		if err := t.feed(data); err != nil {
			return err
		}
		if t.answered {
			delete(conns, from)
		}
		return s.say(t.take(), from)
	})
	return s.LocalAddr().String(), nil
}

// visitFloor makes one handshake and a small request on a socket of its own.
func visitFloor(addr string, cfg *tls.Config) error {
	remote, err := netip.ParseAddrPort(addr)
	if err != nil {
		return err
	}
	sock, err := udp.Listen("127.0.0.1:0", nil)
	if err != nil {
		return err
	}
	defer sock.Close()
	buf := floorBuffers.Get().(*[1 << 16]byte)
	defer floorBuffers.Put(buf)
	s := &floorSocket{Socket: sock, msgs: []udp.Message{{Buf: buf[:]}}, sealer: newFloorKeys(), opener: newFloorKeys()}
	late := time.AfterFunc(floorPatience, func() { sock.Close() })
	defer late.Stop()
	t, err := newFloorTLS(floorClientTLS(cfg), false, true)
	if err != nil {
		return err
	}
	for !t.answered {
		if err := s.say(t.take(), remote); err != nil {
			return err
		}
		err := s.read(func(data []byte, _ netip.AddrPort) error { return t.feed(data) })
		if errors.Is(err, net.ErrClosed) {
			return errFloorLoss
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// A message of floor-tls, in either direction, is what several handshakes have to say: its length, then for each their index,
// a length, and frames. The answer to every message is one message.

func writeFloorMessage(w io.Writer, sides []*floorTLS) error {
	message := make([]byte, 4)
	for i, t := range sides {
		if t == nil || len(t.out) == 0 {
			continue
		}
		data := t.take()
		message = append(message, byte(i))
		message = binary.BigEndian.AppendUint32(message, uint32(len(data)))
		message = append(message, data...)
	}
	binary.BigEndian.PutUint32(message, uint32(len(message)-4))
	_, err := w.Write(message)
	return err
}

// readFloorMessage feeds each part of a message to the side that side returns.
func readFloorMessage(r io.Reader, side func(i byte) (*floorTLS, error)) error {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return err
	}
	message := make([]byte, binary.BigEndian.Uint32(head[:]))
	if _, err := io.ReadFull(r, message); err != nil {
		return err
	}
	for len(message) > 0 {
		n := 5 + binary.BigEndian.Uint32(message[1:])
		t, err := side(message[0])
		if err != nil {
			return err
		}
		if err := t.feed(message[5:n]); err != nil {
			return err
		}
		message = message[n:]
	}
	return nil
}

// serveFloorTLS is the server of floor-tls.
func serveFloorTLS(cfg serverConfig) (string, error) {
	l, err := net.Listen("tcp", cfg.addr)
	if err != nil {
		return "", err
	}
	config := floorServerTLS(cfg.cert)
	accept(l, func(c net.Conn) {
		sides, in := make([]*floorTLS, handshakesAtOnce), bufio.NewReader(c)
		for err := error(nil); err == nil; {
			err = readFloorMessage(in, func(i byte) (_ *floorTLS, err error) {
				if t := sides[i]; t == nil || t.answered {
					sides[i], err = newFloorTLS(config, true, false)
				}
				return sides[i], err
			})
			if err == nil {
				err = writeFloorMessage(c, sides)
			}
		}
	})
	return l.Addr().String(), nil
}

// floorLoops is how many goroutines have handshakes under way, for each waits for the server half of the time.
const floorLoops = 4

// floorTLS makes handshakes for size seconds, as many at once as other peers.
func (c *clientEnv) floorTLS(resumed bool) (float64, error) {
	const each = handshakesAtOnce / floorLoops
	clients := make([]*returner, handshakesAtOnce)
	for i := range clients {
		clients[i] = newReturner(floorClientTLS(c.tls))
		if !resumed {
			clients[i].tls.ClientSessionCache = nil
		}
	}
	conns := make([]net.Conn, floorLoops)
	for i := range conns {
		conn, err := net.Dial("tcp", c.addr)
		if err != nil {
			return 0, err
		}
		defer conn.Close()
		conns[i] = conn
	}
	round := func(loop int) error {
		sides, conn := make([]*floorTLS, each), conns[loop]
		for i := range sides {
			var err error
			if sides[i], err = newFloorTLS(clients[loop*each+i].tls, false, false); err != nil {
				return err
			}
		}
		for !sides[0].answered {
			if err := writeFloorMessage(conn, sides); err != nil {
				return err
			}
			if err := readFloorMessage(conn, func(i byte) (*floorTLS, error) { return sides[i], nil }); err != nil {
				return err
			}
		}
		for i, t := range sides {
			if !t.answered || clients[loop*each+i].resumed.Load() != resumed && !c.began.IsZero() {
				return fmt.Errorf("floor: handshake %d: answered %v, resumed %v", i, t.answered, clients[loop*each+i].resumed.Load())
			}
		}
		return nil
	}
	for loop := range conns {
		if err := round(loop); err != nil {
			return 0, err
		}
	}
	c.start()
	end := time.Now().Add(seconds(c.size))
	return parallel(floorLoops, func(loop int) (int, error) {
		n := 0
		for time.Now().Before(end) {
			if err := round(loop); err != nil {
				return n, err
			}
			n += each
		}
		return n, nil
	})
}
