package quic

import (
	"crypto/tls"
	"time"
)

// Conn is one QUIC connection as a state machine.
type Conn struct{ _ int }

// NewClient starts a connection to path.Remote. The first PollTransmit yields the ClientHello.
func NewClient(now time.Time, cfg *Config, path Path) (*Conn, error) { panic("skeleton") }

// NewServer starts the server side of the connection attempt that [Demux] accepted. The caller then passes the first
// datagram to Receive.
func NewServer(now time.Time, cfg *Config, in Accept) (*Conn, error) { panic("skeleton") }

// Receive processes what arrived.
func (c *Conn) Receive(now time.Time, in Inbound) { panic("skeleton") }

// HandleTimeout does what is due at now.
func (c *Conn) HandleTimeout(now time.Time) { panic("skeleton") }

// PollTransmit fills buf with up to maxSegments datagrams.
func (c *Conn) PollTransmit(now time.Time, buf []byte, maxSegments int) (Transmit, bool) {
	panic("skeleton")
}

// NextTimeout returns when HandleTimeout (or PollTransmit, for the pacer) wants to be called.
func (c *Conn) NextTimeout() (time.Time, bool) { panic("skeleton") }

// NextEndpointEvent returns the next event for the owner of the routing table.
func (c *Conn) NextEndpointEvent() EndpointEvent { panic("skeleton") }

// NextEvent returns the next event for the application.
func (c *Conn) NextEvent() Event { panic("skeleton") }

// OpenStream opens a stream.
func (c *Conn) OpenStream(d Dir) (*Stream, error) { panic("skeleton") }

// TrySendDatagram queues an unreliable datagram.
func (c *Conn) TrySendDatagram(p []byte) error { panic("skeleton") }

// TryReceiveDatagram returns the next unreliable datagram.
func (c *Conn) TryReceiveDatagram() ([]byte, error) { panic("skeleton") }

// Close starts the immediate close.
func (c *Conn) Close(now time.Time, err error) { panic("skeleton") }

// Side returns which side this is.
func (c *Conn) Side() Side { panic("skeleton") }

// Path returns the path in use.
func (c *Conn) Path() Path { panic("skeleton") }

// ConnectionState returns what TLS negotiated.
func (c *Conn) ConnectionState() tls.ConnectionState { panic("skeleton") }

// Established reports whether the TLS handshake is complete.
func (c *Conn) Established() bool { panic("skeleton") }

// Err returns why the connection ended, or nil.
func (c *Conn) Err() error { panic("skeleton") }

// Stats returns the counters.
func (c *Conn) Stats() Stats { panic("skeleton") }
