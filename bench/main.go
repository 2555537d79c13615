package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

func main() {
	if err := bench(os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fatal(err)
	}
}

// settings are what the command line says, for the whole program.
type settings struct {
	runs              int
	quick             bool
	works, peers      []string // nil stands for all
	baseline          string
	size              float64
	grow              int
	rest              time.Duration
	markdown          bool
	jsonFile          string
	docs              string
	certFile, keyFile string
}

// bench executes one command line.
func bench(args []string, stdout, stderr io.Writer) error {
	var (
		s            settings
		c            child
		works, peers string
		role, report string
		list         bool
	)
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&works, "work", "", "comma-separated works, by default all")
	flags.StringVar(&peers, "peers", "", "comma-separated peers, by default all that can do the work")
	flags.IntVar(&s.runs, "runs", 0, "runs of each peer, interleaved; medians are printed (default 5, with -quick 3)")
	flags.BoolVar(&s.quick, "quick", false, "little work and three runs; unless there is -docs, without slow works and single works' floors: about two minutes")
	flags.StringVar(&s.baseline, "baseline", "", "the peer to divide by, by default quic-go")
	flags.Float64Var(&s.size, "size", 0, "bytes, seconds or connections of one run, by default the work's own")
	flags.IntVar(&s.grow, "grow", 9900, "idle connections and open streams of the growth works")
	flags.DurationVar(&s.rest, "rest", 3*time.Second, "how long connections rest before idle ones are measured")
	flags.BoolVar(&s.markdown, "markdown", false, "print Markdown tables")
	flags.StringVar(&s.jsonFile, "json", "", "write every sample to a file")
	flags.StringVar(&report, "report", "", "measure nothing: show the results in a file that -json wrote")
	flags.StringVar(&s.docs, "docs", "", "write tables and plots into the folder of the project's documents, here ../docs")
	flags.BoolVar(&list, "list", false, "list works and peers")
	flags.StringVar(&role, "role", "", "internal")
	flags.StringVar(&c.certFile, "cert", "", "internal")
	flags.StringVar(&c.keyFile, "key", "", "internal")
	flags.StringVar(&c.addr, "addr", "", "internal")
	flags.StringVar(&c.host, "host", "127.0.0.1", "internal")
	flags.StringVar(&c.tun, "tun", "", "internal")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return nil
	case err != nil:
		return err
	case flags.NArg() > 0:
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if role != "" {
		c.work, _ = findWork(works)
		c.peer, c.size, c.grow, c.rest = peers, s.size, s.grow, s.rest
		if role == "server" {
			return c.serve()
		}
		return c.run()
	}
	s.works, s.peers = split(works), split(peers)
	if s.runs == 0 {
		s.runs = 5
		if s.quick {
			s.runs = 3
		}
	}
	switch {
	case list:
		listWorks(stdout)
		return nil
	case report != "":
		return s.again(report, stdout)
	}
	return s.measure(args, stdout, stderr)
}

func split(list string) []string {
	if list == "" {
		return nil
	}
	return strings.Split(list, ",")
}

func listWorks(out io.Writer) {
	for _, w := range works {
		fmt.Fprintf(out, "%-20s %s\n", w.name, strings.Join(w.peers(), ", "))
	}
}

// again shows results that were measured earlier.
func (s *settings) again(file string, stdout io.Writer) error {
	content, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var r results
	if err := json.Unmarshal(content, &r); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	for _, w := range r.Works {
		fmt.Fprintf(stdout, "\n%s\n\n", w.Name)
		w.table(s.baseline).write(stdout, s.markdown)
	}
	r.judge(stdout, s.markdown)
	return s.document(&r)
}

// measure runs the works, prints a table after each, and writes the files that were asked for.
func (s *settings) measure(args []string, stdout, stderr io.Writer) error {
	selected, err := s.selected()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if s.certFile, s.keyFile, err = writeCert(dir); err != nil {
		return err
	}
	r := results{Date: time.Now().UTC().Truncate(time.Second), Command: commandLine(args), Machine: thisMachine()}
	for _, w := range selected {
		if w.kind == kindLossy {
			if err := canTun(); err != nil {
				fmt.Fprintf(stderr, "bench: %s skipped: %v\n", w.name, err)
				continue
			}
		}
		m := s.measureWork(w, stderr)
		if len(m.Peers) == 0 {
			continue // none of those that were asked for
		}
		r.Works = append(r.Works, m)
		fmt.Fprintf(stdout, "\n%s\n\n", w.name)
		m.table(s.baseline).write(stdout, s.markdown)
	}
	r.judge(stdout, s.markdown)
	if s.jsonFile != "" {
		content, err := json.MarshalIndent(r, "", "\t")
		if err != nil {
			return err
		}
		if err := os.WriteFile(s.jsonFile, append(content, '\n'), 0o666); err != nil {
			return err
		}
	}
	if err := s.document(&r); err != nil {
		return err
	}
	if r.empty() {
		return errors.New("nothing was measured")
	}
	return nil
}

// hasty reports whether a first impression is all that is wanted, without what takes long and without the floors of single works.
func (s *settings) hasty() bool {
	return s.quick && s.docs == "" && s.works == nil && s.peers == nil
}

// selected returns the works to do.
func (s *settings) selected() ([]work, error) {
	if s.works == nil {
		return slices.DeleteFunc(slices.Clone(works), func(w work) bool { return s.hasty() && w.slow() }), nil
	}
	var selected []work
	for _, name := range s.works {
		w, ok := findWork(name)
		if !ok {
			return nil, fmt.Errorf("no work %q: -list lists them", name)
		}
		selected = append(selected, w)
	}
	return selected, nil
}

// measureWork lets every peer do a work as often as asked: in turns, or many at once where time passes on an emulated path.
func (s *settings) measureWork(w work, stderr io.Writer) measured {
	m := measured{Name: w.name, Unit: w.unit, Kind: w.kind, Runs: s.runsOf(w), Size: w.full}
	if s.quick {
		m.Size = w.quick
	}
	if s.size > 0 {
		m.Size = s.size
	}
	peers := w.peers()
	if s.hasty() {
		peers = w.libraries()
	}
	for _, peer := range peers {
		if s.peers == nil || slices.Contains(s.peers, peer) {
			m.Peers = append(m.Peers, peerSamples{Peer: peer})
		}
	}
	type outcome struct {
		samples []sample
		err     error
	}
	outcomes := make([]outcome, m.Runs*len(m.Peers))
	free := make(chan struct{}, 1)
	if w.kind == kindLossy {
		free = make(chan struct{}, lossyAtOnce)
	}
	var wg sync.WaitGroup
	for i := range outcomes {
		free <- struct{}{}
		wg.Go(func() {
			defer func() { <-free }()
			r := run{settings: s, work: w, peer: m.Peers[i%len(m.Peers)].Peer, size: m.Size, number: i / len(m.Peers)}
			outcomes[i].samples, outcomes[i].err = r.measure()
		})
	}
	wg.Wait()
	for i, o := range outcomes {
		p := &m.Peers[i%len(m.Peers)]
		if o.err != nil {
			p.Failures = append(p.Failures, o.err.Error())
			fmt.Fprintf(stderr, "bench: %s of %s, run %d: %v\n", w.name, p.Peer, i/len(m.Peers)+1, o.err)
		}
		p.Samples = append(p.Samples, o.samples...)
	}
	return m
}

// runsOf returns how often each peer does a work.
func (s *settings) runsOf(w work) int {
	switch {
	case s.runs > 1 && w.kind == kindLossy:
		return lossyRuns * s.runs
	case s.quick && (w.kind == kindIdle || w.kind == kindGrowth):
		return min(s.runs, crowdRuns)
	}
	return s.runs
}

// commandLine is what to type for the same measurement again.
func commandLine(args []string) string {
	command := []string{"go", "run", "."}
	for i := 0; i < len(args); i++ {
		// Where the results go says nothing about the measurement.
		name := strings.TrimLeft(args[i], "-")
		if name == "json" || name == "docs" {
			i++
			continue
		}
		if !strings.HasPrefix(name, "json=") && !strings.HasPrefix(name, "docs=") {
			command = append(command, args[i])
		}
	}
	return strings.Join(command, " ")
}

// document writes the documents if that was asked for.
func (s *settings) document(r *results) error {
	if s.docs == "" {
		return nil
	}
	if err := os.MkdirAll(filepath.Join(s.docs, plotFolder), 0o777); err != nil {
		return err
	}
	return r.document(s.docs, s.baseline)
}

func fatal(err error) {
	fmt.Fprintln(os.Stderr, "bench:", err)
	os.Exit(1)
}
