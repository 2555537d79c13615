package interop

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

const large = 100e6 // bytes

// 100 MB both ways, between Dunlin and quic-go in both roles.
func TestLargeTransfers(t *testing.T) {
	for _, pair := range pairs {
		t.Run(pair.name, func(t *testing.T) {
			base := urlOf(pair.server.serve(t, newHandler()))
			client := pair.client.client(t)
			t.Run("download", func(t *testing.T) { download(t, client, base, large) })
			t.Run("upload", func(t *testing.T) { upload(t, client, base, large) })
		})
	}
}

// Sizes around what fits a packet, a frame, a flow-control window.
func TestSizes(t *testing.T) {
	for _, pair := range pairs {
		t.Run(pair.name, func(t *testing.T) {
			base := urlOf(pair.server.serve(t, newHandler()))
			client := pair.client.client(t)
			for _, size := range []int64{0, 1, 63, 64, 1199, 1200, 1452, 16383, 16384, 65535, 1 << 19, 1<<19 + 1, 3 << 20} {
				download(t, client, base, size)
				upload(t, client, base, size)
			}
		})
	}
}

// Ten connections of each kind at once, each with a download and an upload at the same time.
func TestConcurrentConnections(t *testing.T) {
	const size = 10e6
	var running sync.WaitGroup
	for _, pair := range pairs {
		base := urlOf(pair.server.serve(t, newHandler()))
		for range 10 {
			client := pair.client.client(t)
			running.Go(func() { download(t, client, base, size) })
			running.Go(func() { upload(t, client, base, size) })
		}
	}
	running.Wait()
}

// A thousand requests on one connection, a hundred at a time.
func TestManyRequests(t *testing.T) {
	for _, pair := range pairs {
		t.Run(pair.name, func(t *testing.T) {
			base := urlOf(pair.server.serve(t, newHandler()))
			client := pair.client.client(t)
			download(t, client, base, 1) // connects
			var running sync.WaitGroup
			for range 100 {
				running.Go(func() {
					for range 10 {
						download(t, client, base, 1000)
					}
				})
			}
			running.Wait()
		})
	}
}

// Interim responses, trailers both ways, HEAD, statuses and header fields in both directions.
func TestMessages(t *testing.T) {
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := sumOf(r.Body)
		w.Header().Set("X-Seen", fmt.Sprintf("%s %s %s %q", r.Method, r.RequestURI, r.Host, r.Header["X-Many"]))
		w.Header().Set("X-Trailer", r.Trailer.Get("X-After"))
		w.Header().Set("Trailer", "X-Sum")
		w.WriteHeader(http.StatusAccepted)
		fmt.Fprint(w, "body")
		w.Header().Set("X-Sum", body)
	})
	for _, pair := range pairs {
		t.Run(pair.name, func(t *testing.T) {
			base := urlOf(pair.server.serve(t, handler))
			client := pair.client.client(t)
			req, err := http.NewRequest(http.MethodPost, base+"p%20q?x=1", content(5000))
			if err != nil {
				t.Fatal(err)
			}
			req.Header["X-Many"] = []string{"a", "b"}
			req.Trailer = http.Header{"X-After": {"after"}}
			resp, err := client.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			body := sumOf(resp.Body)
			want := "POST /p%20q?x=1 " + req.URL.Host + ` ["a" "b"]`
			if got := resp.Header.Get("X-Seen"); got != want || resp.StatusCode != http.StatusAccepted {
				t.Errorf("status %d, the server saw %q, want %q", resp.StatusCode, got, want)
			}
			if body != sumOf(strings.NewReader("body")) {
				t.Error("the body is not what was sent")
			}
			if got := resp.Header.Get("X-Trailer"); got != "after" {
				t.Errorf("the request's trailer is %q", got)
			}
			if got := resp.Trailer.Get("X-Sum"); got != contentSum(5000) {
				t.Errorf("the response's trailer is %q", got)
			}
			head, err := client.RoundTrip(mustRequest(t, http.MethodHead, base))
			if err != nil {
				t.Fatal(err)
			}
			head.Body.Close()
			if head.StatusCode != http.StatusAccepted {
				t.Errorf("HEAD: status %d", head.StatusCode)
			}
		})
	}
}

func mustRequest(t *testing.T, method, url string) *http.Request {
	t.Helper()
	req, err := http.NewRequest(method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return req
}

// The command itself against quic-go's server.
func TestGetFromQuicGo(t *testing.T) {
	base := urlOf(serveQuicGo(t, newHandler()))
	file := filepath.Join(t.TempDir(), "file")
	get := func(args ...string) string {
		t.Helper()
		out, err := exec.Command(command(t), append([]string{"get", "--cacert", testIdentity(t).certFile}, args...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("dunlin get %v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	get("-o", file, fmt.Sprintf("%scontent/%d", base, int(large)))
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if got := sumOf(f); got != contentSum(large) {
		t.Errorf("the download's SHA-256 is %s, want %s", got, contentSum(large))
	}
	want := fmt.Sprintf("%d %s", int(large), contentSum(large))
	if got := get("-T", file, base+"upload"); got != want {
		t.Errorf("the upload: %q, want %q", got, want)
	}
	urls := make([]string, 10)
	for i := range urls {
		urls[i] = base + "content/1000000"
	}
	if got := sumOf(strings.NewReader(get(urls...))); got != tenTimes(t, 1000000) {
		t.Error("ten downloads at once do not arrive whole")
	}
}

func tenTimes(t *testing.T, size int64) string {
	t.Helper()
	var all strings.Builder
	for range 10 {
		buf := make([]byte, size)
		if _, err := content(size).Read(buf); err != nil {
			t.Fatal(err)
		}
		all.Write(buf)
	}
	return sumOf(strings.NewReader(all.String()))
}
