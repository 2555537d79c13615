package engine

import (
	"math"
	"testing"
	"time"

	"github.com/dunlin-quic/dunlin/quic"
)

// usageTest drives a usage with a round of 100 ms at a time.
type usageTest struct {
	usage
	now time.Time
	st  quic.Stats
}

func newUsageTest() *usageTest {
	u := &usageTest{now: time.Unix(1000, 0)}
	u.st.RTT = 100 * time.Millisecond
	u.begin(u.now)
	return u
}

func (u *usageTest) round(sent, acked, lost uint64) {
	u.now = u.now.Add(u.st.RTT)
	u.st.BytesSent += sent
	u.st.BytesAcked += acked
	u.st.BytesLost += lost
	u.update(u.now, &u.st)
}

func (u *usageTest) want(t *testing.T, bandwidth float64) {
	t.Helper()
	if math.Abs(u.bandwidth-bandwidth) > 1 {
		t.Errorf("after %v: %.0f bit/s in use, want %.0f", u.now.Sub(u.began), u.bandwidth, bandwidth)
	}
}

func TestUsageNeedsSomeRounds(t *testing.T) {
	u := newUsageTest()
	for range usageRounds/2 - 1 {
		u.round(1e5, 1e5, 0)
	}
	u.want(t, 0)
	u.round(1e5, 1e5, 0)
	u.want(t, 8e6)
}

// What counts is the most of the last two minutes; and for the audit, the most ever.
func TestUsageIsTheMostOfTwoMinutes(t *testing.T) {
	u := newUsageTest()
	for range 20 {
		u.round(1e5, 1e5, 0)
	}
	for u.now.Sub(u.began) < 115*time.Second {
		u.round(1e3, 1e3, 0)
	}
	u.want(t, 8e6)
	for u.now.Sub(u.began) < 125*time.Second {
		u.round(1e3, 1e3, 0)
	}
	u.want(t, 8e4)
	if math.Abs(u.maxBandwidth-8e6) > 1 {
		t.Errorf("the most ever was %.0f", u.maxBandwidth)
	}
	// Nothing at all for longer than there are slots.
	u.now = u.now.Add(time.Hour)
	u.round(0, 0, 0)
	u.want(t, 8*9e3/3600) // what little there was in the nine rounds before
}

// A burst of acknowledgments is no bandwidth that was used to send, nor is what is sent into nothing.
func TestUsageIsWhatWasSentAndAcknowledged(t *testing.T) {
	for _, x := range []struct{ sent, acked uint64 }{{1e5, 1e3}, {1e3, 1e5}} {
		u := newUsageTest()
		for range usageRounds {
			u.round(x.sent, x.acked, 0)
		}
		u.want(t, 8e4)
	}
}

func TestUsageLoss(t *testing.T) {
	u := newUsageTest()
	for range usageRounds {
		u.round(1000, 1000, 0)
	}
	if u.loss != 0 {
		t.Error("losses out of nothing: ", u.loss)
	}
	for range usageRounds {
		u.round(1000, 750, 250)
	}
	for range usageRounds {
		u.round(1000, 1000, 0)
	}
	if math.Abs(u.loss-0.25) > 1e-9 {
		t.Errorf("a quarter was lost, not %v", u.loss)
	}
	u.round(10, 0, 1e6)
	if u.loss > 1 {
		t.Errorf("more than everything is lost: %v", u.loss)
	}
}

func TestUsageAllocatesNothing(t *testing.T) {
	u := newUsageTest()
	if n := testing.AllocsPerRun(100, func() { u.round(1000, 1000, 10) }); n != 0 {
		t.Errorf("%v allocations per round", n)
	}
}
