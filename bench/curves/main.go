// Command curves measures congestion control over the simulated network and draws what it finds.
//
//	cd bench && go run ./curves -docs ../docs
//
// writes the plots to docs/congestion, and the tables of docs/CONGESTION.md, whose text people write. The same scenarios
// are held to bounds by the tests of internal/simnet/curves. Nothing here depends on the machine: two runs give the same.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/dunlin-quic/dunlin/internal/simnet/curves"
)

// measured is a scenario and what came of it.
type measured struct {
	curves.Scenario
	*curves.Result
}

// group is the results of scenarios that belong together.
type group []measured

func main() {
	docs := flag.String("docs", "../docs", "the folder of CONGESTION.md")
	flag.Parse()
	if err := write(*docs); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func write(docs string) error {
	groups := make([]group, 0, 4)
	for _, scenarios := range [][]curves.Scenario{curves.Bulk(), curves.Lossy(), curves.Staggered(), curves.Rivals()} {
		g, err := measure(scenarios)
		if err != nil {
			return err
		}
		groups = append(groups, g)
	}
	bulk, lossy, staggered, rivals := groups[0], groups[1], groups[2], groups[3]
	folder := filepath.Join(docs, "congestion")
	if err := os.MkdirAll(folder, 0o777); err != nil {
		return err
	}
	if err := draw(folder, bulk, lossy, staggered, rivals); err != nil {
		return err
	}
	return document(filepath.Join(docs, "CONGESTION.md"), bulk, lossy, staggered, rivals)
}

// measure runs scenarios, as many at a time as there are processors.
func measure(scenarios []curves.Scenario) (group, error) {
	g := make(group, len(scenarios))
	errs := make([]error, len(scenarios))
	var wg sync.WaitGroup
	free := make(chan struct{}, runtime.GOMAXPROCS(0))
	for i, s := range scenarios {
		free <- struct{}{}
		wg.Go(func() {
			defer func() { <-free }()
			start := time.Now()
			r, err := s.Run(1)
			if err != nil {
				errs[i] = fmt.Errorf("%s: %w", s.Name, err)
				return
			}
			g[i] = measured{s, r}
			kept := ""
			if err := s.Check(r); err != nil {
				kept = ": " + err.Error()
			}
			fmt.Printf("%-55s %s, %v%s\n", s.Name, r, time.Since(start).Round(time.Millisecond), kept)
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return g, nil
}

// find returns the scenarios whose name begins with a prefix.
func (g group) find(prefix string) group {
	var found group
	for _, m := range g {
		if strings.HasPrefix(m.Name, prefix) {
			found = append(found, m)
		}
	}
	return found
}
