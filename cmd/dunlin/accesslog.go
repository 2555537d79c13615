package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// accessLog writes one line for each request that a handler answered:
//
//	2026-11-22T10:04:05Z 127.0.0.1 HTTP/3.0 GET "/pictures/1.svg" 200 1834 0.4ms
//
// the time when it came, the client, the protocol, method and target, then status, bytes of body sent and how long it
// took. A response that broke off has "aborted" at the end of its line.
type accessLog struct {
	handler http.Handler
	now     func() time.Time

	mu  sync.Mutex
	out io.Writer
}

func (l *accessLog) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := l.now()
	recorded := &recordedResponse{ResponseWriter: w}
	target := r.URL.RequestURI() // handlers may change the URL
	note := " aborted"
	defer func() {
		status := recorded.status
		if status == 0 {
			status = http.StatusOK
		}
		client, _, err := net.SplitHostPort(r.RemoteAddr)
		if err != nil {
			client = r.RemoteAddr
		}
		took := l.now().Sub(start)
		l.mu.Lock()
		defer l.mu.Unlock()
		fmt.Fprintf(l.out, "%s %s %s %s %q %d %d %.1fms%s\n", start.UTC().Format(time.RFC3339), client, r.Proto, r.Method,
			target, status, recorded.bytes, float64(took.Microseconds())/1000, note)
	}()
	l.handler.ServeHTTP(recorded, r)
	if r.Context().Err() == nil {
		note = ""
	}
}

// recordedResponse remembers what was answered.
type recordedResponse struct {
	http.ResponseWriter
	status int
	bytes  int64
}

// Unwrap lets http.ResponseController reach the features of the response below.
func (w *recordedResponse) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *recordedResponse) WriteHeader(status int) {
	if w.status == 0 && status >= 200 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *recordedResponse) Write(p []byte) (int, error) {
	n, err := w.ResponseWriter.Write(p)
	w.bytes += int64(n)
	return n, err
}

// ReadFrom keeps the fast paths of the response below.
func (w *recordedResponse) ReadFrom(src io.Reader) (int64, error) {
	n, err := io.Copy(w.ResponseWriter, src)
	w.bytes += n
	return n, err
}
