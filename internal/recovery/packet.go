package recovery

import "github.com/dunlin-quic/dunlin/internal/wire"

// Space is a packet number space (RFC 9000, Section 12.3).
type Space uint8

// The packet number spaces. AppData is shared by 0-RTT and 1-RTT packets.
const (
	Initial Space = iota
	Handshake
	AppData
	NumSpaces = 3
)

func (s Space) String() string {
	switch s {
	case Initial:
		return "initial"
	case Handshake:
		return "handshake"
	}
	return "application_data"
}

// Frame is what must be remembered of a frame that was sent, to act when its packet arrived or was lost. ID, Offset,
// Length and Fin mean what the frame's owner wants them to; for a STREAM frame they are the frame's own.
type Frame struct {
	Type       wire.FrameType
	ID, Offset uint64
	Length     uint32
	Fin        bool
}

// Flags describe a packet that was sent.
type Flags uint8

const (
	// AckEliciting packets contain a frame other than ACK, PADDING and CONNECTION_CLOSE.
	AckEliciting Flags = 1 << iota
	// InFlight packets count for congestion control: ack-eliciting ones and those with PADDING (RFC 9002, Section 2).
	InFlight
	// MTUProbe packets test whether their size passes. Their loss is no sign of congestion (RFC 9000, Section 14.4).
	MTUProbe
	// ECT0 packets were sent with the ECT(0) codepoint.
	ECT0
	// OffPath packets went out on another path than the current one, to probe it: they give no RTT sample and count for
	// no congestion control (RFC 9000, Section 9.4).
	OffPath
)

// Handler hears what became of frames. Every recorded frame is told acknowledged or lost at most once each: lost first
// and acknowledged later where the loss was an error or the frame was repeated in a probe, never the other way round.
// The frames of packets that DropSpace forgets are not told at all.
type Handler interface {
	// FrameAcked: the peer has the frame.
	FrameAcked(Space, Frame)
	// FrameLost: the frame should be sent again if it is still of use: its packet was lost, or a probe timeout needs
	// something to send.
	FrameLost(Space, Frame)
	// MTUProbeAcked and MTUProbeLost tell the fate of a packet sent with the MTUProbe flag on the path that is now in use.
	MTUProbeAcked(size int)
	MTUProbeLost(size int)
}
