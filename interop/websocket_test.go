package interop

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	coder "github.com/coder/websocket"
	gorilla "github.com/gorilla/websocket"
	peerquic "github.com/quic-go/quic-go"
	peerhttp3 "github.com/quic-go/quic-go/http3"

	"github.com/dunlin-quic/dunlin/http3"
)

// echoWebSockets are handlers of ordinary WebSocket libraries, which know nothing of HTTP/3.
var echoWebSockets = map[string]http.HandlerFunc{
	"gorilla": func(w http.ResponseWriter, r *http.Request) {
		u := gorilla.Upgrader{EnableCompression: true, Subprotocols: []string{"echo"}}
		c, err := u.Upgrade(w, r, http.Header{"X-Library": {"gorilla"}})
		if err != nil {
			return
		}
		defer c.Close()
		for {
			kind, message, err := c.ReadMessage()
			if err != nil || c.WriteMessage(kind, message) != nil {
				return
			}
		}
	},
	"coder": func(w http.ResponseWriter, r *http.Request) {
		c, err := coder.Accept(w, r, &coder.AcceptOptions{
			CompressionMode: coder.CompressionContextTakeover, Subprotocols: []string{"echo"}, InsecureSkipVerify: true,
		})
		if err != nil {
			return
		}
		defer c.CloseNow()
		c.SetReadLimit(1 << 21)
		for {
			kind, message, err := c.Read(r.Context())
			if err != nil || c.Write(r.Context(), kind, message) != nil {
				return
			}
		}
	},
}

// TestWebSockets has the client of a WebSocket library speak with the servers of two over HTTP/3 (RFC 9220): compressed messages
// of many lengths both ways, pings, and the closing handshake.
func TestWebSockets(t *testing.T) {
	mux := http.NewServeMux()
	for name, h := range echoWebSockets {
		mux.Handle("/"+name, h)
	}
	server := serveWebSockets(t, http3.WebSocketHandler(mux))
	for name := range echoWebSockets {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			c, res, err := coder.Dial(ctx, server+name, &coder.DialOptions{
				HTTPClient:      &http.Client{Transport: newDunlinClient(t)},
				Subprotocols:    []string{"echo"},
				CompressionMode: coder.CompressionContextTakeover,
			})
			if err != nil {
				t.Fatal(err)
			}
			defer c.CloseNow()
			if c.Subprotocol() != "echo" || res.ProtoMajor != 3 {
				t.Errorf("%s, %s", c.Subprotocol(), res.Proto)
			}
			c.SetReadLimit(1 << 21)
			for _, n := range []int{0, 1, 125, 126, 65535, 65536, 1 << 20} {
				want := strings.Repeat("message ", n/8+1)[:n]
				if err := c.Write(ctx, coder.MessageText, []byte(want)); err != nil {
					t.Fatal(err)
				}
				kind, got, err := c.Read(ctx)
				if kind != coder.MessageText || string(got) != want || err != nil {
					t.Fatalf("%d bytes came back as %d, %v", n, len(got), err)
				}
			}
			if err := c.Close(coder.StatusNormalClosure, "enough"); err != nil {
				t.Error(err)
			}
		})
	}
}

// serveWebSockets returns the URL of a server of Dunlin's that takes extended CONNECT.
func serveWebSockets(t *testing.T, h http.Handler) string {
	return urlOf(serveDunlin(t, h, nil))
}

// echo sends back bytes and datagrams of a tunnel until its end.
type echo interface {
	io.ReadWriter
	SendDatagram([]byte) error
	ReceiveDatagram(context.Context) ([]byte, error)
}

func echoAll(ctx context.Context, e echo) {
	go func() {
		for {
			d, err := e.ReceiveDatagram(ctx)
			if err != nil || e.SendDatagram(d) != nil {
				return
			}
		}
	}()
	io.Copy(e, e)
}

// datagrams makes of a Tunnel what quic-go's streams are.
type datagrams struct {
	http3.Tunnel
	ctx context.Context
}

func (d datagrams) SendDatagram(p []byte) error { return d.Tunnel.SendDatagram(d.ctx, p) }

func (d datagrams) ReceiveDatagram(ctx context.Context) ([]byte, error) {
	p := make([]byte, 2000)
	n, err := d.Tunnel.ReceiveDatagram(ctx, p)
	return p[:n], err
}

// TestExtendedConnect opens tunnels between Dunlin and quic-go in both roles and sends bytes and HTTP datagrams through them.
func TestExtendedConnect(t *testing.T) {
	const protocol = "echo"
	open := map[string]func(ctx context.Context, t *testing.T, addr netip.AddrPort) echo{
		"dunlin": func(ctx context.Context, t *testing.T, addr netip.AddrPort) echo {
			r, err := http.NewRequestWithContext(ctx, "CONNECT", urlOf(addr), nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header[":protocol"] = []string{protocol}
			res, err := newDunlinClient(t).RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { res.Body.Close() })
			return datagrams{res.Body.(http3.Tunnel), ctx}
		},
		"quic-go": func(ctx context.Context, t *testing.T, addr netip.AddrPort) echo {
			conn, err := peerquic.DialAddr(ctx, addr.String(), peerhttp3.ConfigureTLSConfig(&tls.Config{RootCAs: testIdentity(t).pool}),
				&peerquic.Config{EnableDatagrams: true})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { conn.CloseWithError(0, "") })
			tr := &peerhttp3.Transport{EnableDatagrams: true}
			t.Cleanup(func() { tr.Close() })
			client := tr.NewClientConn(conn)
			<-client.ReceivedSettings()
			if s := client.Settings(); !s.EnableExtendedConnect || !s.EnableDatagrams {
				t.Errorf("settings %+v", s)
			}
			stream, err := client.OpenRequestStream(ctx)
			if err != nil {
				t.Fatal(err)
			}
			r, err := http.NewRequestWithContext(ctx, "CONNECT", urlOf(addr), nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Proto = protocol
			if err := stream.SendRequestHeader(r); err != nil {
				t.Fatal(err)
			}
			if res, err := stream.ReadResponse(); err != nil || res.StatusCode != 200 {
				t.Fatal(res, err)
			}
			return stream
		},
	}
	serve := map[string]func(t *testing.T) netip.AddrPort{
		"dunlin": func(t *testing.T) netip.AddrPort {
			return serveDunlin(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				tunnel, err := http3.AcceptTunnel(w, r)
				if err != nil || r.Header.Get(":protocol") != protocol {
					t.Error(r.Header, err)
					return
				}
				echoAll(r.Context(), datagrams{tunnel, r.Context()})
			}), nil)
		},
		"quic-go": func(t *testing.T) netip.AddrPort {
			return serveQuicGo(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method != "CONNECT" || r.Proto != protocol {
					t.Errorf("%s %s", r.Method, r.Proto)
				}
				w.WriteHeader(http.StatusOK)
				stream, err := w.(peerhttp3.HTTPStreamer).HTTPStream()
				if err != nil {
					t.Error(err)
					return
				}
				defer stream.Close()
				echoAll(r.Context(), stream)
			}))
		},
	}
	for _, roles := range [][2]string{{"dunlin", "dunlin"}, {"dunlin", "quic-go"}, {"quic-go", "dunlin"}} {
		t.Run(roles[0]+" from "+roles[1], func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			tunnel := open[roles[0]](ctx, t, serve[roles[1]](t))
			for i := range 10 {
				want := strings.Repeat(fmt.Sprint("message ", i), 1+i*10)
				if _, err := io.WriteString(tunnel, want); err != nil {
					t.Fatal(err)
				}
				got := make([]byte, len(want))
				if _, err := io.ReadFull(tunnel, got); string(got) != want || err != nil {
					t.Fatalf("%q, %v", got, err)
				}
				if err := tunnel.SendDatagram([]byte(want)); err != nil {
					t.Fatal(err)
				}
				if got, err := tunnel.ReceiveDatagram(ctx); string(got) != want || err != nil {
					t.Fatalf("datagram %q, %v", got, err)
				}
			}
		})
	}
}
