package main

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"time"

	"github.com/dunlin-quic/dunlin/internal/simnet"
	"github.com/dunlin-quic/dunlin/quic"
)

// The work growth-window moves bytes through the simulator over a path of 100 ms with flow-control windows of several sizes. Both
// ends and the path are one process on virtual time, so that what it measures is the CPU time of the protocol, with
// cryptography and without system calls: a larger window, with more in flight, must not cost more per byte.
//
// The simulator's part is told apart. It copies what is in flight twice, with 16 MiB out of caches and back, and keeps a
// queue of all of it. A real path does neither in the memory of an endpoint.

// windowSizes are the flow-control windows of a stream, in bytes.
var windowSizes = []int{64 << 10, 256 << 10, 1 << 20, 4 << 20, 16 << 20}

func windowPhase(size int) string { return fmt.Sprintf("%d KiB", size>>10) }

const windowDelay = 50 * time.Millisecond // one way

// growWindow moves size bytes with every window.
func growWindow(c *clientEnv) (float64, error) {
	// The first transfer warms up caches, and the heap that the simulator needs.
	if _, err := transferWindow(windowSizes[len(windowSizes)-1], int64(c.size)/4, func() {}); err != nil {
		return 0, err
	}
	for _, window := range windowSizes {
		runtime.GC()
		share, err := transferWindow(window, int64(c.size), c.start)
		if err != nil {
			return 0, fmt.Errorf("window of %d bytes: %w", window, err)
		}
		c.stop()
		c.simulator = time.Duration(float64(c.used.CPU) * (1 - share))
		c.used.CPU -= c.simulator
		c.finish(windowPhase(window), c.size/gib)
	}
	return 0, nil
}

// transferWindow moves n bytes from a server to a client; start is called once the handshake is complete. It returns which share
// of the time since then both connections took, and not the simulator: a share of what the clock shows, which is much finer than
// that of CPU time, and the same if other processes get in between now and then.
func transferWindow(window int, n int64, start func()) (share float64, err error) {
	w := simnet.NewWorld(1)
	w.Coalesce = true
	w.Link(simnet.Link{Delay: windowDelay})
	clientTLS, serverTLS := w.TLS()
	demux, err := quic.NewDemux(quic.DemuxConfig{Rand: w})
	if err != nil {
		return 0, err
	}
	server := w.NewServer(&quic.Config{TLS: serverTLS, Rand: w}, demux, func() simnet.App { return &windowSender{left: n} })
	var began time.Time
	receiver := &windowReceiver{left: n, start: func() {
		start()
		began = time.Now()
		w.Clock = func() time.Duration { return time.Since(began) }
	}}
	_, err = w.NewClient(&quic.Config{
		TLS: clientTLS, Rand: w, StreamWindow: window, MaxStreamWindow: window, ConnWindow: window * 3 / 2, MaxConnWindow: window * 3 / 2,
	}, server, receiver)
	if err != nil {
		return 0, err
	}
	err = w.RunUntil(24*time.Hour, func() bool { return receiver.err != nil || receiver.left == 0 })
	return w.Spent.Seconds() / time.Since(began).Seconds(), errors.Join(err, receiver.err)
}

// windowSender is the server's application: it answers the stream that the client opens.
type windowSender struct{ left int64 }

func (a *windowSender) Start(*simnet.Peer) {}

func (a *windowSender) Event(p *simnet.Peer, e quic.Event) {
	if e.Kind != quic.EventStreamOpened && e.Kind != quic.EventStreamWritable {
		return
	}
	for a.left > 0 {
		n, err := e.Stream.TryWrite(zeros[:min(a.left, chunk)], a.left <= chunk)
		a.left -= int64(n)
		if err != nil || n == 0 {
			return
		}
	}
}

// windowReceiver is the client's application.
type windowReceiver struct {
	left  int64
	start func()
	err   error
}

func (a *windowReceiver) Start(*simnet.Peer) {}

func (a *windowReceiver) Event(p *simnet.Peer, e quic.Event) {
	switch e.Kind {
	case quic.EventEstablished:
		a.start()
		s, err := p.Conn.OpenStream(quic.Bidi)
		if err == nil {
			_, err = s.TryWrite(zeros[:1], true)
		}
		a.err = err
	case quic.EventStreamReadable:
		for {
			b, err := e.Stream.Peek()
			if errors.Is(err, quic.ErrWouldBlock) {
				return
			}
			if err != nil {
				if err != io.EOF || a.left != 0 {
					a.err = fmt.Errorf("%d bytes are missing: %w", a.left, err)
				}
				return
			}
			a.left -= int64(len(b))
			e.Stream.Discard(len(b))
		}
	case quic.EventClosed:
		a.err = e.Err
	}
}
