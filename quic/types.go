package quic

import (
	"net/netip"
	"time"

	"github.com/dunlin-quic/dunlin/internal/wire"
)

// ConnectionID is a QUIC connection ID of 0 to 20 bytes (RFC 9000, Section 5.1). It is comparable and holds no pointers. Its
// methods are
//
//	Len() int                  // the length in bytes
//	Bytes() []byte             // the bytes, which alias the ID
//	Append(b []byte) []byte    // appends them to b
//	String() string            // in hexadecimal
type ConnectionID = wire.ConnectionID

// Version is the number of a version of QUIC (RFC 8999, Section 5.4). Its String is "1", "2" or hexadecimal, and Known
// reports whether it is one of those that there are here.
type Version = wire.Version

// FrameType is the type of a frame (RFC 9000, Section 19). Its String is the frame's name in the RFCs.
type FrameType = wire.FrameType

// The versions of QUIC that there are here.
const (
	Version1 = wire.Version1 // RFC 9000
	Version2 = wire.Version2 // RFC 9369
)

// Side says which end of a connection this is.
type Side uint8

// The two sides of a connection.
const (
	Client Side = iota
	Server
)

// Peer returns the other side.
func (s Side) Peer() Side { return s ^ 1 }

// String returns "client" or "server".
func (s Side) String() string {
	if s == Client {
		return "client"
	}
	return "server"
}

// Path is the pair of addresses that datagrams travel between (RFC 9000, Section 9). IPv4 addresses are unmapped.
type Path struct {
	Local, Remote netip.AddrPort
}

// ECN is the Explicit Congestion Notification mark of an IP packet (RFC 3168, Section 5).
type ECN uint8

// The ECN codepoints as they stand in the IP header.
const (
	NotECT ECN = 0
	ECT1   ECN = 1
	ECT0   ECN = 2
	CE     ECN = 3
)

// Inbound is what one read from a socket gave: one datagram, or several of one size from one sender that the
// kernel coalesced (GRO).
type Inbound struct {
	Path     Path
	ECN      ECN
	Received time.Time // when the socket had it; zero means now
	Data     []byte    // borrowed: decrypted in place, not kept after Receive returns
	// SegmentSize is the size of every datagram in Data but the last, which may be shorter. 0 means one datagram.
	SegmentSize int
}

// Transmit describes what [Conn.PollTransmit] wrote: datagrams for one path with one ECN mark.
type Transmit struct {
	Path Path
	ECN  ECN
	Len  int // bytes of the caller's buffer that are filled
	// SegmentSize is the size of every datagram but the last, which may be shorter.
	SegmentSize int
}

// Dir is the direction of a stream (RFC 9000, Section 2.1).
type Dir uint8

// The directions of streams.
const (
	Bidi Dir = iota
	Uni
)

// String returns the direction in a word.
func (d Dir) String() string {
	if d == Bidi {
		return "bidirectional"
	}
	return "unidirectional"
}

// StreamID identifies a stream within a connection (RFC 9000, Section 2.1).
type StreamID uint64

// NewStreamID returns the ID of the n-th stream, counting from 0, that initiator opens in direction d.
func NewStreamID(initiator Side, d Dir, n uint64) StreamID {
	return StreamID(n<<2 | uint64(d)<<1 | uint64(initiator))
}

// Initiator returns the side that opens the stream.
func (id StreamID) Initiator() Side { return Side(id & 1) }

// Dir returns the stream's direction.
func (id StreamID) Dir() Dir { return Dir(id >> 1 & 1) }

// Index returns how many streams of the same kind come before this one.
func (id StreamID) Index() uint64 { return uint64(id >> 2) }
