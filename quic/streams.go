package quic

import (
	"time"

	"github.com/dunlin-quic/dunlin/internal/flow"
	"github.com/dunlin-quic/dunlin/internal/monotime"
	"github.com/dunlin-quic/dunlin/internal/wire"
	"github.com/dunlin-quic/dunlin/qlog"
)

const (
	// minSendLimit is the lower bound of streamTable.sendLimit, in bytes: enough for the application to write in
	// large pieces.
	minSendLimit = 128 << 10
	// streamReserve is how many unsent bytes a stream may have whatever the others have.
	streamReserve = 4 << 10

	defaultUrgency = 3 // RFC 9218, Section 4.1
)

// streamTable holds the streams of a connection: their states, the limits of both sides, what is to be sent in which
// order, and what the application is to be told (RFC 9000, Sections 2 to 4). Of a stream that is done nothing stays but
// that its ID lies below the number of streams opened so far.
type streamTable struct {
	side    Side
	err     error // why the connection ended
	streams map[StreamID]*Stream
	last    *Stream // the one last looked up
	local   [2]localStreams
	remote  [2]remoteStreams
	peer    streamLimits

	// What the peer may send.
	streamWindow, maxStreamWindow uint64
	early                         bool // the streams that it opens now it opens in 0-RTT packets
	window                        flow.Window
	reliable                      map[StreamID]uint64 // up to where streams are delivered that the peer has reset; made when needed
	srtt, minRTT                  time.Duration

	// What is to be sent.
	credit    flow.Credit // the peer's MAX_DATA
	blocked   int         // streams of which the peer knows that their credit is used up
	unsent    int         // bytes accepted from the application and never sent, of all streams
	sendLimit int         // bounds unsent, of all streams and of each
	sched     streamScheduler
	waiting   streamList // streams that want to write, when unsent has shrunk
	control   streamList // streams with control frames to send
	due       uint8      // bits: control frames of the connection to send

	events    streamList // streams with something to tell the application
	available uint8      // bits by Dir: tell EventStreamsAvailable

	bytesSent, bytesReceived uint64 // of stream data, without what was sent or received again
	bytesResent              uint64
	counters                 *streamCounters // nil if nothing was counted
	trace                    *tracing        // nil unless the connection is traced
}

// localStreams are the streams of one direction that this side opens.
type localStreams struct {
	next uint64 // index of the next stream
	max  uint64 // the peer's MAX_STREAMS
	// wanted: the application wanted to open more than the peer allows. told: the peer knows.
	wanted, told bool
}

// remoteStreams are the streams of one direction that the peer opens.
type remoteStreams struct {
	next  uint64 // index of the next stream
	max   uint64 // the MAX_STREAMS that it knows
	atOne uint64 // how many may be open at a time
	ended uint64 // how many the application has heard the end of
}

// Bits of streamTable.due.
const (
	dueMaxData            uint8 = 1 << iota
	dueMaxStreamsBidi           // shifted by Dir
	dueMaxStreamsUni            //
	dueStreamsBlockedBidi       // shifted by Dir
	dueStreamsBlockedUni        //
)

// streamLimits are what the peer lets this side send, from its transport parameters (RFC 9000, Section 18.2).
type streamLimits struct {
	maxData uint64
	// As the peer sees it: bidiLocal is for streams that the peer opens, bidiRemote and uni for those that we open.
	bidiLocal, bidiRemote, uni uint64
	resetAt                    bool      // it takes RESET_STREAM_AT
	maxStreams                 [2]uint64 // by Dir
}

// init makes the table ready for use. cfg has its defaults filled in; the transport parameters must offer its windows
// and numbers of streams, negative ones as 0.
func (t *streamTable) init(side Side, cfg *Config) {
	*t = streamTable{side: side, streams: make(map[StreamID]*Stream), sendLimit: minSendLimit}
	t.streamWindow = uint64(max(cfg.StreamWindow, 0))
	t.maxStreamWindow = uint64(max(cfg.MaxStreamWindow, 0))
	t.window.Init(uint64(max(cfg.ConnWindow, 0)), uint64(max(cfg.MaxConnWindow, 0)))
	for d, n := range [2]int{Bidi: cfg.MaxBidiStreams, Uni: cfg.MaxUniStreams} {
		limit := min(uint64(max(n, 0)), wire.MaxStreams)
		t.remote[d] = remoteStreams{max: limit, atOne: limit}
	}
}

// setPeerLimits learns the peer's limits. They may rise when 0-RTT used remembered ones, but not fall (RFC 9000,
// Section 7.4.1).
func (t *streamTable) setPeerLimits(l streamLimits) {
	t.peer = l
	t.credit.Raise(l.maxData)
	for d, limit := range l.maxStreams {
		for index := range t.local[d].next {
			if s := t.get(NewStreamID(t.side, Dir(d), index)); s != nil {
				s.raiseCredit(t.initialCredit(s.id))
			}
		}
		t.raiseMaxStreams(Dir(d), limit)
	}
}

// setEstimates learns the smoothed and the lowest RTT, and the congestion window in bytes: the ones pace the growth of
// windows, the other tells how much unsent data is worth keeping ready.
func (t *streamTable) setEstimates(srtt, minRTT time.Duration, cwnd int) {
	t.srtt, t.minRTT = srtt, minRTT
	t.sendLimit = max(minSendLimit, cwnd)
}

const (
	// cachedWindow is a window whose data processors still have in their caches when it is read. At 10 Gbit/s it lasts for
	// more than a millisecond, which is what hosts may take to schedule who reads it.
	cachedWindow = 2 << 20
	// maxQueueing is by how much waiting in queues may make the RTT longer before it stops counting for larger windows.
	maxQueueing = 2
)

// windowRTT returns the RTT that paces the growth of w. On a fast path most of the smoothed RTT is time in the buffers of
// the two hosts. Windows that grow by it grow to their maximum and only make these buffers longer: data leaves the caches
// before it is read, mailboxes overflow, and a byte costs a tenth of CPU more.
func (t *streamTable) windowRTT(w *flow.Window) time.Duration {
	if w.Size() < cachedWindow || t.minRTT == 0 {
		return t.srtt
	}
	return min(t.srtt, maxQueueing*t.minRTT)
}

// initialCredit returns how much the peer's transport parameters let this side send on a stream.
func (t *streamTable) initialCredit(id StreamID) uint64 {
	switch local := id.Initiator() == t.side; {
	case local && id.Dir() == Uni:
		return t.peer.uni
	case local:
		return t.peer.bidiRemote
	case id.Dir() == Bidi:
		return t.peer.bidiLocal
	}
	return 0
}

// open opens a stream, or returns ErrStreamLimit.
func (t *streamTable) open(d Dir) (*Stream, error) {
	if t.err != nil {
		return nil, t.err
	}
	l := &t.local[d]
	if l.next >= l.max {
		l.wanted = true
		if !l.told {
			t.due |= dueStreamsBlockedBidi << d
		}
		return nil, ErrStreamLimit
	}
	s := t.add(NewStreamID(t.side, d, l.next))
	l.next++
	return s, nil
}

// add makes a stream that has just been opened by either side.
func (t *streamTable) add(id StreamID) *Stream {
	local := id.Initiator() == t.side
	sends, receives := local || id.Dir() == Bidi, !local || id.Dir() == Bidi
	s := newStream(sends, receives)
	s.table, s.id, s.heapIndex = t, id, -1
	s.urgency, s.incremental = defaultUrgency, true
	s.early = t.early
	if sends {
		s.send.state = sendOpen
		s.send.credit.Raise(t.initialCredit(id))
	}
	if receives {
		s.recv.state = recvOpen
		s.recv.window.Init(t.streamWindow, t.maxStreamWindow)
		s.recv.armed = true
	}
	t.streams[id] = s
	if t.trace != nil {
		by := qlog.Remote
		if local {
			by = qlog.Local
		}
		if sends {
			s.traceState(false, qlog.StreamOpen, by)
		}
		if receives {
			s.traceState(true, qlog.StreamOpen, by)
		}
	}
	return s
}

// get returns the stream with the ID, nil if there is none or it is done.
func (t *streamTable) get(id StreamID) *Stream {
	if s := t.last; s != nil && s.id == id {
		return s
	}
	s := t.streams[id]
	if s != nil {
		t.last = s
	}
	return s
}

// sending and receiving return the stream that the peer names in a frame about the part that we send or receive with,
// nil if it is done. If it is the peer's to open, it is opened now, and all of its kind with lower IDs.

func (t *streamTable) sending(id StreamID, ft wire.FrameType) (*Stream, error) {
	// RFC 9000, Sections 19.5 and 19.10.
	if t.isRemote(id) && id.Dir() == Uni {
		return nil, streamStateError(ft, "frame for the sending part of a receive-only stream")
	}
	return t.named(id, ft)
}

func (t *streamTable) receiving(id StreamID, ft wire.FrameType) (*Stream, error) {
	// RFC 9000, Sections 19.4, 19.8 and 19.13.
	if !t.isRemote(id) && id.Dir() == Uni {
		return nil, streamStateError(ft, "frame for the receiving part of a send-only stream")
	}
	return t.named(id, ft)
}

func (t *streamTable) isRemote(id StreamID) bool { return id.Initiator() != t.side }

func streamStateError(ft wire.FrameType, reason string) error {
	return &TransportError{Code: StreamStateError, FrameType: ft, Reason: reason}
}

func (t *streamTable) named(id StreamID, ft wire.FrameType) (*Stream, error) {
	if s := t.get(id); s != nil {
		return s, nil
	}
	d, index := id.Dir(), id.Index()
	if !t.isRemote(id) {
		if index >= t.local[d].next {
			return nil, streamStateError(ft, "frame for a stream that we have not opened")
		}
		return nil, nil
	}
	r := &t.remote[d]
	if index >= r.max {
		// RFC 9000, Section 4.6.
		return nil, &TransportError{Code: StreamLimitError, FrameType: ft, Reason: "stream beyond the limit"}
	}
	if index < r.next {
		return nil, nil
	}
	// RFC 9000, Section 3.2: streams of lower IDs are opened first.
	var s *Stream
	for ; r.next <= index; r.next++ {
		s = t.add(NewStreamID(t.side.Peer(), d, r.next))
		s.notify(eventOpened)
	}
	return s, nil
}

// finish takes the stream out of the table if both halves are done.
func (s *Stream) finish() {
	t := s.table
	if s.closed || !s.send.state.terminal() || !s.recv.terminal() {
		return
	}
	s.closed = true
	if t.trace != nil {
		s.traceClosed()
	}
	delete(t.streams, s.id)
	if s.recv.resetAt {
		delete(t.reliable, s.id)
	}
	if t.last == s {
		t.last = nil
	}
	s.dropControl(^uint8(0))
	if s.recv.state != recvNone {
		s.recv.buf.release()
	}
	s.notify(eventClosed)
}

// ended learns that the application knows of a stream's end: the peer may open another one. Counting from here and not
// from the frame that ended the stream keeps a peer that opens and ends streams from running ahead of the application.
func (t *streamTable) ended(id StreamID) {
	if !t.isRemote(id) {
		return
	}
	d := id.Dir()
	t.remote[d].ended++
	if t.remote[d].raiseDue() {
		t.due |= dueMaxStreamsBidi << d
	}
}

// raiseDue reports whether the peer should be allowed more streams: it could use more than half of those that may be
// open at a time, and knows of no more.
func (r *remoteStreams) raiseDue() bool {
	return r.limit() > r.max && r.max-r.next <= r.atOne/2
}

// limit is the MAX_STREAMS to advertise.
func (r *remoteStreams) limit() uint64 { return min(r.atOne+r.ended, wire.MaxStreams) }

// raiseMaxStreams learns how many streams the peer lets us open.
func (t *streamTable) raiseMaxStreams(d Dir, limit uint64) {
	l := &t.local[d]
	if limit <= l.max {
		return
	}
	l.max = limit
	l.told = false
	t.due &^= dueStreamsBlockedBidi << d
	if l.wanted {
		l.wanted = false
		t.available |= 1 << d
	}
}

// raiseCredit learns how much the peer lets the stream send.
func (s *Stream) raiseCredit(limit uint64) {
	if limit > s.send.credit.Limit() {
		s.unblock()
		s.send.credit.Raise(limit)
		s.awaitRoom()
	}
}

// consume gives back n bytes of the connection's window.
func (t *streamTable) consume(n uint64) {
	t.window.Consume(n)
	if t.window.Due() {
		t.due |= dueMaxData
	}
}

// The handlers of received frames. Every error is a *TransportError that ends the connection.

func (t *streamTable) handleStream(now monotime.Time, id, offset uint64, data []byte, fin bool) error {
	s, err := t.receiving(StreamID(id), wire.FrameStream)
	if s == nil {
		return err
	}
	return s.receive(now, offset, data, fin)
}

func (t *streamTable) handleReset(id, code, finalSize uint64) error {
	s, err := t.receiving(StreamID(id), wire.FrameResetStream)
	if s == nil {
		return err
	}
	return s.resetByPeer(code, finalSize)
}

func (t *streamTable) handleResetAt(f wire.ResetStreamAtFrame) error {
	s, err := t.receiving(StreamID(f.ID), wire.FrameResetStreamAt)
	if s == nil {
		return err
	}
	if f.ReliableSize == 0 {
		return s.resetByPeer(f.Code, f.FinalSize)
	}
	return s.resetAtByPeer(f)
}

// handleStopSending answers with RESET_STREAM (RFC 9000, Section 3.5) as long as not all data is acknowledged: what the
// peer does not read need not be sent again either.
func (t *streamTable) handleStopSending(id, code uint64) error {
	s, err := t.sending(StreamID(id), wire.FrameStopSending)
	if s == nil {
		return err
	}
	if s.send.active() {
		t.count().stoppedByPeer++
		s.reset(code, true)
		s.notify(eventWritable)
	}
	return nil
}

func (t *streamTable) handleMaxData(limit uint64) error {
	if t.credit.Told() && limit > t.credit.Limit() && t.trace != nil {
		t.trace.event(&qlog.ConnectionDataBlockedUpdated{})
	}
	t.credit.Raise(limit)
	return nil
}

func (t *streamTable) handleMaxStreamData(id, limit uint64) error {
	s, err := t.sending(StreamID(id), wire.FrameMaxStreamData)
	if s == nil {
		return err
	}
	s.raiseCredit(limit)
	return nil
}

func (t *streamTable) handleMaxStreams(d Dir, limit uint64) error {
	// RFC 9000, Section 19.11.
	if limit > wire.MaxStreams {
		return &TransportError{Code: FrameEncodingError, FrameType: wire.FrameMaxStreamsBidi + wire.FrameType(d),
			Reason: "more streams than there are IDs"}
	}
	t.raiseMaxStreams(d, limit)
	return nil
}

// The three frames by which the peer says that it is blocked call for nothing: limits rise when the application reads
// and when streams end, whatever the peer says (RFC 9000, Section 4.2). They are checked all the same.

func (t *streamTable) handleDataBlocked(limit uint64) error {
	t.count().blockedReceived++
	return nil
}

func (t *streamTable) handleStreamDataBlocked(id, limit uint64) error {
	t.count().dataBlockedReceived++
	_, err := t.receiving(StreamID(id), wire.FrameStreamDataBlocked)
	return err
}

func (t *streamTable) handleStreamsBlocked(d Dir, limit uint64) error {
	t.count().streamsBlockedReceived++
	// RFC 9000, Section 19.14.
	if limit > wire.MaxStreams {
		return &TransportError{Code: FrameEncodingError, FrameType: wire.FrameStreamsBlockedBidi + wire.FrameType(d),
			Reason: "more streams than there are IDs"}
	}
	return nil
}

// close ends all streams: every later call on one returns err, and no event follows.
func (t *streamTable) close(err error) {
	if t.err != nil {
		return
	}
	t.err = err
	for _, s := range t.streams {
		if s.send.state != sendNone {
			s.send.buf.release()
		}
		if s.recv.state != recvNone {
			s.recv.buf.release()
		}
	}
	*t = streamTable{side: t.side, err: err, bytesSent: t.bytesSent, bytesReceived: t.bytesReceived}
}
