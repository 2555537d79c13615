package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// loadReport is what a load came to. Its JSON is for scripts: fields may be added, not changed.
type loadReport struct {
	URL         string  `json:"url"`
	Protocol    string  `json:"protocol"`
	Connections int     `json:"connections"`
	Streams     int     `json:"streams"`
	WantedRate  float64 `json:"wantedRate,omitempty"` // requests per second

	Seconds       float64          `json:"seconds"`
	Answered      int64            `json:"answered"`
	Failed        int64            `json:"failed"`
	Unanswered    int64            `json:"unanswered"` // when the load ended
	Rate          float64          `json:"rate"`       // answers per second
	BytesSent     int64            `json:"bytesSent"`  // of bodies
	BytesReceived int64            `json:"bytesReceived"`
	Statuses      map[string]int64 `json:"statuses"`
	Errors        map[string]int64 `json:"errors"`
	Latency       latencyReport    `json:"latencyMicroseconds"`
	Connect       latencyReport    `json:"connectMicroseconds"`
	Histogram     []latencyCount   `json:"latencyHistogram"`
	QUIC          *quicReport      `json:"quic,omitempty"` // over HTTP/3

	what string
}

// latencyReport sums up a histogram, in microseconds.
type latencyReport struct {
	Min  int64   `json:"min"`
	Mean float64 `json:"mean"`
	P50  int64   `json:"p50"`
	P90  int64   `json:"p90"`
	P99  int64   `json:"p99"`
	P999 int64   `json:"p99.9"`
	Max  int64   `json:"max"`
}

// latencyCount is a bar of the histogram: how many answers took longer than the bar before says, and up to UpTo.
type latencyCount struct {
	UpTo  int64 `json:"upToMicroseconds"`
	Count int64 `json:"count"`
}

// quicReport sums up the connections, warm-up included.
type quicReport struct {
	PacketsSent     uint64 `json:"packetsSent"`
	PacketsReceived uint64 `json:"packetsReceived"`
	PacketsLost     uint64 `json:"packetsLost"`
	BytesSent       uint64 `json:"bytesSent"` // UDP payload
	BytesReceived   uint64 `json:"bytesReceived"`
}

func (l *load) report(opts *benchOptions) *loadReport {
	t := l.total
	h := t.latency.merge()
	r := &loadReport{
		URL: l.url.Redacted(), Protocol: l.protocol(), Connections: len(l.connections), Streams: l.streams, WantedRate: opts.rate,
		Seconds: l.elapsed.Seconds(), Answered: t.answered.Load(), Failed: t.failed.Load(), Unanswered: t.unanswered.Load(),
		BytesSent: t.sent.Load(), BytesReceived: t.received.Load(),
		Statuses: make(map[string]int64), Errors: t.failures(),
		Latency: sumUp(h), Connect: sumUp(l.connect.latency.merge()), Histogram: bars(h),
		what: l.describe(),
	}
	if l.elapsed > 0 {
		r.Rate = float64(r.Answered) / l.elapsed.Seconds()
	}
	for status := range t.statuses {
		if n := t.statuses[status].Load(); n > 0 {
			r.Statuses[strconv.Itoa(status)] = n
		}
	}
	for _, c := range l.connections {
		conn := c.http3.Load()
		if conn == nil {
			continue
		}
		if r.QUIC == nil {
			r.QUIC = new(quicReport)
		}
		s := conn.Stats()
		r.QUIC.PacketsSent += s.PacketsSent
		r.QUIC.PacketsReceived += s.PacketsReceived
		r.QUIC.PacketsLost += s.PacketsLost
		r.QUIC.BytesSent += s.BytesSent
		r.QUIC.BytesReceived += s.BytesReceived
	}
	return r
}

func sumUp(h *hdrhistogram.Histogram) latencyReport {
	if h.TotalCount() == 0 {
		return latencyReport{}
	}
	at := h.ValueAtQuantile
	return latencyReport{Min: h.Min(), Mean: h.Mean(), P50: at(50), P90: at(90), P99: at(99), P999: at(99.9), Max: h.Max()}
}

// bars counts answers between powers of two of a microsecond, from the first to the last that has any.
func bars(h *hdrhistogram.Histogram) []latencyCount {
	var counts []latencyCount
	upTo := int64(1)
	add := func(value, n int64) {
		for value > upTo {
			if len(counts) > 0 {
				counts = append(counts, latencyCount{UpTo: upTo * 2})
			}
			upTo *= 2
		}
		if len(counts) == 0 {
			counts = []latencyCount{{UpTo: upTo}}
		}
		counts[len(counts)-1].Count += n
	}
	for _, b := range h.Distribution() {
		if b.Count > 0 {
			add(b.From, b.Count)
		}
	}
	return counts
}

// write prints the report for people.
func (r *loadReport) write(out io.Writer) error {
	var b strings.Builder
	took := microseconds(int64(r.Seconds * 1e6))
	fmt.Fprintf(&b, "%s\n\n", r.what)
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "requests\t%d answered in %s, %.5g/s", r.Answered, took, r.Rate)
	if r.WantedRate > 0 {
		fmt.Fprintf(w, " of %.5g/s", r.WantedRate)
	}
	if r.Failed > 0 {
		fmt.Fprintf(w, ", %d failed", r.Failed)
	}
	if r.Unanswered > 0 {
		fmt.Fprintf(w, ", %d not answered at the end", r.Unanswered)
	}
	fmt.Fprintf(w, "\nstatus\t%s\n", listCounts(r.Statuses))
	elapsed := time.Duration(r.Seconds * float64(time.Second))
	fmt.Fprintf(w, "bodies\t%s received, %s", byteCount(r.BytesReceived), bitRate(r.BytesReceived, elapsed))
	if r.BytesSent > 0 {
		fmt.Fprintf(w, "; %s sent, %s", byteCount(r.BytesSent), bitRate(r.BytesSent, elapsed))
	}
	fmt.Fprintln(w)
	if q := r.QUIC; q != nil {
		fmt.Fprintf(w, "packets\t%d sent, %d lost, %d received\n", q.PacketsSent, q.PacketsLost, q.PacketsReceived)
	}
	fmt.Fprintf(w, "latency\t%s\n", r.Latency)
	if r.Connect.Max > 0 {
		fmt.Fprintf(w, "connecting\t%s\n", r.Connect)
	}
	for _, kind := range slices.SortedFunc(maps.Keys(r.Errors), func(a, b string) int {
		return cmp.Or(cmp.Compare(r.Errors[b], r.Errors[a]), cmp.Compare(a, b))
	}) {
		fmt.Fprintf(w, "error\t%d × %s\n", r.Errors[kind], kind)
	}
	w.Flush()
	r.drawHistogram(&b)
	_, err := io.WriteString(out, b.String())
	return err
}

// histogramWidth is the length of the longest bar, in characters.
const histogramWidth = 50

func (r *loadReport) drawHistogram(b *strings.Builder) {
	var most int64
	for _, bar := range r.Histogram {
		most = max(most, bar.Count)
	}
	if most == 0 {
		return
	}
	b.WriteByte('\n')
	w := tabwriter.NewWriter(b, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, bar := range r.Histogram {
		// A bar is as long as its share, but what is there can be seen.
		length := (bar.Count*histogramWidth + most - 1) / most
		fmt.Fprintf(w, "up to %s\t%d\t%.2f %%\t%s\n", microseconds(bar.UpTo), bar.Count,
			100*float64(bar.Count)/float64(r.Answered), " "+strings.Repeat("█", int(length)))
	}
	w.Flush()
}

func (l latencyReport) String() string {
	return fmt.Sprintf("min %s, mean %s, p50 %s, p90 %s, p99 %s, p99.9 %s, max %s", microseconds(l.Min), microseconds(int64(l.Mean)),
		microseconds(l.P50), microseconds(l.P90), microseconds(l.P99), microseconds(l.P999), microseconds(l.Max))
}

// microseconds prints a time with about three digits.
func microseconds(us int64) string {
	d := time.Duration(us) * time.Microsecond
	for unit := time.Microsecond; unit < time.Hour; unit *= 10 {
		if d < 1000*unit {
			return d.Round(unit).String()
		}
	}
	return d.Round(time.Minute).String()
}

// listCounts prints counts by name, the names in order.
func listCounts(counts map[string]int64) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%s: %d", name, counts[name]))
	}
	if parts == nil {
		return "none"
	}
	return strings.Join(parts, ", ")
}

// liveLine shows how a load goes, on a terminal. A nil one shows nothing.
type liveLine struct {
	end   chan struct{}
	ended sync.WaitGroup
}

// liveInterval is how often the line is drawn.
const liveInterval = 500 * time.Millisecond

func newLiveLine(out io.Writer, opts *benchOptions, l *load) *liveLine {
	if opts.silent || !isTerminal(out) {
		return nil
	}
	return startLiveLine(out, l, liveInterval)
}

func startLiveLine(out io.Writer, l *load, interval time.Duration) *liveLine {
	live := &liveLine{end: make(chan struct{})}
	live.ended.Go(func() {
		tick := time.NewTicker(interval)
		defer tick.Stop()
		var last liveState
		for {
			select {
			case <-live.end:
				io.WriteString(out, clearLine)
				return
			case <-tick.C:
				var text string
				text, last = l.live(last, time.Now())
				io.WriteString(out, clearLine+text)
			}
		}
	})
	return live
}

// clearLine empties the line that the cursor is in.
const clearLine = "\r\x1b[K"

func (l *liveLine) stop() {
	if l != nil {
		close(l.end)
		l.ended.Wait()
	}
}

// liveState is what the line said last.
type liveState struct {
	at                 time.Time
	answered, received int64
}

// live says how the load goes: rates since the last time, latency of all.
func (l *load) live(last liveState, now time.Time) (string, liveState) {
	if l.warming.Load() {
		return "warming up", liveState{}
	}
	t := l.total
	began := time.Unix(0, l.began.Load())
	if last.at.IsZero() {
		last.at = began
	}
	state := liveState{now, t.answered.Load(), t.received.Load()}
	took := now.Sub(last.at)
	if took <= 0 {
		return "", last
	}
	h := t.latency.merge()
	return fmt.Sprintf("%.1f s: %d answered, %.4g/s, %s, p50 %s, p99 %s, %d failed", now.Sub(began).Seconds(), state.answered,
		float64(state.answered-last.answered)/took.Seconds(), bitRate(state.received-last.received, took),
		microseconds(h.ValueAtQuantile(50)), microseconds(h.ValueAtQuantile(99)), t.failed.Load()), state
}
