package main

import (
	"fmt"
	"image/color"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"

	"github.com/dunlin-quic/dunlin/bench/internal/chart"
	"github.com/dunlin-quic/dunlin/internal/simnet/curves"
	"github.com/dunlin-quic/dunlin/quic"
)

// colors tells the controllers apart.
var colors = map[quic.CongestionControl]color.Color{
	quic.NewReno: chart.Green,
	quic.CUBIC:   chart.Blue,
	quic.BBR:     chart.Vermilion,
}

// flowColors tells flows of one controller apart.
var flowColors = []color.Color{chart.Blue, chart.Orange}

// draw writes all plots.
func draw(folder string, bulk, lossy, staggered, rivals group) error {
	for _, depth := range []string{"shallow", "deep"} {
		var lines []line
		for _, m := range bulk.find("bulk/100 Mbit∕s/30ms/" + depth) {
			cc := m.Flows[0].CC
			lines = append(lines, line{curves.ControllerName(cc), colors[cc], m.Samples[0]})
		}
		title := fmt.Sprintf("One flow, 100 Mbit/s, 30 ms, %s queue", depth)
		if err := overTime(filepath.Join(folder, "bulk-"+depth+".svg"), title, lines); err != nil {
			return err
		}
	}
	for _, cc := range curves.Controllers {
		m := staggered.find("staggered/10 Mbit∕s/" + curves.ControllerName(cc))[0]
		lines := []line{
			{"the first flow", flowColors[0], m.Samples[0]}, {"the second flow", flowColors[1], m.Samples[1]},
		}
		name := strings.ToLower(curves.ControllerName(cc))
		title := fmt.Sprintf("Two flows of %s, 10 Mbit/s, 30 ms", curves.ControllerName(cc))
		if err := overTime(filepath.Join(folder, "staggered-"+name+".svg"), title, lines); err != nil {
			return err
		}
	}
	for _, depth := range []string{"shallow", "deep"} {
		if err := used(filepath.Join(folder, "used-"+depth+".svg"), bulk, depth); err != nil {
			return err
		}
	}
	if err := queues(filepath.Join(folder, "queue.svg"), bulk); err != nil {
		return err
	}
	if err := losses(filepath.Join(folder, "loss.svg"), lossy); err != nil {
		return err
	}
	return shares(filepath.Join(folder, "rivals.svg"), rivals)
}

// line is a flow in a plot over time.
type line struct {
	name    string
	color   color.Color
	samples []curves.Sample
}

// perPoint is how many samples make a point of a plot.
const perPoint = 2

// overTime draws window, RTT and throughput of flows, one above the other.
func overTime(file, title string, lines []line) error {
	panels := []struct {
		label string
		value func(s curves.Sample) float64
	}{
		{"window, kB", func(s curves.Sample) float64 { return float64(s.Window) / 1000 }},
		{"smoothed RTT, ms", func(s curves.Sample) float64 { return float64(s.RTT) / float64(time.Millisecond) }},
		{"throughput, Mbit/s", func(s curves.Sample) float64 { return s.Rate / 1e6 }},
	}
	var column []*plot.Plot
	for i, panel := range panels {
		p := chart.New("", panel.label)
		p.Y.Min = 0
		p.Add(plotter.NewGrid())
		if i == 0 {
			p.Title.Text = title
			p.Legend.Top = true
		}
		if i == len(panels)-1 {
			p.X.Label.Text = "seconds"
		}
		for _, l := range lines {
			var points plotter.XYs
			for chunk := range slices.Chunk(l.samples, perPoint) {
				var x, y float64
				for _, s := range chunk {
					x += s.At.Seconds() / float64(len(chunk))
					y += panel.value(s) / float64(len(chunk))
				}
				points = append(points, plotter.XY{X: x, Y: y})
			}
			drawn, err := plotter.NewLine(points)
			if err != nil {
				return err
			}
			drawn.Color, drawn.Width = l.color, vg.Points(1)
			p.Add(drawn)
			if i == 0 {
				p.Legend.Add(l.name, drawn)
			}
		}
		p.Y.Max *= 1.15 // room for the legend
		column = append(column, p)
	}
	return chart.Save(file, 6*vg.Centimeter, column...)
}

// used draws how much of the rate single flows used, by path.
func used(file string, bulk group, depth string) error {
	p := chart.New("Share of the rate used by one flow, "+depth+" queue", "%")
	p.Y.Max = 130
	return bars(p, file, paths(), func(path string, cc quic.CongestionControl) float64 {
		return 100 * bulk.find("bulk/" + path + "/" + depth + " queue/" + curves.ControllerName(cc))[0].Used
	})
}

// queues draws the queueing delay with deep queues, as a multiple of the round-trip time.
func queues(file string, bulk group) error {
	p := chart.New("Queueing delay (95 % of the time below) of one flow, queue of 4 round trips", "round trips")
	p.Y.Max = 5.5
	// With 10 Mbit/s and 1 ms, a path holds less than a packet.
	names := slices.DeleteFunc(paths(), func(name string) bool { return name == "10 Mbit∕s/1ms" })
	return bars(p, file, names, func(path string, cc quic.CongestionControl) float64 {
		m := bulk.find("bulk/" + path + "/deep queue/" + curves.ControllerName(cc))[0]
		return m.Delay.Seconds() / m.RTT.Seconds()
	})
}

// bars draws a bar for each controller, by path.
func bars(p *plot.Plot, file string, paths []string, value func(path string, cc quic.CongestionControl) float64) error {
	const width = 12 // points
	p.Legend.Top = true
	for i, cc := range curves.Controllers {
		var values plotter.Values
		for _, path := range paths {
			values = append(values, value(path, cc))
		}
		offset := vg.Points(width) * vg.Length(i-1)
		if err := chart.Bars(p, curves.ControllerName(cc), colors[cc], values, vg.Points(width), 0, offset); err != nil {
			return err
		}
	}
	p.NominalX(labels(paths)...)
	p.Y.Min, p.X.Min, p.X.Max = 0, -0.6, float64(len(paths))-0.4
	return chart.Save(file, 8*vg.Centimeter, p)
}

// paths are the names of the paths of curves.Bulk.
func paths() []string {
	var names []string
	for _, rate := range curves.Rates {
		for _, rtt := range curves.RTTs {
			names = append(names, fmt.Sprintf("%s/%v", curves.RateName(rate), rtt))
		}
	}
	return names
}

func labels(names []string) []string {
	var all []string
	for _, n := range names {
		all = append(all, strings.Replace(strings.Replace(n, "/", "\n", 1), "∕", "/", 1))
	}
	return all
}

// losses draws the share of the rate over the share of datagrams lost, beside what theory says.
func losses(file string, lossy group) error {
	p := chart.New("Share of 100 Mbit/s used by one flow, 50 ms, losses at random", "% used")
	p.X.Label.Text = "% lost"
	p.X.Scale, p.X.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: -1}
	p.Y.Scale, p.Y.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: -1}
	p.Add(plotter.NewGrid())
	for _, cc := range curves.Controllers {
		var points, theory plotter.XYs
		for _, m := range lossy {
			if m.Flows[0].CC == cc && m.Loss > 0 {
				points = append(points, plotter.XY{X: 100 * m.Loss, Y: 100 * m.Used})
				theory = append(theory, plotter.XY{X: 100 * m.Loss, Y: 100 * m.Theory(cc)})
			}
		}
		if err := chart.Points(p, curves.ControllerName(cc), colors[cc], points); err != nil {
			return err
		}
		if cc == quic.CUBIC {
			dashed, err := plotter.NewLine(theory)
			if err != nil {
				return err
			}
			dashed.Color, dashed.Dashes = chart.Gray, []vg.Length{vg.Points(4), vg.Points(3)}
			p.Add(dashed)
			p.Legend.Add("by the formulas", dashed)
		}
	}
	p.Y.Min, p.Y.Max = 0.1, 130
	return chart.Save(file, 10*vg.Centimeter, p)
}

// shares draws what share the first of two rivals gets, over the depth of the queue.
func shares(file string, rivals group) error {
	p := chart.New("Share of the first controller beside the second, 20 Mbit/s, 30 ms", "%")
	p.X.Label.Text = "queue, round trips"
	p.X.Scale, p.X.Tick.Marker = plot.LogScale{}, plot.ConstantTicks(queueTicks())
	p.Y.Min, p.Y.Max = 0, 115
	p.Legend.Top = true
	p.Add(plotter.NewGrid())
	points := map[string]plotter.XYs{}
	var names []string
	for _, m := range rivals {
		_, name, _ := strings.Cut(strings.TrimPrefix(m.Name, "rivals/"), "/")
		if points[name] == nil {
			names = append(names, name)
		}
		points[name] = append(points[name], plotter.XY{X: m.Queue, Y: 100 * m.Shares[0] / m.Used})
	}
	pairColors := []color.Color{colors[quic.CUBIC], colors[quic.BBR], chart.Orange}
	for i, name := range names {
		if err := chart.Points(p, name, pairColors[i], points[name]); err != nil {
			return err
		}
	}
	return chart.Save(file, 9*vg.Centimeter, p)
}

func queueTicks() []plot.Tick {
	var ticks []plot.Tick
	for _, q := range curves.RivalQueues {
		ticks = append(ticks, plot.Tick{Value: q, Label: fmt.Sprint(q)})
	}
	return ticks
}
