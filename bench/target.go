package main

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// A target is what a figure of Dunlin is to reach, as a ratio to a peer's figure of the same work, or by itself. The table
// of targets says what was reached, and what the floors of the work reach: a target that they miss is out of reach here.
type target struct {
	work   string
	of     metric
	to     string  // the peer to divide by; none if the figure itself is meant
	bound  float64 // at least, or at most for what is better the less it is
	strict bool    // the bound itself is not enough
}

// A metric is a figure of a peer at a work.
type metric struct {
	name string
	more bool // is better
	// value returns the figure of samples, format writes it.
	value  func(s []sample) float64
	format func(m *measured, v float64) string
}

func medianOf(f func(sample) float64) func([]sample) float64 {
	return func(s []sample) float64 {
		v, _ := median(s, f)
		return v
	}
}

func formatRate(m *measured, v float64) string {
	return fmt.Sprintf("%.4g %s", v*m.unit().rateScale, m.unit().rate)
}

func formatCPU(m *measured, v float64) string {
	return fmt.Sprintf("%.3g %s", v*m.unit().cpuScale, m.unit().cpu)
}

func formatLatency(_ *measured, v float64) string {
	return time.Duration(v).Round(time.Microsecond).String()
}

func formatPlain(_ *measured, v float64) string { return fmt.Sprintf("%.3g", v) }

var (
	rateOf          = metric{"rate", true, medianOf(rate), formatRate}
	cpuOf           = metric{"CPU of both sides", false, medianOf(bothCPU), formatCPU}
	serverCPUOf     = metric{"server CPU", false, medianOf(serverCPU), formatCPU}
	clientCPUOf     = metric{"client CPU", false, medianOf(clientCPU), formatCPU}
	p50Of           = metric{"p50", false, medianOf(func(s sample) float64 { return float64(s.P50) }), formatLatency}
	p99Of           = metric{"p99", false, medianOf(func(s sample) float64 { return float64(s.P99) }), formatLatency}
	mallocsOf       = metric{"mallocs, server", false, medianOf(func(s sample) float64 { return float64(s.Server.Mallocs) / s.Units }), formatPlain}
	clientMallocsOf = metric{"mallocs, client", false,
		medianOf(func(s sample) float64 { return float64(s.Client.Mallocs) / s.Units }), formatPlain}
	idleKBOf         = metric{"server KB each", false, medianOf(func(s sample) float64 { return s.Idle.kilobytes(s.Idle.Server) }), formatPlain}
	idleGoroutinesOf = metric{"server goroutines each", false,
		medianOf(func(s sample) float64 { return s.Idle.goroutines(s.Idle.Server) }), formatPlain}
	growthOf = metric{"CPU beside what is idle, to that alone", false, growth, formatPlain}
	windowOf = metric{"CPU, most to least of all windows", false, windowGrowth, formatPlain}
)

// windowGrowth returns the cost of a byte with the most expensive window, to that with the cheapest.
func windowGrowth(s []sample) float64 {
	least, most := 0.0, 0.0
	for _, size := range windowSizes {
		c, _ := median(inPhase(s, windowPhase(size)), clientCPU)
		if least == 0 || c < least {
			least = c
		}
		most = max(most, c)
	}
	if least == 0 {
		return 0
	}
	return most / least
}

// targets are in the order of the works.
var targets = []target{
	{"get", rateOf, "quic-go-h3", 4, false},
	{"get", rateOf, "net-http-h2", 1, true},
	{"get", cpuOf, "net-http-h2", 1, true},
	{"put", rateOf, "quic-go-h3", 4, false},
	{"put", rateOf, "net-http-h2", 1, true},
	{"put", cpuOf, "net-http-h2", 1, true},
	{"small-1x100", rateOf, "quic-go-h3", 2.5, false},
	{"small-1x100", rateOf, "net-http-h2", 1.5, false},
	{"small-1x100", cpuOf, "quic-go-h3", 1 / 2.5, false},
	{"small-1x100", cpuOf, "net-http-h2", 1 / 1.5, false},
	{"small-1x100", p99Of, "quic-go-h3", 1, true},
	{"small-1x100", p99Of, "net-http-h2", 1, true},
	{"small-1x100", mallocsOf, "", 20, false},
	{"small-1x100", clientMallocsOf, "", 20, false},
	{"small-10x10", rateOf, "quic-go-h3", 2.5, false},
	{"small-10x10", rateOf, "net-http-h2", 1.5, false},
	{"small-10x10", cpuOf, "quic-go-h3", 1 / 2.5, false},
	{"small-10x10", cpuOf, "net-http-h2", 1 / 1.5, false},
	{"small-10x10", p99Of, "quic-go-h3", 1, true},
	{"small-10x10", p99Of, "net-http-h2", 1, true},
	{"small-100x1", rateOf, "quic-go-h3", 2.5, false},
	{"small-100x1", rateOf, "net-http-h2", 1.5, false},
	{"small-100x1", cpuOf, "quic-go-h3", 1 / 2.5, false},
	{"small-100x1", cpuOf, "net-http-h2", 1 / 1.5, false},
	{"small-100x1", p99Of, "quic-go-h3", 1, true},
	{"small-100x1", p99Of, "net-http-h2", 1, true},
	{"small-1x1", p50Of, "quic-go-h3", 0.5, false},
	{"small-1x1", p50Of, "net-http-h2", 1, true},
	{"small-1x1", cpuOf, "quic-go-h3", 0.5, false},
	{"small-1x1", cpuOf, "net-http-h2", 1, true},
	{"handshake-http", rateOf, "quic-go-h3", 1.4, false},
	{"resumed-http", rateOf, "quic-go-h3", 1.4, false},
	{"0rtt-http", serverCPUOf, "dunlin-h3-late", 1.1, false},
	{"raw-down", rateOf, "quic-go", 4, false},
	{"raw-down", serverCPUOf, "floor", 1.6, false},
	{"raw-down", clientCPUOf, "floor", 1.6, false},
	{"raw-up", rateOf, "quic-go", 4, false},
	{"raw-up", serverCPUOf, "floor", 1.6, false},
	{"raw-up", clientCPUOf, "floor", 1.6, false},
	{"handshake-raw", serverCPUOf, "tls-tcp", 1.15, false},
	{"handshake-raw", rateOf, "quic-go", 1.4, false},
	{"resumed-raw", serverCPUOf, "tls-tcp", 1.15, false},
	{"resumed-raw", rateOf, "quic-go", 1.4, false},
	{"datagrams-1200", rateOf, "quic-go", 5, false},
	{"datagrams-100", rateOf, "quic-go", 2, false},
	{"lossy", rateOf, "tcp-cubic", 1, false},
	{"lossy", rateOf, "tcp-reno", 1, false},
	{"idle", idleKBOf, "", 20, false},
	{"idle", idleGoroutinesOf, "", 1, false},
	{"growth-connections", growthOf, "", 1.15, false},
	{growthStreams, growthOf, "", 1.15, false},
	{"growth-window", windowOf, "", 1.15, false},
}

// dunlinAt returns which of a work's peers is held to its targets.
func (m *measured) dunlinAt() string {
	for _, peer := range []string{"dunlin-h3", "dunlin"} {
		if len(m.samples(peer)) > 0 {
			return peer
		}
	}
	return ""
}

// what writes which figure is meant.
func (t *target) what() string {
	if t.to == "" {
		return t.of.name
	}
	return t.of.name + " ÷ " + t.to + "'s"
}

// bounded writes the bound as the table has it.
func (t *target) bounded() string {
	sign := map[[2]bool]string{{true, false}: "≥", {true, true}: ">", {false, false}: "≤", {false, true}: "<"}[[2]bool{t.of.more, t.strict}]
	return fmt.Sprintf("%s %.3g", sign, t.bound)
}

// met reports whether a value keeps the bound.
func (t *target) met(v float64) bool {
	switch {
	case v == t.bound:
		return !t.strict
	case t.of.more:
		return v > t.bound
	}
	return v < t.bound
}

// reached is a figure, as such and as the target wants it.
type reached struct {
	peer          string
	figure, value float64
}

// outcome is what became of a target.
type outcome struct {
	*target
	m      *measured
	dunlin reached
	base   float64 // the figure of the peer to divide by
	floors []reached
	// missing is set if runs failed, of Dunlin or of the peer to divide by, so that there is no figure.
	missing bool
}

// outcome returns false if the target's work was not done.
func (t *target) outcome(r *results) (o outcome, ok bool) {
	for i := range r.Works {
		if r.Works[i].Name == t.work {
			o.m = &r.Works[i]
		}
	}
	if o.m == nil {
		return o, false
	}
	o.target, o.base = t, 1
	if t.to != "" {
		o.base = t.of.value(o.m.samples(t.to))
	}
	of := func(peer string) reached {
		f := t.of.value(o.m.samples(peer))
		return reached{peer, f, f / o.base}
	}
	o.dunlin = of(o.m.dunlinAt())
	o.missing = o.base == 0 || o.dunlin.peer == ""
	for _, p := range o.m.Peers {
		if f := of(p.Peer); isFloor(p.Peer) && p.Peer != t.to && f.figure > 0 && !o.missing {
			o.floors = append(o.floors, f)
		}
	}
	return o, true
}

func isFloor(peer string) bool { return strings.HasPrefix(peer, "floor") }

// verdict says what the floors make of a target.
func (o *outcome) verdict() string {
	switch {
	case o.missing:
		return "not measured"
	case o.met(o.dunlin.value):
		return "met"
	}
	var missing []string
	for _, f := range o.floors {
		if !o.met(f.value) {
			missing = append(missing, f.peer)
		}
	}
	switch {
	case len(o.floors) == 0:
		return "missed"
	case len(missing) == len(o.floors):
		return "missed, by the floor too"
	case len(missing) > 0:
		return "missed, by " + strings.Join(missing, " and ") + " too"
	}
	return "missed"
}

// outcomes returns what became of all targets.
func (r *results) outcomes() []outcome {
	var all []outcome
	for i := range targets {
		if o, ok := targets[i].outcome(r); ok {
			all = append(all, o)
		}
	}
	return all
}

// targetTable shows all targets.
func targetTable(all []outcome) *table {
	t := &table{header: []string{"work", "target", "reached", "floors", "verdict"}}
	for _, o := range all {
		var floors []string
		for _, f := range o.floors {
			floors = append(floors, fmt.Sprintf("%.2f (%s)", f.value, f.peer))
		}
		reached := ""
		if !o.missing {
			reached = fmt.Sprintf("%.2f", o.dunlin.value)
		}
		t.add(o.work, o.what()+" "+o.bounded(), reached, strings.Join(floors, ", "), o.verdict())
	}
	return t
}

// judge prints what became of the targets.
func (r *results) judge(out io.Writer, markdown bool) {
	if all := r.outcomes(); len(all) > 0 {
		fmt.Fprint(out, "\ntargets\n\n")
		targetTable(all).write(out, markdown)
	}
}

// between says in a paragraph for each target that was missed what stands between.
func between(out io.Writer, all []outcome) {
	said := map[string]bool{}
	for _, o := range all {
		if o.missing || o.met(o.dunlin.value) {
			continue
		}
		fmt.Fprintf(out, "- **%s**, %s: %s asked for, %.2f reached. Dunlin %s", o.work, o.what(), o.bounded(), o.dunlin.value,
			o.of.format(o.m, o.dunlin.figure))
		if o.to != "" {
			fmt.Fprintf(out, ", %s %s", o.to, o.of.format(o.m, o.base))
		}
		for _, f := range o.floors {
			fmt.Fprintf(out, ", %s %s", f.peer, o.of.format(o.m, f.figure))
		}
		fmt.Fprint(out, ".")
		if why := o.explain(); why != "" {
			fmt.Fprintf(out, " %s", why)
		}
		if parts := parts[o.work]; parts != "" && !said[o.work] {
			said[o.work] = true
			fmt.Fprintf(out, " %s", parts)
		}
		fmt.Fprintln(out)
	}
}

// explain draws the conclusion from the figures of the floors.
func (o *outcome) explain() string {
	var reach, miss *reached
	for i := range o.floors {
		f := &o.floors[i]
		switch {
		case !o.met(f.value):
			miss = f
		case reach == nil || o.of.more == (f.value < reach.value):
			reach = f // the one closest to the bound
		}
	}
	switch {
	case reach == nil && miss == nil:
		return ""
	case reach == nil:
		return fmt.Sprintf("The floor itself misses it, with %.2f: out of reach on this machine.", miss.value)
	}
	// What may be spent beyond the floor, and what is, in units of the figure.
	over := func(v float64) float64 {
		if o.of.more {
			return 1/v - 1/reach.figure // a rate's time
		}
		return v - reach.figure
	}
	text := fmt.Sprintf("Beyond what %s takes, Dunlin would have to do with %.0f %% of what it spends.", reach.peer,
		100*over(o.bound*o.base)/over(o.dunlin.figure))
	if over(o.dunlin.figure) <= 0 {
		text = fmt.Sprintf("Dunlin is no slower than %s.", reach.peer)
	}
	if miss != nil {
		text = fmt.Sprintf("%s misses it too, with %.2f. %s", capital(miss.peer), miss.value, text)
	}
	return text
}

func capital(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// parts says of what Dunlin's CPU time at a work is made, by profiles taken as the document says.
var parts = map[string]string{
	"get": "Of the server's CPU time, 35 % seal packets, 28 % are system calls, 11 % copy.",
	"put": "Of the server's CPU time, 36 % open packets, 16 % are system calls, 7 % copy. Over loopback the kernel carries TCP in " +
		"segments of 64 KiB, and TLS seals 16 KiB at a time where QUIC seals 1,400 bytes: compare tls-tcp with the floor in raw-up.",
	"small-1x1": "On the server 30 % of the CPU time are spent sending, 27 % reading, 12 % in the handler's task, next to nothing in Go's " +
		"scheduler; on the client 30 %, 12 %, and 7 % in the scheduler.",
	"small-1x100": "On the server no part stands out: 15 % Go's scheduler and poller, 10 % allocation, 7 % the handler, 4 % each for what " +
		"is received and for the answers' packets.",
	"small-100x1": "On the server 25 % are spent sending, each answer with a system call of its own, for GSO serves one destination; 13 % " +
		"on what is received, 9 % in Go's scheduler and poller, 6 % reading.",
	"handshake-raw": "On the server 60 % are crypto/tls, 19 % the connection's steps without it, 8 % garbage collection; on the client " +
		"64 %, 13 % and 3 %, and 10 % system calls.",
	"resumed-raw": "On the server 55 % are crypto/tls, 24 % the connection's steps without it, 7 % garbage collection; on the client 58 %, " +
		"18 % and 4 %, and 11 % system calls.",
}
