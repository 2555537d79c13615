package interop

import (
	"context"
	"io"
	"net/http"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"
)

// What strangers send from other processes: datagrams that are none, cut short, or repeated, by the ten thousand;
// handshakes that stop half-way, by the hundred; streams opened and reset, by the ten thousand.
func TestAttacks(t *testing.T) {
	for _, name := range []string{"garbage", "truncated", "replayed", "stalled-handshakes", "stream-flood"} {
		t.Run(name, func(t *testing.T) {
			besiege(t, newHandler(), func(addr netip.AddrPort) { attack(t, name, addr) })
		})
	}
}

// Clients that ask for much and read nothing, and a handler that reads nothing: what waits is bounded by flow control.
func TestSlowReaders(t *testing.T) {
	const each = 4 << 20 // bytes that the server may hold for a connection; each asks for more than ten times as much
	var stalled atomic.Int64
	mux := http.NewServeMux()
	mux.Handle("/", newHandler())
	mux.HandleFunc("PUT /stall", func(w http.ResponseWriter, r *http.Request) {
		io.ReadFull(r.Body, make([]byte, 1))
		stalled.Add(1)
		<-r.Context().Done()
	})
	besiege(t, mux, func(addr netip.AddrPort) {
		before := liveHeap()
		a := startAttacker(t, "slow-readers", addr)
		var most uint64
		waitUntil(20*time.Second, func() bool {
			most = max(most, liveHeap())
			return stalled.Load() == slowReaders
		})
		for range 15 {
			<-time.After(100 * time.Millisecond)
			most = max(most, liveHeap())
		}
		if err := a.Wait(); err != nil {
			t.Errorf("the attacker: %v\n%s", err, a.out.String())
		}
		if stalled.Load() != slowReaders {
			t.Errorf("%d of %d uploads reached their handlers", stalled.Load(), slowReaders)
		}
		if most > before+slowReaders*each {
			t.Errorf("%d slow readers make the server hold %d bytes, more than %d each", slowReaders, most-before, each)
		}
		t.Logf("%d slow readers make the server hold %d kB each", slowReaders, (int64(most)-int64(before))/slowReaders>>10)
	})
}

// Client processes are killed in the middle of a download and an upload.
func TestKilledClients(t *testing.T) {
	var traffic counter
	besiege(t, &traffic, func(addr netip.AddrPort) {
		for _, name := range []string{"endless-dunlin", "endless-quic-go", "endless-dunlin", "endless-quic-go"} {
			read, written := traffic.read.Load(), traffic.written.Load()
			a := startAttacker(t, name, addr)
			running := waitUntil(20*time.Second, func() bool {
				return traffic.read.Load() > read+5e6 && traffic.written.Load() > written+5e6
			})
			_ = a.Process.Kill()
			_ = a.Wait()
			if !running {
				t.Errorf("%s: no transfers within 20 s\n%s", name, a.out.String())
			}
		}
	})
}

// counter is newHandler that counts what it reads and writes.
type counter struct{ read, written atomic.Int64 }

func (c *counter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r.Body = &countedBody{r.Body, &c.read}
	newHandler().ServeHTTP(&countedWriter{w, &c.written}, r)
}

type countedBody struct {
	io.ReadCloser
	n *atomic.Int64
}

func (b *countedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.n.Add(int64(n))
	return n, err
}

type countedWriter struct {
	http.ResponseWriter
	n *atomic.Int64
}

func (w *countedWriter) Write(p []byte) (int, error) {
	n, err := w.ResponseWriter.Write(p)
	w.n.Add(int64(n))
	return n, err
}

// floodRequest must be what it says, or the flood floods nothing.
func TestFloodRequestIsValid(t *testing.T) {
	addr := serveDunlin(t, newHandler(), nil)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	conn, err := dialQuicGo(ctx, addr, testIdentity(t).pool)
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
	s.Write(floodRequest)
	s.Close()
	got, err := io.ReadAll(s)
	if err != nil || len(got) < 100000 {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}
