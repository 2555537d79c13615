package main

import (
	"context"
	"crypto/tls"
	"io"
	"net/http"
	"sort"
)

// An httpPeer is an HTTP implementation under measurement, with its default settings.
type httpPeer interface {
	// serve starts a server on loopback, in the background, and returns its host:port.
	serve(cert tls.Certificate, h http.Handler) (string, error)
	// transport returns a client that uses one connection of its own per host. resume lets it keep session tickets.
	transport(cfg *tls.Config) closableTransport
}

type closableTransport interface {
	http.RoundTripper
	Close() error
}

// A rawPeer moves bytes over streams, without HTTP.
type rawPeer interface {
	// serve starts a server that passes every stream that a client opens to handle, in a goroutine of its own.
	serve(cert tls.Certificate, handle func(rawStream)) (string, error)
	dial(ctx context.Context, addr string, cfg *tls.Config) (rawConn, error)
}

// A rawConn is one connection of a rawPeer's client.
type rawConn interface {
	open(ctx context.Context) (rawStream, error)
	Close() error
}

// A rawStream is a bidirectional stream. Close ends the writing half only.
type rawStream interface {
	io.Reader
	io.Writer
	io.Closer
}

var (
	httpPeers = map[string]httpPeer{}
	rawPeers  = map[string]rawPeer{}
)

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}
