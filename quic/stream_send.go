package quic

import (
	"github.com/dunlin-quic/dunlin/internal/flow"
	"github.com/dunlin-quic/dunlin/internal/rangeset"
	"github.com/dunlin-quic/dunlin/internal/wire"
	"github.com/dunlin-quic/dunlin/qlog"
)

// sendState is the state of a stream's sending part (RFC 9000, Section 3.1).
type sendState uint8

const (
	sendNone       sendState = iota // the peer's unidirectional stream has no sending part here
	sendOpen                        // "Ready" or "Send"
	sendEnding                      // the application has written the end; with it sent, "Data Sent"
	sendResetAt                     // it has reset the stream, and buf holds what is delivered all the same
	sendDataRecvd                   // the peer has everything
	sendResetSent                   // RESET_STREAM is sent or about to be
	sendResetRecvd                  // the peer has it
)

// terminal reports whether nothing more will be sent, nor acknowledgments be waited for.
func (s sendState) terminal() bool {
	return s == sendNone || s == sendDataRecvd || s == sendResetRecvd
}

// sendHalf is the sending part of a stream.
type sendHalf struct {
	buf    sendBuffer
	credit flow.Credit  // used by bytes when they are accepted: what lies in buf may always be sent
	next   uint64       // the first byte never sent; after a reset, the final size, which may lie beyond buf
	lost   rangeset.Set // to be sent again
	code   uint64       // of the reset
	state  sendState
	remote bool // the peer asked for the reset

	finSent, finLost, finAcked bool
	resetQueued, resetAcked    bool // RESET_STREAM_AT with the present reliable size
	wantWrite                  bool // the last TryWrite was cut short
}

// unsent returns how many bytes have been accepted and never sent.
func (h *sendHalf) unsent() int { return max(int(h.buf.end-h.next), 0) }

// active reports whether STREAM frames may be sent.
func (h *sendHalf) active() bool { return h.state >= sendOpen && h.state <= sendResetAt }

// write is TryWrite, or TryLend.
func (s *Stream) write(p []byte, fin, lent bool, owner Releaser) (int, error) {
	if err := s.writeError(); err != nil {
		return 0, err
	}
	h, t := s.send, s.table
	s.retract(eventWritable)
	n := min(len(p), s.writeRoom())
	if n > 0 {
		if lent && n >= minLoan {
			h.buf.lend(p[:n], owner)
		} else {
			h.buf.write(p[:n])
			if owner != nil {
				owner.Release()
			}
		}
		h.credit.Use(uint64(n))
		t.unsent += n
	}
	if fin && n == len(p) {
		h.state = sendEnding
	}
	if n > 0 || h.state == sendEnding {
		s.traceMoved(qlog.Application, qlog.Transport, h.buf.end-uint64(n), n, h.state == sendEnding)
	}
	s.schedule()
	h.wantWrite = n < len(p)
	if !h.wantWrite {
		t.waiting.remove(listWaiting, s)
		s.unblock()
		return n, nil
	}
	s.awaitRoom()
	if n == 0 {
		return 0, ErrWouldBlock
	}
	return n, nil
}

// writeError returns why nothing can be written any more, nil if it can.
func (s *Stream) writeError() error {
	switch h := s.send; {
	case s.table.err != nil:
		return s.table.err
	case h.state == sendNone:
		return ErrDirection
	case h.state == sendOpen:
		return nil
	case h.remote:
		return &StreamError{Remote: true, Code: h.code, Stream: s.id}
	}
	return ErrStreamDone
}

// writeRoom returns how many bytes the stream may take now: what the peer's credit, the stream's own backlog and that of
// the connection allow. The backlog of other streams never takes away streamReserve, so that a short message need not
// wait for the bulk of less urgent streams.
func (s *Stream) writeRoom() int {
	h, t := s.send, s.table
	unsent := h.unsent()
	room := min(t.sendLimit-unsent, max(t.sendLimit-t.unsent, streamReserve-unsent))
	if room <= 0 {
		return 0
	}
	return int(min(uint64(room), h.credit.Available()))
}

// awaitRoom sees to it that a stream that wants to write hears of room: at once if there is enough, when some other
// stream makes room in the connection's backlog, or after the stream's own progress, which calls here again.
func (s *Stream) awaitRoom() {
	h, t := s.send, s.table
	if !h.wantWrite {
		return
	}
	if h.credit.Available() == 0 {
		// RFC 9000, Section 4.1: say so once everything that the limit allows has been sent.
		if h.next == h.buf.end && !h.credit.Told() {
			s.sendControl(controlBlocked)
		}
		return
	}
	unsent := h.unsent()
	switch {
	case unsent > t.sendLimit/2:
	case t.unsent > t.sendLimit/2 && unsent > streamReserve/2:
		t.waiting.push(listWaiting, s)
	default:
		t.waiting.remove(listWaiting, s)
		h.wantWrite = false
		s.notify(eventWritable)
	}
}

// unblock takes back that the peer is or was told that the stream's credit is used up.
func (s *Stream) unblock() {
	s.dropControl(controlBlocked)
	if c := &s.send.credit; c.Told() {
		if t := s.table.trace; t != nil {
			t.event(&qlog.StreamDataBlockedUpdated{ID: uint64(s.id)})
		}
		c.Forget(c.Limit())
		s.table.blocked--
	}
}

// schedule tells the scheduler what there is to send.
func (s *Stream) schedule() {
	h := s.send
	owed, fresh := false, false
	if h.active() {
		fresh = h.next < h.buf.end
		owed = h.finLost || !h.lost.Empty() || h.state == sendEnding && !h.finSent && !fresh
	}
	s.table.sched.update(s, owed, fresh)
	s.queueResetAt()
}

// reset abandons the sending part. The final size is what has been sent so far.
func (s *Stream) reset(code uint64, remote bool) {
	h, t := s.send, s.table
	if !h.active() {
		return
	}
	t.unsent -= h.unsent()
	if h.state != sendResetAt {
		// What was said of a reset before does not change.
		t.count().reset++
		h.code, h.remote = min(code, wire.MaxVarint), remote
	}
	h.state = sendResetSent
	by := qlog.Local
	if remote {
		by = qlog.Remote
	}
	s.traceState(false, qlog.StreamResetSent, by)
	h.buf.release()
	h.lost = rangeset.Set{}
	h.wantWrite = false
	s.retract(eventWritable)
	t.waiting.remove(listWaiting, s)
	t.sched.remove(s)
	s.unblock()
	s.sendControl(controlReset)
	t.wakeWriters()
}

// resetAcked learns that the peer knows of the reset.
func (s *Stream) resetAcked() {
	if s.send.state == sendResetSent {
		s.send.state = sendResetRecvd
		s.traceState(false, qlog.StreamResetReceived, qlog.Remote)
		s.finish()
	}
}

// dataAcked learns that the peer has the bytes from start up to end, and the end of the stream if fin.
func (s *Stream) dataAcked(start, end uint64, fin bool) {
	h := s.send
	if !h.active() {
		return
	}
	h.buf.ack(start, end)
	h.finAcked = h.finAcked || fin
	if h.state == sendResetAt {
		s.resetAtAcked()
	} else if h.finAcked && h.buf.acked == h.buf.end {
		h.state = sendDataRecvd
		s.traceState(false, qlog.StreamDataReceived, qlog.Remote)
		h.buf.release()
		s.table.sched.remove(s)
		s.finish()
		return
	}
	if s.in(listOwed) && h.active() {
		// A packet declared lost has arrived after all: nothing of it need be sent again.
		h.lost.Remove(start, end)
		h.finLost = h.finLost && !h.finAcked
		s.schedule()
	}
}

// dataLost learns that a frame with these bytes was lost.
func (s *Stream) dataLost(start, end uint64, fin bool) {
	h := s.send
	if !h.active() {
		return
	}
	if h.state == sendResetAt {
		// What lies beyond the reliable size is not sent again.
		end = min(end, h.buf.end)
	} else {
		h.finLost = h.finLost || fin && !h.finAcked
	}
	for at := max(start, h.buf.acked); ; {
		gap, ok := h.buf.later.Gap(at, end)
		if !ok {
			break
		}
		h.lost.Add(gap.Start, gap.End)
		at = gap.End
	}
	s.schedule()
}
