package simnet

import (
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

// TestBBR: BBR uses paths of all kinds well, those that lose packets at random included, and keeps queues short.
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
		{"1 Mbit/s, 100 ms, endless queue", Link{Rate: 1e6, Delay: 50 * ms, Queue: 1000}, 1e6, 0.85, 270 * ms},
		{"100 Mbit/s, 40 ms, endless queue", Link{Rate: 100e6, Delay: 20 * ms, Queue: 10000}, 20e6, 0.75, 95 * ms},
		{"100 Mbit/s, 40 ms, short queue", Link{Rate: 100e6, Delay: 20 * ms, Queue: 30}, 20e6, 0.60, 0},
		{"100 Mbit/s, 2 ms", Link{Rate: 100e6, Delay: ms, Queue: 50}, 10e6, 0.90, 0},
		{"1 Gbit/s, 1 ms", Link{Rate: 1e9, Delay: ms / 2, Queue: 100}, 20e6, 0.85, 0},
		{"20 Mbit/s, 300 ms", Link{Rate: 20e6, Delay: 150 * ms, Queue: 500}, 20e6, 0.65, 750 * ms},
		{"10 Mbit/s, 30 ms, marks instead of losses", Link{Rate: 10e6, Delay: 15 * ms, Queue: 16, Mark: true}, 5e6, 0.80, 0},
		{"10 Mbit/s, 30 ms, jitter", Link{Rate: 10e6, Delay: 15 * ms, Queue: 25, Jitter: 10 * ms}, 5e6, 0.85, 0},
		{"10 Mbit/s, 30 ms, reordering", Link{Rate: 10e6, Delay: 15 * ms, Queue: 25, Reorder: 0.02, ReorderBy: 5 * ms}, 5e6, 0.85, 0},
		{"10 Mbit/s, 30 ms, 2 % lost", Link{Rate: 10e6, Delay: 15 * ms, Queue: 25, Loss: 0.02}, 10e6, 0.80, 0},
		{"10 Mbit/s, 30 ms, 5 % lost", Link{Rate: 10e6, Delay: 15 * ms, Queue: 25, Loss: 0.05}, 10e6, 0.60, 0},
		{"100 Mbit/s, 40 ms, 2 % lost", Link{Rate: 100e6, Delay: 20 * ms, Queue: 300, Loss: 0.02}, 60e6, 0.80, 0},
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
