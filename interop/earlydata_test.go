package interop

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"testing"

	"github.com/dunlin-quic/dunlin/http3"
	"github.com/dunlin-quic/dunlin/quic"
	peerquic "github.com/quic-go/quic-go"
	peerhttp3 "github.com/quic-go/quic-go/http3"
)

// notedSessions tells when a session comes.
type notedSessions struct {
	tls.ClientSessionCache
	came chan struct{}
}

func (n *notedSessions) Put(key string, s *tls.ClientSessionState) {
	n.ClientSessionCache.Put(key, s)
	if s != nil {
		select {
		case n.came <- struct{}{}:
		default:
		}
	}
}

// earlySide is one implementation's HTTP with early data.
type earlySide struct {
	name   string
	serve  func(t *testing.T, addr string, h http.Handler) (netip.AddrPort, io.Closer)
	client func(*tls.Config) client
}

var earlyDunlin = earlySide{"dunlin",
	func(t *testing.T, addr string, h http.Handler) (netip.AddrPort, io.Closer) {
		l, err := http3.Listen(addr)
		if err != nil {
			t.Fatal(err)
		}
		server := &http3.Server{
			Handler: h, TLSConfig: &tls.Config{Certificates: []tls.Certificate{testIdentity(t).cert}}, QUIC: &quic.Config{EarlyData: true},
		}
		go server.Serve(l)
		return addrPort(l.Addr()), server
	},
	func(cfg *tls.Config) client {
		return &http3.Transport{TLSClientConfig: cfg, QUIC: &quic.Config{EarlyData: true}}
	},
}

var earlyQuicGo = earlySide{"quic-go",
	func(t *testing.T, addr string, h http.Handler) (netip.AddrPort, io.Closer) {
		socket, err := net.ListenPacket("udp", addr)
		if err != nil {
			t.Fatal(err)
		}
		server := &peerhttp3.Server{
			Handler:    h,
			TLSConfig:  peerhttp3.ConfigureTLSConfig(&tls.Config{Certificates: []tls.Certificate{testIdentity(t).cert}}),
			QUICConfig: &peerquic.Config{Allow0RTT: true},
		}
		go server.Serve(socket)
		return addrPort(socket.LocalAddr()), closers{server, socket}
	},
	func(cfg *tls.Config) client { return quicGoEarly{&peerhttp3.Transport{TLSClientConfig: cfg}} },
}

type closers []io.Closer

func (c closers) Close() error {
	for _, one := range c {
		one.Close()
	}
	return nil
}

// quicGoEarly sends every GET in early data if it can.
type quicGoEarly struct{ *peerhttp3.Transport }

func (c quicGoEarly) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method == http.MethodGet {
		r.Method = peerhttp3.MethodGet0RTT
	}
	return c.Transport.RoundTrip(r)
}

// Requests in early data, answered before the handshake is complete; POST is not among them. A server that was started anew
// can't take them, and gets the requests all the same.
func TestEarlyRequests(t *testing.T) {
	for _, pair := range []struct {
		name           string
		client, server earlySide
	}{
		{"quic-go from dunlin", earlyQuicGo, earlyDunlin},
		{"dunlin from quic-go", earlyDunlin, earlyQuicGo},
	} {
		t.Run(pair.name, func(t *testing.T) {
			handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				fmt.Fprintf(w, "%s early=%v", r.Method, !r.TLS.HandshakeComplete)
			})
			addr, server := pair.server.serve(t, "127.0.0.1:0", handler)
			sessions := &notedSessions{tls.NewLRUClientSessionCache(4), make(chan struct{}, 1)}
			// connect makes one request on a connection of its own.
			connect := func(method string) (string, error) {
				c := pair.client.client(&tls.Config{RootCAs: testIdentity(t).pool, ClientSessionCache: sessions})
				defer c.Close()
				resp, err := c.RoundTrip(mustRequest(t, method, urlOf(addr)))
				if err != nil {
					return "", err
				}
				defer resp.Body.Close()
				body, err := io.ReadAll(resp.Body)
				if err == nil {
					<-sessions.came
				}
				return string(body), err
			}
			visit := func(method string) string {
				t.Helper()
				body, err := connect(method)
				if err != nil {
					t.Fatal(err)
				}
				return body
			}
			if got := visit("GET"); got != "GET early=false" {
				t.Errorf("without a session: %s", got)
			}
			// A client may be so fast with its handshake that a request is early no more when the handler looks.
			early := false
			for range 50 {
				if early = visit("GET") == "GET early=true"; early {
					break
				}
			}
			if !early {
				t.Error("no early data in fifty connections")
			}
			if got := visit("POST"); got != "POST early=false" {
				t.Error(got)
			}
			server.Close()
			_, server = pair.server.serve(t, addr.String(), handler)
			defer server.Close()
			got, err := connect("GET")
			if errors.Is(err, peerquic.Err0RTTRejected) {
				// quic-go leaves it to its user to send the request again, without the session.
				sessions.ClientSessionCache = tls.NewLRUClientSessionCache(4)
				got, err = connect("GET")
			}
			if err != nil || got != "GET early=false" {
				t.Errorf("a new server: %s, %v", got, err)
			}
		})
	}
}
