package quic

import (
	"io"

	"github.com/dunlin-quic/dunlin/internal/flow"
	"github.com/dunlin-quic/dunlin/internal/monotime"
	"github.com/dunlin-quic/dunlin/internal/wire"
	"github.com/dunlin-quic/dunlin/qlog"
)

// recvState is the state of a stream's receiving part (RFC 9000, Section 3.2).
type recvState uint8

const (
	recvNone      recvState = iota // our unidirectional stream has no receiving part here
	recvOpen                       // "Recv"
	recvSizeKnown                  // the end has arrived, not yet all before it
	recvDataRecvd                  // everything has arrived
	recvDataRead                   // everything has been read
	recvReset                      // "Reset Recvd" and "Reset Read"
)

// recvHalf is the receiving part of a stream.
type recvHalf struct {
	buf    recvBuffer
	window flow.Window // Received is the highest offset that has arrived
	final  uint64      // from recvSizeKnown on
	code   uint64      // of the peer's reset, or of our own STOP_SENDING if stopped
	state  recvState

	stopped   bool // the application reads no more
	stopAcked bool // and the peer knows
	resetAt   bool // the peer has reset the stream, and delivers it up to streamTable.reliable
	armed     bool // TryRead has said ErrWouldBlock since the application last heard that there is something
}

// terminal reports whether nothing more is expected from the peer or owed to it. A part that the application stopped
// is done when its final size is known, so that the connection's flow control is settled, and the peer knows that it
// need not send the rest (RFC 9000, Section 3.5).
func (h *recvHalf) terminal() bool {
	switch h.state {
	case recvNone, recvDataRead, recvReset:
		return true
	case recvSizeKnown:
		return h.stopped && h.stopAcked
	}
	return false
}

// readable reports whether there is something to read: data, the end or an error.
func (h *recvHalf) readable() bool {
	return h.state >= recvDataRecvd || h.buf.have > h.buf.read
}

// account checks that the peer may send up to offset end, which is the final size if final, and counts it.
func (s *Stream) account(now monotime.Time, end uint64, final bool, ft wire.FrameType) error {
	h, t := s.recv, s.table
	highest := h.window.Received()
	// RFC 9000, Section 4.5: a final size, once known, does not change, and nothing lies beyond it.
	if h.state >= recvSizeKnown {
		if end > h.final || final && end != h.final {
			return &TransportError{Code: FinalSizeError, FrameType: ft, Reason: "the final size of a stream changed"}
		}
		return nil
	}
	if final && end < highest {
		return &TransportError{Code: FinalSizeError, FrameType: ft, Reason: "data beyond the final size of a stream"}
	}
	if end <= highest {
		return nil
	}
	// RFC 9000, Section 4.1.
	if !h.window.Receive(now, end-highest) {
		return &TransportError{Code: FlowControlError, FrameType: ft, Reason: "stream data beyond the stream's limit"}
	}
	if !t.window.Receive(now, end-highest) {
		return &TransportError{Code: FlowControlError, FrameType: ft, Reason: "stream data beyond the connection's limit"}
	}
	return nil
}

// errNoRoom tells that a frame asks for more than there is room for at the moment, which is nobody's fault. Its packet is
// dropped without an acknowledgment: the peer will send again what was in it.
var errNoRoom = &TransportError{Code: InternalError, Reason: "no room"}

// receive takes the contents of a STREAM frame.
func (s *Stream) receive(now monotime.Time, offset uint64, data []byte, fin bool) error {
	h, t := s.recv, s.table
	end := offset + uint64(len(data))
	if err := s.account(now, end, fin, wire.FrameStream); err != nil {
		return err
	}
	if h.state != recvOpen && h.state != recvSizeKnown {
		return nil
	}
	if fin && h.state == recvOpen {
		h.state = recvSizeKnown
		s.traceState(true, qlog.StreamSizeKnown, qlog.Remote)
		h.final = end
		s.dropControl(controlMaxData)
	}
	if h.stopped {
		s.consumeAll()
		s.finish()
		return nil
	}
	if h.resetAt {
		// Nobody gets what lies beyond.
		data = data[:min(uint64(len(data)), max(t.reliable[s.id], offset)-offset)]
	}
	fresh, ok := h.buf.write(offset, data)
	if !ok {
		return errNoRoom
	}
	t.bytesReceived += uint64(fresh)
	if h.state == recvSizeKnown && h.buf.have >= s.end() {
		h.state = recvDataRecvd
		s.traceState(true, qlog.StreamDataReceived, qlog.Remote)
	}
	if h.readable() {
		s.notifyReadable()
	}
	s.readOn()
	return nil
}

// resetByPeer takes a RESET_STREAM frame. Data that was not read by then is lost to the application, unless all had
// arrived: then the reset comes too late to matter (RFC 9000, Section 3.2).
func (s *Stream) resetByPeer(code, finalSize uint64) error {
	h, t := s.recv, s.table
	// What a reset skips says nothing of the pace of data: no time is given.
	if err := s.account(0, finalSize, true, wire.FrameResetStream); err != nil {
		return err
	}
	if h.state != recvOpen && h.state != recvSizeKnown {
		return nil
	}
	if h.resetAt && !h.stopped && code != h.code {
		return streamStateError(wire.FrameResetStream, "the code of a stream's reset changed")
	}
	if !h.resetAt {
		t.count().resetByPeer++
	}
	h.state = recvReset
	s.traceState(true, qlog.StreamResetReceived, qlog.Remote)
	h.final = finalSize
	h.buf.release()
	s.consumeAll()
	s.dropControl(controlMaxData | controlStop)
	if !h.stopped {
		h.code = code
		s.notifyReadable()
	}
	s.finish()
	return nil
}

// stopSending is StopSending.
func (s *Stream) stopSending(code uint64) {
	h := s.recv
	if s.table.err != nil || h.stopped || h.state == recvNone || h.state >= recvDataRead {
		return
	}
	h.stopped = true
	h.code = min(code, wire.MaxVarint)
	h.buf.release()
	s.consumeAll()
	s.retract(eventReadable)
	s.dropControl(controlMaxData)
	if h.state == recvDataRecvd {
		h.state = recvDataRead
		s.finish()
		return
	}
	s.table.count().stopped++
	s.sendControl(controlStop)
}

// stopAcked learns that the peer knows that we read no more.
func (s *Stream) stopAcked() {
	s.recv.stopAcked = true
	s.finish()
}

// consumeAll gives the connection's flow control back what the application will not read.
func (s *Stream) consumeAll() {
	w := &s.recv.window
	n := w.Received() - w.Consumed()
	w.Consume(n)
	s.table.consume(n)
}

// peek is Peek.
func (s *Stream) peek() ([]byte, error) {
	h := s.recv
	switch {
	case s.table.err != nil:
		return nil, s.table.err
	case h.state == recvNone:
		return nil, ErrDirection
	case h.stopped || h.state == recvReset:
		s.retract(eventReadable)
		return nil, &StreamError{Remote: !h.stopped, Code: h.code, Stream: s.id}
	case h.buf.have > h.buf.read:
		return s.next(), nil
	case h.state == recvDataRead:
		s.retract(eventReadable)
		return nil, io.EOF
	}
	h.armed = true
	return nil, ErrWouldBlock
}

// next returns the next bytes in order, as far as they lie together in memory and are to be delivered.
func (s *Stream) next() []byte {
	h := s.recv
	if h.state == recvReset {
		return nil
	}
	data := h.buf.peek()
	if h.resetAt {
		data = data[:min(uint64(len(data)), s.end()-h.buf.read)]
	}
	return data
}

// discard is Discard, with n no more than has arrived in order.
func (s *Stream) discard(n int) {
	h := s.recv
	s.traceMoved(qlog.Transport, qlog.Application, h.buf.read, n, false)
	h.buf.discard(n)
	h.window.Consume(uint64(n))
	s.table.consume(uint64(n))
	if h.state == recvOpen && h.window.Due() {
		s.sendControl(controlMaxData)
	}
	s.readOn()
}

// readOn ends the receiving part when everything has arrived and been read.
func (s *Stream) readOn() {
	h := s.recv
	if h.resetAt && !h.stopped && h.state <= recvDataRecvd && h.buf.read >= s.end() {
		s.deliverReset()
	} else if h.state == recvDataRecvd && h.buf.read == h.final {
		h.state = recvDataRead
		s.traceState(true, qlog.StreamDataRead, qlog.Local)
		s.finish()
	}
}
