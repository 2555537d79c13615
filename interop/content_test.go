package interop

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"
)

// content is the first size bytes of one endless stream that does not compress.
func content(size int64) io.Reader { return io.LimitReader(rand.NewChaCha8([32]byte{1}), size) }

var sums sync.Map // of content, by size

// contentSum is the SHA-256 of content.
func contentSum(size int64) string {
	if sum, ok := sums.Load(size); ok {
		return sum.(string)
	}
	sum := sumOf(content(size))
	sums.Store(size, sum)
	return sum
}

func sumOf(r io.Reader) string {
	h := sha256.New()
	if _, err := io.Copy(h, r); err != nil {
		return err.Error()
	}
	return hex.EncodeToString(h.Sum(nil))
}

// newHandler serves what the tests ask of any HTTP/3 server, Dunlin's or a peer's:
//
//	GET /content/N       N bytes of content
//	PUT, POST /upload    answers with the size and the SHA-256 of the body
//	GET /trickle         a byte now, the rest never
func newHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /content/{size}", func(w http.ResponseWriter, r *http.Request) {
		size, err := strconv.ParseInt(r.PathValue("size"), 10, 64)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
		_, _ = io.CopyBuffer(w, struct{ io.Reader }{content(size)}, make([]byte, 64<<10)) // the client may leave
	})
	upload := func(w http.ResponseWriter, r *http.Request) {
		h := sha256.New()
		n, err := io.CopyBuffer(h, r.Body, make([]byte, 64<<10))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		fmt.Fprintf(w, "%d %x", n, h.Sum(nil))
	}
	mux.HandleFunc("PUT /upload", upload)
	mux.HandleFunc("POST /upload", upload)
	mux.HandleFunc("/trickle", func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "x")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	return mux
}

// download fetches size bytes of content and checks them.
func download(t *testing.T, client http.RoundTripper, base string, size int64) {
	t.Helper()
	if err := tryDownload(t.Context(), client, base, size); err != nil {
		t.Error(err)
	}
}

func tryDownload(ctx context.Context, client http.RoundTripper, base string, size int64) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	resp, err := roundTrip(ctx, client, http.MethodGet, base+"content/"+strconv.FormatInt(size, 10), nil, 0)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if got := sumOf(resp.Body); got != contentSum(size) {
		return fmt.Errorf("a download of %d bytes: SHA-256 %s, want %s", size, got, contentSum(size))
	}
	return nil
}

// upload sends size bytes of content and checks what the server says of them.
func upload(t *testing.T, client http.RoundTripper, base string, size int64) {
	t.Helper()
	if err := tryUpload(t.Context(), client, base, size); err != nil {
		t.Error(err)
	}
}

func tryUpload(ctx context.Context, client http.RoundTripper, base string, size int64) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	resp, err := roundTrip(ctx, client, http.MethodPut, base+"upload", content(size), size)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if want := fmt.Sprintf("%d %s", size, contentSum(size)); err != nil || string(got) != want {
		return fmt.Errorf("an upload of %d bytes: %q, %v; want %q", size, got, err, want)
	}
	return nil
}

// patience is how long one transfer may take: far longer than it ever should.
const patience = 30 * time.Second

func roundTrip(ctx context.Context, client http.RoundTripper, method, url string, body io.Reader, size int64) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.ContentLength = size
	}
	resp, err := client.RoundTrip(req)
	if err == nil && (resp.StatusCode != http.StatusOK || resp.ProtoMajor != 3) {
		resp.Body.Close()
		err = fmt.Errorf("%s %s: %s over %s", method, url, resp.Status, resp.Proto)
	}
	return resp, err
}
