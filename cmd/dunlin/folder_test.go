package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// newTestFolder lays out
//
//	outside/secret.txt
//	public/a.txt, public/sub/index.html, public/<b>&.txt, and links of which two lead outside
func newTestFolder(t *testing.T) *folder {
	t.Helper()
	base := t.TempDir()
	write := func(name, content string) {
		t.Helper()
		name = filepath.Join(base, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	link := func(target, name string) {
		t.Helper()
		if err := os.Symlink(target, filepath.Join(base, "public", name)); err != nil {
			t.Fatal(err)
		}
	}
	write("outside/secret.txt", "secret")
	write("public/a.txt", "0123456789")
	write("public/sub/index.html", "<p>index of sub")
	write("public/<b>&.txt", "odd")
	link("a.txt", "inside")
	link("../outside/secret.txt", "outside-file")
	link("../outside", "outside-folder")
	link(filepath.Join(base, "outside", "secret.txt"), "outside-absolute")
	f, err := openFolder(filepath.Join(base, "public"))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestFolder(t *testing.T) {
	f := newTestFolder(t)
	for _, test := range []struct {
		method, target, rangeHeader string
		status                      int
		body                        string // contained in the body
	}{
		{"GET", "/a.txt", "", 200, "0123456789"},
		{"HEAD", "/a.txt", "", 200, ""},
		{"GET", "/a.txt", "bytes=2-4", 206, "234"},
		{"GET", "/a.txt", "bytes=-3", 206, "789"},
		{"GET", "/a.txt", "bytes=0-0,9-9", 206, "multipart"},
		{"GET", "/a.txt", "bytes=10-", 416, ""},
		{"GET", "/inside", "", 200, "0123456789"},
		{"GET", "/sub/", "", 200, "index of sub"},
		{"GET", "/sub", "", 301, ""},
		{"GET", "/", "", 200, "a.txt"},
		{"GET", "/none", "", 404, ""},
		{"GET", "/none/", "", 404, ""},
		{"POST", "/a.txt", "", 405, ""},
		{"PUT", "/new.txt", "", 405, ""},
		{"GET", "/outside-file", "", 404, ""},
		{"GET", "/outside-folder", "", 404, ""},
		{"GET", "/outside-folder/", "", 404, ""},
		{"GET", "/outside-folder/secret.txt", "", 404, ""},
		{"GET", "/outside-absolute", "", 404, ""},
		{"GET", "/../outside/secret.txt", "", 404, ""},
		{"GET", "/..%2foutside/secret.txt", "", 404, ""},
		{"GET", "/sub/../../outside/secret.txt", "", 404, ""},
		{"GET", "/%2e%2e/outside/secret.txt", "", 404, ""},
		{"GET", "//outside/secret.txt", "", 404, ""},
		{"GET", "/a.txt%00", "", 404, ""},
		{"GET", "/..\\outside\\secret.txt", "", 404, ""},
	} {
		r := httptest.NewRequest(test.method, "https://localhost/", nil)
		if err := setTarget(r, test.target); err != nil {
			t.Errorf("%s: %v", test.target, err)
			continue
		}
		if test.rangeHeader != "" {
			r.Header.Set("Range", test.rangeHeader)
		}
		w := httptest.NewRecorder()
		f.ServeHTTP(w, r)
		body, _ := io.ReadAll(w.Result().Body)
		if strings.Contains(string(body), "secret") && !strings.Contains(test.target, "secret") {
			t.Errorf("%s %s leaks the secret", test.method, test.target)
		}
		if test.body == "multipart" {
			if got := w.Header().Get("Content-Type"); !strings.HasPrefix(got, "multipart/byteranges") {
				t.Errorf("%s %s: Content-Type %q", test.method, test.target, got)
			}
			test.body = ""
		}
		if w.Code != test.status || !strings.Contains(string(body), test.body) {
			t.Errorf("%s %s %s: status %d, body %.80q; want %d and %q", test.method, test.target, test.rangeHeader, w.Code,
				body, test.status, test.body)
		}
	}
}

// setTarget gives a request a path as a client can send it, unclean.
func setTarget(r *http.Request, target string) error {
	u, err := r.URL.Parse("https://localhost/")
	if err != nil {
		return err
	}
	u.RawPath = target
	u.Path = strings.NewReplacer("%2e", ".", "%2f", "/", "%00", "\x00").Replace(target)
	r.URL = u
	return nil
}

func TestFolderListing(t *testing.T) {
	w := httptest.NewRecorder()
	newTestFolder(t).ServeHTTP(w, httptest.NewRequest("GET", "https://localhost/", nil))
	page := w.Body.String()
	for _, want := range []string{
		`<a href="sub/">sub/</a>`, `<a href="a.txt">a.txt</a><td>10<td>`, `<a href="inside">`, `%3Cb%3E&amp;.txt">&lt;b&gt;&amp;.txt</a>`,
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the listing lacks %s:\n%s", want, page)
		}
	}
	if strings.Contains(page, "outside") {
		t.Errorf("the listing shows links that lead out:\n%s", page)
	}
	if strings.Contains(page, `href="../"`) {
		t.Error("the listing of the root links to its parent")
	}
	if sub, file := strings.Index(page, "sub/"), strings.Index(page, "a.txt"); sub > file {
		t.Error("folders do not come first")
	}
}

func TestOpenFolderErrors(t *testing.T) {
	if _, err := openFolder(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a folder that is not there opens")
	}
}
