package main

import (
	"encoding/pem"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
)

func main() {
	var (
		role     = flag.String("role", "", "internal: server or client")
		peers    = flag.String("peers", "", "comma-separated peers, by default all that can do the work")
		names    = flag.String("work", "", "comma-separated works, by default all")
		runs     = flag.Int("runs", 5, "runs of each peer, interleaved; medians are printed")
		quick    = flag.Bool("quick", false, "a quarter of the bytes, two seconds a run, three runs")
		baseline = flag.String("baseline", "", "the peer to divide by, by default quic-go")
		certFile = flag.String("cert", "", "internal")
		keyFile  = flag.String("key", "", "internal")
		addr     = flag.String("addr", "", "internal")
		size     = flag.Float64("size", 0, "bytes or seconds of one run, by default the work's own")
		list     = flag.Bool("list", false, "list peers and works")
		markdown = flag.Bool("markdown", false, "print Markdown tables")
	)
	flag.Parse()
	switch {
	case *list:
		fmt.Println("http peers:", strings.Join(sortedKeys(httpPeers), ", "))
		fmt.Println("raw peers: ", strings.Join(sortedKeys(rawPeers), ", "))
		for _, w := range works {
			fmt.Printf("%-16s %s\n", w.name, w.kind)
		}
		return
	case *role == "server":
		w, _ := findWork(*names)
		runServer(*peers, w.kind, *certFile, *keyFile)
		return
	case *role == "client":
		w, _ := findWork(*names)
		runClient(*peers, w, *addr, *certFile, *size)
		return
	}
	if *quick {
		*runs = 3
	}
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		fatal(err)
	}
	defer os.RemoveAll(dir)
	if *certFile, *keyFile, err = writeCert(dir); err != nil {
		fatal(err)
	}
	for _, w := range works {
		if *names != "" && !slices.Contains(strings.Split(*names, ","), w.name) {
			continue
		}
		candidates := sortedKeys(httpPeers)
		if w.kind == "raw" {
			candidates = sortedKeys(rawPeers)
		}
		if w.unit == "handshake" {
			// The floor has no handshake.
			candidates = slices.DeleteFunc(candidates, func(p string) bool { return p == "floor" })
		}
		if *peers != "" {
			want := strings.Split(*peers, ",")
			candidates = slices.DeleteFunc(candidates, func(p string) bool { return !slices.Contains(want, p) })
		}
		amount := w.full
		if *quick {
			amount = w.quick
		}
		if *size > 0 {
			amount = *size
		}
		if w.kind == "idle" {
			runIdle(w, candidates, *runs, amount, *certFile, *keyFile, *markdown)
			continue
		}
		samples := map[string][]sample{}
		for run := range *runs {
			for _, p := range candidates {
				s, err := measure(p, w, amount, *certFile, *keyFile)
				if err != nil {
					fmt.Fprintf(os.Stderr, "bench: %s of %s, run %d: %v\n", w.name, p, run+1, err)
					continue
				}
				samples[p] = append(samples[p], s)
			}
		}
		report(os.Stdout, w, candidates, samples, *baseline, *markdown)
	}
}

func writePEM(file, kind string, der []byte) error {
	return os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
}

func fatal(err error) {
	fmt.Fprintln(os.Stderr, "bench:", err)
	os.Exit(1)
}
