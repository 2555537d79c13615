package http3_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// behaviour is something that users of net/http can observe: it must be the same over HTTP/1.1, HTTP/2 and HTTP/3. What the
// client and the handler note in the transcript is compared.
type behaviour struct {
	name    string
	handler func(n *notes, w http.ResponseWriter, r *http.Request)
	client  func(t *testing.T, n *notes, s *site)
	want    string // must be part of the transcript, so that all can't fail alike
}

// notes is the transcript of a behaviour. Client and handler write to a section each, for they run concurrently.
type notes struct {
	step            chan struct{} // for one to wait for the other
	mu              sync.Mutex
	client, handler strings.Builder
}

func (n *notes) sawf(format string, args ...any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	fmt.Fprintf(&n.client, format+"\n", args...)
}

func (n *notes) handledf(format string, args ...any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	fmt.Fprintf(&n.handler, format+"\n", args...)
}

func (n *notes) String() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return "client:\n" + n.client.String() + "handler:\n" + n.handler.String()
}

func digest(b []byte) string { return fmt.Sprintf("%d bytes %x", len(b), sha256.Sum256(b)) }

func describeHeader(h http.Header) string {
	var lines []string
	for _, key := range slices.Sorted(maps.Keys(h)) {
		if key == "Date" {
			if _, err := http.ParseTime(h.Get(key)); err != nil {
				lines = append(lines, "Date that does not parse")
			} else {
				lines = append(lines, "Date")
			}
			continue
		}
		line := fmt.Sprintf("%s=%q", key, h[key])
		if len(line) > 200 {
			line = key + " of " + digest([]byte(line))
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "; ")
}

// sawResponse notes all that a client can see of a response, and reads it.
func (n *notes) sawResponse(res *http.Response, err error) {
	if err != nil {
		n.sawf("no response")
		return
	}
	defer res.Body.Close()
	n.sawf("status %q, length %d, uncompressed %v, header %s", res.Status, res.ContentLength, res.Uncompressed, describeHeader(res.Header))
	n.sawf("announced trailers %s", describeHeader(res.Trailer))
	body, err := io.ReadAll(res.Body)
	if err != nil {
		n.sawf("body broke off")
		return
	}
	n.sawf("body %s; trailers %s", digest(body), describeHeader(res.Trailer))
}

func pattern(n int) []byte {
	b := make([]byte, n)
	x := uint32(1)
	for i := range b {
		x = x*1664525 + 1013904223
		b[i] = byte(x >> 24)
	}
	return b
}

// do sends a request and notes the response.
func do(method, path string, body func() io.Reader, prepare func(*http.Request)) func(*testing.T, *notes, *site) {
	return func(t *testing.T, n *notes, s *site) {
		var reader io.Reader
		if body != nil {
			reader = body()
		}
		r := s.newRequest(t, method, path, reader)
		if prepare != nil {
			prepare(r)
		}
		n.sawResponse(s.client.Do(r))
	}
}

func get(t *testing.T, n *notes, s *site) { do("GET", "/", nil, nil)(t, n, s) }

// handledRequest notes all that a handler can see of a request, and reads it.
func (n *notes) handledRequest(r *http.Request) {
	header := r.Header.Clone()
	header.Del("User-Agent")
	n.handledf("%s %s host ok %v length %d encoding %v header %s", r.Method, r.RequestURI, r.Host != "", r.ContentLength, r.TransferEncoding, describeHeader(header))
	n.handledf("URL %q announced trailers %s TLS %v", r.URL, describeHeader(r.Trailer), r.TLS != nil && r.TLS.HandshakeComplete)
	body, err := io.ReadAll(r.Body)
	if err != nil {
		n.handledf("body broke off")
		return
	}
	n.handledf("body %s; trailers %s", digest(body), describeHeader(r.Trailer))
}

// onlyReader hides all methods but Read.
type onlyReader struct{ io.Reader }

func behaviours() []behaviour {
	var all []behaviour
	add := func(b behaviour) { all = append(all, b) }
	echo := func(n *notes, w http.ResponseWriter, r *http.Request) {
		n.handledRequest(r)
		w.Header().Set("X-Method", r.Method)
		io.WriteString(w, "answer to "+r.Method)
	}
	for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"} {
		add(behaviour{"method " + method, echo, do(method, "/path%2Fa/b?q=1&r=%20", nil, nil), "X-Method"})
	}
	add(behaviour{"header fields", func(n *notes, w http.ResponseWriter, r *http.Request) {
		n.handledRequest(r)
		w.Header()["X-Several"] = []string{"a", "b", "c, d"}
		w.Header()["x-lower"] = []string{"as is"}
		w.Header().Set("X-Empty", "")
		http.SetCookie(w, &http.Cookie{Name: "a", Value: "1"})
		http.SetCookie(w, &http.Cookie{Name: "b", Value: "2"})
		w.Header().Set("Connection", "keep-alive")
	}, do("GET", "/", nil, func(r *http.Request) {
		r.Header["X-Several"] = []string{"a", "b", "c, d"}
		r.Header.Set("Te", "trailers")
		r.Header.Set("Connection", "keep-alive")
		r.Header.Set("Authorization", "Basic secret")
		r.AddCookie(&http.Cookie{Name: "one", Value: "1"})
		r.AddCookie(&http.Cookie{Name: "two", Value: "2"})
		r.Header.Set("X-Long", strings.Repeat("a long", 2000))
		r.Header.Set("User-Agent", "")
	}), "one=1; two=2"})
	statuses := []int{600, 700, 999}
	for status := 200; status < 600; status++ {
		statuses = append(statuses, status)
	}
	for _, status := range statuses {
		add(behaviour{fmt.Sprintf("status %d", status), func(n *notes, w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(status)
			_, err := io.WriteString(w, "body")
			n.handledf("write: %v", err)
		}, get, fmt.Sprint(status)})
	}
	// Around what fits a packet, the buffers of both sides, the length that a varint of another length has, frames of HTTP/2,
	// what a reader and a writer share, QUIC's and HTTP/2's windows.
	sizes := []int{
		0, 1, 63, 64, 100, 511, 512, 513, 1100, 1199, 1252, 1452, 2047, 2048, 2049, 4095, 4096, 4097, 8192, 16383, 16384, 16385,
		32767, 32768, 32769, 65535, 65536, 65537, 200_000, 512<<10 - 1, 512 << 10, 512<<10 + 1, 1<<20 + 7, 2<<20 + 1,
	}
	for _, size := range sizes {
		body := pattern(size)
		for _, way := range []string{"one write", "declared length", "flushed", "pieces", "reader"} {
			add(behaviour{fmt.Sprintf("download %d %s", size, way), func(n *notes, w http.ResponseWriter, r *http.Request) {
				var err error
				switch way {
				case "one write":
					_, err = w.Write(body)
				case "declared length":
					w.Header().Set("Content-Length", fmt.Sprint(size))
					_, err = w.Write(body)
				case "flushed":
					if size == 0 {
						break // whether the end travels with the header section is a matter of timing
					}
					w.(http.Flusher).Flush()
					w.Write(body[:size/2])
					w.(http.Flusher).Flush()
					_, err = w.Write(body[size/2:])
				case "pieces":
					w.Header().Set("Content-Type", "application/x-pieces")
					for piece := range slices.Chunk(body, 1000) {
						w.(io.StringWriter).WriteString(string(piece))
					}
				case "reader":
					_, err = io.Copy(w, onlyReader{bytes.NewReader(body)})
				}
				n.handledf("%v", err)
			}, get, digest(body)})
		}
		for _, way := range []string{"from memory", "known length", "unknown length", "slow reader"} {
			add(behaviour{fmt.Sprintf("upload %d %s", size, way), func(n *notes, w http.ResponseWriter, r *http.Request) {
				n.handledRequest(r)
			}, func(t *testing.T, n *notes, s *site) {
				var reader io.Reader = bytes.NewReader(body)
				switch way {
				case "known length":
					reader = onlyReader{reader}
				case "unknown length":
					reader = onlyReader{reader}
				case "slow reader":
					if size > 10_000 {
						reader = onlyReader{io.MultiReader(onlyReader{bytes.NewReader(body[:9999])}, bytes.NewReader(body[9999:]))}
					}
				}
				r := s.newRequest(t, "POST", "/", reader)
				if size == 0 {
					r.Body = http.NoBody
				}
				if way == "known length" {
					r.ContentLength = int64(size)
				}
				n.sawResponse(s.client.Do(r))
			}, digest(body)})
		}
	}
	add(behaviour{"content type is guessed", func(n *notes, w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "<html><body>hello")
	}, get, "text/html"})
	add(behaviour{"content type is not guessed when it is nil", func(n *notes, w http.ResponseWriter, r *http.Request) {
		w.Header()["Content-Type"] = nil
		io.WriteString(w, "<html><body>hello")
	}, get, "200"})
	add(behaviour{"content type is not guessed of an encoded body", func(n *notes, w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "x")
		io.WriteString(w, "<html><body>hello")
	}, get, "200"})
	add(behaviour{"HEAD of a body", func(n *notes, w http.ResponseWriter, r *http.Request) {
		n1, err := io.WriteString(w, "<html><body>hello")
		n.handledf("%d %v", n1, err)
	}, do("HEAD", "/", nil, nil), "length 17"})
	add(behaviour{"HEAD of a declared length", func(n *notes, w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "123456")
	}, do("HEAD", "/", nil, nil), "length 123456"})
	add(behaviour{"HEAD of a large body", func(n *notes, w http.ResponseWriter, r *http.Request) {
		n1, err := w.Write(pattern(100_000))
		n.handledf("%d %v", n1, err)
		w.(http.Flusher).Flush()
	}, do("HEAD", "/", nil, nil), "100000"})
	add(behaviour{"redirect", func(n *notes, w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/there?x=1", http.StatusFound)
	}, get, "/there?x=1"})
	add(behaviour{"superfluous WriteHeader", func(n *notes, w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(404)
		w.WriteHeader(200)
		w.Header().Set("X-Late", "1")
	}, get, "404"})
	add(behaviour{"interim responses", func(n *notes, w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</a.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Add("Link", "</b.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(http.StatusProcessing)
		w.Header().Del("Link")
		io.WriteString(w, "done")
	}, func(t *testing.T, n *notes, s *site) {
		r := s.newRequest(t, "GET", "/", nil)
		n.sawResponse(s.client.Do(r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{
			Got1xxResponse: func(code int, header textproto.MIMEHeader) error {
				n.sawf("interim %d %s", code, describeHeader(http.Header(header)))
				return nil
			},
		}))))
	}, "b.css"})
	add(behaviour{"announced response trailers", func(n *notes, w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-Sum, X-Absent")
		w.Header().Add("Trailer", "X-Other")
		io.WriteString(w, "body")
		w.Header().Set("X-Sum", "42")
		w.Header().Set("X-Other", "43")
	}, get, "X-Sum=[\"42\"]"})
	add(behaviour{"unannounced response trailers", func(n *notes, w http.ResponseWriter, r *http.Request) {
		w.Write(pattern(100_000))
		w.Header().Set(http.TrailerPrefix+"X-Sum", "42")
	}, get, "X-Sum=[\"42\"]"})
	add(behaviour{"response trailers without a body", func(n *notes, w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		w.WriteHeader(200)
		w.Header().Set("X-Sum", "42")
	}, get, "X-Sum=[\"42\"]"})
	add(behaviour{"request trailers", func(n *notes, w http.ResponseWriter, r *http.Request) {
		n.handledRequest(r)
	}, do("POST", "/", func() io.Reader { return onlyReader{bytes.NewReader(pattern(70_000))} }, func(r *http.Request) {
		r.Trailer = http.Header{"X-Sum": {"42"}, "X-None": nil}
	}), "X-Sum=[\"42\"]"})
	for _, size := range []int{1, 4096, 16384, 65536, 512 << 10} {
		add(behaviour{fmt.Sprintf("trailers of any length %d", size), func(n *notes, w http.ResponseWriter, r *http.Request) {
			n.handledRequest(r)
			w.Write(pattern(size))
			w.Header().Set(http.TrailerPrefix+"X-Large", strings.Repeat("t", min(size, 20_000)))
			w.(http.Flusher).Flush()
		}, do("POST", "/", func() io.Reader { return onlyReader{bytes.NewReader(pattern(size))} }, func(r *http.Request) {
			r.Trailer = http.Header{"X-Large": {strings.Repeat("t", min(size, 20_000))}}
		}), "X-Large"})
	}
	for _, count := range []int{10, 100, 500} {
		many := func(h http.Header) {
			for i := range count {
				h.Set(fmt.Sprint("X-Field-", i), strings.Repeat("v", i%70))
			}
		}
		add(behaviour{fmt.Sprintf("many header fields %d", count), func(n *notes, w http.ResponseWriter, r *http.Request) {
			n.handledRequest(r)
			many(w.Header())
		}, do("GET", "/", nil, func(r *http.Request) { many(r.Header) }), fmt.Sprint("X-Field-", count-1)})
	}
	for _, size := range []int{1000, 4096, 16384, 32768, 60_000} {
		big := strings.Repeat("b", size)
		add(behaviour{fmt.Sprintf("big header field %d", size), func(n *notes, w http.ResponseWriter, r *http.Request) {
			n.handledRequest(r)
			w.Header().Set("X-Big", big)
		}, do("GET", "/", nil, func(r *http.Request) { r.Header.Set("X-Big", big) }), "X-Big"})
	}
	add(behaviour{"slow writer", func(n *notes, w http.ResponseWriter, r *http.Request) {
		for piece := range slices.Chunk(pattern(50), 1) {
			w.Write(piece)
			w.(http.Flusher).Flush()
			time.Sleep(time.Millisecond)
		}
	}, get, digest(pattern(50))})
	add(behaviour{"slow reader of a response", func(n *notes, w http.ResponseWriter, r *http.Request) {
		k, err := w.Write(pattern(3 << 20))
		n.handledf("%d %v", k, err)
	}, func(t *testing.T, n *notes, s *site) {
		res, err := s.client.Do(s.newRequest(t, "GET", "/", nil))
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		k, err := io.CopyBuffer(&slowWriter{}, onlyReader{res.Body}, make([]byte, 64<<10))
		n.sawf("%d %v", k, err)
	}, "3145728 <nil>"})
	add(behaviour{"slow reader of a request", func(n *notes, w http.ResponseWriter, r *http.Request) {
		k, err := io.CopyBuffer(&slowWriter{}, onlyReader{r.Body}, make([]byte, 64<<10))
		n.handledf("%d %v", k, err)
	}, do("POST", "/", func() io.Reader { return bytes.NewReader(pattern(3 << 20)) }, nil), "3145728 <nil>"})
	add(behaviour{"gzip is undone", func(n *notes, w http.ResponseWriter, r *http.Request) {
		n.handledf("%s", r.Header.Get("Accept-Encoding"))
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		z.Write(pattern(100_000))
		z.Close()
	}, get, digest(pattern(100_000))})
	add(behaviour{"gzip that was asked for is left alone", func(n *notes, w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		z.Write(bytes.Repeat([]byte("a"), 1000))
		z.Close()
	}, do("GET", "/", nil, func(r *http.Request) { r.Header.Set("Accept-Encoding", "gzip") }), "gzip"})
	add(behaviour{"request body is not read", func(n *notes, w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "no need")
	}, do("POST", "/", func() io.Reader { return bytes.NewReader(pattern(3000)) }, nil), digest([]byte("no need"))})
	add(behaviour{"handler panics", func(n *notes, w http.ResponseWriter, r *http.Request) {
		panic("on purpose")
	}, get, "no response"})
	add(behaviour{"handler aborts after the header section", func(n *notes, w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "first half")
		w.(http.Flusher).Flush()
		<-n.step
		panic(http.ErrAbortHandler)
	}, func(t *testing.T, n *notes, s *site) {
		res, err := s.client.Do(s.newRequest(t, "GET", "/", nil))
		close(n.step)
		n.sawResponse(res, err)
	}, "body broke off"})
	add(behaviour{"handler aborts in a large body", func(n *notes, w http.ResponseWriter, r *http.Request) {
		w.Write(pattern(300_000))
		<-n.step
		panic(http.ErrAbortHandler)
	}, func(t *testing.T, n *notes, s *site) {
		res, err := s.client.Do(s.newRequest(t, "GET", "/", nil))
		if err != nil {
			t.Fatal(err)
		}
		_, err = io.ReadFull(res.Body, make([]byte, 100_000))
		n.sawf("%v", err)
		close(n.step)
		n.sawResponse(res, err)
	}, "body broke off"})
	add(behaviour{"client cancels while the handler waits", func(n *notes, w http.ResponseWriter, r *http.Request) {
		close(n.step)
		<-r.Context().Done()
		n.handledf("context: %v", r.Context().Err())
	}, func(t *testing.T, n *notes, s *site) {
		ctx, cancel := context.WithCancel(context.Background())
		go func() {
			<-n.step // one that is cancelled on its way may never have a handler
			cancel()
		}()
		_, err := s.client.Do(s.newRequest(t, "GET", "/", nil).WithContext(ctx))
		n.sawf("canceled: %v", errors.Is(err, context.Canceled))
	}, "context: context canceled"})
	add(behaviour{"client's deadline passes", func(n *notes, w http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
	}, func(t *testing.T, n *notes, s *site) {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
		defer cancel()
		_, err := s.client.Do(s.newRequest(t, "GET", "/", nil).WithContext(ctx))
		var timeout interface{ Timeout() bool }
		n.sawf("gave up: %v %v", errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout())
	}, "gave up: true true"})
	add(behaviour{"client closes the response body early", func(n *notes, w http.ResponseWriter, r *http.Request) {
		var err error
		for err == nil {
			_, err = w.Write(pattern(10_000))
		}
		<-r.Context().Done()
		n.handledf("context: %v", r.Context().Err())
	}, func(t *testing.T, n *notes, s *site) {
		res, err := s.client.Do(s.newRequest(t, "GET", "/", nil))
		if err != nil {
			t.Fatal(err)
		}
		_, err = io.ReadFull(res.Body, make([]byte, 50_000))
		n.sawf("read: %v", err)
		res.Body.Close()
		_, err = res.Body.Read(make([]byte, 1))
		n.sawf("read after close fails: %v", err != nil)
	}, "context: context canceled"})
	add(behaviour{"client's body breaks off", func(n *notes, w http.ResponseWriter, r *http.Request) {
		n.handledRequest(r)
	}, func(t *testing.T, n *notes, s *site) {
		broken := errors.New("broken")
		body := io.MultiReader(bytes.NewReader(pattern(100_000)), readerFunc(func([]byte) (int, error) { return 0, broken }))
		_, err := s.client.Do(s.newRequest(t, "POST", "/", body))
		n.sawf("gave up: %v", errors.Is(err, broken))
	}, "gave up: true"})
	add(behaviour{"expect continue, wanted", func(n *notes, w http.ResponseWriter, r *http.Request) {
		n.handledRequest(r)
	}, func(t *testing.T, n *notes, s *site) {
		r := s.newRequest(t, "POST", "/", bytes.NewReader(pattern(5000)))
		r.Header.Set("Expect", "100-continue")
		r = r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{
			Got100Continue: func() { n.sawf("100") },
		}))
		n.sawResponse(s.client.Do(r))
	}, "100\nstatus"})
	add(behaviour{"expect continue, not wanted", func(n *notes, w http.ResponseWriter, r *http.Request) {
		http.Error(w, "no", http.StatusForbidden)
	}, func(t *testing.T, n *notes, s *site) {
		r := s.newRequest(t, "POST", "/", bytes.NewReader(pattern(5000)))
		r.Header.Set("Expect", "100-continue")
		n.sawResponse(s.client.Do(r))
	}, "403"})
	add(behaviour{"read deadline", func(n *notes, w http.ResponseWriter, r *http.Request) {
		c := http.NewResponseController(w)
		n.handledf("set: %v", c.SetReadDeadline(time.Now().Add(20*time.Millisecond)))
		_, err := io.ReadAll(r.Body)
		n.handledf("deadline: %v", errors.Is(err, os.ErrDeadlineExceeded))
		w.WriteHeader(http.StatusRequestTimeout)
	}, func(t *testing.T, n *notes, s *site) {
		pr, pw := io.Pipe()
		defer pw.Close()
		res, err := s.client.Do(s.newRequest(t, "POST", "/", pr))
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		n.sawf("%s", res.Status)
	}, "deadline: true"})
	add(behaviour{"write deadline", func(n *notes, w http.ResponseWriter, r *http.Request) {
		c := http.NewResponseController(w)
		n.handledf("flush: %v", c.Flush())
		n.handledf("set: %v", c.SetWriteDeadline(time.Now().Add(20*time.Millisecond)))
		var err error
		for err == nil {
			_, err = w.Write(pattern(100_000))
		}
	}, func(t *testing.T, n *notes, s *site) {
		res, err := s.client.Do(s.newRequest(t, "GET", "/", nil))
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		_, err = io.Copy(&slowWriter{}, res.Body)
		n.sawf("broke off: %v", err != nil)
	}, "broke off: true"})
	add(behaviour{"full duplex", func(n *notes, w http.ResponseWriter, r *http.Request) {
		c := http.NewResponseController(w)
		n.handledf("%v %v", c.EnableFullDuplex(), c.Flush())
		buf := make([]byte, 100)
		for {
			m, err := r.Body.Read(buf)
			w.Write(bytes.ToUpper(buf[:m]))
			if c.Flush() != nil || err != nil {
				return
			}
		}
	}, func(t *testing.T, n *notes, s *site) {
		pr, pw := io.Pipe()
		res, err := s.client.Do(s.newRequest(t, "POST", "/", pr))
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		for i := range 20 {
			word := fmt.Sprintf("word %d;", i)
			io.WriteString(pw, word)
			answer := make([]byte, len(word))
			if _, err := io.ReadFull(res.Body, answer); err != nil {
				t.Fatal(err)
			}
			n.sawf("%s", answer)
		}
		pw.Close()
		rest, err := io.ReadAll(res.Body)
		n.sawf("rest %q %v", rest, err)
	}, "WORD 19;"})
	add(behaviour{"reverse order", func(n *notes, w http.ResponseWriter, r *http.Request) {
		// The response is complete before the request is.
		http.NewResponseController(w).EnableFullDuplex()
		io.WriteString(w, "early")
		w.(http.Flusher).Flush()
		n.handledRequest(r)
	}, func(t *testing.T, n *notes, s *site) {
		pr, pw := io.Pipe()
		res, err := s.client.Do(s.newRequest(t, "POST", "/", pr))
		if err != nil {
			t.Fatal(err)
		}
		pw.Write(pattern(50_000))
		pw.Close()
		n.sawResponse(res, err)
	}, digest(pattern(50_000))})
	return all
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// slowWriter takes its time.
type slowWriter struct{}

func (*slowWriter) Write(p []byte) (int, error) {
	time.Sleep(time.Millisecond)
	return len(p), nil
}

// TestLikeNetHTTP runs every behaviour over net/http's HTTP/1.1 and HTTP/2 and over this package, and compares. What differs,
// and may, is in differences.
func TestLikeNetHTTP(t *testing.T) {
	cases := append(behaviours(), oddities()...)
	// One server of each kind serves all cases, one at a time: what one leaves behind would show in the next.
	var handlers sync.Map // by tag: a request that was given up may arrive after its case is over
	var h http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handler, _ := handlers.Load(r.Header.Get("X-Tag"))
		r.Header.Del("X-Tag")
		handler.(func(http.ResponseWriter, *http.Request))(w, r)
	})
	sites := map[string]*site{"HTTP/1.1": newTCPSite(t, h, false), "HTTP/2": newTCPSite(t, h, true), "HTTP/3": newSite(t, h, nil)}
	names, seen := make(map[string]bool), make(map[*difference]bool)
	for _, b := range cases {
		if names[b.name] {
			t.Errorf("two cases are called %q", b.name)
		}
		names[b.name] = true
		t.Run(b.name, func(t *testing.T) {
			transcript := func(proto string) string {
				n := &notes{step: make(chan struct{})}
				handled := make(chan struct{})
				s := sites[proto]
				s.tag = proto + " " + b.name
				handlers.Store(s.tag, func(w http.ResponseWriter, r *http.Request) {
					defer close(handled)
					b.handler(n, w, r)
				})
				b.client(t, n, s)
				if saw := n.client.String(); strings.Contains(saw, "gave up") {
					return saw // the server may not have noticed that there was a request
				}
				select {
				case <-handled:
				case <-time.After(10 * time.Second):
					t.Fatalf("over %s the handler has not returned; so far: %v", proto, n)
				}
				return n.String()
			}
			want := transcript("HTTP/2")
			for _, proto := range []string{"HTTP/1.1", "HTTP/3"} {
				got := transcript(proto)
				if got != want {
					if d := differenceOf(proto, b.name); d != nil {
						seen[d] = true
					} else {
						t.Errorf("over %s:\n%s\nover HTTP/2:\n%s", proto, got, want)
					}
				}
				if proto == "HTTP/3" && !strings.Contains(got, b.want) {
					t.Errorf("%q is not part of:\n%s", b.want, got)
				}
			}
		})
	}
	for i := range differences {
		if d := &differences[i]; !seen[d] && !t.Failed() {
			t.Errorf("no case shows any more: over %s: %s", d.proto, d.reason)
		}
	}
}
