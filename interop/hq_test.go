package interop

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"maps"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/dunlin-quic/dunlin/engine"
	"github.com/dunlin-quic/dunlin/quic"
)

// hqProtocol is HTTP/0.9 over QUIC, which the QUIC interop runner's cases are about: a client sends "GET /path" on a
// stream of its own and ends it, the server sends the file and ends the stream. The path is the file's size, the file
// that much of content.
const hqProtocol = "hq-interop"

// hqConn is what one side of an hq-interop connection saw of it.
type hqConn struct {
	version    quic.Version
	tls        *tls.ConnectionState
	early      quic.EarlyDataState
	paths      map[quic.Path]bool // that it went over
	stats      quic.Stats
	files      int // asked for
	earlyFiles int // of these, by early data
}

// look keeps what is known of the connection now: more after the handshake than before, where there is early data.
func (c *hqConn) look(s *engine.Session) {
	c.version, c.tls, c.early = s.Conn().Version(), s.Conn().ConnectionState(), s.Conn().EarlyData().State
	if c.paths == nil {
		c.paths = make(map[quic.Path]bool)
	}
	c.paths[s.Conn().Path()] = true
}

// hqListener serves hq-interop, and keeps what its connections are like.
type hqListener struct {
	*engine.Listener
	mu    sync.Mutex
	conns []*hqServer // in the order of their handshakes
}

// serveHQ runs a server until the test ends. Of config everything but TLS counts.
func serveHQ(t *testing.T, address string, config quic.Config, retry quic.RetryPolicy) *hqListener {
	t.Helper()
	config.TLS = &tls.Config{Certificates: []tls.Certificate{testIdentity(t).cert}, NextProtos: []string{hqProtocol}}
	l := &hqListener{}
	listener, err := engine.Listen(&engine.ListenConfig{QUIC: &config, Retry: retry, EarlyStart: true,
		NewApplication: func(info engine.ConnInfo) (engine.ApplicationOverQUIC, error) {
			return &hqServer{listener: l, handle: info.Connection}, nil
		},
	}, address)
	if err != nil {
		t.Fatal(err)
	}
	l.Listener = listener
	t.Cleanup(func() { l.Close() })
	return l
}

// connections returns what the connections were like, of which there must be n.
func (l *hqListener) connections(t *testing.T, n int) (conns []hqConn) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.conns) != n {
		t.Fatalf("%d connections, want %d", len(l.conns), n)
	}
	for _, h := range l.conns {
		var c hqConn
		if h.handle.Do(func(*engine.Session) { c = h.conn; c.paths = maps.Clone(c.paths) }) != nil {
			<-h.handle.Done()
			c = h.conn
		}
		c.stats = h.handle.Stats()
		conns = append(conns, c)
	}
	return conns
}

type hqServer struct {
	engine.Base
	listener *hqListener
	handle   *engine.Connection
	conn     hqConn
}

// hqAnswer is the state of a stream at the server.
type hqAnswer struct {
	request []byte
	file    io.Reader // nil until the whole request is there
	part    []byte    // read from file and not written yet
	buf     [16 << 10]byte
}

func (h *hqServer) OnEstablished(s *engine.Session) error {
	h.conn.look(s)
	h.listener.mu.Lock()
	defer h.listener.mu.Unlock()
	h.listener.conns = append(h.listener.conns, h)
	return nil
}

func (h *hqServer) ProcessReads(s *engine.Session) error {
	h.conn.look(s)
	for ev := s.Conn().NextEvent(); ev.Kind != quic.EventNone; ev = s.Conn().NextEvent() {
		switch ev.Kind {
		case quic.EventStreamOpened:
			ev.Stream.Value = &hqAnswer{}
			h.conn.files++
			if ev.Stream.Early() {
				h.conn.earlyFiles++
			}
		case quic.EventStreamReadable, quic.EventStreamWritable:
			if err := ev.Stream.Value.(*hqAnswer).advance(ev.Stream); err != nil {
				return err
			}
		}
	}
	return nil
}

func (a *hqAnswer) advance(stream *quic.Stream) error {
	for a.file == nil {
		data, err := stream.Peek()
		if err == io.EOF {
			if a.file, err = hqFile(string(a.request)); err != nil {
				return err
			}
			break
		}
		if err != nil || len(a.request)+len(data) > 100 {
			return nil
		}
		a.request = append(a.request, data...)
		stream.Discard(len(data))
	}
	for {
		if len(a.part) == 0 {
			n, err := a.file.Read(a.buf[:])
			if err == io.EOF {
				_, _ = stream.TryWrite(nil, true) // the client may be gone
				return nil
			}
			a.part = a.buf[:n]
		}
		n, err := stream.TryWrite(a.part, false)
		if a.part = a.part[n:]; err != nil || len(a.part) > 0 {
			return nil
		}
	}
}

// hqFile returns the file that a request asks for.
func hqFile(request string) (io.Reader, error) {
	path, ok := strings.CutPrefix(strings.TrimRight(request, "\r\n "), "GET /")
	size, err := strconv.ParseInt(path, 10, 64)
	if !ok || err != nil {
		return nil, fmt.Errorf("%q asks for no file", request)
	}
	return content(size), nil
}

// hqClient asks for files of some sizes on one connection, as many at a time as the server allows.
type hqClient struct {
	engine.Base
	sizes   []int64 // not yet asked for
	running int
	// updateKeys begins a key update as soon as there may be one.
	updateKeys bool
	conn       hqConn
	done       chan error // has an element when everything has come, or something has failed
}

// hqDownload is the state of a stream at the client.
type hqDownload struct {
	size int64
	got  hash.Hash
}

// getHQ fetches files on a connection of its own, checks them, and tells what the connection was like.
func getHQ(t *testing.T, addr netip.AddrPort, config *quic.Config, sizes ...int64) hqConn {
	t.Helper()
	return (&hqClient{sizes: sizes}).get(t, addr, config)
}

func (h *hqClient) get(t *testing.T, addr netip.AddrPort, config *quic.Config) hqConn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	h.done = make(chan error, 1)
	conn, err := engine.Dial(ctx, addr.String(), &engine.DialConfig{
		QUIC: config, EarlyStart: true,
		NewApplication: func(engine.ConnInfo) (engine.ApplicationOverQUIC, error) { return h, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	select {
	case err = <-h.done:
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		t.Error(err)
	}
	conn.Close()
	<-conn.Done()
	h.conn.stats = conn.Stats()
	return h.conn
}

// hqClientTLS returns what a client needs to trust the server.
func hqClientTLS(t *testing.T) *tls.Config {
	return &tls.Config{RootCAs: testIdentity(t).pool, NextProtos: []string{hqProtocol}}
}

func (h *hqClient) OnEstablished(s *engine.Session) error {
	h.conn.look(s)
	return nil
}

func (h *hqClient) ProcessWrites(s *engine.Session) error {
	for len(h.sizes) > 0 {
		stream, err := s.Conn().OpenStream(quic.Bidi)
		if err == quic.ErrStreamLimit {
			return nil
		}
		if err != nil {
			return err
		}
		stream.Value = &hqDownload{h.sizes[0], sha256.New()}
		request := fmt.Appendf(nil, "GET /%d\r\n", h.sizes[0])
		if n, err := stream.TryWrite(request, true); err != nil || n < len(request) {
			return fmt.Errorf("%d bytes of a request written: %w", n, err)
		}
		h.sizes = h.sizes[1:]
		h.running++
		h.conn.files++
	}
	return nil
}

func (h *hqClient) ProcessReads(s *engine.Session) error {
	h.conn.look(s)
	if h.updateKeys && s.Conn().InitiateKeyUpdate() {
		h.updateKeys = false
	}
	for ev := s.Conn().NextEvent(); ev.Kind != quic.EventNone; ev = s.Conn().NextEvent() {
		if ev.Kind == quic.EventStreamReadable {
			h.receive(ev.Stream)
		}
	}
	return nil
}

func (h *hqClient) OnClose(_ *engine.Session, err error) { h.tell(err) }

func (h *hqClient) receive(stream *quic.Stream) {
	download := stream.Value.(*hqDownload)
	for {
		data, err := stream.Peek()
		switch err {
		case nil:
			download.got.Write(data)
			stream.Discard(len(data))
			continue
		case quic.ErrWouldBlock:
			return
		case io.EOF:
			if got := hex.EncodeToString(download.got.Sum(nil)); got != contentSum(download.size) {
				h.tell(fmt.Errorf("a file of %d bytes: SHA-256 %s, want %s", download.size, got, contentSum(download.size)))
			}
			if h.running--; h.running == 0 && len(h.sizes) == 0 {
				h.tell(nil)
			}
		default:
			h.tell(err)
		}
		return
	}
}

func (h *hqClient) tell(err error) {
	select {
	case h.done <- err:
	default:
	}
}

// The protocol's two halves of Dunlin's together, so that what the peers' tests show is about the peers.
func TestHQ(t *testing.T) {
	l := serveHQ(t, "127.0.0.1:0", quic.Config{}, quic.RetryUnderLoad)
	sizes := []int64{0, 1, 1e6, 3e6}
	for range 500 {
		sizes = append(sizes, 100)
	}
	client := getHQ(t, l.Addr(), &quic.Config{TLS: hqClientTLS(t)}, sizes...)
	server := l.connections(t, 1)[0]
	if client.files != len(sizes) || server.files != len(sizes) || client.version != quic.Version1 || server.version != quic.Version1 {
		t.Errorf("client %+v\nserver %+v", client, server)
	}
}
