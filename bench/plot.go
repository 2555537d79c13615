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
	"gonum.org/v1/plot/vg/draw"

	"github.com/dunlin-quic/dunlin/bench/internal/chart"
)

// A figure is a plot of several works side by side.
type figure struct {
	file, title string
	works       []string
	y           string
	// value returns what to draw of a peer's samples; nil draws the quantiles of latency.
	value func(m *measured, s []sample) float64
}

var small = []string{"small-1x100", "small-10x10", "small-100x1", "small-1x1"}

var bulk = []string{"get", "put", "raw-down", "raw-up"}

var figures = []figure{
	{"throughput.svg", "Throughput of one transfer", bulk, "Gbit/s", scaledRate},
	{"throughput-cpu.svg", "CPU time of one transfer, server and client", bulk, "s/GiB", scaledCPU},
	{"requests.svg", "Small requests by connections × streams", small, "requests/s", scaledRate},
	{"requests-cpu.svg", "CPU time of a small request, server and client", small, "µs", scaledCPU},
	{"latency.svg", "Latency of small requests: median, 99 %, 99.9 %", small, "ms", nil},
	{"handshakes.svg", "Handshakes", []string{"handshake-http", "resumed-http", "0rtt-http", "handshake-raw", "resumed-raw"}, "per second", scaledRate},
	{"datagrams.svg", "Datagrams delivered", []string{"datagrams-1200", "datagrams-100"}, "per second", scaledRate},
	{"lossy.svg", "Download with 1 % loss over 50 ms", []string{"lossy"}, "Mbit/s", scaledRate},
	{"idle.svg", "Resident memory of an idle connection, server", []string{"idle"}, "KB", idleMemory},
	{"growth.svg", "CPU time of a request beside what is open and idle, to that of one alone",
		[]string{"growth-connections", growthStreams}, "ratio", func(_ *measured, s []sample) float64 { return growth(s) }},
}

func idleMemory(_ *measured, s []sample) float64 {
	kb, _ := median(s, func(s sample) float64 { return s.Idle.kilobytes(s.Idle.Server) })
	return kb
}

func growth(s []sample) float64 {
	alone, _ := median(inPhase(s, phaseAlone), bothCPU)
	grown, _ := median(inPhase(s, phaseGrown), bothCPU)
	if alone == 0 {
		return 0
	}
	return grown / alone
}

func scaledRate(m *measured, s []sample) float64 {
	r, _ := median(s, rate)
	return r * m.unit().rateScale
}

func scaledCPU(m *measured, s []sample) float64 {
	c, _ := median(s, bothCPU)
	return c * m.unit().cpuScale
}

// colors tells the peers apart: libraries by hue, with and without HTTP by lightness.
var colors = map[string]color.RGBA{
	"dunlin":         chart.Blue,
	"dunlin-h3":      chart.Sky,
	"dunlin-h3-late": {0x9f, 0xd6, 0xf2, 0xff},
	"quic-go":        chart.Vermilion,
	"quic-go-h3":     chart.Orange,
	"tls-tcp":        {0x00, 0x6b, 0x53, 0xff},
	"net-http-h2":    chart.Green,
	"tcp-cubic":      {0x00, 0x6b, 0x53, 0xff},
	"tcp-reno":       chart.Green,
	"floor":          {0x99, 0x99, 0x99, 0xff},
}

// drawn reports whether a peer is in the plots. The floors of single works are only in their tables: some are so far from all
// else that nothing could be told apart.
func drawn(w *measured, peer string) bool {
	_, single := floors[w.Name][peer]
	if _, chooses := httpPeers[peer].(chooser); chooses {
		return false // what one work shows the tables tell
	}
	return !single && len(w.samples(peer)) > 0
}

// plot draws the figures for which there is something measured, and returns them.
func (r *results) plot(folder string) ([]figure, error) {
	var done []figure
	for _, f := range figures {
		var works []*measured
		var peers []string
		for i := range r.Works {
			w := &r.Works[i]
			if !slices.Contains(f.works, w.Name) {
				continue
			}
			works = append(works, w)
			for _, p := range w.Peers {
				if drawn(w, p.Peer) && !slices.Contains(peers, p.Peer) {
					peers = append(peers, p.Peer)
				}
			}
		}
		if len(peers) == 0 {
			continue
		}
		slices.Sort(peers)
		p := chart.New(f.title, f.y)
		// On the left, a legend's text grows away from its marks, whatever font a reader has.
		p.Legend.Top, p.Legend.Left, p.Legend.XOffs, p.Legend.Padding = true, true, chart.Width*0.69, vg.Points(2)
		var names []string
		for _, w := range works {
			names = append(names, strings.Replace(strings.TrimPrefix(w.Name, "small-"), "x", " × ", 1))
		}
		p.NominalX(names...)
		var err error
		if f.value != nil {
			err = f.bars(p, works, peers)
		} else {
			err = f.quantiles(p, works, peers)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.file, err)
		}
		// Beyond the last work there is room for the legend.
		p.X.Min, p.X.Max = -0.5, float64(len(works))*1.3-0.5
		if err := chart.Save(filepath.Join(folder, f.file), plotHeight, p); err != nil {
			return nil, err
		}
		done = append(done, f)
	}
	return done, nil
}

// plotHeight is how high a plot is.
const plotHeight = 9 * vg.Centimeter

// bars draws a group of bars for each work.
func (f *figure) bars(p *plot.Plot, works []*measured, peers []string) error {
	groups := make([][]string, len(works))
	widest := 0
	for i, w := range works {
		groups[i] = slices.DeleteFunc(slices.Clone(peers), func(peer string) bool { return !drawn(w, peer) })
		widest = max(widest, len(groups[i]))
	}
	width := chart.Width * 0.6 / vg.Length(len(works)*(widest+1))
	for i, w := range works {
		for j, peer := range groups[i] {
			name := peer
			if slices.ContainsFunc(groups[:i], func(earlier []string) bool { return slices.Contains(earlier, peer) }) {
				name = ""
			}
			offset := width * (vg.Length(j) - vg.Length(len(groups[i])-1)/2)
			values := plotter.Values{f.value(w, w.samples(peer))}
			if err := chart.Bars(p, name, colors[peer], values, width, float64(i), offset); err != nil {
				return err
			}
		}
	}
	p.Y.Min = 0
	return nil
}

// quantiles draws for each work and peer a line from the median to the 99.9th percentile, on a logarithmic scale.
func (f *figure) quantiles(p *plot.Plot, works []*measured, peers []string) error {
	p.Y.Scale, p.Y.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: -1}
	shapes := []draw.GlyphDrawer{draw.CircleGlyph{}, draw.PlusGlyph{}, draw.TriangleGlyph{}}
	for i, peer := range peers {
		for j, w := range works {
			s := w.of(peer, "")
			points := make(plotter.XYs, 0, len(shapes))
			for _, quantile := range []func(sample) time.Duration{p50, p99, p999} {
				if d, _ := median(s, func(s sample) float64 { return quantile(s).Seconds() * 1000 }); d > 0 {
					x := float64(j) + (float64(i)-float64(len(peers)-1)/2)*0.2
					points = append(points, plotter.XY{X: x, Y: d})
				}
			}
			if len(points) < len(shapes) {
				continue
			}
			line, scatter, err := plotter.NewLinePoints(points)
			if err != nil {
				return err
			}
			line.Color, scatter.Color = colors[peer], colors[peer]
			scatter.GlyphStyleFunc = func(k int) draw.GlyphStyle {
				return draw.GlyphStyle{Color: colors[peer], Radius: vg.Points(3), Shape: shapes[k]}
			}
			p.Add(line, scatter)
			if !slices.ContainsFunc(works[:j], func(w *measured) bool { return len(w.of(peer, "")) > 0 }) {
				p.Legend.Add(peer, line)
			}
		}
	}
	return nil
}
