package engine

import (
	"sync/atomic"

	"github.com/dunlin-quic/dunlin/quic"
	"github.com/dunlin-quic/dunlin/udp"
)

// EndpointStats counts what an [Endpoint] has done, and tells what it has now.
type EndpointStats struct {
	Connections int   // that there are, with those that are closing or draining
	Handshakes  int   // of servers, in progress
	RoutedIDs   int   // connection IDs that lead to a connection
	QueuedBytes int64 // memory that waiting packets take up

	Accepted          uint64 // connections that clients began
	Dialled           uint64 // connections begun here
	Established       uint64 // of both
	Refused           uint64 // attempts refused: too many connections, or shutting down
	HandshakeDrops    uint64 // attempts dropped because too many handshakes were in progress
	MailboxDrops      uint64 // reads dropped because a mailbox was full or the connection gone
	RepliesSuppressed uint64 // stateless resets and Version Negotiation packets not sent, because there were so many
	SendErrors        uint64 // sends that failed as a whole
	ICMPErrors        uint64 // that the sockets delivered
	Steered           uint64 // datagrams that EndpointConfig.Steering passed on to other endpoints
	NonQUIC           uint64 // datagrams that EndpointConfig.NonQUIC took
	Takeovers         uint64 // steps so long that another goroutine had to go on reading the socket
	// Demux counts what was decided about datagrams of no connection, by the name of the reason.
	Demux map[string]uint64
	// Sockets are the counters of the sockets, in order.
	Sockets []udp.Stats
}

// counters is EndpointStats while it counts.
type counters struct {
	accepted          atomic.Uint64
	dialled           atomic.Uint64
	established       atomic.Uint64
	refused           atomic.Uint64
	handshakeDrops    atomic.Uint64
	mailboxDrops      atomic.Uint64
	repliesSuppressed atomic.Uint64
	sendErrors        atomic.Uint64
	icmpErrors        atomic.Uint64
	steered           atomic.Uint64
	nonQUIC           atomic.Uint64
	takeovers         atomic.Uint64
}

// Stats returns the counters.
func (e *Endpoint) Stats() EndpointStats {
	e.mu.Lock()
	connections := e.all.n
	e.mu.Unlock()
	c := &e.counters
	s := EndpointStats{
		Connections:       connections,
		Handshakes:        int(e.handshakes.Load()),
		RoutedIDs:         e.routes.len(),
		QueuedBytes:       e.mailboxes.used.Load(),
		Accepted:          c.accepted.Load(),
		Dialled:           c.dialled.Load(),
		Established:       c.established.Load(),
		Refused:           c.refused.Load(),
		HandshakeDrops:    c.handshakeDrops.Load(),
		MailboxDrops:      c.mailboxDrops.Load(),
		RepliesSuppressed: c.repliesSuppressed.Load(),
		SendErrors:        c.sendErrors.Load(),
		ICMPErrors:        c.icmpErrors.Load(),
		Steered:           c.steered.Load(),
		NonQUIC:           c.nonQUIC.Load(),
		Takeovers:         c.takeovers.Load(),
		Demux:             make(map[string]uint64),
	}
	for _, r := range e.routers() {
		s.Sockets = append(s.Sockets, r.sock.Stats())
		for _, reason := range quic.DemuxReasons() {
			s.Demux[reason.String()] += r.demuxCount(reason)
		}
	}
	return s
}
