package main

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"runtime/pprof"
	"syscall"
	"time"
)

// The program runs itself as a server and as a client. A server prints its address; then for every line on its standard
// input it prints its usage so far, or for the work idle its footprint. A client prints a line when its connections stand and measuring begins, and at the
// end its result. All lines are JSON.

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
	Units          float64
	Elapsed        time.Duration
	Client         usage
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

func runServer(peer, kind, certFile, keyFile string) {
	cert, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		fatal(err)
	}
	var addr string
	if kind != "raw" {
		addr, err = httpPeers[peer].serve(cert, http.HandlerFunc(handler))
	} else {
		addr, err = rawPeers[peer].serve(cert)
	}
	if err != nil {
		fatal(err)
	}
	if kind != "idle" {
		defer profile("server")()
	}
	out := json.NewEncoder(os.Stdout)
	out.Encode(addr)
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		if kind == "idle" {
			out.Encode(rest())
			heapProfile("server")
		} else {
			out.Encode(usageNow())
		}
	}
}

func runClient(peer string, w work, addr, certFile string, size float64) {
	pool := x509.NewCertPool()
	pem, err := os.ReadFile(certFile)
	if err != nil {
		fatal(err)
	}
	pool.AppendCertsFromPEM(pem)
	out := json.NewEncoder(os.Stdout)
	var began time.Time
	var before usage
	stop := func() {}
	env := &clientEnv{
		peer: peer, addr: addr, size: size, lat: new(histogram),
		tls:    &tls.Config{RootCAs: pool, ServerName: "localhost", MinVersion: tls.VersionTLS13},
		report: func(f footprint) { out.Encode(f) },
		start: func() {
			out.Encode("start")
			if w.kind == "idle" {
				return
			}
			stop = profile("client")
			before, began = usageNow(), time.Now()
		},
	}
	units, err := w.run(env)
	if err != nil {
		fatal(err)
	}
	if w.kind == "idle" {
		return
	}
	elapsed := time.Since(began)
	used := usageNow().sub(before)
	stop()
	out.Encode(result{units, elapsed, used, env.lat.quantile(.5), env.lat.quantile(.99), env.lat.quantile(.999)})
}

// process is a child with JSON lines on its standard output.
type process struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *json.Decoder
}

func start(env []string, args ...string) (*process, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &process{cmd: exec.Command(exe, args...)}
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stderr = os.Stderr
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

// stop ends a server.
func (p *process) stop() {
	p.in.Close()
	t := time.AfterFunc(5*time.Second, func() { p.cmd.Process.Kill() })
	p.cmd.Wait()
	t.Stop()
}

// usage asks a server what it has consumed.
func (p *process) usage() (u usage, err error) {
	if _, err = fmt.Fprintln(p.in); err == nil {
		err = p.out.Decode(&u)
	}
	return u, err
}

// sample is one run of one peer at one work.
type sample struct {
	result
	Server usage
}

// measure runs a server and a client of a peer once.
func measure(peer string, w work, size float64, certFile, keyFile string) (s sample, err error) {
	server, err := start(nil, "-role", "server", "-peers", peer, "-work", w.name, "-cert", certFile, "-key", keyFile)
	if err != nil {
		return s, err
	}
	defer server.stop()
	var addr string
	if err := server.out.Decode(&addr); err != nil {
		return s, fmt.Errorf("%s server: %w", peer, err)
	}
	client, err := start(nil, "-role", "client", "-peers", peer, "-work", w.name, "-cert", certFile, "-addr", addr,
		"-size", fmt.Sprint(size))
	if err != nil {
		return s, err
	}
	defer client.stop()
	limit := time.AfterFunc(2*time.Minute, func() { client.cmd.Process.Signal(syscall.SIGQUIT) })
	defer limit.Stop()
	var began string
	if err := client.out.Decode(&began); err != nil {
		return s, fmt.Errorf("%s client: %w", peer, err)
	}
	before, err := server.usage()
	if err != nil {
		return s, err
	}
	if err := client.out.Decode(&s.result); err != nil {
		return s, fmt.Errorf("%s client: %w", peer, err)
	}
	after, err := server.usage()
	s.Server = after.sub(before)
	return s, err
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
