package qlog

import (
	"strconv"
	"time"
	"unicode/utf8"
)

// FrameType names a QUIC frame.
type FrameType string

// The frames of RFC 9000 and its extensions.
const (
	FramePadding            FrameType = "padding"
	FramePing               FrameType = "ping"
	FrameAck                FrameType = "ack"
	FrameResetStream        FrameType = "reset_stream"
	FrameResetStreamAt      FrameType = "reset_stream_at"
	FrameStopSending        FrameType = "stop_sending"
	FrameCrypto             FrameType = "crypto"
	FrameNewToken           FrameType = "new_token"
	FrameStream             FrameType = "stream"
	FrameMaxData            FrameType = "max_data"
	FrameMaxStreamData      FrameType = "max_stream_data"
	FrameMaxStreams         FrameType = "max_streams"
	FrameDataBlocked        FrameType = "data_blocked"
	FrameStreamDataBlocked  FrameType = "stream_data_blocked"
	FrameStreamsBlocked     FrameType = "streams_blocked"
	FrameNewConnectionID    FrameType = "new_connection_id"
	FrameRetireConnectionID FrameType = "retire_connection_id"
	FramePathChallenge      FrameType = "path_challenge"
	FramePathResponse       FrameType = "path_response"
	FrameConnectionClose    FrameType = "connection_close"
	FrameHandshakeDone      FrameType = "handshake_done"
	FrameDatagram           FrameType = "datagram"
	FrameUnknown            FrameType = "unknown"

	// The draft leaves the names of other extensions' frames open.
	FrameAckFrequency FrameType = "ack_frequency"
	FrameImmediateAck FrameType = "immediate_ack"
)

// AckRange is a range of acknowledged packet numbers, both included.
type AckRange struct{ Smallest, Largest uint64 }

// Frame is a QUIC frame. Which of the fields mean something depends on the type; what a frame carries is told by its length
// alone.
type Frame struct {
	Type     FrameType
	StreamID uint64
	Offset   uint64 // of stream and CRYPTO data
	Length   int    // of the frame's data or padding, bytes
	Fin      bool
	Code     uint64 // error code; of FrameUnknown its type
	// Value is the final size of a reset, the limit that a MAX frame raises or that a BLOCKED frame names, or the sequence
	// number of a connection ID or of ACK_FREQUENCY.
	Value uint64
	// Second is the reliable size of RESET_STREAM_AT, the Retire Prior To of NEW_CONNECTION_ID and the Ack-Eliciting Threshold
	// of ACK_FREQUENCY.
	Second     uint64
	Reordering uint64 // the Reordering Threshold of ACK_FREQUENCY
	Uni        bool   // MAX_STREAMS and STREAMS_BLOCKED for unidirectional streams

	Delay          time.Duration // of an ACK frame, or that ACK_FREQUENCY asks for
	Ranges         []AckRange
	ECN            bool // the counts are there
	ECT0, ECT1, CE uint64

	Data        []byte // connection ID, or what a path challenge or response carries
	Application bool   // a CONNECTION_CLOSE of the application's
	Trigger     uint64 // the frame type that a CONNECTION_CLOSE is about; 0 for none
	Reason      []byte // of a CONNECTION_CLOSE
}

func (o *object) frames(frames []Frame) {
	o.key("frames")
	o.b = append(o.b, '[')
	for i := range frames {
		if i > 0 {
			o.b = append(o.b, ',')
		}
		o.b = frames[i].append(o.b)
	}
	o.b = append(o.b, ']')
}

func (f *Frame) append(b []byte) []byte {
	o := begin(b)
	o.name("frame_type", string(f.Type))
	switch f.Type {
	case FramePadding:
		o.raw(RawInfo{Length: f.Length, PayloadLength: f.Length})
	case FrameAck:
		f.ack(&o)
	case FrameResetStream, FrameResetStreamAt:
		o.mustUint("stream_id", f.StreamID)
		o.applicationError("error", f.Code)
		o.mustUint("final_size", f.Value)
		if f.Type == FrameResetStreamAt {
			o.mustUint("reliable_size", f.Second)
		}
	case FrameStopSending:
		o.mustUint("stream_id", f.StreamID)
		o.applicationError("error", f.Code)
	case FrameCrypto:
		o.mustUint("offset", f.Offset)
		f.payload(&o)
	case FrameNewToken:
		o.key("token")
		t := begin(o.b)
		t.name("type", "resumption")
		t.raw(RawInfo{Length: f.Length})
		o.b = t.end()
	case FrameStream:
		o.mustUint("stream_id", f.StreamID)
		o.uint("offset", f.Offset)
		o.bool("fin", f.Fin)
		f.payload(&o)
	case FrameDatagram:
		f.payload(&o)
	case FrameMaxData:
		o.mustUint("maximum", f.Value)
	case FrameMaxStreamData:
		o.mustUint("stream_id", f.StreamID)
		o.mustUint("maximum", f.Value)
	case FrameMaxStreams:
		o.direction("stream_type", f.Uni)
		o.mustUint("maximum", f.Value)
	case FrameDataBlocked:
		o.mustUint("limit", f.Value)
	case FrameStreamDataBlocked:
		o.mustUint("stream_id", f.StreamID)
		o.mustUint("limit", f.Value)
	case FrameStreamsBlocked:
		o.direction("stream_type", f.Uni)
		o.mustUint("limit", f.Value)
	case FrameNewConnectionID:
		// The stateless reset token is left out: whoever reads the trace could end the connection with it.
		o.mustUint("sequence_number", f.Value)
		o.mustUint("retire_prior_to", f.Second)
		o.mustHex("connection_id", f.Data)
	case FrameRetireConnectionID:
		o.mustUint("sequence_number", f.Value)
	case FramePathChallenge, FramePathResponse:
		o.hex("data", f.Data)
	case FrameConnectionClose:
		f.close(&o)
	case FrameAckFrequency:
		o.mustUint("sequence_number", f.Value)
		o.mustUint("ack_eliciting_threshold", f.Second)
		o.ms("requested_max_ack_delay", f.Delay)
		o.mustUint("reordering_threshold", f.Reordering)
	case FrameUnknown:
		o.mustUint("frame_type_bytes", f.Code)
	}
	return o.end()
}

// payload writes how much a frame carries.
func (f *Frame) payload(o *object) {
	o.key("raw")
	o.b = RawInfo{Length: f.Length, PayloadLength: f.Length}.append(o.b)
}

func (f *Frame) ack(o *object) {
	o.ms("ack_delay", f.Delay)
	o.key("acked_ranges")
	o.b = append(o.b, '[')
	for i, r := range f.Ranges {
		if i > 0 {
			o.b = append(o.b, ',')
		}
		o.b = append(o.b, '[')
		o.b = strconv.AppendUint(o.b, r.Smallest, 10)
		if r.Largest != r.Smallest {
			o.b = append(o.b, ',')
			o.b = strconv.AppendUint(o.b, r.Largest, 10)
		}
		o.b = append(o.b, ']')
	}
	o.b = append(o.b, ']')
	if f.ECN {
		o.mustUint("ect1", f.ECT1)
		o.mustUint("ect0", f.ECT0)
		o.mustUint("ce", f.CE)
	}
}

func (f *Frame) close(o *object) {
	if f.Application {
		o.name("error_space", "application")
		o.applicationError("error", f.Code)
	} else {
		o.name("error_space", "transport")
		o.transportError("error", f.Code)
		if f.Trigger != 0 {
			o.mustUint("trigger_frame_type", f.Trigger)
		}
	}
	if utf8.Valid(f.Reason) {
		o.text("reason", string(f.Reason))
	} else {
		o.hex("reason_bytes", f.Reason)
	}
}

func (o *object) direction(k string, uni bool) {
	if uni {
		o.name(k, "unidirectional")
	} else {
		o.name(k, "bidirectional")
	}
}
