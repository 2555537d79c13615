package wire

import "fmt"

// FrameType is the type of a QUIC frame (RFC 9000, Section 19).
type FrameType uint64

// The frame types of RFC 9000, Table 3, of RFC 9221, draft-ietf-quic-reliable-stream-reset and draft-ietf-quic-ack-frequency.
const (
	FramePadding            FrameType = 0x00
	FramePing               FrameType = 0x01
	FrameAck                FrameType = 0x02
	FrameAckECN             FrameType = 0x03
	FrameResetStream        FrameType = 0x04
	FrameStopSending        FrameType = 0x05
	FrameCrypto             FrameType = 0x06
	FrameNewToken           FrameType = 0x07
	FrameStream             FrameType = 0x08 // to 0x0f: the low three bits are OFF, LEN and FIN
	FrameMaxData            FrameType = 0x10
	FrameMaxStreamData      FrameType = 0x11
	FrameMaxStreamsBidi     FrameType = 0x12
	FrameMaxStreamsUni      FrameType = 0x13
	FrameDataBlocked        FrameType = 0x14
	FrameStreamDataBlocked  FrameType = 0x15
	FrameStreamsBlockedBidi FrameType = 0x16
	FrameStreamsBlockedUni  FrameType = 0x17
	FrameNewConnectionID    FrameType = 0x18
	FrameRetireConnectionID FrameType = 0x19
	FramePathChallenge      FrameType = 0x1a
	FramePathResponse       FrameType = 0x1b
	FrameConnectionClose    FrameType = 0x1c
	FrameConnectionCloseApp FrameType = 0x1d
	FrameHandshakeDone      FrameType = 0x1e
	FrameImmediateAck       FrameType = 0x1f
	FrameResetStreamAt      FrameType = 0x24
	FrameDatagram           FrameType = 0x30
	FrameDatagramLen        FrameType = 0x31
	FrameAckFrequency       FrameType = 0xaf // the only one that takes two bytes
)

// The flags of a STREAM frame's type (RFC 9000, Section 19.8).
const (
	streamFIN = 0x01
	streamLEN = 0x02
	streamOFF = 0x04
)

// IsStream reports whether t is one of the eight types of STREAM frames.
func (t FrameType) IsStream() bool { return t&^7 == FrameStream }

var frameNames = [...]string{
	FramePadding: "PADDING", FramePing: "PING", FrameAck: "ACK", FrameAckECN: "ACK_ECN",
	FrameResetStream: "RESET_STREAM", FrameStopSending: "STOP_SENDING", FrameCrypto: "CRYPTO",
	FrameNewToken: "NEW_TOKEN", FrameStream: "STREAM", 0x09: "STREAM", 0x0a: "STREAM", 0x0b: "STREAM", 0x0c: "STREAM",
	0x0d: "STREAM", 0x0e: "STREAM", 0x0f: "STREAM", FrameMaxData: "MAX_DATA", FrameMaxStreamData: "MAX_STREAM_DATA",
	FrameMaxStreamsBidi: "MAX_STREAMS", FrameMaxStreamsUni: "MAX_STREAMS", FrameDataBlocked: "DATA_BLOCKED",
	FrameStreamDataBlocked: "STREAM_DATA_BLOCKED", FrameStreamsBlockedBidi: "STREAMS_BLOCKED",
	FrameStreamsBlockedUni: "STREAMS_BLOCKED", FrameNewConnectionID: "NEW_CONNECTION_ID",
	FrameRetireConnectionID: "RETIRE_CONNECTION_ID", FramePathChallenge: "PATH_CHALLENGE",
	FramePathResponse: "PATH_RESPONSE", FrameConnectionClose: "CONNECTION_CLOSE",
	FrameConnectionCloseApp: "CONNECTION_CLOSE", FrameHandshakeDone: "HANDSHAKE_DONE",
	FrameResetStreamAt: "RESET_STREAM_AT", FrameImmediateAck: "IMMEDIATE_ACK",
	FrameDatagram: "DATAGRAM", FrameDatagramLen: "DATAGRAM", FrameAckFrequency: "ACK_FREQUENCY",
}

// Known reports whether t is a frame type that this package parses. An unknown one is a FRAME_ENCODING_ERROR
// (RFC 9000, Section 12.4).
func (t FrameType) Known() bool { return t < FrameType(len(frameNames)) && frameNames[t] != "" }

func (t FrameType) String() string {
	if t.Known() {
		return frameNames[t]
	}
	return fmt.Sprintf("frame 0x%x", uint64(t))
}

// AckEliciting reports whether a packet with such a frame must be acknowledged (RFC 9000, Section 13.2).
func (t FrameType) AckEliciting() bool {
	switch t {
	case FramePadding, FrameAck, FrameAckECN, FrameConnectionClose, FrameConnectionCloseApp:
		return false
	}
	return true
}

// Probing reports whether a packet that holds only such frames does not make its sender migrate to the path it came
// by (RFC 9000, Section 9.1).
func (t FrameType) Probing() bool {
	switch t {
	case FramePadding, FrameNewConnectionID, FramePathChallenge, FramePathResponse:
		return true
	}
	return false
}

// Bits of the packet types that may carry a frame.
const (
	inInitial = 1 << iota
	inZeroRTT
	inHandshake
	inOneRTT

	inAny  = inInitial | inZeroRTT | inHandshake | inOneRTT
	inHS   = inInitial | inHandshake | inOneRTT
	inData = inZeroRTT | inOneRTT
)

// AllowedIn reports whether a packet of type p may carry the frame (RFC 9000, Section 12.4, Table 3; RFC 9221, Section
// 4). A frame where it must not be is a PROTOCOL_VIOLATION. False if t is not known.
func (t FrameType) AllowedIn(p PacketType) bool {
	if p > OneRTT || !t.Known() {
		return false
	}
	return frameAllowed(t)&packetBit[p] != 0
}

var packetBit = [...]uint8{Initial: inInitial, ZeroRTT: inZeroRTT, Handshake: inHandshake, OneRTT: inOneRTT}

func frameAllowed(t FrameType) uint8 {
	switch t {
	case FramePadding, FramePing, FrameConnectionClose:
		return inAny
	case FrameAck, FrameAckECN, FrameCrypto:
		return inHS
	case FrameNewToken, FramePathResponse, FrameHandshakeDone, FrameRetireConnectionID, FrameImmediateAck, FrameAckFrequency:
		return inOneRTT
	}
	return inData
}

// PeekFrameType returns the type that b, which is not empty, begins with, if it is a known one in its shortest encoding.
// What it returns otherwise is not allowed in any packet.
func PeekFrameType(b []byte) FrameType {
	if b[0] == twoBytes && len(b) > 1 && FrameType(b[1]) == FrameAckFrequency {
		return FrameAckFrequency
	}
	return FrameType(b[0])
}

// twoBytes is the first byte of FrameAckFrequency's encoding.
const twoBytes = 0x40

// ParseFrameType returns the type that b begins with and the length of its encoding, 0 if b is truncated. A known type
// that took more bytes than it needs was not encoded minimally, which is a PROTOCOL_VIOLATION (RFC 9000, Section 12.4).
func ParseFrameType(b []byte) (t FrameType, n int, minimal bool) {
	v, n := ParseVarint(b)
	return FrameType(v), n, n > 0 && n == VarintLen(v)
}
