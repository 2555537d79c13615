package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// median returns the median of what f says of the samples, and half the range in percent of it.
func median[S any](samples []S, f func(S) float64) (mid, spread float64) {
	v := make([]float64, len(samples))
	for i, s := range samples {
		v[i] = f(s)
	}
	slices.Sort(v)
	n := len(v)
	mid = v[n/2]
	if n%2 == 0 {
		mid = (v[n/2-1] + v[n/2]) / 2
	}
	if mid != 0 {
		spread = (v[n-1] - v[0]) / 2 / mid * 100
	}
	return mid, spread
}

func rate(s sample) float64      { return s.Units / s.Elapsed.Seconds() }
func serverCPU(s sample) float64 { return s.Server.CPU.Seconds() / s.Units }
func clientCPU(s sample) float64 { return s.Client.CPU.Seconds() / s.Units }

// report prints the medians of one work, and how the peers compare with the baseline.
func report(out io.Writer, w work, peers []string, samples map[string][]sample, baseline string, markdown bool) {
	if baseline == "" {
		baseline = "quic-go-h3"
		if w.kind == "raw" {
			baseline = "quic-go"
		}
	}
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	row := func(cells ...string) {
		if markdown {
			fmt.Fprintf(out, "| %s |\n", strings.Join(cells, " | "))
		} else {
			fmt.Fprintln(t, strings.Join(cells, "\t"))
		}
	}
	fmt.Fprintf(out, "\n%s\n\n", w.name)
	unit, scale, cpuUnit := w.unit+"s/s", 1.0, "µs"
	cpuScale := 1e6
	if w.unit == "GiB" {
		unit, scale, cpuUnit, cpuScale = "Gbit/s", 8*gib/1e9, "s/GiB", 1
	}
	row("peer", unit, "±%", "ratio", "server CPU "+cpuUnit, "client CPU "+cpuUnit, "CPU ratio", "mallocs server", "client", "p50", "p99", "p99.9", "RSS server MB")
	if markdown {
		row(strings.Split(strings.Repeat("---,", 12)+"---", ",")...)
	}
	base, hasBase := samples[baseline]
	for _, p := range peers {
		s := samples[p]
		if len(s) == 0 {
			row(p, "failed")
			continue
		}
		r, spread := median(s, rate)
		sc, _ := median(s, serverCPU)
		cc, _ := median(s, clientCPU)
		both := func(s sample) float64 { return serverCPU(s) + clientCPU(s) }
		total, _ := median(s, both)
		ratio, cpuRatio := "", ""
		if hasBase {
			br, _ := median(base, rate)
			bc, _ := median(base, both)
			ratio, cpuRatio = fmt.Sprintf("%.2f", r/br), fmt.Sprintf("%.2f", total/bc)
		}
		ms, _ := median(s, func(s sample) float64 { return float64(s.Server.Mallocs) / s.Units })
		mc, _ := median(s, func(s sample) float64 { return float64(s.Client.Mallocs) / s.Units })
		lat := func(f func(sample) time.Duration) string {
			d, _ := median(s, func(s sample) float64 { return float64(f(s)) })
			if d == 0 {
				return ""
			}
			return time.Duration(d).Round(time.Microsecond).String()
		}
		rss, _ := median(s, func(s sample) float64 { return float64(s.Server.RSS) / 1e6 })
		row(p, fmt.Sprintf("%.4g", r*scale), fmt.Sprintf("%.0f", spread), ratio, fmt.Sprintf("%.3g", sc*cpuScale),
			fmt.Sprintf("%.3g", cc*cpuScale), cpuRatio, fmt.Sprintf("%.0f", ms), fmt.Sprintf("%.0f", mc),
			lat(func(s sample) time.Duration { return s.P50 }), lat(func(s sample) time.Duration { return s.P99 }),
			lat(func(s sample) time.Duration { return s.P999 }), fmt.Sprintf("%.0f", rss))
	}
	t.Flush()
}
