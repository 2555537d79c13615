package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"github.com/dunlin-quic/dunlin/http3"
	"github.com/dunlin-quic/dunlin/quic"
)

// getOptions are the flags of get.
type getOptions struct {
	reachOptions
	outputs    []string
	remoteName bool
	include    bool
	verbose    bool
	method     string
	data       []string
	upload     string
	session    string
	early      bool
	stats      bool
	silent     bool
	qlogOptions
}

func newGetCommand(std streams) *cobra.Command {
	var opts getOptions
	cmd := &cobra.Command{
		Use:   "get URL...",
		Short: "Fetch over HTTP/3",
		Long: `get fetches URLs over HTTP/3, as curl does: the response's body goes to standard output or to files.
Several URLs are fetched at the same time, over one connection per server; what goes to standard output
keeps their order. Redirects are not followed and a status like 404 is an answer, not a failure.

SSLKEYLOGFILE names a file for TLS secrets, QLOGDIR a folder for traces (qlog).

` + statusHelp,
		Example: `  dunlin get https://cloudflare-quic.com/
  dunlin get --stats -O https://localhost:4433/large.iso --cacert ~/.config/dunlin/cert.pem
  dunlin get -d '{"name": "dunlin"}' -H 'Content-Type: application/json' https://localhost:4433/birds
  dunlin get --session sessions.json --0rtt https://localhost:4433/
  dunlin get --resolve example.org:443:127.0.0.1 -k -v https://example.org/`,
		Args:              misuse(cobra.MinimumNArgs(1)),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			return get(cmd.Context(), &opts, args, std)
		},
	}
	flags := cmd.Flags()
	flags.StringArrayVarP(&opts.outputs, "output", "o", nil, "write the body to `FILE` (- is standard output); the second -o is for the second URL, and so on")
	flags.BoolVarP(&opts.remoteName, "remote-name", "O", false, "write each body to a file here that is named as the last part of its URL's path")
	flags.BoolVarP(&opts.include, "include", "i", false, "put the response's header section before the body")
	flags.BoolVarP(&opts.verbose, "verbose", "v", false, "show the connection and both header sections on standard error")
	flags.StringVarP(&opts.method, "request", "X", "", "request `METHOD` (default GET, POST with -d, PUT with -T)")
	flags.StringArrayVarP(&opts.data, "data", "d", nil, "send `DATA`, or the bytes of a file as @FILE or of standard input as @-; several are joined by &")
	flags.StringVarP(&opts.upload, "upload-file", "T", "", "send `FILE` (- is standard input) as the body; a URL that ends in / gets its name")
	opts.reachOptions.add(cmd)
	opts.qlogOptions.add(cmd)
	flags.StringVar(&opts.session, "session", "", "resume the TLS sessions kept in `FILE`, which is secret, and keep new ones there")
	flags.BoolVar(&opts.early, "0rtt", false, "with --session, send GET, HEAD and OPTIONS without waiting for a server known already; an attacker can replay them")
	flags.BoolVar(&opts.stats, "stats", false, "print handshake time, time to first byte, rate, RTT and losses on standard error")
	flags.BoolVarP(&opts.silent, "silent", "s", false, "show no progress bar")
	cmd.MarkFlagsMutuallyExclusive("output", "remote-name")
	cmd.MarkFlagsMutuallyExclusive("data", "upload-file")
	_ = cmd.MarkFlagFilename("session")
	_ = cmd.MarkFlagFilename("upload-file")
	_ = cmd.MarkFlagFilename("output")
	return cmd
}

// get fetches all URLs at once and reports each failure in one line.
func get(ctx context.Context, opts *getOptions, args []string, std streams) (failed error) {
	misused := func(err error) error { return &usageError{command: "dunlin get", err: err} }
	urls, err := opts.parseURLs(args)
	if err != nil {
		return misused(err)
	}
	body, err := opts.body(std.in)
	if err != nil {
		return err
	}
	way, err := opts.find(misused)
	if err != nil {
		return err
	}
	defer way.closeKeyLog()
	terminal := isTerminal(std.err)
	connections := &quic.Config{}
	opts.trace(connections, std.err)
	transport := &http3.Transport{
		TLSClientConfig:    way.tls,
		QUIC:               connections,
		DialTimeout:        opts.connectTime,
		DisableCompression: true,
	}
	if opts.early && opts.session == "" {
		return misused(errors.New("--0rtt needs --session"))
	}
	if opts.session != "" {
		sessions, err := openSessionFile(opts.session)
		if err != nil {
			return err
		}
		way.tls.ClientSessionCache = sessions
		connections.EarlyData, connections.Tokens = opts.early, sessions
		defer func() {
			if failed == nil {
				sessions.awaitSessions()
			}
			transport.Close()
			failed = cmp.Or(failed, sessions.save())
		}()
	}
	if len(way.pins) > 0 {
		transport.Resolve = way.pins.resolve
	}
	defer transport.Close()

	std.err = &lockedWriter{w: std.err} // transfers write to it side by side
	bar := newProgress(std, opts, terminal)
	defer bar.stop()
	// Each transfer may write to standard output when the one before it is done.
	turn := make(chan struct{})
	close(turn)
	transfers := make([]*transfer, len(urls))
	var running sync.WaitGroup
	for i, u := range urls {
		done := make(chan struct{})
		transfers[i] = &transfer{
			opts: opts, transport: transport, url: u, header: way.header, body: body, bar: bar, out: std.out, err: std.err,
			outputFile: opts.outputFile(i, u), turn: turn,
		}
		running.Go(func() {
			defer close(done)
			transfers[i].run(ctx)
			<-transfers[i].turn // one that failed early must not let the next overtake the one before
		})
		turn = done
	}
	running.Wait()
	bar.stop()
	status := 0
	for _, t := range transfers {
		if t.failure != nil {
			fmt.Fprintf(std.err, "dunlin: %s: %s\n", t.url.Redacted(), t.failure.text)
			if status == 0 {
				status = t.failure.status
			}
		}
		if opts.stats {
			t.printStats(std.err)
		}
	}
	if status != 0 {
		return &exitError{status}
	}
	return nil
}

// parseURLs reads the URLs, and gives those that end in / the name of what is sent.
func (o *getOptions) parseURLs(args []string) ([]*url.URL, error) {
	if len(o.outputs) > len(args) {
		return nil, errors.New("more -o than URLs")
	}
	var urls []*url.URL
	for _, arg := range args {
		u, err := parseURL(arg)
		if err != nil {
			return nil, err
		}
		if o.upload != "" && o.upload != "-" && (u.Path == "" || strings.HasSuffix(u.Path, "/")) {
			u = u.JoinPath(path.Base(o.upload))
		}
		if o.remoteName && remoteName(u) == "" {
			return nil, fmt.Errorf("%s: -O finds no file name in the URL", u.Redacted())
		}
		urls = append(urls, u)
	}
	return urls, nil
}

// outputFile is where the body of the i-th URL goes, "" for standard output.
func (o *getOptions) outputFile(i int, u *url.URL) string {
	switch {
	case o.remoteName:
		return remoteName(u)
	case i < len(o.outputs) && o.outputs[i] != "-":
		return o.outputs[i]
	}
	return ""
}

// remoteName is the last part of a URL's path if it is safe as the name of a file here, else "".
func remoteName(u *url.URL) string {
	name := u.Path[strings.LastIndex(u.Path, "/")+1:]
	if name == "." || name == ".." || strings.ContainsAny(name, "\\:\x00") {
		return ""
	}
	return name
}

// body returns what is sent with every request, or nil.
func (o *getOptions) body(stdin io.Reader) (*requestBody, error) {
	switch {
	case o.upload == "-":
		return &requestBody{stream: stdin, size: -1}, nil
	case o.upload != "":
		info, err := os.Stat(o.upload)
		if err != nil {
			return nil, err
		}
		if info.IsDir() {
			return nil, fmt.Errorf("%s is a folder", o.upload)
		}
		b := &requestBody{file: o.upload, size: info.Size()}
		if !info.Mode().IsRegular() {
			b.size = -1
		}
		return b, nil
	case o.data != nil:
		return joinData(o.data, stdin)
	}
	return nil, nil
}
