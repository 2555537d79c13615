package engine

import (
	"errors"
	"time"

	"github.com/dunlin-quic/dunlin/metrics"
	"github.com/dunlin-quic/dunlin/quic"
)

// Audit is the account of one connection, for logs: when it began, how it went and how it ended.
type Audit struct {
	Started time.Time
	// Handshake is how long the handshake took; 0 while it is not complete.
	Handshake time.Duration
	// Lifetime is from the beginning to the end, or until now.
	Lifetime time.Duration
	// Protocol (ALPN) and ServerName are what TLS negotiated; empty before.
	Protocol, ServerName string

	// Sent is the CONNECTION_CLOSE frame with which this side ended the connection, Received that of the peer; nil if there was
	// none. At most one of them is set: the end that comes first counts.
	Sent, Received *CloseReason
	// Cause is the kind of the end, and Err the end itself; nil while the connection is alive.
	Cause metrics.Cause
	Err   error

	// MaxBandwidth is the most bandwidth that was in use during some round trips, in bits per second, and MaxLoss the largest
	// part of the bytes that was lost, from 0 to 1. MaxStreams is the most streams that were open when a step ended. They are
	// 0 unless EndpointConfig has Audit or Metrics.
	MaxBandwidth, MaxLoss float64
	MaxStreams            int

	// Stats are the counters, the last ones after the end.
	Stats quic.Stats
}

// CloseReason is what a CONNECTION_CLOSE frame says (RFC 9000, Section 19.19).
type CloseReason struct {
	Application bool   // Code is the application protocol's, not the transport's
	Code        uint64 // of RFC 9000, Section 20
	Reason      string
}

// Audit returns the account of the connection, after its end the final one. As it waits for a step, an application's methods
// call [Session.Audit] instead.
func (c *Connection) Audit() (a Audit) {
	if c.Do(func(s *Session) { a = s.Audit() }) != nil {
		<-c.w.done // what has ended may not have said so yet
		a = *c.w.audit
	}
	return a
}

// Audit returns the account of the connection until now; in OnClose, the final one.
func (s *Session) Audit() Audit {
	if s.w.ended {
		return *s.w.audit
	}
	return *s.w.account(s.w.session.now, nil)
}

// account makes the audit. err is nil before the end.
func (w *worker) account(now time.Time, err error) *Audit {
	a := &Audit{Started: w.started, Lifetime: now.Sub(w.started), Err: err}
	if w.conn != nil {
		a.Stats = w.conn.Stats()
		a.Handshake = a.Stats.HandshakeTime
		state := w.conn.ConnectionState()
		a.Protocol, a.ServerName = state.NegotiatedProtocol, state.ServerName
	}
	if o := w.watched; o != nil {
		a.MaxBandwidth, a.MaxLoss, a.MaxStreams = o.usage.maxBandwidth, o.usage.loss, o.maxStreams
	}
	if err != nil {
		a.end(err)
	}
	return a
}

// end sets what is known of the end.
func (a *Audit) end(err error) {
	var reason CloseReason
	var remote bool
	if app, ok := errors.AsType[*quic.ApplicationError](err); ok {
		a.Cause, remote = metrics.CauseApplication, app.Remote
		reason = CloseReason{Application: true, Code: app.Code, Reason: app.Reason}
	} else if t, ok := errors.AsType[*quic.TransportError](err); ok {
		a.Cause, remote = metrics.CauseTransport, t.Remote
		reason = CloseReason{Code: uint64(t.Code), Reason: t.Reason}
	} else {
		a.Cause = causeOf(err)
		return
	}
	if remote {
		a.Received = &reason
	} else {
		a.Sent = &reason
	}
}

// causeOf names an end without a code.
func causeOf(err error) metrics.Cause {
	switch err {
	case quic.ErrIdleTimeout:
		return metrics.CauseIdleTimeout
	case quic.ErrHandshakeTimeout:
		return metrics.CauseHandshakeTimeout
	case quic.ErrStatelessReset:
		return metrics.CauseStatelessReset
	case quic.ErrVersionNegotiation:
		return metrics.CauseVersionNegotiation
	}
	return metrics.CauseAbandoned
}
