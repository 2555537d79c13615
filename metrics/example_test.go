package metrics_test

import (
	"fmt"
	"sync/atomic"

	"github.com/dunlin-quic/dunlin/metrics"
)

// gauge keeps one figure of all that there are.
type gauge struct {
	metrics.Base
	connections atomic.Int64
}

func (g *gauge) ConnectionOpened(metrics.Connection)              { g.connections.Add(1) }
func (g *gauge) ConnectionClosed(metrics.Connection, metrics.End) { g.connections.Add(-1) }

// It becomes the Metrics of engine.EndpointConfig, or of several.
func ExampleBase() {
	g := new(gauge)
	var m metrics.Metrics = g
	c := metrics.Connection{Server: true}
	m.ConnectionOpened(c)
	m.ConnectionOpened(c)
	m.ConnectionClosed(c, metrics.End{Remote: true, Cause: metrics.CauseApplication, Code: 0x100})
	fmt.Println(g.connections.Load())
	// Output: 1
}
