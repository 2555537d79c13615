package recovery

import "github.com/dunlin-quic/dunlin/internal/wire"

// ecnState is the state of a path's validation for ECN (RFC 9000, Section 13.4.2 and Appendix A.4).
type ecnState uint8

const (
	ecnTesting ecnState = iota // the first packets are marked
	ecnUnknown                 // enough are marked, none is acknowledged yet
	ecnCapable
	ecnFailed
)

// ecnTestPackets is how many packets are marked before one of them must be acknowledged with counts.
const ecnTestPackets = 10

// ecnTestPTOs is how many probe timeouts in a row end the test.
const ecnTestPTOs = 3

// ecn validates that the path carries ECN marks and that the peer reports them.
type ecn struct {
	state  ecnState
	marked int // packets marked on this path
	lost   int // of these
	sent   [NumSpaces]uint64
	counts [NumSpaces]wire.ECNCounts // as last reported
}

// mark reports whether to mark the next packet.
func (e *ecn) mark() bool { return e.state == ecnTesting || e.state == ecnCapable }

func (e *ecn) onSent(space Space) {
	e.sent[space]++
	e.marked++
	if e.state == ecnTesting && e.marked >= ecnTestPackets {
		e.state = ecnUnknown
	}
}

// onLost tells of the loss of a marked packet. If all that were marked for the test are lost, something on the path
// drops them because of the mark.
func (e *ecn) onLost() {
	e.lost++
	if e.state <= ecnUnknown && e.lost >= ecnTestPackets {
		e.state = ecnFailed
	}
}

// onPTO tells of that many probe timeouts in a row: by then, the test has failed too.
func (e *ecn) onPTO(count int) {
	if count >= ecnTestPTOs && e.state <= ecnUnknown {
		e.state = ecnFailed
	}
}

// onAck validates the counts of an ACK frame that raised the largest acknowledged packet number, of which newly packets
// were sent with ECT(0) and newly acknowledged. It reports whether the peer saw new congestion marks.
func (e *ecn) onAck(space Space, ack *wire.AckFrame, newly uint64) (ce bool) {
	if e.state == ecnFailed {
		return false
	}
	if !ack.HasECN {
		// Section 13.4.2.1: marked packets that are acknowledged without counts fail the validation.
		if newly > 0 {
			e.state = ecnFailed
		}
		return false
	}
	last := e.counts[space]
	switch c := ack.ECN; {
	case c.ECT0 < last.ECT0 || c.CE < last.CE,
		c.ECT0-last.ECT0+c.CE-last.CE < newly,
		c.ECT0+c.CE > e.sent[space],
		c.ECT1 > 0:
		e.state = ecnFailed
		return false
	}
	e.counts[space] = ack.ECN
	if newly > 0 {
		e.state = ecnCapable
	}
	return ack.ECN.CE > last.CE
}

// reset tests anew, on another path. The counts go on.
func (e *ecn) reset() { e.state, e.marked, e.lost = ecnTesting, 0, 0 }
