//go:build unix

package engine

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/dunlin-quic/dunlin/quic"
	"github.com/dunlin-quic/dunlin/udp"
)

// source is a server's application: the first 8 bytes of a stream say how many to send back.
type source struct {
	Base
	left map[*quic.Stream]uint64
}

var sourceData [64 << 10]byte

func (a *source) ProcessReads(s *Session) error {
	for {
		ev := s.Conn().NextEvent()
		switch ev.Kind {
		case quic.EventNone:
			return nil
		case quic.EventStreamReadable:
			var b [8]byte
			for {
				n, err := ev.Stream.TryRead(b[:])
				if err != nil {
					break
				}
				if n == 8 {
					a.left[ev.Stream] = binary.BigEndian.Uint64(b[:])
				}
			}
			a.send(ev.Stream)
		case quic.EventStreamWritable:
			a.send(ev.Stream)
		}
	}
}

func (a *source) send(s *quic.Stream) {
	left, ok := a.left[s]
	if !ok {
		return
	}
	for {
		b := sourceData[:min(left, uint64(len(sourceData)))]
		n, err := s.TryWrite(b, uint64(len(b)) == left)
		left -= uint64(n)
		if left == 0 && err == nil {
			delete(a.left, s)
			return
		}
		if n < len(b) || err != nil {
			a.left[s] = left
			return
		}
	}
}

// sink is a client's application that keeps a number of requests going until enough are done.
type sink struct {
	Base
	size  uint64
	todo  *atomic.Int64
	ended chan struct{}
}

func (a *sink) OnEstablished(s *Session) error { return nil }

func (a *sink) open(s *Session) {
	if a.todo.Add(-1) < 0 {
		return
	}
	st, err := s.Conn().OpenStream(quic.Bidi)
	if err != nil {
		panic(err)
	}
	st.TryWrite(binary.BigEndian.AppendUint64(nil, a.size), true)
}

func (a *sink) ProcessReads(s *Session) error {
	for {
		ev := s.Conn().NextEvent()
		switch ev.Kind {
		case quic.EventNone:
			return nil
		case quic.EventStreamReadable:
			for {
				b, err := ev.Stream.Peek()
				if err == io.EOF {
					a.ended <- struct{}{}
					a.open(s)
				}
				if err != nil {
					break
				}
				ev.Stream.Discard(len(b))
			}
		}
	}
}

func benchSocket(b *testing.B, cfg udp.Config) udp.Socket {
	s, err := udp.Listen("127.0.0.1:0", &cfg)
	if err != nil {
		b.Fatal(err)
	}
	return s
}

func cpu() time.Duration {
	var r syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &r)
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

func benchRequests(b *testing.B, conns, streams int, size uint64) {
	server, err := NewEndpoint(nil, benchSocket(b, udp.Config{}))
	if err != nil {
		b.Fatal(err)
	}
	defer server.Close()
	qc := serverQUIC()
	qc.MaxBidiStreams = 1000
	_, err = server.Listen(&ListenConfig{QUIC: qc, NewApplication: func(ConnInfo) (ApplicationOverQUIC, error) {
		return &source{left: make(map[*quic.Stream]uint64)}, nil
	}})
	if err != nil {
		b.Fatal(err)
	}
	client, err := NewEndpoint(nil, benchSocket(b, udp.Config{Errors: true}))
	if err != nil {
		b.Fatal(err)
	}
	defer client.Close()
	var todo atomic.Int64
	ended := make(chan struct{}, 100000)
	var cs []*Connection
	for range conns {
		c, err := client.Dial(testContext(b), server.LocalAddr(), &DialConfig{QUIC: clientQUIC(), NewApplication: func(ConnInfo) (ApplicationOverQUIC, error) {
			return &sink{size: size, todo: &todo, ended: ended}, nil
		}})
		if err != nil {
			b.Fatal(err)
		}
		cs = append(cs, c)
	}
	b.ResetTimer()
	before := cpu()
	todo.Store(int64(b.N))
	for _, c := range cs {
		c.Do(func(s *Session) {
			for range streams {
				c.Application().(*sink).open(s)
			}
		})
	}
	for range b.N {
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			for _, c := range cs {
				c.Do(func(s *Session) { fmt.Printf("%+v\n", s.Conn().Stats()) })
			}
			fmt.Printf("%+v\n%+v\n", server.Stats(), client.Stats())
			b.Fatal("stuck")
		}
	}
	b.StopTimer()
	b.ReportMetric(float64((cpu()-before).Microseconds())/float64(b.N), "cpu-µs/op")
	if size > 1e6 {
		b.SetBytes(int64(size))
		var st quic.Stats
		for _, c := range cs {
			st = c.Stats()
		}
		b.ReportMetric(float64(st.PacketsLost), "lost")
		if os.Getenv("STATS") != "" {
			fmt.Printf("%+v\n%+v\n%+v\n", st, server.Stats(), client.Stats())
		}
	}
}

func BenchmarkDownload(b *testing.B) { benchRequests(b, 1, 1, 256<<20) }

func BenchmarkRequests(b *testing.B) {
	for _, c := range [][2]int{{1, 1}, {1, 100}, {10, 10}, {100, 1}} {
		b.Run(fmt.Sprintf("%dx%d", c[0], c[1]), func(b *testing.B) { benchRequests(b, c[0], c[1], 128) })
	}
}
