package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"github.com/dunlin-quic/dunlin/http3"
)

// benchOptions are the flags of bench.
type benchOptions struct {
	reachOptions
	connections int
	streams     int
	requests    int64
	duration    time.Duration
	warmUp      time.Duration
	rate        float64
	http2       bool
	method      string
	data        []string
	json        bool
	silent      bool
}

// benchDuration is how long a load lasts if nothing says when it ends.
const benchDuration = 10 * time.Second

func newBenchCommand(std streams) *cobra.Command {
	var opts benchOptions
	cmd := &cobra.Command{
		Use:   "bench URL",
		Short: "Put load on a server, over HTTP/3 or HTTP/2, and measure it",
		Long: `bench sends the same request over and over, on several connections and several at a time on each, and tells how many
were answered, how fast, and with what latency. The first request of each connection makes it; with --warm-up that
happens before measuring begins.

Latency is the time from the start of a request to the end of its answer, without connecting, which is told separately.
With --rate requests start at fixed times whether or not earlier ones have been answered, as users do, and latency counts from the
time at which a request should have started: a server that stalls can't hide it. Otherwise every stream sends its next
request when it has the answer to the last one.

Any status is an answer. The exit status says whether there was any answer at all:

` + statusHelp,
		Example: `  dunlin bench https://localhost:4433/ --cacert ~/.config/dunlin/cert.pem
  dunlin bench -c 10 -m 10 -D 30s --warm-up 3s https://example.org/
  dunlin bench -c 100 --rate 5000 -D 1m --json https://example.org/ > load.json
  dunlin bench --http2 -n 100000 -m 100 https://example.org/`,
		Args:              misuse(cobra.ExactArgs(1)),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			return bench(cmd.Context(), &opts, args[0], std)
		},
	}
	flags := cmd.Flags()
	flags.IntVarP(&opts.connections, "connections", "c", 1, "how many connections to make")
	flags.IntVarP(&opts.streams, "streams", "m", 1, "how many requests to have under way on each connection")
	flags.Int64VarP(&opts.requests, "requests", "n", 0, "stop after so many requests")
	flags.DurationVarP(&opts.duration, "duration", "D", 0, "stop after so long (default 10s without -n)")
	flags.DurationVar(&opts.warmUp, "warm-up", 0, "send requests for so long before measuring begins")
	flags.Float64Var(&opts.rate, "rate", 0, "start `N` requests per second, over all connections (default as many as are answered)")
	flags.BoolVar(&opts.http2, "http2", false, "use HTTP/2 over TCP instead of HTTP/3")
	flags.StringVarP(&opts.method, "request", "X", "", "request `METHOD` (default GET, POST with -d)")
	flags.StringArrayVarP(&opts.data, "data", "d", nil, "send `DATA`, or the bytes of a file as @FILE or of standard input as @-; several are joined by &")
	flags.BoolVar(&opts.json, "json", false, "print the result as JSON")
	flags.BoolVarP(&opts.silent, "silent", "s", false, "show no live line")
	opts.add(cmd)
	cmd.MarkFlagsMutuallyExclusive("requests", "duration")
	return cmd
}

// check refuses what makes no sense, and fills in what was left out.
func (o *benchOptions) check() error {
	switch {
	case o.connections < 1 || o.connections > 1<<16:
		return errors.New("--connections is from 1 to 65,536")
	case o.streams < 1 || o.streams > 1<<16:
		return errors.New("--streams is from 1 to 65,536")
	case o.connections*o.streams > 1<<20:
		return errors.New("more than 1,048,576 requests at a time")
	case o.requests < 0 || o.duration < 0 || o.warmUp < 0 || !(o.rate >= 0):
		return errors.New("a negative number")
	}
	if o.requests == 0 {
		o.duration = cmp.Or(o.duration, benchDuration)
	}
	return nil
}

// bench runs a load and prints what came of it.
func bench(ctx context.Context, opts *benchOptions, arg string, std streams) error {
	misused := func(err error) error { return &usageError{command: "dunlin bench", err: err} }
	u, err := parseURL(arg)
	if err == nil {
		err = opts.check()
	}
	if err != nil {
		return misused(err)
	}
	way, err := opts.find(misused)
	if err != nil {
		return err
	}
	defer way.closeKeyLog()
	request, err := opts.template(u, way.header, std.in)
	if err != nil {
		return misused(err)
	}

	l := &load{
		url: u, request: request, http2: opts.http2, streams: opts.streams,
		total: newTally(),
	}
	for range opts.connections {
		l.connections = append(l.connections, &loadConnection{transport: opts.transport(way.tls, way.pins)})
	}
	defer l.close()
	live := newLiveLine(std.err, opts, l)
	err = l.run(ctx, opts)
	live.stop()
	if err != nil && l.total.answered.Load() == 0 {
		f := l.classify(ctx, err)
		fmt.Fprintf(std.err, "dunlin: %s: %s\n", u.Redacted(), f.text)
		return &exitError{f.status}
	}
	report := l.report(opts)
	if opts.json {
		encoder := json.NewEncoder(std.out)
		encoder.SetIndent("", "  ")
		err = encoder.Encode(report)
	} else {
		err = report.write(std.out)
	}
	if err == nil && ctx.Err() != nil {
		return &exitError{statusInterrupted}
	}
	return err
}

// template makes the request of which every one sent is a copy.
func (o *benchOptions) template(u *url.URL, header http.Header, stdin io.Reader) (*http.Request, error) {
	var body *requestBody
	method := http.MethodGet
	if o.data != nil {
		var err error
		if body, err = joinData(o.data, stdin); err != nil {
			return nil, err
		}
		method = http.MethodPost
	}
	req, err := newRequest(context.Background(), cmp.Or(o.method, method), u, header, body)
	if err == nil && body != nil {
		req.ContentLength = body.size
		req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body.data)), nil }
	}
	return req, err
}

// loadTransport makes one connection to a server, and another only when that has ended.
type loadTransport interface {
	http.RoundTripper
	CloseIdleConnections()
}

func (o *benchOptions) transport(config *tls.Config, pins pins) loadTransport {
	if !o.http2 {
		t := &http3.Transport{TLSClientConfig: config, DialTimeout: o.connectTime, DisableCompression: true}
		if len(pins) > 0 {
			t.Resolve = pins.resolve
		}
		return t
	}
	t := &http.Transport{
		TLSClientConfig:     config.Clone(), // the transport writes to it
		TLSHandshakeTimeout: o.connectTime,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			ctx, cancel := context.WithTimeout(ctx, o.connectTime)
			defer cancel()
			return pins.dialTCP(ctx, network, address)
		},
		DisableCompression: true,
		Protocols:          new(http.Protocols),
		HTTP2:              &http.HTTP2Config{StrictMaxConcurrentRequests: true},
	}
	t.Protocols.SetHTTP2(true)
	return t
}
