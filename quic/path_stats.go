package quic

import "time"

// PathStats tells what is known of a path. All byte counts are UDP payload bytes.
type PathStats struct {
	Path       Path
	InUse      bool // the connection's business goes over it
	Validated  bool // the peer is known to receive what is sent on it (RFC 9000, Section 8.2)
	Validating bool // challenges are being sent

	DatagramsSent, DatagramsReceived uint64 // each of one packet, once the handshake is confirmed
	BytesSent, BytesReceived         uint64
	PacketsLost, BytesLost           uint64 // found lost while the path was in use

	// RTT, MinRTT, RTTVar and LatestRTT are measured while the path is in use, and so is the congestion window Cwnd, in
	// bytes. They are 0 on a path that was only probed.
	RTT, MinRTT, RTTVar, LatestRTT time.Duration
	Cwnd                           int
	BytesInFlight                  int  // 0 on paths that are not in use
	PacketSize                     int  // largest UDP payload sent, bytes
	ECN                            bool // packets are sent with ECT(0)
}

// pathCounts is what a path counts. While the path is in use, its losses are those of loss detection added to these.
type pathCounts struct {
	datagramsSent, datagramsReceived uint64
	bytesSent, bytesReceived         uint64
	packetsLost, bytesLost           uint64
}

// countLosses charges losses to another path from now on.
func (c *Conn) countLosses(old, p *path) {
	n := c.rec.Counters()
	old.counts.packetsLost += n.PathPacketsLost
	old.counts.bytesLost += n.PathBytesLost
	p.counts.packetsLost -= n.PathPacketsLost
	p.counts.bytesLost -= n.PathBytesLost
}

// PathStats returns what is known of the connection's paths, at most four: that in use first. After the connection's end
// there are none.
func (c *Conn) PathStats() []PathStats {
	if c.state != stateActive {
		return nil
	}
	var all []PathStats
	for _, p := range c.allPaths() {
		if p != nil {
			all = append(all, c.statsOf(p))
		}
	}
	return all
}

func (c *Conn) statsOf(p *path) PathStats {
	n := &p.counts
	s := PathStats{
		Path: p.addr, InUse: p == c.path, Validated: p.validated, Validating: p.challenge != nil,
		DatagramsSent: n.datagramsSent, DatagramsReceived: n.datagramsReceived,
		BytesSent: n.bytesSent, BytesReceived: n.bytesReceived,
		PacketsLost: n.packetsLost, BytesLost: n.bytesLost,
		PacketSize: p.mtu.size,
	}
	switch {
	case p == c.path:
		total := c.rec.Counters()
		s.PacketsLost += total.PathPacketsLost
		s.BytesLost += total.PathBytesLost
		s.RTT, s.MinRTT, s.RTTVar, s.LatestRTT = c.rec.SRTT(), c.rec.MinRTT(), c.rec.RTTVar(), c.rec.LatestRTT()
		s.Cwnd, s.BytesInFlight = c.rec.Cwnd(), c.rec.InFlight()
		s.ECN = c.rec.MarkECT0()
	case p.left != nil:
		s.RTT, s.MinRTT, s.RTTVar, s.LatestRTT = p.left.RTT()
		s.Cwnd = p.left.Cwnd()
	}
	return s
}
