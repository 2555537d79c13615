package interop

import (
	"context"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dunlin-quic/dunlin/internal/udpproxy"
	peerquic "github.com/quic-go/quic-go"
)

const manyDatagrams = 20_000

// fire sends datagrams from a socket of its own, no faster than a server can read them.
func fire(t *testing.T, addr netip.AddrPort, n int, next func(i int) []byte) {
	t.Helper()
	socket, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(addr))
	if err != nil {
		t.Error(err)
		return
	}
	defer socket.Close()
	pace := time.NewTicker(time.Millisecond)
	defer pace.Stop()
	for i := range n {
		if i%32 == 31 {
			<-pace.C
		}
		// An error is the answer to an earlier datagram.
		_, _ = socket.Write(next(i))
	}
}

func TestGarbageDatagrams(t *testing.T) {
	besiege(t, newHandler(), func(addr netip.AddrPort) {
		var running sync.WaitGroup
		for source := range uint64(4) {
			running.Go(func() {
				rng := rand.New(rand.NewPCG(source, 0))
				fire(t, addr, manyDatagrams/4, func(i int) []byte { return garbage(rng, i) })
			})
		}
		running.Wait()
	})
}

// garbage makes datagrams that look like packets to a different depth.
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

// record returns what a client sends to a server in a session with downloads and uploads.
func record(t *testing.T, addr netip.AddrPort, client func(*testing.T) http.RoundTripper) [][]byte {
	t.Helper()
	var mu sync.Mutex
	var sent [][]byte
	relay := startRelay(t, addr, udpproxy.Config{Tap: func(toServer bool, data []byte) {
		if toServer {
			mu.Lock()
			defer mu.Unlock()
			sent = append(sent, append([]byte(nil), data...))
		}
	}})
	defer relay.Close()
	c := client(t)
	download(t, c, urlOf(relay.Addr()), 1e6)
	upload(t, c, urlOf(relay.Addr()), 1e6)
	if closer, ok := c.(io.Closer); ok {
		closer.Close()
	}
	mu.Lock()
	defer mu.Unlock()
	return sent
}

func TestTruncatedDatagrams(t *testing.T) {
	besiege(t, newHandler(), func(addr netip.AddrPort) {
		sent := record(t, addr, newQuicGoClient)
		rng := rand.New(rand.NewPCG(1, 0))
		fire(t, addr, manyDatagrams, func(i int) []byte {
			d := sent[i%len(sent)]
			if i%3 == 0 { // the handshake's are the richest
				d = sent[i/3%min(len(sent), 8)]
			}
			return d[:rng.IntN(len(d))]
		})
	})
}

func TestReplayedDatagrams(t *testing.T) {
	besiege(t, newHandler(), func(addr netip.AddrPort) {
		for _, client := range []func(*testing.T) http.RoundTripper{newQuicGoClient, newDunlinClient} {
			sent := record(t, addr, client)
			fire(t, addr, manyDatagrams/2, func(i int) []byte { return sent[i%len(sent)] })
		}
	})
}

// Hundreds of clients stop in mid-handshake: some never hear the server, some are heard in part.
func TestStalledHandshakes(t *testing.T) {
	besiege(t, newHandler(), func(addr netip.AddrPort) {
		const clients = 300
		for _, cfg := range []udpproxy.Config{
			{ToClient: udpproxy.Impairment{Drop: 1}},
			{ToServer: udpproxy.Impairment{Drop: 0.6}, ToClient: udpproxy.Impairment{Drop: 0.4}},
		} {
			relay := startRelay(t, addr, cfg)
			var running sync.WaitGroup
			for range clients {
				running.Go(func() {
					ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
					defer cancel()
					if conn, err := dialQuicGo(ctx, t, relay.Addr()); err == nil {
						conn.CloseWithError(0, "")
					}
				})
			}
			running.Wait()
			if toServer, _ := relay.Counters(); toServer.Received < clients {
				t.Errorf("only %d datagrams were sent", toServer.Received)
			}
			relay.Close()
		}
	})
}

// stallHandler is newHandler with an upload that is never read.
func stallHandler(stalled *atomic.Int64) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", newHandler())
	mux.HandleFunc("PUT /stall", func(w http.ResponseWriter, r *http.Request) {
		io.ReadFull(r.Body, make([]byte, 1))
		stalled.Add(1)
		<-r.Context().Done()
	})
	return mux
}

// Clients that ask for much and read nothing, and handlers that read nothing: what waits is bounded by flow control.
func TestSlowReaders(t *testing.T) {
	const (
		clients = 20
		size    = 50_000_000
		each    = 8 << 20 // bytes that a connection may hold on both sides, here in one process
	)
	var stalled atomic.Int64
	besiege(t, stallHandler(&stalled), func(addr netip.AddrPort) {
		before := liveHeap()
		ctx, cancel := context.WithCancel(context.Background())
		var running, started sync.WaitGroup
		for i := range clients {
			client := []func(*testing.T) http.RoundTripper{newQuicGoClient, newDunlinClient}[i%2](t)
			started.Add(1)
			running.Go(func() {
				req, err := http.NewRequestWithContext(ctx, http.MethodGet, urlOf(addr)+"content/"+strconv.Itoa(size), nil)
				if err != nil {
					t.Error(err)
				}
				resp, err := client.RoundTrip(req)
				started.Done()
				if err != nil {
					t.Error(err)
					return
				}
				defer resp.Body.Close()
				io.ReadFull(resp.Body, make([]byte, 1000))
				<-ctx.Done()
			})
			running.Go(func() {
				req, err := http.NewRequestWithContext(ctx, http.MethodPut, urlOf(addr)+"stall", content(size))
				if err != nil {
					t.Error(err)
				}
				if resp, err := client.RoundTrip(req); err == nil {
					resp.Body.Close()
				}
			})
		}
		started.Wait()
		if !waitUntil(10*time.Second, func() bool { return stalled.Load() == clients }) {
			t.Errorf("%d of %d uploads reached their handlers", stalled.Load(), clients)
		}
		// Time in which a sender that ignores flow control would send everything.
		<-time.After(time.Second)
		if now := liveHeap(); now > before+clients*each {
			t.Errorf("%d slow readers make %d bytes be held, more than %d each", clients, now-before, each)
		}
		cancel()
		running.Wait()
	})
}

// A peer opens and resets streams without end: requests cut short, requests abandoned, streams of no known type, and
// garbage. The server may close such a connection, and the peer comes back.
func TestStreamFlood(t *testing.T) {
	const streams = 20_000
	besiege(t, newHandler(), func(addr netip.AddrPort) {
		var opened atomic.Int64
		var running sync.WaitGroup
		for source := range uint64(4) {
			running.Go(func() {
				rng := rand.New(rand.NewPCG(source, 1))
				for dials := 0; opened.Load() < streams; dials++ {
					if dials == 2000 {
						t.Errorf("after %d connections only %d streams", dials, opened.Load())
						return
					}
					ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
					conn, err := dialQuicGo(ctx, t, addr)
					if err != nil {
						t.Errorf("the server takes no connection: %v", err)
						cancel()
						return
					}
					floodStreams(ctx, conn, rng, func() bool { return opened.Add(1) < streams })
					conn.CloseWithError(0x100, "")
					cancel()
				}
			})
		}
		running.Wait()
		if opened.Load() < streams {
			t.Errorf("opened only %d streams", opened.Load())
		}
	})
}

// A HEADERS frame with GET https localhost /content/100000 in QPACK's static table and literals.
var requestHeaders = func() []byte {
	path := "/content/100000"
	fields := []byte{0, 0, 0xc0 | 17, 0xc0 | 23, 0x50, 9}
	fields = append(fields, "localhost"...)
	fields = append(fields, 0x51, byte(len(path)))
	fields = append(fields, path...)
	return append([]byte{1, byte(len(fields))}, fields...)
}()

// floodStreams misbehaves on one connection until it ends or more says that it is enough.
func floodStreams(ctx context.Context, conn *peerquic.Conn, rng *rand.Rand, more func() bool) {
	for i := 0; more(); i++ {
		if i%10 == 9 {
			s, err := conn.OpenUniStreamSync(ctx)
			if err != nil {
				return
			}
			s.Write([]byte{0x40 | byte(rng.IntN(64)), byte(rng.IntN(256)), 1, 2, 3}) // mostly an unknown type
			s.CancelWrite(0x10c)
			continue
		}
		s, err := conn.OpenStreamSync(ctx)
		if err != nil {
			return
		}
		switch i % 4 {
		case 0:
			s.Write(requestHeaders[:1+rng.IntN(len(requestHeaders)-1)])
		case 1:
			s.Write(requestHeaders)
		case 2:
			s.Write(requestHeaders)
			s.Close()
		case 3:
			if i%8 == 3 { // abandoned when the answer has begun
				s.Write(requestHeaders)
				s.Close()
				s.Read(make([]byte, 1))
				break
			}
			junk := make([]byte, 1+rng.IntN(100))
			for j := range junk {
				junk[j] = byte(rng.Uint32())
			}
			if i%40 == 7 { // most often it ends the connection
				s.Write(junk)
			}
		}
		s.CancelWrite(0x10c)
		s.CancelRead(0x10c)
	}
}

// requestHeaders must be what it says, or the flood floods nothing.
func TestFloodRequestIsValid(t *testing.T) {
	addr := serveDunlin(t, newHandler(), nil)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	conn, err := dialQuicGo(ctx, t, addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseWithError(0x100, "")
	control, err := conn.OpenUniStreamSync(ctx)
	if err != nil {
		t.Fatal(err)
	}
	control.Write([]byte{0, 4, 0}) // a control stream with empty SETTINGS
	s, err := conn.OpenStreamSync(ctx)
	if err != nil {
		t.Fatal(err)
	}
	s.Write(requestHeaders)
	s.Close()
	got, err := io.ReadAll(s)
	if err != nil || len(got) < 100000 {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}
