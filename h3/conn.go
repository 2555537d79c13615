package h3

import (
	"time"

	"github.com/dunlin-quic/dunlin/quic"
)

// NextProto is the ALPN protocol name of HTTP/3.
const NextProto = "h3"

// Conn is HTTP/3 over one QUIC connection.
type Conn struct{ _ int }

// NewConn starts HTTP/3 on q, which may still be in its handshake. A nil cfg is the zero Config.
func NewConn(q *quic.Conn, cfg *Config) *Conn { panic("skeleton") }

// HandleEvent takes every event of the QUIC connection, in order. It does not read: NextEvent does.
func (c *Conn) HandleEvent(ev quic.Event) { panic("skeleton") }

// NextEvent returns the next event, of kind EventNone when there is none.
func (c *Conn) NextEvent() Event { panic("skeleton") }

// Flush gives pending bytes of the control and QPACK streams to QUIC and, after an error, closes the connection. Call
// it after the events are drained and after calls on Conn and its streams, before polling the QUIC connection for
// datagrams.
func (c *Conn) Flush(now time.Time) { panic("skeleton") }

// OpenRequest opens a stream for a request. Clients only. Errors: quic.ErrStreamLimit, ErrGoingAway, ErrServer, or why
// the connection ended.
func (c *Conn) OpenRequest() (*Stream, error) { panic("skeleton") }

// GoAway says that this side is going away (RFC 9114, Section 5.2). For servers id is the stream ID of the first
// request that will not be processed, first MaxRequestID to announce it and then NextRequestID; requests from id on
// are then refused with RequestRejected. For clients it is a push ID, 0. An id above an earlier one is lowered to that.
func (c *Conn) GoAway(id uint64) { panic("skeleton") }

// MaxRequestID is for the first GoAway of a server, which announces another (RFC 9114, Section 5.2).
const MaxRequestID = 1<<62 - 4

// NextRequestID returns the stream ID above those of all requests that EventHeaders has told.
func (c *Conn) NextRequestID() uint64 { panic("skeleton") }

// PeerSettings returns the peer's settings, false before they arrive.
func (c *Conn) PeerSettings() ([]Setting, bool) { panic("skeleton") }

// Err returns why HTTP/3 ended the connection, or nil.
func (c *Conn) Err() error { panic("skeleton") }

// Close ends the connection with an HTTP/3 code; NoError is right for an idle connection. It takes effect with Flush.
func (c *Conn) Close(code ErrCode, reason string) { panic("skeleton") }
