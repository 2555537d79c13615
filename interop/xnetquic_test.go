package interop

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"hash"
	"io"
	"net/netip"
	"testing"
	"time"

	"github.com/dunlin-quic/dunlin/engine"
	"github.com/dunlin-quic/dunlin/quic"
	xquic "golang.org/x/net/quic"
)

// mirrorProtocol is a protocol below HTTP: whatever comes on a stream goes back on it.
const mirrorProtocol = "mirror"

const mirrored = 10_000_000 // bytes

// golang.org/x/net/quic as client and as server of a protocol of raw streams.
func TestXNetQUIC(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	t.Run("client", func(t *testing.T) {
		addr := serveMirror(t)
		endpoint := listenXNetQUIC(t)
		conn, err := endpoint.Dial(ctx, "udp", addr.String(), &xquic.Config{TLSConfig: mirrorTLS(t)})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Abort(nil)
		stream, err := conn.NewStream(ctx)
		if err != nil {
			t.Fatal(err)
		}
		stream.SetReadContext(ctx)
		stream.SetWriteContext(ctx)
		go func() {
			if _, err := io.Copy(stream, content(mirrored)); err != nil {
				t.Error(err)
			}
			stream.CloseWrite()
		}()
		if got := sumOf(stream); got != contentSum(mirrored) {
			t.Errorf("SHA-256 %s, want %s", got, contentSum(mirrored))
		}
	})
	t.Run("server", func(t *testing.T) {
		endpoint := listenXNetQUIC(t)
		go func() {
			conn, err := endpoint.Accept(ctx)
			if err != nil {
				return // the test is over
			}
			stream, err := conn.AcceptStream(ctx)
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := io.Copy(stream, stream); err != nil {
				t.Error(err)
			}
			stream.CloseWrite()
		}()
		app := &mirrorClient{unsent: content(mirrored), got: sha256.New(), done: make(chan error, 1)}
		conn, err := engine.Dial(ctx, endpoint.LocalAddr().String(), &engine.DialConfig{
			QUIC:           &quic.Config{TLS: mirrorTLS(t)},
			NewApplication: func(engine.ConnInfo) (engine.ApplicationOverQUIC, error) { return app, nil },
		})
		if err != nil {
			t.Fatal(err)
		}
		err = <-app.done
		conn.Close()
		<-conn.Done()
		if got := hex.EncodeToString(app.got.Sum(nil)); err != nil || got != contentSum(mirrored) {
			t.Errorf("SHA-256 %s, %v; want %s", got, err, contentSum(mirrored))
		}
	})
}

func mirrorTLS(t *testing.T) *tls.Config {
	id := testIdentity(t)
	return &tls.Config{
		Certificates: []tls.Certificate{id.cert}, RootCAs: id.pool, NextProtos: []string{mirrorProtocol}, MinVersion: tls.VersionTLS13,
	}
}

func listenXNetQUIC(t *testing.T) *xquic.Endpoint {
	t.Helper()
	endpoint, err := xquic.Listen("udp", "127.0.0.1:0", &xquic.Config{TLSConfig: mirrorTLS(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		endpoint.Close(ctx)
	})
	return endpoint
}

func serveMirror(t *testing.T) netip.AddrPort {
	t.Helper()
	l, err := engine.Listen(&engine.ListenConfig{
		QUIC:           &quic.Config{TLS: mirrorTLS(t)},
		NewApplication: func(engine.ConnInfo) (engine.ApplicationOverQUIC, error) { return mirrorServer{}, nil },
	}, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr()
}

// mirrorServer sends back as much as there is room for; the rest waits in the stream's window.
type mirrorServer struct{ engine.Base }

func (mirrorServer) ProcessReads(s *engine.Session) error {
	for ev := s.Conn().NextEvent(); ev.Kind != quic.EventNone; ev = s.Conn().NextEvent() {
		if ev.Kind != quic.EventStreamReadable && ev.Kind != quic.EventStreamWritable {
			continue
		}
		for {
			data, err := ev.Stream.Peek()
			if err == io.EOF {
				ev.Stream.TryWrite(nil, true)
			}
			if err != nil {
				break
			}
			n, err := ev.Stream.TryWrite(data, false)
			ev.Stream.Discard(n)
			if err != nil || n < len(data) {
				break
			}
		}
	}
	return nil
}

// mirrorClient sends a body on one stream and hashes what comes back.
type mirrorClient struct {
	engine.Base
	unsent io.Reader
	part   []byte // read from unsent and not written yet
	got    hash.Hash
	done   chan error // has an element when all is back
}

func (c *mirrorClient) OnEstablished(s *engine.Session) error {
	stream, err := s.Conn().OpenStream(quic.Bidi)
	if err != nil {
		return err
	}
	return c.send(stream)
}

func (c *mirrorClient) ProcessReads(s *engine.Session) error {
	for ev := s.Conn().NextEvent(); ev.Kind != quic.EventNone; ev = s.Conn().NextEvent() {
		switch ev.Kind {
		case quic.EventStreamWritable:
			if err := c.send(ev.Stream); err != nil {
				return err
			}
		case quic.EventStreamReadable:
			c.receive(ev.Stream)
		}
	}
	return nil
}

func (c *mirrorClient) OnClose(_ *engine.Session, err error) { c.tell(err) }

func (c *mirrorClient) send(stream *quic.Stream) error {
	for {
		if len(c.part) == 0 {
			part := make([]byte, 32<<10)
			n, err := io.ReadFull(c.unsent, part)
			c.part = part[:n]
			if n == 0 && err == io.EOF {
				_, err = stream.TryWrite(nil, true)
				return err
			}
		}
		n, err := stream.TryWrite(c.part, false)
		c.part = c.part[n:]
		if err == quic.ErrWouldBlock || len(c.part) > 0 && err == nil {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (c *mirrorClient) receive(stream *quic.Stream) {
	for {
		data, err := stream.Peek()
		switch err {
		case nil:
			c.got.Write(data)
			stream.Discard(len(data))
		case quic.ErrWouldBlock:
			return
		case io.EOF:
			c.tell(nil)
			return
		default:
			c.tell(err)
			return
		}
	}
}

func (c *mirrorClient) tell(err error) {
	select {
	case c.done <- err:
	default:
	}
}
