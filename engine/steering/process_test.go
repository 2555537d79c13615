//go:build linux

package steering

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dunlin-quic/dunlin/engine"
)

// memberProcess makes the test's process a member and an echo server, with the Config in its value, that does what the lines of
// its standard input say.
const memberProcess = "DUNLIN_TEST_MEMBER"

// report is what such a process says of itself.
type report struct {
	Err      string `json:",omitempty"`
	Number   uint8
	Addr     netip.AddrPort
	NoKernel string `json:",omitempty"` // why
	Stats    Stats
	Accepted uint64
	Refused  uint64
	Left     int // connections
}

// TestMemberProcess is the other process of the tests below.
func TestMemberProcess(t *testing.T) {
	config := os.Getenv(memberProcess)
	if config == "" {
		t.Skip("for the tests that start it")
	}
	var cfg Config
	if err := json.Unmarshal([]byte(config), &cfg); err != nil {
		t.Fatal(err)
	}
	answer := json.NewEncoder(os.Stdout)
	m, err := Join(&cfg)
	if err != nil {
		answer.Encode(report{Err: err.Error()})
		t.Fatal(err)
	}
	e, err := serve(m)
	if err != nil {
		m.Close()
		t.Fatal(err)
	}
	defer e.Close()
	tell := func(err error) {
		r := report{Number: m.Number(), Addr: m.Addrs()[0], Stats: m.Stats()}
		if why := m.Kernel(); why != nil {
			r.NoKernel = why.Error()
		}
		if err != nil {
			r.Err = err.Error()
		}
		st := e.Stats()
		r.Accepted, r.Refused, r.Left = st.Accepted, st.Refused, st.Connections
		answer.Encode(r)
	}
	tell(nil)
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		switch lines.Text() {
		case "stats":
			tell(nil)
		case "drain":
			tell(m.Drain())
		case "shutdown":
			ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
			tell(e.Shutdown(ctx))
			cancel()
		}
	}
}

// process is one that runs TestMemberProcess.
type process struct {
	cmd     *exec.Cmd
	in      io.WriteCloser
	answers *json.Decoder
	started report
}

func startProcess(t *testing.T, cfg Config) *process {
	t.Helper()
	config, err := json.Marshal(cfg)
	if err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: exec.Command(os.Args[0], "-test.run", "^TestMemberProcess$", "-test.timeout", "120s")}
	p.cmd.Env = append(os.Environ(), memberProcess+"="+string(config))
	p.cmd.Stderr = os.Stderr
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.answers = json.NewDecoder(out)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.stop() })
	p.started = p.answer(t)
	return p
}

// stop lets the process end.
func (p *process) stop() {
	p.in.Close()
	p.cmd.Process.Signal(os.Interrupt)
	p.cmd.Wait()
}

func (p *process) answer(t *testing.T) (r report) {
	t.Helper()
	if err := p.answers.Decode(&r); err != nil {
		t.Fatal("the other process does not answer: ", err)
	}
	if r.Err != "" {
		t.Fatal("the other process: ", r.Err)
	}
	return r
}

// ask says a word to the process and returns its answer.
func (p *process) ask(t *testing.T, word string) report {
	t.Helper()
	fmt.Fprintln(p.in, word)
	return p.answer(t)
}

// groupOf starts the first process of a group, and returns the Config of the others.
func groupOf(t *testing.T, noKernel bool) (*process, Config) {
	t.Helper()
	cfg := Config{Dir: t.TempDir(), Addresses: []string{"127.0.0.1:0"}, NoKernel: noKernel}
	p := startProcess(t, cfg)
	cfg.Addresses[0] = p.started.Addr.String()
	return p, cfg
}

// Clients that move find their connection in another process.
func TestMigrateAcrossProcesses(t *testing.T) {
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			if !way.noKernel {
				needKernel(t, testJoin(t, t.TempDir(), netip.AddrPort{}, Config{}))
			}
			first, cfg := groupOf(t, way.noKernel)
			second := startProcess(t, cfg)
			const clients = 6
			travel(t, first.started.Addr, clients)
			var passed, accepted uint64
			for _, p := range []*process{first, second} {
				r := p.ask(t, "stats")
				passed, accepted = passed+r.Stats.Passed, accepted+r.Accepted
				if r.Stats.Kernel == way.noKernel {
					t.Errorf("%+v", r)
				}
			}
			if accepted != clients || (passed > 0) != way.noKernel {
				t.Errorf("%d connections accepted, %d datagrams passed on", accepted, passed)
			}
		})
	}
}

// Servers restart under load: no attempt is refused or lost, no connection is cut, and what an old process has begun it ends.
func TestRestartUnderLoad(t *testing.T) {
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			if !way.noKernel {
				needKernel(t, testJoin(t, t.TempDir(), netip.AddrPort{}, Config{}))
			}
			server, cfg := groupOf(t, way.noKernel)
			const clients, restarts = 4, 3
			load := startLoad(t, server.started.Addr, clients)
			for range restarts {
				load.more(t)
				stays, err := dial(testContext(t), newClient(t), server.started.Addr)
				if err != nil {
					t.Fatal(err)
				}
				next := startProcess(t, cfg)
				if before := server.ask(t, "drain"); before.Left == 0 {
					t.Errorf("the connection that stays is not there: %+v", before)
				}
				load.more(t)
				if err := stays.call(10_000); err != nil {
					t.Errorf("a connection of the old process: %v", err)
				}
				fmt.Fprintln(server.in, "shutdown")
				load.more(t)
				if err := stays.call(10_000); err != nil {
					t.Errorf("a connection of the old process, which ends: %v", err)
				}
				stays.c.Close()
				<-stays.c.Done()
				end := server.answer(t)
				// In the kernel's way nothing is passed on but the attempts that waited in the socket, of which each client has one
				// at a time; in the other way it is some packets of every second attempt.
				if end.Accepted == 0 || end.Refused != 0 || end.Left != 0 || (end.Stats.Passed > 5*clients) != way.noKernel {
					t.Errorf("at the end of process %d: %+v", end.Number, end)
				}
				server.stop()
				load.more(t)
				server = next
			}
			load.stop()
			if r := server.ask(t, "stats"); r.Accepted == 0 || r.Stats.Kernel == way.noKernel {
				t.Errorf("the last process: %+v", r)
			}
			t.Logf("%d connections", load.done.Load())
		})
	}
}

// load is clients that connect, call and close, over and over.
type load struct {
	done  atomic.Int64
	round chan struct{} // gets one after each
	stop  func()
}

func startLoad(t *testing.T, to netip.AddrPort, clients int) *load {
	l := &load{round: make(chan struct{})}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	l.stop = sync.OnceFunc(func() {
		cancel()
		wg.Wait()
	})
	t.Cleanup(l.stop)
	for range clients {
		e := newClient(t)
		wg.Go(func() {
			for ctx.Err() == nil {
				if err := visit(e, to); err != nil {
					t.Error(err)
					cancel()
				}
				l.done.Add(1)
				select {
				case l.round <- struct{}{}:
				default:
				}
			}
		})
	}
	return l
}

// more waits for some more clients that have been and gone.
func (l *load) more(t *testing.T) {
	t.Helper()
	for range 20 {
		select {
		case <-l.round:
		case <-time.After(20 * time.Second):
			t.Fatal("the clients get nowhere")
		}
	}
}

// visit is one client: it connects, calls, and closes.
func visit(e *engine.Endpoint, to netip.AddrPort) error {
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	a, err := dial(ctx, e, to)
	if err != nil {
		return fmt.Errorf("an attempt failed: %w", err)
	}
	for range 3 {
		if err := a.call(5_000); err != nil {
			return fmt.Errorf("a call failed: %w", err)
		}
	}
	a.c.Close()
	<-a.c.Done()
	return nil
}

// The kernel's refusal is told, and members go on without it.
func TestKernelNotPermitted(t *testing.T) {
	if err := testJoin(t, t.TempDir(), netip.AddrPort{}, Config{NoKernel: true}).Kernel(); !errors.Is(err, errNoKernel) ||
		!strings.Contains(err.Error(), "config") {
		t.Error(err)
	}
	// A member that could is bound by those who are there.
	dir := t.TempDir()
	m := testJoin(t, dir, netip.AddrPort{}, Config{NoKernel: true})
	if err := testJoin(t, dir, m.Addrs()[0], Config{}).Kernel(); !errors.Is(err, errNoMaps) {
		t.Error(err)
	}
	// Maps are by address.
	dir = t.TempDir()
	m = testJoin(t, dir, netip.AddrPort{}, Config{})
	needKernel(t, m)
	other := Config{Addresses: []string{m.Addrs()[0].String(), "127.0.0.1:0"}}
	if err := testJoin(t, dir, netip.AddrPort{}, other).Kernel(); err == nil || !strings.Contains(err.Error(), "1 address") {
		t.Error(err)
	}
}
