package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// startTCP serves a handler over HTTP/2, or over HTTP/1.1 only, and returns the URL and the file of the certificate.
func startTCP(t *testing.T, handler http.Handler, http2 bool) (url, cacert string) {
	t.Helper()
	s := httptest.NewUnstartedServer(handler)
	s.EnableHTTP2 = http2
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // clients that go away are what some tests want
	s.StartTLS()
	t.Cleanup(s.Close)
	cacert = filepath.Join(t.TempDir(), "cert.pem")
	block := &pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}
	if err := os.WriteFile(cacert, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	return s.URL + "/", cacert
}

// startProtocol serves over the protocol that the arguments of bench ask for.
func startProtocol(t *testing.T, handler http.Handler, args []string) (url, cacert string) {
	t.Helper()
	if slices.Contains(args, "--http2") {
		return startTCP(t, handler, true)
	}
	return startHandler(t, handler)
}

// benchJSON runs bench with an answer in JSON.
func benchJSON(t *testing.T, args ...string) loadReport {
	t.Helper()
	r := mustDunlin(t, append([]string{"bench", "--json"}, args...)...)
	var report loadReport
	if err := json.Unmarshal([]byte(r.out), &report); err != nil {
		t.Fatalf("%v in:\n%s", err, r.out)
	}
	return report
}

var protocols = []struct {
	name string
	args []string
}{{"HTTP/3", nil}, {"HTTP/2", []string{"--http2"}}}

func TestBench(t *testing.T) {
	for _, protocol := range protocols {
		t.Run(protocol.name, func(t *testing.T) {
			var requests, atOnce, most atomic.Int64
			var wrong atomic.Value
			connections := make(chan string, 100)
			all := make(chan struct{}) // closed once every stream has a request running
			handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				n := atOnce.Add(1)
				defer atOnce.Add(-1)
				for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
				}
				if requests.Add(1) == 3*4 {
					close(all)
				}
				select {
				case <-all:
				case <-time.After(10 * time.Second):
				}
				body, _ := io.ReadAll(r.Body)
				if r.Method != "PATCH" || r.Header.Get("X-Bird") != "dunlin" || string(body) != "flock" || r.Proto[:6] != protocol.name {
					wrong.Store(fmt.Sprintf("%s %s %q %q", r.Method, r.Proto, r.Header.Get("X-Bird"), body))
				}
				connections <- r.RemoteAddr
				w.WriteHeader(http.StatusAccepted)
				io.WriteString(w, "answer")
			})
			url, cacert := startProtocol(t, handler, protocol.args)
			args := append([]string{url, "--cacert", cacert, "-n", "60", "-c", "3", "-m", "4", "-X", "PATCH", "-H", "X-Bird: dunlin",
				"-d", "flock"}, protocol.args...)
			got := benchJSON(t, args...)
			if w := wrong.Load(); w != nil {
				t.Error("the server got", w)
			}
			close(connections)
			different := map[string]bool{}
			for c := range connections {
				different[c] = true
			}
			if requests.Load() != 60 || most.Load() != 12 || len(different) != 3 {
				t.Errorf("%d requests, up to %d at once, over %d connections", requests.Load(), most.Load(), len(different))
			}
			if got.Protocol != protocol.name || got.Connections != 3 || got.Streams != 4 || got.Answered != 60 || got.Failed != 0 ||
				got.Unanswered != 0 || got.Statuses["202"] != 60 || got.BytesSent != 300 || got.BytesReceived != 360 {
				t.Errorf("%+v", got)
			}
			l := got.Latency
			if l.Min <= 0 || l.Min > l.P50 || l.P50 > l.P90 || l.P90 > l.P99 || l.P99 > l.P999 || l.P999 > l.Max || got.Connect.Max <= 0 {
				t.Errorf("latency %v, connecting %v", l, got.Connect)
			}
			if (got.QUIC != nil) != (protocol.name == "HTTP/3") || got.QUIC != nil && got.QUIC.PacketsSent < 3 {
				t.Errorf("QUIC %+v", got.QUIC)
			}
			sum := int64(0)
			for _, bar := range got.Histogram {
				sum += bar.Count
			}
			if sum != 60 {
				t.Errorf("%d answers in the histogram", sum)
			}
		})
	}
}

func TestBenchDuration(t *testing.T) {
	for _, protocol := range protocols {
		t.Run(protocol.name, func(t *testing.T) {
			var requests atomic.Int64
			handler := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { requests.Add(1) })
			url, cacert := startProtocol(t, handler, protocol.args)
			bench := func(warmUp time.Duration) loadReport {
				requests.Store(0)
				return benchJSON(t, append([]string{url, "--cacert", cacert, "-D", "50ms", "--warm-up", warmUp.String(), "-m", "2"},
					protocol.args...)...)
			}
			warmUp := 20 * time.Millisecond
			got := bench(warmUp)
			for got.Answered == requests.Load() && warmUp < 10*time.Second { // connecting took all of it
				warmUp *= 2
				got = bench(warmUp)
			}
			if got.Answered == 0 || got.Answered >= requests.Load() || got.Seconds < 0.05 {
				t.Errorf("%d answered in %v s of %d with the warm-up", got.Answered, got.Seconds, requests.Load())
			}
			if got.Connect.Max == 0 {
				t.Error("connecting, during the warm-up, was not measured")
			}
		})
	}
}

func TestBenchText(t *testing.T) {
	url, cacert := startHandler(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "body") }))
	r := mustDunlin(t, "bench", url, "--cacert", cacert, "-n", "20", "--rate", "10000")
	for _, want := range []string{
		" over HTTP/3: 1 connection, 1 request at a time on each\n", "requests    20 answered in ", " of 10000/s", "status      200: 20\n",
		"bodies      80 B received", "latency     min ", "connecting  min ", "p99.9", "█",
	} {
		if !strings.Contains(r.out, want) {
			t.Errorf("%q is missing in:\n%s", want, r.out)
		}
	}
	if r.err != "" {
		t.Errorf("on standard error: %q", r.err)
	}
}

func TestBenchFailures(t *testing.T) {
	for _, protocol := range protocols {
		t.Run(protocol.name, func(t *testing.T) {
			var number atomic.Int64
			url, cacert := startProtocol(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/never" || number.Add(1)%2 == 0 {
					panic(http.ErrAbortHandler)
				}
			}), protocol.args)
			args := append([]string{"--cacert", cacert, "-n", "6"}, protocol.args...)
			got := benchJSON(t, append(args, url)...)
			if got.Answered != 3 || got.Failed != 3 || len(got.Errors) != 1 {
				t.Errorf("%+v", got)
			}
			r := dunlin(t, "", append([]string{"bench", url + "never"}, args...)...)
			if r.status == 0 || !strings.HasPrefix(r.err, "dunlin: "+url+"never: ") || strings.Count(r.err, "\n") != 1 || r.out != "" {
				t.Errorf("without an answer: %+v", r)
			}
			r = dunlin(t, "", append([]string{"bench", url, "-n", "1"}, protocol.args...)...)
			if r.status != statusCertificate || !strings.Contains(r.err, "unknown authority") {
				t.Errorf("a certificate of nobody: %+v", r)
			}
		})
	}
}

func TestBenchNobodyThere(t *testing.T) {
	// A TCP port that was just free, and the UDP port of the same number.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	url := "https://" + l.Addr().String() + "/"
	l.Close()
	for _, protocol := range protocols {
		r := dunlin(t, "", append([]string{"bench", url, "-k"}, protocol.args...)...)
		port := map[string]string{"HTTP/3": "UDP port", "HTTP/2": "TCP port"}[protocol.name]
		if r.status != statusConnect || !strings.Contains(r.err, "connection refused") || !strings.Contains(r.err, port) {
			t.Errorf("%s: %+v", protocol.name, r)
		}
	}
}

func TestBenchNotHTTP2(t *testing.T) {
	url, cacert := startTCP(t, http.NotFoundHandler(), false)
	if r := dunlin(t, "", "bench", url, "--cacert", cacert, "--http2"); r.status == 0 || r.out != "" || strings.Count(r.err, "\n") != 1 {
		t.Errorf("%+v", r)
	}
}

// TestBenchResolve: a name leads to the address that --resolve gives.
func TestBenchResolve(t *testing.T) {
	for _, protocol := range protocols {
		t.Run(protocol.name, func(t *testing.T) {
			var host atomic.Value
			handler := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { host.Store(r.Host) })
			url, _ := startProtocol(t, handler, protocol.args)
			_, port, _ := strings.Cut(strings.Trim(strings.TrimPrefix(url, "https://"), "/"), ":")
			args := append([]string{"https://bird.test:" + port, "-k", "-n", "1", "--resolve", "bird.test:" + port + ":127.0.0.1"}, protocol.args...)
			if got := benchJSON(t, args...); got.Answered != 1 || host.Load() != "bird.test:"+port {
				t.Errorf("%d answered, for %v", got.Answered, host.Load())
			}
		})
	}
}

// TestBenchInterrupted: what was measured until then is told.
func TestBenchInterrupted(t *testing.T) {
	var number atomic.Int64
	waiting := make(chan struct{})
	url, cacert := startHandler(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if number.Add(1) == 6 {
			close(waiting)
			<-r.Context().Done()
		}
	}))
	ctx, interrupt := context.WithCancel(context.Background())
	defer interrupt()
	out, errs := newSyncBuffer(), newSyncBuffer()
	status := make(chan int, 1)
	go func() {
		status <- run(ctx, []string{"bench", url, "--cacert", cacert, "-n", "100"}, streams{strings.NewReader(""), out, errs})
	}()
	select {
	case <-waiting:
	case <-time.After(20 * time.Second):
		t.Fatal("the sixth request does not come")
	}
	interrupt()
	if got := <-status; got != statusInterrupted || !strings.Contains(out.String(), "5 answered") ||
		!strings.Contains(out.String(), "1 not answered at the end") {
		t.Errorf("status %d, %s%s", got, out, errs)
	}
}

func TestBenchUsage(t *testing.T) {
	for _, args := range [][]string{
		{}, {"http://localhost/"}, {"localhost", "-c", "0"}, {"localhost", "-m", "70000"}, {"localhost", "-c", "65536", "-m", "65536"},
		{"localhost", "-n", "-1"}, {"localhost", "--rate", "-1"}, {"localhost", "--rate", "NaN"}, {"localhost", "-n", "1", "-D", "1s"},
		{"localhost", "-H", "nonsense"}, {"localhost", "--resolve", "nonsense"}, {"localhost", "-X", "NO GOOD"}, {"localhost", "-d", "@nonexistent"},
		{"localhost", "-k", "--cacert", "f"},
	} {
		if r := dunlin(t, "", append([]string{"bench"}, args...)...); r.status != statusUsage || !strings.Contains(r.err, "bench --help") {
			t.Errorf("%v: %+v", args, r)
		}
	}
}

func TestLoadPlan(t *testing.T) {
	for _, test := range []struct {
		name  string
		plan  *loadPlan
		cost  time.Duration // of every request
		count int
		took  time.Duration
		late  time.Duration // how late the last one starts
	}{
		{"count", &loadPlan{requests: 7}, time.Second, 7, 7 * time.Second, 0},
		{"time", &loadPlan{length: 3500 * time.Millisecond}, time.Second, 4, 4 * time.Second, 0},
		{"rate and time", &loadPlan{length: time.Second, rate: 10}, 0, 10, 900 * time.Millisecond, 0},
		{"rate and count", &loadPlan{requests: 5, rate: 10}, 0, 5, 400 * time.Millisecond, 0},
		{"slower than the rate", &loadPlan{requests: 5, rate: 10}, 300 * time.Millisecond, 5, 1500 * time.Millisecond, 800 * time.Millisecond},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := test.plan
				p.start = time.Now()
				count, late := 0, time.Duration(0)
				for {
					start, ok := p.next(t.Context())
					if !ok {
						break
					}
					late = time.Since(start)
					count++
					time.Sleep(test.cost)
				}
				if took := time.Since(p.start); count != test.count || took != test.took || late != test.late {
					t.Errorf("%d requests in %v, the last one late by %v; want %d, %v, %v", count, took, late, test.count, test.took, test.late)
				}
			})
		})
	}
}

// TestLoadPlanEnds: who waits for the rate ends with the context.
func TestLoadPlanEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		p := &loadPlan{start: time.Now(), requests: 10, rate: 0.1}
		p.next(ctx)
		if _, ok := p.next(ctx); ok || time.Since(p.start) != time.Second {
			t.Errorf("%v after %v", ok, time.Since(p.start))
		}
	})
}

func TestTallyBoundsKinds(t *testing.T) {
	tally := newTally()
	first := errors.New("first")
	for i := range 1000 {
		tally.fail(strconv.Itoa(i), first)
		first = errors.New("later")
	}
	kinds := tally.failures()
	if len(kinds) != tallyKinds+1 || kinds["other"] != 1000-tallyKinds || tally.failed.Load() != 1000 || tally.firstError().Error() != "first" {
		t.Errorf("%v, %v", kinds, tally.firstError())
	}
}

func TestHistogramBars(t *testing.T) {
	var l latencies
	for i, d := range []time.Duration{0, 3 * time.Microsecond, 4 * time.Microsecond, 30 * time.Microsecond, time.Hour} {
		l.record(i, d)
	}
	h := l.merge()
	got := bars(h)
	for upTo, want := range map[int64]int64{1: 1, 2: 0, 4: 2, 8: 0, 16: 0, 32: 1} {
		if i := slices.IndexFunc(got, func(b latencyCount) bool { return b.UpTo == upTo }); i < 0 || got[i].Count != want {
			t.Errorf("no bar of %d up to %d µs in %v", want, upTo, got)
		}
	}
	if last := got[len(got)-1]; last.Count != 1 || last.UpTo < latencyMax.Microseconds() {
		t.Errorf("the last bar is %v", last)
	}
	if got := sumUp(newHistogram()); got != (latencyReport{}) {
		t.Errorf("of nothing: %v", got)
	}
}

func TestMicroseconds(t *testing.T) {
	for us, want := range map[int64]string{
		0: "0s", 7: "7µs", 999: "999µs", 1234: "1.23ms", 12345: "12.3ms", 123456: "123ms", 1234567: "1.23s", 61_234_567: "1m1.2s",
	} {
		if got := microseconds(us); got != want {
			t.Errorf("%d µs: %s, want %s", us, got, want)
		}
	}
}

func TestLiveLine(t *testing.T) {
	l := &load{total: newTally()}
	l.warming.Store(true)
	out := newSyncBuffer()
	live := startLiveLine(out, l, time.Millisecond)
	out.waitFor(t, "warming up")
	l.began.Store(time.Now().UnixNano())
	l.warming.Store(false)
	l.total.answer(0, loadAnswer{status: 200, latency: time.Millisecond, received: 100})
	l.total.fail("reset", io.ErrUnexpectedEOF)
	out.waitFor(t, `s: 1 answered, .*/s, .*bit/s, p50 1ms, p99 1ms, 1 failed`)
	live.stop()
	if !strings.HasSuffix(out.String(), clearLine) {
		t.Error("the line stays")
	}
	if live := newLiveLine(out, &benchOptions{}, l); live != nil {
		t.Error("a live line where there is no terminal")
	}
	var none *liveLine
	none.stop()
}

func TestLoadClassify(t *testing.T) {
	l := &load{http2: true}
	l.url, _ = parseURL("https://localhost:4433/")
	for _, test := range []struct {
		err    error
		status int
	}{
		{errNotHTTP2, statusTLS},
		{tls.RecordHeaderError{}, statusTLS},
		{os.ErrDeadlineExceeded, statusTimeout},
		{&net.DNSError{IsNotFound: true}, statusResolve},
		{io.ErrUnexpectedEOF, statusOther},
	} {
		if got := l.classify(t.Context(), fmt.Errorf("wrapped: %w", test.err)); got.status != test.status {
			t.Errorf("%v: status %d, %s", test.err, got.status, got.text)
		}
	}
}
