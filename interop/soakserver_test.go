package interop

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/dunlin-quic/dunlin/engine"
	"github.com/dunlin-quic/dunlin/http3"
	"github.com/dunlin-quic/dunlin/quic"
)

// soakServer is a server of Dunlin's that ends and comes back at the same address.
type soakServer struct {
	t      *testing.T
	ledger *ledger
	addr   netip.AddrPort // once it has started
	server *http3.Server
	served chan error
	life   int
}

// serveSoak makes the server of one life.
func serveSoak(cert tls.Certificate, l *ledger, life int) *http3.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("/{$}", func(w http.ResponseWriter, r *http.Request) { l.handle(life, w, r) })
	mux.HandleFunc("CONNECT /{$}", echoTunnel)
	for name, h := range echoWebSockets {
		mux.Handle("/"+name, h)
	}
	return &http3.Server{
		Handler:   http3.WebSocketHandler(mux),
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}},
		QUIC:      &quic.Config{IdleTimeout: 5 * time.Second, HandshakeTimeout: 5 * time.Second, EarlyData: true},
		// The key is that of all lives, so that the next one tells clients that it has lost their connection.
		Endpoint:        engine.EndpointConfig{StatelessResetKey: &[32]byte{1}},
		ExtendedConnect: true,
		ErrorLog:        slog.New(slog.DiscardHandler),
		ConnContext: func(ctx context.Context, c *http3.ServerConn) context.Context {
			return context.WithValue(ctx, soakConn{}, c)
		},
	}
}

type soakConn struct{} // the key of a request's *http3.ServerConn

func newSoakServer(t *testing.T, l *ledger) *soakServer {
	return &soakServer{t: t, ledger: l, addr: netip.MustParseAddrPort("127.0.0.1:0")}
}

func (s *soakServer) start() {
	s.t.Helper()
	l, err := http3.Listen(s.addr.String())
	if err != nil {
		s.t.Fatal(err)
	}
	s.addr = addrPort(l.Addr())
	life := s.ledger.newLife()
	s.life = life
	s.server = serveSoak(testIdentity(s.t).cert, s.ledger, life)
	server, served := s.server, make(chan error, 1)
	s.served = served
	go func() { served <- server.Serve(l) }()
}

// end ends the server, orderly with its requests answered, and checks that it leaves nothing.
func (s *soakServer) end(ctx context.Context, orderly bool) {
	s.t.Helper()
	if orderly {
		// Requests that end in time by themselves may take longer than the patience.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 4**soakPatience)
		defer cancel()
		if err := s.server.Shutdown(ctx); err != nil {
			s.t.Errorf("shutdown: %v; unfinished:\n%s", err, strings.Join(s.ledger.unfinished(s.life), "\n"))
		}
	} else {
		s.ledger.endLife(s.life, false)
		s.server.Close()
	}
	if err := <-s.served; !errors.Is(err, http.ErrServerClosed) {
		s.t.Errorf("the server ended with %v", err)
	}
	for _, st := range s.server.Stats() {
		if st.Connections != 0 || st.RoutedIDs != 0 || st.QueuedBytes != 0 || st.Handshakes != 0 {
			s.t.Errorf("an ended server has %d connections, %d IDs, %d bytes of packets, %d handshakes",
				st.Connections, st.RoutedIDs, st.QueuedBytes, st.Handshakes)
		}
	}
}

// handle answers a request as its query says:
//
//	id       its number
//	echo     send the body back as it comes; else read it, then answer with content, and the body's digest in a trailer
//	answer   the length of the content
//	pause    milliseconds before the answer
//	break    abort after so many bytes of the answer
func (l *ledger) handle(life int, w http.ResponseWriter, r *http.Request) {
	number := func(key string) int {
		n, _ := strconv.Atoi(r.URL.Query().Get(key))
		return n
	}
	id := uint64(number("id"))
	watch := new(watch)
	l.note(id, func(e *entry) {
		e.life = life
		e.handled++
		e.answered = false
		watch = e.watch
	})
	watch.mu.Lock()
	watch.server, _ = r.Context().Value(soakConn{}).(*http3.ServerConn)
	watch.mu.Unlock()
	watch.step("server: handled")
	if http3.IsEarly(r) {
		l.count("early")
	}
	defer watch.step("server: done")
	r.Body = struct {
		io.Reader
		io.Closer
	}{countingReader{r.Body, func(n int) { watch.count(&watch.received, n) }}, r.Body}
	w.Header().Set("Trailer", "X-Sum")
	out := http.NewResponseController(w)
	sum := sha256.New()
	if r.URL.Query().Has("echo") {
		out.EnableFullDuplex()
		out.Flush()
		buf := make([]byte, 8<<10)
		for {
			n, err := r.Body.Read(buf)
			sum.Write(buf[:n])
			watch.count(&watch.written, n)
			if _, err := w.Write(buf[:n]); err != nil {
				return
			}
			if err == io.EOF {
				break
			}
			if err != nil || out.Flush() != nil {
				return
			}
		}
	} else {
		if _, err := io.Copy(sum, r.Body); err != nil {
			return
		}
		watch.step("server: has the body")
		select {
		case <-time.After(time.Duration(number("pause")) * time.Millisecond):
		case <-r.Context().Done():
			return
		}
		answer := int64(number("answer"))
		if r.URL.Query().Has("break") {
			io.CopyN(w, content(answer), int64(number("break")))
			if number("break")%2 == 0 {
				out.Flush()
			}
			panic(http.ErrAbortHandler)
		}
		if _, err := io.CopyBuffer(countingWriter{w, func(n int) { watch.count(&watch.written, n) }}, struct{ io.Reader }{content(answer)}, make([]byte, 8<<10)); err != nil {
			return
		}
	}
	uploaded := hex.EncodeToString(sum.Sum(nil))
	w.Header().Set("X-Sum", uploaded)
	l.note(id, func(e *entry) { e.answered, e.uploaded = true, uploaded })
	if l.tell != nil {
		l.tell(id, uploaded)
	}
}
