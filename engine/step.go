package engine

import (
	"runtime"
	"slices"
	"time"

	"github.com/dunlin-quic/dunlin/quic"
)

const (
	// packetsPerRound bounds what a round receives before it answers: acknowledgments do not wait for a whole mailbox.
	packetsPerRound = 8
	// sendsPerRound bounds the GSO sends between looks into the mailbox, to about 128 datagrams.
	sendsPerRound = 3
	// maxSegments is what one GSO send takes.
	maxSegments = 64
	// maxSegmentsSingly is how many datagrams are prepared at a time where each takes a system call.
	maxSegmentsSingly = 16
)

// step does everything that is to be done now, in rounds: receive what the mailbox holds, do what is due, let the
// application read and write, transmit. It ends with the first round that moves nothing, and returns how many of its rounds
// are left: 0 means that there is more to do. It also ends when the application has left tasks to a router; what they write
// is for the next step.
func (w *worker) step(rounds int) int {
	buf := sendBuffers.Get().(*[sendBufferSize]byte)
	defer sendBuffers.Put(buf)
	var began time.Time
	for ; rounds > 0; rounds-- {
		now := time.Now()
		w.session.now = now
		if began.IsZero() {
			began = now
		}
		w.served.Store(w.tickets.Load())
		got := w.mailbox.take()
		if w.conn == nil && !w.start(now) {
			got.refuseCalls()
			w.mailbox.releaseAll(got.head)
			return rounds
		}
		moved := w.receive(now, &got)
		w.handleTimeout(now)
		w.obey(now, &got)
		w.serve(got.calls)
		if len(w.party.tasks) > 0 {
			return rounds
		}
		if w.expecting && w.established && w.party.router != nil {
			began = began.Add(w.awaitWriters())
			w.takeAlong(now)
		}
		w.expecting = false
		moved = w.transmit(now, buf[:]) || moved
		w.watched.answered(w)
		w.notice()
		// RFC 9000, Section 10.2: before sockets are closed nobody need wait for packets that would not be answered anyway.
		if w.over = w.over || w.leaving && w.conn.Draining(); w.over {
			return rounds
		}
		if !moved && w.backlog.head == nil {
			w.settle(now)
			w.judge(now.Sub(began))
			return rounds
		}
	}
	return 0
}

// start makes the connection of an accepted attempt.
func (w *worker) start(now time.Time) bool {
	conn, err := quic.NewServer(now, w.cfg, *w.accept)
	w.accept = nil
	if err != nil {
		w.log.Error("no connection can be made", "error", err)
		w.closed(err)
		w.over = true
		return false
	}
	w.conn = conn
	w.endpointEvents()
	return true
}

// receive passes packets to the connection.
func (w *worker) receive(now time.Time, got *mail) bool {
	w.backlog.addPackets(got)
	if w.backlog.head == nil {
		return false
	}
	for range packetsPerRound {
		p := w.backlog.takePacket()
		if p == nil {
			break
		}
		w.via = p.via
		if w.side == quic.Client {
			// A client's path is named by what its socket is bound to: from which of the host's addresses the system
			// chose to send is none of the connection's business.
			p.in.Path.Local = p.via.local
		}
		if w.watched == nil || w.complete {
			w.conn.Receive(now, p.in)
		} else {
			w.receiveWatched(now, p)
		}
		w.mailbox.release(p)
	}
	w.endpointEvents()
	return true
}

func (w *worker) handleTimeout(now time.Time) {
	if at, ok := w.conn.NextTimeout(); ok && !at.After(now) {
		w.conn.HandleTimeout(now)
		w.endpointEvents()
	}
}

// obey does what other goroutines asked for.
func (w *worker) obey(now time.Time, got *mail) {
	if got.drain {
		w.drain, w.leaving = true, true
	}
	if got.refused != nil && !w.conn.Established() {
		got.end = ending{abandon, got.refused}
	}
	if got.end.how == goOn {
		return
	}
	w.conn.Close(now, got.end.err)
	switch got.end.how {
	case closeOnce:
		w.over = true // once this round has transmitted
	case abandon:
		w.cause = got.end.err
		w.over = true
	}
	w.endpointEvents()
}

// transmit sends what the connection has to send, for as long as a round may.
func (w *worker) transmit(now time.Time, buf []byte) (sent bool) {
	if w.cause != nil {
		return false
	}
	segments := maxSegmentsSingly
	if w.via.sock.Capabilities().GSO {
		segments = maxSegments
	}
	for range sendsPerRound {
		t, ok := w.conn.PollTransmit(now, buf, segments)
		// What was just written may name a new connection ID: the way to it must be known before the peer uses it.
		w.endpointEvents()
		if !ok {
			break
		}
		sent = true
		w.send(t, buf[:t.Len])
	}
	return sent
}

// awaitWriters lets those goroutines go first that the application has just given something to do, for the round to take
// along what they leave: an answer goes out in the datagram that acknowledges the request, and they need run no step for
// it. It returns how long they took, which is not to be held against the connection: while others are ready to run, a router
// that did not wait for them would wait for a processor. But should they take long, then its next steps do not wait.
func (w *worker) awaitWriters() (waited time.Duration) {
	if w.hasty > 0 {
		w.hasty--
		return 0
	}
	from := time.Now()
	w.gathering.Store(true)
	runtime.Gosched()
	w.gathering.Store(false)
	if waited = time.Since(from); waited > inlineTime {
		w.hasty = slowSteps
	}
	return waited
}

// takeAlong does what goroutines have left since the round began.
func (w *worker) takeAlong(now time.Time) {
	t := w.tickets.Load()
	wrote := t != w.served.Load()
	w.served.Store(t)
	got := w.mailbox.take()
	w.backlog.addPackets(&got) // for the next round
	w.obey(now, &got)
	for _, c := range got.calls {
		w.runCall(c)
	}
	if wrote {
		w.tell(processWrites)
	}
}

// settle sets the timer for what is due next.
func (w *worker) settle(now time.Time) {
	at, ok := w.conn.NextTimeout()
	if w.established && !w.ended {
		if d, set := w.nextDeadline(); set && (!ok || d.Before(at)) {
			at, ok = d, true
		}
	}
	if ok {
		w.arm(now, at)
	}
}

// endpointEvents keeps the routes to this worker.
func (w *worker) endpointEvents() {
	for {
		switch e := w.conn.NextEndpointEvent(); e.Kind {
		case quic.EndpointNone:
			return
		case quic.EndpointCIDIssued:
			w.route(e.CID)
		case quic.EndpointCIDRetired:
			w.unroute(e.CID)
		case quic.EndpointResetTokenAdded:
			w.tokens = append(w.tokens, e.Token)
			w.e.routes.resets.add(e.Token, w)
		case quic.EndpointResetTokenRemoved:
			w.e.routes.resets.remove(e.Token, w)
			w.tokens = remove(w.tokens, e.Token)
		case quic.EndpointDrained:
			w.over = true
		}
	}
}

// route makes this worker the one that packets for id are for.
func (w *worker) route(id quic.ConnectionID) {
	if w.e.routes.add(id, w) == w && !slices.Contains(w.ids, id) {
		w.ids = append(w.ids, id)
	}
}

func (w *worker) unroute(id quic.ConnectionID) {
	w.e.routes.remove(id, w)
	w.ids = remove(w.ids, id)
}

func remove[T comparable](s []T, v T) []T {
	if i := slices.Index(s, v); i >= 0 {
		return slices.Delete(s, i, i+1)
	}
	return s
}

// finish leaves nothing behind. It is the last thing that is done with a worker.
func (w *worker) finish() {
	w.disarm()
	for _, id := range w.ids {
		w.e.routes.remove(id, w)
	}
	for _, t := range w.tokens {
		w.e.routes.resets.remove(t, w)
	}
	w.ids, w.tokens = nil, nil
	w.mailbox.releaseAll(w.backlog.head)
	w.backlog = mail{}
	w.mailbox.close()
	w.endHandshake()
	w.conn = nil
	w.closes()
	w.e.forget(w)
}

// closed tells the application, and everybody who waits, that the connection has ended.
func (w *worker) closed(err error) {
	if w.ended {
		return
	}
	w.ended = true
	w.err = err
	w.audit = w.account(time.Now(), err)
	w.endHandshake()
	if w.moves != nil {
		w.moves.settle(func(*move) (error, bool) { return err, true })
	}
	w.log.Debug("connection closed", "error", err)
	if w.app != nil {
		_ = w.callback(onClose) // a panic in OnClose was logged, and there is nothing left to close
	}
	close(w.done)
}

func (w *worker) endHandshake() {
	if w.handshaking {
		w.handshaking = false
		w.e.handshakes.Add(-1)
	}
}
