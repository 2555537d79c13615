package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/dunlin-quic/dunlin/http3"
	"github.com/dunlin-quic/dunlin/quic"
)

// transfer is one URL's request and response.
type transfer struct {
	opts       *getOptions
	transport  *http3.Transport
	url        *url.URL
	header     http.Header // of -H
	body       *requestBody
	bar        *progress
	out, err   io.Writer
	outputFile string          // "" is standard output
	turn       <-chan struct{} // closed when this transfer may write to standard output

	request  *http.Request
	status   int
	received int64
	start    time.Time
	end      time.Time
	failure  *failure

	mu        sync.Mutex // the transport may still call back when it has given up a request
	conn      *http3.ClientConn
	firstByte time.Time
}

// run does the transfer and leaves its outcome in t.
func (t *transfer) run(ctx context.Context) {
	t.start = time.Now()
	err := t.fetch(ctx)
	t.end = time.Now()
	if err != nil {
		t.failure = classify(ctx, t.url, err)
	}
}

func (t *transfer) fetch(ctx context.Context) error {
	req, err := t.newRequest(httptrace.WithClientTrace(ctx, t.trace()))
	if err != nil {
		return &localError{status: statusRead, err: err}
	}
	t.request = req
	if req.ContentLength > 0 {
		t.bar.expect(req.ContentLength)
	}
	resp, err := t.transport.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	t.status = resp.StatusCode
	if t.opts.verbose {
		t.note("<", resp.Proto+" "+resp.Status, resp.Header)
	}
	if resp.ContentLength > 0 && req.Method != http.MethodHead {
		t.bar.expect(resp.ContentLength)
	}
	if err := t.copyBody(resp); err != nil {
		return err
	}
	if t.opts.verbose && len(resp.Trailer) > 0 {
		t.note("<", "trailers", resp.Trailer)
	}
	return nil
}

// copyBody writes the response where the flags want it.
func (t *transfer) copyBody(resp *http.Response) (err error) {
	var out io.WriteCloser = &orderedWriter{out: t.out, turn: t.turn}
	if t.outputFile != "" {
		if out, err = os.Create(t.outputFile); err != nil {
			return &localError{status: statusWrite, err: err}
		}
	}
	defer func() {
		if closeErr := out.Close(); err == nil && closeErr != nil {
			err = &localError{status: statusWrite, err: closeErr}
		}
	}()
	sink := &localWriter{out}
	if t.opts.include {
		if _, err := io.WriteString(sink, formatHeader("", resp.Proto+" "+resp.Status, resp.Header)+"\n"); err != nil {
			return err
		}
	}
	body := &countedBody{ReadCloser: resp.Body, count: func(n int) {
		t.received += int64(n)
		t.bar.add(n)
	}}
	_, err = io.CopyBuffer(sink, body, make([]byte, 256<<10))
	return err
}

// localWriter marks errors of writing here, to tell them from the network's.
type localWriter struct{ io.Writer }

func (w *localWriter) Write(p []byte) (int, error) {
	n, err := w.Writer.Write(p)
	if err != nil {
		err = &localError{status: statusWrite, err: err}
	}
	return n, err
}

// trace notes what the transport does.
func (t *transfer) trace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) {
			conn, ok := info.Conn.(*http3.ClientConn)
			if !ok {
				return
			}
			t.mu.Lock()
			t.conn = conn
			t.mu.Unlock()
			if t.opts.verbose {
				t.describeConn(conn, info.Reused)
				t.noteRequest()
			}
		},
		GotFirstResponseByte: func() {
			t.mu.Lock()
			t.firstByte = time.Now()
			t.mu.Unlock()
		},
		Got1xxResponse: func(code int, header textproto.MIMEHeader) error {
			if t.opts.verbose {
				t.note("<", fmt.Sprintf("HTTP/3.0 %d %s", code, http.StatusText(code)), http.Header(header))
			}
			return nil
		},
	}
}

// noteRequest shows the request's header section.
func (t *transfer) noteRequest() {
	req := t.request
	header := req.Header.Clone()
	if req.ContentLength > 0 {
		header.Set("Content-Length", fmt.Sprint(req.ContentLength))
	}
	header["Host"] = []string{req.Host}
	t.note(">", req.Method+" "+req.URL.RequestURI()+" HTTP/3.0", header)
}

func (t *transfer) describeConn(conn *http3.ClientConn, reused bool) {
	state := conn.ConnectionState()
	if reused {
		fmt.Fprintf(t.err, "* Reusing the connection to %s (%s)\n", t.url.Host, conn.RemoteAddr())
		return
	}
	if !state.HandshakeComplete {
		fmt.Fprintf(t.err, "* Sending early data to %s (%s) from %s\n", t.url.Host, conn.RemoteAddr(), conn.LocalAddr())
		return
	}
	var b strings.Builder
	fmt.Fprintf(&b, "* Connected to %s (%s) from %s\n", t.url.Host, conn.RemoteAddr(), conn.LocalAddr())
	fmt.Fprintf(&b, "* QUIC version %v, %s, %s, %s, ALPN %s\n", conn.Version(), tls.VersionName(state.Version),
		tls.CipherSuiteName(state.CipherSuite), state.CurveID, state.NegotiatedProtocol)
	if len(state.PeerCertificates) > 0 {
		leaf := state.PeerCertificates[0]
		fmt.Fprintf(&b, "* Certificate: subject %q, issuer %q, valid from %s until %s\n", leaf.Subject, leaf.Issuer,
			leaf.NotBefore.Format(time.DateTime), leaf.NotAfter.Format(time.DateTime))
	}
	verified := "* The certificate verifies"
	if t.opts.insecure {
		verified = "* The certificate was not verified (-k)"
	}
	fmt.Fprintln(&b, verified)
	io.WriteString(t.err, b.String())
}

// note shows a header section on standard error.
func (t *transfer) note(mark, first string, header http.Header) {
	io.WriteString(t.err, formatHeader(mark+" ", first, header)+mark+"\n")
}

// formatHeader prints a header section with its first line, each line after a prefix, names sorted.
func formatHeader(prefix, first string, header http.Header) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s%s\n", prefix, first)
	for _, name := range slices.Sorted(maps.Keys(header)) {
		for _, value := range header[name] {
			fmt.Fprintf(&b, "%s%s: %s\n", prefix, strings.ToLower(name), value)
		}
	}
	return b.String()
}

// printStats prints two lines of --stats.
func (t *transfer) printStats(w io.Writer) {
	took := t.end.Sub(t.start)
	fmt.Fprintf(w, "%s: status %d, %s in %s", t.url.Redacted(), t.status, byteCount(t.received), took.Round(10*time.Microsecond))
	if t.received > 0 && took > 0 {
		fmt.Fprintf(w, ", %s", bitRate(t.received, took))
	}
	fmt.Fprintln(w)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.conn == nil {
		return
	}
	s := t.conn.Stats()
	fmt.Fprintf(w, "  handshake %s", s.HandshakeTime.Round(10*time.Microsecond))
	if !t.firstByte.IsZero() {
		fmt.Fprintf(w, ", first byte after %s", t.firstByte.Sub(t.start).Round(10*time.Microsecond))
	}
	fmt.Fprintf(w, ", %s\n", describeStats(s))
}

// describeStats names what a connection's counters say of its path.
func describeStats(s quic.Stats) string {
	return fmt.Sprintf("RTT %s (least %s), packets sent %d, received %d, lost %d, of up to %d bytes",
		s.RTT.Round(time.Microsecond), s.MinRTT.Round(time.Microsecond), s.PacketsSent, s.PacketsReceived, s.PacketsLost, s.PacketSize)
}

// byteCount prints a number of bytes with a decimal unit.
func byteCount(n int64) string {
	switch {
	case n < 1e4:
		return fmt.Sprintf("%d B", n)
	case n < 1e7:
		return fmt.Sprintf("%.1f kB", float64(n)/1e3)
	case n < 1e10:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	}
	return fmt.Sprintf("%.1f GB", float64(n)/1e9)
}

func bitRate(n int64, took time.Duration) string {
	mbits := float64(n) * 8 / 1e6 / took.Seconds()
	if mbits >= 1000 {
		return fmt.Sprintf("%.2f Gbit/s", mbits/1000)
	}
	return fmt.Sprintf("%.1f Mbit/s", mbits)
}
