package main

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"embed"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/dunlin-quic/dunlin/http3"
)

//go:embed pages
var embedded embed.FS

const (
	demoPictures = 60
	demoDownload = 64 << 20 // bytes
	demoSeed     = 0xd1
)

func newDemoCommand(std streams) *cobra.Command {
	var listen string
	var once bool
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "See server, client and browser at work",
		Long: `demo starts a server with built-in pages on loopback, fetches from it with the client, and prints what
happened. Then it keeps serving, for a browser, until interrupted.`,
		Args:              misuse(cobra.NoArgs),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			return demo(cmd.Context(), listen, once, std)
		},
	}
	cmd.Flags().StringVar(&listen, "listen", "localhost:0", "`HOST:PORT` to listen on; port 0 is any free one")
	cmd.Flags().BoolVar(&once, "once", false, "end after the client's part")
	return cmd
}

func demo(ctx context.Context, listen string, once bool, std streams) error {
	config := &tls.Config{}
	closeKeyLog, err := logKeys(config)
	if err != nil {
		return err
	}
	defer closeKeyLog()
	dev, err := useDevCert(config, std.err)
	if err != nil {
		return err
	}
	o, err := startOrigin(listen, config, nil, newDemoHandler(), slog.New(slog.NewTextHandler(std.err, nil)))
	if err != nil {
		return err
	}
	fmt.Fprintf(std.out, "server  %s\n", o.url)
	for _, addr := range o.site.Addrs() {
		fmt.Fprintf(std.out, "        HTTP/3 on UDP %s, HTTP/2 and HTTP/1.1 on TCP\n", addr)
	}
	v := &visit{origin: o.url, out: std.out}
	v.transport = &http3.Transport{TLSClientConfig: &tls.Config{RootCAs: dev.pool()}}
	err = v.run(ctx)
	v.transport.Close()
	if err != nil || once {
		ended, cancel := context.WithCancel(ctx)
		cancel()
		if closeErr := o.serveUntil(ended, time.Second); err == nil {
			err = closeErr
		}
		if err != nil {
			return fmt.Errorf("demo: %w", err)
		}
		return nil
	}
	printTrust(std.out, o, dev)
	fmt.Fprintf(std.out, "\nNow open %s in a browser started like this. Interrupt (Ctrl-C) to stop.\n", o.url)
	return o.serveUntil(ctx, time.Second)
}

// visit is the client's part of the demo.
type visit struct {
	origin    string
	transport *http3.Transport
	out       io.Writer

	mu    sync.Mutex
	conn  *http3.ClientConn
	conns map[*http3.ClientConn]bool
}

func (v *visit) run(ctx context.Context) error {
	start := time.Now()
	page, err := v.fetch(ctx, "", io.Discard)
	if err != nil {
		return err
	}
	fmt.Fprintf(v.out, "client  the page: %s, %s, %s in %s, of which %s for the handshake\n", page.proto, page.status,
		byteCount(page.size), roundTime(time.Since(start)), roundTime(v.conn.Stats().HandshakeTime))

	start = time.Now()
	total, err := v.pictures(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(v.out, "client  %d pictures at once: %s in %s over %d connection\n", demoPictures, byteCount(total),
		roundTime(time.Since(start)), len(v.conns))

	start = time.Now()
	sum := sha256.New()
	download, err := v.fetch(ctx, "download?bytes="+strconv.Itoa(demoDownload), sum)
	if err != nil {
		return err
	}
	took := time.Since(start)
	verdict := "the SHA-256 fits"
	if got, want := hex.EncodeToString(sum.Sum(nil)), download.header.Get("Sha256"); got != want {
		return fmt.Errorf("the download's SHA-256 is %s, not %s", got, want)
	}
	fmt.Fprintf(v.out, "client  a download: %s in %s, %s, %s\n", byteCount(download.size), roundTime(took),
		bitRate(download.size, took), verdict)
	fmt.Fprintf(v.out, "client  %s\n", describeStats(v.conn.Stats()))
	return nil
}

// pictures fetches all pictures side by side.
func (v *visit) pictures(ctx context.Context) (total int64, err error) {
	sizes := make([]int64, demoPictures)
	errs := make([]error, demoPictures)
	var running sync.WaitGroup
	for i := range demoPictures {
		running.Go(func() {
			got, err := v.fetch(ctx, fmt.Sprintf("pictures/%d.svg", i), io.Discard)
			sizes[i], errs[i] = got.size, err
		})
	}
	running.Wait()
	for i := range demoPictures {
		if errs[i] != nil {
			return 0, errs[i]
		}
		total += sizes[i]
	}
	return total, nil
}

type fetched struct {
	proto, status string
	header        http.Header
	size          int64
}

// fetch gets one resource of the origin.
func (v *visit) fetch(ctx context.Context, name string, to io.Writer) (fetched, error) {
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: v.gotConn})
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, v.origin+name, nil)
	if err != nil {
		return fetched{}, err
	}
	resp, err := v.transport.RoundTrip(req)
	if err != nil {
		return fetched{}, err
	}
	defer resp.Body.Close()
	n, err := io.Copy(to, resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", req.URL, resp.Status)
	}
	return fetched{resp.Proto, resp.Status, resp.Header, n}, err
}

func (v *visit) gotConn(info httptrace.GotConnInfo) {
	conn, ok := info.Conn.(*http3.ClientConn)
	if !ok {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.conns == nil {
		v.conns = make(map[*http3.ClientConn]bool)
	}
	v.conn = conn
	v.conns[conn] = true
}

func roundTime(d time.Duration) time.Duration { return d.Round(10 * time.Microsecond) }

// newDemoHandler serves the built-in pages, pictures that are drawn on request, and a download of any size.
func newDemoHandler() http.Handler {
	pages, err := fs.Sub(embedded, "pages")
	if err != nil {
		panic(err) // "pages" is a valid path
	}
	mux := http.NewServeMux()
	mux.Handle("GET /", http.FileServerFS(pages))
	mux.HandleFunc("GET /pictures/{name}", servePicture)
	mux.HandleFunc("GET /download", serveDownload)
	return mux
}

func servePicture(w http.ResponseWriter, r *http.Request) {
	number, isSVG := strings.CutSuffix(r.PathValue("name"), ".svg")
	n, err := strconv.Atoi(number)
	if !isSVG || err != nil || n < 0 || n >= demoPictures {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "image/svg+xml")
	io.WriteString(w, drawFlock(n))
}

// drawFlock draws birds on a curve, each picture a moment of the same flight.
func drawFlock(n int) string {
	rng := rand.New(rand.NewPCG(demoSeed, uint64(n)))
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 120 80"><rect width="120" height="80" fill="hsl(%d 45%% %d%%)"/>`,
		200+n/2, 88-n/4)
	b.WriteString(`<g fill="none" stroke="#223" stroke-width="1" stroke-linecap="round">`)
	for range 24 {
		angle := float64(n)*2*math.Pi/demoPictures + rng.NormFloat64()*0.35
		x, y := 60+34*math.Cos(angle)+rng.NormFloat64()*7, 40+20*math.Sin(angle)+rng.NormFloat64()*5
		wing := 2 + rng.Float64()*2
		fmt.Fprintf(&b, `<path d="M%.1f %.1fq%.1f %.1f %.1f 0q%.1f %.1f %.1f 0"/>`, x-wing, y, wing/2, -wing, wing, wing/2, -wing, wing)
	}
	b.WriteString(`</g></svg>`)
	return b.String()
}

// serveDownload sends ?bytes= bytes that do not compress, and their SHA-256 ahead in a header field.
func serveDownload(w http.ResponseWriter, r *http.Request) {
	const most = 1 << 30
	size, err := strconv.ParseInt(r.FormValue("bytes"), 10, 64)
	if err != nil || size < 0 || size > most {
		http.Error(w, fmt.Sprintf("bytes= wants a number up to %d", most), http.StatusBadRequest)
		return
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, demoBytes(size)); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Disposition", `attachment; filename="flock.bin"`)
	w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
	w.Header().Set("Sha256", hex.EncodeToString(sum.Sum(nil)))
	_, _ = io.Copy(w, demoBytes(size)) // an error means that the client has gone
}

// demoBytes is the content of a download: the same bytes every time.
func demoBytes(size int64) io.Reader {
	return io.LimitReader(rand.NewChaCha8([32]byte{demoSeed}), size)
}
