package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"text/tabwriter"
	"time"
)

// The work idle measures what connections cost that do nothing: a client makes them, with one request each, and both
// sides then rest. Memory is what the kernel says is resident after the garbage was given back.

// idlePeer is an HTTP peer whose client can make many connections without a socket and goroutines for each, so that one
// client process can have as many as the server is to be asked about.
type idlePeer interface {
	// manyTransport returns a client that makes a connection of its own for every host name, all of them to addr.
	manyTransport(c *clientEnv) closableTransport
}

// runIdle measures and reports.
func runIdle(w work, peers []string, runs int, size float64, certFile, keyFile string, markdown bool) {
	samples := map[string][]idleSample{}
	peers = slices.DeleteFunc(peers, func(p string) bool {
		_, ok := httpPeers[p].(idlePeer)
		return !ok
	})
	for run := range runs {
		for _, p := range peers {
			s, err := measureIdle(p, w, size, certFile, keyFile)
			if err != nil {
				fmt.Fprintf(os.Stderr, "bench: %s of %s, run %d: %v\n", w.name, p, run+1, err)
				continue
			}
			samples[p] = append(samples[p], s)
		}
	}
	reportIdle(os.Stdout, w, peers, samples, markdown)
}

// idleRest is how long both sides rest before they are measured. idleLimit bounds the time from the first connection to the
// end of the rest: some peers' connections time out after 30 s.
const (
	idleRest  = 3 * time.Second
	idleLimit = 28 * time.Second
)

// footprint is what a process holds.
type footprint struct {
	RSS        int64 // bytes
	Goroutines int
}

// rest waits, gives back what is free, and measures.
func rest() footprint {
	time.Sleep(idleRest)
	debug.FreeOSMemory()
	f := footprint{Goroutines: runtime.NumGoroutine()}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if kb, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(kb), "kB")), 10, 64)
			if err != nil {
				fatal(err)
			}
			f.RSS = n << 10
		}
	}
	return f
}

// heapProfile writes what is in use to the file that the environment names for a role.
func heapProfile(role string) {
	dir := os.Getenv("BENCH_PROFILE")
	if dir == "" {
		return
	}
	for _, kind := range []string{"heap", "goroutine"} {
		f, err := os.Create(dir + "/" + role + "-" + kind + ".pprof")
		if err != nil {
			fatal(err)
		}
		pprof.Lookup(kind).WriteTo(f, 0)
		f.Close()
	}
}

// idle makes size connections, and keeps them until standard input ends; for each line there it rests and reports.
func idle(c *clientEnv) (float64, error) {
	t := httpPeers[c.peer].(idlePeer).manyTransport(c)
	defer t.Close()
	_, port, _ := strings.Cut(c.addr, ":")
	c.report(rest())
	began := time.Now()
	var next atomic.Int64
	_, err := parallel(handshakesAtOnce, func(int) (int, error) {
		buf := make([]byte, 512)
		for n := next.Add(1); n <= int64(c.size); n = next.Add(1) {
			if err := get(t, fmt.Sprintf("c%d.localhost:%s", n, port), smallAnswer, buf); err != nil {
				return 0, err
			}
		}
		return 0, nil
	})
	if err != nil {
		return 0, err
	}
	c.start()
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		f := rest()
		if took := time.Since(began); took > idleLimit {
			return 0, fmt.Errorf("%v is too long for connections to stay: take fewer", took)
		}
		c.report(f)
		heapProfile("client")
	}
	return c.size, nil
}

// idleSample is one run of the work idle.
type idleSample struct {
	conns          float64
	server, client [2]footprint // without connections and with them
}

func (s *idleSample) kilobytes(f [2]footprint) float64 {
	return float64(f[1].RSS-f[0].RSS) / 1000 / s.conns
}

func (s *idleSample) goroutines(f [2]footprint) float64 {
	return float64(f[1].Goroutines-f[0].Goroutines) / s.conns
}

// measureIdle runs a server and a client of a peer once.
func measureIdle(peer string, w work, size float64, certFile, keyFile string) (s idleSample, err error) {
	s.conns = size
	server, err := start(nil, "-role", "server", "-peers", peer, "-work", w.name, "-cert", certFile, "-key", keyFile)
	if err != nil {
		return s, err
	}
	defer server.stop()
	var addr string
	if err := server.out.Decode(&addr); err != nil {
		return s, fmt.Errorf("%s server: %w", peer, err)
	}
	ask := func(p *process, f *footprint) error {
		if _, err := io.WriteString(p.in, "rest\n"); err != nil {
			return err
		}
		return p.out.Decode(f)
	}
	if err := ask(server, &s.server[0]); err != nil {
		return s, fmt.Errorf("%s server: %w", peer, err)
	}
	client, err := start(nil, "-role", "client", "-peers", peer, "-work", w.name, "-cert", certFile, "-addr", addr, "-size", fmt.Sprint(size))
	if err != nil {
		return s, err
	}
	defer client.stop()
	var began string
	if err := client.out.Decode(&s.client[0]); err != nil {
		return s, fmt.Errorf("%s client: %w", peer, err)
	}
	if err := client.out.Decode(&began); err != nil {
		return s, fmt.Errorf("%s client: %w", peer, err)
	}
	if _, err := io.WriteString(client.in, "rest\n"); err != nil {
		return s, err
	}
	if err := ask(server, &s.server[1]); err != nil {
		return s, fmt.Errorf("%s server: %w", peer, err)
	}
	if err := client.out.Decode(&s.client[1]); err != nil {
		return s, fmt.Errorf("%s client: %w", peer, err)
	}
	return s, nil
}

// reportIdle prints the medians.
func reportIdle(out io.Writer, w work, peers []string, samples map[string][]idleSample, markdown bool) {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	row := func(cells ...string) {
		if markdown {
			fmt.Fprintf(out, "| %s |\n", strings.Join(cells, " | "))
		} else {
			fmt.Fprintln(t, strings.Join(cells, "\t"))
		}
	}
	fmt.Fprintf(out, "\n%s\n\n", w.name)
	row("peer", "connections", "server KB each", "±%", "client KB each", "server goroutines each", "client")
	if markdown {
		row(strings.Split(strings.Repeat("---,", 6)+"---", ",")...)
	}
	for _, p := range peers {
		s := samples[p]
		if len(s) == 0 {
			row(p, "failed")
			continue
		}
		server, spread := median(s, func(s idleSample) float64 { return s.kilobytes(s.server) })
		client, _ := median(s, func(s idleSample) float64 { return s.kilobytes(s.client) })
		sg, _ := median(s, func(s idleSample) float64 { return s.goroutines(s.server) })
		cg, _ := median(s, func(s idleSample) float64 { return s.goroutines(s.client) })
		row(p, fmt.Sprintf("%.0f", s[0].conns), fmt.Sprintf("%.1f", server), fmt.Sprintf("%.0f", spread),
			fmt.Sprintf("%.1f", client), fmt.Sprintf("%.2f", sg), fmt.Sprintf("%.2f", cg))
	}
	t.Flush()
}
