// Package prometheus gives the figures of Dunlin's endpoints to Prometheus. It is a module of its own, so that only those who use
// it download a client of Prometheus.
//
// One [Metrics] serves any number of endpoints:
//
//	m := prometheus.New(prometheus.Options{})
//	registry.MustRegister(m) // of github.com/prometheus/client_golang
//
//	engine.Listen(&engine.ListenConfig{Endpoint: engine.EndpointConfig{Metrics: m}, ...}, ":443")
//
// # The figures
//
// All names begin with dunlin_, durations are in seconds, and side is "server" or "client".
//
//	connections{side}                            gauge      in memory, with those that are closing
//	connections_opened_total{side}
//	handshake_seconds{side}                      histogram  from the first packet to the complete handshake
//	handshake_stage_seconds{stage}               histogram  of one packet: queue, protocol, response
//	handshakes_failed_total{side,cause}
//	closes_total{side,by,layer,code,protocol}    ends with a code: by "us" or "peer", layer "transport" or "application"
//	ends_total{side,cause}                       all ends
//	connection_lifetime_seconds{side}            histogram
//	connection_max_bandwidth_bits_per_second     histogram  the most that a connection had in use
//	connection_max_loss_ratio                    histogram  the largest part of what it sent that was lost for a while
//	connection_max_streams                       histogram  the most that it had open
//	bandwidth_in_use_bits_per_second             gauge      of all connections: the most of each in the last two minutes
//	initials_accepted_total                      packets of clients that began a connection
//	packets_rejected_total{reason}               that were of no connection and began none
//	reads_dropped_total{queue}                   because a queue was full: of the socket, or a mailbox
//	sends_failed_total{reason}
//	send_blocked_seconds                         histogram  waits for room in the socket's buffer
//	step_seconds, step_delay_seconds             histogram  work for a connection, and its wait for a goroutine
//
// With Options.ByNetwork there are also network_initials_accepted_total{network} and network_packets_rejected_total{network,reason}.
// Every label has few values, whatever peers do, but for networks.
package prometheus

import (
	"net/netip"
	"time"

	"github.com/dunlin-quic/dunlin/metrics"
	"github.com/prometheus/client_golang/prometheus"
)

// Options configures [New]. The zero value is the default for every field.
type Options struct {
	// Labels are added to all figures, such as the name of a listener.
	Labels prometheus.Labels
	// ByNetwork counts connection attempts also by the client's network, a /20 of IPv4 or a /32 of IPv6: up to a million series
	// that clients, and whoever forges addresses, can make.
	ByNetwork bool
}

// Metrics is a metrics.Metrics and a collector of Prometheus. It is safe for concurrent use.
type Metrics struct {
	all []prometheus.Collector

	connections       *prometheus.GaugeVec
	opened            *prometheus.CounterVec
	handshake, stages *prometheus.HistogramVec
	failed            *prometheus.CounterVec
	closes, ends      *prometheus.CounterVec
	lifetime          *prometheus.HistogramVec
	maxBandwidth      prometheus.Histogram
	maxLoss           prometheus.Histogram
	maxStreams        prometheus.Histogram
	bandwidth         prometheus.Gauge
	accepted          prometheus.Counter
	rejected          *prometheus.CounterVec
	dropped           *prometheus.CounterVec
	sendFailed        *prometheus.CounterVec
	sendBlocked       prometheus.Histogram
	step, stepDelay   prometheus.Histogram

	networkAccepted, networkRejected *prometheus.CounterVec // nil unless asked for
}

var (
	_ metrics.Metrics      = (*Metrics)(nil)
	_ prometheus.Collector = (*Metrics)(nil)
)

// The buckets.
var (
	shortTimes = prometheus.ExponentialBucketsRange(10e-6, 5, 18)   // of work
	longTimes  = prometheus.ExponentialBucketsRange(0.1, 86400, 15) // of connections
	bandwidths = prometheus.ExponentialBucketsRange(1e5, 1e11, 19)
	losses     = []float64{0, 0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.15, 0.2, 0.25, 0.5, 1}
	counts     = []float64{1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 50000}
)

// New returns figures that are all zero. They are to be registered once.
func New(o Options) *Metrics {
	m := new(Metrics)
	counters := func(name, help string, labels ...string) *prometheus.CounterVec {
		return add(m, prometheus.NewCounterVec(prometheus.CounterOpts{Name: "dunlin_" + name, Help: help, ConstLabels: o.Labels}, labels))
	}
	opts := func(name, help string, buckets []float64) prometheus.HistogramOpts {
		return prometheus.HistogramOpts{Name: "dunlin_" + name, Help: help, Buckets: buckets, ConstLabels: o.Labels}
	}
	histograms := func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
		return add(m, prometheus.NewHistogramVec(opts(name, help, buckets), labels))
	}
	histogram := func(name, help string, buckets []float64) prometheus.Histogram {
		return add(m, prometheus.NewHistogram(opts(name, help, buckets)))
	}
	gauge := func(name, help string) prometheus.GaugeOpts {
		return prometheus.GaugeOpts{Name: "dunlin_" + name, Help: help, ConstLabels: o.Labels}
	}
	m.connections = add(m, prometheus.NewGaugeVec(gauge("connections", "QUIC connections in memory."), []string{"side"}))
	m.opened = counters("connections_opened_total", "QUIC connections begun.", "side")
	m.handshake = histograms("handshake_seconds", "Time that complete handshakes took.", shortTimes, "side")
	m.stages = histograms("handshake_stage_seconds", "Time that a packet of a handshake spent in each stage.", shortTimes, "stage")
	m.failed = counters("handshakes_failed_total", "Connections that ended before their handshake was complete.", "side", "cause")
	m.closes = counters("closes_total", "Connections closed with a code, by us or by the peer.", "side", "by", "layer", "code", "protocol")
	m.ends = counters("ends_total", "Connections that ended.", "side", "cause")
	m.lifetime = histograms("connection_lifetime_seconds", "Time from the beginning of connections to their end.", longTimes, "side")
	m.maxBandwidth = histogram("connection_max_bandwidth_bits_per_second", "The most bandwidth that a connection had in use.", bandwidths)
	m.maxLoss = histogram("connection_max_loss_ratio", "The largest part of what a connection sent that was lost for a while.", losses)
	m.maxStreams = histogram("connection_max_streams", "The most streams that a connection had open.", counts)
	m.bandwidth = add(m, prometheus.NewGauge(gauge("bandwidth_in_use_bits_per_second",
		"Bandwidth in use of all connections: the most of each in the last two minutes.")))
	m.accepted = add(m, prometheus.NewCounter(prometheus.CounterOpts{
		Name: "dunlin_initials_accepted_total", Help: "Packets of clients that began a connection.", ConstLabels: o.Labels,
	}))
	m.rejected = counters("packets_rejected_total", "Datagrams that were of no connection and began none.", "reason")
	m.dropped = counters("reads_dropped_total", "Reads thrown away because a queue was full.", "queue")
	m.sendFailed = counters("sends_failed_total", "System calls that failed to send.", "reason")
	m.sendBlocked = histogram("send_blocked_seconds", "Waits for room in a socket's send buffer.", shortTimes)
	m.step = histogram("step_seconds", "Time that a step of a connection took.", shortTimes)
	m.stepDelay = histogram("step_delay_seconds", "Time that a step of a connection waited for a goroutine.", shortTimes)
	if o.ByNetwork {
		m.networkAccepted = counters("network_initials_accepted_total", "initials_accepted by the client's network.", "network")
		m.networkRejected = counters("network_packets_rejected_total", "packets_rejected by the client's network.", "network", "reason")
	}
	return m
}

func add[C prometheus.Collector](m *Metrics, c C) C {
	m.all = append(m.all, c)
	return c
}

// Describe implements prometheus.Collector.
func (m *Metrics) Describe(ch chan<- *prometheus.Desc) {
	for _, c := range m.all {
		c.Describe(ch)
	}
}

// Collect implements prometheus.Collector.
func (m *Metrics) Collect(ch chan<- prometheus.Metric) {
	for _, c := range m.all {
		c.Collect(ch)
	}
}

func side(c metrics.Connection) string {
	if c.Server {
		return "server"
	}
	return "client"
}

// ConnectionOpened implements metrics.Metrics.
func (m *Metrics) ConnectionOpened(c metrics.Connection) {
	m.connections.WithLabelValues(side(c)).Inc()
	m.opened.WithLabelValues(side(c)).Inc()
}

// HandshakeStep implements metrics.Metrics.
func (m *Metrics) HandshakeStep(_ metrics.Connection, s metrics.HandshakeStage, d time.Duration) {
	m.stages.WithLabelValues(s.String()).Observe(d.Seconds())
}

// HandshakeDone implements metrics.Metrics.
func (m *Metrics) HandshakeDone(c metrics.Connection, d time.Duration) {
	m.handshake.WithLabelValues(side(c)).Observe(d.Seconds())
}

// ConnectionClosed implements metrics.Metrics.
func (m *Metrics) ConnectionClosed(c metrics.Connection, e metrics.End) {
	m.connections.WithLabelValues(side(c)).Dec()
	cause := causeName(e)
	m.ends.WithLabelValues(side(c), cause).Inc()
	by := "us"
	if e.Remote {
		by = "peer"
	}
	switch e.Cause {
	case metrics.CauseTransport:
		m.closes.WithLabelValues(side(c), by, "transport", transportCode(e.Code), c.Protocol).Inc()
	case metrics.CauseApplication:
		m.closes.WithLabelValues(side(c), by, "application", applicationCode(c.Protocol, e.Code), c.Protocol).Inc()
	}
	m.lifetime.WithLabelValues(side(c)).Observe(e.Lifetime.Seconds())
	if e.Handshake {
		m.failed.WithLabelValues(side(c), cause).Inc()
		return // the rest is of no interest
	}
	m.maxBandwidth.Observe(e.MaxBandwidth)
	m.maxLoss.Observe(e.MaxLoss)
	m.maxStreams.Observe(float64(e.MaxStreams))
}

// InitialAccepted implements metrics.Metrics.
func (m *Metrics) InitialAccepted(remote netip.Addr) {
	m.accepted.Inc()
	if m.networkAccepted != nil {
		m.networkAccepted.WithLabelValues(network(remote)).Inc()
	}
}

// PacketRejected implements metrics.Metrics.
func (m *Metrics) PacketRejected(remote netip.Addr, reason string) {
	m.rejected.WithLabelValues(reason).Inc()
	if m.networkRejected != nil {
		m.networkRejected.WithLabelValues(network(remote), reason).Inc()
	}
}

// PacketsDropped implements metrics.Metrics.
func (m *Metrics) PacketsDropped(where metrics.Queue, n uint64) {
	m.dropped.WithLabelValues(where.String()).Add(float64(n))
}

// SendFailed implements metrics.Metrics.
func (m *Metrics) SendFailed(reason string) { m.sendFailed.WithLabelValues(reason).Inc() }

// SendBlocked implements metrics.Metrics.
func (m *Metrics) SendBlocked(d time.Duration) { m.sendBlocked.Observe(d.Seconds()) }

// BandwidthChanged implements metrics.Metrics.
func (m *Metrics) BandwidthChanged(delta int64) { m.bandwidth.Add(float64(delta)) }

// StepRan implements metrics.Metrics.
func (m *Metrics) StepRan(d, delay time.Duration) {
	m.step.Observe(d.Seconds())
	m.stepDelay.Observe(delay.Seconds())
}

// network returns the network that a client is counted by.
func network(a netip.Addr) string {
	bits := 32
	if a = a.Unmap().WithZone(""); a.Is4() {
		bits = 20
	}
	p, err := a.Prefix(bits)
	if err != nil {
		return "unknown"
	}
	return p.String()
}
