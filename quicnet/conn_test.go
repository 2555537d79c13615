package quicnet_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/dunlin-quic/dunlin/quic"
	"github.com/dunlin-quic/dunlin/quicnet"
)

// opener opens streams of one kind at one end and accepts them at the other.
type opener struct {
	name    string
	uni     bool
	reverse bool // the server opens
}

var openers = []opener{{"bidi by client", false, false}, {"bidi by server", false, true}, {"uni by client", true, false}, {"uni by server", true, true}}

// open returns both ends of a stream on which the first byte is sent.
func (o opener) open(t *testing.T, server, client *quicnet.Conn) (local, remote *quicnet.Stream) {
	t.Helper()
	ctx := testContext(t)
	from, to := client, server
	if o.reverse {
		from, to = server, client
	}
	open, accept := from.OpenStream, to.AcceptStream
	if o.uni {
		open, accept = from.OpenUniStream, to.AcceptUniStream
	}
	local, err := open(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := local.Write([]byte{'!'}); err != nil {
		t.Fatal(err)
	}
	if remote, err = accept(ctx); err != nil {
		t.Fatal(err)
	}
	if local.ID() != remote.ID() {
		t.Fatalf("opened %d, accepted %d", local.ID(), remote.ID())
	}
	if _, err := io.ReadFull(remote, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	return local, remote
}

func pattern(n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(i ^ i>>8 ^ i>>16)
	}
	return p
}

// TestTransfer sends bodies of many lengths around the sizes of buffers and windows, on streams of every kind.
func TestTransfer(t *testing.T) {
	server, client := connect(t, quic.Config{StreamWindow: 100_000}, quic.Config{StreamWindow: 100_000})
	for _, o := range openers {
		for _, n := range []int{0, 1, 1200, 64<<10 - 1, 64 << 10, 64<<10 + 1, 100_000, 1 << 20} {
			t.Run(fmt.Sprint(o.name, " ", n), func(t *testing.T) {
				local, remote := o.open(t, server, client)
				want := pattern(n)
				go func() {
					local.Write(want)
					local.CloseWrite()
				}()
				if got, err := io.ReadAll(remote); err != nil || !bytes.Equal(got, want) {
					t.Errorf("%d bytes arrived, %v", len(got), err)
				}
				if n, err := remote.Read(make([]byte, 1)); n != 0 || err != io.EOF {
					t.Errorf("after the end: %d, %v", n, err)
				}
				if _, err := local.Write([]byte{1}); !errors.Is(err, quic.ErrStreamDone) {
					t.Errorf("write after the end: %v", err)
				}
				if o.uni {
					_, read := local.Read(make([]byte, 1))
					_, write := remote.Write([]byte{1})
					if !errors.Is(read, quic.ErrDirection) || !errors.Is(write, quic.ErrDirection) {
						t.Errorf("the wrong direction: %v, %v", read, write)
					}
				}
			})
		}
	}
}

// TestManyStreams has more goroutines with a stream each than the peer allows at a time.
func TestManyStreams(t *testing.T) {
	server, client := connect(t, quic.Config{MaxBidiStreams: 10}, quic.Config{})
	ctx := testContext(t)
	go func() {
		for {
			s, err := server.AcceptStream(ctx)
			if err != nil {
				return
			}
			go func() {
				defer s.Close()
				io.Copy(s, s)
			}()
		}
	}()
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			s, err := client.OpenStream(ctx)
			if err != nil {
				t.Error(err)
				return
			}
			want := pattern(1 + i*100)
			if _, err := s.Write(want); err != nil {
				t.Error(err)
			}
			s.CloseWrite()
			if got, err := io.ReadAll(s); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%d: %d bytes came back as %d, %v", i, len(want), len(got), err)
			}
		})
	}
	wg.Wait()
}

// TestPeerSpeaksFirst reads from a stream on which nothing was written: the peer hears of it all the same.
func TestPeerSpeaksFirst(t *testing.T) {
	server, client := connect(t, quic.Config{}, quic.Config{})
	ctx := testContext(t)
	go func() {
		s, err := server.AcceptStream(ctx)
		if err != nil {
			return
		}
		io.WriteString(s, "220 ready")
		s.Close()
	}()
	s, err := client.OpenStream(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(s); string(got) != "220 ready" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}

// TestCancel abandons each half from each side, with somebody waiting or not.
func TestCancel(t *testing.T) {
	isCode := func(err error, remote bool) bool {
		var e *quic.StreamError
		return errors.As(err, &e) && e.Code == 42 && e.Remote == remote
	}
	fill := func(s *quicnet.Stream) error {
		for {
			if _, err := s.Write(make([]byte, 1<<20)); err != nil {
				return err
			}
		}
	}
	read := func(s *quicnet.Stream) error {
		_, err := io.Copy(io.Discard, s)
		return err
	}
	server, client := connect(t, quic.Config{StreamWindow: 10_000, MaxStreamWindow: 10_000}, quic.Config{})
	for _, o := range openers {
		t.Run(o.name+" write", func(t *testing.T) {
			local, remote := o.open(t, server, client)
			failed := make(chan error, 1)
			go func() { failed <- fill(local) }()
			local.CancelWrite(42)
			if err := <-failed; !isCode(err, false) {
				t.Errorf("writing: %v", err)
			}
			if err := read(remote); !isCode(err, true) {
				t.Errorf("reading: %v", err)
			}
		})
		t.Run(o.name+" read", func(t *testing.T) {
			local, remote := o.open(t, server, client)
			failed := make(chan error, 1)
			go func() { failed <- read(remote) }()
			remote.CancelRead(42)
			if err := <-failed; !isCode(err, false) {
				t.Errorf("reading: %v", err)
			}
			if err := fill(local); !isCode(err, true) {
				t.Errorf("writing: %v", err)
			}
		})
	}
}

// TestCancelUnheard abandons streams from one side while nobody uses them on the other, which hears why when QUIC has done with
// them long ago.
func TestCancelUnheard(t *testing.T) {
	byPeer := func(err error) bool {
		e, ok := errors.AsType[*quic.StreamError](err)
		return ok && e.Code == 42 && e.Remote
	}
	server, client := connect(t, quic.Config{}, quic.Config{})
	for _, o := range openers {
		t.Run(o.name, func(t *testing.T) {
			local, remote := o.open(t, server, client)
			from := client
			if o.reverse {
				from = server
			}
			before := from.Stats().StreamsReset
			remote.CancelRead(42)
			remote.CancelWrite(42)
			// The answer to STOP_SENDING is RESET_STREAM, and with its acknowledgment the stream is over.
			for ctx := testContext(t); ; runtime.Gosched() {
				if st := from.Stats(); st.StreamsReset > before && st.BytesInFlight == 0 {
					break
				}
				if ctx.Err() != nil {
					t.Fatal(ctx.Err())
				}
			}
			if _, err := local.Write([]byte{1}); !byPeer(err) {
				t.Errorf("writing: %v", err)
			}
			if _, err := local.Read(make([]byte, 1)); o.uni && !errors.Is(err, quic.ErrDirection) || !o.uni && !byPeer(err) {
				t.Errorf("reading: %v", err)
			}
		})
	}
}

// TestDeadlines lets reads and writes wait beyond their deadlines, and goes on with the stream afterwards.
func TestDeadlines(t *testing.T) {
	server, client := connect(t, quic.Config{StreamWindow: 10_000, MaxStreamWindow: 10_000}, quic.Config{})
	local, remote := openers[0].open(t, server, client)
	local.SetDeadline(time.Now().Add(time.Millisecond))
	if _, err := local.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read: %v", err)
	}
	want := pattern(1 << 20)
	n, err := local.Write(want)
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("write: %v", err)
	}
	local.SetDeadline(time.Time{})
	go func() {
		local.Write(want[n:])
		local.CloseWrite()
	}()
	if got, err := io.ReadAll(remote); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

// TestContexts gives up what waits for the peer.
func TestContexts(t *testing.T) {
	server, client := connect(t, quic.Config{MaxBidiStreams: 1, MaxUniStreams: -1}, quic.Config{})
	openers[0].open(t, server, client)
	cause := errors.New("no more patience")
	for name, wait := range map[string]func(context.Context) error{
		"OpenStream":      func(ctx context.Context) error { _, err := client.OpenStream(ctx); return err },
		"OpenUniStream":   func(ctx context.Context) error { _, err := client.OpenUniStream(ctx); return err },
		"AcceptStream":    func(ctx context.Context) error { _, err := client.AcceptStream(ctx); return err },
		"AcceptUniStream": func(ctx context.Context) error { _, err := client.AcceptUniStream(ctx); return err },
		"ReceiveDatagram": func(ctx context.Context) error {
			_, err := client.ReceiveDatagram(ctx, make([]byte, 100))
			return err
		},
	} {
		ctx, cancel := context.WithCancelCause(t.Context())
		failed := make(chan error)
		go func() { failed <- wait(ctx) }()
		cancel(cause)
		if err := <-failed; err != cause {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestClose ends a connection while goroutines wait in every way; all hear why, on both sides.
func TestClose(t *testing.T) {
	for name, byServer := range map[string]bool{"server": true, "client": false} {
		t.Run(name, func(t *testing.T) {
			server, client := connect(t, quic.Config{MaxBidiStreams: 1}, quic.Config{StreamWindow: 1000, MaxBidiStreams: 1})
			local, _ := openers[0].open(t, server, client)
			ctx := testContext(t)
			var wg sync.WaitGroup
			check := func(what string, wait func() error) {
				wg.Go(func() {
					var e *quic.ApplicationError
					if err := wait(); !errors.As(err, &e) || e.Code != 7 || e.Reason != "enough" || !errors.Is(err, net.ErrClosed) {
						t.Errorf("%s: %v", what, err)
					}
				})
			}
			for side, c := range map[string]*quicnet.Conn{"server": server, "client": client} {
				check(side+" AcceptStream", func() error { _, err := c.AcceptStream(ctx); return err })
				check(side+" ReceiveDatagram", func() error { _, err := c.ReceiveDatagram(ctx, nil); return err })
				check(side+" Done", func() error { <-c.Done(); return c.Err() })
			}
			check("OpenStream", func() error { _, err := client.OpenStream(ctx); return err })
			check("Read", func() error { _, err := local.Read(make([]byte, 1)); return err })
			full, err := server.OpenUniStream(ctx)
			if err != nil {
				t.Fatal(err)
			}
			check("Write", func() error { _, err := full.Write(make([]byte, 1<<20)); return err })
			if byServer {
				server.CloseWithError(7, "enough")
			} else {
				client.CloseWithError(7, "enough")
			}
			wg.Wait()
			check("OpenStream afterwards", func() error { _, err := client.OpenStream(ctx); return err })
			check("SendDatagram afterwards", func() error { return client.SendDatagram(ctx, []byte{1}) })
			wg.Wait()
		})
	}
}

// TestDatagrams sends datagrams both ways, and what is none.
func TestDatagrams(t *testing.T) {
	server, client := connect(t, quic.Config{}, quic.Config{})
	ctx := testContext(t)
	for i, d := range []struct{ from, to *quicnet.Conn }{{client, server}, {server, client}} {
		for _, n := range []int{1, 100, 1000} {
			want := pattern(n)
			if err := d.from.SendDatagram(ctx, want); err != nil {
				t.Fatal(err)
			}
			got := make([]byte, 2000)
			if n, err := d.to.ReceiveDatagram(ctx, got); err != nil || !bytes.Equal(got[:n], want) {
				t.Errorf("%d: %d bytes, %v", i, n, err)
			}
		}
	}
	if err := client.SendDatagram(ctx, make([]byte, client.MaxDatagramLen()+1)); !errors.Is(err, quic.ErrDatagramTooLarge) {
		t.Errorf("too large: %v", err)
	}
	client.SendDatagram(ctx, make([]byte, 100))
	if n, err := server.ReceiveDatagram(ctx, make([]byte, 10)); n != 10 || err != io.ErrShortBuffer {
		t.Errorf("short buffer: %d, %v", n, err)
	}

	_, client = connect(t, quic.Config{MaxDatagramFrame: -1}, quic.Config{})
	if err := client.SendDatagram(ctx, []byte{1}); !errors.Is(err, quic.ErrDatagramUnsupported) || client.MaxDatagramLen() != 0 {
		t.Errorf("unsupported: %v", err)
	}
}

// TestUnacceptedStreams opens and resets streams that nobody accepts, many more than may be open at a time.
func TestUnacceptedStreams(t *testing.T) {
	server, client := connect(t, quic.Config{MaxUniStreams: 3}, quic.Config{})
	ctx := testContext(t)
	for range 50 {
		s, err := client.OpenUniStream(ctx)
		if err != nil {
			t.Fatal(err)
		}
		s.Write([]byte("gone"))
		s.CancelWrite(1)
	}
	s, err := client.OpenUniStream(ctx)
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(s, "here")
	s.Close()
	for {
		a, err := server.AcceptUniStream(ctx)
		if err != nil {
			t.Fatal(err)
		}
		// The last ones may be accepted before their reset has arrived.
		if got, err := io.ReadAll(a); err == nil {
			if string(got) != "here" || a.ID() != s.ID() {
				t.Errorf("%q on %d", got, a.ID())
			}
			return
		}
	}
}

// TestBacklog fills the backlog: what exceeds it is refused, what is in it is accepted.
func TestBacklog(t *testing.T) {
	cfg := serverConfig(quic.Config{})
	cfg.Backlog = 2
	l := listen(t, cfg)
	ctx := testContext(t)
	refused := make(chan error)
	for range 4 {
		c, err := quicnet.Dial(ctx, l.Addr().String(), clientConfig(quic.Config{}))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		go func() {
			<-c.Done()
			refused <- c.Err()
		}()
	}
	for range 2 {
		var e *quic.TransportError
		if err := <-refused; !errors.As(err, &e) || e.Code != quic.ConnectionRefused || !e.Remote {
			t.Errorf("refused with %v", err)
		}
	}
	for range 2 {
		if _, err := l.Accept(ctx); err != nil {
			t.Error(err)
		}
	}
	l.Close()
	if _, err := l.Accept(ctx); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	<-refused
	<-refused
}
