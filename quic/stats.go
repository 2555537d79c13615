package quic

import "time"

// Stats counts what a connection has done so far. All byte counts are UDP payload bytes unless said otherwise.
type Stats struct {
	HandshakeTime time.Duration // from creation to the end of the TLS handshake; 0 before

	DatagramsSent, DatagramsReceived uint64
	PacketsSent, PacketsReceived     uint64
	BytesSent, BytesReceived         uint64
	BytesAcked                       uint64 // of packets in flight, each once
	PacketsLost, BytesLost           uint64
	SpuriousLosses                   uint64 // packets that counted as lost and were only late
	PacketsRetransmitted             uint64 // packets with stream or handshake data that was sent before
	PTOs                             uint64 // probe timeouts (RFC 9002, Section 6.2)
	PacketsDropped                   uint64 // received and thrown away: undecryptable, malformed, duplicate, unwanted
	AckFramesSent, AckFramesReceived uint64
	PathChallengesReceived           uint64 // PATH_CHALLENGE frames, by which the peer probes a path

	StreamBytesSent          uint64 // first transmissions, payload of STREAM frames
	StreamBytesReceived      uint64 // payload of STREAM frames, without duplicates
	StreamBytesRetransmitted uint64 // payload of STREAM frames, sent again

	// Streams that one side gave up. A stream that the peer asks to stop is reset as well.
	StreamsReset, StreamsResetByPeer     uint64 // by RESET_STREAM, sent and received
	StreamsStopped, StreamsStoppedByPeer uint64 // by STOP_SENDING, sent and received

	// Frames that say that flow control holds data, or streams, back.
	DataBlockedSent, DataBlockedReceived             uint64 // DATA_BLOCKED
	StreamDataBlockedSent, StreamDataBlockedReceived uint64 // STREAM_DATA_BLOCKED
	StreamsBlockedSent, StreamsBlockedReceived       uint64 // STREAMS_BLOCKED

	DatagramFramesSent, DatagramFramesReceived uint64 // RFC 9221
	DatagramFramesLost                         uint64 // sent and not acknowledged
	DatagramFramesDropped                      uint64 // never sent, or never read, for want of room

	// Of the path in use. LatestRTT, MinRTT and MaxRTT are 0 before the first sample.
	RTT, MinRTT, MaxRTT, RTTVar, LatestRTT time.Duration
	Cwnd                                   int // congestion window, bytes
	BytesInFlight, MaxBytesInFlight        int // now, and the most there ever were on any path
	PacketSize                             int // largest UDP payload now sent, bytes
	// DeliveryRate is how fast the path delivered lately, in bytes per second, as congestion controllers that go by it
	// measure it (BBR); 0 with others.
	DeliveryRate uint64
	KeyUpdates   uint64 // of either side (RFC 9001, Section 6)
}

// OpenStreams returns how many streams there are, both sides' and of both directions, that are not over.
func (c *Conn) OpenStreams() int { return len(c.streams.streams) }

// connCounters are those of Stats that the connection itself counts.
type connCounters struct {
	HandshakeTime time.Duration

	DatagramsSent, DatagramsReceived uint64
	PacketsSent, PacketsReceived     uint64
	BytesSent, BytesReceived         uint64
	PacketsRetransmitted             uint64
	PacketsDropped                   uint64
	AckFramesSent, AckFramesReceived uint64
	PathChallengesReceived           uint64

	DatagramFramesSent, DatagramFramesReceived uint64
	DatagramFramesLost, DatagramFramesDropped  uint64
}

// streamCounters are those of Stats that are about streams and mostly 0: they are kept once one of them is not.
type streamCounters struct {
	reset, resetByPeer                         uint64
	stopped, stoppedByPeer                     uint64
	blockedSent, blockedReceived               uint64
	dataBlockedSent, dataBlockedReceived       uint64
	streamsBlockedSent, streamsBlockedReceived uint64
}

// count returns the counters to count something.
func (t *streamTable) count() *streamCounters {
	if t.counters == nil {
		t.counters = new(streamCounters)
	}
	return t.counters
}

// Stats returns the counters.
func (c *Conn) Stats() Stats {
	s := Stats{}
	if c.last != nil {
		s = *c.last
	} else {
		c.gauges(&s)
	}
	n := &c.stats
	s.HandshakeTime = n.HandshakeTime
	s.DatagramsSent, s.DatagramsReceived = n.DatagramsSent, n.DatagramsReceived
	s.PacketsSent, s.PacketsReceived = n.PacketsSent, n.PacketsReceived
	s.BytesSent, s.BytesReceived = n.BytesSent, n.BytesReceived
	s.PacketsRetransmitted, s.PacketsDropped = n.PacketsRetransmitted, n.PacketsDropped
	s.AckFramesSent, s.AckFramesReceived = n.AckFramesSent, n.AckFramesReceived
	s.PathChallengesReceived = n.PathChallengesReceived
	s.DatagramFramesSent, s.DatagramFramesReceived = n.DatagramFramesSent, n.DatagramFramesReceived
	s.DatagramFramesLost, s.DatagramFramesDropped = n.DatagramFramesLost, n.DatagramFramesDropped
	return s
}

// gauges fills in what others count and measure, as long as they are there.
func (c *Conn) gauges(s *Stats) {
	n := c.rec.Counters()
	s.BytesAcked = n.BytesAcked
	s.PacketsLost, s.BytesLost, s.SpuriousLosses, s.PTOs = n.PacketsLost, n.BytesLost, n.SpuriousLosses, n.PTOs
	s.RTT, s.MinRTT, s.MaxRTT = c.rec.SRTT(), c.rec.MinRTT(), c.rec.MaxRTT()
	s.RTTVar, s.LatestRTT = c.rec.RTTVar(), c.rec.LatestRTT()
	s.Cwnd, s.BytesInFlight, s.MaxBytesInFlight = c.rec.Cwnd(), c.rec.InFlight(), n.MaxInFlight
	s.DeliveryRate = c.rec.DeliveryRate()
	s.PacketSize = c.path.mtu.size
	s.KeyUpdates = c.keys.Updates()

	t := &c.streams
	s.StreamBytesSent, s.StreamBytesReceived = t.bytesSent, t.bytesReceived
	s.StreamBytesRetransmitted = t.bytesResent
	if r := t.counters; r != nil {
		s.StreamsReset, s.StreamsResetByPeer = r.reset, r.resetByPeer
		s.StreamsStopped, s.StreamsStoppedByPeer = r.stopped, r.stoppedByPeer
		s.DataBlockedSent, s.DataBlockedReceived = r.blockedSent, r.blockedReceived
		s.StreamDataBlockedSent, s.StreamDataBlockedReceived = r.dataBlockedSent, r.dataBlockedReceived
		s.StreamsBlockedSent, s.StreamsBlockedReceived = r.streamsBlockedSent, r.streamsBlockedReceived
	}
}
