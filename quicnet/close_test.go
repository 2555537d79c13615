package quicnet_test

import (
	"errors"
	"io"
	"net"
	"sync"
	"testing"

	"github.com/dunlin-quic/dunlin/quic"
)

// TestCloseWriteDuringWrite ends a stream while a Write waits for the peer to read: CloseWrite does not wait, what the Write
// has still to write arrives, and then the end.
func TestCloseWriteDuringWrite(t *testing.T) {
	server, client := connect(t, quic.Config{}, quic.Config{})
	local, remote := openers[0].open(t, server, client)
	const size = 32 << 20 // more than any window
	written := make(chan error)
	go func() {
		_, err := local.Write(make([]byte, size))
		written <- err
	}()
	if _, err := io.ReadFull(remote, make([]byte, 1)); err != nil { // now the Write waits
		t.Fatal(err)
	}
	if err := local.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if n, err := io.Copy(io.Discard, remote); n != size-1 || err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
	if err := <-written; err != nil {
		t.Error(err)
	}
	if _, err := local.Write([]byte("more")); !errors.Is(err, quic.ErrStreamDone) {
		t.Errorf("a Write after CloseWrite: %v", err)
	}
}

// TestCloseDuringWrites closes streams under several writers, whom the peer's window stops sooner or later: none of them waits
// any more, nor does Close.
func TestCloseDuringWrites(t *testing.T) {
	server, client := connect(t, quic.Config{StreamWindow: 1000}, quic.Config{})
	for range 100 {
		local, remote := openers[0].open(t, server, client)
		var begun, done sync.WaitGroup
		for range 4 {
			begun.Add(1)
			done.Go(func() {
				begun.Done()
				for {
					if _, err := local.Write(make([]byte, 50)); err != nil {
						return
					}
				}
			})
		}
		begun.Wait()
		local.Close()
		done.Wait()
		remote.Close()
	}
}

// TestNetClosed looks at what a net.Conn returns after Close, though bytes and the end had arrived.
func TestNetClosed(t *testing.T) {
	server, client, stop := connectNet(t)
	defer stop()
	io.WriteString(client, "hello")
	client.(interface{ CloseWrite() error }).CloseWrite()
	if _, err := io.ReadFull(server, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	server.Close()
	if n, err := server.Read(make([]byte, 10)); n != 0 || !errors.Is(err, net.ErrClosed) {
		t.Errorf("Read: %d, %v", n, err)
	}
	if n, err := server.Write([]byte("late")); n != 0 || !errors.Is(err, net.ErrClosed) {
		t.Errorf("Write: %d, %v", n, err)
	}
	if err := server.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Close: %v", err)
	}
}
