// Package udp is one UDP socket made fast. It knows nothing of QUIC.
//
// Most of what a datagram costs is the system call that carries it, so a [Socket] moves many per call where the
// system can: a send takes equally long segments in one buffer (GSO), and one read may bring as many (GRO). Besides the
// payload it carries what a transport protocol wants to know: both addresses of every datagram, the ECN mark of its IP
// header, how many datagrams the system threw away, and which destinations answered with an ICMP error. Datagrams are sent
// with the don't-fragment bit, so that their size can be probed.
//
// [Listen] opens a socket and [Wrap] adopts one that the caller has. On Linux both use the system's fast path; elsewhere,
// or for a net.PacketConn of another kind, a portable path that behaves the same but for speed and for what
// [Capabilities] says it lacks. Neither path allocates memory for a datagram.
package udp

import (
	"net/netip"
	"time"
)

// ECN is the Explicit Congestion Notification mark of an IP header (RFC 3168, Section 5).
type ECN uint8

// The ECN codepoints as they stand in the IP header.
const (
	NotECT ECN = 0
	ECT1   ECN = 1
	ECT0   ECN = 2
	CE     ECN = 3
)

// MaxDatagram is the largest UDP payload over IPv4, in bytes: what a read buffer must hold to never truncate, and the bound
// of the sum of the segments of one send.
const MaxDatagram = 65507

// Socket is one UDP socket. ReadBatch has one caller at a time; the other methods are safe from any goroutine.
// IPv4 addresses are never mapped into IPv6 ones, whatever the socket's family.
type Socket interface {
	// ReadBatch waits for datagrams and fills msgs from the start; it returns how many it filled, at least 1 if the
	// error is nil. Datagrams that wait already come in one batch; it does not wait for msgs to be full.
	// Only a socket that is closed or beyond use returns an error; it matches net.ErrClosed after Close.
	ReadBatch(msgs []Message) (int, error)

	// Send sends d. It waits when the socket's send buffer is full, as briefly as the link takes to make room.
	// A datagram that the network can't take is dropped and counted (see Stats), for any link may drop any datagram; that
	// includes one too large for it. An error means that nothing can be sent there at all: the socket is closed
	// (net.ErrClosed) or has no route to the destination.
	Send(d Datagrams) error

	// LocalAddr returns the address that the socket is bound to.
	LocalAddr() netip.AddrPort

	// Capabilities returns what the socket can do now. GSO may turn false after a device refused it.
	Capabilities() Capabilities

	// Stats returns the counters.
	Stats() Stats

	// Close closes the socket; a ReadBatch that waits returns.
	Close() error
}

// Message is what one read gave: a datagram, or several of one size from one sender.
type Message struct {
	// Buf is the caller's, 64 KiB long, or coalesced datagrams may be truncated.
	Buf []byte
	// N is how many bytes of Buf are filled.
	N int
	// SegmentSize is the size of every datagram in Buf but the last, which may be shorter. 0 means one datagram.
	SegmentSize int
	// Local is where it was sent to, Remote where it came from.
	Local, Remote netip.AddrPort
	// ECN is the mark of the (first) datagram.
	ECN ECN
	// Received is when the system had it, if Config.Timestamps asks for that; otherwise when it was read.
	Received time.Time
	// Err is nil for what was received. Otherwise it is a syscall.Errno such as ECONNREFUSED that an ICMP error
	// stands for, Remote is where the datagram went that brought it about, and Buf[:N] the start of that datagram's
	// payload as far as the error quoted it. See Config.Errors.
	Err error
	// Forwarded is how many processes passed it on before it came here, as [Conduit.Deliver] was told; 0 from the network.
	Forwarded uint8
}

// Datagrams is one send: one datagram, or several for one destination.
type Datagrams struct {
	Buf []byte
	// SegmentSize is the size of every datagram in Buf but the last, which may be shorter. 0 means one datagram.
	SegmentSize int
	// Local is the source address; the zero Addr leaves it to the system. A socket bound to one address, or without
	// Capabilities.PacketInfo, ignores it.
	Local  netip.Addr
	Remote netip.AddrPort
	ECN    ECN
}

// Config configures a socket. The zero value is the default for every field. It is copied on use.
type Config struct {
	// ReceiveBuffer and SendBuffer are the sizes of the system's buffers in bytes. Default 8 MiB and 2 MiB, or as much as the
	// system permits; a negative number leaves them as they are.
	ReceiveBuffer, SendBuffer int
	// Errors delivers ICMP errors as messages. For sockets that dial: they learn at once that a port is closed.
	Errors bool
	// Timestamps makes Message.Received the system's time of arrival, at a small cost per datagram.
	Timestamps bool
	// ReusePort lets several sockets be bound to one address; the system spreads senders over them.
	ReusePort bool
	// Mark is put on everything that is sent, for the routing and filtering rules of Linux (SO_MARK). Elsewhere, and where the
	// process may not (CAP_NET_ADMIN or CAP_NET_RAW), it is an error. Default 0, no mark.
	Mark uint32
	// Portable turns off what is particular to one system.
	Portable bool
}

// Capabilities says what a socket can do.
type Capabilities struct {
	GSO          bool // several segments per send in one system call
	GRO          bool // several segments per read
	ECN          bool // marks are sent and received
	PacketInfo   bool // Message.Local is exact on a socket bound to all addresses, and Datagrams.Local is honoured
	DontFragment bool // datagrams are never fragmented on the way
	Errors       bool // ICMP errors are delivered
	DropCounter  bool // Stats.ReceiveDrops counts
}
