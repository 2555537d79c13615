package interop

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

const pictures = 60

// The page fetches pictures, a script and a download, checks what arrived, and asks for /result?… with its findings,
// which puts them into the server's access log.
const page = `<!DOCTYPE html>
<title>Chromium test</title>
<script src="script.js" defer></script>
`

const script = `
const report = (findings) => fetch("result?" + new URLSearchParams(findings));
async function run() {
  const loaded = await Promise.all(Array.from({ length: %d }, async (_, i) => {
    const picture = new Image();
    picture.src = i + ".png";
    await picture.decode();
    return picture.naturalWidth === 100 + i;
  }));
  const body = await (await fetch("content")).arrayBuffer();
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", body));
  const entries = performance.getEntriesByType("resource");
  await report({
    page: performance.getEntriesByType("navigation")[0].nextHopProtocol,
    others: [...new Set(entries.map((e) => e.nextHopProtocol))].join(),
    pictures: loaded.filter(Boolean).length,
    bytes: body.byteLength,
    sum: Array.from(digest, (b) => b.toString(16).padStart(2, "0")).join(""),
  });
}
run().catch((error) => report({ error }));
`

// Chromium loads a page from "dunlin serve" with the flags that it prints, and the page itself says how it came.
func TestChromium(t *testing.T) {
	chromium := need(t, "chromium")
	const size = 20e6
	folder := t.TempDir()
	writePage(t, folder, size)
	server := startServe(t, folder)

	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, chromium, append(chromiumArgs(t), server.chromium...)...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	killGroup(cmd)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Cancel()
		_ = cmd.Wait()
	}()

	result, ok := server.waitFor(`HTTP/3\.0 GET "/result\?(\S*)" 404 `, 60*time.Second)
	if !ok {
		t.Fatalf("no result from the page. The access log:\n%s\nChromium:\n%s", server.log(), tail(out.Bytes()))
	}
	got, err := url.ParseQuery(result)
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{
		"page": "h3", "others": "h3", "pictures": fmt.Sprint(pictures),
		"bytes": fmt.Sprint(int(size)), "sum": contentSum(size), "error": "",
	} {
		if got.Get(key) != want {
			t.Errorf("the page says %s = %q, want %q", key, got.Get(key), want)
		}
	}
	for i := range pictures {
		if line := fmt.Sprintf(`HTTP/3.0 GET "/%d.png" 200 `, i); !strings.Contains(server.log(), line) {
			t.Errorf("%q is not in the access log", line)
		}
	}
}

// chromiumArgs are what a browser needs that has neither a screen nor a network.
func chromiumArgs(t *testing.T) []string {
	return []string{
		"--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--enable-quic",
		"--host-resolver-rules=MAP localhost 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
		"--disable-background-networking", "--disable-component-update", "--disable-sync",
		"--disable-dev-shm-usage", "--user-data-dir=" + t.TempDir(),
	}
}

// writePage lays out the page, its script, pictures of different sizes, and the download.
func writePage(t *testing.T, folder string, size int64) {
	t.Helper()
	for name, text := range map[string]string{"index.html": page, "script.js": fmt.Sprintf(script, pictures)} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for i := range pictures {
		picture := image.NewGray(image.Rect(0, 0, 100+i, 50))
		for p := range picture.Pix {
			picture.Pix[p] = color.Gray{Y: uint8(p * (i + 7))}.Y
		}
		var b bytes.Buffer
		if err := png.Encode(&b, picture); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, fmt.Sprintf("%d.png", i)), b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	writeContent(t, filepath.Join(folder, "content"), size)
}

// served is a running "dunlin serve".
type served struct {
	url, cacert string
	chromium    []string // the arguments that it prints for Chromium, the URL included
	out         *lineLog
}

func (s *served) log() string { return s.out.String() }

// waitFor returns the first group of a pattern in the output.
func (s *served) waitFor(pattern string, limit time.Duration) (string, bool) {
	return s.out.waitFor(regexp.MustCompile(pattern), limit)
}

// startServe runs "dunlin serve" on a free port, with a config folder of its own, until the test ends.
func startServe(t *testing.T, args ...string) *served {
	t.Helper()
	cmd := exec.Command(command(t), append([]string{"serve", "--listen", "localhost:0"}, args...)...)
	config := t.TempDir()
	cmd.Env = append(os.Environ(), "XDG_CONFIG_HOME="+config, "HOME="+config)
	s := &served{out: newLineLog(), cacert: filepath.Join(config, "dunlin", "cert.pem")}
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var errs bytes.Buffer
	cmd.Stderr = &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		for lines := bufio.NewScanner(pipe); lines.Scan(); {
			s.out.add(lines.Text())
		}
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		<-read
		if err := cmd.Wait(); err != nil {
			t.Errorf("dunlin serve: %v\n%s", err, errs.String())
		}
	})
	var ok bool
	if s.url, ok = s.waitFor(`(https://\S+/)`, 20*time.Second); !ok {
		t.Fatalf("dunlin serve does not say where: %s\n%s", s.log(), errs.String())
	}
	if _, ok = s.waitFor(`(--ignore-certificate-errors-spki-list=\S+)`, 20*time.Second); !ok {
		t.Fatalf("dunlin serve does not say how to trust it: %s", s.log())
	}
	for _, flag := range []string{`(--origin-to-force-quic-on=\S+)`, `(--ignore-certificate-errors-spki-list=\S+)`} {
		value, _ := s.waitFor(flag, time.Second)
		s.chromium = append(s.chromium, value)
	}
	s.chromium = append(s.chromium, s.url)
	return s
}
