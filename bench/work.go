package main

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// A work is one thing to measure: what clients do and in which unit it counts.
type work struct {
	name string
	unit string // what one unit is
	kind string
	// run does the work against addr for a peer and returns the number of units done. It makes its connections before it
	// calls start, and leaves them out of the measurement. A work that has called finish itself returns 0.
	run func(c *clientEnv) (units float64, err error)
	// quick and full are the sizes: bytes, seconds, or connections.
	quick, full float64
}

// The kinds of works: which peers do them, how they run, and which table shows them.
const (
	kindHTTP     = "http"
	kindEarly    = "early" // HTTP with early data
	kindRaw      = "raw"   // streams without HTTP
	kindDatagram = "datagram"
	kindLossy    = "lossy"
	kindIdle     = "idle"
	kindGrowth   = "growth"
	kindWindow   = "window"
)

// clientEnv is what a client process gives a work.
type clientEnv struct {
	peer, addr string
	tls        *tls.Config
	size       float64
	grow       int           // idle connections or open streams of the growth works
	rest       time.Duration // before anything idle is measured
	lat        *histogram
	out        *json.Encoder

	began, ended time.Time
	before, used usage
	simulator    time.Duration // see result
	lost         float64
}

// tell writes a line to the parent.
func (c *clientEnv) tell(v any) {
	if err := c.out.Encode(v); err != nil {
		fatal(err)
	}
}

// start is called once connections stand: measuring begins. If it had begun, it begins anew.
func (c *clientEnv) start() {
	c.tell("start")
	c.lat.reset()
	c.ended, c.lost = time.Time{}, 0
	c.before, c.began = usageNow(), time.Now()
}

// stop ends measuring, before finish for a work that still has something else to do.
func (c *clientEnv) stop() {
	c.ended = time.Now()
	c.used = usageNow().sub(c.before)
}

// finish ends measuring if stop has not, and tells what was measured since start.
func (c *clientEnv) finish(phase string, units float64) {
	if c.ended.IsZero() {
		c.stop()
	}
	c.tell(result{
		Phase: phase, Units: units, Lost: c.lost, Elapsed: c.ended.Sub(c.began), Client: c.used, Simulator: c.simulator,
		P50: c.lat.quantile(.5), P99: c.lat.quantile(.99), P999: c.lat.quantile(.999),
	})
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

const (
	gib = 1 << 30
	mib = 1 << 20
)

// quickTime is how long the works that last a while do so with -quick, in seconds.
const quickTime = 0.7

// collectTime is how long they do beside ten thousand idle connections: the garbage of some 50,000 requests goes into one
// collection there, which takes a tenth of a second of CPU time, and what is measured must not be whether there was one.
const collectTime = 3

var works = []work{
	{"get", "GiB", kindHTTP, httpBulk(http.MethodGet), gib / 8, gib},
	{"put", "GiB", kindHTTP, httpBulk(http.MethodPut), gib / 8, gib},
	{"small-1x100", "request", kindHTTP, httpSmall(1, 100), quickTime, 5},
	{"small-10x10", "request", kindHTTP, httpSmall(10, 10), quickTime, 5},
	{"small-100x1", "request", kindHTTP, httpSmall(100, 1), quickTime, 5},
	{"small-1x1", "request", kindHTTP, httpSmall(1, 1), quickTime, 5},
	{"handshake-http", "handshake", kindHTTP, httpHandshake, quickTime, 5},
	{"resumed-http", "handshake", kindHTTP, httpResumed, quickTime, 5},
	{"0rtt-http", "handshake", kindEarly, httpEarly, quickTime, 5},
	{"raw-down", "GiB", kindRaw, rawBulk('d'), gib / 8, gib},
	{"raw-up", "GiB", kindRaw, rawBulk('u'), gib / 8, gib},
	{"handshake-raw", "handshake", kindRaw, rawHandshake, quickTime, 5},
	{"resumed-raw", "handshake", kindRaw, rawResumed, quickTime, 5},
	{"datagrams-1200", "datagram", kindDatagram, datagrams(1200), quickTime, 5},
	{"datagrams-100", "datagram", kindDatagram, datagrams(100), quickTime, 5},
	{"lossy", "GiB", kindLossy, rawBulk('d'), 24 * mib, 48 * mib},
	{"idle", "connection", kindIdle, idle, 10000, 10000},
	{"growth-connections", "request", kindGrowth, growConnections, collectTime, 5},
	{growthStreams, "request", kindGrowth, growStreams, quickTime, 5},
	{"growth-window", "GiB", kindWindow, growWindow, 256 * mib, gib},
}

// slow reports whether a work takes too long for a first impression.
func (w *work) slow() bool {
	return w.kind == kindIdle || w.kind == kindGrowth || w.kind == kindWindow || w.kind == kindLossy
}

// crowdRuns is how often a work with thousands of connections is done with -quick at most. What such works measure varies
// little.
const crowdRuns = 2

// peers returns the names of those that can do a work.
func (w *work) peers() []string {
	peers := append(w.libraries(), sortedKeys(floors[w.name])...)
	slices.Sort(peers)
	return peers
}

// libraries are the peers that are none of the work's own floors.
func (w *work) libraries() []string {
	switch w.kind {
	case kindWindow:
		return []string{"dunlin"}
	case kindEarly:
		return sortedKeys(earlyPeers)
	case kindDatagram:
		return sortedKeys(datagramPeers)
	case kindRaw, kindLossy:
		return slices.DeleteFunc(sortedKeys(rawPeers), func(p string) bool {
			_, tuned := rawPeers[p].(tcp)
			switch {
			case w.kind == kindLossy:
				return p == "floor" || p == "tls-tcp" // no congestion control, and none of its own
			case w.unit == "handshake" && p == "floor":
				return true
			}
			return tuned
		})
	}
	return slices.DeleteFunc(sortedKeys(httpPeers), func(p string) bool {
		if c, ok := httpPeers[p].(chooser); ok && !c.does(w) {
			return true
		}
		_, many := httpPeers[p].(idlePeer)
		return !many && (w.kind == kindIdle || w.kind == kindGrowth)
	})
}

func findWork(name string) (work, bool) {
	for _, w := range works {
		if w.name == name {
			return w, true
		}
	}
	return work{}, false
}

// chunk is the size of the reads and writes of bulk transfers.
const chunk = 64 << 10

var zeros [chunk]byte

// handler is the HTTP server's: GET /N answers N bytes, GET /wait begins an answer and ends it with the request, PUT takes all
// it gets.
func handler(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPut {
		n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, r.Body, make([]byte, chunk))
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		fmt.Fprint(w, n)
		return
	}
	if r.URL.Path == "/wait" {
		http.NewResponseController(w).Flush()
		<-r.Context().Done()
		return
	}
	n, err := strconv.ParseInt(r.URL.Path[1:], 10, 64)
	if err != nil || n < 0 {
		http.Error(w, "the path is a number of bytes", http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Length", strconv.FormatInt(n, 10))
	w.Header().Set("Content-Type", "application/octet-stream")
	for n > 0 {
		m := min(n, chunk)
		if _, err := w.Write(zeros[:m]); err != nil {
			return
		}
		n -= m
	}
}

func get(t http.RoundTripper, addr string, n int64, buf []byte) error {
	req, err := http.NewRequest(http.MethodGet, "https://"+addr+"/"+strconv.FormatInt(n, 10), nil)
	if err != nil {
		return err
	}
	resp, err := t.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	m, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{resp.Body}, buf)
	if err != nil {
		return err
	}
	if resp.StatusCode != 200 || m != n {
		return fmt.Errorf("status %d, %d bytes instead of %d", resp.StatusCode, m, n)
	}
	return nil
}

func put(t http.RoundTripper, addr string, n int64) error {
	body := &countedZeros{left: n}
	req, err := http.NewRequest(http.MethodPut, "https://"+addr+"/", body)
	if err != nil {
		return err
	}
	req.ContentLength = n
	resp, err := t.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if string(answer) != strconv.FormatInt(n, 10) {
		return fmt.Errorf("status %d: the server says %q for %d bytes", resp.StatusCode, answer, n)
	}
	return nil
}

type countedZeros struct{ left int64 }

func (z *countedZeros) Read(p []byte) (int, error) {
	if z.left == 0 {
		return 0, io.EOF
	}
	n := min(int64(len(p)), z.left)
	clear(p[:n])
	z.left -= n
	return int(n), nil
}

func (z *countedZeros) Close() error { return nil }

// httpBulk moves size bytes in one request on a connection that is already warm.
func httpBulk(method string) func(*clientEnv) (float64, error) {
	return func(c *clientEnv) (float64, error) {
		t := httpPeers[c.peer].transport(c.tls)
		defer t.Close()
		buf := make([]byte, chunk)
		if err := get(t, c.addr, 128, buf); err != nil {
			return 0, err
		}
		c.start()
		n := int64(c.size)
		var err error
		if method == http.MethodGet {
			err = get(t, c.addr, n, buf)
		} else {
			err = put(t, c.addr, n)
		}
		return c.size / gib, err
	}
}

// smallAnswer is the size of the body of a small request, in bytes.
const smallAnswer = 128

// httpSmall keeps streams requests in flight on each of conns connections, for size seconds.
func httpSmall(conns, streams int) func(*clientEnv) (float64, error) {
	return func(c *clientEnv) (float64, error) {
		ts := make([]closableTransport, conns)
		for i := range ts {
			ts[i] = httpPeers[c.peer].transport(c.tls)
			defer ts[i].Close()
			if err := get(ts[i], c.addr, smallAnswer, make([]byte, 512)); err != nil {
				return 0, err
			}
		}
		c.start()
		end := time.Now().Add(seconds(c.size))
		return parallel(conns*streams, func(i int) (int, error) {
			t, buf, n := ts[i%conns], make([]byte, 512), 0
			for time.Now().Before(end) {
				began := time.Now()
				if err := get(t, c.addr, smallAnswer, buf); err != nil {
					return n, err
				}
				c.lat.add(time.Since(began))
				n++
			}
			return n, nil
		})
	}
}

// request keeps n small requests in flight for some time; target names the transport and the host of each.
func (c *clientEnv) request(n int, d time.Duration, target func(i int) (http.RoundTripper, string)) (float64, error) {
	end := time.Now().Add(d)
	return parallel(n, func(i int) (int, error) {
		t, host := target(i)
		buf, n := make([]byte, 512), 0
		for time.Now().Before(end) {
			began := time.Now()
			if err := get(t, host, smallAnswer, buf); err != nil {
				return n, err
			}
			c.lat.add(time.Since(began))
			n++
		}
		return n, nil
	})
}

// handshakesAtOnce is how many handshakes a client has under way.
const handshakesAtOnce = 16

// httpHandshake makes connections of one request each, for size seconds.
func httpHandshake(c *clientEnv) (float64, error) {
	return handshakes(c, func() error {
		t := httpPeers[c.peer].transport(c.tls)
		defer t.Close()
		return get(t, c.addr, smallAnswer, make([]byte, 512))
	})
}

// rawHandshake makes connections with one stream each, for size seconds.
func rawHandshake(c *clientEnv) (float64, error) {
	return handshakes(c, func() error {
		conn, err := rawPeers[c.peer].dial(context.Background(), c.addr, c.tls)
		if err != nil {
			return err
		}
		defer conn.Close()
		return conn.transfer('d', smallAnswer, make([]byte, 512))
	})
}

func handshakes(c *clientEnv, one func() error) (float64, error) {
	if err := one(); err != nil {
		return 0, err
	}
	c.start()
	end := time.Now().Add(seconds(c.size))
	return parallel(handshakesAtOnce, func(int) (int, error) {
		n := 0
		for time.Now().Before(end) {
			began := time.Now()
			if err := one(); err != nil {
				return n, err
			}
			c.lat.add(time.Since(began))
			n++
		}
		return n, nil
	})
}

// parallel runs f in n goroutines and sums up what they did.
func parallel(n int, f func(i int) (int, error)) (float64, error) {
	var wg sync.WaitGroup
	var done atomic.Int64
	var first atomic.Pointer[error]
	for i := range n {
		wg.Go(func() {
			m, err := f(i)
			done.Add(int64(m))
			if err != nil {
				first.CompareAndSwap(nil, &err)
			}
		})
	}
	wg.Wait()
	if err := first.Load(); err != nil {
		return 0, *err
	}
	return float64(done.Load()), nil
}

// rawHandler is the server's side of a rawStream.
func rawHandler(s rawStream) {
	defer s.Close()
	var head [9]byte
	if _, err := io.ReadFull(s, head[:]); err != nil {
		return
	}
	n := int64(binary.BigEndian.Uint64(head[1:]))
	if head[0] == 'u' {
		if m, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{s}, make([]byte, chunk)); err != nil || m != n {
			return
		}
		s.Write([]byte{1})
		return
	}
	if _, err := writeZeros(s, n); err != nil {
		return
	}
}

func writeZeros(w io.Writer, n int64) (int64, error) {
	for left := n; left > 0; {
		m := min(left, chunk)
		if _, err := w.Write(zeros[:m]); err != nil {
			return n - left, err
		}
		left -= m
	}
	return n, nil
}

// rawGet is the client's side.
func rawGet(s rawStream, dir byte, n int64, buf []byte) error {
	head := binary.BigEndian.AppendUint64([]byte{dir}, uint64(n))
	if _, err := s.Write(head); err != nil {
		return err
	}
	want := n
	if dir == 'u' {
		want = 1
		if _, err := writeZeros(s, n); err != nil {
			return err
		}
	}
	if err := s.Close(); err != nil {
		return err
	}
	m, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{s}, buf)
	if err != nil {
		return err
	}
	if m != want {
		return fmt.Errorf("%d bytes instead of %d", m, want)
	}
	return nil
}

func rawBulk(dir byte) func(*clientEnv) (float64, error) {
	return moveBulk(func(peer string) rawPeer { return rawPeers[peer] }, dir)
}

// moveBulk moves size bytes on one stream.
func moveBulk(peer func(name string) rawPeer, dir byte) func(*clientEnv) (float64, error) {
	return func(c *clientEnv) (float64, error) {
		conn, err := peer(c.peer).dial(context.Background(), c.addr, c.tls)
		if err != nil {
			return 0, err
		}
		defer conn.Close()
		c.start()
		return c.size / gib, conn.transfer(dir, int64(c.size), make([]byte, chunk))
	}
}
