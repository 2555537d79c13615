package qlogdir

import (
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/dunlin-quic/dunlin/qlog"
)

// Each connection gets a file of its own, named by its ID and its side, whether compressed or not.
func TestDir(t *testing.T) {
	for _, zip := range []bool{false, true} {
		d := &Dir{Path: filepath.Join(t.TempDir(), "new"), Gzip: zip, OnError: func(err error) { t.Error(err) }}
		for _, point := range []qlog.VantagePoint{qlog.Client, qlog.Server} {
			trace := d.New(point, []byte{0xab, 1})
			trace.Event(time.Now(), &qlog.MTUUpdated{New: 1200})
			trace.Close()

			name := filepath.Join(d.Path, "ab01_"+string(point)+".sqlog")
			if zip {
				name += ".gz"
			}
			f, err := os.Open(name)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			var in io.Reader = f
			if zip {
				if in, err = gzip.NewReader(f); err != nil {
					t.Fatal(err)
				}
			}
			r, err := qlog.NewReader(in)
			if err != nil {
				t.Fatal(err)
			}
			if e, err := r.Next(); err != nil || e.Name != "quic:mtu_updated" {
				t.Errorf("%+v, %v", e, err)
			}
			if _, err := r.Next(); err != io.EOF {
				t.Errorf("at the end: %v", err)
			}
			if h := r.Header(); h.Trace.CommonFields.GroupID != "ab01" || h.Trace.VantagePoint.Type != string(point) {
				t.Errorf("header %+v", h)
			}
		}
	}
}

// A file that can't be made is told of, and no trace is written; none overwrites another.
func TestDirErrors(t *testing.T) {
	var told []error
	d := &Dir{Path: t.TempDir(), OnError: func(err error) { told = append(told, err) }}
	d.New(qlog.Client, []byte{1}).Close()
	if trace := d.New(qlog.Client, []byte{1}); trace != nil || len(told) != 1 || !errors.Is(told[0], os.ErrExist) {
		t.Errorf("a second trace of the same name: %v, %v", trace, told)
	}
	file := filepath.Join(d.Path, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	d.Path = file
	if trace := d.New(qlog.Client, []byte{2}); trace != nil || len(told) != 2 {
		t.Errorf("a trace in a file: %v, %v", trace, told)
	}
}
