package quic

import (
	"crypto/tls"
	"io"
	"time"
)

// Config configures connections. The zero value is the default for every field and a negative number means none.
// A Config is copied on use; the TLS config and the hooks it points to must not be changed afterwards.
type Config struct {
	// TLS is required: NextProtos must name at least one protocol, servers need a certificate, clients a ServerName
	// (or InsecureSkipVerify). MinVersion is raised to TLS 1.3.
	TLS *tls.Config

	// HandshakeTimeout bounds the time until the handshake is confirmed. Default 10 s.
	HandshakeTimeout time.Duration
	// IdleTimeout is the max_idle_timeout offered to the peer; the lower of both sides' holds
	// (RFC 9000, Section 10.1). Default 30 s.
	IdleTimeout time.Duration
	// KeepAlive sends a PING after that much silence, capped at half the idle timeout. Default none.
	KeepAlive time.Duration

	// StreamWindow is the initial receive window of a stream, MaxStreamWindow what auto-tuning may raise it to, in
	// bytes. Defaults 512 KiB and 16 MiB.
	StreamWindow, MaxStreamWindow int
	// ConnWindow is the initial receive window of the connection, MaxConnWindow what auto-tuning may raise it to, in
	// bytes. Defaults 768 KiB and 24 MiB.
	ConnWindow, MaxConnWindow int
	// MaxBidiStreams and MaxUniStreams bound the streams that the peer may have open at a time. Defaults 100.
	MaxBidiStreams, MaxUniStreams int

	// MaxPacketSize is the largest UDP payload that path MTU discovery tries, in bytes. Default 1,452; a negative
	// number turns discovery off, so that datagrams stay at 1,200 bytes.
	MaxPacketSize int
	// CongestionControl names the congestion controller. Default CUBIC.
	CongestionControl CongestionControl
	// NoPacing sends as fast as the congestion window allows.
	NoPacing bool

	// ConnectionIDs generates the connection IDs that this side issues. Default: 8 random bytes.
	ConnectionIDs ConnectionIDGenerator
	// StatelessResetKey makes stateless reset tokens and, on servers, address-validation tokens. Share it between
	// the servers of a fleet. Default: random, per Config use.
	StatelessResetKey *[32]byte

	// MaxDatagramFrame is the max_datagram_frame_size offered (RFC 9221, Section 3). Default 65,535; a negative
	// number refuses datagrams.
	MaxDatagramFrame int

	// Rand is the source of connection IDs and other unpredictable bytes. Default crypto/rand.Reader.
	Rand io.Reader
}

// CongestionControl names a congestion controller.
type CongestionControl uint8

// The congestion controllers.
const (
	CUBIC   CongestionControl = iota // RFC 9438
	NewReno                          // RFC 9002, Section 7
)

// ConnectionIDGenerator makes the connection IDs that a side issues. All IDs have the same length. Safe for concurrent
// use: the routers and connections of a listener share one.
type ConnectionIDGenerator interface {
	// Len returns the length of every ID, 0 to 20 bytes.
	Len() int
	// Generate returns a new ID that an observer can't link to others (RFC 9000, Section 5.1).
	Generate() ConnectionID
}
