// Package qlogdir writes one trace per connection into a directory, named as the qlog drafts recommend: by the original
// destination connection ID and the side, so that the traces of both ends of a connection lie side by side.
//
//	traces := &qlogdir.Dir{Path: "/var/log/qlog"}
//	cfg.NewTracer = func(side quic.Side, odcid quic.ConnectionID) qlog.Tracer {
//		return traces.New(qlog.VantagePoint(side.String()), odcid.Bytes())
//	}
package qlogdir

import (
	"bufio"
	"compress/gzip"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"

	"github.com/dunlin-quic/dunlin/qlog"
)

// Dir is a directory of traces. It is safe for concurrent use.
type Dir struct {
	// Path is the directory. It is made when the first trace is.
	Path string
	// Gzip compresses the traces, to about a tenth of their size, for some more CPU time.
	Gzip bool
	// OnError, if set, hears why a trace could not be made or was cut short; the connections go on. It is called by
	// several goroutines at the same time.
	OnError func(error)
}

// New begins the trace of a connection, in a file of its own. It returns nil if there can be none.
func (d *Dir) New(point qlog.VantagePoint, odcid []byte) qlog.Tracer {
	id := hex.EncodeToString(odcid)
	f, err := d.create(id + "_" + string(point) + ".sqlog")
	if err != nil {
		d.fail(err)
		return nil
	}
	var w io.WriteCloser = f
	if d.Gzip {
		w = newGzipFile(f)
	}
	return qlog.NewTrace(w, qlog.Header{VantagePoint: point, Name: "dunlin", GroupID: id, OnError: d.fail})
}

// create makes a file that did not exist before: peers choose the names, and nothing is to be overwritten for them.
func (d *Dir) create(name string) (*os.File, error) {
	if d.Gzip {
		name += ".gz"
	}
	name = filepath.Join(d.Path, name)
	const flags = os.O_WRONLY | os.O_CREATE | os.O_EXCL
	// A trace tells who talked to whom: it is for nobody else.
	f, err := os.OpenFile(name, flags, 0o600)
	if errors.Is(err, os.ErrNotExist) {
		if err := os.MkdirAll(d.Path, 0o700); err != nil {
			return nil, err
		}
		f, err = os.OpenFile(name, flags, 0o600)
	}
	return f, err
}

func (d *Dir) fail(err error) {
	if d.OnError != nil {
		d.OnError(err)
	}
}

// gzipFile is a compressed file.
type gzipFile struct {
	*gzip.Writer
	buf *bufio.Writer
	f   *os.File
}

func newGzipFile(f *os.File) *gzipFile {
	buf := bufio.NewWriter(f)
	return &gzipFile{Writer: gzip.NewWriter(buf), buf: buf, f: f}
}

// Close finishes the compression and closes the file.
func (g *gzipFile) Close() error {
	err := g.Writer.Close()
	if e := g.buf.Flush(); err == nil {
		err = e
	}
	if e := g.f.Close(); err == nil {
		err = e
	}
	return err
}
