package interop

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"testing"

	"github.com/dunlin-quic/dunlin/http3"
)

// mortalEnv makes this test binary a server of the soak instead: "ADDRESS CERTIFICATE-FILE KEY-FILE".
const mortalEnv = "DUNLIN_MORTAL"

// mortal is a server of a soak in a process of its own, to be killed.
type mortal struct {
	t      *testing.T
	ledger *ledger
	addr   netip.AddrPort // once it has started
	life   int
	*exec.Cmd
	hold io.Closer     // its input, at whose end it ends by itself
	read chan struct{} // closed when all that it said is in the ledger
}

func newMortal(t *testing.T, l *ledger) *mortal {
	return &mortal{t: t, ledger: l, addr: netip.MustParseAddrPort("127.0.0.1:0")}
}

func (m *mortal) start() {
	m.t.Helper()
	id := testIdentity(m.t)
	m.Cmd = exec.Command(os.Args[0])
	m.Env = append(os.Environ(), fmt.Sprintf("%s=%s %s %s", mortalEnv, m.addr, id.certFile, id.keyFile))
	m.Stderr = os.Stderr
	in, err := m.StdinPipe()
	if err != nil {
		m.t.Fatal(err)
	}
	out, err := m.StdoutPipe()
	if err != nil {
		m.t.Fatal(err)
	}
	if err := m.Start(); err != nil {
		m.t.Fatal(err)
	}
	m.hold = in
	lines := bufio.NewScanner(out)
	if !lines.Scan() {
		m.t.Fatalf("the server to be killed does not start: %v, %v", lines.Err(), m.Wait())
	}
	m.addr = netip.MustParseAddrPort(lines.Text())
	m.life = m.ledger.newLife()
	m.read = make(chan struct{})
	go func(life int, read chan struct{}) {
		defer close(read)
		for lines.Scan() {
			var request uint64
			var uploaded string
			if _, err := fmt.Sscan(lines.Text(), &request, &uploaded); err != nil {
				m.t.Errorf("the server to be killed says %q", lines.Text())
				return
			}
			m.ledger.note(request, func(e *entry) {
				e.life = life
				e.handled++
				e.answered, e.uploaded = true, uploaded
			})
		}
	}(m.life, m.read)
}

func (m *mortal) kill() {
	m.ledger.endLife(m.life, false)
	m.Process.Kill()
	<-m.read
	m.Wait()
	m.hold.Close()
}

// runMortal serves until the process is killed, and says on its output where, and what it has answered before it does so.
func runMortal() {
	var addr, certFile, keyFile string
	err := func() error {
		if _, err := fmt.Sscan(os.Getenv(mortalEnv), &addr, &certFile, &keyFile); err != nil {
			return err
		}
		cert, err := tls.LoadX509KeyPair(certFile, keyFile)
		if err != nil {
			return err
		}
		listener, err := http3.Listen(addr)
		if err != nil {
			return err
		}
		fmt.Println(listener.Addr())
		go func() {
			io.Copy(io.Discard, os.Stdin) // ends with the test, however that ends
			os.Exit(0)
		}()
		l := newLedger(nil)
		l.tell = func(id uint64, uploaded string) { fmt.Println(id, uploaded) }
		return serveSoak(cert, l, l.newLife()).Serve(listener)
	}()
	fmt.Fprintln(os.Stderr, "the server to be killed:", err)
	os.Exit(1)
}
