package recovery

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/dunlin-quic/dunlin/internal/congestion"
	"github.com/dunlin-quic/dunlin/internal/monotime"
	"github.com/dunlin-quic/dunlin/internal/wire"
)

const ms = time.Millisecond

// sender is a Recovery on a clock of its own, and the Handler that hears from it. Every packet carries one frame whose
// ID is the packet number.
type sender struct {
	Recovery
	t           testing.TB
	now         monotime.Time
	acked, lost []uint64
	probes      []int // MTU probes that arrived (size) or were lost (-size)
}

func newSender(t testing.TB, mod func(*Config)) *sender {
	s := &sender{t: t, now: monotime.Time(time.Hour)}
	cfg := Config{Controller: congestion.NewNewReno(1200), MaxDatagram: 1200, NoPacing: true}
	if mod != nil {
		mod(&cfg)
	}
	s.Init(cfg)
	return s
}

// confirmed returns a sender whose handshake is done.
func confirmed(t testing.TB) *sender {
	s := newSender(t, nil)
	s.SetHandshakeConfirmed()
	return s
}

func (s *sender) FrameAcked(_ Space, f Frame) { s.acked = append(s.acked, f.ID) }
func (s *sender) FrameLost(_ Space, f Frame)  { s.lost = append(s.lost, f.ID) }
func (s *sender) MTUProbeAcked(size int)      { s.probes = append(s.probes, size) }
func (s *sender) MTUProbeLost(size int)       { s.probes = append(s.probes, -size) }

func (s *sender) wait(d time.Duration) { s.now = s.now.Add(d) }

// recover ends a recovery period: a packet that is sent in it is acknowledged.
func (s *sender) recover() {
	s.wait(time.Millisecond)
	pn := s.send(AppData, data)
	s.wait(10 * time.Millisecond)
	s.ack(AppData, 0, pn, pn)
}

const data = AckEliciting | InFlight

func (s *sender) send(space Space, flags Flags) uint64 {
	pn := s.NextPN(space)
	if flags&AckEliciting != 0 {
		s.Record(space, Frame{Type: wire.FrameStream, ID: pn})
	}
	s.Sent(s.now, space, 1200, flags)
	return pn
}

// sendN sends n packets of application data, gap apart.
func (s *sender) sendN(n int, gap time.Duration) {
	for range n {
		s.send(AppData, data)
		s.wait(gap)
	}
}

// ack acknowledges the ranges, given as lowest and highest numbers in descending order.
func (s *sender) ack(space Space, delay time.Duration, bounds ...uint64) {
	s.t.Helper()
	if err := s.tryAck(space, delay, bounds...); err != nil {
		s.t.Fatal(err)
	}
}

func (s *sender) tryAck(space Space, delay time.Duration, bounds ...uint64) error {
	f := wire.AckFrame{Delay: uint64(delay/time.Microsecond) >> 3}
	for i := 0; i < len(bounds); i += 2 {
		f.Ranges = append(f.Ranges, wire.AckRange{Smallest: bounds[i], Largest: bounds[i+1]})
	}
	return s.OnAck(s.now, s.now, space, &f, s)
}

// heard checks and forgets which packets' frames were told acknowledged and lost.
func (s *sender) heard(acked, lost []uint64) {
	s.t.Helper()
	if !slices.Equal(s.acked, acked) || !slices.Equal(s.lost, lost) {
		s.t.Fatalf("acknowledged %v, lost %v; want %v, %v", s.acked, s.lost, acked, lost)
	}
	s.acked, s.lost = nil, nil
}

func (s *sender) wantTimeout(in time.Duration) {
	s.t.Helper()
	at := s.Timeout()
	switch {
	case in < 0 && at != 0:
		s.t.Fatalf("timer set to %v from now, want none", at.Sub(s.now))
	case in >= 0 && at == 0:
		s.t.Fatalf("no timer, want one %v from now", in)
	case in >= 0 && at.Sub(s.now) != in:
		s.t.Fatalf("timer set to %v from now, want %v", at.Sub(s.now), in)
	}
}

// expire advances the clock to the timer and lets it expire.
func (s *sender) expire() (pto bool) {
	s.t.Helper()
	at := s.Timeout()
	if at == 0 {
		s.t.Fatal("no timer")
	}
	s.now = max(s.now, at)
	return s.OnTimeout(s.now, s)
}

func (s *sender) wantInFlight(packets int) {
	s.t.Helper()
	if got := s.InFlight(); got != packets*1200 {
		s.t.Fatalf("%d bytes in flight, want %d packets", got, packets)
	}
}

func pns(lo, hi uint64) (v []uint64) {
	for ; lo <= hi; lo++ {
		v = append(v, lo)
	}
	return v
}

// RFC 9002, Section 5.2 (MUST 1, 2) and Section 5.3 (MUST 1, 2).
func TestRTT(t *testing.T) {
	s := confirmed(t)
	if s.SRTT() != 333*ms || s.MinRTT() != 0 || s.PTO(Initial) != (333+4*166)*ms+2*ms {
		t.Fatalf("before the first sample: SRTT %v, MinRTT %v, PTO %v", s.SRTT(), s.MinRTT(), s.PTO(Initial))
	}
	sample := func(rtt, delay time.Duration) {
		t.Helper()
		pn := s.send(AppData, data)
		s.wait(rtt)
		s.ack(AppData, delay, pn, pn)
	}
	want := func(srtt, variation, minRTT time.Duration) {
		t.Helper()
		if s.SRTT() != srtt || s.RTTVar() != variation || s.MinRTT() != minRTT {
			t.Fatalf("SRTT %v, RTTVar %v, MinRTT %v; want %v, %v, %v",
				s.SRTT(), s.RTTVar(), s.MinRTT(), srtt, variation, minRTT)
		}
	}
	// The first sample replaces the initial values, the reported delay notwithstanding.
	sample(80*ms, 20*ms)
	want(80*ms, 40*ms, 80*ms)
	// A delay that would take the sample below the minimum is not subtracted.
	sample(80*ms, 8*ms)
	want(80*ms, 30*ms, 80*ms)
	// A plausible one is.
	sample(104*ms, 24*ms)
	want(80*ms, 22500*time.Microsecond, 80*ms)
	// More than max_ack_delay (25 ms) belongs to the path once the handshake is confirmed.
	sample(185*ms, 80*ms)
	want(90*ms, (3*22500+80000)/4*time.Microsecond, 80*ms)
	sample(40*ms, 0)
	if s.MinRTT() != 40*ms || s.LatestRTT() != 40*ms {
		t.Fatalf("MinRTT %v, LatestRTT %v, want 40ms", s.MinRTT(), s.LatestRTT())
	}
}

// RFC 9002, Section 5.1 (MUST 1).
func TestRTTSamples(t *testing.T) {
	s := newSender(t, nil)
	// Initial packets: the peer does not delay, whatever it says. Before confirmation, max_ack_delay is no limit.
	s.send(Initial, data)
	s.wait(50 * ms)
	s.ack(Initial, 0, 0, 0)
	s.send(Initial, data)
	s.wait(130 * ms)
	s.ack(Initial, 80*ms, 0, 1)
	if s.SRTT() != 60*ms {
		t.Fatalf("SRTT %v after a delay reported for an Initial packet, want 60ms", s.SRTT())
	}
	s.send(Handshake, data)
	s.wait(140 * ms)
	s.ack(Handshake, 80*ms, 0, 0)
	if s.SRTT() != 60*ms {
		t.Fatalf("SRTT %v after a long delay in the handshake, want 60ms", s.SRTT())
	}

	s.SetHandshakeConfirmed()
	// No sample: an ACK whose largest was known, one for packets that elicit none, one of another path.
	before := s.LatestRTT()
	s.sendN(2, 0)
	s.wait(140 * ms)
	s.ack(AppData, 0, 1, 1)
	s.wait(ms)
	s.ack(AppData, 0, 0, 1)
	if s.LatestRTT() != before {
		t.Fatalf("sample taken from a packet that was not the largest: %v", s.LatestRTT())
	}
	s.send(AppData, 0)
	s.wait(3 * ms)
	s.ack(AppData, 0, 2, 2)
	s.send(AppData, data|OffPath)
	s.wait(3 * ms)
	s.ack(AppData, 0, 3, 3)
	if s.LatestRTT() != before {
		t.Fatalf("sample taken from an ACK-only packet or another path: %v", s.LatestRTT())
	}
}

func TestReceiveTimeMakesTheSample(t *testing.T) {
	s := confirmed(t)
	s.send(AppData, data)
	s.wait(30 * ms)
	arrived := s.now
	s.wait(100 * ms) // in some queue of this process
	f := wire.AckFrame{Ranges: []wire.AckRange{{}}}
	if err := s.OnAck(s.now, arrived, AppData, &f, s); err != nil {
		t.Fatal(err)
	}
	if s.LatestRTT() != 30*ms {
		t.Fatalf("sample %v, want 30ms", s.LatestRTT())
	}
}

func TestPacketThreshold(t *testing.T) {
	s := confirmed(t)
	s.sendN(6, 0)
	s.wait(10 * ms)
	s.ack(AppData, 0, 2, 2)
	s.heard([]uint64{2}, nil)
	s.ack(AppData, 0, 2, 4)
	s.heard([]uint64{3, 4}, []uint64{0, 1})
	s.wantInFlight(1)
	if c := s.Counters(); c.PacketsLost != 2 || c.BytesLost != 2400 {
		t.Fatalf("%+v", c)
	}
}

// RFC 9002, Section 6.2.1 (MUST 5).
func TestTimeThreshold(t *testing.T) {
	s := confirmed(t)
	s.sendN(2, 0)
	s.wait(80 * ms)
	s.ack(AppData, 0, 1, 1)
	s.heard([]uint64{1}, nil)
	s.wantTimeout(10 * ms) // 9/8 of 80 ms after it was sent
	if pto := s.expire(); pto {
		t.Fatal("loss by time taken for a probe timeout")
	}
	s.heard(nil, []uint64{0})
	s.wantTimeout(-1)
	s.wantInFlight(0)
}

// RFC 9002, Section 6.1.2 (MUST 1).
func TestTimeThresholdHasAGranularity(t *testing.T) {
	s := confirmed(t)
	s.sendN(2, 0)
	s.wait(100 * time.Microsecond)
	s.ack(AppData, 0, 1, 1)
	s.wantTimeout(900 * time.Microsecond)
}

func TestAckOfUnsent(t *testing.T) {
	s := confirmed(t)
	if err := s.tryAck(AppData, 0, 0, 0); !errors.Is(err, ErrAckOfUnsent) {
		t.Fatalf("acknowledgment before anything was sent: %v", err)
	}
	s.sendN(3, 0)
	if err := s.tryAck(AppData, 0, 1, 3); !errors.Is(err, ErrAckOfUnsent) {
		t.Fatalf("acknowledgment of the next packet: %v", err)
	}
	s.heard(nil, nil)
}

// RFC 9000, Section 12.3 (MUST 1).
func TestSkippedPacketNumbers(t *testing.T) {
	s := newSender(t, func(c *Config) { c.Seed = [2]uint64{1, 2} })
	s.SetHandshakeConfirmed()
	var left []uint64
	for next := uint64(0); next < 10000; {
		pn := s.send(AppData, data)
		for ; next < pn; next++ {
			left = append(left, next)
		}
		next++
		s.wait(ms)
		if err := s.tryAck(AppData, 0, pn, pn); err != nil {
			t.Fatal(err)
		}
	}
	if len(left) < 4 || len(left) > 12 {
		t.Fatalf("of 10,000 packet numbers these were left out: %v", left)
	}
	last := left[len(left)-1]
	if err := s.tryAck(AppData, 0, last, last); !errors.Is(err, ErrAckOfUnsent) {
		t.Fatalf("acknowledgment of packet number %d, which was never used: %v", last, err)
	}
	if err := s.tryAck(AppData, 0, 0, s.NextPN(AppData)-1); !errors.Is(err, ErrAckOfUnsent) {
		t.Fatalf("acknowledgment of everything, used or not: %v", err)
	}
	if err := s.tryAck(AppData, 0, last+1, s.NextPN(AppData)-1, left[len(left)-2]+1, last-1); err != nil {
		t.Fatalf("acknowledgment around packet number %d: %v", last, err)
	}
}

// RFC 9002, Section 6.2 (MUST 1), Section 6.2.1 (MUST 4) and Section 6.2.4 (MUST 1, 2).
func TestProbeTimeout(t *testing.T) {
	s := confirmed(t)
	s.send(AppData, data)
	s.wait(100 * ms)
	s.ack(AppData, 0, 0, 0) // PTO 100 + 4*50 + 25
	s.wantTimeout(-1)
	s.sendN(3, 5*ms)
	s.wantTimeout(320 * ms)
	s.acked = nil
	if !s.expire() {
		t.Fatal("no probe timeout")
	}
	// The two oldest packets' data goes again; nothing is lost yet (RFC 9002, Section 6.2).
	s.heard(nil, []uint64{1, 2})
	s.wantInFlight(3)
	if s.ProbesOwed(AppData) != 2 || s.Counters().PacketsLost != 0 || s.PTOCount() != 1 {
		t.Fatalf("%d probes owed, %+v", s.ProbesOwed(AppData), s.Counters())
	}
	s.send(AppData, data)
	s.send(AppData, 0)
	if s.ProbesOwed(AppData) != 1 {
		t.Fatalf("%d probes owed, want 1: an ACK alone is none", s.ProbesOwed(AppData))
	}
	s.send(AppData, data)
	s.wantTimeout(650 * ms)
	s.expire()
	// What the first probes carried goes again only with the probes themselves.
	s.heard(nil, []uint64{3, 4})
	s.wantTimeout(1300*ms - 650*ms)
	s.send(AppData, data)
	s.wantTimeout(1300 * ms)
	s.wait(100 * ms)
	// Packets told lost for a probe are told acknowledged if they arrived, and not told lost again if not.
	s.ack(AppData, 0, 7, 7, 2, 2)
	s.heard([]uint64{2, 7}, []uint64{6})
	if s.PTOCount() != 0 || s.ProbesOwed(AppData) != 0 {
		t.Fatalf("after an ACK: PTO count %d, %d probes owed", s.PTOCount(), s.ProbesOwed(AppData))
	}
}

// RFC 9002, Section 6.2.1 (MUST 3).
func TestProbeTimeoutNeedsConfirmedHandshake(t *testing.T) {
	s := newSender(t, nil)
	s.send(AppData, data)
	s.wantTimeout(-1)
	s.send(Handshake, data)
	s.wantTimeout(999 * ms)
	s.SetHandshakeConfirmed()
	s.DropSpace(Handshake)
	s.wantTimeout(1024 * ms)
	s.wantInFlight(1)
}

// RFC 9002, Section 6.2.1 (MUST 2) and Section 6.2.2 (MUST 1).
func TestProbeTimeoutInHandshake(t *testing.T) {
	s := newSender(t, nil)
	s.send(Initial, data)
	s.wait(10 * ms)
	s.send(Handshake, data)
	s.send(Handshake, data)
	s.send(Handshake, data)
	// The earlier of both spaces; both are probed together (RFC 9002, Section 6.2.4).
	s.wantTimeout(989 * ms)
	s.expire()
	if i, h := s.ProbesOwed(Initial), s.ProbesOwed(Handshake); i != 2 || h != 2 {
		t.Fatalf("%d Initial and %d Handshake probes owed", i, h)
	}
	s.heard(nil, []uint64{0, 0, 1})
	// Backoff is common to all spaces, and discarding keys ends it.
	s.wantTimeout(999 * ms)
	s.DropSpace(Initial)
	s.wantTimeout(10 * ms)
	s.wantInFlight(3)
}

// RFC 9002, Section 6.2.2.1 (MUST 1).
func TestAmplificationLimitStopsProbeTimeout(t *testing.T) {
	s := newSender(t, nil)
	s.send(Initial, data)
	s.SetAmplificationLimited(true)
	s.wantTimeout(-1)
	s.wait(2 * time.Second)
	if s.OnTimeout(s.now, s) {
		t.Fatal("probe timeout at the amplification limit")
	}
	s.SetAmplificationLimited(false)
	// The timer lies in the past: it is due at once.
	s.wantLate(1001 * ms)
	if !s.OnTimeout(s.now, s) {
		t.Fatal("no probe timeout")
	}
}

func (s *sender) wantLate(by time.Duration) {
	s.t.Helper()
	if at := s.Timeout(); at == 0 || s.now.Sub(at) != by {
		s.t.Fatalf("timer at %v, now %v, want it %v late", at, s.now, by)
	}
}

// RFC 9002, Section 6.2.2.1 (MUST 2, 3). RFC 9000, Section 8.1 (MUST 4).
func TestClientKeepsServerFromDeadlock(t *testing.T) {
	s := newSender(t, func(c *Config) { c.Client = true })
	s.wantTimeout(-1)
	s.send(Initial, data)
	s.wait(100 * ms)
	s.ack(Initial, 0, 0, 0)
	// Nothing in flight, but the server may have used up its allowance (RFC 9002, Section 6.2.2.1).
	s.wantTimeout(300 * ms)
	s.expire()
	if s.ProbesOwed(Initial) != 1 {
		t.Fatalf("%d Initial probes owed, want 1", s.ProbesOwed(Initial))
	}
	s.send(Initial, data)
	s.wantTimeout(600 * ms)
	s.wait(100 * ms)
	s.ack(Initial, 0, 1, 1)
	// An acknowledgment in an Initial packet does not end the backoff.
	if s.PTOCount() != 1 {
		t.Fatalf("PTO count %d, want 1", s.PTOCount())
	}
	s.SetHandshakeKeys()
	s.expire()
	if s.ProbesOwed(Handshake) != 1 {
		t.Fatalf("%d Handshake probes owed, want 1", s.ProbesOwed(Handshake))
	}
	s.send(Handshake, data)
	s.DropSpace(Initial)
	s.wait(100 * ms)
	s.ack(Handshake, 0, 0, 0)
	if s.PTOCount() != 0 {
		t.Fatalf("PTO count %d, want 0", s.PTOCount())
	}
	s.wantTimeout(-1)
}

// A probe that can't be sent, because a server may not send so much yet, must not be due for ever.
func TestProbesThatCannotBeSent(t *testing.T) {
	s := confirmed(t)
	s.send(AppData, data)
	s.wait(ms)
	s.ack(AppData, 0, 0, 0)
	s.send(AppData, data)
	for range 2 * maxBackoff {
		at := s.Timeout()
		if at <= s.now {
			t.Fatalf("after %d probe timeouts, the next is due %v ago", s.PTOCount(), s.now.Sub(at))
		}
		s.now = at
		if !s.OnTimeout(s.now, s) {
			t.Fatal("no probe timeout")
		}
	}
}

// RFC 9002, Section 7.6.2 (MUST 2).
func TestPersistentCongestion(t *testing.T) {
	// RFC 9002, Section 7.6.3's example, in tenths of its time: (SRTT + 4 RTTVar + max_ack_delay) is 0.2 s.
	for _, arrived := range []bool{false, true} {
		s := confirmed(t)
		s.SetPeerAckDelay(50*ms, 3)
		s.send(AppData, data)
		s.wait(50 * ms)
		s.ack(AppData, 0, 0, 0) // SRTT 50, RTTVar 25
		s.wait(ms)
		s.sendN(6, 100*ms)
		s.wait(100 * ms)
		s.send(AppData, data)
		s.wait(400 * ms)
		s.send(AppData, data)
		s.wait(20 * ms)
		want := 2 * 1200
		if arrived {
			// A packet that arrived in between disproves persistent congestion.
			s.ack(AppData, 0, 8, 8, 4, 4)
			s.recover()
			want = 6000
		} else {
			s.ack(AppData, 0, 8, 8)
		}
		if s.Cwnd() != want {
			t.Errorf("window %d, want %d", s.Cwnd(), want)
		}
	}
}

// RFC 9002, Section 7.6.2 (MUST 1): only packets that the peer had to acknowledge tell of persistent congestion.
func TestPersistentCongestionNeedsElicitingPackets(t *testing.T) {
	// Persistent congestion makes the lowest RTT start anew.
	for flags, want := range map[Flags]time.Duration{data: 80 * ms, InFlight: 50 * ms} {
		s := confirmed(t)
		s.send(AppData, data)
		s.wait(50 * ms)
		s.ack(AppData, 0, 0, 0)
		s.wait(ms)
		for range 6 {
			s.send(AppData, flags)
			s.wait(200 * ms)
		}
		s.send(AppData, data)
		s.wait(80 * ms)
		s.ack(AppData, 0, 7, 7)
		if s.MinRTT() != want {
			t.Errorf("flags %b: MinRTT %v, want %v", flags, s.MinRTT(), want)
		}
	}
}

// RFC 9002, Section 6.2.1 (MUST 1): on a path whose RTT never varies, the timer has its granularity on top.
func TestProbeTimeoutHasAGranularity(t *testing.T) {
	s := confirmed(t)
	for pn := range uint64(100) {
		s.send(AppData, data)
		s.wait(10 * ms)
		s.ack(AppData, 0, pn, pn)
	}
	if got := s.PTO(Initial); s.RTTVar() > ms/100 || got != 11*ms {
		t.Errorf("PTO %v with an RTT of %v that varies by %v", got, s.SRTT(), s.RTTVar())
	}
}

// RFC 9002, Section 5.2: a way that has become longer shows after persistent congestion.
func TestPersistentCongestionForgetsMinRTT(t *testing.T) {
	s := confirmed(t)
	s.send(AppData, data)
	s.wait(10 * ms)
	s.ack(AppData, 0, 0, 0)
	s.wait(ms)
	s.sendN(6, 100*ms)
	s.wait(time.Second)
	s.send(AppData, data)
	s.wait(80 * ms)
	s.ack(AppData, 0, 7, 7)
	if s.Cwnd() != 2*1200 || s.MinRTT() != 80*ms {
		t.Errorf("window %d, MinRTT %v", s.Cwnd(), s.MinRTT())
	}
}

func TestPersistentCongestionNeedsSample(t *testing.T) {
	s := confirmed(t)
	s.sendN(4, 2*time.Second)
	s.send(AppData, data)
	s.wait(10 * ms)
	s.ack(AppData, 0, 4, 4)
	s.heard([]uint64{4}, pns(0, 3))
	if s.Cwnd() != 6000 {
		t.Errorf("window %d, want 6000", s.Cwnd())
	}
}

// RFC 9002, Section 7.4 (MUST 1). RFC 9000, Section 13.3 (MUST 4).
func TestSpuriousLossIsTakenBack(t *testing.T) {
	s := confirmed(t)
	window := s.Cwnd()
	s.sendN(9, 0)
	s.wait(50 * ms)
	s.ack(AppData, 0, 5, 7)
	s.heard(pns(5, 7), pns(0, 4))
	if s.Cwnd() > window/2 {
		t.Fatalf("window %d after a loss, want %d at most", s.Cwnd(), window/2)
	}
	s.wait(ms)
	s.ack(AppData, 0, 5, 7, 0, 3)
	s.heard(pns(0, 3), nil)
	if s.Cwnd() > window/2 {
		t.Fatalf("window %d while one packet is still missing", s.Cwnd())
	}
	s.ack(AppData, 0, 0, 7)
	if s.Cwnd() != window || s.Counters().SpuriousLosses != 5 {
		t.Fatalf("window %d after all came late, want %d; %+v", s.Cwnd(), window, s.Counters())
	}
	// Reordering by as much is no loss any more.
	s.ack(AppData, 0, 8, 8)
	s.acked = nil
	s.sendN(8, 0)
	s.wait(10 * ms)
	s.ack(AppData, 0, 16, 16)
	s.heard([]uint64{16}, nil)
}

// RFC 9002, Section 6.4 (MUST 1). RFC 9000, Section 12.3 (MUST 2).
func TestDropSpaceForgets(t *testing.T) {
	s := newSender(t, nil)
	s.send(Initial, data)
	s.send(Initial, InFlight)
	s.send(Handshake, data)
	s.DropSpace(Initial)
	s.wantInFlight(1)
	s.heard(nil, nil)
	if s.NextPN(Initial) != 2 {
		t.Fatalf("packet numbers started again")
	}
}

// RFC 9000, Section 12.3 (MUST 2) and Section 17.2.5.3 (MUST 2).
func TestRequeue(t *testing.T) {
	s := newSender(t, func(c *Config) { c.Client = true })
	s.send(Initial, data)
	s.send(Initial, data)
	window := s.Cwnd()
	s.Requeue(Initial, s)
	s.heard(nil, []uint64{0, 1})
	s.wantInFlight(0)
	if s.Cwnd() != window || s.Counters().PacketsLost != 0 {
		t.Fatalf("window %d, %+v", s.Cwnd(), s.Counters())
	}
	if pn := s.send(Initial, data); pn != 2 {
		t.Fatalf("next packet number %d, want 2", pn)
	}
}

// RFC 9000, Section 9.4 (MUST 1, 2).
func TestResetPath(t *testing.T) {
	s := confirmed(t)
	s.sendN(3, 0)
	s.wait(10 * ms)
	s.ack(AppData, 0, 0, 0)
	s.ResetPath(congestion.NewNewReno(1200), 1200)
	s.wantInFlight(0)
	if s.SRTT() != 333*ms {
		t.Fatalf("SRTT %v", s.SRTT())
	}
	window := s.Cwnd()
	s.acked = nil
	s.sendN(4, 0)
	s.wait(10 * ms)
	s.ack(AppData, 0, 2, 2)
	if s.SRTT() != 333*ms {
		t.Fatalf("SRTT %v from the old path", s.SRTT())
	}
	s.ack(AppData, 0, 6, 6)
	// Packet 1 is lost on the old path, which is no congestion of the new one; 3 is lost on the new one.
	s.heard([]uint64{2, 6}, []uint64{1, 3})
	s.wantInFlight(2)
	if s.Cwnd() != window/2 || s.SRTT() != 10*ms {
		t.Fatalf("window %d, SRTT %v", s.Cwnd(), s.SRTT())
	}
}

// RFC 9000, Section 9.4 (MUST 1).
func TestOldPathLossIsNoCongestion(t *testing.T) {
	s := confirmed(t)
	s.sendN(3, 0)
	s.ResetPath(congestion.NewNewReno(1200), 1200)
	window := s.Cwnd()
	s.send(AppData, data)
	s.wait(10 * ms)
	s.ack(AppData, 0, 3, 3)
	s.heard([]uint64{3}, []uint64{0})
	if s.Cwnd() != window {
		t.Fatalf("window %d, want %d", s.Cwnd(), window)
	}
	s.wantInFlight(0)
}

func TestMTUProbe(t *testing.T) {
	s := confirmed(t)
	window := s.Cwnd()
	s.send(AppData, data|MTUProbe)
	s.sendN(3, 0)
	s.wait(10 * ms)
	s.ack(AppData, 0, 1, 3)
	if s.Cwnd() != window || s.Counters().PacketsLost != 0 {
		t.Fatalf("window %d, %+v: the loss of an MTU probe is no congestion", s.Cwnd(), s.Counters())
	}
	s.send(AppData, data|MTUProbe)
	s.ack(AppData, 0, 4, 4)
	if !slices.Equal(s.probes, []int{-1200, 1200}) {
		t.Fatalf("fates of the probes: %v", s.probes)
	}
}

// A probe tells of the path that it went out on, whenever its fate becomes known.
func TestMTUProbeOfOldPath(t *testing.T) {
	s := confirmed(t)
	s.send(AppData, data|MTUProbe)
	s.send(AppData, data|MTUProbe)
	s.ResetPath(congestion.NewNewReno(1200), 1200)
	s.sendN(3, 0)
	s.wait(10 * ms)
	s.ack(AppData, 0, 1, 4)
	if len(s.probes) > 0 {
		t.Errorf("fates of the probes on another path: %v", s.probes)
	}
}

func TestBlackHole(t *testing.T) {
	s := confirmed(t)
	large := func() {
		s.Record(AppData, Frame{ID: s.NextPN(AppData)})
		s.Sent(s.now, AppData, 1400, data)
	}
	// Several lost at once are one sign, and a large packet that arrives clears all doubt.
	for round := range 2 * blackHoleRounds {
		large()
		large()
		s.sendN(3, 0)
		s.wait(10 * ms)
		next := s.NextPN(AppData)
		s.ack(AppData, 0, next-3, next-1)
		if got, want := s.BlackHole(), round%blackHoleRounds == blackHoleRounds-1; got != want {
			t.Fatalf("black hole after %d rounds: %v", round+1, got)
		}
		if s.BlackHole() {
			large()
			s.wait(10 * ms)
			s.ack(AppData, 0, next, next)
			if s.BlackHole() {
				t.Fatal("still a black hole after a large packet arrived")
			}
		}
		s.wait(10 * ms)
	}
}

func TestAbandon(t *testing.T) {
	s := confirmed(t)
	s.Record(AppData, Frame{ID: 77})
	s.Record(AppData, Frame{ID: 78})
	if s.Recorded(AppData) != 2 {
		t.Fatalf("%d frames recorded", s.Recorded(AppData))
	}
	s.Abandon(AppData)
	s.sendN(1, 0)
	s.ack(AppData, 0, 0, 0)
	s.heard([]uint64{0}, nil)
}

// RFC 9000, Section 13.2.1 (MUST 5).
func TestWantPing(t *testing.T) {
	s := confirmed(t)
	for range wantPingAfter {
		if s.WantPing(AppData) {
			t.Fatal("PING wanted too early")
		}
		s.send(AppData, 0)
	}
	if !s.WantPing(AppData) {
		t.Fatal("no PING wanted")
	}
	s.send(AppData, data)
	for range 2 * wantPingAfter {
		s.send(AppData, 0)
	}
	if s.WantPing(AppData) {
		t.Fatal("PING wanted while one is in flight")
	}
}

// RFC 9002, Section 7 (MUST 2) and Section 7.7 (MUST 1).
func TestCongestionWindowBlocks(t *testing.T) {
	s := newSender(t, func(c *Config) { c.NoPacing = false })
	s.SetHandshakeConfirmed()
	for range 10 {
		if at := s.SendTime(s.now, AppData, 1200); at > s.now {
			t.Fatalf("held for %v within the initial window", at.Sub(s.now))
		}
		s.send(AppData, data)
	}
	if at := s.SendTime(s.now, AppData, 1200); at != monotime.Never {
		t.Fatalf("may send at %v with a full window", at)
	}
	if at := s.SendTime(s.now, AppData, 10); at != monotime.Never {
		t.Fatalf("may send at %v with a full window", at)
	}
	s.wait(20 * ms)
	s.ack(AppData, 0, 0, 9)
	// The window is now 20 packets and the rate twice that per RTT: a burst, then paced.
	sent := 0
	for s.SendTime(s.now, AppData, 1200) <= s.now {
		s.send(AppData, data)
		sent++
	}
	if at := s.SendTime(s.now, AppData, 1200); sent < 10 || sent > 12 || at == monotime.Never || at.Sub(s.now) > 5*ms {
		t.Fatalf("burst of %d packets, next %v later", sent, at.Sub(s.now))
	}
}

// RFC 9002, Section 7 (MUST 2), but for what the index says of the handshake.
func TestLaterSpacesDoNotBlock(t *testing.T) {
	s := newSender(t, nil)
	for space := Space(AppData); ; space-- {
		n := 0
		for ; s.SendTime(s.now, space, 1200) <= s.now; n++ {
			s.send(space, data)
		}
		if n != 10 {
			t.Fatalf("%d %v packets beside later ones, want a window of their own", n, space)
		}
		if space == Initial {
			break
		}
	}
	s.DropSpace(Initial)
	s.wantInFlight(20)
	if at := s.SendTime(s.now, AppData, 1200); at != monotime.Never {
		t.Fatal("data is not blocked by a full window of Handshake packets")
	}
}

func TestWindowGrowsOnlyInUse(t *testing.T) {
	s := confirmed(t)
	window := s.Cwnd()
	for range 20 {
		s.sendN(2, 0)
		s.wait(10 * ms)
		pn := s.NextPN(AppData) - 1
		s.ack(AppData, 0, pn-1, pn)
	}
	if s.Cwnd() != window {
		t.Fatalf("window grew to %d with two packets in flight", s.Cwnd())
	}
	s.sendN(10, 0)
	s.wait(10 * ms)
	for pn := uint64(40); pn < 50; pn += 2 {
		s.ack(AppData, 0, pn, pn+1)
	}
	if s.Cwnd() != 2*window {
		t.Fatalf("window %d after a full one was acknowledged piece by piece, want %d", s.Cwnd(), 2*window)
	}
}

func TestRepeatedAndCrossingRanges(t *testing.T) {
	s := newSender(t, func(c *Config) { c.Controller = congestion.NewNewReno(120000) })
	s.SetHandshakeConfirmed()
	s.sendN(40, 0)
	s.wait(10 * ms)
	s.ack(AppData, 0, 30, 33, 10, 12)
	s.ack(AppData, 0, 30, 33, 10, 12)
	s.heard(slices.Concat(pns(10, 12), pns(30, 33)), slices.Concat(pns(0, 9), pns(13, 29)))
	s.ack(AppData, 0, 28, 36, 11, 14, 2, 3)
	s.heard(slices.Concat([]uint64{2, 3, 13, 14, 28, 29}, pns(34, 36)), nil)
	s.ack(AppData, 0, 0, 39)
	s.heard(slices.Concat([]uint64{0, 1}, pns(4, 9), pns(15, 27), pns(37, 39)), nil)
	s.wantInFlight(0)
}

// TestRandomAcks checks every packet's fate against a slow model while a peer acknowledges at random.
func TestRandomAcks(t *testing.T) {
	for seed := range uint64(50) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { randomAcks(t, seed) })
	}
}
