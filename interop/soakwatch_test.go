package interop

import (
	"context"
	"fmt"
	"io"
	"net/http/httptrace"
	"runtime/pprof"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dunlin-quic/dunlin/http3"
)

// watch notes how far a request has come, for the case that it does not end in time.
type watch struct {
	what  string
	began time.Time

	mu       sync.Mutex
	moved    time.Time         // when anything happened last
	conn     *http3.ClientConn // that it went to last
	server   *http3.ServerConn
	steps    []string // what happened, by either side, with the time
	read     int64    // of the answer, by the client
	written  int64    // of it, by the handler
	received int64    // of the body, by the handler
}

// watched returns a context for the request that keeps the watch, of which both sides are told.
func watched(ctx context.Context, what string) (context.Context, *watch) {
	now := time.Now()
	w := &watch{what: what, began: now, moved: now}
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn: func(string) { w.step("client: wants a connection") },
		GotConn: func(info httptrace.GotConnInfo) {
			w.step("client: has a connection")
			w.mu.Lock()
			defer w.mu.Unlock()
			w.conn, _ = info.Conn.(*http3.ClientConn)
		},
		WroteHeaders:         func() { w.step("client: header section written") },
		WroteRequest:         func(info httptrace.WroteRequestInfo) { w.step("client: request written: %v", info.Err) },
		GotFirstResponseByte: func() { w.step("client: the answer begins") },
	}), w
}

func (w *watch) step(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.moved = time.Now()
	w.steps = append(w.steps, fmt.Sprintf("%v ", time.Since(w.began).Round(time.Millisecond))+fmt.Sprintf(format, args...))
}

// count adds to one of the watch's numbers.
func (w *watch) count(n *int64, more int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.moved = time.Now()
	*n += int64(more)
}

// String is what is known now.
func (w *watch) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var b strings.Builder
	fmt.Fprintf(&b, "%s: after %v, of which nothing moved for %v\n", w.what,
		time.Since(w.began).Round(time.Millisecond), time.Since(w.moved).Round(time.Millisecond))
	fmt.Fprintf(&b, "the client has read %d bytes, the handler read %d and written %d\n", w.read, w.received, w.written)
	fmt.Fprintf(&b, "%s\n", strings.Join(w.steps, "\n"))
	if w.conn != nil {
		fmt.Fprintf(&b, "client's connection: ended with %v, %+v\n", w.conn.Err(), w.conn.Stats())
	}
	if w.server != nil {
		fmt.Fprintf(&b, "server's connection: %+v\n", w.server.Stats())
	}
	return b.String()
}

// guard ends a request, with errStuck, in which nothing has moved for soakPatience, and logs all that is known of it. A request
// may take longer: on a busy machine, the congestion window that fits the relay's losses is what a dozen of them share.
func (w *watch) guard(ctx context.Context, t *testing.T, fail context.CancelCauseFunc) {
	for {
		select {
		case <-time.After(time.Until(w.lastMove().Add(*soakPatience))):
		case <-ctx.Done():
			return
		}
		if time.Since(w.lastMove()) < *soakPatience {
			continue
		}
		var stacks strings.Builder
		pprof.Lookup("goroutine").WriteTo(&stacks, 2)
		t.Logf("%v\n%s", w, stacks.String())
		fail(errStuck)
		return
	}
}

func (w *watch) lastMove() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.moved
}

// countingReader and countingWriter tell a watch.
type countingReader struct {
	io.Reader
	count func(int)
}

func (r countingReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	r.count(n)
	return n, err
}

type countingWriter struct {
	io.Writer
	count func(int)
}

func (w countingWriter) Write(p []byte) (int, error) {
	n, err := w.Writer.Write(p)
	w.count(n)
	return n, err
}
