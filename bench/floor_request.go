package main

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"sync"
	"time"

	"github.com/dunlin-quic/dunlin/udp"
)

// The floor of small requests: datagrams as long as those of Dunlin's requests and answers, sealed and opened, without a
// protocol between. What goes to one destination at once goes as one train.
//
// "floor" has as few goroutines as can be: whoever reads a socket also answers, and if it is the only one of its process waits in a
// system call. In "floor-goroutines" they are those that a net/http API has: each request on its way has its own on either
// side, which the goroutine that reads the socket wakes, and which would have to wait if that did not wait in Go's poller.

// The sizes of the packets' payloads, in bytes.
const (
	floorRequest = 62 - floorOverhead
	floorAnswer  = 215 - floorOverhead
)

const (
	floorBatch = 8  // buffers that a read may fill
	floorMost  = 64 // packets of a train: as many as the kernel takes
)

// floorBuffers are of clients that come and go.
var floorBuffers = sync.Pool{New: func() any { return new([1 << 16]byte) }}

func floorRequests(conns, streams int) map[string]floorWork {
	return map[string]floorWork{
		"floor": {serveFloorRequests, func(c *clientEnv) (float64, error) {
			return c.floorRequests(conns, func(sock *floorSocket, end time.Time) (int, error) {
				sock.thread = conns == 1
				return sock.requests(c, streams, end)
			})
		}},
		"floor-goroutines": {serveFloorGoroutines, func(c *clientEnv) (float64, error) {
			return c.floorRequests(conns, func(sock *floorSocket, end time.Time) (int, error) { return sock.goroutines(c, streams, end) })
		}},
	}
}

// floorSocket is a socket of a client or a server, with what its reading goroutine needs.
type floorSocket struct {
	udp.Socket
	remote         netip.AddrPort
	msgs           []udp.Message
	sealer, opener *floorKeys
	sent           uint64
	out            []byte
	thread         bool // reads wait in a system call
}

func newFloorSocket(listen, remote string) (*floorSocket, error) {
	sock, err := udp.Listen(listen, nil)
	if err != nil {
		return nil, err
	}
	s := &floorSocket{Socket: sock, msgs: make([]udp.Message, floorBatch), sealer: newFloorKeys(), opener: newFloorKeys()}
	for i := range s.msgs {
		s.msgs[i].Buf = make([]byte, 1<<16)
	}
	if remote != "" {
		s.remote, err = netip.ParseAddrPort(remote)
	}
	return s, err
}

func (s *floorSocket) readBatch() (int, error) {
	if r, ok := s.Socket.(udp.ThreadReader); ok && s.thread {
		for {
			if n, err := r.ReadBatchInThread(s.msgs, time.Second); n > 0 || err != nil {
				return n, err
			}
		}
	}
	return s.ReadBatch(s.msgs)
}

// read waits for packets, opens them, and calls take with each payload and its sender.
func (s *floorSocket) read(take func(payload []byte, from netip.AddrPort) error) error {
	n, err := s.readBatch()
	if err != nil {
		return err
	}
	for i := range s.msgs[:n] {
		m := &s.msgs[i]
		data, size := m.Buf[:m.N], m.SegmentSize
		if size == 0 {
			size = len(data)
		}
		for len(data) > 0 {
			packet := data[:min(size, len(data))]
			data = data[len(packet):]
			payload, err := s.opener.open(packet)
			if err == nil {
				err = take(payload, m.Remote)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// add seals a packet that begins with a number, and flushes first what has to go elsewhere.
func (s *floorSocket) add(id uint64, size int, to netip.AddrPort) error {
	if to != s.remote || len(s.out) >= floorMost*(size+floorOverhead) {
		if err := s.flush(size); err != nil {
			return err
		}
		s.remote = to
	}
	var payload [256]byte
	binary.BigEndian.PutUint64(payload[:], id)
	s.out = s.sealer.seal(s.out, floorData, s.sent, payload[:size])
	s.sent++
	return nil
}

// flush sends what was added, all packets of that size.
func (s *floorSocket) flush(size int) error {
	if len(s.out) == 0 {
		return nil
	}
	err := s.Send(udp.Datagrams{Buf: s.out, SegmentSize: size + floorOverhead, Remote: s.remote})
	s.out = s.out[:0]
	return err
}

// serve calls take with every payload, and sends what it has added.
func (s *floorSocket) serve(take func(payload []byte, from netip.AddrPort) error) {
	for {
		err := s.read(take)
		if err == nil {
			err = s.flush(floorAnswer)
		}
		if err != nil {
			fatal(err)
		}
	}
}

// serveFloorRequests answers in the goroutine that reads.
func serveFloorRequests(cfg serverConfig) (string, error) {
	s, err := newFloorSocket(cfg.addr, "")
	if err != nil {
		return "", err
	}
	s.thread = true
	go s.serve(func(request []byte, from netip.AddrPort) error {
		return s.add(binary.BigEndian.Uint64(request), floorAnswer, from)
	})
	return s.LocalAddr().String(), nil
}

// floorAsked is a request on its way to the goroutine that answers it.
type floorAsked struct {
	id   uint64
	from netip.AddrPort
}

// floorHandlers is how many goroutines answer requests, as many as can be under way.
const floorHandlers = 128

// serveFloorGoroutines hands each request to a goroutine that waits.
func serveFloorGoroutines(cfg serverConfig) (string, error) {
	s, err := newFloorSocket(cfg.addr, "")
	if err != nil {
		return "", err
	}
	asked := make(chan floorAsked)
	for range floorHandlers {
		go func() {
			answer := &floorSocket{Socket: s.Socket, sealer: newFloorKeys()}
			for r := range asked {
				if answer.add(r.id, floorAnswer, r.from) != nil || answer.flush(floorAnswer) != nil {
					return
				}
			}
		}()
	}
	go s.serve(func(request []byte, from netip.AddrPort) error {
		asked <- floorAsked{binary.BigEndian.Uint64(request), from}
		return nil
	})
	return s.LocalAddr().String(), nil
}

// floorRequests lets one goroutine for each of some sockets make requests for size seconds.
func (c *clientEnv) floorRequests(conns int, one func(*floorSocket, time.Time) (int, error)) (float64, error) {
	socks := make([]*floorSocket, conns)
	for i := range socks {
		s, err := newFloorSocket("127.0.0.1:0", c.addr)
		if err != nil {
			return 0, err
		}
		defer s.Close()
		socks[i] = s
	}
	c.start()
	end := time.Now().Add(seconds(c.size))
	return parallel(conns, func(i int) (int, error) {
		// On loopback nothing is lost; if something were, the run fails instead of waiting.
		late := time.AfterFunc(time.Until(end)+floorPatience, func() { socks[i].Close() })
		defer late.Stop()
		return one(socks[i], end)
	})
}

// floorPatience is how long after the end the last answers may come.
const floorPatience = 5 * time.Second

var errFloorLoss = errors.New("floor: a datagram was lost")

// requests keeps requests on their way until end, all from this goroutine.
func (s *floorSocket) requests(c *clientEnv, streams int, end time.Time) (int, error) {
	began := make([]time.Time, streams)
	done, open := 0, streams
	for id := range began {
		began[id] = time.Now()
		if err := s.add(uint64(id), floorRequest, s.remote); err != nil {
			return 0, err
		}
	}
	for {
		if err := s.flush(floorRequest); err != nil {
			return done, err
		}
		if open == 0 {
			return done, nil
		}
		err := s.read(func(answer []byte, from netip.AddrPort) error {
			id := binary.BigEndian.Uint64(answer)
			now := time.Now()
			c.lat.add(now.Sub(began[id]))
			done++
			if now.After(end) {
				open--
				return nil
			}
			began[id] = now
			return s.add(id, floorRequest, from)
		})
		if err != nil {
			return done, errors.Join(errFloorLoss, err)
		}
	}
}

// goroutines keeps requests on their way until end, each of a goroutine that waits for its answer.
func (s *floorSocket) goroutines(c *clientEnv, streams int, end time.Time) (int, error) {
	answered := make([]chan struct{}, streams)
	for i := range answered {
		answered[i] = make(chan struct{}, 1)
	}
	var reading sync.WaitGroup
	closed := make(chan struct{})
	reading.Go(func() {
		defer close(closed)
		for err := error(nil); err == nil; {
			err = s.read(func(answer []byte, _ netip.AddrPort) error {
				answered[binary.BigEndian.Uint64(answer)] <- struct{}{}
				return nil
			})
		}
	})
	n, err := parallel(streams, func(id int) (int, error) {
		request := &floorSocket{Socket: s.Socket, remote: s.remote, sealer: newFloorKeys()}
		n := 0
		for time.Now().Before(end) {
			began := time.Now()
			if err := request.add(uint64(id), floorRequest, s.remote); err != nil {
				return n, err
			}
			if err := request.flush(floorRequest); err != nil {
				return n, err
			}
			select {
			case <-answered[id]:
			case <-closed:
				return n, errFloorLoss
			}
			c.lat.add(time.Since(began))
			n++
		}
		return n, nil
	})
	s.Close()
	reading.Wait()
	return int(n), err
}
