package quic

import (
	"github.com/dunlin-quic/dunlin/internal/recovery"
)

// packetWriter is a packet being built: frames are appended straight to the caller's datagram buffer, and what must be
// known of them when the packet is acknowledged or lost is recorded beside.
//
// Whoever writes a frame first asks room, then appends to buf at most so many bytes, then records the frame:
//
//	if w.room() < wire.MaxDataLen(v) { return }
//	w.buf = wire.AppendMaxData(w.buf, v)
//	w.record(recovery.Frame{Type: wire.FrameMaxData, Offset: v})
//
// buf always has capacity for limit and for the AEAD tag after it: append never moves it.
type packetWriter struct {
	buf   []byte // the packet so far, header included
	limit int    // len(buf) stays at or below this
	space recovery.Space
	rec   *recovery.Recovery
	// ackEliciting: the packet has a frame other than ACK, PADDING and CONNECTION_CLOSE (RFC 9002, Section 2).
	ackEliciting bool
	again        bool // it has data that was sent before
}

// room returns how many bytes of frames still fit.
func (w *packetWriter) room() int { return w.limit - len(w.buf) }

// record notes an ack-eliciting frame just written; the connection hears of its fate as Frame.Type and the rest say.
func (w *packetWriter) record(f recovery.Frame) {
	w.rec.Record(w.space, f)
	w.ackEliciting = true
}
