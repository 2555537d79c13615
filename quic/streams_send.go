package quic

import (
	"github.com/dunlin-quic/dunlin/internal/monotime"
	"github.com/dunlin-quic/dunlin/internal/recovery"
	"github.com/dunlin-quic/dunlin/internal/wire"
	"github.com/dunlin-quic/dunlin/qlog"
)

// Bits of Stream.control.
const (
	controlReset   uint8 = 1 << iota // RESET_STREAM, or RESET_STREAM_AT
	controlStop                      // STOP_SENDING
	controlMaxData                   // MAX_STREAM_DATA
	controlBlocked                   // STREAM_DATA_BLOCKED
)

// minStreamPayload is the least data worth a STREAM frame at the end of a packet, unless the stream has less.
const minStreamPayload = 32

// sendControl asks for a control frame to be sent.
func (s *Stream) sendControl(frame uint8) {
	s.control |= frame
	s.table.control.push(listControl, s)
}

// dropControl takes back control frames that no longer matter.
func (s *Stream) dropControl(frames uint8) {
	s.control &^= frames
	if s.control == 0 {
		s.table.control.remove(listControl, s)
	}
}

// pending reports whether appendFrames would write something into an empty packet.
func (t *streamTable) pending() bool {
	return t.due != 0 || !t.control.empty() || t.sched.next(t.credit.Available() > 0) != nil || t.dataBlocked()
}

// dataBlocked reports whether the connection's flow control stops new data and the peer was not told so.
func (t *streamTable) dataBlocked() bool {
	return t.credit.Available() == 0 && !t.credit.Told() && t.sched.fresh != 0
}

// isBlocked reports whether the peer's flow control alone stops what the application has written or wants to write.
func (t *streamTable) isBlocked() bool {
	return t.blocked > 0 || t.credit.Available() == 0 && t.sched.fresh != 0
}

// appendFrames fills what room w has: control frames first, then STREAM frames in order of urgency. It comes last in a
// packet, because a STREAM frame that fills the packet has no Length field.
func (t *streamTable) appendFrames(w *packetWriter, now monotime.Time) {
	if t.appendControl(w, now) && t.appendStreamsControl(w, now) {
		for {
			s := t.sched.next(t.credit.Available() > 0)
			if s == nil || !t.appendStream(w, s) {
				break
			}
		}
		if t.dataBlocked() {
			if limit := t.credit.Limit(); w.room() >= wire.LimitLen(limit) {
				w.buf = wire.AppendDataBlocked(w.buf, limit)
				w.record(recovery.Frame{Type: wire.FrameDataBlocked, Offset: limit})
				t.credit.Tell()
				t.count().blockedSent++
				if t.trace != nil {
					t.trace.event(&qlog.ConnectionDataBlockedUpdated{Blocked: true, Reason: qlog.BlockedByConnectionFlow})
				}
			}
		}
	}
	t.wakeWriters()
}

// wakeWriters tells streams that waited for room in the connection's backlog that there is some.
func (t *streamTable) wakeWriters() {
	for t.unsent <= t.sendLimit/2 && !t.waiting.empty() {
		s := t.waiting.head
		t.waiting.remove(listWaiting, s)
		s.awaitRoom()
	}
}

// appendControl writes what is due of the connection's control frames and returns false if some did not fit. Each
// carries the present value, whether or not it was sent before.
func (t *streamTable) appendControl(w *packetWriter, now monotime.Time) bool {
	if t.due == 0 {
		return true
	}
	if t.due&dueMaxData != 0 {
		limit := t.window.Update(now, t.windowRTT(&t.window))
		if w.room() < wire.LimitLen(limit) {
			return false
		}
		w.buf = wire.AppendMaxData(w.buf, limit)
		w.record(recovery.Frame{Type: wire.FrameMaxData, Offset: limit})
		t.due &^= dueMaxData
	}
	for d := Bidi; d <= Uni; d++ {
		if t.due&(dueMaxStreamsBidi<<d) != 0 {
			r := &t.remote[d]
			limit := r.limit()
			if w.room() < wire.LimitLen(limit) {
				return false
			}
			r.max = limit
			w.buf = wire.AppendMaxStreams(w.buf, wire.StreamsFrame{Uni: d == Uni, Limit: limit})
			w.record(recovery.Frame{Type: wire.FrameMaxStreamsBidi + wire.FrameType(d), Offset: limit})
			t.due &^= dueMaxStreamsBidi << d
		}
		if t.due&(dueStreamsBlockedBidi<<d) != 0 {
			l := &t.local[d]
			if w.room() < wire.LimitLen(l.max) {
				return false
			}
			w.buf = wire.AppendStreamsBlocked(w.buf, wire.StreamsFrame{Uni: d == Uni, Limit: l.max})
			w.record(recovery.Frame{Type: wire.FrameStreamsBlockedBidi + wire.FrameType(d), Offset: l.max})
			l.told = true
			t.count().streamsBlockedSent++
			t.due &^= dueStreamsBlockedBidi << d
		}
	}
	return true
}

// appendStreamsControl writes the control frames of streams and returns false if some did not fit.
func (t *streamTable) appendStreamsControl(w *packetWriter, now monotime.Time) bool {
	for {
		s := t.control.head
		if s == nil {
			return true
		}
		for s.control != 0 {
			frame := s.control & -s.control
			if !s.appendControl(w, now, frame) {
				return false
			}
			s.dropControl(frame)
		}
	}
}

// appendControl writes one control frame and returns false if it did not fit.
func (s *Stream) appendControl(w *packetWriter, now monotime.Time, frame uint8) bool {
	t, id := s.table, uint64(s.id)
	switch frame {
	case controlReset:
		if s.send.state == sendResetAt {
			f := wire.ResetStreamAtFrame{ID: id, Code: s.send.code, FinalSize: s.send.next, ReliableSize: s.send.buf.end}
			if w.room() < wire.ResetStreamAtLen(f) {
				return false
			}
			w.buf = wire.AppendResetStreamAt(w.buf, f)
			w.record(recovery.Frame{Type: wire.FrameResetStreamAt, ID: id, Offset: f.ReliableSize})
			return true
		}
		f := wire.ResetStreamFrame{ID: id, Code: s.send.code, FinalSize: s.send.next}
		if w.room() < wire.ResetStreamLen(f) {
			return false
		}
		w.buf = wire.AppendResetStream(w.buf, f)
		w.record(recovery.Frame{Type: wire.FrameResetStream, ID: id})
	case controlStop:
		f := wire.StopSendingFrame{ID: id, Code: s.recv.code}
		if w.room() < wire.StopSendingLen(f) {
			return false
		}
		w.buf = wire.AppendStopSending(w.buf, f)
		w.record(recovery.Frame{Type: wire.FrameStopSending, ID: id})
	case controlMaxData:
		f := wire.StreamLimitFrame{ID: id, Limit: s.recv.window.Update(now, t.windowRTT(&s.recv.window))}
		if w.room() < wire.StreamLimitLen(f) {
			return false
		}
		w.buf = wire.AppendMaxStreamData(w.buf, f)
		w.record(recovery.Frame{Type: wire.FrameMaxStreamData, ID: id, Offset: f.Limit})
		// One stream must not exhaust what all have: the connection's window keeps ahead of the largest.
		size := s.recv.window.Size()
		t.window.Grow(size + size/2)
		if t.window.Due() {
			t.due |= dueMaxData
		}
	case controlBlocked:
		f := wire.StreamLimitFrame{ID: id, Limit: s.send.credit.Limit()}
		if w.room() < wire.StreamLimitLen(f) {
			return false
		}
		w.buf = wire.AppendStreamDataBlocked(w.buf, f)
		w.record(recovery.Frame{Type: wire.FrameStreamDataBlocked, ID: id, Offset: f.Limit})
		s.send.credit.Tell()
		t.blocked++
		t.count().dataBlockedSent++
		if t.trace != nil {
			t.trace.event(&qlog.StreamDataBlockedUpdated{ID: id, Blocked: true, Reason: qlog.BlockedByStreamFlow})
		}
	}
	return true
}

// appendStream writes one STREAM frame and returns false if there is too little room. Lost data goes before new data.
func (t *streamTable) appendStream(w *packetWriter, s *Stream) bool {
	h, id := s.send, uint64(s.id)
	owed := s.in(listOwed)
	start, end := h.next, h.buf.end
	switch {
	case owed && !h.lost.Empty():
		r := h.lost.Range(0)
		start, end = r.Start, r.End
	case owed:
		start = end // nothing but the end of the stream
	default:
		end = min(end, start+t.credit.Available())
	}

	toEnd := w.room() - wire.StreamHeaderToEndLen(id, start)
	if toEnd < int(min(end-start, minStreamPayload)) {
		return false
	}
	n := int(min(end-start, uint64(toEnd)))
	fin := h.state == sendEnding && start+uint64(n) == h.buf.end
	if spare := toEnd - n; spare < wire.VarintLen(uint64(n)) {
		// The frame reaches up to the end of the packet, or so nearly that a Length field would not fit: then PADDING
		// in front makes up the difference.
		w.buf = wire.AppendPadding(w.buf, spare)
		w.buf = wire.AppendStreamHeaderToEnd(w.buf, id, start, fin)
	} else {
		w.buf = wire.AppendStreamHeader(w.buf, id, start, n, fin)
	}
	w.buf = h.buf.appendTo(w.buf, start, n)
	w.record(recovery.Frame{Type: wire.FrameStream, ID: id, Offset: start, Length: uint32(n), Fin: fin})

	if fin {
		if !h.finSent {
			s.traceState(false, qlog.StreamDataSent, qlog.Local)
		}
		h.finSent, h.finLost = true, false
	}
	if owed {
		h.lost.Remove(start, start+uint64(n))
		t.bytesResent += uint64(n)
		w.again = true
	} else {
		h.next += uint64(n)
		t.credit.Use(uint64(n))
		t.unsent -= n
		t.bytesSent += uint64(n)
		t.sched.served(s)
	}
	s.schedule()
	s.awaitRoom()
	return true
}

// frameAcked learns that the peer has a frame that appendFrames recorded.
func (t *streamTable) frameAcked(f recovery.Frame) {
	switch f.Type {
	case wire.FrameStream:
		if s := t.get(StreamID(f.ID)); s != nil {
			s.dataAcked(f.Offset, f.Offset+uint64(f.Length), f.Fin)
		}
	case wire.FrameResetStream:
		if s := t.get(StreamID(f.ID)); s != nil {
			s.resetAcked()
		}
	case wire.FrameResetStreamAt:
		if s := t.get(StreamID(f.ID)); s != nil {
			s.resetAtFate(f.Offset, true)
		}
	case wire.FrameStopSending:
		if s := t.get(StreamID(f.ID)); s != nil {
			s.stopAcked()
		}
	}
}

// frameLost learns that a frame that appendFrames recorded was lost. What it said is said again with present values,
// if it still matters and no later frame has said it (RFC 9000, Section 13.3).
func (t *streamTable) frameLost(f recovery.Frame) {
	switch f.Type {
	case wire.FrameMaxData:
		if f.Offset == t.window.Limit() {
			t.due |= dueMaxData
		}
		return
	case wire.FrameMaxStreamsBidi, wire.FrameMaxStreamsUni:
		d := Dir(f.Type - wire.FrameMaxStreamsBidi)
		if f.Offset == t.remote[d].max {
			t.due |= dueMaxStreamsBidi << d
		}
		return
	case wire.FrameDataBlocked:
		t.credit.Forget(f.Offset)
		return
	case wire.FrameStreamsBlockedBidi, wire.FrameStreamsBlockedUni:
		d := Dir(f.Type - wire.FrameStreamsBlockedBidi)
		if l := &t.local[d]; l.wanted && f.Offset == l.max {
			l.told = false
			t.due |= dueStreamsBlockedBidi << d
		}
		return
	}

	s := t.get(StreamID(f.ID))
	if s == nil {
		return
	}
	switch f.Type {
	case wire.FrameStream:
		s.dataLost(f.Offset, f.Offset+uint64(f.Length), f.Fin)
	case wire.FrameResetStream:
		if s.send.state == sendResetSent {
			s.sendControl(controlReset)
		}
	case wire.FrameResetStreamAt:
		s.resetAtFate(f.Offset, false)
	case wire.FrameStopSending:
		if !s.recv.stopAcked && !s.recv.terminal() {
			s.sendControl(controlStop)
		}
	case wire.FrameMaxStreamData:
		if s.recv.state == recvOpen && !s.recv.stopped && f.Offset == s.recv.window.Limit() {
			s.sendControl(controlMaxData)
		}
	case wire.FrameStreamDataBlocked:
		if f.Offset == s.send.credit.Limit() {
			s.unblock()
			s.awaitRoom()
		}
	}
}
