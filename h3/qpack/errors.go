package qpack

import (
	"errors"
	"fmt"
)

// ErrorCode is an error code of RFC 9204, Section 6. HTTP/3 closes the connection with it.
type ErrorCode uint64

// The error codes of RFC 9204, Section 6.
const (
	DecompressionFailed ErrorCode = 0x200 // a field section can't be decoded
	EncoderStreamError  ErrorCode = 0x201 // an instruction on the peer's encoder stream is wrong
	DecoderStreamError  ErrorCode = 0x202 // an instruction on the peer's decoder stream is wrong
)

// String returns the name that the RFC gives to the code, or its number.
func (c ErrorCode) String() string {
	switch c {
	case DecompressionFailed:
		return "QPACK_DECOMPRESSION_FAILED"
	case EncoderStreamError:
		return "QPACK_ENCODER_STREAM_ERROR"
	case DecoderStreamError:
		return "QPACK_DECODER_STREAM_ERROR"
	}
	return fmt.Sprintf("QPACK error 0x%x", uint64(c))
}

// Error is a fault of the peer's that ends the connection.
type Error struct {
	Code   ErrorCode
	Reason string // for people
}

// Error says what was wrong.
func (e *Error) Error() string { return "qpack: " + e.Code.String() + ": " + e.Reason }

// Results of [Decoder.Decode] that are no fault of the peer's QPACK encoder; the connection goes on.
var (
	// ErrBlocked: the section refers to insertions that have not arrived. NextUnblocked says when to decode it again.
	ErrBlocked = errors.New("qpack: field section waits for the encoder stream")
	// ErrTooLarge: the section exceeds the given limit. Call Cancel: it was not decoded.
	ErrTooLarge = errors.New("qpack: field section too large")
)
