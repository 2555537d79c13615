package quic

import "time"

// DemuxConfig configures a [Demux].
type DemuxConfig struct {
	// ConnectionIDs is the generator of the connections behind this Demux; nil means 8 random bytes.
	ConnectionIDs ConnectionIDGenerator
	// StatelessResetKey as in Config; nil means random.
	StatelessResetKey *[32]byte
	// Retry says when clients must prove their address before a connection is made.
	Retry RetryPolicy
	// NoAccept makes Demux answer no connection attempt: for sockets that only dial.
	NoAccept bool
}

// RetryPolicy says when a client must prove its address by a Retry round trip (RFC 9000, Section 8.1.2).
type RetryPolicy uint8

// The retry policies.
const (
	RetryUnderLoad RetryPolicy = iota
	RetryAlways
	RetryNever
)

// Demux is the stateless front door.
type Demux struct{ _ int }

// NewDemux returns a Demux.
func NewDemux(cfg DemuxConfig) (*Demux, error) { panic("skeleton") }

// DCID returns the destination connection ID of a datagram (RFC 8999), false if it can't be a QUIC packet.
func (d *Demux) DCID(datagram []byte) (ConnectionID, bool) { panic("skeleton") }

// Handle decides what to do with a datagram whose DCID is not known. A reply goes into reply, which should have room
// for 1,500 bytes.
func (d *Demux) Handle(now time.Time, path Path, datagram, reply []byte, underLoad bool) Decision {
	panic("skeleton")
}

// DecisionKind says what is to be done.
type DecisionKind uint8

// What Demux decides.
const (
	Drop       DecisionKind = iota // Reason says why
	Reply                          // send reply[:Len] back
	NewAttempt                     // Accept is set: make a server connection
)

// Decision is what Demux decided.
type Decision struct {
	Kind   DecisionKind
	Len    int
	Accept Accept
	Reason string // a short constant, for a counter
}

// Accept carries what NewServer needs of a connection attempt.
type Accept struct {
	Path       Path
	Version    Version
	DCID, SCID ConnectionID // of the client's Initial
	ODCID      ConnectionID // of the first Initial before a Retry; DCID otherwise
	Retried    bool
	Validated  bool // the client proved its address by a token
}
