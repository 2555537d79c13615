package curves

import (
	"fmt"
	"math"
	"time"

	"github.com/dunlin-quic/dunlin/quic"
)

const ms = time.Millisecond

// Controllers are those that are measured.
var Controllers = []quic.CongestionControl{quic.NewReno, quic.CUBIC, quic.BBR}

// ControllerName names a controller as its RFC or draft does.
func ControllerName(cc quic.CongestionControl) string {
	switch cc {
	case quic.NewReno:
		return "NewReno"
	case quic.BBR:
		return "BBR"
	}
	return "CUBIC"
}

// Rates, RTTs and Queues are what [Bulk] combines.
var (
	Rates  = []float64{10e6, 100e6, 1e9}
	RTTs   = []time.Duration{ms, 30 * ms, 300 * ms}
	Queues = []float64{0.25, 4}
)

// Bulk is one flow alone, at all rates, round-trip times and depths of queue.
func Bulk() []Scenario {
	var all []Scenario
	for _, rate := range Rates {
		for _, rtt := range RTTs {
			for _, queue := range Queues {
				for _, cc := range Controllers {
					s := Scenario{
						Name: fmt.Sprintf("bulk/%s/%v/%s queue/%s", RateName(rate), rtt, depth(queue), ControllerName(cc)),
						Rate: rate, RTT: rtt, Queue: queue, Flows: []Flow{{CC: cc}},
						Duration: 20 * time.Second, Warm: 5 * time.Second,
					}
					switch {
					case rate == 1e9 && rtt == ms:
						s.Duration, s.Warm = 4*time.Second, time.Second
					case rtt >= 300*ms:
						s.Duration, s.Warm = 60*time.Second, 15*time.Second
					}
					s.Quick = rate == 10e6 && rtt <= 30*ms || rate == 100e6 && rtt == 30*ms && queue < 1
					s.Bounds = bulkBounds(&s, cc)
					all = append(all, s)
				}
			}
		}
	}
	return all
}

func depth(queue float64) string {
	if queue < 1 {
		return "shallow"
	}
	return "deep"
}

// RateName writes a rate with its unit.
func RateName(rate float64) string {
	if rate >= 1e9 {
		return fmt.Sprintf("%g Gbit∕s", rate/1e9)
	}
	return fmt.Sprintf("%g Mbit∕s", rate/1e6)
}

// bulkBounds says what one flow alone must reach. Of the rate, 4.2 % are headers.
func bulkBounds(s *Scenario, cc quic.CongestionControl) Bounds {
	shallow := s.Queue < 1 || s.Queue*s.Packets() < 10
	switch {
	case cc == quic.BBR && shallow:
		return Bounds{Used: 0.88}
	case cc == quic.BBR:
		// What BBR keeps in the queue does not depend on how much the queue holds; 4 ms are a minimal window at 10 Mbit/s.
		return Bounds{Used: 0.88, Delay: s.RTT*5/4 + 5*ms}
	case cc == quic.CUBIC && shallow:
		return Bounds{Used: 0.88}
	case shallow:
		// Half a window, after a loss, does not fill the path.
		return Bounds{Used: 0.75}
	}
	return Bounds{Used: 0.93}
}

// Losses are the shares of datagrams lost for no reason that [Lossy] tries.
var Losses = []float64{0, 0.0003, 0.001, 0.003, 0.01, 0.02, 0.05}

// Lossy is one flow alone on a path of 100 Mbit/s and 50 ms that loses datagrams at random.
func Lossy() []Scenario {
	var all []Scenario
	for _, loss := range Losses {
		for _, cc := range Controllers {
			s := Scenario{
				Name: fmt.Sprintf("lossy/%g %%/%s", 100*loss, ControllerName(cc)),
				Rate: 100e6, RTT: 50 * ms, Queue: 1, Loss: loss, Flows: []Flow{{CC: cc}},
				Duration: 60 * time.Second, Warm: 15 * time.Second,
			}
			if cc != quic.BBR && loss > 0 {
				// As long as it takes to lose some hundred packets, so that luck matters little.
				lost := s.Rate / 8 / packet * s.Theory(cc) * loss // per second
				enough := 300.0
				if loss >= 0.01 {
					enough = 1000
				}
				s.Duration = s.Warm + time.Duration(enough/lost*float64(time.Second))
				s.Quick = loss >= 0.003
			}
			s.Bounds.Used = lossBound(&s, cc)
			all = append(all, s)
		}
	}
	return all
}

// Theory returns what share of a bottleneck a controller that takes losses for congestion gets, by the formulas for
// losses at random: the larger of Reno's (Mathis et al., 1997; RFC 9438, Section 4.3 makes CUBIC keep up with it) and of
// CUBIC's own (RFC 9438, Section 5.1).
func (s *Scenario) Theory(cc quic.CongestionControl) float64 {
	if s.Loss == 0 {
		return float64(payload) / packet
	}
	window := math.Sqrt(1.5 / s.Loss) // packets
	if cc == quic.CUBIC {
		window = max(window, 1.054*math.Pow(s.RTT.Seconds()/s.Loss, 0.75))
	}
	return min(window/s.Packets(), 1) * payload / packet
}

// Staggered is two flows of one controller, of which the second starts ten seconds later.
func Staggered() []Scenario {
	var all []Scenario
	for _, cc := range Controllers {
		for _, rate := range []float64{10e6, 100e6} {
			fair := 0.95
			if cc == quic.NewReno && rate > 10e6 {
				fair = 0.85 // a window of hundreds of packets takes as many round trips to grow by half
			}
			all = append(all, Scenario{
				Name: fmt.Sprintf("staggered/%s/%s", RateName(rate), ControllerName(cc)),
				Rate: rate, RTT: 30 * ms, Queue: 1, Flows: []Flow{{CC: cc}, {CC: cc, Start: 10 * time.Second}},
				Duration: 60 * time.Second, Warm: 30 * time.Second,
				Quick: rate == 10e6, Bounds: Bounds{Used: 0.90, Fair: fair},
			})
		}
	}
	return all
}

// RivalQueues are the depths of queue that [Rivals] tries.
var RivalQueues = []float64{0.25, 0.5, 1, 2, 4, 8}

// Rivals is two flows of different controllers, the second of which starts a second later.
func Rivals() []Scenario {
	var all []Scenario
	for _, queue := range RivalQueues {
		for _, pair := range [][2]quic.CongestionControl{{quic.CUBIC, quic.NewReno}, {quic.BBR, quic.CUBIC}, {quic.BBR, quic.NewReno}} {
			all = append(all, Scenario{
				Name: fmt.Sprintf("rivals/%g/%s and %s", queue, ControllerName(pair[0]), ControllerName(pair[1])),
				Rate: 20e6, RTT: 30 * ms, Queue: queue,
				Flows:    []Flow{{CC: pair[0]}, {CC: pair[1], Start: time.Second}},
				Duration: 60 * time.Second, Warm: 10 * time.Second,
				Quick: queue == 1, Bounds: Bounds{Used: 0.88, Fair: rivalBound(queue, pair[0])},
			})
		}
	}
	return all
}

// lossBound says what one flow must reach of the rate in spite of losses: about what theory says, less where windows are
// of a few packets, since only whole packets are sent, and the acknowledgment of every second one may wait.
func lossBound(s *Scenario, cc quic.CongestionControl) float64 {
	of := 0.0
	switch {
	case s.Loss == 0 || cc == quic.BBR && s.Loss < 0.02:
		return 0.88
	case cc == quic.BBR && s.Loss == 0.02:
		return 0.75 // just what BBR takes for no congestion
	case cc == quic.BBR:
		return 0.10
	case s.Loss <= 0.003:
		of = 0.88
	case s.Loss <= 0.01:
		of = 0.8
	case s.Loss <= 0.02:
		of = 0.73
	default:
		of = 0.62
	}
	if cc == quic.CUBIC {
		of += 0.1
	}
	return of * s.Theory(cc)
}

// rivalBound says how fair two controllers must be to each other.
func rivalBound(queue float64, first quic.CongestionControl) float64 {
	switch {
	case first == quic.CUBIC && queue <= 2:
		return 0.95
	case first == quic.CUBIC:
		return 0.55 // the path has become so long that CUBIC is meant to outgrow Reno
	case queue <= 1:
		return 0.6 // BBR does not back off for losses that a short queue causes
	}
	return 0.85
}
