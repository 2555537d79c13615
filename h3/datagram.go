package h3

import (
	"errors"
	"io"

	"github.com/dunlin-quic/dunlin/internal/bytequeue"
	"github.com/dunlin-quic/dunlin/internal/wire"
	"github.com/dunlin-quic/dunlin/qlog"
	"github.com/dunlin-quic/dunlin/quic"
)

// The bounds of what waits for the application to receive it, in bytes: for one request, and for all of the connection.
// Datagrams that exceed them are dropped.
const (
	maxStreamDatagrams = 64 << 10
	maxConnDatagrams   = 256 << 10
)

// datagramState is what a connection knows of HTTP datagrams (RFC 9297).
type datagramState struct {
	arrived  bool // QUIC has datagrams
	writable bool // to be told
	held     int  // bytes in the queues of all streams
	dropped  uint64
}

// streamDatagrams are those of one request.
type streamDatagrams struct {
	in   bytequeue.Queue
	told bool // EventDatagram was told, and TryReceiveDatagram has not returned ErrWouldBlock since
	tell bool // it is to be told
	use  bool // the application has a use for them
}

// UseDatagrams says that the request has a use for HTTP datagrams; on servers at the latest when EventHeaders has told of it.
// Extended CONNECT requests need not say so. A datagram for a request that has none ends it with H3_DATAGRAM_ERROR (RFC
// 9297, Section 2).
func (s *Stream) UseDatagrams() { s.ownDatagrams().use = true }

func (s *Stream) ownDatagrams() *streamDatagrams {
	if s.datagrams == nil {
		s.datagrams = new(streamDatagrams)
	}
	return s.datagrams
}

// MaxDatagramLen returns the length in bytes of the longest HTTP datagram that can be sent now, 0 if none can. It changes
// with the path.
func (s *Stream) MaxDatagramLen() int {
	if s.c.cfg.NoDatagrams || !s.c.peerDatagrams {
		return 0
	}
	return max(s.c.q.MaxDatagramLen()-wire.VarintLen(uint64(s.qs.ID())/4), 0)
}

// TrySendDatagram sends a copy of p as an HTTP datagram of the request (RFC 9297, Section 2.1), after the header section
// and before the end of our message: once, and unreliably. Errors: quic.ErrWouldBlock while QUIC's queue is full, until
// EventDatagramsWritable; quic.ErrDatagramTooLarge; ErrDatagrams; ErrSequence; an *Error if the message was abandoned; or
// why the connection ended.
func (s *Stream) TrySendDatagram(p []byte) error {
	c := s.c
	if err := s.sendable(sendBody); err != nil {
		return err
	}
	if c.cfg.NoDatagrams || !c.peerDatagrams {
		return ErrDatagrams
	}
	t := c.borrow()
	t.buf = append(wire.AppendVarint(t.buf[:0], uint64(s.qs.ID())/4), p...)
	err := c.q.TrySendDatagram(t.buf)
	if errors.Is(err, quic.ErrDatagramUnsupported) {
		return ErrDatagrams // the peer offers HTTP's without QUIC's
	}
	if err == nil && c.q.Traced() {
		c.q.Trace(&qlog.HTTP3DatagramCreated{QuarterStreamID: uint64(s.qs.ID()) / 4, Length: len(p)})
	}
	return err
}

// TryReceiveDatagram returns the next HTTP datagram of the request, valid until the next call on the connection;
// quic.ErrWouldBlock if there is none, after which EventDatagram tells of the next; when none can come any more, what
// TryReadBody returns after the body.
func (s *Stream) TryReceiveDatagram() ([]byte, error) {
	if d := s.datagrams; d != nil && !d.in.Empty() {
		before := d.in.Len()
		p := d.in.Peek()
		d.in.Drop()
		s.c.datagrams.held -= before - d.in.Len()
		return p, nil
	}
	switch s.recv {
	case recvDone:
		return nil, io.EOF
	case recvFailed:
		return nil, s.recvErr
	}
	d := s.ownDatagrams()
	d.told = false
	d.in.Shrink()
	if err := s.c.Err(); err != nil {
		return nil, err
	}
	return nil, quic.ErrWouldBlock
}

// receiveDatagrams takes what QUIC has and gives it to the requests.
func (c *Conn) receiveDatagrams() {
	for c.err == nil && c.closeErr == nil {
		p, err := c.q.TryReceiveDatagram()
		if err != nil {
			break
		}
		c.receiveDatagram(p)
	}
	c.datagrams.arrived = false
}

func (c *Conn) receiveDatagram(p []byte) {
	if c.cfg.NoDatagrams {
		c.datagrams.dropped++ // of an extension that was not offered
		return
	}
	quarter, n := wire.ParseVarint(p)
	if n == 0 || quarter > wire.MaxVarint/4 {
		c.fail(DatagramError, "HTTP datagram without a stream ID") // RFC 9297, Section 2.1
		return
	}
	if c.q.Traced() {
		c.q.Trace(&qlog.HTTP3DatagramParsed{QuarterStreamID: quarter, Length: len(p) - n})
	}
	qs := c.q.Stream(quic.StreamID(quarter * 4))
	if qs == nil {
		c.datagrams.dropped++ // its request is over, or has not arrived
		return
	}
	s, ok := qs.Value.(*Stream)
	switch {
	case !ok || s.recv >= recvDone:
		c.datagrams.dropped++ // RFC 9297, Section 2.1
		return
	}
	d := s.ownDatagrams()
	before := d.in.Len()
	if c.datagrams.held >= maxConnDatagrams || !d.in.Push(p[n:], maxStreamDatagrams) {
		c.datagrams.dropped++
		return
	}
	c.datagrams.held += d.in.Len() - before
	if !d.told {
		d.told, d.tell = true, true
		c.push(s)
	}
}

// wantsDatagrams reports whether datagrams mean something to the request.
func (s *Stream) wantsDatagrams() bool {
	return s.extended || s.datagrams != nil && s.datagrams.use
}

// dropDatagrams throws away what was not received.
func (s *Stream) dropDatagrams() {
	if d := s.datagrams; d != nil {
		s.c.datagrams.held -= d.in.Len()
		s.datagrams = nil
	}
}

// DatagramsDropped returns how many HTTP datagrams were dropped, because nobody has received those before them in time, or
// because their request was over or had not arrived.
func (c *Conn) DatagramsDropped() uint64 { return c.datagrams.dropped }
