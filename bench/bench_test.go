package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestMain lets the test binary be its own server and client.
func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// TestWorks runs every work with every peer, with hardly anything to do: it shows that they work, not how fast.
func TestWorks(t *testing.T) {
	sizes := map[string]string{
		"GiB": "300000", "request": "0.05", "handshake": "0.05", "datagram": "0.1", "connection": "5",
	}
	for _, w := range works {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			if w.kind == kindLossy {
				if err := canTun(); err != nil {
					t.Skip(err)
				}
			}
			file := filepath.Join(t.TempDir(), "results.json")
			var out, errs bytes.Buffer
			err := bench([]string{"-work", w.name, "-runs", "1", "-size", sizes[w.unit], "-grow", "20", "-rest", "10ms", "-json", file}, &out, &errs)
			if err != nil || errs.Len() > 0 {
				t.Fatalf("%v\n%s", err, &errs)
			}
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var r results
			if err := json.Unmarshal(content, &r); err != nil {
				t.Fatal(err)
			}
			if len(r.Works) != 1 || len(r.Works[0].Peers) != len(w.peers()) {
				t.Fatalf("not one work with %d peers: %s", len(w.peers()), content)
			}
			for _, p := range r.Works[0].Peers {
				checkSamples(t, &w, p)
				if !strings.Contains(out.String(), "\n"+p.Peer+" ") {
					t.Errorf("%s is missing in:\n%s", p.Peer, &out)
				}
			}
		})
	}
}

func checkSamples(t *testing.T, w *work, p peerSamples) {
	want := map[string]int{kindGrowth: 2, kindWindow: len(windowSizes)}[w.kind]
	if len(p.Samples) != max(want, 1) {
		t.Errorf("%s: %d samples", p.Peer, len(p.Samples))
	}
	for _, s := range p.Samples {
		switch {
		case w.kind == kindIdle:
			if s.Idle.Connections != 5 || s.Idle.Server[1].RSS == 0 || s.Idle.Client[1].Goroutines == 0 {
				t.Errorf("%s: %+v", p.Peer, *s.Idle)
			}
		case s.Units <= 0 || s.Elapsed <= 0 || s.Client.CPU <= 0 || w.kind != kindWindow && s.Server.CPU <= 0:
			t.Errorf("%s: %+v", p.Peer, s)
		case w.unit == "request" && (s.P50 <= 0 || s.P50 > s.P99 || s.P99 > s.P999):
			t.Errorf("%s: latency %v, %v, %v", p.Peer, s.P50, s.P99, s.P999)
		case s.Lost >= lossLimit:
			t.Errorf("%s: %v of the datagrams lost", p.Peer, s.Lost)
		}
	}
}

func TestCommandLine(t *testing.T) {
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"-work", "nonsense"}, `no work "nonsense"`},
		{[]string{"-nonsense"}, "not defined"},
		{[]string{"nonsense"}, `unexpected argument "nonsense"`},
		{[]string{"-report", "nonexistent.json"}, "no such file"},
	} {
		var out, errs bytes.Buffer
		if err := bench(test.args, &out, &errs); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%v: %v, want %q", test.args, err, test.want)
		}
	}
	got := commandLine([]string{"-quick", "-json", "f", "--docs=../docs", "-runs", "7"})
	if want := "go run . -quick -runs 7"; got != want {
		t.Errorf("command line %q, want %q", got, want)
	}
}

// TestFailingChild: of a child that gives up, one line is told.
func TestFailingChild(t *testing.T) {
	cert := filepath.Join(t.TempDir(), "none.pem")
	r := run{settings: &settings{certFile: cert, keyFile: cert}, work: works[0], peer: "dunlin-h3", size: 1}
	_, err := r.measure()
	if err == nil || err.Error() != "server: open "+cert+": no such file or directory" {
		t.Errorf("%v", err)
	}
}

func TestTail(t *testing.T) {
	for _, test := range []struct{ written, want string }{
		{"", ""},
		{"one\ntwo\n\n", "two"},
		{"not ended", "not ended"},
		{"a warning\nbench: no luck\nmore\n", "no luck"},
		{"panic: oh no\n\ngoroutine 1 [running]:\nmain.main()\n", "oh no"},
		{strings.Repeat("x", 3*tailLine) + "\n", strings.Repeat("x", tailLine)},
	} {
		var whole, bytewise tail
		whole.Write([]byte(test.written))
		for i := range len(test.written) {
			bytewise.Write([]byte(test.written[i : i+1]))
		}
		if got := []string{whole.line(), bytewise.line()}; got[0] != test.want || got[1] != test.want {
			t.Errorf("%q: %q, want %q", test.written, got, test.want)
		}
	}
}

func TestMedian(t *testing.T) {
	for _, test := range []struct {
		values      []float64
		mid, spread float64
	}{
		{nil, 0, 0},
		{[]float64{4}, 4, 0},
		{[]float64{6, 2, 4}, 4, 50},
		{[]float64{8, 2, 4, 4}, 4, 75},
	} {
		mid, spread := median(test.values, func(v float64) float64 { return v })
		if mid != test.mid || spread != test.spread {
			t.Errorf("%v: %v ± %v, want %v ± %v", test.values, mid, spread, test.mid, test.spread)
		}
	}
}

func TestHistogram(t *testing.T) {
	var h histogram
	for i := range 1000 {
		h.add(time.Duration(i+1) * time.Millisecond)
	}
	for _, q := range []float64{.5, .99, .999} {
		want := time.Duration(q * float64(time.Second))
		if got := h.quantile(q); got < want*97/100 || got > want*103/100 {
			t.Errorf("quantile %v: %v, want about %v", q, got, want)
		}
	}
	h.reset()
	if got := h.quantile(.5); got != 0 {
		t.Errorf("median of nothing: %v", got)
	}
}

func TestPacer(t *testing.T) {
	now := time.Unix(0, 0)
	p := pacer{rate: 10_000}
	total := p.allow(now)
	for range 100 {
		now = now.Add(time.Millisecond)
		total += p.allow(now)
	}
	if total < 999 || total > 1000 {
		t.Errorf("%d in 100 ms at 10,000 per second", total)
	}
	// Whoever was held up for long does not send it all at once.
	if n := p.allow(now.Add(time.Second)); n != pacerBurst {
		t.Errorf("a burst of %d", n)
	}
}

// TestDocument writes tables and plots, and once more into the file that is there then.
func TestDocument(t *testing.T) {
	r := results{Date: time.Unix(0, 0), Command: "go run . -quick", Machine: thisMachine()}
	for i, name := range append(slices.Clone(small), "get", "raw-up", "lossy", "datagrams-100", "idle", growthStreams) {
		w, _ := findWork(name)
		m := measured{Name: w.name, Unit: w.unit, Kind: w.kind, Runs: 3, Size: w.full}
		for j, peer := range w.peers() {
			u := usage{CPU: time.Second, Mallocs: 1000, RSS: 1 << 20}
			d := time.Duration(i+j+1) * time.Millisecond
			s := []sample{{
				result: result{Units: 100 * float64(j+1), Elapsed: time.Second, Client: u, P50: d, P99: 2 * d, P999: 5 * d}, Server: u}}
			switch w.kind {
			case kindIdle:
				s[0].Idle = &idleSample{Connections: 100, Server: [2]footprint{{}, {RSS: 2e6, Goroutines: 100}}}
			case kindGrowth:
				s = append(s, s[0])
				s[0].Phase, s[1].Phase = phaseAlone, phaseGrown
			}
			m.Peers = append(m.Peers, peerSamples{Peer: peer, Samples: s})
		}
		if name == "lossy" {
			m.Peers[1].Samples, m.Peers[1].Failures = nil, []string{"no luck", "nor here"}
		}
		r.Works = append(r.Works, m)
	}
	folder := t.TempDir()
	s := settings{docs: folder}
	if err := s.document(&r); err != nil {
		t.Fatal(err)
	}
	first := readFile(t, filepath.Join(folder, documentFile))
	for _, want := range []string{"| dunlin-h3 | 100 |", "| quic-go-h3 |", "`go run . -quick`", "1970-01-01 00:00:00 UTC", "(benchmarks/latency.svg)", "(benchmarks/idle.svg)", "(benchmarks/growth.svg)",
		"3 runs of 1 GiB", "| quic-go | failed |", "Of quic-go, 2 of 3 runs failed, the first one so: no luck.",
		"| get | rate ÷ quic-go-h3's ≥ 4 |", "- **get**, rate ÷ quic-go-h3's: ≥ 4 asked for, "} {
		if !strings.Contains(first, want) {
			t.Errorf("%q is missing in:\n%s", want, first)
		}
	}
	for _, f := range figures {
		drawn := strings.Contains(first, "/"+f.file+")")
		svg, err := os.ReadFile(filepath.Join(folder, plotFolder, f.file))
		if drawn != (err == nil) || drawn && (!bytes.Contains(svg, []byte("<svg")) || !bytes.Contains(svg, []byte("dunlin"))) {
			t.Errorf("%s: in the document: %v, read: %v", f.file, drawn, err)
		}
	}
	file := filepath.Join(folder, documentFile)
	if err := os.WriteFile(file, []byte("Before.\n"+first+"After.\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := s.document(&r); err != nil {
		t.Fatal(err)
	}
	if second := readFile(t, file); second != "Before.\n"+first+"After.\n" {
		t.Errorf("written again, it is:\n%s", second)
	}
	if err := os.WriteFile(file, []byte("no markers\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := s.document(&r); err == nil || !strings.Contains(err.Error(), "markers") {
		t.Errorf("without markers: %v", err)
	}
}

func TestFold(t *testing.T) {
	word := strings.Repeat("é", 60)
	long := word + " " + word + " " + word
	table := "| " + long + " |\n"
	got := string(fold([]byte("one two\n\n- " + long + "\n" + table + long)))
	want := "one two\n\n- " + word + " " + word + "\n  " + word + "\n" + table + word + " " + word + "\n" + word + "\n"
	if got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestTargets judges a work of known figures: what is met, what the floors miss too, what is left to mend.
func TestTargets(t *testing.T) {
	m := measured{Name: "small-1x1", Unit: "request", Kind: kindHTTP}
	for peer, us := range map[string]time.Duration{"dunlin-h3": 70, "quic-go-h3": 100, "net-http-h2": 80, "floor": 20, "floor-goroutines": 60} {
		s := sample{result: result{Units: 1000, P50: us * time.Microsecond, Client: usage{CPU: us * time.Millisecond}}}
		m.Peers = append(m.Peers, peerSamples{Peer: peer, Samples: []sample{s}})
	}
	slices.SortFunc(m.Peers, func(a, b peerSamples) int { return strings.Compare(a.Peer, b.Peer) })
	all := (&results{Works: []measured{m}}).outcomes()
	var got []string
	for _, o := range all {
		got = append(got, fmt.Sprintf("%s %s %s: %.2f %s", o.of.name, o.bounded(), o.to, o.dunlin.value, o.verdict()))
	}
	want := []string{
		"p50 ≤ 0.5 quic-go-h3: 0.70 missed, by floor-goroutines too",
		"p50 < 1 net-http-h2: 0.88 met",
		"CPU of both sides ≤ 0.5 quic-go-h3: 0.70 missed, by floor-goroutines too",
		"CPU of both sides < 1 net-http-h2: 0.88 met",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	var text bytes.Buffer
	between(&text, all)
	for _, want := range []string{
		"- **small-1x1**, p50 ÷ quic-go-h3's: ≤ 0.5 asked for, 0.70 reached. Dunlin 70µs, quic-go-h3 100µs, floor 20µs, floor-goroutines 60µs. ",
		"Floor-goroutines misses it too, with 0.60. Beyond what floor takes, Dunlin would have to do with 60 % of what it spends.",
	} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("%q is missing in:\n%s", want, &text)
		}
	}
	// The floor's rate misses a bound, Dunlin's too; then both keep it; then only Dunlin does not.
	o := outcome{target: &target{of: rateOf, bound: 4}, m: &m, base: 1}
	for _, test := range []struct {
		dunlin, floor float64
		verdict, why  string
	}{
		{3, 3.5, "missed, by the floor too", "The floor itself misses it, with 3.50: out of reach on this machine."},
		{5, 6, "met", ""},
		{3, 6, "missed", "Beyond what floor takes, Dunlin would have to do with 50 % of what it spends."},
	} {
		o.dunlin, o.floors = reached{"dunlin", test.dunlin, test.dunlin}, []reached{{"floor", test.floor, test.floor}}
		if got := o.verdict(); got != test.verdict {
			t.Errorf("%v: %s, want %s", test, got, test.verdict)
		}
		if got := o.explain(); test.why != "" && got != test.why {
			t.Errorf("%v: %s, want %s", test, got, test.why)
		}
	}
}

// TestTargetsExist: every target is about works and peers that there are.
func TestTargetsExist(t *testing.T) {
	for _, target := range targets {
		w, ok := findWork(target.work)
		if !ok || target.to != "" && !slices.Contains(w.peers(), target.to) {
			t.Errorf("%s: no work, or no peer %q", target.work, target.to)
		}
	}
	for name := range parts {
		if _, ok := findWork(name); !ok {
			t.Errorf("no work %q", name)
		}
	}
}

func readFile(t *testing.T, file string) string {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// TestDescribed: the document explains every work.
func TestDescribed(t *testing.T) {
	for _, w := range works {
		if describe[w.name] == "" {
			t.Errorf("%s is not described", w.name)
		}
	}
}
