package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strconv"

	"github.com/dunlin-quic/dunlin/http3"
	"github.com/dunlin-quic/dunlin/quic"
)

// origin is a running server: HTTP/3 over UDP, HTTP/1.1 and HTTP/2 over TCP, on the same addresses and port number.
type origin struct {
	url  string // https://host:port/
	host string // host:port of url

	site   *http3.Site
	failed chan error // why it can't go on
}

// startOrigin listens on an address and serves handler over HTTP/3, which transport, if it is not nil, configures, and over TCP.
func startOrigin(
	listen string, config *tls.Config, transport *quic.Config, handler http.Handler, logger *slog.Logger,
) (*origin, error) {
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return nil, fmt.Errorf("address to listen on: %w", err)
	}
	o := &origin{failed: make(chan error, 1), site: &http3.Site{
		Addr: listen, Handler: handler, TLSConfig: config, HTTP3: &http3.Server{QUIC: transport, ErrorLog: logger},
	}}
	if err := o.site.Listen(); err != nil {
		return nil, err
	}
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
		host = "localhost"
	}
	o.host = net.JoinHostPort(host, strconv.Itoa(portOf(o.site.Addrs()[0])))
	o.url = "https://" + o.host + "/"
	go func() {
		if err := o.site.Serve(); !errors.Is(err, http.ErrServerClosed) {
			o.failed <- err
		}
	}()
	return o, nil
}

func portOf(addr net.Addr) int {
	return int(netip.MustParseAddrPort(addr.String()).Port())
}
