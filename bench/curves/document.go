package main

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"github.com/dunlin-quic/dunlin/bench/internal/marked"
	"github.com/dunlin-quic/dunlin/internal/simnet/curves"
)

// What lies between the markers is written by the program, the rest of the document by people.
const (
	beginMark = "<!-- tables: begin; written by go run ./curves -->"
	endMark   = "<!-- tables: end -->"
)

// document writes the tables into a document.
func document(file string, bulk, lossy, staggered, rivals group) error {
	var b bytes.Buffer
	fmt.Fprint(&b, "### One flow\n\n| path | queue | controller | used % | queueing delay, ms | dropped % |\n| --- | --- | --- | --: | --: | --: |\n")
	for _, m := range bulk {
		parts := strings.Split(m.Name, "/")
		fmt.Fprintf(&b, "| %s, %s | %s | %s | %.1f | %.1f | %.2f |\n", plain(parts[1]), parts[2],
			strings.TrimSuffix(parts[3], " queue"), parts[4], 100*m.Used, milliseconds(m.Delay), 100*m.Drops)
	}
	fmt.Fprint(&b, "\n### Losses at random\n\n| lost % | controller | used % | by the formulas % |\n| --: | --- | --: | --: |\n")
	for _, m := range lossy {
		cc := m.Flows[0].CC
		formula := fmt.Sprintf("%.1f", 100*m.Theory(cc))
		if strings.HasSuffix(m.Name, "BBR") {
			formula = ""
		}
		fmt.Fprintf(&b, "| %g | %s | %.1f | %s |\n", 100*m.Loss, curves.ControllerName(cc), 100*m.Used, formula)
	}
	fmt.Fprint(&b, "\n### Two flows\n\n| flows | path | queue, round trips | shares % | fairness | used % | queueing delay, ms | dropped % |\n| --- | --- | --: | --: | --: | --: | --: | --: |\n")
	for _, m := range append(staggered[:len(staggered):len(staggered)], rivals...) {
		first, second := curves.ControllerName(m.Flows[0].CC), curves.ControllerName(m.Flows[1].CC)
		fmt.Fprintf(&b, "| %s, %s | %s, %v | %g | %.0f, %.0f | %.2f | %.1f | %.1f | %.2f |\n", first, second,
			plain(curves.RateName(m.Rate)), m.RTT, m.Queue, 100*m.Shares[0], 100*m.Shares[1], m.Fair, 100*m.Used,
			milliseconds(m.Delay), 100*m.Drops)
	}
	return marked.Replace(file, beginMark, endMark, b.Bytes())
}

func plain(name string) string { return strings.ReplaceAll(name, "∕", "/") }

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
