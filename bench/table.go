package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// A table is what is printed of a work.
type table struct {
	header []string
	rows   [][]string
	notes  []string // below it
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

// write prints the table, in columns or as Markdown, and its notes.
func (t *table) write(out io.Writer, markdown bool) {
	defer func() {
		for _, note := range t.notes {
			fmt.Fprintf(out, "\n%s\n", note)
		}
	}()
	if !markdown {
		w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
		for _, row := range append([][]string{t.header}, t.rows...) {
			fmt.Fprintln(w, strings.Join(row, "\t"))
		}
		w.Flush()
		return
	}
	line := func(cells []string) { fmt.Fprintf(out, "| %s |\n", strings.Join(cells, " | ")) }
	line(t.header)
	rule := []string{"---"}
	for range t.header[1:] {
		rule = append(rule, "--:")
	}
	line(rule)
	for _, row := range t.rows {
		for len(row) < len(t.header) {
			row = append(row, "")
		}
		line(row)
	}
}

// table makes the table of a work; baseline is the peer to divide by, by default quic-go.
func (m *measured) table(baseline string) (t *table) {
	switch m.Kind {
	case kindIdle:
		t = m.idleTable()
	case kindGrowth:
		t = m.growthTable()
	case kindWindow:
		t = m.windowTable()
	default:
		t = m.rateTable(m.baseline(baseline))
	}
	for _, p := range m.Peers {
		if n := len(p.Failures); n > 0 {
			t.notes = append(t.notes, fmt.Sprintf("Of %s, %d of %d runs failed, the first one so: %s.", p.Peer, n, m.Runs, p.Failures[0]))
		}
	}
	return t
}

// baseline chooses the peer to divide by.
func (m *measured) baseline(asked string) string {
	switch {
	case asked != "":
		return asked
	case m.Kind == kindHTTP, m.Kind == kindEarly:
		return "quic-go-h3"
	case m.Kind == kindLossy:
		return "tcp-cubic"
	}
	return "quic-go"
}

// rateTable shows rates and what they cost.
func (m *measured) rateTable(baseline string) *table {
	u := m.unit()
	t := &table{header: []string{"peer", u.rate, "±%", "ratio", "server CPU " + u.cpu, "±%", "client CPU " + u.cpu, "±%", "CPU ratio",
		"server mallocs", "client", "p50", "p99", "p99.9", "server RSS MB"}}
	if m.Kind == kindDatagram {
		t.header = append(t.header, "lost %")
	}
	base := m.of(baseline, "")
	for _, p := range m.Peers {
		s := p.Samples
		if len(s) == 0 {
			t.add(p.Peer, "failed")
			continue
		}
		r, rs := median(s, rate)
		sc, ss := median(s, serverCPU)
		cc, cs := median(s, clientCPU)
		total, _ := median(s, bothCPU)
		ratio, cpuRatio := "", ""
		if len(base) > 0 {
			br, _ := median(base, rate)
			bc, _ := median(base, bothCPU)
			ratio, cpuRatio = fmt.Sprintf("%.2f", r/br), fmt.Sprintf("%.2f", total/bc)
		}
		ms, _ := median(s, func(s sample) float64 { return float64(s.Server.Mallocs) / s.Units })
		mc, _ := median(s, func(s sample) float64 { return float64(s.Client.Mallocs) / s.Units })
		rss, _ := median(s, func(s sample) float64 { return float64(s.Server.RSS) / 1e6 })
		cells := []string{p.Peer, fmt.Sprintf("%.4g", r*u.rateScale), percent(rs), ratio, fmt.Sprintf("%.3g", sc*u.cpuScale), percent(ss),
			fmt.Sprintf("%.3g", cc*u.cpuScale), percent(cs), cpuRatio, fmt.Sprintf("%.0f", ms), fmt.Sprintf("%.0f", mc),
			latency(s, p50), latency(s, p99), latency(s, p999), fmt.Sprintf("%.0f", rss)}
		if m.Kind == kindDatagram {
			lost, _ := median(s, func(s sample) float64 { return s.Lost })
			cells = append(cells, fmt.Sprintf("%.3f", lost*100))
		}
		t.add(cells...)
	}
	return t
}

func percent(spread float64) string { return fmt.Sprintf("%.0f", spread) }

func p50(s sample) time.Duration  { return s.P50 }
func p99(s sample) time.Duration  { return s.P99 }
func p999(s sample) time.Duration { return s.P999 }

// latency prints the median of a quantile, nothing where latency was not measured.
func latency(s []sample, quantile func(sample) time.Duration) string {
	d, _ := median(s, func(s sample) float64 { return float64(quantile(s)) })
	if d == 0 {
		return ""
	}
	return time.Duration(d).Round(time.Microsecond).String()
}

// growthTable compares requests alone with the same beside what is open and idle.
func (m *measured) growthTable() *table {
	t := &table{header: []string{"peer", "CPU µs alone", "±%", "CPU µs beside idle ones", "±%", "CPU ratio", "requests/s alone", "beside idle ones"}}
	for _, p := range m.Peers {
		alone, grown := m.of(p.Peer, phaseAlone), m.of(p.Peer, phaseGrown)
		if len(alone) == 0 || len(grown) == 0 {
			t.add(p.Peer, "failed")
			continue
		}
		ac, as := median(alone, bothCPU)
		gc, gs := median(grown, bothCPU)
		ar, _ := median(alone, rate)
		gr, _ := median(grown, rate)
		t.add(p.Peer, fmt.Sprintf("%.3g", ac*1e6), percent(as), fmt.Sprintf("%.3g", gc*1e6), percent(gs), fmt.Sprintf("%.2f", gc/ac),
			fmt.Sprintf("%.0f", ar), fmt.Sprintf("%.0f", gr))
	}
	return t
}

// windowTable shows the cost of a byte for every window.
func (m *measured) windowTable() *table {
	t := &table{header: []string{"peer", "window", "CPU s/GiB, both sides", "±%", "simulator", "to the least"}}
	for _, p := range m.Peers {
		var costs []float64
		rows := len(t.rows)
		least := 0.0
		for _, size := range windowSizes {
			phase := windowPhase(size)
			c, spread := median(m.of(p.Peer, phase), clientCPU)
			if c > 0 && (least == 0 || c < least) {
				least = c
			}
			costs = append(costs, c)
			simulator, _ := median(m.of(p.Peer, phase), func(s sample) float64 { return s.Simulator.Seconds() / s.Units })
			t.add(p.Peer, phase, fmt.Sprintf("%.3g", c), percent(spread), fmt.Sprintf("%.3g", simulator))
		}
		for i, c := range costs {
			if c > 0 {
				t.rows[rows+i] = append(t.rows[rows+i], fmt.Sprintf("%.2f", c/least))
			}
		}
	}
	return t
}

// idleTable shows what a connection holds that does nothing.
func (m *measured) idleTable() *table {
	t := &table{header: []string{"peer", "connections", "server KB each", "±%", "client KB each", "server goroutines each", "client"}}
	for _, p := range m.Peers {
		s := p.Samples
		if len(s) == 0 {
			t.add(p.Peer, "failed")
			continue
		}
		server, spread := median(s, func(s sample) float64 { return s.Idle.kilobytes(s.Idle.Server) })
		client, _ := median(s, func(s sample) float64 { return s.Idle.kilobytes(s.Idle.Client) })
		sg, _ := median(s, func(s sample) float64 { return s.Idle.goroutines(s.Idle.Server) })
		cg, _ := median(s, func(s sample) float64 { return s.Idle.goroutines(s.Idle.Client) })
		t.add(p.Peer, fmt.Sprintf("%.0f", s[0].Idle.Connections), fmt.Sprintf("%.1f", server), percent(spread),
			fmt.Sprintf("%.1f", client), fmt.Sprintf("%.2f", sg), fmt.Sprintf("%.2f", cg))
	}
	return t
}
