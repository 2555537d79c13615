package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"github.com/dunlin-quic/dunlin/qlog"
	"github.com/dunlin-quic/dunlin/qlog/qlogdir"
	"github.com/dunlin-quic/dunlin/quic"
	"github.com/spf13/cobra"
)

// qlogOptions are the flags about traces.
type qlogOptions struct{ qlogDir string }

func (o *qlogOptions) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&o.qlogDir, "qlog", "", "write a trace of each connection into the folder `DIR` (default $QLOGDIR)")
	_ = cmd.MarkFlagDirname("qlog")
}

// trace makes connections write traces where the flag or the environment variable QLOGDIR says. What can't be written is said
// once.
func (o *qlogOptions) trace(config *quic.Config, stderr io.Writer) {
	dir := o.qlogDir
	if dir == "" {
		dir = os.Getenv("QLOGDIR")
	}
	if dir == "" {
		return
	}
	var once sync.Once
	traces := &qlogdir.Dir{Path: strings.TrimSuffix(dir, string(os.PathSeparator)), OnError: func(err error) {
		once.Do(func() { fmt.Fprintln(stderr, "dunlin: no trace:", err) })
	}}
	config.NewTracer = func(side quic.Side, odcid quic.ConnectionID) qlog.Tracer {
		return traces.New(qlog.VantagePoint(side.String()), odcid.Bytes())
	}
}
