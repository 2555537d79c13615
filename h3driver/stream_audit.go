package h3driver

import (
	"errors"
	"time"

	"github.com/dunlin-quic/dunlin/h3"
	"github.com/dunlin-quic/dunlin/quic"
)

// StreamAudit is the account of one request and its response, for logs: see [Stream.Audit].
type StreamAudit struct {
	// BytesReceived and BytesSent are the bytes of the bodies: taken from the peer, and handed over to the connection.
	BytesReceived, BytesSent uint64
	// FinReceived and FinSent say that the message was complete.
	FinReceived, FinSent bool
	// What was given up, and why. A peer that abandons its own message resets it; one that wants no more of ours asks to stop it.
	ResetReceived, ResetSent, StopReceived, StopSent EarlyEnd
	// HeaderWait is how long our header section waited for flow control.
	HeaderWait time.Duration
}

// EarlyEnd is the end of one half of a stream before its message was complete.
type EarlyEnd struct {
	Happened bool       // else Code means nothing
	Code     h3.ErrCode // of the RESET_STREAM or STOP_SENDING frame
}

// Audit returns what is known of the stream until now, or in the end. Any goroutine may call it at any time.
func (s *Stream) Audit() StreamAudit {
	s.mu.Lock()
	defer s.mu.Unlock()
	in, out := &s.in, &s.out
	return StreamAudit{
		BytesReceived: in.total, BytesSent: out.total, HeaderWait: out.headerWait,
		FinReceived:   in.complete,
		FinSent:       out.finished && !out.busy && out.err == nil,
		ResetReceived: byPeer(in.Err), ResetSent: EarlyEnd{out.resetSent, codeIf(out.resetSent, out.resetCode)},
		StopReceived: byPeer(out.err), StopSent: EarlyEnd{in.stopSent, codeIf(in.stopSent, in.stopCode)},
	}
}

func codeIf(happened bool, code h3.ErrCode) h3.ErrCode {
	if !happened {
		return 0
	}
	return code
}

// byPeer tells what the peer did if that is why a half ended: not if the whole connection did.
func byPeer(err error) EarlyEnd {
	if e, ok := errors.AsType[*h3.Error](err); ok && e.Remote && e.OnStream {
		return EarlyEnd{true, e.Code}
	}
	if e, ok := errors.AsType[*quic.StreamError](err); ok && e.Remote {
		return EarlyEnd{true, h3.ErrCode(e.Code)}
	}
	return EarlyEnd{}
}
