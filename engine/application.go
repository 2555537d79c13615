package engine

import (
	"crypto/tls"
	"net/netip"
	"time"

	"github.com/dunlin-quic/dunlin/quic"
)

// ApplicationOverQUIC is a protocol that runs on a connection. Its methods are called one at a time, by whichever goroutine
// runs the connection's step just then; they must not block, and what they are lent through the [Session] is theirs only
// until they return. A method that returns an error closes the connection: a *quic.ApplicationError with its code and
// reason, any other with the transport error INTERNAL_ERROR.
//
// Embed [Base] to implement only what is needed and to stay compatible with later additions.
type ApplicationOverQUIC interface {
	// OnEstablished is called once, when the handshake is complete, or before that where early data is taken and
	// EarlyStart of the config says so: see [Session.Early].
	OnEstablished(s *Session) error

	// ProcessReads is called after packets arrived or a timer of the connection fired: drain s.Conn().NextEvent() until
	// it returns quic.EventNone. Not called before OnEstablished.
	ProcessReads(s *Session) error

	// ProcessWrites is called in every step, before transmitting: after ProcessReads, after [Session.Wake], and
	// after the application's deadline. Not called before OnEstablished.
	ProcessWrites(s *Session) error

	// NextDeadline returns when the application wants a step of its own accord; false for never.
	NextDeadline() (time.Time, bool)

	// OnClose is called once, last of all, however the connection ended, even if OnEstablished never was. err matches
	// net.ErrClosed or says why no connection came about; it is never nil. The connection can't be used any more.
	OnClose(s *Session, err error)
}

// Drainer is an optional interface of an [ApplicationOverQUIC]. [Endpoint.Shutdown] calls Drain once, as it calls
// ProcessWrites: the application should take on no new work, tell its peer so, and close the connection (by returning
// a *quic.ApplicationError from any method) when its work is done, at once if there is none. The connection of an
// application that is no Drainer goes on until its peer closes it or Shutdown's context ends.
type Drainer interface {
	// Drain is called once, in the step. An error closes the connection.
	Drain(s *Session) error
}

// Base implements [ApplicationOverQUIC] with methods that do nothing, for embedding.
type Base struct{}

// OnEstablished does nothing.
func (Base) OnEstablished(*Session) error { return nil }

// ProcessReads does nothing.
func (Base) ProcessReads(*Session) error { return nil }

// ProcessWrites does nothing.
func (Base) ProcessWrites(*Session) error { return nil }

// NextDeadline returns false.
func (Base) NextDeadline() (time.Time, bool) { return time.Time{}, false }

// OnClose does nothing.
func (Base) OnClose(*Session, error) {}

// ConnInfo tells what is known of a connection when its application is made.
type ConnInfo struct {
	Side          quic.Side
	Local, Remote netip.AddrPort
	// TLS is what was negotiated; on servers only, for clients make their application before the handshake. If the
	// application begins early, HandshakeComplete is false, and quic.Conn.ConnectionState has the whole later.
	TLS *tls.ConnectionState
	// Connection is the handle of the connection.
	Connection *Connection
}

// NewApplicationFunc makes the application of one connection. A server calls it just before OnEstablished, so
// that it can choose by the negotiated protocol, from the connection's step: it must not block. A client calls it in Dial.
// An error closes the connection as an error of the application's methods does.
type NewApplicationFunc func(ConnInfo) (ApplicationOverQUIC, error)
