package main

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"runtime/pprof"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// The program runs itself as a server and as a client. A server prints its address; then for every line on its standard
// input it prints its usage so far, or for the work idle its footprint after as long a rest as the line says. A client prints "start" when its connections stand and
// measuring begins, and a result when it has measured; some works do both several times, and of two starts in a row the last
// one counts. All lines are JSON. What goes wrong a child says on standard error, of which its parent keeps the end.

// usage is what a process has consumed so far.
type usage struct {
	CPU     time.Duration
	Mallocs uint64
	RSS     int64 // bytes
}

func usageNow() usage {
	var ru syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &ru); err != nil {
		panic(err)
	}
	var ms runtime.MemStats
	runtime.ReadMemStats(&ms)
	return usage{
		CPU:     time.Duration(ru.Utime.Nano() + ru.Stime.Nano()),
		Mallocs: ms.Mallocs,
		RSS:     ru.Maxrss << 10,
	}
}

func (u usage) sub(v usage) usage { return usage{u.CPU - v.CPU, u.Mallocs - v.Mallocs, u.RSS} }

// result is what a client measured.
type result struct {
	// Phase tells the measurements of one run apart, where a work has several.
	Phase          string `json:",omitempty"`
	Units          float64
	Lost           float64 `json:",omitempty"` // of the units that were sent, the share that did not arrive
	Elapsed        time.Duration
	Client         usage
	Simulator      time.Duration `json:",omitempty"` // CPU time that it took beside the connections, in growth-window
	P50, P99, P999 time.Duration
}

// profile writes a CPU profile of this process to the file that the environment names for its role.
func profile(role string) (stop func()) {
	dir := os.Getenv("BENCH_PROFILE")
	if dir == "" {
		return func() {}
	}
	f, err := os.Create(dir + "/" + role + ".pprof")
	if err != nil {
		fatal(err)
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		fatal(err)
	}
	return func() { pprof.StopCPUProfile(); f.Close() }
}

// child is what a process needs to know to be a server or a client.
type child struct {
	peer              string
	work              work
	addr              string // the server's
	host              string // where a server listens
	certFile, keyFile string
	size              float64
	grow              int
	rest              time.Duration
	tun               string
}

func (c *child) serve() error {
	cert, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return err
	}
	if err := c.enterNetwork(); err != nil {
		return err
	}
	cfg := serverConfig{addr: c.host + ":0", cert: cert}
	if c.work.name == growthStreams {
		cfg.streams = c.grow + 2*growthActive
	}
	addr, err := c.servePeer(cfg)
	if err != nil {
		return err
	}
	if c.work.kind != kindIdle {
		defer profile("server")()
	}
	out := json.NewEncoder(os.Stdout)
	if err := out.Encode(addr); err != nil {
		return err
	}
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		if c.work.kind == kindIdle {
			var d time.Duration
			if d, err = time.ParseDuration(in.Text()); err == nil {
				err = out.Encode(rest(d))
			}
			heapProfile("server")
		} else {
			err = out.Encode(usageNow())
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// servePeer starts the peer's server for the work.
func (c *child) servePeer(cfg serverConfig) (addr string, err error) {
	if floor, ok := floors[c.work.name][c.peer]; ok {
		return floor.serve(cfg)
	}
	switch c.work.kind {
	case kindRaw, kindLossy:
		return rawPeers[c.peer].serve(cfg)
	case kindEarly:
		return earlyPeers[c.peer].serveEarly(cfg, http.HandlerFunc(earlyHandler))
	case kindDatagram:
		return serveDatagrams(c.peer, cfg)
	}
	return httpPeers[c.peer].serve(cfg, http.HandlerFunc(handler))
}

// accept calls handle for each connection of l, in the background.
func accept(l net.Listener, handle func(net.Conn)) {
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				handle(c)
			}()
		}
	}()
}

func (c *child) run() error {
	pool := x509.NewCertPool()
	pem, err := os.ReadFile(c.certFile)
	if err != nil {
		return err
	}
	pool.AppendCertsFromPEM(pem)
	if err := c.enterNetwork(); err != nil {
		return err
	}
	out := json.NewEncoder(os.Stdout)
	if c.work.kind != kindIdle {
		defer profile("client")()
	}
	env := &clientEnv{
		peer: c.peer, addr: c.addr, size: c.size, grow: c.grow, rest: c.rest, lat: new(histogram),
		tls: &tls.Config{RootCAs: pool, ServerName: "localhost", MinVersion: tls.VersionTLS13},
		out: out,
	}
	do := c.work.run
	if floor, ok := floors[c.work.name][c.peer]; ok {
		do = floor.run
	}
	units, err := do(env)
	if err == nil && units > 0 && c.work.kind != kindIdle {
		env.finish("", units)
	}
	return err
}

// process is a child with JSON lines on its standard output.
type process struct {
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *json.Decoder
	errs tail
}

// childEnv marks the environment of a child: a test binary then runs main.
const childEnv = "BENCH_CHILD"

// start runs this program again. attr may be nil.
func start(attr *syscall.SysProcAttr, args ...string) (*process, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &process{cmd: exec.Command(exe, args...)}
	p.cmd.SysProcAttr = attr
	p.cmd.Env = append(os.Environ(), childEnv+"=1")
	p.cmd.Stderr = &p.errs
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.out = json.NewDecoder(stdout)
	return p, p.cmd.Start()
}

// stop ends a process whose work is done.
func (p *process) stop() {
	p.in.Close()
	t := time.AfterFunc(5*time.Second, func() { p.cmd.Process.Kill() })
	p.cmd.Wait()
	t.Stop()
}

// why makes one line of what a process said when reading from it failed with err.
func (p *process) why(who string, err error) error {
	p.stop()
	if line := p.errs.line(); line != "" {
		return fmt.Errorf("%s: %s", who, line)
	}
	return fmt.Errorf("%s: %w (%v)", who, err, p.cmd.ProcessState)
}

// tail keeps the end of what is written to it, and the line that says why a program gave up.
type tail struct {
	mu     sync.Mutex
	reason string
	rest   []byte // of a line that is not complete
	last   string
}

// tailLine bounds what is kept of a line.
const tailLine = 400

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for line := range bytes.Lines(p) {
		t.rest = append(t.rest, line[:min(len(line), tailLine-min(tailLine, len(t.rest)))]...)
		if line[len(line)-1] == '\n' {
			t.note()
		}
	}
	return len(p), nil
}

func (t *tail) note() {
	line := strings.TrimSpace(string(t.rest))
	t.rest = t.rest[:0]
	for _, start := range []string{"bench: ", "panic: ", "fatal error: "} {
		if text, ok := strings.CutPrefix(line, start); ok && t.reason == "" {
			t.reason = text
		}
	}
	if line != "" {
		t.last = line
	}
}

// line returns the first line that is the program's own or a panic's, or else the last one.
func (t *tail) line() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.note()
	return cmp.Or(t.reason, t.last)
}

// usage asks a server what it has consumed.
func (p *process) usage() (u usage, err error) {
	if _, err = fmt.Fprintln(p.in); err == nil {
		err = p.out.Decode(&u)
	}
	return u, err
}

// sample is one measurement of one peer at one work.
type sample struct {
	result
	Server usage
	Idle   *idleSample `json:",omitempty"` // of the work idle, instead of everything else
}

// runLimit bounds the time of one run.
const runLimit = 3 * time.Minute

// args are the arguments of a child for a run.
func (r *run) args(role string, more ...string) []string {
	return append([]string{"-role", role, "-peers", r.peer, "-work", r.work.name, "-cert", r.certFile, "-key", r.keyFile,
		"-size", fmt.Sprint(r.size), "-grow", strconv.Itoa(r.grow), "-rest", r.rest.String()}, more...)
}

// run is one run of a peer at a work.
type run struct {
	*settings
	work   work
	peer   string
	size   float64
	number int
}

// measure runs a server and a client of a peer once.
func (r *run) measure() ([]sample, error) {
	switch r.work.kind {
	case kindIdle:
		return r.measureIdle()
	case kindWindow:
		return r.measureAlone()
	case kindLossy:
		return r.measureLossy()
	}
	server, addr, err := r.server()
	if err != nil {
		return nil, err
	}
	defer server.stop()
	client, err := start(nil, r.args("client", "-addr", addr)...)
	if err != nil {
		return nil, err
	}
	defer client.stop()
	return follow(client, server)
}

// server starts the peer's server and returns where it listens.
func (r *run) server() (*process, string, error) {
	p, err := start(nil, r.args("server")...)
	if err != nil {
		return nil, "", err
	}
	addr, err := p.address()
	return p, addr, err
}

// address returns what a server says first. If it does not, it is stopped.
func (p *process) address() (addr string, err error) {
	if err = p.out.Decode(&addr); err != nil {
		err = p.why("server", err)
	}
	return addr, err
}

// measureAlone runs a work that has both sides in one process.
func (r *run) measureAlone() ([]sample, error) {
	client, err := start(nil, r.args("client")...)
	if err != nil {
		return nil, err
	}
	defer client.stop()
	return follow(client, nil)
}

// follow reads what a client measures until it ends, and asks its server, if it has one, for its share.
func follow(client, server *process) (samples []sample, err error) {
	limit := time.AfterFunc(runLimit, func() { client.cmd.Process.Kill() })
	defer limit.Stop()
	serverUsage := func() (u usage, err error) {
		if server != nil {
			if u, err = server.usage(); err != nil {
				err = server.why("server", err)
			}
		}
		return u, err
	}
	var before usage
	for {
		var line json.RawMessage
		if err := client.out.Decode(&line); err == io.EOF && len(samples) > 0 {
			break
		} else if err != nil {
			return nil, client.why("client", err)
		}
		if string(line) == `"start"` {
			if before, err = serverUsage(); err != nil {
				return nil, err
			}
			continue
		}
		var s sample
		if err := json.Unmarshal(line, &s.result); err != nil {
			return nil, fmt.Errorf("client: %w", err)
		}
		after, err := serverUsage()
		if err != nil {
			return nil, err
		}
		s.Server = after.sub(before)
		samples = append(samples, s)
	}
	client.stop()
	if !client.cmd.ProcessState.Success() {
		return nil, client.why("client", io.ErrUnexpectedEOF)
	}
	return samples, nil
}

// writeCert makes the certificate that all servers use: ECDSA P-256 for localhost.
func writeCert(dir string) (certFile, keyFile string, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", "", err
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		return "", "", err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return "", "", err
	}
	certFile, keyFile = dir+"/cert.pem", dir+"/key.pem"
	if err := writePEM(certFile, "CERTIFICATE", der); err != nil {
		return "", "", err
	}
	return certFile, keyFile, writePEM(keyFile, "PRIVATE KEY", pkcs8)
}

func writePEM(file, kind string, der []byte) error {
	return os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
}
