package quic

import (
	"time"

	"github.com/dunlin-quic/dunlin/internal/wire"
	"github.com/dunlin-quic/dunlin/qlog"
)

// parse returns the frames of a packet's plaintext, valid until the next call. A frame that is malformed or not known is the last
// one. exponent is the ack_delay_exponent of whoever sent the packet.
func (t *tracing) parse(b []byte, exponent uint8) []qlog.Frame {
	t.frames, t.ranges = t.frames[:0], t.ranges[:0]
	for len(b) > 0 {
		f := qlog.Frame{}
		n := t.parseFrame(&f, b, exponent)
		if n == 0 {
			typ, _, _ := wire.ParseFrameType(b)
			f = qlog.Frame{Type: qlog.FrameUnknown, Code: uint64(typ)}
			n = len(b)
		}
		t.frames = append(t.frames, f)
		b = b[n:]
	}
	return t.frames
}

// parseFrame parses the frame that b begins with and returns its length, 0 if it is malformed or not known.
func (t *tracing) parseFrame(q *qlog.Frame, b []byte, exponent uint8) (n int) {
	typ := wire.PeekFrameType(b)
	switch {
	case typ.IsStream():
		var f wire.StreamFrame
		f, n = wire.ParseStream(b)
		*q = qlog.Frame{Type: qlog.FrameStream, StreamID: f.ID, Offset: f.Offset, Length: len(f.Data), Fin: f.Fin}
		return n
	case typ == wire.FrameAck || typ == wire.FrameAckECN:
		return t.parseAck(q, b, exponent)
	}
	switch typ {
	case wire.FramePadding:
		n = wire.ParsePadding(b)
		*q = qlog.Frame{Type: qlog.FramePadding, Length: n}
	case wire.FramePing:
		q.Type, n = qlog.FramePing, 1
	case wire.FrameCrypto:
		var f wire.CryptoFrame
		f, n = wire.ParseCrypto(b)
		*q = qlog.Frame{Type: qlog.FrameCrypto, Offset: f.Offset, Length: len(f.Data)}
	case wire.FrameAckFrequency:
		var f wire.AckFrequencyFrame
		f, n = wire.ParseAckFrequency(b)
		*q = qlog.Frame{
			Type: qlog.FrameAckFrequency, Value: f.Seq, Second: f.Threshold, Reordering: f.Reordering,
			Delay: time.Duration(min(f.MaxAckDelay, 1<<40)) * time.Microsecond, // more is not valid by far
		}
	case wire.FrameImmediateAck:
		q.Type, n = qlog.FrameImmediateAck, 1
	case wire.FrameHandshakeDone:
		q.Type, n = qlog.FrameHandshakeDone, 1
	case wire.FrameDatagram, wire.FrameDatagramLen:
		var data []byte
		data, n = wire.ParseDatagram(b)
		*q = qlog.Frame{Type: qlog.FrameDatagram, Length: len(data)}
	case wire.FrameConnectionClose, wire.FrameConnectionCloseApp:
		var f wire.ConnectionCloseFrame
		f, n = wire.ParseConnectionClose(b)
		*q = qlog.Frame{Type: qlog.FrameConnectionClose, Application: f.App, Code: f.Code, Trigger: uint64(f.FrameType), Reason: f.Reason}
	case wire.FrameNewToken:
		var token []byte
		token, n = wire.ParseNewToken(b)
		*q = qlog.Frame{Type: qlog.FrameNewToken, Length: len(token)}
	case wire.FrameNewConnectionID:
		var f wire.NewConnectionIDFrame
		f, n = wire.ParseNewConnectionID(b)
		*q = qlog.Frame{Type: qlog.FrameNewConnectionID, Value: f.Seq, Second: f.RetirePriorTo, Data: f.ID.Append(nil)}
	case wire.FrameRetireConnectionID:
		q.Type = qlog.FrameRetireConnectionID
		q.Value, n = wire.ParseRetireConnectionID(b)
	case wire.FramePathChallenge, wire.FramePathResponse:
		q.Type = qlog.FramePathChallenge
		if typ == wire.FramePathResponse {
			q.Type = qlog.FramePathResponse
		}
		if len(b) >= wire.PathDataLen {
			n = wire.PathDataLen
			q.Data = b[1:n]
		}
	default:
		return parseStreamControl(q, typ, b)
	}
	return n
}

func (t *tracing) parseAck(q *qlog.Frame, b []byte, exponent uint8) (n int) {
	var scratch [wire.MaxAckRanges]wire.AckRange
	f, n := wire.ParseAck(b, scratch[:0])
	if n == 0 {
		return 0
	}
	for _, r := range f.Ranges {
		t.ranges = append(t.ranges, qlog.AckRange{Smallest: r.Smallest, Largest: r.Largest})
	}
	*q = qlog.Frame{
		Type: qlog.FrameAck, Delay: f.DelayDuration(exponent), Ranges: t.ranges[len(t.ranges)-len(f.Ranges):],
		ECN: f.HasECN, ECT0: f.ECN.ECT0, ECT1: f.ECN.ECT1, CE: f.ECN.CE,
	}
	return n
}

// parseStreamControl parses the frames about streams and their limits.
func parseStreamControl(q *qlog.Frame, typ wire.FrameType, b []byte) (n int) {
	switch typ {
	case wire.FrameResetStream:
		var f wire.ResetStreamFrame
		f, n = wire.ParseResetStream(b)
		*q = qlog.Frame{Type: qlog.FrameResetStream, StreamID: f.ID, Code: f.Code, Value: f.FinalSize}
	case wire.FrameResetStreamAt:
		var f wire.ResetStreamAtFrame
		f, n = wire.ParseResetStreamAt(b)
		*q = qlog.Frame{
			Type: qlog.FrameResetStreamAt, StreamID: f.ID, Code: f.Code, Value: f.FinalSize, Second: f.ReliableSize,
		}
	case wire.FrameStopSending:
		var f wire.StopSendingFrame
		f, n = wire.ParseStopSending(b)
		*q = qlog.Frame{Type: qlog.FrameStopSending, StreamID: f.ID, Code: f.Code}
	case wire.FrameMaxData:
		q.Type = qlog.FrameMaxData
		q.Value, n = wire.ParseMaxData(b)
	case wire.FrameMaxStreamData:
		var f wire.StreamLimitFrame
		f, n = wire.ParseMaxStreamData(b)
		*q = qlog.Frame{Type: qlog.FrameMaxStreamData, StreamID: f.ID, Value: f.Limit}
	case wire.FrameMaxStreamsBidi, wire.FrameMaxStreamsUni:
		var f wire.StreamsFrame
		f, n = wire.ParseMaxStreams(b)
		*q = qlog.Frame{Type: qlog.FrameMaxStreams, Uni: f.Uni, Value: f.Limit}
	case wire.FrameDataBlocked:
		q.Type = qlog.FrameDataBlocked
		q.Value, n = wire.ParseDataBlocked(b)
	case wire.FrameStreamDataBlocked:
		var f wire.StreamLimitFrame
		f, n = wire.ParseStreamDataBlocked(b)
		*q = qlog.Frame{Type: qlog.FrameStreamDataBlocked, StreamID: f.ID, Value: f.Limit}
	case wire.FrameStreamsBlockedBidi, wire.FrameStreamsBlockedUni:
		var f wire.StreamsFrame
		f, n = wire.ParseStreamsBlocked(b)
		*q = qlog.Frame{Type: qlog.FrameStreamsBlocked, Uni: f.Uni, Value: f.Limit}
	}
	return n
}
