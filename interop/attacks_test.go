package interop

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dunlin-quic/dunlin/internal/udpproxy"
	peerquic "github.com/quic-go/quic-go"
)

// attacks are what an attacker's process can do.
var attacks = map[string]func(ctx context.Context, g target) error{
	"garbage":            attackGarbage,
	"truncated":          attackTruncated,
	"replayed":           attackReplayed,
	"stalled-handshakes": attackStalledHandshakes,
	"slow-readers":       attackSlowReaders,
	"stream-flood":       attackStreamFlood,
	"endless-dunlin":     func(ctx context.Context, g target) error { return endless(ctx, g, "dunlin") },
	"endless-quic-go":    func(ctx context.Context, g target) error { return endless(ctx, g, "quic-go") },
}

const manyDatagrams = 20_000

// fire sends datagrams from a socket of its own, no faster than a server can read them.
func fire(addr netip.AddrPort, n int, next func(i int) []byte) error {
	socket, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(addr))
	if err != nil {
		return err
	}
	defer socket.Close()
	pace := time.NewTicker(4 * time.Millisecond)
	defer pace.Stop()
	for i := range n {
		if i%32 == 31 {
			<-pace.C
		}
		_, _ = socket.Write(next(i)) // an error is the answer to an earlier datagram
	}
	return nil
}

// attackGarbage sends datagrams that look like packets to a different depth.
func attackGarbage(_ context.Context, g target) error {
	return inParallel(4, func(source int) error {
		rng := rand.New(rand.NewPCG(uint64(source), 0))
		return fire(g.addr, manyDatagrams/4, func(i int) []byte { return garbage(rng, i) })
	})
}

func garbage(rng *rand.Rand, i int) []byte {
	b := make([]byte, rng.IntN(1500))
	for j := range b {
		b[j] = byte(rng.Uint32())
	}
	if len(b) < 7 {
		return b
	}
	switch i % 6 {
	case 0: // whatever
	case 1: // a short header
		b[0] = 0x40 | b[0]&0x3f
	case 2: // a long header of version 1, of any type
		b[0] |= 0xc0
		binary.BigEndian.PutUint32(b[1:], 1)
		b[5] = byte(rng.IntN(24))
	case 3, 4: // an Initial of full size, with lengths that fit
		b = append(b, make([]byte, 1200)...)
		b[0] = 0xc0 | b[0]&0x0f
		binary.BigEndian.PutUint32(b[1:], 1)
		b[5], b[14], b[23] = 8, 8, 0
		binary.BigEndian.PutUint16(b[24:], 0x4000|uint16(len(b)-26))
	case 5: // a version nobody speaks
		b = append(b, make([]byte, 1200)...)
		b[0] |= 0x80
		b[5] = 8
	}
	return b
}

// attackTruncated cuts the datagrams of a good client short.
func attackTruncated(ctx context.Context, g target) error {
	sent, err := record(ctx, g, "quic-go")
	if err != nil {
		return err
	}
	rng := rand.New(rand.NewPCG(1, 0))
	return fire(g.addr, manyDatagrams, func(i int) []byte {
		d := sent[i%len(sent)]
		if i%3 == 0 { // the handshake's are the richest
			d = sent[i/3%min(len(sent), 8)]
		}
		return d[:rng.IntN(len(d))]
	})
}

// attackReplayed repeats the datagrams of good clients when those have gone.
func attackReplayed(ctx context.Context, g target) error {
	for _, kind := range []string{"quic-go", "dunlin"} {
		sent, err := record(ctx, g, kind)
		if err != nil {
			return err
		}
		if err := fire(g.addr, manyDatagrams/2, func(i int) []byte { return sent[i%len(sent)] }); err != nil {
			return err
		}
	}
	return nil
}

// record returns what a client sends to a server in a session with a download and an upload.
func record(ctx context.Context, g target, kind string) ([][]byte, error) {
	var mu sync.Mutex
	var sent [][]byte
	relay, err := udpproxy.Listen(g.addr, udpproxy.Config{Tap: func(toServer bool, data []byte) {
		if toServer {
			mu.Lock()
			defer mu.Unlock()
			sent = append(sent, append([]byte(nil), data...))
		}
	}})
	if err != nil {
		return nil, err
	}
	c := clients[kind](g.pool)
	err = errors.Join(
		tryDownload(ctx, c, urlOf(relay.Addr()), 1e6), tryUpload(ctx, c, urlOf(relay.Addr()), 1e6), c.Close(), relay.Close())
	return sent, err
}

// attackStalledHandshakes is hundreds of clients that stop in mid-handshake: some never hear the server, some are heard
// in part.
func attackStalledHandshakes(ctx context.Context, g target) error {
	const stalled = 300
	for _, cfg := range []udpproxy.Config{
		{ToClient: udpproxy.Impairment{Drop: 1}},
		{ToServer: udpproxy.Impairment{Drop: 0.6}, ToClient: udpproxy.Impairment{Drop: 0.4}},
	} {
		relay, err := udpproxy.Listen(g.addr, cfg)
		if err != nil {
			return err
		}
		err = inParallel(stalled, func(int) error {
			ctx, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			if conn, err := dialQuicGo(ctx, relay.Addr(), g.pool); err == nil {
				return conn.CloseWithError(0, "")
			}
			return nil
		})
		if toServer, _ := relay.Counters(); err == nil && toServer.Received < stalled {
			err = fmt.Errorf("only %d datagrams were sent", toServer.Received)
		}
		if err := errors.Join(err, relay.Close()); err != nil {
			return err
		}
	}
	return nil
}

const (
	slowReaders  = 20
	slowDownload = 50_000_000 // bytes
)

// attackSlowReaders asks for much and reads nothing, and sends much to a handler that reads nothing. It holds that
// for two seconds.
func attackSlowReaders(ctx context.Context, g target) error {
	ctx, cancel := context.WithCancel(ctx)
	var ready sync.WaitGroup
	ready.Add(slowReaders)
	go func() {
		ready.Wait()
		<-time.After(2 * time.Second) // in which a sender that ignores flow control would send everything
		cancel()
	}()
	return inParallel(slowReaders, func(i int) error {
		c := clients[[]string{"quic-go", "dunlin"}[i%2]](g.pool)
		defer c.Close()
		resp, err := roundTrip(ctx, c, http.MethodGet, g.url()+"content/"+strconv.Itoa(slowDownload), nil, 0)
		if err != nil {
			ready.Done()
			return err
		}
		defer resp.Body.Close()
		_, err = io.ReadFull(resp.Body, make([]byte, 1000))
		ready.Done()
		if err != nil {
			return err
		}
		if _, err := roundTrip(ctx, c, http.MethodPut, g.url()+"stall", content(slowDownload), slowDownload); ctx.Err() == nil {
			return fmt.Errorf("the stalled upload ended: %w", err)
		}
		return nil
	})
}

const floodStreams = 20_000

// attackStreamFlood opens and resets streams without end. The server may close such a connection, and the attacker comes
// back.
func attackStreamFlood(ctx context.Context, g target) error {
	var opened atomic.Int64
	return inParallel(4, func(source int) error {
		rng := rand.New(rand.NewPCG(uint64(source), 1))
		for dials := 0; opened.Load() < floodStreams; dials++ {
			if dials == 5000 {
				return fmt.Errorf("after %d connections only %d streams", dials, opened.Load())
			}
			conn, err := dialQuicGo(ctx, g.addr, g.pool)
			if err != nil {
				return fmt.Errorf("the server takes no connection: %w", err)
			}
			flood(ctx, conn, rng, func() bool { return opened.Add(1) < floodStreams })
			if err := conn.CloseWithError(0x100, ""); err != nil {
				return err
			}
		}
		return nil
	})
}

// floodRequest is a HEADERS frame with GET https://localhost/content/100000 in QPACK's static table and literals.
var floodRequest = func() []byte {
	path := "/content/100000"
	fields := []byte{0, 0, 0xc0 | 17, 0xc0 | 23, 0x50, 9}
	fields = append(fields, "localhost"...)
	fields = append(fields, 0x51, byte(len(path)))
	fields = append(fields, path...)
	return append([]byte{1, byte(len(fields))}, fields...)
}()

// flood misbehaves on one connection until it ends or more says that it is enough: requests cut short, requests
// abandoned before and after their answer began, streams of no known type, and garbage, which ends the connection.
func flood(ctx context.Context, conn *peerquic.Conn, rng *rand.Rand, more func() bool) {
	for i := 0; more(); i++ {
		if i%10 == 9 {
			s, err := conn.OpenUniStreamSync(ctx)
			if err != nil {
				return
			}
			s.Write([]byte{0x40 | byte(rng.IntN(64)), byte(rng.IntN(256)), 1, 2, 3})
			s.CancelWrite(0x10c)
			continue
		}
		s, err := conn.OpenStreamSync(ctx)
		if err != nil {
			return
		}
		switch i % 5 {
		case 0:
			s.Write(floodRequest[:1+rng.IntN(len(floodRequest)-1)])
		case 1:
			s.Write(floodRequest)
		case 2:
			s.Write(floodRequest)
			s.Close()
		case 3:
			s.Write(floodRequest)
			s.Close()
			s.Read(make([]byte, 1))
		case 4:
			if i%500 == 4 {
				junk := make([]byte, 1+rng.IntN(100))
				for j := range junk {
					junk[j] = byte(rng.Uint32())
				}
				s.Write(junk)
			}
		}
		s.CancelWrite(0x10c)
		s.CancelRead(0x10c)
	}
}

// endless downloads and uploads until the process is killed.
func endless(ctx context.Context, g target, kind string) error {
	const size = 1 << 40
	c := clients[kind](g.pool)
	return inParallel(2, func(i int) error {
		if i == 0 {
			_, err := roundTrip(ctx, c, http.MethodPut, g.url()+"upload", content(size), size)
			return err
		}
		resp, err := roundTrip(ctx, c, http.MethodGet, g.url()+"content/"+strconv.Itoa(size), nil, 0)
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, resp.Body)
		return err
	})
}

// inParallel runs f with the numbers below n at once and joins the errors.
func inParallel(n int, f func(i int) error) error {
	errs := make([]error, n)
	var running sync.WaitGroup
	for i := range n {
		running.Go(func() { errs[i] = f(i) })
	}
	running.Wait()
	return errors.Join(errs...)
}
