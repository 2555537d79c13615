package curves

import (
	"flag"
	"testing"
)

var seed = flag.Uint64("curves.seed", 1, "whose chance to run with")

var all = flag.Bool("curves.all", false, "run all scenarios, instead of those that take a moment only")

// hold runs scenarios and holds the results to their bounds.
func hold(t *testing.T, scenarios []Scenario) {
	for _, s := range scenarios {
		if !s.Quick && !*all {
			continue
		}
		t.Run(s.Name, func(t *testing.T) {
			r, err := s.Run(*seed)
			if err != nil {
				t.Fatal(err)
			}
			t.Log(r)
			if err := s.Check(r); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestBulk: one flow alone uses what paths of all kinds give, and BBR keeps their queues short.
func TestBulk(t *testing.T) { hold(t, Bulk()) }

// TestLossy: losses at random slow a flow down as little as theory has it.
func TestLossy(t *testing.T) { hold(t, Lossy()) }

// TestStaggered: a flow that comes later gets its half.
func TestStaggered(t *testing.T) { hold(t, Staggered()) }

// TestRivals: different controllers leave each other room.
func TestRivals(t *testing.T) { hold(t, Rivals()) }
