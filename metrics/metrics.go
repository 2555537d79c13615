// Package metrics is what the engine tells those who keep figures about a whole server or client: how many connections there
// are, how they end, how long handshakes and steps take. An [engine.EndpointConfig] names the [Metrics] to tell; the module
// metrics/prometheus has one for Prometheus. Without one nothing is measured, and nothing is spent on it.
//
// A Metrics hears of events rather than lending out gauges and counters, so that it can be written for any system that keeps
// figures, and may take only what it wants of each event:
//
//	type failures struct {
//		metrics.Base
//		n atomic.Int64
//	}
//
//	func (f *failures) ConnectionClosed(_ metrics.Connection, end metrics.End) {
//		if end.Handshake {
//			f.n.Add(1)
//		}
//	}
//
// Figures of a single connection are in its statistics (quic.Stats), its audit (engine.Audit) and its trace (package qlog).
// What an endpoint counts in any case is in engine.EndpointStats.
//
// [engine.EndpointConfig]: https://pkg.go.dev/github.com/dunlin-quic/dunlin/engine#EndpointConfig
package metrics

import (
	"net/netip"
	"time"
)

// Metrics hears what happens on an endpoint. Its methods are called from many goroutines at the same time, some of them while
// a socket waits to be read: they must not block nor panic, and should cost little. Embed [Base], so that further methods break
// nothing.
type Metrics interface {
	// ConnectionOpened: there is one more connection, whose handshake begins. ConnectionClosed follows, once.
	ConnectionOpened(Connection)
	// HandshakeStep: one packet was dealt with whose connection's handshake is not complete; the stage took d.
	HandshakeStep(c Connection, stage HandshakeStage, d time.Duration)
	// HandshakeDone: the handshake is complete, d after this side began with it.
	HandshakeDone(c Connection, d time.Duration)
	// ConnectionClosed: there is one connection less, and nothing is left of it in memory.
	ConnectionClosed(Connection, End)

	// InitialAccepted: a client's packet began a connection.
	InitialAccepted(remote netip.Addr)
	// PacketRejected: a datagram was of no connection and began none. reason is one of a small set of names in snake case:
	// "handshake_limit" and "connection_refused", or what quic.DemuxReason calls it. remote can be forged.
	PacketRejected(remote netip.Addr, reason string)
	// PacketsDropped: n reads were thrown away because a queue was full.
	PacketsDropped(where Queue, n uint64)

	// SendFailed: a system call that sends has failed, and its datagrams are lost. reason is one of a small set of names.
	SendFailed(reason string)
	// SendBlocked: it had to wait d for room in the socket's buffer.
	SendBlocked(d time.Duration)

	// BandwidthChanged: the sum over all connections of the bandwidth in use, the most each of them has used for some round trips
	// within the last two minutes, has changed by delta bits per second.
	BandwidthChanged(delta int64)

	// StepRan: a step of a connection, in which it receives, runs its application and sends, took d. delay is how long it
	// waited for a goroutine after somebody asked for it; 0 if it ran at once.
	StepRan(d, delay time.Duration)
}

// Connection says which connection is meant.
type Connection struct {
	Server   bool   // we are the server
	Protocol string // what TLS negotiated (ALPN); empty before
}

// HandshakeStage is a part of the time that a packet of a handshake takes.
type HandshakeStage uint8

// The stages of one packet.
const (
	// HandshakeQueue is from the packet's arrival, as the socket tells it, until its connection looks at it.
	HandshakeQueue HandshakeStage = iota
	// HandshakeProtocol is the work on the packet itself, cryptography above all.
	HandshakeProtocol
	// HandshakeResponse is from the packet's arrival until what there is to be answered has been sent.
	HandshakeResponse
)

// String returns "queue", "protocol" or "response".
func (s HandshakeStage) String() string {
	switch s {
	case HandshakeQueue:
		return "queue"
	case HandshakeProtocol:
		return "protocol"
	case HandshakeResponse:
		return "response"
	}
	return "unknown"
}

// Queue is where packets wait.
type Queue uint8

// The queues.
const (
	SocketQueue  Queue = iota // the system's, of a socket; systems without such a counter tell nothing
	MailboxQueue              // of a connection, or of all of an endpoint's
)

// String returns "socket" or "mailbox".
func (q Queue) String() string {
	switch q {
	case SocketQueue:
		return "socket"
	case MailboxQueue:
		return "mailbox"
	}
	return "unknown"
}

// Cause is the kind of a connection's end.
type Cause uint8

// The causes. Only the first two come with a code.
const (
	CauseTransport          Cause = iota // QUIC or TLS, with a code of RFC 9000, Section 20.1
	CauseApplication                     // the application protocol, with a code of its own
	CauseIdleTimeout                     // nothing arrived for too long
	CauseHandshakeTimeout                // the handshake took too long
	CauseStatelessReset                  // the peer has lost the connection
	CauseVersionNegotiation              // no version in common
	CauseAbandoned                       // given up without a word, such as a dial to a closed port
)

var causeNames = [...]string{
	"transport", "application", "idle_timeout", "handshake_timeout", "stateless_reset", "version_negotiation", "abandoned",
}

// String returns a name in snake case.
func (c Cause) String() string {
	if int(c) < len(causeNames) {
		return causeNames[c]
	}
	return "unknown"
}

// End is how a connection ended.
type End struct {
	Handshake bool // before the handshake was complete
	Remote    bool // the peer ended it
	Cause     Cause
	Code      uint64 // with CauseTransport and CauseApplication; chosen by the peer if Remote

	Lifetime     time.Duration
	MaxBandwidth float64 // the most that was in use for some round trips, in bits per second
	MaxLoss      float64 // the largest part of the bytes of some round trips that was lost, from 0 to 1
	MaxStreams   int     // the most streams that were open when a step ended
}

// Base implements [Metrics] with methods that do nothing, for embedding.
type Base struct{}

// ConnectionOpened does nothing.
func (Base) ConnectionOpened(Connection) {}

// HandshakeStep does nothing.
func (Base) HandshakeStep(Connection, HandshakeStage, time.Duration) {}

// HandshakeDone does nothing.
func (Base) HandshakeDone(Connection, time.Duration) {}

// ConnectionClosed does nothing.
func (Base) ConnectionClosed(Connection, End) {}

// InitialAccepted does nothing.
func (Base) InitialAccepted(netip.Addr) {}

// PacketRejected does nothing.
func (Base) PacketRejected(netip.Addr, string) {}

// PacketsDropped does nothing.
func (Base) PacketsDropped(Queue, uint64) {}

// SendFailed does nothing.
func (Base) SendFailed(string) {}

// SendBlocked does nothing.
func (Base) SendBlocked(time.Duration) {}

// BandwidthChanged does nothing.
func (Base) BandwidthChanged(int64) {}

// StepRan does nothing.
func (Base) StepRan(time.Duration, time.Duration) {}
