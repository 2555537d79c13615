package recovery

import (
	"errors"
	"time"

	"github.com/dunlin-quic/dunlin/internal/congestion"
	"github.com/dunlin-quic/dunlin/internal/monotime"
)

// ErrAckOfUnsent is returned for an ACK frame that acknowledges a packet that was never sent: a PROTOCOL_VIOLATION
// (RFC 9000, Section 13.1).
var ErrAckOfUnsent = errors.New("recovery: acknowledgment of a packet that was not sent")

// Config configures a Recovery.
type Config struct {
	Client      bool
	Controller  congestion.Controller
	MaxDatagram int           // size of a full packet, bytes
	InitialRTT  time.Duration // default 333 ms (RFC 9002, Section 6.2.2)
	NoPacing    bool
	// Seed picks the packet numbers that are left out to catch a peer that acknowledges what it has not received; it
	// must be unpredictable to the peer. Zero leaves out none.
	Seed [2]uint64
}

// Recovery is the sending side of loss detection and congestion control of one connection. Use [Recovery.Init].
type Recovery struct {
	app   sendSpace
	early *[AppData]sendSpace // of the handshake; nil once both are dropped
	rtt   rtt
	cc    congestion.Controller
	// sampling is nil unless cc wants to know delivery rates.
	sampling *sampling
	pacer    congestion.Pacer
	skip     skipper
	ecn      ecn

	maxDatagram int
	inFlight    int
	sentBytes   uint64 // all that ever were in flight
	// pathStart are the first packet numbers on the current path.
	pathStart [NumSpaces]uint64
	// windowFull is when the congestion window was last in full use.
	windowFull monotime.Time
	reorder    reorderTolerance
	losses     lossPeriod
	large      largeLosses

	client        bool
	noPacing      bool
	handshakeKeys bool
	confirmed     bool
	peerValidated bool // at a client: the server has finished validating our address
	amplLimited   bool
	traced        bool // handlers are Tracers
	ptoCount      int
	armed         monotime.Time // of the latest event that restarts the timer of a client with nothing in flight
	timeout       monotime.Time
	maxAckDelay   time.Duration
	timeoutStale  bool
	ackDelayExp   uint8
	counters      Counters
}

// sendSpace is what Recovery keeps of one packet number space.
type sendSpace struct {
	sentRing
	largestAcked uint64
	anyAcked     bool
	lossTime     monotime.Time // when the oldest outstanding packet becomes lost by time; 0 for not at all
	lastElicit   monotime.Time // when the last ack-eliciting packet was sent
	eliciting    int           // outstanding ack-eliciting packets
	inFlight     int           // of Recovery.inFlight
	plainRun     int           // packets sent since the last ack-eliciting one
	probes       int           // ack-eliciting packets owed because of a probe timeout
	persistent   persistentCongestion
	dropped      bool
}

// Init makes r ready for use.
func (r *Recovery) Init(cfg Config) {
	*r = Recovery{
		early:       new([AppData]sendSpace),
		maxDatagram: cfg.MaxDatagram,
		client:      cfg.Client,
		noPacing:    cfg.NoPacing,
		// RFC 9000, Section 18.2: the values of an absent transport parameter.
		maxAckDelay: 25 * time.Millisecond,
		ackDelayExp: 3,
	}
	r.rtt.init(cfg.InitialRTT)
	r.skip.init(cfg.Seed)
	r.reorder.init()
	r.useController(cfg.Controller)
	r.setPacingRate()
}

// space returns what is kept of a space, which must not be dropped together with the other one of the handshake.
func (r *Recovery) space(s Space) *sendSpace {
	if s == AppData {
		return &r.app
	}
	return &r.early[s]
}

// first returns the first space there is.
func (r *Recovery) first() Space {
	if r.early == nil {
		return AppData
	}
	return Initial
}

// NextPN returns the number of the next packet to be sent in space. It stays the same until Sent is called.
func (r *Recovery) NextPN(space Space) uint64 { return r.space(space).next }

// LargestAcked returns the largest packet number that the peer acknowledged in space.
func (r *Recovery) LargestAcked(space Space) (pn uint64, ok bool) {
	s := r.space(space)
	return s.largestAcked, s.anyAcked
}

// Record remembers a frame of the packet being built in space.
func (r *Recovery) Record(space Space, f Frame) { r.space(space).record(f) }

// Recorded returns how many frames have been recorded for the packet being built in space.
func (r *Recovery) Recorded(space Space) int {
	s := r.space(space)
	return int(s.recordHead - s.building)
}

// Abandon forgets what was recorded for a packet that is not sent after all.
func (r *Recovery) Abandon(space Space) {
	s := r.space(space)
	s.recordHead = s.building
}

// Sent tells that the packet numbered NextPN(space), of size bytes, goes out at now with the recorded frames.
func (r *Recovery) Sent(now monotime.Time, space Space, size int, flags Flags) {
	s := r.space(space)
	if s.atBound() {
		r.forgetOldest(space)
	}
	if r.sampling != nil && flags&(InFlight|OffPath) == InFlight {
		snapshot, limited, restart := r.sampling.onSent(now, r.inFlight, size)
		if limited {
			flags |= appLimited
		}
		if restart {
			r.sampling.OnRestart(now)
			r.setPacingRate()
		}
		s.snapshots.building = snapshot
	}
	s.push(sentPacket{sent: now, size: uint16(size), flags: flags})
	if flags&AckEliciting != 0 {
		s.eliciting++
		s.lastElicit = now
		s.plainRun = 0
		if s.probes > 0 {
			s.probes--
		}
		r.arm(now)
	} else {
		s.plainRun++
	}
	if flags&(InFlight|OffPath) == InFlight {
		r.inFlight += size
		r.counters.MaxInFlight = max(r.counters.MaxInFlight, r.inFlight)
		r.sentBytes += uint64(size)
		s.inFlight += size
		if !r.noPacing {
			r.pacer.OnSent(now, size)
		}
		if r.inFlight+r.maxDatagram > r.cc.Window() {
			r.windowFull = now
		}
	}
	if flags&ECT0 != 0 {
		r.ecn.onSent(space)
	}
	if space == AppData && r.skip.due(s.next) {
		s.sentRing.skip()
	}
}

// SendTime returns when the next packet of size bytes may be sent in space, if it is subject to congestion control: now
// or before for at once, later if the pacer holds it, monotime.Never if the congestion window is full. Probes that are
// owed, and packets that are not in flight, need not ask.
func (r *Recovery) SendTime(now monotime.Time, space Space, size int) monotime.Time {
	// Packets of a later space are not acknowledged before the peer has what the earlier ones carry: the handshake
	// would wait for ever for the room that they take, since no probe timeout is armed for lost data. RFC 9002, Section 7, does
	// not allow for that; a few Handshake packets beyond the window are the lesser evil.
	inFlight := r.inFlight
	for later := space + 1; later < NumSpaces; later++ {
		inFlight -= r.space(later).inFlight
	}
	if inFlight+size > r.cc.Window() {
		r.windowFull = now
		return monotime.Never
	}
	if r.space(space).full() {
		return monotime.Never
	}
	if r.noPacing {
		return now
	}
	return r.pacer.Release(now)
}

// setPacingRate makes the pacer follow the window. RFC 9002, Section 7.7: somewhat faster than a window per RTT, so
// that the pacer is not what limits; twice as fast in slow start, since the window doubles in that time.
func (r *Recovery) setPacingRate() {
	if r.noPacing {
		return
	}
	if r.sampling != nil {
		if rate := r.sampling.PacingRate(); rate > 0 {
			r.pacer.SetRate(rate, r.maxDatagram)
			return
		}
	}
	window := uint64(r.cc.Window())
	if r.cc.InSlowStart() {
		window *= 2
	} else {
		window += window / 4
	}
	r.pacer.SetRate(window*uint64(time.Second)/uint64(max(r.rtt.smoothed, 1)), r.maxDatagram)
}

// wantPingAfter is how many packets in a row may be sent that the peer need not acknowledge.
const wantPingAfter = 64

// WantPing reports that the packet about to be sent in space, if it would only carry an ACK, should carry a PING as
// well: the peer has acknowledged nothing for so long that our ACK ranges cannot be pruned (RFC 9000, Section 13.2.4).
func (r *Recovery) WantPing(space Space) bool {
	s := r.space(space)
	return s.plainRun >= wantPingAfter && s.eliciting == 0
}

// onlyAcksAfter is after how many packets in a row that the peer need not acknowledge OnlyAcks holds.
const onlyAcksAfter = 8

// OnlyAcks reports that for some packets nothing was sent in space that the peer would acknowledge, or that would be
// sent again.
func (r *Recovery) OnlyAcks(space Space) bool {
	s := r.space(space)
	return s.plainRun >= onlyAcksAfter && s.eliciting == 0
}

// DropSpace forgets everything about space, whose keys were discarded (RFC 9002, Section 6.4).
func (r *Recovery) DropSpace(space Space) {
	s := r.space(space)
	for pn := s.oldest; pn < s.next; pn++ {
		if p := s.at(pn); p.state == outstanding {
			r.settle(space, pn, p)
		}
	}
	*s = sendSpace{sentRing: sentRing{base: s.next, oldest: s.next, next: s.next}, dropped: true}
	if r.early[Initial].dropped && r.early[Handshake].dropped {
		r.early = nil
	}
	r.ptoCount = 0
	r.timeoutStale = true
}

// Requeue tells h that every frame in flight in space is lost, without regarding that as congestion: after a Retry and
// after rejected 0-RTT (RFC 9002, Sections 6.3 and 6.4). Packet numbers go on.
func (r *Recovery) Requeue(space Space, h Handler) {
	s := r.space(space)
	for pn := s.oldest; pn < s.next; pn++ {
		if p := s.at(pn); p.state == outstanding {
			r.settle(space, pn, p)
			p.state = lost
			p.epoch = 0
			s.tellLost(space, p, h)
		}
	}
	s.oldest = s.next
	s.lossTime = 0
	s.probes = 0
	r.ptoCount = 0
	r.timeoutStale = true
}

// PathState is what was known of a path when it was left, for the case that it comes into use again.
type PathState struct {
	cc       congestion.Controller
	sampling *sampling
	rtt      rtt
}

// Path returns the state of the path in use, which is about to be left.
func (r *Recovery) Path() *PathState { return &PathState{r.cc, r.sampling, r.rtt} }

// Cwnd returns the congestion window of the path in bytes.
func (p *PathState) Cwnd() int { return p.cc.Window() }

// RTT returns what [Recovery.SRTT], MinRTT, RTTVar and LatestRTT returned on the path.
func (p *PathState) RTT() (smoothed, lowest, variation, latest time.Duration) {
	return p.rtt.smoothed, p.rtt.min, p.rtt.variation, p.rtt.latest
}

// ResetPath starts afresh on another path: new controller, RTT unknown; what is in flight on the old one still gets
// acknowledged or lost but counts no more (RFC 9000, Section 9.4).
func (r *Recovery) ResetPath(c congestion.Controller, maxDatagram int) {
	r.useController(c)
	r.rtt.init(0)
	r.beginPath(maxDatagram)
}

// ReturnToPath is ResetPath for a path that was left a short while ago. Whether it carries ECN marks is tested anew, since
// the peer's counts go over all paths.
func (r *Recovery) ReturnToPath(p *PathState, maxDatagram int) {
	r.cc = p.cc
	r.useSampling(p.sampling)
	r.rtt = p.rtt
	r.cc.SetMaxDatagramSize(maxDatagram)
	r.beginPath(maxDatagram)
}

// beginPath lets nothing that was sent so far count.
func (r *Recovery) beginPath(maxDatagram int) {
	r.maxDatagram = maxDatagram
	r.inFlight = 0
	r.windowFull = 0
	for i := r.first(); i < NumSpaces; i++ {
		r.pathStart[i] = r.space(i).next
		r.space(i).inFlight = 0
		r.space(i).persistent = persistentCongestion{}
	}
	r.reorder.init()
	r.losses.begin(false)
	r.large = largeLosses{}
	r.ecn.reset()
	r.pacer = congestion.Pacer{}
	r.setPacingRate()
	r.ptoCount = 0
	r.timeoutStale = true
}

// SetHandshakeKeys tells that Handshake packets can be sent.
func (r *Recovery) SetHandshakeKeys() {
	r.handshakeKeys = true
	r.timeoutStale = true
}

// SetHandshakeConfirmed tells that the handshake is confirmed (RFC 9001, Section 4.1.2).
func (r *Recovery) SetHandshakeConfirmed() {
	r.confirmed = true
	r.peerValidated = true
	r.timeoutStale = true
}

// SetPeerAckDelay tells the peer's transport parameters max_ack_delay and ack_delay_exponent.
func (r *Recovery) SetPeerAckDelay(maxDelay time.Duration, exponent uint8) {
	r.maxAckDelay = maxDelay
	r.ackDelayExp = exponent
	r.timeoutStale = true
}

// SetAmplificationLimited tells whether the server can send nothing before it receives more: no probe timeout is armed
// meanwhile (RFC 9002, Section 6.2.2.1).
func (r *Recovery) SetAmplificationLimited(limited bool) {
	if r.amplLimited != limited {
		r.amplLimited = limited
		r.timeoutStale = true
	}
}

// SetMaxDatagram changes the size of a full packet, after path MTU discovery.
func (r *Recovery) SetMaxDatagram(n int) {
	r.maxDatagram = n
	r.large = largeLosses{}
	r.cc.SetMaxDatagramSize(n)
	r.setPacingRate()
}

// MarkECT0 reports whether packets should be sent with ECT(0): the path is being tested for ECN, or passed
// (RFC 9000, Section 13.4.2).
func (r *Recovery) MarkECT0() bool { return r.ecn.mark() }

// SRTT returns the smoothed RTT of RFC 9002, Section 5.3; before the first sample, the initial RTT.
func (r *Recovery) SRTT() time.Duration { return r.rtt.smoothed }

// MinRTT returns the lowest RTT seen on the path, 0 before the first sample.
func (r *Recovery) MinRTT() time.Duration { return r.rtt.min }

// MaxRTT returns the highest RTT sample of the path, 0 before the first.
func (r *Recovery) MaxRTT() time.Duration { return r.rtt.max }

// DeliveryRate returns at how many bytes per second the path delivered lately, 0 if no controller wants to know.
func (r *Recovery) DeliveryRate() uint64 {
	if r.sampling == nil {
		return 0
	}
	return uint64(r.sampling.rate)
}

// RTTVar returns the mean variation of RTT samples.
func (r *Recovery) RTTVar() time.Duration { return r.rtt.variation }

// LatestRTT returns the latest RTT sample, 0 before the first.
func (r *Recovery) LatestRTT() time.Duration { return r.rtt.latest }

// Cwnd returns the congestion window in bytes.
func (r *Recovery) Cwnd() int { return r.cc.Window() }

// InFlight returns how many bytes are sent and neither acknowledged nor lost.
func (r *Recovery) InFlight() int { return r.inFlight }

// Counters are totals over the connection's life.
type Counters struct {
	PacketsLost, BytesLost, SpuriousLosses, PTOs uint64

	BytesAcked  uint64 // of packets in flight, on whatever path
	MaxInFlight int    // the most bytes there were in flight
	// PathPacketsLost and PathBytesLost are without those that went out on a path that was no longer in use.
	PathPacketsLost, PathBytesLost uint64
}

// Counters returns the totals so far.
func (r *Recovery) Counters() Counters { return r.counters }

// Slack reports whether Shrink would give memory back.
func (r *Recovery) Slack() bool { return r.app.slack() }

// Shrink gives back memory that a burst took and the packets now in flight do not need: for a connection that has
// become idle. Done while it is busy, the memory would only be taken again.
func (r *Recovery) Shrink() {
	r.app.shrink()
	r.timeoutStale = true
}

// settled reports whether nothing depends on the fate of the packets sent: those that are outstanding, if any, only carry
// ACKs, which the peer has no reason to acknowledge.
func (s *sendSpace) settled() bool { return s.eliciting == 0 && s.inFlight == 0 }

func (s *sendSpace) slack() bool {
	if s.settled() {
		return len(s.packets)+len(s.records) > 0
	}
	return s.sentRing.slack()
}

func (s *sendSpace) shrink() {
	if s.settled() {
		s.forget()
		s.lossTime = 0
		return
	}
	s.sentRing.shrink()
}
