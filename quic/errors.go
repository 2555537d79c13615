package quic

import (
	"errors"
	"fmt"
	"net"
)

// TransportErrorCode is an error code of RFC 9000, Section 20.1, or of an extension. Codes 0x100 to 0x1ff carry a TLS alert.
type TransportErrorCode uint64

// The error codes of RFC 9000, Section 20.1, and of extensions.
const (
	NoError                 TransportErrorCode = 0x00
	InternalError           TransportErrorCode = 0x01
	ConnectionRefused       TransportErrorCode = 0x02
	FlowControlError        TransportErrorCode = 0x03
	StreamLimitError        TransportErrorCode = 0x04
	StreamStateError        TransportErrorCode = 0x05
	FinalSizeError          TransportErrorCode = 0x06
	FrameEncodingError      TransportErrorCode = 0x07
	TransportParameterError TransportErrorCode = 0x08
	ConnectionIDLimitError  TransportErrorCode = 0x09
	ProtocolViolation       TransportErrorCode = 0x0a
	InvalidToken            TransportErrorCode = 0x0b
	ApplicationErrorCode    TransportErrorCode = 0x0c
	CryptoBufferExceeded    TransportErrorCode = 0x0d
	KeyUpdateError          TransportErrorCode = 0x0e
	AEADLimitReached        TransportErrorCode = 0x0f
	NoViablePath            TransportErrorCode = 0x10
	VersionNegotiationError TransportErrorCode = 0x11  // RFC 9368, Section 10.2
	CryptoError             TransportErrorCode = 0x100 // plus the TLS alert
)

var transportErrorNames = [...]string{
	"NO_ERROR", "INTERNAL_ERROR", "CONNECTION_REFUSED", "FLOW_CONTROL_ERROR", "STREAM_LIMIT_ERROR", "STREAM_STATE_ERROR",
	"FINAL_SIZE_ERROR", "FRAME_ENCODING_ERROR", "TRANSPORT_PARAMETER_ERROR", "CONNECTION_ID_LIMIT_ERROR",
	"PROTOCOL_VIOLATION", "INVALID_TOKEN", "APPLICATION_ERROR", "CRYPTO_BUFFER_EXCEEDED", "KEY_UPDATE_ERROR",
	"AEAD_LIMIT_REACHED", "NO_VIABLE_PATH", "VERSION_NEGOTIATION_ERROR",
}

// String returns the name that the RFC gives to the code, or its number.
func (c TransportErrorCode) String() string {
	switch {
	case c < TransportErrorCode(len(transportErrorNames)):
		return transportErrorNames[c]
	case c >= CryptoError && c <= CryptoError+0xff:
		return fmt.Sprintf("CRYPTO_ERROR (TLS alert %d)", c-CryptoError)
	}
	return fmt.Sprintf("transport error 0x%x", uint64(c))
}

// TransportError is why a connection ended, where QUIC itself or TLS found the fault (RFC 9000, Section 11.1).
// It matches [net.ErrClosed].
type TransportError struct {
	Remote    bool // the peer found the fault and told us
	Code      TransportErrorCode
	FrameType FrameType // the frame that triggered it; 0 when unknown
	Reason    string    // for people; may be empty
	Err       error     // the cause where there is one, such as a *tls.CertificateVerificationError
}

// Error says who found which fault.
func (e *TransportError) Error() string {
	s := "quic: " + e.Code.String()
	if e.Remote {
		s += " from the peer"
	}
	if e.Reason != "" {
		s += ": " + e.Reason
	}
	return s
}

// Unwrap returns the cause.
func (e *TransportError) Unwrap() error { return e.Err }

// Is reports that a connection that ended matches net.ErrClosed.
func (e *TransportError) Is(target error) bool { return target == net.ErrClosed }

// transportError returns an error of this side's finding.
func transportError(code TransportErrorCode, reason string) *TransportError {
	return &TransportError{Code: code, Reason: reason}
}

// ApplicationError is why a connection ended, where the protocol over QUIC closed it (RFC 9000, Section 11.1).
// It matches [net.ErrClosed].
type ApplicationError struct {
	Remote bool   // the peer closed it
	Code   uint64 // the application protocol's own, at most 2^62-1
	Reason string // for people; may be empty
}

// Error says who closed the connection with which code.
func (e *ApplicationError) Error() string {
	who := "closed"
	if e.Remote {
		who = "closed by the peer"
	}
	s := fmt.Sprintf("quic: connection %s with application code 0x%x", who, e.Code)
	if e.Reason != "" {
		s += ": " + e.Reason
	}
	return s
}

// Is reports that a connection that ended matches net.ErrClosed.
func (e *ApplicationError) Is(target error) bool { return target == net.ErrClosed }

// StreamError is why a stream's read half (peer's RESET_STREAM, own STOP_SENDING) or write half (peer's STOP_SENDING,
// own RESET_STREAM) ended early (RFC 9000, Sections 3.5, 19.4 and 19.5).
type StreamError struct {
	Remote bool     // the peer ended it
	Code   uint64   // the application protocol's own, at most 2^62-1
	Stream StreamID // which of the connection's
}

// Error says who ended which stream with which code.
func (e *StreamError) Error() string {
	who := "this side"
	if e.Remote {
		who = "the peer"
	}
	return fmt.Sprintf("quic: stream %d ended by %s with code 0x%x", e.Stream, who, e.Code)
}

// timeoutError is an error that a net.Error's Timeout method calls a time-out.
type timeoutError string

func (e timeoutError) Error() string   { return string(e) }
func (e timeoutError) Timeout() bool   { return true }
func (e timeoutError) Temporary() bool { return false }
func (e timeoutError) Is(target error) bool {
	return target == net.ErrClosed
}

// Errors that end a connection without a code. The timeouts implement net.Error's Timeout; all match net.ErrClosed.
var (
	// ErrIdleTimeout: nothing arrived within the idle timeout (RFC 9000, Section 10.1).
	ErrIdleTimeout error = timeoutError("quic: connection timed out: nothing received within the idle timeout")
	// ErrHandshakeTimeout: the handshake did not complete in time.
	ErrHandshakeTimeout error = timeoutError("quic: handshake timed out")
	// ErrStatelessReset: the peer lost its state of the connection (RFC 9000, Section 10.3).
	ErrStatelessReset error = closedError("quic: stateless reset received: the peer has lost this connection")
	// ErrVersionNegotiation: the server speaks no version that we do (RFC 9000, Section 6.2).
	ErrVersionNegotiation error = closedError("quic: no version in common with the server")
)

type closedError string

func (e closedError) Error() string        { return string(e) }
func (e closedError) Is(target error) bool { return target == net.ErrClosed }

// Errors of single calls; the connection goes on.
var (
	// ErrWouldBlock: nothing can be read or written now; an event says when to try again.
	ErrWouldBlock = errors.New("quic: would block")
	// ErrStreamLimit: the peer allows no further stream now; EventStreamsAvailable says when it does.
	ErrStreamLimit = errors.New("quic: the peer allows no further stream yet")
	// ErrDatagramTooLarge: the datagram fits no packet on this path or exceeds what the peer accepts.
	ErrDatagramTooLarge = errors.New("quic: datagram too large")
	// ErrDatagramUnsupported: the peer did not negotiate datagrams (RFC 9221, Section 3).
	ErrDatagramUnsupported = errors.New("quic: the peer accepts no datagrams")
	// ErrStreamDone: the write half was already finished or reset by this side.
	ErrStreamDone = errors.New("quic: write after the end of the stream")
	// ErrEarlyDataRejected: the stream was opened by early data that the server did not take, and nothing of it can be
	// sent again; see EventEarlyDataRejected.
	ErrEarlyDataRejected = errors.New("quic: early data rejected by the server")
	// ErrDirection: a read from a send-only stream, or a write to a receive-only one.
	ErrDirection = errors.New("quic: wrong direction for this stream")
)
