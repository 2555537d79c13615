package quic

import (
	"time"

	"github.com/dunlin-quic/dunlin/internal/monotime"
	"github.com/dunlin-quic/dunlin/internal/recovery"
)

// streamTable holds the streams of a connection: their states, the limits of both sides, what is to be sent in which
// order, and what the application is to be told (RFC 9000, Sections 2 to 4).
type streamTable struct {
	side Side
}

// streamLimits are what the peer may send, from its transport parameters (RFC 9000, Section 18.2): those of this
// connection, or those remembered for 0-RTT.
type streamLimits struct {
	maxData uint64
	// Seen from the peer: bidiLocal for streams that the peer opens, bidiRemote and uni for those that we open.
	bidiLocal, bidiRemote, uni uint64
	maxStreams                 [2]uint64 // by Dir
}

// init makes the table ready for use. cfg has its defaults filled in; its windows and stream limits are what the
// transport parameters must offer.
func (t *streamTable) init(side Side, cfg *Config) { panic("skeleton") }

// setPeerLimits learns the peer's limits, which may only rise (RFC 9000, Section 7.4.1).
func (t *streamTable) setPeerLimits(l streamLimits) { panic("skeleton") }

// setEstimates learns the smoothed RTT and the congestion window in bytes, which size the windows and the send buffers.
func (t *streamTable) setEstimates(srtt time.Duration, cwnd int) { panic("skeleton") }

// open opens a stream, or returns ErrStreamLimit.
func (t *streamTable) open(d Dir) (*Stream, error) { panic("skeleton") }

// The handlers of received frames. Every error is a *TransportError that ends the connection.

func (t *streamTable) handleStream(now monotime.Time, id, offset uint64, data []byte, fin bool) error {
	panic("skeleton")
}
func (t *streamTable) handleReset(id, code, finalSize uint64) error   { panic("skeleton") }
func (t *streamTable) handleStopSending(id, code uint64) error        { panic("skeleton") }
func (t *streamTable) handleMaxData(limit uint64) error               { panic("skeleton") }
func (t *streamTable) handleMaxStreamData(id, limit uint64) error     { panic("skeleton") }
func (t *streamTable) handleMaxStreams(d Dir, limit uint64) error     { panic("skeleton") }
func (t *streamTable) handleDataBlocked(limit uint64) error           { panic("skeleton") }
func (t *streamTable) handleStreamDataBlocked(id, limit uint64) error { panic("skeleton") }
func (t *streamTable) handleStreamsBlocked(d Dir, limit uint64) error { panic("skeleton") }

// pending reports whether appendFrames would write something into an empty packet.
func (t *streamTable) pending() bool { panic("skeleton") }

// appendFrames fills what room w has: control frames first, then STREAM frames in order of urgency. It comes last in a
// packet: a STREAM frame that fills the packet has no Length field.
func (t *streamTable) appendFrames(w *packetWriter, now monotime.Time) { panic("skeleton") }

// frameAcked and frameLost learn the fate of a frame that appendFrames recorded.
func (t *streamTable) frameAcked(f recovery.Frame) { panic("skeleton") }
func (t *streamTable) frameLost(f recovery.Frame)  { panic("skeleton") }

// nextEvent returns the next event for the application.
func (t *streamTable) nextEvent() (Event, bool) { panic("skeleton") }

// close ends all streams: every later call on one returns err, and no event follows.
func (t *streamTable) close(err error) { panic("skeleton") }
