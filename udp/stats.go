package udp

import "sync/atomic"

// Stats counts what a socket has done.
type Stats struct {
	Reads, Sends      uint64 // system calls that moved data
	DatagramsReceived uint64
	DatagramsSent     uint64
	ReceiveDrops      uint64 // thrown away by the system because the receive buffer was full
	Truncated         uint64 // received but longer than Message.Buf, and dropped
	ReadErrors        uint64 // reads that failed and were tried again
	SendTooLarge      uint64 // datagrams that the interface or path can't carry
	SendDrops         uint64 // datagrams dropped for another passing cause
	SendWaits         uint64 // sends that had to wait for room in the send buffer
	SendRetries       uint64 // sends tried again because they got the error of an earlier datagram
	GSOFallbacks      uint64 // batches sent one by one because the system refused them as a whole
	ICMPErrors        uint64 // received, delivered or not
}

// counters is Stats while it counts.
type counters struct {
	reads, sends      atomic.Uint64
	datagramsReceived atomic.Uint64
	datagramsSent     atomic.Uint64
	receiveDrops      atomic.Uint64
	truncated         atomic.Uint64
	readErrors        atomic.Uint64
	sendTooLarge      atomic.Uint64
	sendDrops         atomic.Uint64
	sendWaits         atomic.Uint64
	sendRetries       atomic.Uint64
	gsoFallbacks      atomic.Uint64
	icmpErrors        atomic.Uint64

	observer Observer // nil if there is none
}

// Stats returns the counters.
func (c *counters) Stats() Stats {
	return Stats{
		Reads:             c.reads.Load(),
		Sends:             c.sends.Load(),
		DatagramsReceived: c.datagramsReceived.Load(),
		DatagramsSent:     c.datagramsSent.Load(),
		ReceiveDrops:      c.receiveDrops.Load(),
		Truncated:         c.truncated.Load(),
		ReadErrors:        c.readErrors.Load(),
		SendTooLarge:      c.sendTooLarge.Load(),
		SendDrops:         c.sendDrops.Load(),
		SendWaits:         c.sendWaits.Load(),
		SendRetries:       c.sendRetries.Load(),
		GSOFallbacks:      c.gsoFallbacks.Load(),
		ICMPErrors:        c.icmpErrors.Load(),
	}
}
