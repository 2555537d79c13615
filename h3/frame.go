package h3

import (
	"fmt"

	"github.com/dunlin-quic/dunlin/internal/wire"
)

// frameType is the type of an HTTP/3 frame.
type frameType uint64

// The frame types of RFC 9114, Section 7.2 and RFC 9218, Section 7.2.
const (
	frameData                  frameType = 0x00
	frameHeaders               frameType = 0x01
	frameCancelPush            frameType = 0x03
	frameSettings              frameType = 0x04
	framePushPromise           frameType = 0x05
	frameGoAway                frameType = 0x07
	frameMaxPushID             frameType = 0x0d
	framePriorityUpdateRequest frameType = 0xf0700
	framePriorityUpdatePush    frameType = 0xf0701
)

// http2 reports whether the type stands for a frame of HTTP/2 that HTTP/3 has not. RFC 9114, Section 7.2.8: their
// receipt is an error on every stream.
func (t frameType) http2() bool {
	switch t {
	case 0x02, 0x06, 0x08, 0x09:
		return true
	}
	return false
}

// known reports whether this package knows what the frame means, so that it can be in the wrong place.
func (t frameType) known() bool {
	switch t {
	case frameData, frameHeaders, frameCancelPush, frameSettings, framePushPromise, frameGoAway, frameMaxPushID,
		framePriorityUpdateRequest, framePriorityUpdatePush:
		return true
	}
	return t.http2()
}

func (t frameType) String() string {
	switch t {
	case frameData:
		return "DATA"
	case frameHeaders:
		return "HEADERS"
	case frameCancelPush:
		return "CANCEL_PUSH"
	case frameSettings:
		return "SETTINGS"
	case framePushPromise:
		return "PUSH_PROMISE"
	case frameGoAway:
		return "GOAWAY"
	case frameMaxPushID:
		return "MAX_PUSH_ID"
	case framePriorityUpdateRequest, framePriorityUpdatePush:
		return "PRIORITY_UPDATE"
	}
	return fmt.Sprintf("frame 0x%x", uint64(t))
}

// maxFrameHeader is the length of the longest type and length of a frame.
const maxFrameHeader = 16

// appendFrameHeader appends the type and length of a frame (RFC 9114, Section 7.1).
func appendFrameHeader(b []byte, t frameType, length int) []byte {
	return wire.AppendVarint(wire.AppendVarint(b, uint64(t)), uint64(length))
}

// parseFrameHeader reads the type and length of a frame. A length n of 0 says that b is too short.
func parseFrameHeader(b []byte) (t frameType, length uint64, n int) {
	v, n := wire.ParseVarint(b)
	if n == 0 {
		return 0, 0, 0
	}
	length, m := wire.ParseVarint(b[n:])
	if m == 0 {
		return 0, 0, 0
	}
	return frameType(v), length, n + m
}
