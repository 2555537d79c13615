package congestion

const (
	// prrTrainPackets and prrTrainShare bound how much PRR saves up before it lets go of it: so many packets, or that share
	// of the window.
	prrTrainPackets = 16
	prrTrainShare   = 8
)

// prr is Proportional Rate Reduction (RFC 9937): in a recovery period it leads what is in flight down to the new window in
// step with what is delivered, instead of sending nothing for half a round trip and in bursts after that.
type prr struct {
	active    bool
	flight    int    // bytes in flight when the period began: RecoverFS; 0 before its first ACK
	delivered int    // bytes acknowledged since
	sent      uint64 // Ack.SentBytes when the period began
	window    int    // what may be in flight until the next ACK
}

// begin starts a period, end ends it.
func (p *prr) begin() { *p = prr{active: true} }
func (p *prr) end()   { *p = prr{} }

// known reports whether window holds.
func (p *prr) known() bool { return p.flight > 0 }

// onAck is RFC 9937, Section 6.2, with target for ssthresh.
func (p *prr) onAck(a Ack, target, maxDatagram int) {
	if p.flight == 0 {
		if a.InFlight <= target {
			// The application had used less than the new window: there is nothing to lead down, and what was lost should not
			// wait for more ACKs, of which there may be none.
			p.end()
			return
		}
		p.flight = a.InFlight
		p.sent = a.SentBytes
	}
	p.delivered += a.Bytes
	out := int(a.SentBytes - p.sent)
	var send int
	if a.InFlightNow > target {
		send = (p.delivered*target+p.flight-1)/p.flight - out
		// Packets that go out one at a time cost a system call each. What is in flight brings more ACKs, so that a few can
		// be saved up and go out as a train.
		if out > 0 && send < min(prrTrainPackets*maxDatagram, target/prrTrainShare) {
			send = 0
		}
	} else {
		send = max(p.delivered-out, a.Bytes)
		// An ACK that shows no further loss says that the path bears more than what it delivered: slow-start reduction
		// bound, else conservative reduction bound.
		if a.InFlight-a.InFlightNow <= a.Bytes {
			send += maxDatagram
		}
		send = min(send, target-a.InFlightNow)
	}
	if out == 0 {
		// What was lost is sent again at once.
		send = max(send, maxDatagram)
	}
	p.window = max(a.InFlightNow+max(send, 0), minWindowPackets*maxDatagram)
}
