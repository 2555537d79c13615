package simnet

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/dunlin-quic/dunlin/quic"
)

// sampled runs the pair until the transfer is done, and returns the longest smoothed RTT that the sender at the server
// had after the first second.
func (p *pair) sampled() (worst time.Duration) {
	var look func()
	look = func() {
		if peers := p.server.Peers(); len(peers) > 0 && !peers[0].Closed {
			worst = max(worst, peers[0].Conn.Stats().RTT)
		}
		p.After(20*ms, look)
	}
	p.After(time.Second, look)
	p.run()
	return worst
}

// TestBBR: BBR uses paths of all kinds well, and keeps queues short.
func TestBBR(t *testing.T) {
	for _, test := range []struct {
		name string
		link Link
		size uint64
		want float64       // of the rate
		rtt  time.Duration // the longest smoothed RTT, 0 if the queue itself bounds it
	}{
		{"10 Mbit/s, 30 ms, queue of a window", Link{Rate: 10e6, Delay: 15 * ms, Queue: 25}, 5e6, 0.90, 0},
		{"10 Mbit/s, 30 ms, short queue", Link{Rate: 10e6, Delay: 15 * ms, Queue: 8}, 5e6, 0.85, 0},
		{"10 Mbit/s, 30 ms, tiny queue", Link{Rate: 10e6, Delay: 15 * ms, Queue: 4}, 10e6, 0.80, 0},
		{"10 Mbit/s, 30 ms, endless queue", Link{Rate: 10e6, Delay: 15 * ms, Queue: 1000}, 10e6, 0.90, 75 * ms},
		{"1 Mbit/s, 100 ms, endless queue", Link{Rate: 1e6, Delay: 50 * ms, Queue: 1000}, 1e6, 0.85, 290 * ms},
		{"100 Mbit/s, 40 ms, endless queue", Link{Rate: 100e6, Delay: 20 * ms, Queue: 10000}, 20e6, 0.75, 95 * ms},
		{"100 Mbit/s, 40 ms, short queue", Link{Rate: 100e6, Delay: 20 * ms, Queue: 30}, 20e6, 0.60, 0},
		{"100 Mbit/s, 2 ms", Link{Rate: 100e6, Delay: ms, Queue: 50}, 10e6, 0.90, 0},
		{"1 Gbit/s, 1 ms", Link{Rate: 1e9, Delay: ms / 2, Queue: 100}, 20e6, 0.85, 0},
		{"20 Mbit/s, 300 ms", Link{Rate: 20e6, Delay: 150 * ms, Queue: 500}, 20e6, 0.65, 750 * ms},
		{"10 Mbit/s, 30 ms, marks instead of losses", Link{Rate: 10e6, Delay: 15 * ms, Queue: 16, Mark: true}, 5e6, 0.80, 0},
		{"10 Mbit/s, 30 ms, jitter", Link{Rate: 10e6, Delay: 15 * ms, Queue: 25, Jitter: 10 * ms}, 5e6, 0.85, 0},
		{"10 Mbit/s, 30 ms, reordering", Link{Rate: 10e6, Delay: 15 * ms, Queue: 25, Reorder: 0.02, ReorderBy: 5 * ms}, 5e6, 0.85, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := newPair(t, virtually(t, 1), download(test.size), func(o *options) {
				o.server.CongestionControl = quic.BBR
				o.both(test.link)
			})
			rtt := p.sampled()
			used := float64(test.size) * 8 / test.link.Rate / p.took().Seconds()
			t.Logf("%.0f %% in %v, RTT up to %v, sender: %s", 100*used, p.took(), rtt, p.sender())
			if used < test.want {
				t.Errorf("%.0f %% of the rate used, want %.0f", 100*used, 100*test.want)
			}
			if test.rtt > 0 && rtt > test.rtt {
				t.Errorf("RTT rose to %v, want %v", rtt, test.rtt)
			}
		})
	}
}

// TestBBRRandomLoss: BBR uses paths well that lose packets at random, also by the rate that it takes for tolerable: as a rule
// very well, for losses in a row at a bad moment look like a full queue.
func TestBBRRandomLoss(t *testing.T) {
	for _, test := range []struct {
		name        string
		link        Link
		size        uint64
		want, least float64 // of the rate: in the median, and with any seed
	}{
		{"10 Mbit/s, 30 ms, 2 %", Link{Rate: 10e6, Delay: 15 * ms, Queue: 25, Loss: 0.02}, 10e6, 0.85, 0.75},
		{"10 Mbit/s, 30 ms, 5 %", Link{Rate: 10e6, Delay: 15 * ms, Queue: 25, Loss: 0.05}, 10e6, 0.80, 0.65},
		{"100 Mbit/s, 40 ms, 2 %", Link{Rate: 100e6, Delay: 20 * ms, Queue: 300, Loss: 0.02}, 60e6, 0.80, 0.65},
	} {
		var used []float64
		for seed := range uint64(7) {
			t.Run(fmt.Sprintf("%s/%d", test.name, seed), func(t *testing.T) {
				p := newPair(t, virtually(t, seed), download(test.size), func(o *options) {
					o.server.CongestionControl = quic.BBR
					o.both(test.link)
				})
				p.run()
				used = append(used, float64(test.size)*8/test.link.Rate/p.took().Seconds())
			})
		}
		if len(used) < 7 {
			continue // -run names some of them
		}
		slices.Sort(used)
		t.Logf("%s: %.2f", test.name, used)
		if used[3] < test.want || used[0] < test.least {
			t.Errorf("%s: %.2f of the rate used, want %.2f in the median and %.2f at least", test.name, used, test.want, test.least)
		}
	}
}

// rivals has clients with the given controllers upload over one bottleneck, each a second after the one before. It returns
// at what share of the rate each delivered in the last two thirds of the given time.
func rivals(t *testing.T, link Link, d time.Duration, controllers ...quic.CongestionControl) []float64 {
	w := virtually(t, 1)
	w.Link(Link{Delay: link.Delay})
	ccfg, scfg := w.configs()
	demux, err := quic.NewDemux(quic.DemuxConfig{Rand: w})
	if err != nil {
		t.Fatal(err)
	}
	var got []*Transfer // in the order of arrival, which is that of the controllers
	server := w.NewServer(scfg, demux, func() App {
		got = append(got, &Transfer{})
		return got[len(got)-1]
	})
	w.LinkTo(server.Addr, link)
	for i, cc := range controllers {
		cfg := *ccfg
		cfg.CongestionControl = cc
		w.After(time.Duration(i)*time.Second, func() {
			if _, err := w.NewClient(&cfg, server, upload(1e9)); err != nil {
				t.Error(err)
			}
		})
	}
	shares := make([]float64, len(controllers))
	for half := range 2 {
		// The second time, what was delivered in the first third is taken off.
		if err := w.RunFor(d * time.Duration(half+1) / 3); err != nil {
			t.Fatal(err)
		}
		for i, a := range got {
			shares[i] = float64(a.Received) - shares[i]
		}
	}
	for i := range shares {
		shares[i] *= 8 / link.Rate / (d * 2 / 3).Seconds()
	}
	return shares
}

// jain returns Jain's index of fairness: 1 if all shares are equal, one by their number if one has everything.
func jain(shares []float64) float64 {
	var sum, squares float64
	for _, s := range shares {
		sum += s
		squares += s * s
	}
	return sum * sum / squares / float64(len(shares))
}

// TestFairness: flows over one bottleneck share it, and together use it.
// RFC 9002, Section 7 (MUST 1).
func TestFairness(t *testing.T) {
	for _, test := range []struct {
		name        string
		queue       int
		controllers []quic.CongestionControl
		fair        float64
	}{
		{"two CUBIC", 50, []quic.CongestionControl{quic.CUBIC, quic.CUBIC}, 0.9},
		{"two NewReno", 50, []quic.CongestionControl{quic.NewReno, quic.NewReno}, 0.9},
		{"two BBR", 50, []quic.CongestionControl{quic.BBR, quic.BBR}, 0.9},
		{"two BBR, short queue", 10, []quic.CongestionControl{quic.BBR, quic.BBR}, 0.9},
		{"four BBR", 50, []quic.CongestionControl{quic.BBR, quic.BBR, quic.BBR, quic.BBR}, 0.85},
		{"CUBIC and NewReno", 50, []quic.CongestionControl{quic.CUBIC, quic.NewReno}, 0.8},
		{"CUBIC and BBR", 50, []quic.CongestionControl{quic.CUBIC, quic.BBR}, 0.7},
		{"BBR and CUBIC, short queue", 15, []quic.CongestionControl{quic.BBR, quic.CUBIC}, 0.6},
	} {
		t.Run(test.name, func(t *testing.T) {
			shares := rivals(t, Link{Rate: 10e6, Delay: 15 * ms, Queue: test.queue}, 18*time.Second, test.controllers...)
			sum := 0.0
			for _, s := range shares {
				sum += s
			}
			t.Logf("shares %.2f, fairness %.2f, %.0f %% used", shares, jain(shares), 100*sum)
			if jain(shares) < test.fair || sum < 0.85 {
				t.Errorf("shares %.2f, fairness %.2f, want %.2f", shares, jain(shares), test.fair)
			}
		})
	}
}

// TestRestartFromIdle: after ten seconds of silence, BBR is back at the rate of the path at once, and a limited flow in
// between does not make it forget that.
func TestRestartFromIdle(t *testing.T) {
	w := virtually(t, 1)
	asked := &Transfer{Open: []TransferStream{{Size: header, Reply: 3e6}}}
	p := newPair(t, w, asked, func(o *options) {
		o.server.CongestionControl = quic.BBR
		o.both(Link{Rate: 10e6, Delay: 15 * ms, Queue: 100})
	})
	more := func(n uint64) time.Duration {
		start := w.Now()
		asked.Open = append(asked.Open, TransferStream{Size: header, Reply: n})
		asked.opened = append(asked.opened, nil)
		asked.Done = false
		asked.open(&p.client.Peer)
		p.client.Pump()
		if err := w.RunUntil(time.Minute, func() bool { return asked.Done }); err != nil {
			t.Fatal(err)
		}
		return w.Now().Sub(start)
	}
	if err := w.RunUntil(time.Minute, func() bool { return asked.Done }); err != nil {
		t.Fatal(err)
	}
	for range 50 {
		more(2000)
		if err := w.RunFor(200 * ms); err != nil {
			t.Fatal(err)
		}
	}
	if took, ideal := more(500e3), 30*ms+time.Duration(500e3*8/10e6*1e9); took > ideal*5/4 {
		t.Errorf("half a megabyte took %v after a quiet time, %v at the path's rate", took, ideal)
	}
}
