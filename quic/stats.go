package quic

import "time"

// Stats counts what a connection has done so far. All byte counts are UDP payload bytes unless said otherwise.
type Stats struct {
	HandshakeTime time.Duration // from creation to the end of the TLS handshake; 0 before

	DatagramsSent, DatagramsReceived uint64
	PacketsSent, PacketsReceived     uint64
	BytesSent, BytesReceived         uint64
	StreamBytesSent                  uint64 // first transmissions, payload of STREAM frames
	StreamBytesReceived              uint64 // payload of STREAM frames, without duplicates
	PacketsLost, BytesLost           uint64
	SpuriousLosses                   uint64
	PTOs                             uint64
	PacketsDropped                   uint64 // received and thrown away: undecryptable, malformed, duplicate, unwanted
	AckFramesSent, AckFramesReceived uint64

	DatagramFramesSent, DatagramFramesReceived uint64 // RFC 9221
	DatagramFramesLost                         uint64 // sent and not acknowledged
	DatagramFramesDropped                      uint64 // never sent, or never read, for want of room

	RTT, MinRTT, RTTVar, LatestRTT time.Duration
	Cwnd                           int // congestion window, bytes
	BytesInFlight                  int
	PacketSize                     int // largest UDP payload now sent, bytes
	KeyUpdates                     uint64
}
