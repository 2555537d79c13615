package qlog

import "strconv"

// PacketType names a kind of packet.
type PacketType string

// The kinds of packets.
const (
	PacketInitial            PacketType = "initial"
	PacketHandshake          PacketType = "handshake"
	Packet0RTT               PacketType = "0RTT"
	Packet1RTT               PacketType = "1RTT"
	PacketRetry              PacketType = "retry"
	PacketVersionNegotiation PacketType = "version_negotiation"
	PacketStatelessReset     PacketType = "stateless_reset"
	PacketUnknown            PacketType = "unknown"
)

// PacketNumberSpace names a packet number space.
type PacketNumberSpace string

// The packet number spaces.
const (
	SpaceInitial         PacketNumberSpace = "initial"
	SpaceHandshake       PacketNumberSpace = "handshake"
	SpaceApplicationData PacketNumberSpace = "application_data"
)

// PacketHeader is the header of a packet.
type PacketHeader struct {
	Type PacketType
	// Numbered tells that Number is known: it is not in Retry and Version Negotiation packets, nor where header protection was
	// not removed.
	Numbered   bool
	Number     uint64
	KeyPhase   uint64 // of 1-RTT packets: how many key updates there were
	Version    uint32 // of packets with long headers, and so is what follows
	SCID, DCID []byte
	TokenLen   int // of Initial and Retry packets; the token is not logged
}

func (o *object) header(h *PacketHeader) {
	o.key("header")
	in := begin(o.b)
	in.name("packet_type", string(h.Type))
	if h.Numbered {
		in.mustUint("packet_number", h.Number)
		if h.Type == Packet1RTT {
			in.mustUint("key_phase", h.KeyPhase)
		}
	}
	if h.TokenLen > 0 {
		in.key("token")
		t := begin(in.b)
		if h.Type == PacketRetry {
			t.name("type", "retry")
		}
		t.raw(RawInfo{Length: h.TokenLen})
		in.b = t.end()
	}
	if h.Version != 0 {
		in.version("version", h.Version)
		in.mustUint("scil", uint64(len(h.SCID)))
		in.mustUint("dcil", uint64(len(h.DCID)))
		in.hex("scid", h.SCID)
		in.hex("dcid", h.DCID)
	}
	o.b = in.end()
}

// PacketSent tells of a packet that was sent.
type PacketSent struct {
	Header   PacketHeader
	Frames   []Frame
	Length   int // of the packet, with its header and its authentication tag
	MTUProbe bool
	PTOProbe bool // it is sent because of a probe timeout
}

// Name implements [Event].
func (*PacketSent) Name() string { return "quic:packet_sent" }

// AppendData implements [Event].
func (e *PacketSent) AppendData(b []byte) []byte {
	o := begin(b)
	o.header(&e.Header)
	o.frames(e.Frames)
	o.raw(RawInfo{Length: e.Length})
	o.bool("is_mtu_probe_packet", e.MTUProbe)
	if e.PTOProbe {
		o.name("trigger", "pto_probe")
	}
	return o.end()
}

// PacketReceived tells of an authentic packet that was received.
type PacketReceived struct {
	Header   PacketHeader
	Frames   []Frame
	Length   int  // of the packet, with its header and its authentication tag; 0 if it is not known
	Buffered bool // it had waited for its keys
	// Versions are those that a Version Negotiation packet offers.
	Versions []uint32
}

// Name implements [Event].
func (*PacketReceived) Name() string { return "quic:packet_received" }

// AppendData implements [Event].
func (e *PacketReceived) AppendData(b []byte) []byte {
	o := begin(b)
	o.header(&e.Header)
	if e.Header.Numbered {
		o.frames(e.Frames)
	}
	o.versions("supported_versions", e.Versions)
	o.raw(RawInfo{Length: e.Length})
	if e.Buffered {
		o.name("trigger", "keys_available")
	}
	return o.end()
}

// DropTrigger says why a packet was thrown away.
type DropTrigger string

// Why packets are thrown away.
const (
	DroppedRejected          DropTrigger = "rejected"
	DroppedUnsupported       DropTrigger = "unsupported"
	DroppedInvalid           DropTrigger = "invalid"
	DroppedDuplicate         DropTrigger = "duplicate"
	DroppedConnectionUnknown DropTrigger = "connection_unknown"
	DroppedDecryptionFailure DropTrigger = "decryption_failure"
	DroppedKeyUnavailable    DropTrigger = "key_unavailable"
	DroppedGeneral           DropTrigger = "general"
)

// PacketDropped tells of a received packet that was thrown away.
type PacketDropped struct {
	Header  PacketHeader
	Length  int // of what was left of the datagram if the packet's own is not known
	Trigger DropTrigger
}

// Name implements [Event].
func (*PacketDropped) Name() string { return "quic:packet_dropped" }

// AppendData implements [Event].
func (e *PacketDropped) AppendData(b []byte) []byte {
	o := begin(b)
	o.header(&e.Header)
	o.raw(RawInfo{Length: e.Length})
	o.name("trigger", string(e.Trigger))
	return o.end()
}

// PacketBuffered tells of a packet that waits for its keys.
type PacketBuffered struct {
	Header PacketHeader
	Length int // of the packet and what follows in its datagram
}

// Name implements [Event].
func (*PacketBuffered) Name() string { return "quic:packet_buffered" }

// AppendData implements [Event].
func (e *PacketBuffered) AppendData(b []byte) []byte {
	o := begin(b)
	o.header(&e.Header)
	o.raw(RawInfo{Length: e.Length})
	o.name("trigger", "keys_unavailable")
	return o.end()
}

// PacketsAcked tells of packets that are acknowledged for the first time.
type PacketsAcked struct {
	Space   PacketNumberSpace
	Numbers []uint64 // one at least
}

// Name implements [Event].
func (*PacketsAcked) Name() string { return "quic:packets_acked" }

// AppendData implements [Event].
func (e *PacketsAcked) AppendData(b []byte) []byte {
	o := begin(b)
	o.name("packet_number_space", string(e.Space))
	o.key("packet_numbers")
	o.b = append(o.b, '[')
	for i, n := range e.Numbers {
		if i > 0 {
			o.b = append(o.b, ',')
		}
		o.b = strconv.AppendUint(o.b, n, 10)
	}
	o.b = append(o.b, ']')
	return o.end()
}

// ecnNames are the drafts' names of the codepoints of RFC 3168, Section 5.
var ecnNames = [4]string{"Not-ECT", "ECT(1)", "ECT(0)", "CE"}

// Datagrams are UDP datagrams that went through the socket together.
type Datagrams struct {
	Len     int   // bytes in all
	Segment int   // bytes of every datagram but the last, which may be shorter; 0 for a single one
	ECN     uint8 // the codepoint as it stands in the IP header
}

func (d Datagrams) append(b []byte) []byte {
	segment := d.Segment
	if segment <= 0 {
		segment = max(d.Len, 1)
	}
	count := max((d.Len+segment-1)/segment, 1) // a datagram may be empty, a list of them not
	o := begin(b)
	o.mustUint("count", uint64(count))
	o.key("raw")
	o.b = append(o.b, '[')
	for i := range count {
		if i > 0 {
			o.b = append(o.b, ',')
		}
		o.b = RawInfo{Length: min(d.Len-i*segment, segment)}.append(o.b)
	}
	o.b = append(o.b, ']')
	o.key("ecn")
	o.b = append(o.b, '[')
	for i := range count {
		if i > 0 {
			o.b = append(o.b, ',')
		}
		o.b = append(o.b, '"')
		o.b = append(o.b, ecnNames[d.ECN&3]...)
		o.b = append(o.b, '"')
	}
	o.b = append(o.b, ']')
	return o.end()
}

// UDPDatagramsSent tells of datagrams that were handed out to be sent.
type UDPDatagramsSent Datagrams

// Name implements [Event].
func (*UDPDatagramsSent) Name() string { return "quic:udp_datagrams_sent" }

// AppendData implements [Event].
func (e *UDPDatagramsSent) AppendData(b []byte) []byte { return Datagrams(*e).append(b) }

// UDPDatagramsReceived tells of datagrams that arrived.
type UDPDatagramsReceived Datagrams

// Name implements [Event].
func (*UDPDatagramsReceived) Name() string { return "quic:udp_datagrams_received" }

// AppendData implements [Event].
func (e *UDPDatagramsReceived) AppendData(b []byte) []byte { return Datagrams(*e).append(b) }

// UDPDatagramDropped tells of a datagram that has no packet for the connection.
type UDPDatagramDropped struct{ Length int }

// Name implements [Event].
func (*UDPDatagramDropped) Name() string { return "quic:udp_datagram_dropped" }

// AppendData implements [Event].
func (e *UDPDatagramDropped) AppendData(b []byte) []byte {
	o := begin(b)
	o.raw(RawInfo{Length: e.Length})
	return o.end()
}
