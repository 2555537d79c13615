package interop

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"image"
	"image/png"
	"io"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dunlin-quic/dunlin/http3"
	"github.com/dunlin-quic/dunlin/internal/udpproxy"
)

// browsed is a server for a page that tries out what browsers do with HTTP/3, and tells of each trial what came of it.
type browsed struct {
	t    *testing.T
	addr netip.AddrPort
	mux  *http.ServeMux

	server *http3.Server
	served chan struct{} // closed when Serve has returned, which is when a shutdown begins

	results chan map[string]any
}

func newBrowsed(t *testing.T) *browsed {
	b := &browsed{t: t, addr: netip.MustParseAddrPort("127.0.0.1:0"), mux: http.NewServeMux(), results: make(chan map[string]any, 100)}
	b.mux.HandleFunc("POST /result", func(w http.ResponseWriter, r *http.Request) {
		var result map[string]any
		if err := json.NewDecoder(r.Body).Decode(&result); err != nil {
			t.Error(err)
			return
		}
		b.results <- result
	})
	b.start()
	t.Cleanup(func() {
		b.server.Close()
		<-b.served
	})
	return b
}

func (b *browsed) start() {
	l, err := http3.Listen(b.addr.String())
	if err != nil {
		b.t.Error(err)
		return
	}
	b.addr = addrPort(l.Addr())
	b.server = &http3.Server{
		TLSConfig:       &tls.Config{Certificates: []tls.Certificate{testIdentity(b.t).cert}},
		ExtendedConnect: true,
		Handler: http3.WebSocketHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Cache-Control", "no-store")
			w.Header().Set("Timing-Allow-Origin", "*")
			b.mux.ServeHTTP(w, r)
		})),
	}
	server, served := b.server, make(chan struct{})
	b.served = served
	go func() {
		defer close(served)
		server.Serve(l)
	}()
}

// restart ends the server with its requests answered, and starts another at its address.
func (b *browsed) restart() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := b.server.Shutdown(ctx); err != nil {
		b.t.Errorf("shutdown: %v", err)
	}
	<-b.served
	b.start()
}

// page serves a page with a script that has report(findings).
func (b *browsed) page(path, body, script string) {
	text := fmt.Sprintf(`<!DOCTYPE html><title>Chromium</title><link rel="icon" href="data:,">%s<script>
const report = (findings) => fetch("/result", { method: "POST", body: JSON.stringify(findings) });
const run = async () => { %s };
addEventListener("load", () => run().then(report, (error) => report({ error: String(error) })));
</script>`, body, script)
	b.mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, text) })
}

// browse opens a page in Chromium, by way of addr, and returns what it reports.
func (b *browsed) browse(addr netip.AddrPort, path string, more ...string) map[string]any {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), 4*patience)
	defer cancel()
	for range 3 {
		if result, crashed := b.tryBrowse(ctx, addr, path, more...); !crashed {
			return result
		}
		b.t.Log("Chromium's network service crashed, and the page with it")
	}
	b.t.Fatal("Chromium crashes each time")
	return nil
}

// tryBrowse opens a page in Chromium and returns what it reports, unless the part of Chromium that speaks with servers crashes. That
// happens on busy machines, and nobody sends again what the page had asked for.
func (b *browsed) tryBrowse(ctx context.Context, addr netip.AddrPort, path string, more ...string) (result map[string]any, crashed bool) {
	b.t.Helper()
	hash := sha256.Sum256(testIdentity(b.t).cert.Leaf.RawSubjectPublicKeyInfo)
	origin := fmt.Sprintf("localhost:%d", addr.Port())
	args := append(chromiumArgs(b.t), "--origin-to-force-quic-on="+origin,
		"--ignore-certificate-errors-spki-list="+base64.StdEncoding.EncodeToString(hash[:]))
	cmd := exec.CommandContext(ctx, need(b.t, "chromium"), append(append(args, more...), "https://"+origin+path)...)
	out := &crashLog{crashed: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = out, out
	killGroup(cmd)
	if err := cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	defer func() {
		_ = cmd.Cancel()
		_ = cmd.Wait()
	}()
	select {
	case result = <-b.results:
		if result["error"] != nil {
			b.t.Errorf("the page says: %v", result["error"])
		}
		return result, false
	case <-out.crashed:
		return nil, true
	case <-ctx.Done():
		_ = cmd.Cancel()
		_ = cmd.Wait()
		b.t.Fatalf("no result from the page; Chromium:\n%s", tail(out.text.Bytes()))
		return nil, false
	}
}

// crashLog is what Chromium says, of which one line is news.
type crashLog struct {
	text    bytes.Buffer
	once    sync.Once
	crashed chan struct{}
}

func (l *crashLog) Write(p []byte) (int, error) {
	n, err := l.text.Write(p)
	if bytes.Contains(l.text.Bytes(), []byte("Network service crashed")) {
		l.once.Do(func() { close(l.crashed) })
	}
	return n, err
}

// want compares what a page says.
func (b *browsed) want(got map[string]any, key string, want any) {
	b.t.Helper()
	if fmt.Sprint(got[key]) != fmt.Sprint(want) {
		b.t.Errorf("the page says %s = %v, want %v", key, got[key], want)
	}
}

// TestChromiumStreams: a body that is sent while it comes into being, and one that is read so, each piece before the next.
func TestChromiumStreams(t *testing.T) {
	b := newBrowsed(t)
	heard := make(chan string, 10)
	b.mux.HandleFunc("POST /upload", func(w http.ResponseWriter, r *http.Request) {
		buf := make([]byte, 100)
		var all strings.Builder
		for {
			n, err := r.Body.Read(buf)
			if n > 0 {
				all.Write(buf[:n])
				heard <- string(buf[:n]) // lets the page send on
			}
			if err != nil {
				break
			}
		}
		fmt.Fprint(w, r.Proto, " ", all.String())
	})
	b.mux.HandleFunc("GET /heard", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, <-heard) })
	proceed := make(chan struct{})
	b.mux.HandleFunc("GET /download", func(w http.ResponseWriter, r *http.Request) {
		for i := range 5 {
			fmt.Fprint(w, "down", i)
			w.(http.Flusher).Flush()
			<-proceed
		}
	})
	b.mux.HandleFunc("GET /proceed", func(w http.ResponseWriter, r *http.Request) { proceed <- struct{}{} })
	b.page("/", "", `
	const heard = [], read = [];
	const body = new ReadableStream({
		async pull(controller) {
			if (heard.length == 5) return controller.close();
			controller.enqueue(new TextEncoder().encode("up" + heard.length));
			heard.push(await (await fetch("heard")).text());
		},
	}, { highWaterMark: 0 });
	const answer = await (await fetch("upload", { method: "POST", body, duplex: "half" })).text();
	const reader = (await fetch("download")).body.getReader();
	for (let piece; !(piece = await reader.read()).done; await fetch("proceed")) read.push(new TextDecoder().decode(piece.value));
	return { answer, heard: heard.join(), read: read.join() };`)
	got := b.browse(b.addr, "/")
	b.want(got, "answer", "HTTP/3.0 up0up1up2up3up4")
	b.want(got, "heard", "up0,up1,up2,up3,up4")
	b.want(got, "read", "down0,down1,down2,down3,down4")
}

// TestChromiumEarlyHints: Chromium fetches what a 103 response names before the final response comes, which waits for that.
func TestChromiumEarlyHints(t *testing.T) {
	b := newBrowsed(t)
	fetched := make(chan struct{})
	b.mux.HandleFunc("GET /early.css", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/css")
		w.Header().Set("Cache-Control", "max-age=60")
		io.WriteString(w, "body { margin-left: 77px }")
		close(fetched)
	})
	b.page("/late", `<link rel="stylesheet" href="/early.css">`, `
	return { margin: getComputedStyle(document.body).marginLeft, how: performance.getEntriesByName(location.origin + "/early.css")[0].initiatorType };`)
	b.mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</early.css>; rel=preload; as=style")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Del("Link")
		select {
		case <-fetched:
		case <-time.After(patience):
			t.Error("nobody takes the hint")
		}
		r.URL.Path = "/late"
		b.mux.ServeHTTP(w, r)
	})
	got := b.browse(b.addr, "/")
	b.want(got, "margin", "77px")
	b.want(got, "how", "early-hints")
}

// TestChromiumPriorities: on a path with a bottleneck, a script that was asked for last, and is answered last, arrives before the
// pictures, since Chromium says that it is urgent.
func TestChromiumPriorities(t *testing.T) {
	b := newBrowsed(t)
	slow := udpproxy.Impairment{Delay: 10 * time.Millisecond}
	bottleneck := udpproxy.Impairment{Delay: 10 * time.Millisecond, Rate: 500_000}
	relay := startRelay(t, b.addr, udpproxy.Config{ToServer: slow, ToClient: bottleneck})
	const pictures = 5         // Chromium keeps further ones back while a script is awaited
	all := make(chan struct{}) // closed when everything has been asked for
	var asked sync.WaitGroup
	asked.Add(pictures + 1)
	go func() {
		asked.Wait()
		close(all)
	}()
	var begun sync.WaitGroup // answers with pictures
	begun.Add(pictures)
	var mu sync.Mutex
	priorities := make(map[string]string)
	serve := func(kind string, body []byte, begin func(w http.ResponseWriter)) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			priorities[r.URL.Path] = r.Header.Get("Priority")
			mu.Unlock()
			asked.Done()
			<-all
			w.Header().Set("Content-Type", kind)
			begin(w)
			w.Write(body)
		}
	}
	noise := image.NewGray(image.Rect(0, 0, 500, 500))
	rand.NewChaCha8([32]byte{}).Read(noise.Pix)
	var picture bytes.Buffer
	if err := png.Encode(&picture, noise); err != nil {
		t.Fatal(err)
	}
	b.mux.HandleFunc("GET /picture/", serve("image/png", picture.Bytes(), func(w http.ResponseWriter) {
		w.(http.Flusher).Flush()
		begun.Done()
	}))
	b.mux.HandleFunc("GET /script.js", serve("text/javascript", append([]byte("var ran = true; //"), bytes.Repeat([]byte("x"), 250_000)...), func(http.ResponseWriter) { begun.Wait() }))
	var body strings.Builder
	for i := range pictures {
		fmt.Fprintf(&body, `<img src="/picture/%d" fetchpriority="low">`, i) // large ones in view are urgent
	}
	b.page("/", body.String()+`<script src="/script.js"></script>`, `
	const end = (name) => performance.getEntriesByName(location.origin + name)[0].responseEnd;
	let earlier = 0;
	for (let i = 0; i < `+fmt.Sprint(pictures)+`; i++) earlier += end("/picture/" + i) < end("/script.js");
	return { earlier, ran };`)
	got := b.browse(relay.Addr(), "/")
	b.want(got, "ran", true)
	if n, ok := got["earlier"].(float64); n > 0 || !ok {
		t.Errorf("%v of %d pictures came before the script; the priorities: %q", n, pictures, priorities)
	}
}

// TestChromiumWebSocket: a browser's WebSocket, a library that knows HTTP/1.1, and HTTP/3 between them (RFC 9220).
func TestChromiumWebSocket(t *testing.T) {
	// Behind its flag it is unfinished in older ones: the network service of 150 crashes over it each time, that of 156 never.
	if version := chromiumVersion(t); version < 156 {
		t.Skipf("WebSockets over HTTP/3 crash Chromium %d", version)
	}
	b := newBrowsed(t)
	for name, h := range echoWebSockets {
		b.mux.HandleFunc("GET /"+name, func(w http.ResponseWriter, r *http.Request) {
			if r.TLS.NegotiatedProtocol != http3.NextProto {
				t.Errorf("a WebSocket over %s", r.TLS.NegotiatedProtocol)
			}
			h(w, r)
		})
	}
	b.page("/", "", `
	const try_ = (name) => new Promise((resolve, reject) => {
		const socket = new WebSocket("wss://" + location.host + "/" + name, "echo"), sent = [1, 125, 126, 65535, 65536, 300000], got = [];
		socket.onopen = () => socket.send("x".repeat(sent[0]));
		socket.onmessage = (e) => {
			got.push(e.data.length);
			got.length < sent.length ? socket.send("x".repeat(sent[got.length])) : socket.close(1000);
		};
		socket.onerror = () => reject(name + " failed");
		socket.onclose = (e) => resolve([socket.protocol, e.code, ...got].join());
	});
	return { gorilla: await try_("gorilla"), coder: await try_("coder") };`)
	got := b.browse(b.addr, "/", "--enable-features=EnableWebsocketsOverHttp3")
	for name := range echoWebSockets {
		b.want(got, name, "echo,1000,1,125,126,65535,65536,300000")
	}
}

// chromiumVersion returns the major version of Chromium.
func chromiumVersion(t *testing.T) (major int) {
	t.Helper()
	out, err := exec.Command(need(t, "chromium"), "--version").Output()
	if err == nil {
		_, err = fmt.Sscanf(string(out), "Chromium %d.", &major)
	}
	if err != nil {
		t.Fatalf("the version of Chromium: %v, %q", err, out)
	}
	return major
}

// TestChromiumTenThousandRequests: in one page, over one connection.
func TestChromiumTenThousandRequests(t *testing.T) {
	b := newBrowsed(t)
	var mu sync.Mutex
	from := make(map[string]bool)
	b.mux.HandleFunc("GET /n/{n}", func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		from[r.RemoteAddr] = true
		mu.Unlock()
		io.WriteString(w, r.PathValue("n"))
	})
	b.page("/", "", `
	let next = 0, right = 0;
	await Promise.all(Array.from({ length: 200 }, async () => {
		for (let n; (n = next++) < 10000; ) {
			const text = await (await fetch("/n/" + n)).text();
			right += text === String(n);
		}
	}));
	return { right };`)
	b.want(b.browse(b.addr, "/"), "right", 10000)
	if len(from) != 1 {
		t.Errorf("%d connections", len(from))
	}
}

// TestChromiumRestart: a page that is being navigated to while the server shuts down is loaded by the old one, and the next by the
// new one, without a failure in between.
func TestChromiumRestart(t *testing.T) {
	b := newBrowsed(t)
	restarted := make(chan struct{})
	b.page("/{$}", "", `location = "/second"; await new Promise(() => {})`)
	b.page("/second-body", "", `
	for (let failures = 0; ; failures++) {
		try {
			const status = (await fetch("/after")).status;
			location = "/third";
			return await new Promise(() => {});
		} catch (error) {
			if (failures > 100) throw error;
			await new Promise((f) => setTimeout(f, 50));
		}
	}`)
	b.mux.HandleFunc("GET /second", func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		begun := b.served
		go func() {
			b.restart()
			close(restarted)
		}()
		<-begun
		if r.Context().Err() != nil {
			t.Error("the navigation was cut off")
		}
		r.URL.Path = "/second-body"
		b.mux.ServeHTTP(w, r)
	})
	b.mux.HandleFunc("GET /after", func(w http.ResponseWriter, r *http.Request) { <-restarted })
	b.page("/third", "", `return { protocol: performance.getEntriesByType("navigation")[0].nextHopProtocol };`)
	b.want(b.browse(b.addr, "/"), "protocol", "h3")
}
