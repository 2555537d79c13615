package recovery

import (
	"time"

	"github.com/dunlin-quic/dunlin/internal/monotime"
)

// maxBackoff bounds the exponent of the probe timeout's backoff. The idle timeout ends the connection long before.
const maxBackoff = 12

// PTO returns the probe timeout of space without backoff (RFC 9002, Section 6.2.1). For other uses of that period
// (closing, path validation, key update), AppData's is meant.
func (r *Recovery) PTO(space Space) time.Duration {
	d := r.rtt.pto()
	if space == AppData {
		d += r.maxAckDelay
	}
	return d
}

// PTOCount returns how many probe timeouts have passed in a row.
func (r *Recovery) PTOCount() int { return r.ptoCount }

// ProbesOwed returns how many ack-eliciting packets should be sent in space because of a probe timeout, regardless of
// congestion window and pacer. Sent of an ack-eliciting packet pays one back. If nothing else is to be sent, send PING.
func (r *Recovery) ProbesOwed(space Space) int { return r.space(space).probes }

// arm restarts the timer.
func (r *Recovery) arm(now monotime.Time) {
	r.armed = now
	r.timeoutStale = true
}

// Timeout returns when OnTimeout is to be called, zero for not at all.
func (r *Recovery) Timeout() monotime.Time {
	if r.timeoutStale {
		r.timeoutStale = false
		if r.timeout, _ = r.lossTimeout(); r.timeout == 0 {
			r.timeout, _ = r.probeTimeout()
		}
	}
	return r.timeout
}

// lossTimeout returns the earliest time at which a packet becomes lost by time, and its space.
func (r *Recovery) lossTimeout() (at monotime.Time, space Space) {
	for i := r.first(); i < NumSpaces; i++ {
		if t := r.space(i).lossTime; t != 0 && (at == 0 || t < at) {
			at, space = t, i
		}
	}
	return at, space
}

// probeTimeout returns when the next probe timeout passes, zero if none is armed, and in which space.
func (r *Recovery) probeTimeout() (at monotime.Time, space Space) {
	// RFC 9002, Section 6.2.2.1: a server that may not send arms no timer.
	if r.amplLimited {
		return 0, 0
	}
	inFlight := false
	for i := r.first(); i < NumSpaces; i++ {
		s := r.space(i)
		if s.eliciting == 0 {
			continue
		}
		inFlight = true
		// Section 6.2.1: the peer may have no keys for 1-RTT packets, or we none for its acknowledgments, until the
		// handshake is confirmed.
		if i == AppData && !r.confirmed {
			continue
		}
		last := s.lastElicit
		if r.ptoCount > maxBackoff {
			// The backoff grows no more. Where no probe can be sent, the timeout must not stay in the past.
			last = r.armed
		}
		if t := last.Add(r.backoff(r.PTO(i))); at == 0 || t < at {
			at, space = t, i
		}
	}
	if inFlight && at != 0 || !r.client || r.peerValidated || r.armed == 0 {
		return at, space
	}
	// Section 6.2.2.1: the server may be unable to send until the client proves its address or sends more.
	space = Initial
	if r.handshakeKeys {
		space = Handshake
	}
	return r.armed.Add(r.backoff(r.PTO(space))), space
}

func (r *Recovery) backoff(d time.Duration) time.Duration { return d << min(r.ptoCount, maxBackoff) }

// OnTimeout does what is due at now: declares packets lost by time, or lets a probe timeout pass, after which
// ProbesOwed is not zero and the oldest frames in flight were told lost to h, to be sent again. It reports whether a
// probe timeout passed. Calling it early is harmless.
func (r *Recovery) OnTimeout(now monotime.Time, h Handler) (pto bool) {
	if at, space := r.lossTimeout(); at != 0 {
		if at <= now {
			r.detectLost(now, space, h)
		}
		return false
	}
	at, space := r.probeTimeout()
	if at == 0 || at > now {
		return false
	}
	r.counters.PTOs++
	r.ptoCount++
	r.ecn.onPTO(r.ptoCount)
	r.arm(now)
	if r.space(space).eliciting == 0 {
		r.space(space).probes = 1
		return true
	}
	r.probe(space, h)
	// RFC 9002, Section 6.2.4: where Initial and Handshake packets are both in flight, probe with both: they share
	// datagrams.
	if other := Initial + Handshake - space; space != AppData && r.space(other).eliciting > 0 {
		r.probe(other, h)
	}
	return true
}

// probesPerTimeout is how many packets a probe timeout sends, so that the loss of one does not cost another, longer
// timeout.
const probesPerTimeout = 2

// probe owes packets in space and has the frames of the oldest ones in flight sent again.
func (r *Recovery) probe(space Space, h Handler) {
	s := r.space(space)
	s.probes = probesPerTimeout
	told := 0
	for pn := s.oldest; pn < s.next && told < probesPerTimeout; pn++ {
		p := s.at(pn)
		if p.state == outstanding && p.flags&(AckEliciting|MTUProbe|OffPath|requeued) == AckEliciting {
			s.tellLost(space, p, h)
			told++
		}
	}
}
