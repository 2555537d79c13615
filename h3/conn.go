package h3

import (
	"encoding/binary"
	"errors"
	"io"
	"math"
	"slices"
	"time"

	"github.com/dunlin-quic/dunlin/h3/qpack"
	"github.com/dunlin-quic/dunlin/quic"
)

// NextProto is the ALPN protocol name of HTTP/3.
const NextProto = "h3"

// Conn is HTTP/3 over one QUIC connection, on the client's or on the server's side. It and its streams belong to one
// owner at a time; no method blocks. See the package comment for the order of calls.
type Conn struct {
	q       *quic.Conn
	cfg     Config
	server  bool
	grease  greaser
	greased bool // the stream of a reserved type was opened
	sent    bool // a message was sent: the first one carries grease

	enc     *qpack.Encoder
	dec     *qpack.Decoder
	scratch *scratch // nil unless messages are on their way

	// Critical streams (RFC 9114, Section 6.2; RFC 9204, Section 4.2).
	control, encoder, decoder             outStream
	peerControl, peerEncoder, peerDecoder *inStream
	readable                              []*inStream // unidirectional streams to be read

	peerSettings    []Setting
	hasPeerSettings bool
	remembered      bool // peerSettings are those of an earlier connection, or were
	peerMaxSection  uint64
	peerExtended    bool // the server takes extended CONNECT
	peerDatagrams   bool // the peer takes HTTP datagrams

	datagrams datagramState

	streams   streamList // all requests
	ready     []*Stream  // those with something to tell, in order of becoming so
	readyHead int

	goAwaySent     uint64 // the ID of the GOAWAY that we sent, noGoAway before
	goAwayReceived uint64
	nextRequest    uint64 // servers: above the stream IDs of all requests told
	maxPushID      int64  // servers: what the client allowed, -1 before
	updates        []priorityUpdate
	prioritized    bool // servers: the client uses priorities (RFC 9218)

	heldSince        time.Time // when the decoder first had something to say that was held back; zero: nothing is
	streamsAvailable bool      // to be told
	closed           bool      // to be told, with closeErr
	closeErr         error
	err              *Error // why this side ends the connection
	closing          bool   // QUIC knows of err
}

// noGoAway stands for the ID of a GOAWAY that was not sent or received.
const noGoAway = math.MaxUint64

// MaxRequestID is for the first GoAway of a server, which announces another (RFC 9114, Section 5.2).
const MaxRequestID = 1<<62 - 4

// maxPending bounds the bytes of the QPACK streams that wait for a peer that gives no flow-control credit.
const maxPending = 64 << 10

// NewConn starts HTTP/3 on q, which may still be in its handshake and of which no event has been taken. A nil cfg is
// the zero Config.
//
// A client that can send early data goes by the settings that the server sent on the connection before. If the server does
// not take it, QUIC sends everything again; where it can't, EventClosed comes with quic.ErrEarlyDataRejected, and the QUIC
// connection goes on: a new Conn on it can send again what was sent, of which the server has seen nothing.
func NewConn(q *quic.Conn, cfg *Config) *Conn {
	c := &Conn{
		q: q, cfg: cfg.withDefaults(), server: q.Side() == quic.Server,
		goAwaySent: noGoAway, goAwayReceived: noGoAway, maxPushID: -1, peerMaxSection: math.MaxUint64,
	}
	if !c.cfg.NoGrease {
		var seed [8]byte
		if _, err := io.ReadFull(c.cfg.Rand, seed[:]); err != nil {
			c.cfg.NoGrease = true
		}
		c.grease.state = binary.LittleEndian.Uint64(seed[:])
	}
	c.enc = qpack.NewEncoder(uint64(c.cfg.QPACKEncoderCapacity))
	c.dec = qpack.NewDecoder(uint64(c.cfg.QPACKTableCapacity), c.cfg.QPACKBlockedStreams)
	c.control.buf = appendSettings([]byte{byte(streamControl)}, c.localSettings())
	if !c.cfg.NoGrease {
		c.control.buf = c.grease.appendFrame(c.control.buf)
	}
	c.encoder.buf = []byte{byte(streamEncoder)}
	c.decoder.buf = []byte{byte(streamDecoder)}
	c.recallSettings()
	return c
}

// HandleEvent takes an event of the QUIC connection; give it every event, in order. It only notes what there is to do:
// NextEvent reads.
func (c *Conn) HandleEvent(ev quic.Event) {
	switch ev.Kind {
	case quic.EventStreamOpened:
		c.opened(ev.Stream)
	case quic.EventStreamReadable:
		switch s := ev.Stream.Value.(type) {
		case *Stream:
			s.readable = true
			c.push(s)
		case *inStream:
			if !slices.Contains(c.readable, s) {
				c.readable = append(c.readable, s)
			}
		}
	case quic.EventStreamWritable:
		switch s := ev.Stream.Value.(type) {
		case *Stream:
			s.writable = true
			c.push(s)
		case *outStream:
			c.flush(s)
		}
	case quic.EventStreamClosed:
		if s, ok := ev.Stream.Value.(*Stream); ok {
			s.closed = true
			c.push(s)
		}
	case quic.EventDatagramReceived:
		c.datagrams.arrived = true
	case quic.EventDatagramsWritable:
		c.datagrams.writable = true
	case quic.EventStreamsAvailable:
		c.streamsAvailable = c.streamsAvailable || ev.Dir == quic.Bidi && !c.server
	case quic.EventEarlyDataRejected:
		if ev.Err != nil && !c.closed && c.closeErr == nil {
			c.closed = true
			c.closeErr = ev.Err
		}
	case quic.EventClosed:
		if !c.closed && c.closeErr == nil {
			c.closed = true
			c.closeErr = c.closeReason(ev.Err)
		}
	}
}

// closeReason says in HTTP/3's terms why the QUIC connection ended.
func (c *Conn) closeReason(err error) error {
	if c.err != nil {
		return c.err
	}
	var app *quic.ApplicationError
	if errors.As(err, &app) {
		return &Error{Remote: app.Remote, Code: ErrCode(app.Code), Reason: app.Reason}
	}
	return err
}

// opened takes a stream that the peer opened.
func (c *Conn) opened(qs *quic.Stream) {
	switch {
	case qs.ID().Dir() == quic.Uni:
		qs.Value = &inStream{frameReader: frameReader{qs: qs}}
	case c.server:
		s := c.newStream(qs)
		if uint64(qs.ID()) >= c.goAwaySent {
			s.reject()
		}
	default:
		c.fail(StreamCreationError, "the server opened a bidirectional stream") // RFC 9114, Section 6.1
	}
}

// NextEvent returns the next event, of kind EventNone when there is none.
func (c *Conn) NextEvent() Event {
	for c.err == nil && c.closeErr == nil && len(c.readable) > 0 {
		s := c.readable[0]
		ev := c.receiveUni(s)
		if ev.Kind != EventNone {
			return ev
		}
		c.readable = c.readable[:copy(c.readable, c.readable[1:])]
	}
	for {
		s := c.pop()
		if s == nil {
			// Only now, for the request that a datagram belongs to may have come with it.
			if c.datagrams.arrived {
				c.receiveDatagrams()
				continue
			}
			break
		}
		if ev := s.nextEvent(); ev.Kind != EventNone {
			c.push(s)
			return ev
		}
	}
	if c.datagrams.writable {
		c.datagrams.writable = false
		return Event{Kind: EventDatagramsWritable}
	}
	if c.streamsAvailable {
		c.streamsAvailable = false
		return Event{Kind: EventStreamsAvailable}
	}
	if c.closed {
		c.closed = false
		return Event{Kind: EventClosed, Err: c.closeErr}
	}
	return Event{}
}

// push puts a stream that may have an event into the queue.
func (c *Conn) push(s *Stream) {
	if s.queued {
		return
	}
	s.queued = true
	if c.readyHead > 0 && len(c.ready) == cap(c.ready) {
		n := copy(c.ready, c.ready[c.readyHead:])
		clear(c.ready[n:])
		c.ready, c.readyHead = c.ready[:n], 0
	}
	c.ready = append(c.ready, s)
}

// pop takes the first stream from the queue, nil if there is none.
func (c *Conn) pop() *Stream {
	if c.readyHead == len(c.ready) {
		c.ready, c.readyHead = c.ready[:0], 0
		return nil
	}
	s := c.ready[c.readyHead]
	c.ready[c.readyHead] = nil
	c.readyHead++
	s.queued = false
	return s
}

// Flush opens the control and QPACK streams as soon as QUIC allows, gives it their pending bytes and, after an error,
// closes the connection. Call it when the events are drained and after calls on Conn and its streams, before the QUIC
// connection is polled for datagrams; and when NextTimeout says so.
func (c *Conn) Flush(now time.Time) {
	c.giveBack()
	if c.closeErr != nil {
		return
	}
	if c.err == nil {
		if c.control.qs == nil || len(c.control.buf) > 0 {
			c.flush(&c.control)
		}
		c.flushQPACK(&c.encoder, c.enc)
		c.flushDecoder(now)
		c.sendGreaseStream()
	}
	if c.err != nil && !c.closing {
		c.closing = true
		c.q.Close(now, &quic.ApplicationError{Code: uint64(c.err.Code), Reason: c.err.Reason})
	}
}

// fail ends the connection with an error of HTTP/3 that the peer made.
func (c *Conn) fail(code ErrCode, reason string) {
	if c.err == nil {
		c.err = &Error{Code: code, Reason: reason}
	}
}

// failQPACK ends the connection with an error of QPACK.
func (c *Conn) failQPACK(err error) {
	var e *qpack.Error
	if errors.As(err, &e) {
		c.fail(ErrCode(e.Code), e.Reason)
		return
	}
	c.fail(InternalError, err.Error())
}

// OpenRequest opens a stream for a request. Clients only. Errors: quic.ErrStreamLimit, after which
// EventStreamsAvailable says when to try again; ErrGoingAway; ErrServer; or why the connection ended.
func (c *Conn) OpenRequest() (*Stream, error) {
	if err := c.Err(); err != nil {
		return nil, err
	}
	if c.server {
		return nil, ErrServer
	}
	if c.goAwayReceived != noGoAway {
		return nil, ErrGoingAway
	}
	qs, err := c.q.OpenStream(quic.Bidi)
	if err != nil {
		return nil, err
	}
	s := c.newStream(qs)
	s.told = true
	return s, nil
}

// PeerSettings returns the peer's settings in the order received, unknown ones included; false before they arrive, with
// those of an earlier connection where there is early data. The slice must not be changed.
func (c *Conn) PeerSettings() ([]Setting, bool) { return c.peerSettings, c.hasPeerSettings }

// Err returns why the connection ended or is about to: an *Error where HTTP/3 on either side ended it, else an error of
// package quic; nil while it lives.
func (c *Conn) Err() error {
	if c.err != nil {
		return c.err
	}
	return c.closeErr
}

// CloseWithError ends the connection with an HTTP/3 code, [NoError] when nothing is wrong, and a reason for people. It takes
// effect with Flush, and EventClosed follows.
func (c *Conn) CloseWithError(code ErrCode, reason string) { c.fail(code, reason) }
