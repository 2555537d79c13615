package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// reachOptions are the flags that say how a client finds a server, whom it trusts and which header it sends.
type reachOptions struct {
	headers     []string
	insecure    bool
	cacert      string
	resolve     []string
	connectTime time.Duration
}

func (o *reachOptions) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringArrayVarP(&o.headers, "header", "H", nil, "send the header `'NAME: VALUE'`; 'NAME:' leaves one out that is sent by default")
	flags.BoolVarP(&o.insecure, "insecure", "k", false, "go on when the server's certificate does not verify")
	flags.StringVar(&o.cacert, "cacert", "", "trust the authorities in the PEM `FILE` and no others")
	flags.StringArrayVar(&o.resolve, "resolve", nil, "use an address for a server's name: `HOST:PORT:ADDRESS`")
	flags.DurationVar(&o.connectTime, "connect-timeout", 10*time.Second, "how long connecting may take, name resolution included")
	cmd.MarkFlagsMutuallyExclusive("cacert", "insecure")
	_ = cmd.MarkFlagFilename("cacert", "pem", "crt")
}

// way is what reachOptions say.
type way struct {
	header      http.Header
	pins        pins
	tls         *tls.Config
	closeKeyLog func() // at the end
}

// find reads the options; misused marks errors that are the user's.
func (o *reachOptions) find(misused func(error) error) (w way, err error) {
	if w.header, err = parseHeaders(o.headers); err != nil {
		return w, misused(err)
	}
	if w.pins, err = parseResolve(o.resolve); err != nil {
		return w, misused(err)
	}
	w.tls, w.closeKeyLog, err = o.tlsConfig()
	return w, err
}

func (o *reachOptions) tlsConfig() (config *tls.Config, closeKeyLog func(), err error) {
	config = &tls.Config{InsecureSkipVerify: o.insecure}
	if o.cacert != "" {
		content, err := os.ReadFile(o.cacert)
		if err != nil {
			return nil, nil, fmt.Errorf("--cacert: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(content) {
			return nil, nil, fmt.Errorf("--cacert: no certificate in %s", o.cacert)
		}
	}
	closeKeyLog, err = logKeys(config)
	return config, closeKeyLog, err
}

// parseURL reads a URL, whose scheme may be left out.
func parseURL(arg string) (*url.URL, error) {
	if !strings.Contains(arg, "://") {
		arg = "https://" + arg
	}
	u, err := url.Parse(arg)
	switch {
	case err != nil:
		return nil, err
	case u.Scheme != "https":
		return nil, fmt.Errorf("%s: HTTP/3 needs an https URL", u.Redacted())
	case u.Hostname() == "":
		return nil, fmt.Errorf("%s: no host in the URL", u.Redacted())
	}
	u.Fragment = ""
	return u, nil
}

// dialTCP is an http.Transport's DialContext: it tries the pinned addresses in turn, or else the system's.
func (p pins) dialTCP(ctx context.Context, network, address string) (conn net.Conn, err error) {
	var dialer net.Dialer
	pinned := p[strings.ToLower(address)]
	if pinned == nil {
		return dialer.DialContext(ctx, network, address)
	}
	for _, addr := range pinned {
		c, dialErr := dialer.DialContext(ctx, network, addr.String())
		if dialErr == nil {
			return c, nil
		}
		err = cmp.Or(err, dialErr)
	}
	return nil, err
}
