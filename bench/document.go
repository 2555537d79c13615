package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/dunlin-quic/dunlin/bench/internal/marked"
)

// The document of results. What lies between the markers is written by the program, the rest of the file by people.
const (
	documentFile = "BENCHMARKS.md"
	plotFolder   = "benchmarks"
	beginMark    = "<!-- results: begin; written by go run . -docs ../docs -->"
	endMark      = "<!-- results: end -->"
)

// documentFrame is the document where there is none yet.
const documentFrame = `# Benchmarks

Dunlin beside its peers on the same work, server and client in processes of their own, runs interleaved, medians with half of
their range in percent (±%). Figures drift from machine to machine and hour to hour; the ratios of one run hold. The
program, what each work does, and how to measure again: [bench](../bench).

` + beginMark + `
` + endMark + `
`

// describe says in a line what a work does, for readers of the document.
var describe = map[string]string{
	"get":                "One HTTP GET on a warm connection.",
	"put":                "One HTTP PUT on a warm connection.",
	"small-1x100":        "GET with an answer of 128 bytes: 1 connection, 100 requests at a time.",
	"small-10x10":        "The same: 10 connections, 10 requests at a time on each.",
	"small-100x1":        "The same: 100 connections, 1 request at a time on each. dunlin-h3-sockets serves on a socket per processor (SO_REUSEPORT).",
	"small-1x1":          "The same: 1 connection, 1 request at a time.",
	"handshake-http":     "Connections with one request each, 16 at a time.",
	"resumed-http":       "The same with TLS sessions resumed; each connection waits for the session of the next one.",
	"0rtt-http":          "The same with the request in early data (0-RTT); dunlin-h3-late waits for the handshake.",
	"raw-down":           "One stream from server to client, without HTTP. The floor seals and sends packets without any protocol.",
	"raw-up":             "One stream from client to server, without HTTP.",
	"handshake-raw":      "Connections with one stream each, 16 at a time, without HTTP.",
	"resumed-raw":        "The same with TLS sessions resumed.",
	"datagrams-1200":     "Unreliable datagrams of 1,200 bytes, at the highest rate found at which less than 0.1 % is lost.",
	"datagrams-100":      "Unreliable datagrams of 100 bytes, at the highest rate found at which less than 0.1 % is lost.",
	"lossy":              "Download over 100 Mbit/s and 50 ms there and back, with a queue of one bandwidth-delay product and 1 % of the packets lost in each direction: the same ones, by index, for all peers. As many transfers at once as do not disturb each other.",
	"idle":               "Memory and goroutines of connections that rest after one request each.",
	"growth-connections": "Small requests on 100 connections, alone and beside idle connections.",
	growthStreams:        "100 small requests at a time on one connection, alone and beside open streams.",
	"growth-window":      "A transfer in the simulator over 100 ms, by the size of the flow-control window; both sides' CPU time, and that of the simulated network.",
}

// document writes the tables into the document in a folder, and the plots beside it.
func (r *results) document(folder, baseline string) error {
	plots, err := r.plot(filepath.Join(folder, plotFolder))
	if err != nil {
		return err
	}
	file := filepath.Join(folder, documentFile)
	if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
		if err := os.WriteFile(file, []byte(documentFrame), 0o666); err != nil {
			return err
		}
	}
	var b bytes.Buffer
	r.describe(&b)
	for _, p := range plots {
		fmt.Fprintf(&b, "![%s](%s/%s)\n\n", p.title, plotFolder, p.file)
	}
	r.describeTargets(&b)
	for _, w := range r.Works {
		fmt.Fprintf(&b, "### %s\n\n", w.Name)
		if text := describe[w.Name]; text != "" {
			fmt.Fprintf(&b, "%s ", text)
		}
		fmt.Fprintf(&b, "%s.\n\n", w.amount())
		w.table(baseline).write(&b, true)
		b.WriteByte('\n')
	}
	return marked.Replace(file, beginMark, endMark, fold(b.Bytes()))
}

// maxColumns is how long a line of text becomes. Tables and pictures have lines as long as they need.
const maxColumns = 132

// fold breaks long lines at spaces, those of list items with the indentation that Markdown wants.
func fold(text []byte) []byte {
	var folded bytes.Buffer
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "|") || strings.HasPrefix(line, "!") {
			folded.WriteString(line)
			continue
		}
		indent := ""
		if strings.HasPrefix(line, "- ") {
			indent = "  "
		}
		column := 0
		for i, word := range strings.Split(strings.TrimSuffix(line, "\n"), " ") {
			n := utf8.RuneCountInString(word)
			switch {
			case i == 0:
			case column+1+n > maxColumns:
				folded.WriteString("\n" + indent)
				column = len(indent)
			default:
				folded.WriteByte(' ')
				column++
			}
			folded.WriteString(word)
			column += n
		}
		folded.WriteByte('\n')
	}
	return folded.Bytes()
}

// describeTargets writes what became of the targets.
func (r *results) describeTargets(b *bytes.Buffer) {
	all := r.outcomes()
	if len(all) == 0 {
		return
	}
	fmt.Fprint(b, targetsText)
	targetTable(all).write(b, true)
	fmt.Fprint(b, betweenText)
	between(b, all)
	b.WriteByte('\n')
}

const targetsText = `### Targets

Each is a ratio of medians within this run, or a figure of its own. The floors are what the same work costs here without any
protocol, measured beside it.

`

const betweenText = `
### What stands between

Of each target missed. A floor has Go's sockets, packets as many and as long, sealed and opened, and nothing else: that of small
requests waits in system calls where a process has one socket; "floor-goroutines" waits in Go's poller and wakes a goroutine
per request on either side; "floor-tls" is a QUIC handshake's TLS alone. Shares of CPU time are from profiles:
` + "`BENCH_PROFILE=DIR go run . -work WORK -peers PEER -runs 1`, then `go tool pprof -top -cum`" + `.

`

// describe writes what the figures depend on.
func (r *results) describe(b *bytes.Buffer) {
	versions := make([]string, len(r.Machine.Modules))
	for i, m := range r.Machine.Modules {
		versions[i] = m.Path + " " + m.Version
	}
	fmt.Fprintf(b, "| | |\n| --- | --- |\n| date | %s |\n| command | `%s` |\n| processor | %d × %s |\n| system | %s |\n| Go | %s |\n| Dunlin | %s |\n| modules | %s |\n\n",
		r.Date.Format(time.DateTime+" MST"), r.Command, r.Machine.CPUs, r.Machine.CPU, r.Machine.Kernel, r.Machine.Go, r.Machine.Dunlin, strings.Join(versions, ", "))
}

// amount says how much one run of a work does.
func (m *measured) amount() string {
	amount := fmt.Sprintf("%g seconds", m.Size)
	switch {
	case m.Unit == "GiB" && m.Size >= gib:
		amount = fmt.Sprintf("%.3g GiB", m.Size/gib)
	case m.Unit == "GiB":
		amount = fmt.Sprintf("%.3g MiB", m.Size/mib)
	case m.Kind == kindIdle:
		amount = fmt.Sprintf("%.0f connections", m.Size)
	}
	if m.Runs == 1 {
		return "One run of " + amount
	}
	return fmt.Sprintf("Medians of %d runs of %s each", m.Runs, amount)
}
