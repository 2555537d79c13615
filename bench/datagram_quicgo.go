package main

import (
	"context"
	"crypto/tls"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"
	"golang.org/x/sys/unix"
)

func init() { datagramPeers["quic-go"] = quicGo{} }

func (quicGo) serveDatagrams(cfg serverConfig, received *atomic.Int64) (string, error) {
	return acceptQuicGo(cfg, &quic.Config{EnableDatagrams: true}, func(c *quic.Conn) {
		for {
			if _, err := c.ReceiveDatagram(context.Background()); err != nil {
				return
			}
			received.Add(1)
		}
	})
}

func (quicGo) dialDatagrams(ctx context.Context, addr string, cfg *tls.Config, _ int) (datagramConn, error) {
	cfg = cfg.Clone()
	cfg.NextProtos = []string{rawALPN}
	c, err := quic.DialAddr(ctx, addr, cfg, &quic.Config{EnableDatagrams: true})
	if err != nil {
		return nil, err
	}
	return quicGoDatagrams{c}, nil
}

type quicGoDatagrams struct{ c *quic.Conn }

func (q quicGoDatagrams) send(size int, rate float64, end time.Time) (sent int64, err error) {
	p := pacer{rate: rate}
	for now := time.Now(); now.Before(end); now = time.Now() {
		n := p.allow(now)
		if n == 0 {
			// Go's timers wake a millisecond late: what is due by then would be a burst.
			wait := unix.NsecToTimespec(pacerWait.Nanoseconds())
			unix.Nanosleep(&wait, nil)
		}
		for range n {
			if err := q.c.SendDatagram(zeros[:size]); err != nil {
				return sent, err
			}
			sent++
		}
	}
	return sent, nil
}

func (q quicGoDatagrams) Close() error { return q.c.CloseWithError(0, "") }
