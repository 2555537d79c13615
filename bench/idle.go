package main

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"strconv"
	"strings"
	"sync/atomic"
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

// A crowd is the connections of a transport of many.
type crowd struct {
	closableTransport
	c          *clientEnv
	handshakes atomic.Int64
}

// crowd returns a transport that makes a connection of its own for every host name.
func (c *clientEnv) crowd() *crowd {
	k := &crowd{c: c}
	c.tls = c.tls.Clone()
	c.tls.VerifyConnection = func(tls.ConnectionState) error {
		k.handshakes.Add(1)
		return nil
	}
	k.closableTransport = httpPeers[c.peer].(idlePeer).manyTransport(c)
	return k
}

// stayed returns an error if the first of the connections of a name is there no more: for having been idle for too long, or too
// many for the transport.
func (k *crowd) stayed(name string) error {
	before := k.handshakes.Load()
	if err := get(k, k.c.hostOf(name, 1), smallAnswer, make([]byte, 512)); err != nil {
		return err
	}
	if k.handshakes.Load() != before {
		return errors.New("idle connections did not stay until they were measured: take fewer")
	}
	return nil
}

// footprint is what a process holds.
type footprint struct {
	RSS        int64 // bytes
	Goroutines int
}

// rest waits for d, gives back what is free, and measures.
func rest(d time.Duration) footprint {
	time.Sleep(d)
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

// idle makes size connections, and keeps them until standard input ends; for a line there it rests and
// reports.
func idle(c *clientEnv) (float64, error) {
	t := c.crowd()
	defer t.Close()
	c.tell(rest(0))
	if err := t.connect("c", int(c.size)); err != nil {
		return 0, err
	}
	c.start()
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		f := rest(c.rest)
		if err := t.stayed("c"); err != nil {
			return 0, err
		}
		c.tell(f)
		heapProfile("client")
	}
	return c.size, nil
}

// connect makes n connections, with one request each.
func (k *crowd) connect(name string, n int) error {
	var next atomic.Int64
	_, err := parallel(handshakesAtOnce, func(int) (int, error) {
		buf := make([]byte, 512)
		for i := next.Add(1); i <= int64(n); i = next.Add(1) {
			if err := get(k, k.c.hostOf(name, int(i)), smallAnswer, buf); err != nil {
				return 0, err
			}
		}
		return 0, nil
	})
	return err
}

// hostOf names one of the connections of a transport of many.
func (c *clientEnv) hostOf(name string, i int) string {
	_, port, _ := strings.Cut(c.addr, ":")
	return fmt.Sprintf("%s%d.localhost:%s", name, i, port)
}

// idleSample is one run of the work idle.
type idleSample struct {
	Connections    float64
	Server, Client [2]footprint // without connections and with them
}

func (s *idleSample) kilobytes(f [2]footprint) float64 {
	return float64(f[1].RSS-f[0].RSS) / 1000 / s.Connections
}

func (s *idleSample) goroutines(f [2]footprint) float64 {
	return float64(f[1].Goroutines-f[0].Goroutines) / s.Connections
}

// measureIdle runs a server and a client of a peer once.
func (r *run) measureIdle() ([]sample, error) {
	s := &idleSample{Connections: r.size}
	server, addr, err := r.server()
	if err != nil {
		return nil, err
	}
	defer server.stop()
	ask := func(p *process, d time.Duration, f *footprint) error {
		if _, err := fmt.Fprintln(p.in, d); err != nil {
			return err
		}
		return p.out.Decode(f)
	}
	if err := ask(server, 0, &s.Server[0]); err != nil {
		return nil, server.why("server", err)
	}
	client, err := start(nil, r.args("client", "-addr", addr)...)
	if err != nil {
		return nil, err
	}
	defer client.stop()
	var began string
	if err := client.out.Decode(&s.Client[0]); err != nil {
		return nil, client.why("client", err)
	}
	if err := client.out.Decode(&began); err != nil {
		return nil, client.why("client", err)
	}
	// Both rest at the same time.
	if _, err := fmt.Fprintln(client.in, r.rest); err != nil {
		return nil, client.why("client", err)
	}
	if err := ask(server, r.rest, &s.Server[1]); err != nil {
		return nil, server.why("server", err)
	}
	if err := client.out.Decode(&s.Client[1]); err != nil {
		return nil, client.why("client", err)
	}
	return []sample{{Idle: s}}, nil
}
