package quic

// What becomes of streams whose first data was early data that the server did not take.

// fits reports whether everything written so far stays below limits.
func (t *streamTable) fits(l streamLimits) bool {
	if t.credit.Used() > l.maxData {
		return false
	}
	for d, n := range l.maxStreams {
		if t.local[d].next > n {
			return false
		}
	}
	limit := [2]uint64{Bidi: l.bidiRemote, Uni: l.uni}
	for id, s := range t.streams {
		if s.send.credit.Used() > limit[id.Dir()] {
			return false
		}
	}
	return true
}

// replacePeerLimits makes limits count that may be lower than those before. What was written must fit them.
func (t *streamTable) replacePeerLimits(l streamLimits) {
	t.peer = l
	if !l.resetAt {
		t.resetUnsupported()
	}
	t.credit.Replace(l.maxData)
	for d, limit := range l.maxStreams {
		t.local[d].max = 0
		t.raiseMaxStreams(Dir(d), limit)
		for index := range t.local[d].next {
			if s := t.get(NewStreamID(t.side, Dir(d), index)); s != nil {
				s.unblock()
				s.send.credit.Replace(t.initialCredit(s.id))
				s.awaitRoom()
			}
		}
	}
}

// startOver forgets the streams, all of them opened by this side and unknown to the peer. Every later call on one returns
// err, and no event follows.
func (t *streamTable) startOver(err error) {
	gone := &streamTable{side: t.side, err: err}
	for _, s := range t.streams {
		s.send.buf.release()
		if s.recv.state != recvNone {
			s.recv.buf.release()
		}
		s.table = gone
	}
	var local [2]localStreams
	for d := range local {
		local[d].wanted = t.local[d].wanted
	}
	*t = streamTable{
		side: t.side, streams: make(map[StreamID]*Stream), local: local, remote: t.remote, sendLimit: t.sendLimit, srtt: t.srtt, minRTT: t.minRTT,
		streamWindow: t.streamWindow, maxStreamWindow: t.maxStreamWindow, window: t.window, bytesSent: t.bytesSent,
	}
}
