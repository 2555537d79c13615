package http3_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/dunlin-quic/dunlin/http3"
)

// TestWebSocketNotAccepted has handlers do everything but accept the WebSocket: the client never sees a status that opens it.
func TestWebSocketNotAccepted(t *testing.T) {
	returned := make(chan struct{})
	handler := http3.WebSocketHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/page":
			io.WriteString(w, "hello")
		case "/ok":
			w.WriteHeader(http.StatusOK)
			if _, _, err := w.(http.Hijacker).Hijack(); err == nil {
				t.Error("hijacked a response that has begun")
			}
		case "/flush":
			http.NewResponseController(w).Flush()
			io.WriteString(w, "hello")
		case "/accepted":
			w.WriteHeader(http.StatusSwitchingProtocols)
			if _, err := io.WriteString(w, "hello"); err != http.ErrBodyNotAllowed {
				t.Errorf("a body after 101: %v", err)
			}
		case "/204":
			w.WriteHeader(http.StatusNoContent)
		case "/raw":
			conn, _, _ := w.(http.Hijacker).Hijack()
			io.WriteString(conn, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello")
			if _, err := w.Write([]byte("more")); err != http.ErrHijacked {
				t.Errorf("Write of a hijacked response: %v", err)
			}
			conn.Close()
		case "/close", "/part", "/zero", "/interim":
			conn, _, _ := w.(http.Hijacker).Hijack()
			_, err := io.WriteString(conn, map[string]string{
				"/part": "HTTP/1.1 101 ", "/zero": "HTTP/1.1 000 Nothing\r\n\r\n", "/interim": "HTTP/1.1 103 Hints\r\n\r\n",
			}[r.URL.Path])
			if bad := r.URL.Path == "/zero" || r.URL.Path == "/interim"; (err != nil) != bad {
				t.Errorf("%s: %v", r.URL.Path, err)
			}
			conn.Close()
			if _, err := conn.Write([]byte("late")); !errors.Is(err, net.ErrClosed) {
				t.Errorf("%s: Write after Close: %v", r.URL.Path, err)
			}
		case "/panic":
			conn, _, _ := w.(http.Hijacker).Hijack()
			go func() {
				<-returned
				if _, err := io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\n\r\n"); !errors.Is(err, net.ErrClosed) {
					t.Errorf("accepted after the handler's end: %v", err)
				}
				returned <- struct{}{}
			}()
			panic("on purpose")
		}
	}))
	s := newSite(t, handler, extended)
	for path, want := range map[string]string{
		"/page": "hello", "/ok": "", "/nothing": "", "/flush": "hello", "/accepted": "", "/204": "", "/raw": "hello",
		"/close": "broken", "/part": "broken", "/zero": "broken", "/interim": "broken", "/panic": "broken",
	} {
		res, err := s.connect(t, path, "websocket")
		if want == "broken" {
			if err == nil {
				t.Errorf("%s: %s", path, res.Status)
				res.Body.Close()
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if res.StatusCode != http.StatusNotImplemented || string(body) != want || err != nil {
			t.Errorf("%s: %s, %q, %v", path, res.Status, body, err)
		}
	}
	returned <- struct{}{}
	<-returned
}

// TestWebSocketOutlived has clients give up while a goroutine that outlives the handler accepts the WebSocket.
func TestWebSocketOutlived(t *testing.T) {
	ended := make(chan struct{})
	hijacked := make(chan struct{})
	s := newSite(t, http3.WebSocketHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
		}
		go func() {
			<-hijacked
			for range 1000 { // until the client's end has come
				if _, err := io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\n\r\n"); err != nil {
					break
				}
			}
			conn.Close()
			ended <- struct{}{}
		}()
	})), extended)
	for range 50 {
		r := s.newRequest(t, "CONNECT", "/", nil)
		r.Header[":protocol"] = []string{"websocket"}
		ctx, cancel := context.WithCancel(r.Context())
		go func() {
			hijacked <- struct{}{}
			cancel()
		}()
		if res, err := s.transport.RoundTrip(r.WithContext(ctx)); err == nil {
			res.Body.Close()
		}
		<-ended
	}
}
