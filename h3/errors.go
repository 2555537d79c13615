package h3

import (
	"errors"
	"fmt"
	"net"

	"github.com/dunlin-quic/dunlin/quic"
)

// ErrCode is an HTTP/3 error code: of RFC 9114, Section 8.1, of QPACK (RFC 9204, Section 6), of an extension, or an
// unknown one.
type ErrCode uint64

// The error codes of RFC 9114, Section 8.1, of RFC 9297 and of RFC 9204, Section 6.
const (
	NoError              ErrCode = 0x100
	GeneralProtocolError ErrCode = 0x101
	InternalError        ErrCode = 0x102
	StreamCreationError  ErrCode = 0x103
	ClosedCriticalStream ErrCode = 0x104
	FrameUnexpected      ErrCode = 0x105
	FrameError           ErrCode = 0x106
	ExcessiveLoad        ErrCode = 0x107
	IDError              ErrCode = 0x108
	SettingsError        ErrCode = 0x109
	MissingSettings      ErrCode = 0x10a
	RequestRejected      ErrCode = 0x10b
	RequestCancelled     ErrCode = 0x10c
	RequestIncomplete    ErrCode = 0x10d
	MessageError         ErrCode = 0x10e
	ConnectError         ErrCode = 0x10f
	VersionFallback      ErrCode = 0x110

	DatagramError ErrCode = 0x33 // RFC 9297, Section 5.2

	QPACKDecompressionFailed ErrCode = 0x200
	QPACKEncoderStreamError  ErrCode = 0x201
	QPACKDecoderStreamError  ErrCode = 0x202
)

var errCodeNames = [...]string{
	"H3_NO_ERROR", "H3_GENERAL_PROTOCOL_ERROR", "H3_INTERNAL_ERROR", "H3_STREAM_CREATION_ERROR",
	"H3_CLOSED_CRITICAL_STREAM", "H3_FRAME_UNEXPECTED", "H3_FRAME_ERROR", "H3_EXCESSIVE_LOAD", "H3_ID_ERROR",
	"H3_SETTINGS_ERROR", "H3_MISSING_SETTINGS", "H3_REQUEST_REJECTED", "H3_REQUEST_CANCELLED",
	"H3_REQUEST_INCOMPLETE", "H3_MESSAGE_ERROR", "H3_CONNECT_ERROR", "H3_VERSION_FALLBACK",
}

var qpackErrCodeNames = [...]string{
	"QPACK_DECOMPRESSION_FAILED", "QPACK_ENCODER_STREAM_ERROR", "QPACK_DECODER_STREAM_ERROR",
}

// String returns the name that the RFC gives to the code, or its number.
func (c ErrCode) String() string {
	switch {
	case c >= NoError && c <= VersionFallback:
		return errCodeNames[c-NoError]
	case c >= QPACKDecompressionFailed && c <= QPACKDecoderStreamError:
		return qpackErrCodeNames[c-QPACKDecompressionFailed]
	case c == DatagramError:
		return "H3_DATAGRAM_ERROR"
	}
	return fmt.Sprintf("HTTP/3 error 0x%x", uint64(c))
}

// Error is why a request or, when OnStream is false, the whole connection ended. An error of the connection matches
// [net.ErrClosed].
type Error struct {
	Remote   bool          // the peer said so; else this side found the fault or its user asked for it
	OnStream bool          // only the request on the stream StreamID ended
	StreamID quic.StreamID // if OnStream
	Code     ErrCode
	Reason   string // for people; may be empty
}

// Error says who ended what, with which code.
func (e *Error) Error() string {
	s := "h3: " + e.Code.String()
	if e.OnStream {
		s += fmt.Sprintf(" on stream %d", e.StreamID)
	}
	if e.Remote {
		s += " from the peer"
	}
	if e.Reason != "" {
		s += ": " + e.Reason
	}
	return s
}

// Is reports that the error of a connection that ended matches net.ErrClosed.
func (e *Error) Is(target error) bool { return target == net.ErrClosed && !e.OnStream }

// Errors of single calls; the connection goes on.
var (
	// ErrGoingAway: the peer has sent GOAWAY and takes no further request; use another connection.
	ErrGoingAway = errors.New("h3: the peer is going away and takes no further request")
	// ErrServer: only clients open requests.
	ErrServer = errors.New("h3: servers can't open requests")
	// ErrSequence: header section, body and trailers were sent out of order, or after the end of the message.
	ErrSequence = errors.New("h3: message parts out of order")
	// ErrFieldSectionTooLarge: the peer has said that it takes no field section of that size (RFC 9114, Section 4.2.2).
	ErrFieldSectionTooLarge = errors.New("h3: field section larger than the peer accepts")
	// ErrExtendedConnect: the server has not said that it takes CONNECT with a :protocol (RFC 9220), or not yet:
	// EventSettings tells.
	ErrExtendedConnect = errors.New("h3: the server takes no extended CONNECT")
	// ErrDatagrams: HTTP datagrams are not offered by both sides (RFC 9297, Section 2.1.1), or the peer's settings have not
	// arrived: EventSettings tells.
	ErrDatagrams = errors.New("h3: the peer takes no HTTP datagrams")
)
