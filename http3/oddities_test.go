package http3_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
)

// try is do for requests that may be refused before they reach a handler.
func try(path string, prepare func(*http.Request)) func(*testing.T, *notes, *site) {
	return func(t *testing.T, n *notes, s *site) {
		r := s.newRequest(t, "GET", path, nil)
		prepare(r)
		res, err := s.client.Do(r)
		if err != nil {
			n.sawf("gave up")
			return
		}
		n.sawResponse(res, err)
	}
}

// oddities are behaviours at the edge of what net/http promises.
func oddities() (all []behaviour) {
	add := func(b behaviour) { all = append(all, b) }
	get := do("GET", "/", nil, nil)
	for _, f := range []struct{ name, key, value string }{
		{"line break in a value", "X-Bad", "a\r\nX-Injected: b"},
		{"NUL in a value", "X-Bad", "a\x00b"},
		{"space in a name", "X Bad", "v"},
		{"name of a pseudo-header field", ":path", "/evil"},
		{"empty name", "", "v"},
		{"value beyond ASCII", "X-Name", "grüße"},
		{"empty value", "X-Empty", ""},
		{"Host", "Host", "evil.example"},
		{"Content-Length that is no number", "Content-Length", "five"},
		{"negative Content-Length", "Content-Length", "-1"},
	} {
		add(behaviour{"response with " + f.name, func(n *notes, w http.ResponseWriter, r *http.Request) {
			w.Header()[f.key] = []string{f.value}
			w.Header().Set("X-After", "y")
			io.WriteString(w, "hello")
		}, get, "X-After"})
		add(behaviour{"request with " + f.name, func(n *notes, w http.ResponseWriter, r *http.Request) { n.handledRequest(r) }, try("/", func(r *http.Request) {
			r.Header[f.key] = []string{f.value}
			r.Header["User-Agent"] = []string{"x"}
		}), ""})
	}
	for _, status := range []int{200, 204, 205, 299, 304, 404, 500, 600, 999} {
		add(behaviour{fmt.Sprint("text status ", status), func(n *notes, w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			w.WriteHeader(status)
			_, err := io.WriteString(w, "body")
			n.handledf("%v", err)
		}, get, fmt.Sprint("status \"", status)})
		add(behaviour{fmt.Sprint("status and nothing else ", status), func(n *notes, w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(status)
		}, get, fmt.Sprint("status \"", status)})
	}
	add(behaviour{"nothing written, then a status", func(n *notes, w http.ResponseWriter, r *http.Request) {
		k, err := w.Write(nil)
		n.handledf("%d %v", k, err)
		w.WriteHeader(404)
	}, get, "200 OK"})
	add(behaviour{"header field after Flush", func(n *notes, w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		w.Header().Set("X-Late", "x")
		io.WriteString(w, "<html>")
	}, get, "200 OK"})
	add(behaviour{"MaxBytesReader", func(n *notes, w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, 10)
		b, err := io.ReadAll(r.Body)
		var e *http.MaxBytesError
		n.handledf("%d %v", len(b), errors.As(err, &e))
		http.Error(w, "too large", http.StatusRequestEntityTooLarge)
	}, do("POST", "/", func() io.Reader { return strings.NewReader(strings.Repeat("x", 100)) }, nil), "10 true"})
	add(behaviour{"trailers of HEAD", func(n *notes, w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		io.WriteString(w, "x")
		w.Header().Set("X-Sum", "1")
	}, do("HEAD", "/", nil, nil), "200 OK"})
	add(behaviour{"Hijack", func(n *notes, w http.ResponseWriter, r *http.Request) {
		c, _, err := http.NewResponseController(w).Hijack()
		if err == nil {
			c.Close()
		}
		n.handledf("unsupported %v", errors.Is(err, http.ErrNotSupported))
	}, get, "unsupported true"})
	add(behaviour{"cookies", func(n *notes, w http.ResponseWriter, r *http.Request) {
		n.handledf("%q %v", r.Header["Cookie"], r.Cookies())
		http.SetCookie(w, &http.Cookie{Name: "a", Value: "b c"})
		http.SetCookie(w, &http.Cookie{Name: "d", Value: "e", HttpOnly: true})
	}, func(t *testing.T, n *notes, s *site) {
		r := s.newRequest(t, "GET", "/", nil)
		r.AddCookie(&http.Cookie{Name: "x", Value: "1"})
		r.AddCookie(&http.Cookie{Name: "y", Value: "2"})
		jar, err := cookiejar.New(nil)
		if err != nil {
			t.Fatal(err)
		}
		c := *s.client
		c.Jar = jar
		n.sawResponse(c.Do(r))
		n.sawf("%v", jar.Cookies(r.URL))
	}, "x=1; y=2"})
	add(behaviour{"user information in the URL, and another Host", func(n *notes, w http.ResponseWriter, r *http.Request) {
		n.handledf("%q %q %q %q", r.Host, r.Header["Authorization"], r.URL, r.RequestURI)
	}, do("GET", "/x?y#z", nil, func(r *http.Request) {
		r.URL.User = url.UserPassword("me", "secret")
		r.Host = "example.com:99"
	}), "Basic "})
	for i, path := range []string{"//evil.example/x", "/a//b/../c", "/%2e%2e/x", "/a%00b", "/a?b=%zz", "/ü", "/a;b", "/?", "/%"} {
		target := func(n *notes, w http.ResponseWriter, r *http.Request) {
			n.handledf("%q %q %q %q %q", r.RequestURI, r.URL.Path, r.URL.RawPath, r.URL.RawQuery, r.URL.Host)
		}
		add(behaviour{fmt.Sprint("path ", i), target, try("/", func(r *http.Request) { r.URL.Path = path }), "200 OK"})
		if path != "/%" { // HTTP/2 leaves that without an answer
			add(behaviour{fmt.Sprint("opaque ", i), target, try("/", func(r *http.Request) { r.URL.Opaque = path }), ""})
		}
	}
	for i, host := range []string{"a b", "a/b", "a\r\nb", "exämple.com", "EXAMPLE.com", "[::1%25lo]:1"} {
		add(behaviour{fmt.Sprint("host ", i), func(n *notes, w http.ResponseWriter, r *http.Request) {
			n.handledf("%q", r.Host)
		}, try("/", func(r *http.Request) { r.Host = host }), ""})
	}
	return all
}
