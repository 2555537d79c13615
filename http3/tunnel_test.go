package http3_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/dunlin-quic/dunlin/h3"
	"github.com/dunlin-quic/dunlin/http3"
	"github.com/dunlin-quic/dunlin/quic"
)

// echoTunnel sends back what comes through a tunnel, bytes and datagrams.
func echoTunnel(t *testing.T) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method != "CONNECT" {
			if _, err := http3.AcceptTunnel(w, r); err != http.ErrNotSupported || http3.RequestDatagrams(w) != nil {
				t.Errorf("a tunnel for %s: %v", r.Method, err)
			}
			return
		}
		if r.URL.Path == "/refused" {
			http.Error(w, "no", http.StatusForbidden)
			return
		}
		w.Header().Set("X-Protocol", r.Header.Get(":protocol"))
		tunnel, err := http3.AcceptTunnel(w, r)
		if err != nil {
			t.Error(err)
			return
		}
		if tunnel.LocalAddr() == nil || tunnel.RemoteAddr() == nil {
			t.Error("no addresses")
		}
		if tunnel.MaxDatagramLen() > 0 {
			go func() {
				buf := make([]byte, 2000)
				for {
					n, err := tunnel.ReceiveDatagram(r.Context(), buf)
					if err != nil {
						return
					}
					tunnel.SendDatagram(r.Context(), buf[:n])
				}
			}()
		}
		if _, err := io.Copy(tunnel, tunnel); err == nil {
			tunnel.CloseWrite()
		}
	}
}

func extended(s *http3.Server, _ *http3.Transport) { s.ExtendedConnect = true }

// connect sends an extended CONNECT request.
func (s *site) connect(t *testing.T, path, protocol string) (*http.Response, error) {
	r := s.newRequest(t, "CONNECT", path, nil)
	if protocol != "" {
		r.Header[":protocol"] = []string{protocol}
	}
	return s.transport.RoundTrip(r)
}

// TestTunnel sends bytes and datagrams through tunnels of extended CONNECT, and ends each direction by itself.
func TestTunnel(t *testing.T) {
	s := newSite(t, echoTunnel(t), extended)
	for range 3 {
		res, err := s.connect(t, "/chat?x=1", "echo")
		if err != nil {
			t.Fatal(err)
		}
		if res.StatusCode != 200 || res.Header.Get("X-Protocol") != "echo" || res.ContentLength != -1 {
			t.Errorf("%v", res)
		}
		tunnel := res.Body.(http3.Tunnel)
		for i := range 5 {
			want := fmt.Sprint("message ", i)
			io.WriteString(tunnel, want)
			got := make([]byte, len(want))
			if _, err := io.ReadFull(tunnel, got); string(got) != want || err != nil {
				t.Errorf("%q, %v", got, err)
			}
			if err := tunnel.SendDatagram(t.Context(), []byte(want)); err != nil {
				t.Fatal(err)
			}
			n, err := tunnel.ReceiveDatagram(t.Context(), got)
			if string(got[:n]) != want || err != nil {
				t.Errorf("datagram %q, %v", got[:n], err)
			}
		}
		if err := tunnel.SendDatagram(t.Context(), make([]byte, tunnel.MaxDatagramLen()+1)); err != quic.ErrDatagramTooLarge {
			t.Errorf("too large: %v", err)
		}
		tunnel.SetReadDeadline(time.Now())
		if _, err := tunnel.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("deadline: %v", err)
		}
		tunnel.SetReadDeadline(time.Time{})
		io.WriteString(tunnel, "last")
		tunnel.CloseWrite()
		if rest, err := io.ReadAll(tunnel); string(rest) != "last" || err != nil {
			t.Errorf("%q, %v", rest, err)
		}
		tunnel.Close()
	}
	s.transport.CloseIdleConnections()
	res, err := s.client.Get(s.url + "/")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
}

// TestTunnelEnds gives tunnels up: by the handler's return, the client's Close, and the client's context.
func TestTunnelEnds(t *testing.T) {
	ended := make(chan error)
	s := newSite(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		tunnel, err := http3.AcceptTunnel(w, r)
		if err != nil {
			t.Error(err)
		}
		if r.URL.Path == "/return" {
			return
		}
		_, err = tunnel.ReceiveDatagram(r.Context(), nil)
		ended <- err
	}), extended)
	res, err := s.connect(t, "/return", "echo")
	if err != nil {
		t.Fatal(err)
	}
	if n, err := res.Body.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("after the handler's return: %d, %v", n, err)
	}
	res.Body.Close()

	if res, err = s.connect(t, "/wait", "echo"); err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if err := <-ended; err == nil {
		t.Error("the handler waits for a tunnel that was closed")
	}

	ctx, cancel := context.WithCancel(t.Context())
	r := s.newRequest(t, "CONNECT", "/wait", nil).WithContext(ctx)
	r.Header[":protocol"] = []string{"echo"}
	if res, err = s.transport.RoundTrip(r); err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := res.Body.Read(make([]byte, 1)); err != context.Canceled {
		t.Errorf("after the context's end: %v", err)
	}
	if _, err := res.Body.(io.Writer).Write(make([]byte, 1<<20)); err != context.Canceled {
		t.Errorf("after the context's end: %v", err)
	}
	<-ended
	res.Body.Close()
}

// TestTunnelRefused asks for tunnels that there are not.
func TestTunnelRefused(t *testing.T) {
	s := newSite(t, echoTunnel(t), extended)
	res, err := s.connect(t, "/refused", "echo")
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(res.Body)
	if res.StatusCode != http.StatusForbidden || string(body) != "no\n" || err != nil {
		t.Errorf("%d %q %v", res.StatusCode, body, err)
	}
	if _, err := s.connect(t, "/", "not a token"); err == nil {
		t.Error("a protocol that is no token was sent")
	}

	s = newSite(t, echoTunnel(t), nil)
	if _, err := s.connect(t, "/", "echo"); !errors.Is(err, h3.ErrExtendedConnect) {
		t.Errorf("not offered: %v", err)
	}
	// An ordinary CONNECT needs no offer, and is the caller's to write without a Body.
	r := s.newRequest(t, "CONNECT", "", nil)
	r.Host = "example.org:22"
	if res, err = s.transport.RoundTrip(r); err != nil {
		t.Fatal(err)
	}
	tunnel := res.Body.(http3.Tunnel)
	io.WriteString(tunnel, "SSH-2.0")
	tunnel.CloseWrite()
	if got, err := io.ReadAll(tunnel); string(got) != "SSH-2.0" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	tunnel.Close()
}

// TestWebSocketHandler has a handler upgrade as WebSocket libraries do: before hijacking, after it in one piece, after it in
// many; or refuse.
func TestWebSocketHandler(t *testing.T) {
	left := make(chan struct{}, 10)
	accept := func(w http.ResponseWriter, r *http.Request, write func(io.Writer, string)) {
		conn, rw, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		if _, _, err := w.(http.Hijacker).Hijack(); err != http.ErrHijacked {
			t.Errorf("hijacked twice: %v", err)
		}
		// The handler returns, and its connection goes on.
		go func() {
			defer conn.Close()
			write(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
				"Sec-WebSocket-Accept: x\r\nSec-WebSocket-Protocol: echo\r\n\r\n")
			line, err := rw.ReadString('\n')
			if err != nil {
				t.Error(err)
			}
			io.WriteString(conn, line)
		}()
	}
	handler := http3.WebSocketHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() { left <- struct{}{} }()
		if r.Method != "GET" || r.Header.Get("Upgrade") != "websocket" || r.Header.Get("Connection") != "Upgrade" ||
			len(r.Header.Get("Sec-WebSocket-Key")) != 24 || r.Header.Get(":protocol") != "" || r.Header.Get("Origin") != "https://x" {
			t.Errorf("%s %v", r.Method, r.Header)
		}
		whole := func(w io.Writer, s string) { io.WriteString(w, s) }
		switch r.URL.Path {
		case "/before":
			w.Header().Set("Sec-WebSocket-Protocol", "echo")
			w.Header().Set("Connection", "Upgrade")
			w.WriteHeader(http.StatusSwitchingProtocols)
			accept(w, r, func(io.Writer, string) {})
		case "/after":
			accept(w, r, whole)
		case "/pieces":
			accept(w, r, func(w io.Writer, s string) {
				for i := range s {
					if n, err := io.WriteString(w, s[i:i+1]); n != 1 || err != nil {
						t.Error(n, err)
					}
				}
			})
		case "/refused":
			http.Error(w, "no", http.StatusForbidden)
		case "/refused-late":
			conn, _, _ := w.(http.Hijacker).Hijack()
			io.WriteString(conn, "HTTP/1.1 403 Forbidden\r\nX: y\r\n\r\nno\n")
			conn.Close()
		case "/endless":
			conn, _, _ := w.(http.Hijacker).Hijack()
			var err error
			for range 100 {
				if _, err = conn.Write(make([]byte, 1000)); err != nil {
					break
				}
			}
			if err == nil {
				t.Error("a response without end is kept")
			}
			conn.Close()
		}
	}))
	s := newSite(t, handler, extended)
	upgrade := func(path string) (*http.Response, error) {
		r := s.newRequest(t, "GET", path, nil)
		ctx, cancel := context.WithCancel(r.Context())
		r = r.WithContext(ctx)
		r.Header.Set("Connection", "Upgrade")
		r.Header.Set("Upgrade", "websocket")
		r.Header.Set("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
		r.Header.Set("Origin", "https://x")
		res, err := s.client.Do(r)
		if err == nil && res.StatusCode == http.StatusSwitchingProtocols {
			cancel() // it is for the dialling alone
		} else {
			t.Cleanup(cancel)
		}
		return res, err
	}
	for _, path := range []string{"/before", "/after", "/pieces"} {
		res, err := upgrade(path)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		// The key and what it is answered with are RFC 6455's example, Section 1.3.
		if res.StatusCode != 101 || res.Header.Get("Sec-WebSocket-Accept") != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" ||
			res.Header.Get("Upgrade") != "websocket" || res.Header.Get("Sec-WebSocket-Protocol") != "echo" {
			t.Errorf("%s: %v", path, res)
		}
		<-left
		rw := res.Body.(io.ReadWriteCloser)
		io.WriteString(rw, "hello\n")
		if got, err := bufio.NewReader(rw).ReadString('\n'); got != "hello\n" || err != nil {
			t.Errorf("%s: %q, %v", path, got, err)
		}
		rw.Close()
	}
	for _, path := range []string{"/refused", "/refused-late"} {
		res, err := upgrade(path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		if res.StatusCode != http.StatusForbidden || string(body) != "no\n" || err != nil {
			t.Errorf("%s: %d %q %v", path, res.StatusCode, body, err)
		}
	}
	if res, err := upgrade("/endless"); err == nil {
		res.Body.Close()
	}
}

// TestNoDatagramOffer turns QUIC's datagrams off on either side: HTTP's are not offered then, and tunnels go without.
func TestNoDatagramOffer(t *testing.T) {
	for _, server := range []bool{false, true} {
		s := newSite(t, echoTunnel(t), func(s *http3.Server, c *http3.Transport) {
			s.ExtendedConnect = true
			if none := (&quic.Config{MaxDatagramFrame: -1}); server {
				s.QUIC = none
			} else {
				c.QUIC = none
			}
		})
		res, err := s.connect(t, "/", "test")
		if err != nil {
			t.Fatal(err)
		}
		tunnel := res.Body.(http3.Tunnel)
		if err := tunnel.SendDatagram(t.Context(), []byte("x")); !errors.Is(err, h3.ErrDatagrams) || tunnel.MaxDatagramLen() != 0 {
			t.Errorf("server %v: %v", server, err)
		}
		tunnel.Close()
	}
}
