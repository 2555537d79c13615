package main

import (
	"bytes"
	"fmt"
	"image/color"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
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
		[]string{"growth-connections", growthStreams}, "ratio", growth},
}

func idleMemory(_ *measured, s []sample) float64 {
	kb, _ := median(s, func(s sample) float64 { return s.Idle.kilobytes(s.Idle.Server) })
	return kb
}

func growth(_ *measured, s []sample) float64 {
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

// colors tells the peers apart, also for those who see few colours: libraries by hue, with and without HTTP by lightness.
var colors = map[string]color.RGBA{
	"dunlin":         {0x00, 0x72, 0xb2, 0xff},
	"dunlin-h3":      {0x56, 0xb4, 0xe9, 0xff},
	"dunlin-h3-late": {0x9f, 0xd6, 0xf2, 0xff},
	"quic-go":        {0xd5, 0x5e, 0x00, 0xff},
	"quic-go-h3":     {0xe6, 0x9f, 0x00, 0xff},
	"tls-tcp":        {0x00, 0x6b, 0x53, 0xff},
	"net-http-h2":    {0x00, 0x9e, 0x73, 0xff},
	"tcp-cubic":      {0x00, 0x6b, 0x53, 0xff},
	"tcp-reno":       {0x00, 0x9e, 0x73, 0xff},
	"floor":          {0x99, 0x99, 0x99, 0xff},
}

// plot draws the figures for which there is something measured, and returns them.
func (r *results) plot(folder string) ([]figure, error) {
	plot.DefaultFont = font.Font{Typeface: "Liberation", Variant: "Sans"}
	var drawn []figure
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
				if len(p.Samples) > 0 && !slices.Contains(peers, p.Peer) {
					peers = append(peers, p.Peer)
				}
			}
		}
		if len(peers) == 0 {
			continue
		}
		slices.Sort(peers)
		p := plot.New()
		p.Title.Text, p.Y.Label.Text = f.title, f.y
		p.Title.Padding = vg.Points(8)
		// On the left, a legend's text grows away from its marks, whatever font a reader has.
		p.Legend.Top, p.Legend.Left, p.Legend.XOffs, p.Legend.Padding = true, true, plotWidth*0.69, vg.Points(2)
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
		if err := save(p, filepath.Join(folder, f.file)); err != nil {
			return nil, err
		}
		drawn = append(drawn, f)
	}
	return drawn, nil
}

// The size of a plot.
const (
	plotWidth  = 20 * vg.Centimeter
	plotHeight = 9 * vg.Centimeter
)

// save writes a plot as SVG, with fonts of the same measures for readers who lack the first one.
func save(p *plot.Plot, file string) error {
	w, err := p.WriterTo(plotWidth, plotHeight, "svg")
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if _, err := w.WriteTo(&b); err != nil {
		return err
	}
	svg := bytes.ReplaceAll(b.Bytes(), []byte("font-family:Liberation Sans"), []byte("font-family:Liberation Sans,Arial,Helvetica,sans-serif"))
	return os.WriteFile(file, svg, 0o666)
}

// bars draws a group of bars for each work.
func (f *figure) bars(p *plot.Plot, works []*measured, peers []string) error {
	groups := make([][]string, len(works))
	widest := 0
	for i, w := range works {
		groups[i] = slices.DeleteFunc(slices.Clone(peers), func(peer string) bool { return len(w.samples(peer)) == 0 })
		widest = max(widest, len(groups[i]))
	}
	width := plotWidth * 0.6 / vg.Length(len(works)*(widest+1))
	for i, w := range works {
		for j, peer := range groups[i] {
			bar, err := plotter.NewBarChart(plotter.Values{f.value(w, w.samples(peer))}, width)
			if err != nil {
				return err
			}
			bar.XMin, bar.Color, bar.LineStyle.Width = float64(i), colors[peer], 0
			bar.Offset = width * (vg.Length(j) - vg.Length(len(groups[i])-1)/2)
			p.Add(bar)
			if !slices.ContainsFunc(groups[:i], func(earlier []string) bool { return slices.Contains(earlier, peer) }) {
				p.Legend.Add(peer, bar)
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
