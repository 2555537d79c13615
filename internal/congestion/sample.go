package congestion

import "github.com/dunlin-quic/dunlin/internal/monotime"

// Sampler is a Controller that goes by how fast the path delivers. Only for such a one is the delivery of every packet
// measured (draft-ietf-ccwg-bbr, Section 4.1).
type Sampler interface {
	Controller
	// OnRestart hears that a packet is about to go out while nothing is in flight, because the application had nothing to
	// send.
	OnRestart(now monotime.Time)
	// OnLost hears of each lost packet, after OnCongestion did.
	OnLost(Lost)
	// OnMarked hears of each increase of the ECN-CE count, after OnCongestion did.
	OnMarked(now monotime.Time)
	// OnSample hears what an ACK frame tells about the delivery rate, just before OnAck hears of the same frame.
	OnSample(Sample)
	// PacingRate returns how fast packets may go out, in bytes per second; 0 leaves that to the window and the RTT.
	PacingRate() uint64
}

// Sample is what the newest packet that an ACK frame acknowledged tells about the path: the time from when it was sent
// until now is about a round trip.
type Sample struct {
	Delivered uint64 // total bytes acknowledged on the path
	Prior     uint64 // the same when the packet was sent
	// Rate is at how many bytes per second the path delivered meanwhile; 0 if that is not known.
	Rate         float64
	Lost         int  // bytes declared lost meanwhile
	SentInFlight int  // bytes in flight when the packet was sent, with it
	InFlight     int  // bytes in flight now
	AppLimited   bool // the application had too little to send when the packet was sent
	WindowFull   bool // the congestion window was in full use since the packet was sent
}

// Lost describes a packet that was declared lost.
type Lost struct {
	Now          monotime.Time
	Size         int
	PN           uint64
	Delivered    uint64 // total bytes acknowledged on the path
	Lost         int    // bytes declared lost since the packet was sent, with it
	SentInFlight int    // bytes in flight when it was sent, with it
	AppLimited   bool   // the application had too little to send when it was sent
}
