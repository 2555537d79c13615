package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/dunlin-quic/dunlin/internal/simnet/curves"
)

// What lies between the markers is written by the program, the rest of the document by people.
const (
	beginMark = "<!-- tables: begin; written by go run ./curves -->"
	endMark   = "<!-- tables: end -->"
)

// document writes the tables into a document.
func document(file string, bulk, lossy, staggered, rivals group) error {
	old, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	before, rest, ok := bytes.Cut(old, []byte(beginMark))
	_, after, ok2 := bytes.Cut(rest, []byte(endMark))
	if !ok || !ok2 {
		return fmt.Errorf("%s: the markers %s and %s are missing", file, beginMark, endMark)
	}
	var b bytes.Buffer
	b.Write(before)
	fmt.Fprintf(&b, "%s\n\n", beginMark)
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
	fmt.Fprintf(&b, "\n%s", endMark)
	b.Write(after)
	return os.WriteFile(file, b.Bytes(), 0o666)
}

func plain(name string) string { return strings.ReplaceAll(name, "∕", "/") }

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
