// Package chart is how the plots of the project's documents are drawn: their size, fonts and colours.
package chart

import (
	"bytes"
	"image/color"
	"os"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// Width is how wide a plot is.
const Width = 20 * vg.Centimeter

// Colours that those tell apart, too, who see few.
var (
	Blue      = color.RGBA{0x00, 0x72, 0xb2, 0xff}
	Sky       = color.RGBA{0x56, 0xb4, 0xe9, 0xff}
	Vermilion = color.RGBA{0xd5, 0x5e, 0x00, 0xff}
	Orange    = color.RGBA{0xe6, 0x9f, 0x00, 0xff}
	Green     = color.RGBA{0x00, 0x9e, 0x73, 0xff}
	Gray      = color.RGBA{0x80, 0x80, 0x80, 0xff}
)

// New returns an empty plot.
func New(title, y string) *plot.Plot {
	plot.DefaultFont = font.Font{Typeface: "Liberation", Variant: "Sans"}
	p := plot.New()
	p.Title.Text, p.Y.Label.Text = title, y
	p.Title.Padding = vg.Points(8)
	return p
}

// Bars adds bars of one colour, the first one at x and the others after it, all of them moved by offset. They are named in the
// legend unless name is empty.
func Bars(p *plot.Plot, name string, c color.Color, values plotter.Values, width vg.Length, x float64, offset vg.Length) error {
	bars, err := plotter.NewBarChart(values, width)
	if err != nil {
		return err
	}
	bars.XMin, bars.Color, bars.LineStyle.Width, bars.Offset = x, c, 0, offset
	p.Add(bars)
	if name != "" {
		p.Legend.Add(name, bars)
	}
	return nil
}

// Points adds points with a line through them.
func Points(p *plot.Plot, name string, c color.Color, points plotter.XYs) error {
	line, scatter, err := plotter.NewLinePoints(points)
	if err != nil {
		return err
	}
	line.Color, scatter.Color, scatter.Shape = c, c, draw.CircleGlyph{}
	p.Add(line, scatter)
	p.Legend.Add(name, line)
	return nil
}

// Save writes plots as one SVG, each of that height and below the one before, with fonts of the same measures for readers who
// lack the first one.
func Save(file string, height vg.Length, plots ...*plot.Plot) error {
	canvas := vgsvg.New(Width, height*vg.Length(len(plots)))
	column := make([][]*plot.Plot, len(plots))
	for i, p := range plots {
		column[i] = []*plot.Plot{p}
	}
	tiles := draw.Tiles{Rows: len(plots), Cols: 1, PadY: vg.Points(6)}
	for i, tile := range plot.Align(column, tiles, draw.New(canvas)) {
		plots[i].Draw(tile[0])
	}
	var b bytes.Buffer
	if _, err := canvas.WriteTo(&b); err != nil {
		return err
	}
	svg := bytes.ReplaceAll(b.Bytes(), []byte("font-family:Liberation Sans"), []byte("font-family:Liberation Sans,Arial,Helvetica,sans-serif"))
	return os.WriteFile(file, svg, 0o666)
}
