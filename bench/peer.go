package main

import (
	"context"
	"crypto/tls"
	"io"
	"net/http"
	"sort"
)

// serverConfig is what a server is told; all else is its library's default.
type serverConfig struct {
	addr    string // to listen on: host:0
	cert    tls.Certificate
	streams int // if not 0, how many requests or streams a client may have open
}

// An httpPeer is an HTTP implementation under measurement, with its default settings.
type httpPeer interface {
	// serve starts a server, in the background, and returns its host:port.
	serve(cfg serverConfig, h http.Handler) (string, error)
	// transport returns a client that uses one connection of its own per host.
	transport(cfg *tls.Config) closableTransport
}

type closableTransport interface {
	http.RoundTripper
	Close() error
}

// A rawPeer moves bytes over streams, without HTTP. A stream begins with nine bytes from the client: 'd' or 'u', and how many
// bytes follow down or up, big-endian. The server answers an upload with one byte when it has all.
type rawPeer interface {
	serve(cfg serverConfig) (string, error)
	dial(ctx context.Context, addr string, cfg *tls.Config) (rawConn, error)
}

// A rawConn is one connection of a rawPeer's client. Its transfer, on a stream of its own, returns when all bytes are
// where they should be. buf is for what it reads, if it needs it.
type rawConn interface {
	transfer(dir byte, n int64, buf []byte) error
	Close() error
}

// A rawStream is a bidirectional stream of a peer whose interface is one of blocking reads and writes. Close ends the
// writing half only.
type rawStream interface {
	io.Reader
	io.Writer
	io.Closer
}

// rawStreams makes a rawConn of a peer whose interface is one of blocking reads and writes.
type rawStreams struct {
	open  func() (rawStream, error)
	close func() error
}

func (c rawStreams) transfer(dir byte, n int64, buf []byte) error {
	s, err := c.open()
	if err != nil {
		return err
	}
	return rawGet(s, dir, n, buf)
}

func (c rawStreams) Close() error { return c.close() }

// chooser is a peer that does only some of the works of its kind.
type chooser interface{ does(w *work) bool }

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
