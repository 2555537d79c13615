package quic

import (
	"math"
	"time"

	"github.com/dunlin-quic/dunlin/internal/congestion"
	"github.com/dunlin-quic/dunlin/internal/monotime"
)

// CongestionController is a congestion controller of one's own, of one path: it decides how much may be in flight and how
// fast it goes out. [Config.NewCongestionController] makes one for each path that a connection uses in turn.
//
// Sizes are bytes of UDP payload of whole packets. Rates are bytes per second. Instants are durations since one that is
// the same for all calls by one connection; they never go back. All calls come from the connection's own, one at a
// time; a controller must not block, nor call the connection.
//
// For each ACK frame that acknowledges packets in flight, the calls come in this order: OnCongestion and OnLost for
// packets that the frame shows to be lost, or OnCongestion for marks that it reports; OnPersistentCongestion; OnAck. A
// loss timer that runs out makes the same calls but for OnAck. OnSpurious may come before any of them. Window and
// PacingRate are asked at any time, once per packet or more often: they should return a stored number.
//
// Embed [CongestionBase], so that methods that are added later break nothing.
type CongestionController interface {
	// OnAck hears what an ACK frame newly acknowledged.
	OnAck(CongestionAck)
	// OnCongestion hears that a packet was lost or marked with ECN-CE, once per round trip: of what was sent before one
	// such call, a loss or a mark brings no other (RFC 9002, Section 7.3.2).
	OnCongestion(now time.Duration, marked bool)
	// OnLost hears of every lost packet.
	OnLost(CongestionLoss)
	// OnPersistentCongestion hears that nothing got through for long (RFC 9002, Section 7.6). The window should become
	// two full packets.
	OnPersistentCongestion(now time.Duration)
	// OnSpurious hears that no packet was lost since the last OnCongestion: all of them came late. What was done then
	// can be taken back.
	OnSpurious()
	// OnRestart hears that a packet is about to go out while nothing is in flight, after the application had nothing to
	// send for a while.
	OnRestart(now time.Duration)
	// SetMaxDatagramSize changes the size of a full packet, 1,200 bytes or more.
	SetMaxDatagramSize(bytes int)
	// Window returns how many bytes may be in flight. Less than two full packets counts as two, more than 4 GiB as that.
	Window() int
	// PacingRate returns how fast packets may go out. Zero stands for a quarter more than a window per round trip. Less
	// than a full packet per second counts as that. Config.NoPacing ignores it.
	PacingRate() uint64
}

// CongestionAck is what an ACK frame tells about a path.
type CongestionAck struct {
	Now      time.Duration
	Sent     time.Duration // when the newest packet that was acknowledged was sent
	Bytes    int           // size of the packets that were acknowledged
	InFlight int           // bytes in flight now, without these and without those found lost
	// LatestRTT is a new sample of the round-trip time, or 0 if the frame gave none.
	LatestRTT, SmoothedRTT, MinRTT time.Duration
	// WindowLimited tells that the window was in full use while the packets were in flight. If it was not, their arrival
	// is no reason to widen it (RFC 9002, Section 7.8).
	WindowLimited bool
	// InRecovery tells that the packets were sent before the last OnCongestion.
	InRecovery bool

	// DeliveryRate is how fast the path delivered since the newest packet was sent, or 0 if that is not known.
	DeliveryRate uint64
	// AppLimited tells that the application had too little to send then: the path may deliver faster.
	AppLimited bool
	// Delivered and PriorDelivered are how many bytes the path has delivered in total, now and when the newest packet was
	// sent.
	Delivered, PriorDelivered uint64
	// Lost is how many bytes were found lost since the newest packet was sent, SentInFlight how many were in flight then.
	Lost, SentInFlight int
}

// CongestionLoss is a lost packet.
type CongestionLoss struct {
	Now          time.Duration
	Bytes        int  // its size
	SentInFlight int  // bytes in flight when it was sent, its own included
	Lost         int  // bytes found lost since it was sent, its own included
	AppLimited   bool // the application had too little to send then
}

// CongestionBase does nothing in all methods of [CongestionController] but Window.
type CongestionBase struct{}

// OnAck implements CongestionController.
func (CongestionBase) OnAck(CongestionAck) {}

// OnCongestion implements CongestionController.
func (CongestionBase) OnCongestion(time.Duration, bool) {}

// OnLost implements CongestionController.
func (CongestionBase) OnLost(CongestionLoss) {}

// OnPersistentCongestion implements CongestionController.
func (CongestionBase) OnPersistentCongestion(time.Duration) {}

// OnSpurious implements CongestionController.
func (CongestionBase) OnSpurious() {}

// OnRestart implements CongestionController.
func (CongestionBase) OnRestart(time.Duration) {}

// SetMaxDatagramSize implements CongestionController.
func (CongestionBase) SetMaxDatagramSize(int) {}

// PacingRate implements CongestionController.
func (CongestionBase) PacingRate() uint64 { return 0 }

// newController makes the controller of the path that comes into use.
func (c *Conn) newController(maxDatagram int) congestion.Controller {
	if c.cfg.NewCongestionController != nil {
		if own := c.cfg.NewCongestionController(maxDatagram); own != nil {
			return &ownController{own: own, maxDatagram: maxDatagram}
		}
	}
	switch c.cfg.CongestionControl {
	case NewReno:
		return congestion.NewNewReno(maxDatagram)
	case BBR:
		return congestion.NewBBR(maxDatagram, c.randomUint64())
	}
	return congestion.NewCUBIC(maxDatagram)
}

// ownController makes a CongestionController fit for package recovery.
type ownController struct {
	own         CongestionController
	maxDatagram int
	sample      congestion.Sample
	recovery    monotime.Time // when the last recovery period began
	// pending: a recovery period has begun, and own does not know yet whether because of a loss or of a mark.
	pending bool
}

var _ congestion.Sampler = (*ownController)(nil)

func (o *ownController) OnSample(s congestion.Sample) { o.sample = s }

func (o *ownController) OnAck(a congestion.Ack) {
	s := &o.sample
	o.own.OnAck(CongestionAck{
		Now: time.Duration(a.Now), Sent: time.Duration(a.Sent), Bytes: a.Bytes, InFlight: s.InFlight,
		LatestRTT: a.RTT, SmoothedRTT: a.SRTT, MinRTT: a.MinRTT,
		WindowLimited: !a.AppLimited, InRecovery: a.Sent <= o.recovery,
		DeliveryRate: uint64(s.Rate), AppLimited: s.AppLimited, Delivered: s.Delivered, PriorDelivered: s.Prior,
		Lost: s.Lost, SentInFlight: s.SentInFlight,
	})
}

func (o *ownController) OnCongestion(now, sent monotime.Time) bool {
	if sent <= o.recovery {
		return false
	}
	o.recovery, o.pending = now, true
	return true
}

func (o *ownController) OnMarked(now monotime.Time) { o.tellCongestion(now, true) }

func (o *ownController) OnLost(l congestion.Lost) {
	o.tellCongestion(l.Now, false)
	o.own.OnLost(CongestionLoss{
		Now: time.Duration(l.Now), Bytes: l.Size, SentInFlight: l.SentInFlight, Lost: l.Lost, AppLimited: l.AppLimited,
	})
}

func (o *ownController) tellCongestion(now monotime.Time, marked bool) {
	if o.pending {
		o.pending = false
		o.own.OnCongestion(time.Duration(now), marked)
	}
}

func (o *ownController) OnPersistentCongestion(now monotime.Time) {
	o.recovery = now
	o.own.OnPersistentCongestion(time.Duration(now))
}

func (o *ownController) OnSpurious() { o.own.OnSpurious() }

func (o *ownController) OnRestart(now monotime.Time) { o.own.OnRestart(time.Duration(now)) }

func (o *ownController) SetMaxDatagramSize(n int) {
	o.maxDatagram = n
	o.own.SetMaxDatagramSize(n)
}

func (o *ownController) Window() int {
	return int(min(max(int64(o.own.Window()), int64(2*o.maxDatagram)), math.MaxUint32))
}

// InSlowStart is asked for what follows from it. A controller of one's own that searches sets a rate.
func (o *ownController) InSlowStart() bool { return false }

func (o *ownController) PacingRate() uint64 {
	rate := o.own.PacingRate()
	if rate == 0 {
		return 0
	}
	return max(rate, uint64(o.maxDatagram))
}
