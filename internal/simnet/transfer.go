package simnet

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/dunlin-quic/dunlin/quic"
)

// Transfer is an App that moves data whose every byte the receiver can check: a stream begins with its own length and
// with the length that the answer shall have, eight bytes each; all that follows is a function of the stream's ID and
// the offset. Either side opens streams; the other answers those that are bidirectional.
type Transfer struct {
	// Open lists the streams to open once the connection is established.
	Open []TransferStream
	// CloseWhenDone closes the connection when all streams in Open are acknowledged and answered, and ExpectFromPeer
	// streams of the peer have come whole.
	CloseWhenDone  bool
	ExpectFromPeer int

	// ReadDelay lets the application read one buffer at a time, that long after it could.
	ReadDelay time.Duration
	// Datagrams is how many unreliable datagrams to send once the connection is established.
	Datagrams int

	// Received counts the bytes that came, FromPeer the peer's streams that came whole, Done says that everything
	// expected has happened.
	Received uint64
	FromPeer int
	Done     bool
	DoneAt   time.Time
	// Resets counts streams that ended early, on purpose, DatagramsReceived the peer's datagrams that came.
	Resets, DatagramsReceived int

	opened   []*transferState // by index of Open; nil before it is
	finished int
	buf      []byte

	datagramsSent int
	datagramsHad  map[uint64]bool
}

// TransferStream is one stream to open.
type TransferStream struct {
	Dir   quic.Dir
	Size  uint64 // bytes to send, at least 16
	Reply uint64 // bytes to ask for on a bidirectional stream: at least 16, or 0 for an empty answer
	// ResetAfter resets the stream once so many bytes were accepted for sending; 0 means never.
	ResetAfter uint64
}

// header is the length of the two numbers that a stream begins with.
const header = 16

// resetCode is the application code of resets on purpose.
const resetCode = 0x77

// transferState is what a stream's Value holds.
type transferState struct {
	id             quic.StreamID
	sendSize, sent uint64
	reply          uint64 // asked of the peer, in our header
	resetAfter     uint64
	local          bool

	recvSize, recvd uint64
	head            [header]byte
	recvDone        bool
	sendDone        bool
	counted         bool // in FromPeer
	reading         bool // an event was told, and reading goes on with a delay
	closed          bool
}

// pattern is the byte that a stream from one side has at an offset.
func pattern(id quic.StreamID, from quic.Side, offset uint64) byte {
	x := (uint64(id)<<1 | uint64(from)) * 0x9e3779b97f4a7c15
	x += offset * 0xbf58476d1ce4e5b9
	x ^= x >> 29
	return byte(x >> 13)
}

// Start implements App.
func (t *Transfer) Start(*Peer) {
	t.buf = make([]byte, 16<<10)
	t.opened = make([]*transferState, len(t.Open))
}

// Event implements App.
func (t *Transfer) Event(p *Peer, e quic.Event) {
	switch e.Kind {
	case quic.EventEarlyData:
		t.open(p)
	case quic.EventEarlyDataRejected:
		if e.Err != nil {
			clear(t.opened)
		}
	case quic.EventEstablished:
		t.open(p)
		t.sendDatagram(p)
	case quic.EventStreamsAvailable:
		t.open(p)
	case quic.EventDatagramReceived:
		t.readDatagrams(p)
	case quic.EventStreamOpened:
		e.Stream.Value = &transferState{}
	case quic.EventStreamReadable:
		if t.ReadDelay > 0 {
			t.readLater(p, e.Stream)
		} else {
			t.read(p, e.Stream)
		}
	case quic.EventStreamWritable:
		t.write(p, e.Stream)
	case quic.EventStreamClosed:
		t.closed(p, e.Stream)
	}
	t.check(p)
}

func (t *Transfer) open(p *Peer) {
	for i, want := range t.Open {
		if t.opened[i] != nil {
			continue
		}
		s, err := p.Conn.OpenStream(want.Dir)
		if errors.Is(err, quic.ErrStreamLimit) {
			continue // the other direction may have room
		}
		if err != nil {
			p.World.fail("%v: OpenStream: %v", p.side, err)
			return
		}
		st := &transferState{
			id: s.ID(), local: true, sendSize: want.Size, reply: want.Reply, resetAfter: want.ResetAfter,
			recvDone: want.Dir == quic.Uni,
		}
		t.opened[i] = st
		s.Value = st
		t.write(p, s)
	}
}

// fill writes what a side's stream has from offset on.
func fill(p []byte, id quic.StreamID, side quic.Side, offset, size, reply uint64) {
	var head [header]byte
	binary.BigEndian.PutUint64(head[:], size)
	binary.BigEndian.PutUint64(head[8:], reply)
	for i := range p {
		if at := offset + uint64(i); at < header {
			p[i] = head[at]
		} else {
			p[i] = pattern(id, side, at)
		}
	}
}

func (t *Transfer) write(p *Peer, s *quic.Stream) {
	st := s.Value.(*transferState)
	for !st.sendDone && st.sendSize > 0 {
		n := min(uint64(len(t.buf)), st.sendSize-st.sent)
		if st.resetAfter > 0 && st.sent >= st.resetAfter {
			s.Reset(resetCode)
			st.sendDone, st.recvDone = true, true
			if s.ID().Dir() == quic.Bidi {
				s.StopSending(resetCode)
			}
			t.Resets++
			break
		}
		fill(t.buf[:n], s.ID(), p.side, st.sent, st.sendSize, st.reply)
		m, err := s.TryWrite(t.buf[:n], st.sent+n == st.sendSize)
		st.sent += uint64(m)
		if errors.Is(err, quic.ErrWouldBlock) {
			return
		}
		if err != nil {
			t.ended(p, s, st, err)
			return
		}
		if st.sent == st.sendSize && uint64(m) == n {
			st.sendDone = true
		} else if uint64(m) < n {
			return
		}
	}
}

func (t *Transfer) read(p *Peer, s *quic.Stream) {
	st := s.Value.(*transferState)
	for !st.recvDone {
		n, err := s.TryRead(t.buf)
		for i, b := range t.buf[:n] {
			at := st.recvd + uint64(i)
			if at < header {
				st.head[at] = b
			} else if b != pattern(s.ID(), p.side.Peer(), at) {
				p.World.fail("%v: stream %d has a wrong byte at %d", p.side, s.ID(), at)
				return
			}
		}
		st.recvd += uint64(n)
		t.Received += uint64(n)
		switch {
		case errors.Is(err, quic.ErrWouldBlock):
			return
		case err == io.EOF:
			st.recvSize = binary.BigEndian.Uint64(st.head[:])
			empty := st.local && st.reply == 0 && st.recvd == 0
			if !empty && (st.recvd != st.recvSize || st.recvd < header) {
				p.World.fail("%v: stream %d ended after %d of %d bytes", p.side, s.ID(), st.recvd, st.recvSize)
				return
			}
			if st.local && st.recvSize != st.reply {
				p.World.fail("%v: stream %d was answered with %d bytes instead of %d",
					p.side, s.ID(), st.recvSize, st.reply)
				return
			}
			st.recvDone = true
			if !st.local {
				t.FromPeer++
				if s.ID().Dir() == quic.Uni {
					break
				}
				if st.sendSize = binary.BigEndian.Uint64(st.head[8:]); st.sendSize > 0 {
					t.write(p, s)
				} else if _, err := s.TryWrite(nil, true); err != nil {
					p.World.fail("%v: stream %d: writing its end: %v", p.side, s.ID(), err)
				} else {
					st.sendDone = true
				}
			}
		case err != nil:
			t.ended(p, s, st, err)
			return
		}
		if t.ReadDelay > 0 && !st.recvDone && !st.closed {
			t.readLater(p, s)
			return
		}
	}
}

// readLater reads one buffer after ReadDelay.
func (t *Transfer) readLater(p *Peer, s *quic.Stream) {
	st := s.Value.(*transferState)
	if st.reading {
		return
	}
	st.reading = true
	p.World.After(t.ReadDelay, func() {
		st.reading = false
		if !p.Closed {
			t.read(p, s)
			t.check(p)
			p.Pump()
		}
	})
}

// sendDatagram sends the next datagram, and those after it at some distance.
func (t *Transfer) sendDatagram(p *Peer) {
	if t.datagramsSent >= t.Datagrams || p.Closed {
		return
	}
	b := make([]byte, 8+t.datagramsSent%1000)
	binary.BigEndian.PutUint64(b, uint64(t.datagramsSent))
	fill(b[8:], datagramID, p.side, header, 0, 0)
	if err := p.Conn.TrySendDatagram(b); err != nil && !errors.Is(err, quic.ErrWouldBlock) {
		p.World.fail("%v: TrySendDatagram: %v", p.side, err)
	}
	t.datagramsSent++
	p.World.After(time.Millisecond, func() {
		t.sendDatagram(p)
		p.Pump()
	})
}

// datagramID stands for a stream's ID in the pattern of datagrams.
const datagramID = 1 << 40

// readDatagrams checks the peer's datagrams: whole, and each at most once.
func (t *Transfer) readDatagrams(p *Peer) {
	for {
		b, err := p.Conn.TryReceiveDatagram()
		if err != nil {
			return
		}
		if len(b) < 8 {
			p.World.fail("%v: datagram of %d bytes", p.side, len(b))
			return
		}
		n := binary.BigEndian.Uint64(b)
		for i, c := range b[8:] {
			if c != pattern(datagramID, p.side.Peer(), header+uint64(i)) {
				p.World.fail("%v: datagram %d has a wrong byte at %d", p.side, n, i)
				return
			}
		}
		if t.datagramsHad == nil {
			t.datagramsHad = map[uint64]bool{}
		}
		if t.datagramsHad[n] || len(b) != 8+int(n%1000) {
			p.World.fail("%v: datagram %d of %d bytes, seen before: %v", p.side, n, len(b), t.datagramsHad[n])
		}
		t.datagramsHad[n] = true
		t.DatagramsReceived++
	}
}

// ended notes that a stream was reset, which only happens on purpose.
func (t *Transfer) ended(p *Peer, s *quic.Stream, st *transferState, err error) {
	var se *quic.StreamError
	if !errors.As(err, &se) || se.Code != resetCode {
		p.World.fail("%v: stream %d: %v", p.side, s.ID(), err)
		return
	}
	if s.ID().Initiator() != p.side && !st.counted {
		st.counted = true
		t.FromPeer++
	}
	st.recvDone, st.sendDone = true, true
	if s.ID().Dir() == quic.Bidi || s.ID().Initiator() == p.side {
		s.Reset(resetCode)
	}
}

// closed notes that a stream is over: everything was received, and what was sent is acknowledged.
func (t *Transfer) closed(p *Peer, s *quic.Stream) {
	st := s.Value.(*transferState)
	if !st.recvDone {
		// A reset ends the stream whether or not the application has looked.
		t.read(p, s)
	}
	switch {
	case st.closed:
		p.World.fail("%v: stream %d closed twice", p.side, s.ID())
	case st.sendSize > 0 && !st.sendDone || !st.recvDone:
		p.World.fail("%v: stream %d closed after %d of %d bytes were sent, %d received",
			p.side, s.ID(), st.sent, st.sendSize, st.recvd)
	}
	st.closed = true
	if st.local {
		t.finished++
	}
}

func (t *Transfer) check(p *Peer) {
	if t.Done || t.finished < len(t.Open) || t.FromPeer < t.ExpectFromPeer || !p.Conn.Established() {
		return
	}
	t.Done, t.DoneAt = true, p.World.now
	if t.CloseWhenDone {
		p.Conn.Close(p.World.now, &quic.ApplicationError{Code: 0, Reason: "done"})
	}
}

// String says how far the transfer has come, and which streams hold it up.
func (t *Transfer) String() string {
	s := fmt.Sprintf("%d of %d streams finished, %d of %d from the peer, %d bytes received",
		t.finished, len(t.Open), t.FromPeer, t.ExpectFromPeer, t.Received)
	for i, st := range t.opened {
		switch {
		case st == nil:
			s += fmt.Sprintf("; %v stream of %d bytes not opened", t.Open[i].Dir, t.Open[i].Size)
		case !st.closed:
			s += fmt.Sprintf("; stream %d: sent %d of %d (done %v), reset after %d, received %d of %d (done %v)",
				st.id, st.sent, st.sendSize, st.sendDone, st.resetAfter, st.recvd, st.reply, st.recvDone)
		}
	}
	return s
}
