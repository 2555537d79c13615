//go:build unix

package engine

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/dunlin-quic/dunlin/udp"
)

// successor makes the test's process a server on the sockets that it was started with, until its standard input ends.
const successor = "DUNLIN_TEST_SUCCESSOR"

// TestSuccessor is the other process of TestRestart.
func TestSuccessor(t *testing.T) {
	if os.Getenv(successor) == "" {
		t.Skip("for TestRestart")
	}
	sockets, err := udp.Inherited(nil)
	if err != nil || len(sockets) != 1 {
		t.Fatal(len(sockets), " sockets: ", err)
	}
	if again, err := udp.Inherited(nil); err != nil || len(again) != 0 {
		t.Error("the sockets are there twice: ", err)
	}
	fmt.Println("ready")
	os.Stdin.Read(make([]byte, 1)) // the word that the predecessor has gone
	e, err := NewEndpoint(nil, sockets...)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if _, err := e.Listen(&ListenConfig{QUIC: serverQUIC(), NewApplication: newEcho}); err != nil {
		t.Fatal(err)
	}
	os.Stdin.Read(make([]byte, 1))
}

// announcingSocket tells when something has been sent.
type announcingSocket struct {
	udp.Socket
	sent chan struct{}
}

func (s *announcingSocket) Send(d udp.Datagrams) error {
	err := s.Socket.Send(d)
	select {
	case s.sent <- struct{}{}:
	default:
	}
	return err
}

// A client that connects while nobody serves finds the next process: its attempt waited in the socket that went from one to the other.
func TestRestart(t *testing.T) {
	s, err := udp.Listen("127.0.0.1:0", &udp.Config{Errors: true})
	if err != nil {
		t.Fatal(err)
	}
	sends := &announcingSocket{Socket: s, sent: make(chan struct{}, 1)}
	client, err := NewEndpoint(nil, sends)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if s, err = udp.Listen("127.0.0.1:0", nil); err != nil {
		t.Fatal(err)
	}
	e, err := NewEndpoint(nil, s)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	l, err := e.Listen(&ListenConfig{QUIC: serverQUIC(), NewApplication: newEcho})
	if err != nil {
		t.Fatal(err)
	}
	a, c := testDial(t, client, l)
	if _, err := a.call(c, []byte("the first")); err != nil {
		t.Fatal(err)
	}

	file, err := udp.File(s)
	if err != nil {
		t.Fatal(err)
	}
	next := exec.Command(os.Args[0], "-test.run", "^TestSuccessor$", "-test.timeout", "60s")
	next.Env = append(os.Environ(), successor+"=1", "LISTEN_FDS=1")
	next.ExtraFiles = []*os.File{file}
	next.Stderr = os.Stderr
	in, err := next.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := next.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := next.Start(); err != nil {
		t.Fatal(err)
	}
	file.Close()
	defer func() {
		in.Close()
		next.Wait()
	}()
	if n, err := out.Read(make([]byte, 100)); n == 0 {
		t.Fatal("the next process does not come up: ", err)
	}

	addr := l.Addr()
	c.Close()
	<-c.Done()
	if err := e.Shutdown(testContext(t)); err != nil {
		t.Fatal(err)
	}
	// Nobody reads the socket now.
	q := clientQUIC()
	q.TLS = q.TLS.Clone()
	q.TLS.InsecureSkipVerify = true // the other process has made itself another certificate
	later := newCaller()
	dialled := make(chan error, 1)
	select {
	case <-sends.sent: // those of the first connection, which has ended
	default:
	}
	var second *Connection
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	go func() {
		var err error
		second, err = client.Dial(ctx, addr, &DialConfig{QUIC: q, NewApplication: later.app})
		dialled <- err
	}()
	<-sends.sent
	in.Write([]byte{1})
	if err := <-dialled; err != nil {
		t.Fatal("the attempt is lost: ", err)
	}
	if got, err := later.call(second, []byte("the second")); err != nil || string(got) != "the second" {
		t.Errorf("%q, %v", got, err)
	}
	second.Close()
}
