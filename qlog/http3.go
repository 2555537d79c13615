package qlog

import (
	"unicode/utf8"
)

// HTTP3Settings are the settings of HTTP/3 that have names, as the value that was given or the default.
type HTTP3Settings struct {
	MaxFieldSectionSize uint64 // 0 for no limit
	QPACKTableCapacity  uint64
	QPACKBlockedStreams uint64
	ExtendedConnect     bool
	Datagrams           bool
}

// HTTP3ParametersSet tells the settings of one side.
type HTTP3ParametersSet struct {
	Initiator Initiator
	Settings  HTTP3Settings
}

// Name implements [Event].
func (*HTTP3ParametersSet) Name() string { return "http3:parameters_set" }

// AppendData implements [Event].
func (e *HTTP3ParametersSet) AppendData(b []byte) []byte {
	o := begin(b)
	o.name("initiator", string(e.Initiator))
	e.Settings.members(&o)
	return o.end()
}

func (s *HTTP3Settings) members(o *object) {
	o.uint("max_field_section_size", s.MaxFieldSectionSize)
	o.mustUint("max_table_capacity", s.QPACKTableCapacity)
	o.mustUint("blocked_streams_count", s.QPACKBlockedStreams)
	o.mustUint("extended_connect", bit(s.ExtendedConnect))
	o.mustUint("h3_datagram", bit(s.Datagrams))
}

func bit(v bool) uint64 {
	if v {
		return 1
	}
	return 0
}

// HTTP3StreamType names what a stream is for.
type HTTP3StreamType string

// What the streams of HTTP/3 are for.
const (
	StreamRequest      HTTP3StreamType = "request"
	StreamControl      HTTP3StreamType = "control"
	StreamPush         HTTP3StreamType = "push"
	StreamReserved     HTTP3StreamType = "reserved"
	StreamUnknown      HTTP3StreamType = "unknown"
	StreamQPACKEncoder HTTP3StreamType = "qpack_encode"
	StreamQPACKDecoder HTTP3StreamType = "qpack_decode"
)

// HTTP3StreamTypeSet tells what a stream is for.
type HTTP3StreamTypeSet struct {
	Initiator Initiator
	StreamID  uint64
	Type      HTTP3StreamType
	Number    uint64 // the type of StreamUnknown
}

// Name implements [Event].
func (*HTTP3StreamTypeSet) Name() string { return "http3:stream_type_set" }

// AppendData implements [Event].
func (e *HTTP3StreamTypeSet) AppendData(b []byte) []byte {
	o := begin(b)
	o.name("initiator", string(e.Initiator))
	o.mustUint("stream_id", e.StreamID)
	o.name("stream_type", string(e.Type))
	if e.Type == StreamUnknown {
		o.mustUint("stream_type_bytes", e.Number)
	}
	return o.end()
}

// HTTP3PriorityUpdated tells that a request has another priority.
type HTTP3PriorityUpdated struct {
	StreamID uint64
	New      string // as in the Priority header field
	Client   bool   // the client said so, not the local side
}

// Name implements [Event].
func (*HTTP3PriorityUpdated) Name() string { return "http3:priority_updated" }

// AppendData implements [Event].
func (e *HTTP3PriorityUpdated) AppendData(b []byte) []byte {
	o := begin(b)
	o.mustUint("stream_id", e.StreamID)
	o.mustText("new", e.New)
	if e.Client {
		o.name("trigger", "client_signal_received")
	} else {
		o.name("trigger", "local")
	}
	return o.end()
}

// HTTP3FrameType names a frame of HTTP/3.
type HTTP3FrameType string

// The frames of HTTP/3.
const (
	HTTP3Data           HTTP3FrameType = "data"
	HTTP3Headers        HTTP3FrameType = "headers"
	HTTP3CancelPush     HTTP3FrameType = "cancel_push"
	HTTP3SettingsFrame  HTTP3FrameType = "settings"
	HTTP3PushPromise    HTTP3FrameType = "push_promise"
	HTTP3GoAway         HTTP3FrameType = "goaway"
	HTTP3MaxPushID      HTTP3FrameType = "max_push_id"
	HTTP3PriorityUpdate HTTP3FrameType = "priority_update"
	HTTP3Reserved       HTTP3FrameType = "reserved"
	HTTP3Unknown        HTTP3FrameType = "unknown"
)

// HTTP3Field is a line of a header or trailer section. A value that is a secret is left out.
type HTTP3Field struct{ Name, Value string }

// HTTP3Setting is an entry of a SETTINGS frame.
type HTTP3Setting struct{ ID, Value uint64 }

// HTTP3Frame is a frame of HTTP/3. Which of the fields mean something depends on the type.
type HTTP3Frame struct {
	Type     HTTP3FrameType
	Length   int    // of the payload, bytes; -1 if it is not known
	Number   uint64 // the type of HTTP3Reserved and HTTP3Unknown
	ID       uint64 // of GOAWAY; a push ID; the stream of PRIORITY_UPDATE
	Push     bool   // PRIORITY_UPDATE is about a push
	Fields   []HTTP3Field
	Settings []HTTP3Setting
	Priority string
}

// HTTP3FrameCreated tells of a frame that is sent.
type HTTP3FrameCreated struct {
	StreamID uint64
	Frame    HTTP3Frame
}

// Name implements [Event].
func (*HTTP3FrameCreated) Name() string { return "http3:frame_created" }

// AppendData implements [Event].
func (e *HTTP3FrameCreated) AppendData(b []byte) []byte { return e.Frame.event(b, e.StreamID) }

// HTTP3FrameParsed tells of a frame that was received.
type HTTP3FrameParsed struct {
	StreamID uint64
	Frame    HTTP3Frame
}

// Name implements [Event].
func (*HTTP3FrameParsed) Name() string { return "http3:frame_parsed" }

// AppendData implements [Event].
func (e *HTTP3FrameParsed) AppendData(b []byte) []byte { return e.Frame.event(b, e.StreamID) }

func (f *HTTP3Frame) event(b []byte, stream uint64) []byte {
	o := begin(b)
	o.mustUint("stream_id", stream)
	o.key("frame")
	o.b = f.append(o.b)
	return o.end()
}

func (f *HTTP3Frame) append(b []byte) []byte {
	o := begin(b)
	o.name("frame_type", string(f.Type))
	switch f.Type {
	case HTTP3Headers:
		o.fields(f.Fields)
	case HTTP3SettingsFrame:
		o.settings(f.Settings)
	case HTTP3PushPromise:
		o.mustUint("push_id", f.ID)
		o.fields(f.Fields)
	case HTTP3CancelPush, HTTP3MaxPushID:
		o.mustUint("push_id", f.ID)
	case HTTP3GoAway:
		o.mustUint("id", f.ID)
	case HTTP3PriorityUpdate:
		if f.Push {
			o.mustUint("push_id", f.ID)
		} else {
			o.mustUint("stream_id", f.ID)
		}
		o.mustText("priority_field_value", f.Priority)
	case HTTP3Reserved, HTTP3Unknown:
		o.mustUint("frame_type_bytes", f.Number)
	}
	if f.Length >= 0 {
		o.payload(f.Length)
	}
	return o.end()
}

// payload writes how long a payload is.
func (o *object) payload(n int) {
	o.key("raw")
	in := begin(o.b)
	in.mustUint("payload_length", uint64(n))
	o.b = in.end()
}

func (o *object) fields(fields []HTTP3Field) {
	o.key("headers")
	o.b = append(o.b, '[')
	for i, f := range fields {
		if i > 0 {
			o.b = append(o.b, ',')
		}
		in := begin(o.b)
		if utf8.ValidString(f.Name) {
			in.mustText("name", f.Name)
		} else {
			in.mustHex("name_bytes", []byte(f.Name))
		}
		if utf8.ValidString(f.Value) {
			in.text("value", f.Value)
		} else {
			in.hex("value_bytes", []byte(f.Value))
		}
		o.b = in.end()
	}
	o.b = append(o.b, ']')
}

// settingName names the settings with names (RFC 9114, Section 7.2.4.1; RFC 9204, Section 5; RFC 9220; RFC 9297).
func settingName(id uint64) string {
	switch id {
	case 0x01:
		return "settings_qpack_max_table_capacity"
	case 0x06:
		return "settings_max_field_section_size"
	case 0x07:
		return "settings_qpack_blocked_streams"
	case 0x08:
		return "settings_enable_connect_protocol"
	case 0x33:
		return "settings_h3_datagram"
	}
	// RFC 9114, Section 7.2.4.1.
	if id >= 0x21 && (id-0x21)%0x1f == 0 {
		return "reserved"
	}
	return "unknown"
}

func (o *object) settings(settings []HTTP3Setting) {
	o.key("settings")
	o.b = append(o.b, '[')
	for i, s := range settings {
		if i > 0 {
			o.b = append(o.b, ',')
		}
		in := begin(o.b)
		name := settingName(s.ID)
		in.name("name", name)
		if name == "unknown" {
			in.mustUint("name_bytes", s.ID)
		}
		in.mustUint("value", s.Value)
		o.b = in.end()
	}
	o.b = append(o.b, ']')
}

// HTTP3ParametersRestored tells the settings of the server that a client remembers, for early data.
type HTTP3ParametersRestored struct{ Settings HTTP3Settings }

// Name implements [Event].
func (*HTTP3ParametersRestored) Name() string { return "http3:parameters_restored" }

// AppendData implements [Event].
func (e *HTTP3ParametersRestored) AppendData(b []byte) []byte {
	o := begin(b)
	e.Settings.members(&o)
	return o.end()
}

// HTTP3DatagramCreated tells of an HTTP datagram that is sent.
type HTTP3DatagramCreated struct {
	QuarterStreamID uint64
	Length          int // of the payload, bytes
}

// Name implements [Event].
func (*HTTP3DatagramCreated) Name() string { return "http3:datagram_created" }

// AppendData implements [Event].
func (e *HTTP3DatagramCreated) AppendData(b []byte) []byte {
	return appendHTTP3Datagram(b, e.QuarterStreamID, e.Length)
}

// HTTP3DatagramParsed tells of an HTTP datagram that was received.
type HTTP3DatagramParsed struct {
	QuarterStreamID uint64
	Length          int // of the payload, bytes
}

// Name implements [Event].
func (*HTTP3DatagramParsed) Name() string { return "http3:datagram_parsed" }

// AppendData implements [Event].
func (e *HTTP3DatagramParsed) AppendData(b []byte) []byte {
	return appendHTTP3Datagram(b, e.QuarterStreamID, e.Length)
}

func appendHTTP3Datagram(b []byte, id uint64, length int) []byte {
	o := begin(b)
	o.mustUint("quarter_stream_id", id)
	o.payload(length)
	return o.end()
}
