package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/dunlin-quic/dunlin/quic"
	"github.com/spf13/cobra"
)

// serveOptions are the flags of serve.
type serveOptions struct {
	listen    string
	cert, key string
	proxy     string
	grace     time.Duration
	early     bool
	quiet     bool
	qlogOptions
}

func newServeCommand(std streams) *cobra.Command {
	var opts serveOptions
	cmd := &cobra.Command{
		Use:   "serve [FOLDER]",
		Short: "Serve a folder, or an upstream, over HTTP/3, HTTP/2 and HTTP/1.1",
		Long: `serve answers with the files of a folder (by default the current one), or passes requests on to an upstream,
over HTTP/3 on UDP and over HTTP/2 and HTTP/1.1 on the same port of TCP, where an Alt-Svc header field
leads clients to HTTP/3.

Without --cert it makes a development certificate for localhost, keeps it in your configuration folder,
and prints how to trust it. SSLKEYLOGFILE names a file for TLS secrets, QLOGDIR a folder for traces (qlog).`,
		Example: `  dunlin serve public
  dunlin serve --proxy http://localhost:8080
  dunlin serve --listen :443 --cert fullchain.pem --key privkey.pem /srv/www`,
		Args: misuse(cobra.MaximumNArgs(1)),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveFilterDirs
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			handler, what, err := opts.handler(cmd, args)
			if err != nil {
				return err
			}
			return serve(cmd.Context(), &opts, handler, what, std)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&opts.listen, "listen", "localhost:4433", "`HOST:PORT` to listen on, UDP and TCP; \":443\" is every interface")
	flags.StringVar(&opts.cert, "cert", "", "`FILE` with the certificate chain in PEM")
	flags.StringVar(&opts.key, "key", "", "`FILE` with its private key in PEM")
	flags.StringVar(&opts.proxy, "proxy", "", "pass requests on to the server at `URL` instead of serving a folder")
	flags.BoolVar(&opts.early, "0rtt", false, "take GET, HEAD and OPTIONS in early data (0-RTT) over HTTP/3, once for each session; an upstream sees Early-Data: 1")
	flags.DurationVar(&opts.grace, "grace", 10*time.Second, "how long running requests may take after the first interrupt")
	flags.BoolVarP(&opts.quiet, "quiet", "q", false, "write no access log")
	opts.qlogOptions.add(cmd)
	cmd.MarkFlagsRequiredTogether("cert", "key")
	for _, name := range []string{"cert", "key"} {
		_ = cmd.MarkFlagFilename(name, "pem", "crt", "key")
	}
	return cmd
}

// handler returns what answers requests, and its name.
func (o *serveOptions) handler(cmd *cobra.Command, args []string) (http.Handler, string, error) {
	if o.proxy == "" {
		dir := "."
		if len(args) > 0 {
			dir = args[0]
		}
		f, err := openFolder(dir)
		if err != nil {
			return nil, "", err
		}
		name, err := filepath.Abs(dir)
		return f, name, err
	}
	if len(args) > 0 {
		return nil, "", &usageError{command: cmd.CommandPath(), err: errors.New("either a folder or --proxy, not both")}
	}
	upstream, err := url.Parse(o.proxy)
	if err == nil && (upstream.Scheme != "http" && upstream.Scheme != "https" || upstream.Host == "") {
		err = fmt.Errorf("%q is not an http or https URL", o.proxy)
	}
	if err != nil {
		return nil, "", &usageError{command: cmd.CommandPath(), err: fmt.Errorf("--proxy: %w", err)}
	}
	return newProxy(upstream, slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), nil))), upstream.String(), nil
}

// newProxy passes requests on to an upstream, which learns of the client by X-Forwarded-For and its siblings.
func newProxy(upstream *url.URL, logger *slog.Logger) http.Handler {
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(upstream)
			r.SetXForwarded()
		},
		ModifyResponse: func(r *http.Response) error {
			r.Header.Del("Alt-Svc") // it speaks of the upstream's ports, not of ours
			return nil
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			if r.Context().Err() == nil {
				logger.Warn("upstream failed", "method", r.Method, "path", r.URL.Path, "error", err)
			}
			http.Error(w, "The upstream did not answer.", http.StatusBadGateway)
		},
		ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelWarn),
	}
}

// serve runs a server until ctx ends, then lets requests finish.
func serve(ctx context.Context, opts *serveOptions, handler http.Handler, what string, std streams) error {
	config := &tls.Config{}
	closeKeyLog, err := logKeys(config)
	if err != nil {
		return err
	}
	defer closeKeyLog()
	trust, err := opts.certificate(config, std.err)
	if err != nil {
		return err
	}
	if !opts.quiet {
		handler = &accessLog{handler: handler, now: time.Now, out: std.out}
	}
	transport := &quic.Config{EarlyData: opts.early}
	opts.trace(transport, std.err)
	o, err := startOrigin(opts.listen, config, transport, handler, slog.New(slog.NewTextHandler(std.err, nil)))
	if err != nil {
		return err
	}
	fmt.Fprintf(std.out, "Serving %s over HTTP/3, HTTP/2 and HTTP/1.1 at\n  %s\n", what, o.url)
	if trust != nil {
		printTrust(std.out, o, trust)
	}
	fmt.Fprintln(std.out)
	return o.serveUntil(ctx, opts.grace)
}

// certificate puts the certificate of the flags, or else the development certificate, into a TLS config.
func (o *serveOptions) certificate(config *tls.Config, stderr io.Writer) (*devCert, error) {
	if o.cert != "" {
		pair, err := tls.LoadX509KeyPair(o.cert, o.key)
		if err != nil {
			return nil, fmt.Errorf("certificate: %w", err)
		}
		config.Certificates = []tls.Certificate{pair}
		return nil, nil
	}
	return useDevCert(config, stderr)
}

// useDevCert puts the development certificate into a TLS config.
func useDevCert(config *tls.Config, stderr io.Writer) (*devCert, error) {
	dev, inMemory, err := userDevCert()
	if err != nil {
		return nil, err
	}
	if inMemory != nil {
		fmt.Fprintln(stderr, "dunlin: the development certificate lasts only as long as this process:", inMemory)
	}
	config.GetCertificate = dev.get
	return dev, nil
}

// serveUntil returns when a server fails or, after ctx, when running requests have ended or grace is over.
func (o *origin) serveUntil(ctx context.Context, grace time.Duration) error {
	var failure error
	select {
	case failure = <-o.failed:
	case <-ctx.Done():
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	if err := o.site.Shutdown(end); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return errors.Join(failure, err)
	}
	return failure
}

// printTrust says how clients come to trust the development certificate.
func printTrust(w io.Writer, o *origin, dev *devCert) {
	fmt.Fprintf(w, "\nDevelopment certificate, valid until %s. To trust it:\n", dev.notAfter().Format(time.DateTime))
	fmt.Fprintf(w, "  chromium --user-data-dir=\"$(mktemp -d)\" --origin-to-force-quic-on=%s \\\n", o.host)
	fmt.Fprintf(w, "    --ignore-certificate-errors-spki-list=%s %s\n", dev.spki(), o.url)
	if dev.certFile() != "" {
		fmt.Fprintf(w, "  dunlin get --cacert %s %s\n", shellQuote(dev.certFile()), o.url)
		fmt.Fprintf(w, "  curl --http3 --cacert %s %s\n", shellQuote(dev.certFile()), o.url)
	}
}

// shellQuote makes one word of a POSIX shell from a file name.
func shellQuote(s string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._-+,:@", r)
	}
	if s != "" && strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
