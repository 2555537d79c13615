package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"sync/atomic"
	"time"

	"github.com/dunlin-quic/dunlin/engine"
	"github.com/dunlin-quic/dunlin/quic"
)

func init() { datagramPeers["dunlin"] = dunlinRaw{} }

func (dunlinRaw) serveDatagrams(cfg serverConfig, received *atomic.Int64) (string, error) {
	l, err := engine.Listen(&engine.ListenConfig{
		QUIC: &quic.Config{TLS: &tls.Config{Certificates: []tls.Certificate{cfg.cert}, NextProtos: []string{rawALPN}}},
		NewApplication: func(engine.ConnInfo) (engine.ApplicationOverQUIC, error) {
			return &datagramReceiver{received: received}, nil
		},
	}, cfg.addr)
	if err != nil {
		return "", err
	}
	return l.Addr().String(), nil
}

func (dunlinRaw) dialDatagrams(ctx context.Context, addr string, cfg *tls.Config, size int) (datagramConn, error) {
	cfg = cfg.Clone()
	cfg.NextProtos = []string{rawALPN}
	app := &datagramSender{}
	c, err := engine.Dial(ctx, addr, &engine.DialConfig{
		QUIC:           &quic.Config{TLS: cfg},
		NewApplication: func(engine.ConnInfo) (engine.ApplicationOverQUIC, error) { return app, nil },
	})
	if err != nil {
		return nil, err
	}
	d := &dunlinDatagrams{c, app}
	// Packets grow by path MTU discovery, which begins when a connection has sent something.
	var opened error
	err = c.Do(func(s *engine.Session) {
		var stream *quic.Stream
		if stream, opened = s.Conn().OpenStream(quic.Uni); opened == nil {
			_, opened = stream.TryWrite(zeros[:], true)
		}
	})
	if err := cmp.Or(err, opened); err != nil {
		return nil, err
	}
	for end := time.Now().Add(5 * time.Second); ; {
		var most int
		if err := c.Do(func(s *engine.Session) { most = s.Conn().MaxDatagramLen() }); err != nil {
			return nil, err
		}
		switch {
		case most >= size:
			return d, nil
		case time.Now().After(end):
			d.Close()
			return nil, errors.New("packets do not become large enough for the datagrams")
		}
		time.Sleep(time.Millisecond)
	}
}

type dunlinDatagrams struct {
	c   *engine.Connection
	app *datagramSender
}

func (d *dunlinDatagrams) send(size int, rate float64, end time.Time) (int64, error) {
	done := make(chan error, 1)
	err := d.c.Do(func(s *engine.Session) {
		d.app.pacer = pacer{rate: rate}
		d.app.size, d.app.end, d.app.sent, d.app.done = size, end, 0, done
		s.Wake()
	})
	if err == nil {
		err = <-done
	}
	return d.app.sent, err
}

func (d *dunlinDatagrams) Close() error {
	d.c.Close()
	<-d.c.Done()
	return nil
}

// datagramSender is the client's application.
type datagramSender struct {
	engine.Base
	size  int
	end   time.Time
	pacer pacer
	room  int // datagrams that may leave
	sent  int64
	next  time.Time
	done  chan error // nil while there is nothing to do
}

func (a *datagramSender) ProcessReads(s *engine.Session) error {
	for s.Conn().NextEvent().Kind != quic.EventNone {
	}
	return nil
}

func (a *datagramSender) ProcessWrites(s *engine.Session) error {
	if a.done == nil {
		return nil
	}
	now := s.Now()
	if !now.Before(a.end) {
		a.finish(nil)
		return nil
	}
	a.next = a.end
	for {
		if a.room == 0 {
			a.room = a.pacer.allow(now)
		}
		if a.room == 0 {
			a.next = now.Add(pacerWait)
			return nil
		}
		switch err := s.Conn().TrySendDatagram(zeros[:a.size]); {
		case errors.Is(err, quic.ErrWouldBlock):
			return nil // and a step follows when there is room again
		case err != nil:
			a.finish(err)
			return nil
		}
		a.room--
		a.sent++
	}
}

func (a *datagramSender) finish(err error) {
	a.done <- err
	a.done, a.room = nil, 0
}

func (a *datagramSender) NextDeadline() (time.Time, bool) { return a.next, a.done != nil }

func (a *datagramSender) OnClose(_ *engine.Session, err error) {
	if a.done != nil {
		a.finish(err)
	}
}

// datagramReceiver is the server's.
type datagramReceiver struct {
	engine.Base
	received *atomic.Int64
}

func (a *datagramReceiver) ProcessReads(s *engine.Session) error {
	for s.Conn().NextEvent().Kind != quic.EventNone {
	}
	n := int64(0)
	for {
		_, err := s.Conn().TryReceiveDatagram()
		if err != nil {
			a.received.Add(n)
			return nil
		}
		n++
	}
}
