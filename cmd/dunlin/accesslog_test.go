package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestAccessLog(t *testing.T) {
	handlers := map[string]http.HandlerFunc{
		"answers":  func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "hello") },
		"status":   func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusTeapot) },
		"interim":  func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(103); w.WriteHeader(404) },
		"copies":   func(w http.ResponseWriter, r *http.Request) { io.Copy(w, strings.NewReader("0123456789")) },
		"rewrites": func(w http.ResponseWriter, r *http.Request) { r.URL.Path = "/else" },
		"flushes":  func(w http.ResponseWriter, r *http.Request) { http.NewResponseController(w).Flush() },
		"aborts":   func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) },
		"left": func(w http.ResponseWriter, r *http.Request) {
			ctx, cancel := context.WithCancel(r.Context())
			cancel()
			*r = *r.WithContext(ctx)
		},
	}
	for _, test := range []struct{ handler, want string }{
		{"answers", `2026-11-22T10:04:05Z 192.0.2.1 HTTP/1.1 GET "/p?q=\"" 200 5 2.5ms`},
		{"status", `2026-11-22T10:04:05Z 192.0.2.1 HTTP/1.1 GET "/p?q=\"" 418 0 2.5ms`},
		{"interim", `2026-11-22T10:04:05Z 192.0.2.1 HTTP/1.1 GET "/p?q=\"" 404 0 2.5ms`},
		{"copies", `2026-11-22T10:04:05Z 192.0.2.1 HTTP/1.1 GET "/p?q=\"" 200 10 2.5ms`},
		{"rewrites", `2026-11-22T10:04:05Z 192.0.2.1 HTTP/1.1 GET "/p?q=\"" 200 0 2.5ms`},
		{"flushes", `2026-11-22T10:04:05Z 192.0.2.1 HTTP/1.1 GET "/p?q=\"" 200 0 2.5ms`},
		{"aborts", `2026-11-22T10:04:05Z 192.0.2.1 HTTP/1.1 GET "/p?q=\"" 200 0 2.5ms aborted`},
		{"left", `2026-11-22T10:04:05Z 192.0.2.1 HTTP/1.1 GET "/p?q=\"" 200 0 2.5ms aborted`},
	} {
		t.Run(test.handler, func(t *testing.T) {
			now := time.Date(2026, 11, 22, 10, 4, 5, 0, time.UTC)
			var out bytes.Buffer
			log := &accessLog{handler: handlers[test.handler], out: &out, now: func() time.Time {
				defer func() { now = now.Add(2500 * time.Microsecond) }()
				return now
			}}
			func() {
				defer func() { _ = recover() }()
				log.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", `https://localhost/p?q="`, nil))
			}()
			if got := strings.TrimSuffix(out.String(), "\n"); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

// A response must keep what the one below can do.
func TestAccessLogKeepsFeatures(t *testing.T) {
	server := httptest.NewServer(&accessLog{now: time.Now, out: io.Discard, handler: http.HandlerFunc(
		func(w http.ResponseWriter, r *http.Request) {
			control := http.NewResponseController(w)
			for name, err := range map[string]error{
				"Flush":            control.Flush(),
				"SetReadDeadline":  control.SetReadDeadline(time.Now().Add(time.Minute)),
				"EnableFullDuplex": control.EnableFullDuplex(),
			} {
				if err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
		})})
	defer server.Close()
	resp, err := http.Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
}
