package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"syscall"
	"time"

	"github.com/dunlin-quic/dunlin/http3"
	"github.com/dunlin-quic/dunlin/quic"
)

// origin is a running server: HTTP/3 over UDP, HTTP/1.1 and HTTP/2 over TCP, on the same addresses and port number.
type origin struct {
	url   string // https://host:port/
	host  string // host:port of url
	addrs []net.Addr

	h3     *http3.Server
	tcp    *http.Server
	failed chan error // the first server that can't go on says why
}

// startOrigin listens on an address and serves handler. Over TCP, responses announce HTTP/3 (RFC 7838), which transport, if
// it is not nil, configures.
func startOrigin(
	listen string, config *tls.Config, transport *quic.Config, handler http.Handler, logger *slog.Logger,
) (*origin, error) {
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return nil, fmt.Errorf("address to listen on: %w", err)
	}
	udp, tcp, err := listenBoth(listen)
	if err != nil {
		return nil, err
	}
	o := &origin{addrs: udp.Addrs(), failed: make(chan error, 1+len(tcp))}
	port := portOf(udp.Addr())
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
		host = "localhost"
	}
	o.host = net.JoinHostPort(host, strconv.Itoa(port))
	o.url = "https://" + o.host + "/"
	o.h3 = &http3.Server{Handler: handler, TLSConfig: config, QUIC: transport, Logger: logger}
	o.tcp = &http.Server{
		Handler:           http3.WithAltSvc(port, handler),
		TLSConfig:         config.Clone(),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelWarn),
	}
	go func() { o.ended(o.h3.Serve(udp)) }()
	for _, l := range tcp {
		go func() { o.ended(o.tcp.ServeTLS(l, "", "")) }()
	}
	return o, nil
}

func (o *origin) ended(err error) {
	if !errors.Is(err, http.ErrServerClosed) {
		o.failed <- err
	}
}

// shutdown lets running requests end and closes everything when they have, or when ctx ends.
func (o *origin) shutdown(ctx context.Context) error {
	tcp := make(chan error, 1)
	go func() { tcp <- o.tcp.Shutdown(ctx) }()
	err := errors.Join(o.h3.Shutdown(ctx), <-tcp)
	return errors.Join(err, o.h3.Close(), o.tcp.Close())
}

// listenBoth opens UDP sockets and TCP listeners on the same addresses. If the port is for the system to choose, the
// one that it chose for UDP may be taken for TCP: then it tries others.
func listenBoth(listen string) (*http3.Listener, []net.Listener, error) {
	_, port, _ := net.SplitHostPort(listen)
	for tries := 0; ; tries++ {
		udp, err := http3.Listen(listen)
		if err != nil {
			return nil, nil, err
		}
		tcp, err := listenTCP(udp.Addrs())
		if err == nil {
			return udp, tcp, nil
		}
		udp.Close()
		if port != "0" || !errors.Is(err, syscall.EADDRINUSE) || tries == 10 {
			return nil, nil, err
		}
	}
}

func listenTCP(addrs []net.Addr) ([]net.Listener, error) {
	var listeners []net.Listener
	for _, addr := range addrs {
		l, err := net.Listen("tcp", addr.String())
		if err != nil {
			for _, opened := range listeners {
				opened.Close()
			}
			return nil, err
		}
		listeners = append(listeners, l)
	}
	return listeners, nil
}

func portOf(addr net.Addr) int {
	return int(netip.MustParseAddrPort(addr.String()).Port())
}
