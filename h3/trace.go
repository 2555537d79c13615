package h3

import (
	"fmt"

	"github.com/dunlin-quic/dunlin/internal/wire"
	"github.com/dunlin-quic/dunlin/qlog"
	"github.com/dunlin-quic/dunlin/quic"
)

// The methods here tell the tracer of the QUIC connection what HTTP/3 does. They are called where there is one alone: events
// cost something to make.

// traceSettings tells the settings of one side.
func (c *Conn) traceSettings(by qlog.Initiator, settings []Setting) {
	c.q.Trace(&qlog.HTTP3ParametersSet{Initiator: by, Settings: tracedSettings(settings)})
}

func tracedSettings(settings []Setting) (t qlog.HTTP3Settings) {
	for _, s := range settings {
		switch s.ID {
		case SettingMaxFieldSectionSize:
			t.MaxFieldSectionSize = s.Value
		case SettingQPACKMaxTableCapacity:
			t.QPACKTableCapacity = s.Value
		case SettingQPACKBlockedStreams:
			t.QPACKBlockedStreams = s.Value
		case SettingEnableConnectProtocol:
			t.ExtendedConnect = s.Value == 1
		case SettingH3Datagram:
			t.Datagrams = s.Value == 1
		}
	}
	return t
}

// traceType tells what a stream is for.
func (c *Conn) traceType(by qlog.Initiator, id quic.StreamID, t streamType) {
	e := qlog.HTTP3StreamTypeSet{Initiator: by, StreamID: uint64(id), Type: qlog.StreamUnknown, Number: uint64(t)}
	switch {
	case t == streamControl:
		e.Type = qlog.StreamControl
	case t == streamPush:
		e.Type = qlog.StreamPush
	case t == streamEncoder:
		e.Type = qlog.StreamQPACKEncoder
	case t == streamDecoder:
		e.Type = qlog.StreamQPACKDecoder
	case reserved(uint64(t)):
		e.Type = qlog.StreamReserved
	}
	c.q.Trace(&e)
}

// reserved reports whether a frame or stream type means nothing, by design (RFC 9114, Sections 6.2.3 and 7.2.8).
func reserved(t uint64) bool { return t >= 0x21 && (t-0x21)%0x1f == 0 }

// traceRequest tells that a stream is for a request.
func (s *Stream) traceRequest() {
	by := qlog.Local
	if s.c.server {
		by = qlog.Remote
	}
	s.c.q.Trace(&qlog.HTTP3StreamTypeSet{Initiator: by, StreamID: uint64(s.qs.ID()), Type: qlog.StreamRequest})
}

// traceOpened tells of a critical stream of ours that has been opened, with what is to go first there.
func (c *Conn) traceOpened(s *outStream) {
	switch s {
	case &c.encoder:
		c.traceType(qlog.Local, s.qs.ID(), streamEncoder)
		return
	case &c.decoder:
		c.traceType(qlog.Local, s.qs.ID(), streamDecoder)
		return
	}
	c.traceType(qlog.Local, s.qs.ID(), streamControl)
	for b := s.buf[1:]; ; {
		t, length, n := parseFrameHeader(b)
		if n == 0 || length > uint64(len(b)-n) {
			return
		}
		payload := b[n : n+int(length)]
		f, settings := tracedFrame(t, payload)
		if t == frameSettings {
			c.traceSettings(qlog.Local, settings)
		}
		c.q.Trace(&qlog.HTTP3FrameCreated{StreamID: uint64(s.qs.ID()), Frame: f})
		b = b[n+int(length):]
	}
}

// traceSent tells of a frame that is sent on stream id.
func (c *Conn) traceSent(id quic.StreamID, t frameType, payload []byte) {
	f, _ := tracedFrame(t, payload)
	c.q.Trace(&qlog.HTTP3FrameCreated{StreamID: uint64(id), Frame: f})
}

// traceControlFrame tells of a frame that arrived on the peer's control stream.
func (c *Conn) traceControlFrame(id quic.StreamID, t frameType, payload []byte) {
	f, settings := tracedFrame(t, payload)
	if t == frameSettings {
		c.traceSettings(qlog.Remote, settings)
	}
	c.q.Trace(&qlog.HTTP3FrameParsed{StreamID: uint64(id), Frame: f})
}

// tracedFrame returns a frame of a control stream.
func tracedFrame(t frameType, payload []byte) (f qlog.HTTP3Frame, settings []Setting) {
	f.Length = len(payload)
	id, n := wire.ParseVarint(payload)
	f.ID = id
	switch t {
	case frameSettings:
		f.Type, f.ID = qlog.HTTP3SettingsFrame, 0
		settings, _, _ = parseSettings(payload)
		for _, s := range settings {
			f.Settings = append(f.Settings, qlog.HTTP3Setting{ID: uint64(s.ID), Value: s.Value})
		}
	case frameGoAway:
		f.Type = qlog.HTTP3GoAway
	case frameMaxPushID:
		f.Type = qlog.HTTP3MaxPushID
	case frameCancelPush:
		f.Type = qlog.HTTP3CancelPush
	case framePriorityUpdateRequest, framePriorityUpdatePush:
		f.Type, f.Push, f.Priority = qlog.HTTP3PriorityUpdate, t == framePriorityUpdatePush, string(payload[n:])
	default:
		return tracedUnknown(t, len(payload)), nil
	}
	return f, settings
}

func tracedUnknown(t frameType, length int) qlog.HTTP3Frame {
	f := qlog.HTTP3Frame{Type: qlog.HTTP3Unknown, Length: length, Number: uint64(t)}
	if reserved(uint64(t)) {
		f.Type = qlog.HTTP3Reserved
	}
	return f
}

// traceFrame tells that a frame begins on a request stream; a HEADERS frame is told of when it is decoded.
func (s *Stream) traceFrame() {
	e := qlog.HTTP3FrameParsed{StreamID: uint64(s.qs.ID())}
	switch s.typ {
	case frameHeaders:
		return
	case frameData:
		e.Frame = qlog.HTTP3Frame{Type: qlog.HTTP3Data, Length: int(s.left)}
	default:
		e.Frame = tracedUnknown(s.typ, int(s.left))
	}
	s.c.q.Trace(&e)
}

// traceSection tells of a HEADERS frame of length bytes, received or sent.
func (s *Stream) traceSection(received bool, fields []Field, length int) {
	f := qlog.HTTP3Frame{Type: qlog.HTTP3Headers, Length: length, Fields: tracedFields(fields)}
	if received {
		s.c.q.Trace(&qlog.HTTP3FrameParsed{StreamID: uint64(s.qs.ID()), Frame: f})
	} else {
		s.c.q.Trace(&qlog.HTTP3FrameCreated{StreamID: uint64(s.qs.ID()), Frame: f})
	}
}

// tracedFields returns a section without the values that authenticate somebody.
func tracedFields(fields []Field) []qlog.HTTP3Field {
	traced := make([]qlog.HTTP3Field, len(fields))
	for i, f := range fields {
		traced[i].Name = f.Name
		switch f.Name {
		case "authorization", "proxy-authorization", "cookie", "set-cookie", "authentication-info", "proxy-authentication-info":
		default:
			if !f.NeverIndex {
				traced[i].Value = f.Value
			}
		}
	}
	return traced
}

// traceData tells of a DATA frame that is sent.
func (s *Stream) traceData(n int) {
	s.c.q.Trace(&qlog.HTTP3FrameCreated{StreamID: uint64(s.qs.ID()), Frame: qlog.HTTP3Frame{Type: qlog.HTTP3Data, Length: n}})
}

// tracePriority tells that the request has another priority.
func (s *Stream) tracePriority(p Priority) {
	value := fmt.Sprintf("u=%d", p.Urgency)
	if p.Incremental {
		value += ", i"
	}
	s.c.q.Trace(&qlog.HTTP3PriorityUpdated{StreamID: uint64(s.qs.ID()), New: value, Client: s.c.server && s.updated})
}
