// Package curves measures how congestion control behaves over the simulated network: bulk flows over one bottleneck,
// their windows, round-trip times and rates over time, and what follows from them: how much of the bottleneck is used, how
// long its queue is, how fairly it is shared.
//
// Its tests hold all that to bounds. The command curves of the module bench draws it, for docs/CONGESTION.md.
package curves

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/dunlin-quic/dunlin/internal/simnet"
	"github.com/dunlin-quic/dunlin/quic"
)

// Flow is a connection that sends as much as it can.
type Flow struct {
	CC    quic.CongestionControl
	Start time.Duration
}

// Scenario is some flows over one bottleneck.
type Scenario struct {
	Name  string
	Rate  float64       // of the bottleneck, bit/s
	RTT   time.Duration // without queues
	Queue float64       // what the bottleneck's queue holds, as a multiple of the product of rate and RTT
	Loss  float64       // probability that a datagram is lost for no reason, on the way there
	Mark  bool          // the queue marks datagrams with CE from half of its length on
	Flows []Flow
	// Duration is how long to look, Warm from when on what is measured counts.
	Duration, Warm time.Duration
	Quick          bool // it takes a moment only
	Bounds         Bounds
}

// Bounds is what a scenario's result must keep. A zero is no bound.
type Bounds struct {
	Used  float64       // at least
	Delay time.Duration // at most
	Fair  float64       // at least
	Share float64       // of the first flow among all, at least
}

// Sample is the state of a flow at a moment.
type Sample struct {
	At     time.Duration
	Window int // bytes
	RTT    time.Duration
	Rate   float64 // bit/s delivered to the receiver's application since the sample before
}

// Result is what was measured.
type Result struct {
	Samples [][]Sample // by flow
	// From Warm on: the share of the bottleneck's rate that was delivered to applications, that of each flow, and Jain's
	// index of how equal those are.
	Used   float64
	Shares []float64
	Fair   float64
	// Delay is what the queue's length was at most for 95 % of the time, Drops the share of datagrams that it refused.
	Delay time.Duration
	Drops float64
}

// samples is how many samples are taken of each flow.
const samples = 400

// packet is what a full datagram takes of the bottleneck's rate, payload what it carries for the application, bytes.
const (
	packet  = 1452 + 28
	payload = 1418
)

// Packets returns how many full packets are in flight when the bottleneck is just busy.
func (s *Scenario) Packets() float64 { return s.Rate / 8 * s.RTT.Seconds() / packet }

// Run runs the scenario with the chance of a seed.
func (s *Scenario) Run(seed uint64) (*Result, error) {
	w := simnet.NewWorld(seed)
	w.Link(simnet.Link{Delay: s.RTT / 2})
	ctls, stls := w.TLS()
	// Flow control is not to limit anything.
	const window = 1 << 30
	scfg := &quic.Config{TLS: stls, Rand: w, StreamWindow: window, MaxStreamWindow: window, ConnWindow: window, MaxConnWindow: window}
	demux, err := quic.NewDemux(quic.DemuxConfig{Rand: w})
	if err != nil {
		return nil, err
	}
	var sinks []*sink // in the order of arrival, which is that of the flows
	server := w.NewServer(scfg, demux, func() simnet.App {
		sinks = append(sinks, &sink{})
		return sinks[len(sinks)-1]
	})
	bottleneck := simnet.Link{
		Delay: s.RTT / 2, Rate: s.Rate, Queue: max(int(math.Round(s.Queue*s.Packets())), 4), Loss: s.Loss, Mark: s.Mark,
	}
	w.LinkTo(server.Addr, bottleneck)
	clients := make([]*simnet.Client, len(s.Flows))
	for i, f := range s.Flows {
		// A little apart at least: their datagrams take turns.
		w.After(f.Start+time.Duration(i)*time.Millisecond, func() {
			cfg := &quic.Config{TLS: ctls, Rand: w, CongestionControl: f.CC}
			clients[i], err = w.NewClient(cfg, server, &source{})
		})
	}

	r := &Result{Samples: make([][]Sample, len(s.Flows)), Shares: make([]float64, len(s.Flows))}
	step := s.Duration / samples
	had, before := make([]uint64, len(s.Flows)), make([]uint64, len(s.Flows))
	var measured time.Duration
	var queues []time.Duration // at the times of the samples
	for at := step; at <= s.Duration; at += step {
		if e := w.RunFor(step); e != nil {
			return nil, e
		}
		if err != nil {
			return nil, err
		}
		queue := time.Duration(0)
		for i, c := range clients {
			if c == nil || i >= len(sinks) {
				continue
			}
			if c.Closed {
				return nil, fmt.Errorf("flow %d ended with %w", i, c.Err)
			}
			stats := c.Conn.Stats()
			got := sinks[i].received
			queue = w.Backlog(c.Addr, server.Addr)
			r.Samples[i] = append(r.Samples[i], Sample{at, stats.Cwnd, stats.RTT, float64(got-had[i]) * 8 / step.Seconds()})
			had[i] = got
			if at <= s.Warm {
				before[i] = got
			}
		}
		if at > s.Warm {
			measured += step
			queues = append(queues, queue)
		}
	}
	sum, squares := 0.0, 0.0
	for i := range had {
		share := float64(had[i]-before[i]) * 8 / s.Rate / measured.Seconds()
		r.Shares[i] = share
		sum += share
		squares += share * share
	}
	r.Used, r.Fair = sum, sum*sum/squares/float64(len(had))
	sorted := slices.Sorted(slices.Values(queues))
	r.Delay = sorted[len(sorted)*95/100]
	if stats := w.LinkStats(clients[0].Addr, server.Addr); stats.Sent > 0 {
		r.Drops = float64(stats.QueueDrops) / float64(stats.Sent)
	}
	return r, nil
}

// Check returns what of the scenario's bounds the result does not keep.
func (s *Scenario) Check(r *Result) error {
	var errs []error
	fail := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	b := s.Bounds
	if r.Used < b.Used {
		fail("%.1f %% of the rate used, want %.0f %%", 100*r.Used, 100*b.Used)
	}
	if b.Delay > 0 && r.Delay > b.Delay {
		fail("queueing delay of %v, want at most %v", r.Delay, b.Delay)
	}
	if r.Fair < b.Fair {
		fail("fairness %.2f, want %.2f", r.Fair, b.Fair)
	}
	if share := r.Shares[0] / r.Used; share < b.Share {
		fail("the first flow gets %.0f %%, want %.0f %%", 100*share, 100*b.Share)
	}
	return errors.Join(errs...)
}

// String sums the result up.
func (r *Result) String() string {
	return fmt.Sprintf("%.1f %% used (%.2f), fairness %.2f, queue %v, %.2f %% dropped",
		100*r.Used, r.Shares, r.Fair, r.Delay.Round(100*time.Microsecond), 100*r.Drops)
}

// source sends zeros without end.
type source struct{}

var zeros [64 << 10]byte

func (*source) Start(*simnet.Peer) {}

func (*source) Event(p *simnet.Peer, e quic.Event) {
	s := e.Stream
	switch e.Kind {
	case quic.EventEstablished:
		var err error
		if s, err = p.Conn.OpenStream(quic.Uni); err != nil {
			return
		}
	case quic.EventStreamWritable:
	default:
		return
	}
	for {
		if _, err := s.TryWrite(zeros[:], false); err != nil {
			return
		}
	}
}

// sink counts what comes.
type sink struct {
	received uint64
	buf      [64 << 10]byte
}

func (*sink) Start(*simnet.Peer) {}

func (k *sink) Event(_ *simnet.Peer, e quic.Event) {
	if e.Kind != quic.EventStreamReadable {
		return
	}
	for {
		n, err := e.Stream.TryRead(k.buf[:])
		k.received += uint64(n)
		if err != nil {
			return
		}
	}
}
