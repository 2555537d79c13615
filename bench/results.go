package main

import (
	"bufio"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// results are everything that one call of the program has measured.
type results struct {
	Date    time.Time
	Command string
	Machine machine
	Works   []measured
}

// machine is what figures depend on.
type machine struct {
	CPU     string
	CPUs    int
	Kernel  string
	Go      string
	Dunlin  string   // the revision
	Modules []module // of the peers
}

type module struct{ Path, Version string }

// measured are the samples of one work.
type measured struct {
	Name, Unit, Kind string
	Runs             int
	Size             float64 // of one run
	Peers            []peerSamples
}

type peerSamples struct {
	Peer     string
	Samples  []sample
	Failures []string `json:",omitempty"` // why runs of it gave nothing
}

// empty reports whether nothing was measured.
func (r *results) empty() bool {
	for _, w := range r.Works {
		for _, p := range w.Peers {
			if len(p.Samples) > 0 {
				return false
			}
		}
	}
	return true
}

// of returns the samples of a peer, in one phase of them.
func (m *measured) of(peer, phase string) []sample { return inPhase(m.samples(peer), phase) }

// samples returns all samples of a peer.
func (m *measured) samples(peer string) []sample {
	for _, p := range m.Peers {
		if p.Peer == peer {
			return p.Samples
		}
	}
	return nil
}

func inPhase(samples []sample, phase string) []sample {
	return slices.DeleteFunc(slices.Clone(samples), func(s sample) bool { return s.Phase != phase })
}

// unit says how a work's figures are printed.
type unit struct {
	rate, cpu           string
	rateScale, cpuScale float64
}

func (m *measured) unit() unit {
	switch {
	case m.Unit == "GiB" && m.Kind == kindLossy:
		return unit{"Mbit/s", "s/GiB", 8 * gib / 1e6, 1}
	case m.Unit == "GiB":
		return unit{"Gbit/s", "s/GiB", 8 * gib / 1e9, 1}
	}
	return unit{m.Unit + "s/s", "µs", 1, 1e6}
}

// median returns the median of what f says of the samples, and half the range in percent of it.
func median[S any](samples []S, f func(S) float64) (mid, spread float64) {
	if len(samples) == 0 {
		return 0, 0
	}
	v := make([]float64, len(samples))
	for i, s := range samples {
		v[i] = f(s)
	}
	slices.Sort(v)
	n := len(v)
	mid = v[n/2]
	if n%2 == 0 {
		mid = (v[n/2-1] + v[n/2]) / 2
	}
	if mid != 0 {
		spread = (v[n-1] - v[0]) / 2 / mid * 100
	}
	return mid, spread
}

func rate(s sample) float64      { return s.Units / s.Elapsed.Seconds() }
func serverCPU(s sample) float64 { return s.Server.CPU.Seconds() / s.Units }
func clientCPU(s sample) float64 { return s.Client.CPU.Seconds() / s.Units }
func bothCPU(s sample) float64   { return serverCPU(s) + clientCPU(s) }

// measuredModules are what the peers use, besides quic-go's own.
var measuredModules = []string{"golang.org/x/crypto", "golang.org/x/net", "golang.org/x/sys"}

// thisMachine describes where the program runs and what it is made of.
func thisMachine() machine {
	m := machine{CPU: "unknown", CPUs: runtime.NumCPU(), Go: runtime.Version()}
	if f, err := os.Open("/proc/cpuinfo"); err == nil {
		defer f.Close()
		for in := bufio.NewScanner(f); in.Scan(); {
			if name, value, _ := strings.Cut(in.Text(), ":"); strings.TrimSpace(name) == "model name" {
				m.CPU = strings.TrimSpace(value)
				break
			}
		}
	}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		m.Kernel = unix.ByteSliceToString(u.Sysname[:]) + " " + unix.ByteSliceToString(u.Release[:])
	}
	m.Dunlin = "unknown"
	if out, err := exec.Command("git", "describe", "--always", "--dirty").Output(); err == nil {
		m.Dunlin = strings.TrimSpace(string(out))
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, dep := range info.Deps {
			if strings.HasPrefix(dep.Path, "github.com/quic-go/") || slices.Contains(measuredModules, dep.Path) {
				m.Modules = append(m.Modules, module{dep.Path, dep.Version})
			}
		}
	}
	return m
}
