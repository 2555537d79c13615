package main

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"strings"
	"sync/atomic"
	"time"
)

// The datagram works send unreliable datagrams (RFC 9221) as fast as they arrive: a client looks for the highest rate at which
// fewer than one in a thousand is lost, and measures there. A library that holds its sender back when the path is full needs
// no search. How many arrived the client learns over a TCP connection of its own, which costs nothing while datagrams fly.

// A datagramPeer sends and receives unreliable datagrams.
type datagramPeer interface {
	// serveDatagrams starts a server that adds what it receives to received, and returns its host:port.
	serveDatagrams(cfg serverConfig, received *atomic.Int64) (string, error)
	// dialDatagrams returns a connection that can carry datagrams of size bytes.
	dialDatagrams(ctx context.Context, addr string, cfg *tls.Config, size int) (datagramConn, error)
}

type datagramConn interface {
	// send sends datagrams until end, at most rate per second, and returns how many the library took.
	send(size int, rate float64, end time.Time) (int64, error)
	Close() error
}

var datagramPeers = map[string]datagramPeer{}

// lossLimit is the share of datagrams that may be lost on the way.
const lossLimit = 0.001

// datagramSearch is how many rates are tried once sending without limit has lost too many.
const datagramSearch = 7

// datagramPatience is how often nothing may come of a trial.
const datagramPatience = 5

// pacer says how many datagrams may leave to keep a rate.
type pacer struct {
	rate  float64 // per second; infinite is without limit
	began time.Time
	sent  float64
}

// pacerBurst is how many datagrams may leave at once: half of what fits into quic-go's queue of received ones.
const pacerBurst = 64

// pacerWait is how long a sender waits that may send nothing.
const pacerWait = 100 * time.Microsecond

// allow returns how many may leave now, counting them as sent.
func (p *pacer) allow(now time.Time) int {
	if math.IsInf(p.rate, 1) {
		return 16
	}
	if p.began.IsZero() {
		p.began = now
	}
	due := p.rate * now.Sub(p.began).Seconds()
	p.sent = max(p.sent, due-pacerBurst)
	n := math.Floor(due - p.sent)
	p.sent += n
	return int(n)
}

// serveDatagrams starts a peer's server and beside it one that tells how many datagrams have come; its address is both.
func serveDatagrams(peer string, cfg serverConfig) (string, error) {
	received := new(atomic.Int64)
	addr, err := datagramPeers[peer].serveDatagrams(cfg, received)
	if err != nil {
		return "", err
	}
	l, err := net.Listen("tcp", cfg.addr)
	if err != nil {
		return "", err
	}
	accept(l, func(c net.Conn) {
		var question [1]byte
		for {
			if _, err := io.ReadFull(c, question[:]); err != nil {
				return
			}
			if _, err := c.Write(binary.BigEndian.AppendUint64(nil, uint64(received.Load()))); err != nil {
				return
			}
		}
	})
	return addr + " " + l.Addr().String(), nil
}

// counter asks a server how many datagrams it has received.
type counter struct{ net.Conn }

func (c counter) read() (int64, error) {
	var answer [8]byte
	if _, err := c.Write([]byte{'?'}); err != nil {
		return 0, err
	}
	_, err := io.ReadFull(c, answer[:])
	return int64(binary.BigEndian.Uint64(answer[:])), err
}

// settle waits until no more datagrams come, and returns how many have, at most want.
func (c counter) settle(want int64) (int64, error) {
	last := int64(-1)
	for still := 0; still < 5; {
		n, err := c.read()
		if err != nil || n >= want {
			return n, err
		}
		if still++; n != last {
			last, still = n, 0
		}
		time.Sleep(20 * time.Millisecond)
	}
	return last, nil
}

// datagramTrial is what came of sending at a rate.
type datagramTrial struct {
	sent, delivered int64
	elapsed         time.Duration
}

func (t *datagramTrial) lost() float64 { return 1 - float64(t.delivered)/float64(t.sent) }

// tryDatagrams sends for a while. stop is called when sending has ended, before it waits for what is under way.
func tryDatagrams(conn datagramConn, count counter, size int, rate float64, d time.Duration, stop func()) (t datagramTrial, err error) {
	before, err := count.read()
	if err != nil {
		return t, err
	}
	began := time.Now()
	for range datagramPatience {
		began = time.Now()
		if t.sent, err = conn.send(size, rate, began.Add(d)); err != nil {
			return t, err
		}
		if t.sent > 0 {
			break // otherwise whoever was to send did not get to run
		}
	}
	t.elapsed = time.Since(began)
	stop()
	after, err := count.settle(before + t.sent)
	if err == nil && t.sent == 0 {
		err = errors.New("no datagram was sent")
	}
	t.delivered = after - before
	return t, err
}

func datagrams(size int) func(*clientEnv) (float64, error) {
	return func(c *clientEnv) (float64, error) {
		quicAddr, countAddr, _ := strings.Cut(c.addr, " ")
		tcp, err := net.Dial("tcp", countAddr)
		if err != nil {
			return 0, err
		}
		defer tcp.Close()
		count := counter{tcp}
		conn, err := datagramPeers[c.peer].dialDatagrams(context.Background(), quicAddr, c.tls, size)
		if err != nil {
			return 0, err
		}
		defer conn.Close()
		rate, err := searchRate(conn, count, size, seconds(c.size/4))
		if err != nil {
			return 0, err
		}
		for range 10 {
			c.start()
			t, err := tryDatagrams(conn, count, size, rate, seconds(c.size), c.stop)
			if err != nil {
				return 0, err
			}
			if c.lost = t.lost(); c.lost < lossLimit {
				return float64(t.delivered), nil
			}
			// What went well for a moment may not for longer.
			rate = min(rate, float64(t.delivered)/t.elapsed.Seconds()) * 0.9
		}
		return 0, fmt.Errorf("%.2f %% of the datagrams are lost at %.0f per second, too many at any rate tried", c.lost*100, rate)
	}
}

// searchRate finds about the highest rate at which few enough datagrams are lost, infinite if they are few at any.
func searchRate(conn datagramConn, count counter, size int, d time.Duration) (float64, error) {
	t, err := tryDatagrams(conn, count, size, math.Inf(1), d, func() {})
	if err != nil || t.lost() < lossLimit {
		return math.Inf(1), err
	}
	low, high := 0.0, float64(t.sent)/t.elapsed.Seconds()
	rate := float64(t.delivered) / t.elapsed.Seconds()
	for range datagramSearch {
		// Twice, for what else the machine does may have been the cause.
		for range 2 {
			if t, err = tryDatagrams(conn, count, size, rate, d, func() {}); err != nil {
				return 0, err
			}
			if t.lost() < lossLimit {
				break
			}
		}
		if t.lost() < lossLimit {
			low = rate
		} else {
			high = rate
		}
		rate = (low + high) / 2
	}
	if low == 0 {
		low = high / 2
	}
	return low, nil
}
