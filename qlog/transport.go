package qlog

import (
	"net/netip"
	"time"
)

// version writes a QUIC version as the drafts do: eight hexadecimal digits.
func (o *object) version(k string, v uint32) {
	o.key(k)
	o.b = appendVersion(o.b, v)
}

func appendVersion(b []byte, v uint32) []byte {
	return appendHex(b, []byte{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)})
}

func (o *object) versions(k string, versions []uint32) {
	if len(versions) == 0 {
		return
	}
	o.key(k)
	o.b = append(o.b, '[')
	for i, v := range versions {
		if i > 0 {
			o.b = append(o.b, ',')
		}
		o.b = appendVersion(o.b, v)
	}
	o.b = append(o.b, ']')
}

// VersionInformation tells which versions the sides speak, and which one they use.
type VersionInformation struct {
	Server, Client []uint32
	Chosen         uint32 // 0 if there is none
}

// Name implements [Event].
func (*VersionInformation) Name() string { return "quic:version_information" }

// AppendData implements [Event].
func (e *VersionInformation) AppendData(b []byte) []byte {
	o := begin(b)
	o.versions("server_versions", e.Server)
	o.versions("client_versions", e.Client)
	if e.Chosen != 0 {
		o.version("chosen_version", e.Chosen)
	}
	return o.end()
}

// ALPNInformation tells which application protocols the sides offer, and which one they use.
type ALPNInformation struct {
	Server, Client []string
	Chosen         string
}

// Name implements [Event].
func (*ALPNInformation) Name() string { return "quic:alpn_information" }

// AppendData implements [Event].
func (e *ALPNInformation) AppendData(b []byte) []byte {
	o := begin(b)
	o.alpns("server_alpns", e.Server)
	o.alpns("client_alpns", e.Client)
	if e.Chosen != "" {
		o.key("chosen_alpn")
		o.b = appendALPN(o.b, e.Chosen)
	}
	return o.end()
}

func (o *object) alpns(k string, names []string) {
	if len(names) == 0 {
		return
	}
	o.key(k)
	o.b = append(o.b, '[')
	for i, name := range names {
		if i > 0 {
			o.b = append(o.b, ',')
		}
		o.b = appendALPN(o.b, name)
	}
	o.b = append(o.b, ']')
}

func appendALPN(b []byte, name string) []byte {
	o := begin(b)
	o.mustText("string_value", name)
	return o.end()
}

// PreferredAddress is the transport parameter preferred_address. Its stateless reset token is not logged.
type PreferredAddress struct {
	IPv4, IPv6   netip.AddrPort
	ConnectionID []byte
}

// Parameters are transport parameters.
type Parameters struct {
	OriginalDCID, InitialSCID, RetrySCID []byte // nil if absent
	DisableActiveMigration               bool
	MaxIdleTimeout                       time.Duration
	MaxUDPPayloadSize                    uint64
	AckDelayExponent                     uint64
	MaxAckDelay                          time.Duration
	ActiveConnectionIDLimit              uint64
	InitialMaxData                       uint64
	InitialMaxStreamDataBidiLocal        uint64
	InitialMaxStreamDataBidiRemote       uint64
	InitialMaxStreamDataUni              uint64
	InitialMaxStreamsBidi                uint64
	InitialMaxStreamsUni                 uint64
	MaxDatagramFrameSize                 uint64
	GreaseQUICBit                        bool
	ResetStreamAt                        bool
}

// remembered writes the parameters that are remembered for 0-RTT.
func (p *Parameters) remembered(o *object) {
	o.bool("disable_active_migration", p.DisableActiveMigration)
	o.mustUint("max_idle_timeout", uint64(p.MaxIdleTimeout.Milliseconds()))
	o.mustUint("max_udp_payload_size", p.MaxUDPPayloadSize)
	o.mustUint("active_connection_id_limit", p.ActiveConnectionIDLimit)
	o.mustUint("initial_max_data", p.InitialMaxData)
	o.mustUint("initial_max_stream_data_bidi_local", p.InitialMaxStreamDataBidiLocal)
	o.mustUint("initial_max_stream_data_bidi_remote", p.InitialMaxStreamDataBidiRemote)
	o.mustUint("initial_max_stream_data_uni", p.InitialMaxStreamDataUni)
	o.mustUint("initial_max_streams_bidi", p.InitialMaxStreamsBidi)
	o.mustUint("initial_max_streams_uni", p.InitialMaxStreamsUni)
	o.mustUint("max_datagram_frame_size", p.MaxDatagramFrameSize)
}

// ParametersSet tells the transport parameters of one side.
type ParametersSet struct {
	Initiator  Initiator
	Parameters Parameters
	Resumption bool   // of the server's: TLS resumed a session
	EarlyData  bool   // of the server's: early data is taken
	Cipher     string // of TLS, once it is known
}

// Name implements [Event].
func (*ParametersSet) Name() string { return "quic:parameters_set" }

// AppendData implements [Event].
func (e *ParametersSet) AppendData(b []byte) []byte {
	o := begin(b)
	o.name("initiator", string(e.Initiator))
	o.bool("resumption_allowed", e.Resumption)
	o.bool("early_data_enabled", e.EarlyData)
	o.text("tls_cipher", e.Cipher)
	p := &e.Parameters
	id := func(k string, v []byte) {
		if v != nil {
			o.mustHex(k, v)
		}
	}
	id("original_destination_connection_id", p.OriginalDCID)
	id("initial_source_connection_id", p.InitialSCID)
	id("retry_source_connection_id", p.RetrySCID)
	o.mustUint("ack_delay_exponent", p.AckDelayExponent)
	o.mustUint("max_ack_delay", uint64(p.MaxAckDelay.Milliseconds()))
	p.remembered(&o)
	o.bool("grease_quic_bit", p.GreaseQUICBit)
	o.bool("reset_stream_at", p.ResetStreamAt)
	return o.end()
}

// HandshakeParametersSet tells what TLS negotiated, in a parameters_set event of its own.
type HandshakeParametersSet struct {
	Resumption bool   // the session is one resumed
	EarlyData  bool   // early data was taken
	Cipher     string // such as "AES_128_GCM_SHA256"
}

// Name implements [Event].
func (*HandshakeParametersSet) Name() string { return "quic:parameters_set" }

// AppendData implements [Event].
func (e *HandshakeParametersSet) AppendData(b []byte) []byte {
	o := begin(b)
	o.bool("resumption_allowed", e.Resumption)
	o.bool("early_data_enabled", e.EarlyData)
	o.text("tls_cipher", e.Cipher)
	return o.end()
}

// ParametersRestored tells the transport parameters that a client remembers of a server, for early data.
type ParametersRestored struct{ Parameters Parameters }

// Name implements [Event].
func (*ParametersRestored) Name() string { return "quic:parameters_restored" }

// AppendData implements [Event].
func (e *ParametersRestored) AppendData(b []byte) []byte {
	o := begin(b)
	e.Parameters.remembered(&o)
	return o.end()
}

// StreamState is a state of a stream.
type StreamState string

// The states of one side of a stream (RFC 9000, Sections 3.1 and 3.2).
const (
	StreamIdle          StreamState = "idle"
	StreamOpen          StreamState = "open"
	StreamClosed        StreamState = "closed"
	StreamDataSent      StreamState = "data_sent"
	StreamResetSent     StreamState = "reset_sent"
	StreamResetReceived StreamState = "reset_received"
	StreamSizeKnown     StreamState = "size_known"
	StreamDataRead      StreamState = "data_read"
	StreamResetRead     StreamState = "reset_read"
	StreamDataReceived  StreamState = "data_received"
)

// StreamStateUpdated tells that one part of a stream went on to another state.
type StreamStateUpdated struct {
	ID        uint64
	New       StreamState
	Receiving bool // the receiving part, not the sending one
	Initiator Initiator
}

// Name implements [Event].
func (*StreamStateUpdated) Name() string { return "quic:stream_state_updated" }

// AppendData implements [Event].
func (e *StreamStateUpdated) AppendData(b []byte) []byte {
	o := begin(b)
	o.mustUint("stream_id", e.ID)
	o.direction("stream_type", e.ID&2 != 0)
	o.name("new", string(e.New))
	if e.Receiving {
		o.name("stream_side", "receiving")
	} else {
		o.name("stream_side", "sending")
	}
	o.name("trigger", string(e.Initiator))
	return o.end()
}

// Location is a layer that data passes.
type Location string

// The layers.
const (
	Application Location = "application"
	Transport   Location = "transport"
	Network     Location = "network"
)

// StreamDataMoved tells that data of a stream passed from one layer to another.
type StreamDataMoved struct {
	ID, Offset uint64
	Length     int
	From, To   Location
	Fin        bool // the end of the stream, too
}

// Name implements [Event].
func (*StreamDataMoved) Name() string { return "quic:stream_data_moved" }

// AppendData implements [Event].
func (e *StreamDataMoved) AppendData(b []byte) []byte {
	o := begin(b)
	o.mustUint("stream_id", e.ID)
	o.mustUint("offset", e.Offset)
	o.name("from", string(e.From))
	o.name("to", string(e.To))
	if e.Fin {
		o.name("additional_info", "fin_set")
	}
	o.key("raw")
	o.b = RawInfo{Length: e.Length}.append(o.b)
	return o.end()
}

// DatagramDataMoved tells that an unreliable datagram passed from one layer to another.
type DatagramDataMoved struct {
	Length   int
	From, To Location
}

// Name implements [Event].
func (*DatagramDataMoved) Name() string { return "quic:datagram_data_moved" }

// AppendData implements [Event].
func (e *DatagramDataMoved) AppendData(b []byte) []byte {
	o := begin(b)
	o.name("from", string(e.From))
	o.name("to", string(e.To))
	o.key("raw")
	o.b = RawInfo{Length: e.Length}.append(o.b)
	return o.end()
}

// BlockedReason says what keeps data from being sent.
type BlockedReason string

// What keeps data from being sent.
const (
	BlockedByPacing         BlockedReason = "pacing"
	BlockedByAmplification  BlockedReason = "amplification_protection"
	BlockedByCongestion     BlockedReason = "congestion_control"
	BlockedByConnectionFlow BlockedReason = "connection_flow_control"
	BlockedByStreamFlow     BlockedReason = "stream_flow_control"
)

func (o *object) blocked(blocked bool, reason BlockedReason) {
	if blocked {
		o.name("old", "unblocked")
		o.name("new", "blocked")
	} else {
		o.name("old", "blocked")
		o.name("new", "unblocked")
	}
	o.name("reason", string(reason))
}

// ConnectionDataBlockedUpdated tells that the connection can send no data, or can again.
type ConnectionDataBlockedUpdated struct {
	Blocked bool
	Reason  BlockedReason // "" where it is blocked no more
}

// Name implements [Event].
func (*ConnectionDataBlockedUpdated) Name() string { return "quic:connection_data_blocked_updated" }

// AppendData implements [Event].
func (e *ConnectionDataBlockedUpdated) AppendData(b []byte) []byte {
	o := begin(b)
	o.blocked(e.Blocked, e.Reason)
	return o.end()
}

// StreamDataBlockedUpdated tells that a stream can send no data, or can again.
type StreamDataBlockedUpdated struct {
	ID      uint64
	Blocked bool
	Reason  BlockedReason // "" where it is blocked no more
}

// Name implements [Event].
func (*StreamDataBlockedUpdated) Name() string { return "quic:stream_data_blocked_updated" }

// AppendData implements [Event].
func (e *StreamDataBlockedUpdated) AppendData(b []byte) []byte {
	o := begin(b)
	o.blocked(e.Blocked, e.Reason)
	o.mustUint("stream_id", e.ID)
	return o.end()
}
