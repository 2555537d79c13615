package simnet

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/dunlin-quic/dunlin/quic"
)

// Transfer is an App that moves data whose every byte the receiver can check: a stream begins with its own length and with the
// length that the answer shall have, eight bytes each; all that follows is a function of the stream's ID and the offset.
// Either side opens streams; the other answers those that are bidirectional.
type Transfer struct {
	// Open lists the streams to open once the connection is established.
	Open []TransferStream
	// CloseWhenDone closes the connection when all streams in Open are acknowledged and answered, and ExpectFromPeer
	// streams of the peer have come whole.
	CloseWhenDone  bool
	ExpectFromPeer int

	// Received counts the bytes that came, FromPeer the peer's streams that came whole, Done says that everything
	// expected has happened.
	Received uint64
	FromPeer int
	Done     bool
	DoneAt   time.Time
	// Resets counts streams that ended early, on purpose.
	Resets int

	opened   []*transferState // by index of Open; nil before it is
	finished int
	buf      []byte
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
	case quic.EventEstablished, quic.EventStreamsAvailable:
		t.open(p)
	case quic.EventStreamOpened:
		e.Stream.Value = &transferState{}
	case quic.EventStreamReadable:
		t.read(p, e.Stream)
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
				p.World.fail("%v: stream %d was answered with %d bytes instead of %d", p.side, s.ID(), st.recvSize, st.reply)
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
	switch {
	case st.closed:
		p.World.fail("%v: stream %d closed twice", p.side, s.ID())
	case st.sendSize > 0 && !st.sendDone || !st.recvDone:
		p.World.fail("%v: stream %d closed after %d of %d bytes were sent, %d received", p.side, s.ID(), st.sent, st.sendSize, st.recvd)
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
