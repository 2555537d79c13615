package qlogdir_test

import (
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/dunlin-quic/dunlin/qlog"
	"github.com/dunlin-quic/dunlin/qlog/qlogdir"
)

// Each trace is a file of its own. A connection makes and ends its own by quic.Config.NewTracer; here it is done by hand.
func Example() {
	dir, err := os.MkdirTemp("", "qlog")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	traces := &qlogdir.Dir{Path: dir, OnError: func(err error) { log.Print(err) }}
	for _, point := range []qlog.VantagePoint{"client", "server"} {
		trace := traces.New(point, []byte{0xc0, 0xff, 0xee})
		trace.Close()
	}
	files, _ := filepath.Glob(filepath.Join(dir, "*"))
	for _, file := range files {
		fmt.Println(filepath.Base(file))
	}
	// Output:
	// c0ffee_client.sqlog
	// c0ffee_server.sqlog
}
