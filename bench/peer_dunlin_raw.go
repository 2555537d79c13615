package main

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/dunlin-quic/dunlin/engine"
	"github.com/dunlin-quic/dunlin/quic"
)

func init() { rawPeers["dunlin"] = dunlinRaw{} }

// dunlinRaw is Dunlin's engine with an application of its own, as its users write them.
type dunlinRaw struct{}

func (dunlinRaw) serve(cfg serverConfig) (string, error) {
	l, err := engine.Listen(&engine.ListenConfig{
		QUIC:           &quic.Config{TLS: &tls.Config{Certificates: []tls.Certificate{cfg.cert}, NextProtos: []string{rawALPN}}},
		NewApplication: func(engine.ConnInfo) (engine.ApplicationOverQUIC, error) { return &rawApp{}, nil },
	}, cfg.addr)
	if err != nil {
		return "", err
	}
	return l.Addr().String(), nil
}

func (dunlinRaw) dial(ctx context.Context, addr string, cfg *tls.Config) (rawConn, error) {
	cfg = cfg.Clone()
	cfg.NextProtos = []string{rawALPN}
	c, err := engine.Dial(ctx, addr, &engine.DialConfig{
		QUIC:           &quic.Config{TLS: cfg},
		NewApplication: func(engine.ConnInfo) (engine.ApplicationOverQUIC, error) { return &rawApp{}, nil },
	})
	if err != nil {
		return nil, err
	}
	return dunlinRawConn{c}, nil
}

type dunlinRawConn struct{ c *engine.Connection }

func (c dunlinRawConn) transfer(dir byte, n int64, _ []byte) error {
	t := &rawTransfer{dir: dir, want: n, done: make(chan error, 1)}
	if dir == 'u' {
		t.toSend, t.want = n, 1
	}
	t.head = binary.BigEndian.AppendUint64(append(t.headBuf[:0], dir), uint64(n))
	err := c.c.Do(func(s *engine.Session) {
		stream, err := s.Conn().OpenStream(quic.Bidi)
		if err != nil {
			t.end(err)
			return
		}
		stream.Value = t
		t.send(stream)
	})
	if err != nil {
		return err
	}
	return <-t.done
}

func (c dunlinRawConn) Close() error {
	c.c.Close()
	<-c.c.Done()
	return nil
}

// rawTransfer is one stream of either side: bytes to send, and bytes that come.
type rawTransfer struct {
	server  bool
	dir     byte
	head    []byte // what is sent before the zeros, or has come of it
	headBuf [9]byte
	toSend  int64
	want    int64 // bytes to come; on a server known once the head is there
	sent    bool  // all of it, and the end
	done    chan error
}

func (t *rawTransfer) end(err error) {
	if t.done != nil {
		select {
		case t.done <- err:
		default:
		}
	}
}

// send writes what there is room for. Once all is sent it ends the stream, on a server not before it knows what to send.
func (t *rawTransfer) send(s *quic.Stream) {
	for !t.sent {
		p := t.head
		if t.server || len(p) == 0 {
			p = zeros[:min(t.toSend, chunk)]
		}
		last := int64(len(p)) == t.toSend || !t.server && len(t.head) > 0 && t.toSend == 0
		n, err := s.TryWrite(p, last)
		if err != nil && !errors.Is(err, quic.ErrWouldBlock) {
			t.end(err)
			return
		}
		switch {
		case !t.server && len(t.head) > 0:
			t.head = t.head[n:]
		default:
			t.toSend -= int64(n)
		}
		if n < len(p) || err != nil {
			return
		}
		t.sent = last
	}
}

// receive takes what has come.
func (t *rawTransfer) receive(s *quic.Stream) {
	for {
		p, err := s.Peek()
		switch {
		case errors.Is(err, quic.ErrWouldBlock):
			return
		case err == io.EOF && t.server && t.dir == 'u' && t.want == 0:
			t.toSend = 1
			t.send(s)
			return
		case err == io.EOF && t.want != 0:
			t.end(fmt.Errorf("%d bytes are missing", t.want))
			return
		case err != nil:
			if err == io.EOF {
				err = nil
			}
			t.end(err)
			return
		}
		n := len(p)
		if t.server && len(t.head) < len(t.headBuf) {
			n = min(n, len(t.headBuf)-len(t.head))
			t.head = append(t.head, p[:n]...)
			if len(t.head) == len(t.headBuf) {
				t.dir, t.want = t.head[0], int64(binary.BigEndian.Uint64(t.head[1:]))
				if t.dir == 'd' {
					t.toSend, t.want = t.want, 0
					t.send(s)
				}
			}
		} else {
			t.want -= int64(n)
		}
		s.Discard(n)
	}
}

// rawApp is the application of both sides.
type rawApp struct{ engine.Base }

func (a *rawApp) ProcessReads(s *engine.Session) error {
	for e := s.Conn().NextEvent(); e.Kind != quic.EventNone; e = s.Conn().NextEvent() {
		switch e.Kind {
		case quic.EventStreamOpened:
			t := &rawTransfer{server: true}
			t.head = t.headBuf[:0]
			e.Stream.Value = t
		case quic.EventStreamReadable:
			e.Stream.Value.(*rawTransfer).receive(e.Stream)
		case quic.EventStreamWritable:
			e.Stream.Value.(*rawTransfer).send(e.Stream)
		}
	}
	return nil
}
