package quic

import (
	"github.com/dunlin-quic/dunlin/internal/rangeset"
	"github.com/dunlin-quic/dunlin/internal/wire"
	"github.com/dunlin-quic/dunlin/qlog"
)

// Resets that deliver a part of the stream all the same (draft-ietf-quic-reliable-stream-reset). They are rarely used: what a
// stream needs for one beyond a few bits, its table keeps.

// ResetAt abandons the write half like Reset, but for the first size bytes written, which are delivered before the peer
// learns of the code; if fewer were written, all of them. It may be called again with a smaller size, and so may Reset,
// which is the same with size 0; the code then stays the first one, and a larger size changes nothing.
//
// It reports false, having done nothing, if the peer does not know how to take such a reset: Reset is what is left then.
// A peer tells so in its transport parameters.
func (s *Stream) ResetAt(code, size uint64) bool {
	t := s.table
	if t.err == nil && s.send.active() {
		if !t.peer.resetAt {
			return false
		}
		s.resetAt(code, size)
	}
	return true
}

// resetAt abandons what lies beyond size.
func (s *Stream) resetAt(code, size uint64) {
	h, t := s.send, s.table
	if size == 0 {
		s.reset(code, false)
		return
	}
	if h.state == sendResetAt {
		if size < h.buf.end {
			s.truncate(size)
			h.resetQueued = false
			s.schedule()
			s.resetAtAcked()
		}
		return
	}
	t.count().reset++
	h.code = min(code, wire.MaxVarint)
	h.state = sendResetAt
	s.traceState(false, qlog.StreamDataSent, qlog.Local)
	h.finSent, h.finLost, h.finAcked = false, false, false
	h.wantWrite = false
	s.retract(eventWritable)
	t.waiting.remove(listWaiting, s)
	s.unblock()
	s.truncate(size)
	s.schedule()
	s.resetAtAcked()
}

// truncate makes the stream's data end at size, if it ends later.
func (s *Stream) truncate(size uint64) {
	h, t := s.send, s.table
	if size >= h.buf.end {
		return
	}
	if unsent := h.unsent(); unsent > 0 {
		t.unsent -= unsent - int(max(size, h.next)-h.next)
	}
	h.lost.Remove(size, h.buf.end)
	h.buf.truncate(size)
	t.wakeWriters()
}

// queueResetAt asks for the RESET_STREAM_AT frame once all that is to be delivered has been sent: then flow control allows
// its final size, too.
func (s *Stream) queueResetAt() {
	if h := s.send; h.state == sendResetAt && !h.resetQueued && h.next >= h.buf.end {
		h.resetQueued, h.resetAcked = true, false
		s.sendControl(controlReset)
	}
}

// resetAtAcked ends the sending part if the peer knows the size up to which it gets the stream, and has all of that.
func (s *Stream) resetAtAcked() {
	h := s.send
	if h.state != sendResetAt || !h.resetAcked || h.buf.acked < h.buf.end {
		return
	}
	h.state = sendDataRecvd
	s.traceState(false, qlog.StreamDataReceived, qlog.Remote)
	h.buf.release()
	h.lost = rangeset.Set{}
	s.table.sched.remove(s)
	s.finish()
}

// resetAtFate learns that a RESET_STREAM_AT frame with that reliable size was acknowledged or lost. Only the smallest one
// matters.
func (s *Stream) resetAtFate(reliable uint64, acked bool) {
	h := s.send
	switch {
	case h.state != sendResetAt || reliable != h.buf.end || !h.resetQueued || h.resetAcked:
	case acked:
		h.resetAcked = true
		s.dropControl(controlReset)
		s.resetAtAcked()
	default:
		s.sendControl(controlReset)
	}
}

// resetUnsupported makes ordinary resets of those that the peer turns out not to know.
func (t *streamTable) resetUnsupported() {
	for _, s := range t.streams {
		if s.send.state == sendResetAt {
			s.reset(s.send.code, false)
		}
	}
}

// resetAtByPeer takes a RESET_STREAM_AT frame.
func (s *Stream) resetAtByPeer(f wire.ResetStreamAtFrame) error {
	h, t := s.recv, s.table
	if err := s.account(0, f.FinalSize, true, wire.FrameResetStreamAt); err != nil {
		return err
	}
	if h.state != recvOpen && h.state != recvSizeKnown {
		return nil
	}
	if h.resetAt {
		if !h.stopped && f.Code != h.code {
			return streamStateError(wire.FrameResetStreamAt, "the code of a stream's reset changed")
		}
		if f.ReliableSize >= t.reliable[s.id] {
			return nil
		}
	} else {
		t.count().resetByPeer++
		if h.state == recvOpen {
			h.state = recvSizeKnown
			s.traceState(true, qlog.StreamSizeKnown, qlog.Remote)
			h.final = f.FinalSize
		}
		s.dropControl(controlMaxData)
		h.resetAt = true
		if t.reliable == nil {
			t.reliable = make(map[StreamID]uint64)
		}
	}
	t.reliable[s.id] = f.ReliableSize
	if h.stopped {
		s.consumeAll()
		s.finish()
		return nil
	}
	h.code = f.Code
	if h.buf.have >= f.ReliableSize {
		h.state = recvDataRecvd
		s.traceState(true, qlog.StreamDataReceived, qlog.Remote)
	}
	s.readOn()
	return nil
}

// end returns where the data ends that the reader gets, as far as that is known.
func (s *Stream) end() uint64 {
	switch h := s.recv; {
	case h.resetAt:
		return s.table.reliable[s.id]
	case h.state >= recvSizeKnown:
		return h.final
	}
	return wire.MaxVarint
}

// deliverReset gives the reader, who has everything up to the reliable size, the reset.
func (s *Stream) deliverReset() {
	h := s.recv
	h.state = recvReset
	s.traceState(true, qlog.StreamResetReceived, qlog.Remote)
	h.buf.release()
	s.consumeAll()
	s.dropControl(controlMaxData | controlStop)
	s.notifyReadable()
	s.finish()
}
