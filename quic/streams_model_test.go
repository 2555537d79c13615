package quic

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/dunlin-quic/dunlin/internal/blocks"
	"github.com/dunlin-quic/dunlin/internal/recovery"
	"github.com/dunlin-quic/dunlin/internal/wire"
)

// The model test lets two tables talk over a network that loses, repeats and reorders packets, and declares packets
// lost whether they are or not. Applications on both sides open streams and write, read, reset and stop them as a seeded
// generator says. What is read must be what was written, every stream must end as it should, and in the end nothing may
// be left on either side.

// modelByte is what the stream carries at the offset: each reader can check its bytes on its own.
func modelByte(id StreamID, offset uint64) byte {
	return byte(offset*31 + offset>>8*7 + uint64(id)*13)
}

type modelPacket struct {
	bytes  []byte
	frames []sentFrame
}

// modelEnd is one side: a table, its application, and the packets it has in flight.
type modelEnd struct {
	*tableTest
	rnd     *rand.Rand
	peer    *modelEnd
	streams map[StreamID]*modelStream
	toOpen  [2]int
	flight  []*modelPacket
	closed  int
	frames  int
	loans   []*testLoan
}

// modelStream is what an application knows of a stream.
type modelStream struct {
	*Stream
	size      uint64 // to write in all
	resetAt   uint64 // reset when so much is written; never if more than size
	reliable  uint64 // how much of it is delivered all the same
	stopAt    uint64 // stop when so much is read
	written   uint64
	writeDone bool
	writeFail bool // the write half ended early
	read      uint64
	readDone  bool
	eof       bool
	closed    bool
}

func (e *modelEnd) adopt(s *Stream) *modelStream {
	m := &modelStream{Stream: s, size: uint64(e.rnd.IntN(200)), resetAt: 1 << 62, stopAt: 1 << 62}
	if e.rnd.IntN(3) == 0 {
		m.size = uint64(e.rnd.IntN(40_000))
	}
	if e.rnd.IntN(6) == 0 {
		m.resetAt = uint64(e.rnd.IntN(int(m.size) + 1))
	}
	if e.rnd.IntN(6) == 0 {
		m.stopAt = uint64(e.rnd.IntN(10_000))
	}
	m.writeDone = s.send.state == sendNone
	m.readDone = s.recv.state == recvNone
	s.Value = m
	if e.rnd.IntN(2) == 0 {
		s.SetPriority(uint8(e.rnd.IntN(9)), e.rnd.IntN(2) == 0)
	}
	e.streams[s.ID()] = m
	return m
}

func (e *modelEnd) open(d Dir) {
	for e.toOpen[d] > 0 {
		s, err := e.tableTest.open(d)
		if err == ErrStreamLimit {
			return
		}
		e.must(err)
		e.toOpen[d]--
		m := e.adopt(s)
		e.write(m)
		e.read(m)
	}
}

func (e *modelEnd) events() {
	for {
		ev, ok := e.nextEvent()
		if !ok {
			return
		}
		if ev.Kind == EventStreamsAvailable {
			e.open(ev.Dir)
			continue
		}
		m, _ := ev.Stream.Value.(*modelStream)
		if (m == nil) != (ev.Kind == EventStreamOpened) || m != nil && m.closed {
			e.Fatalf("event %v for stream %d", ev.Kind, ev.Stream.ID())
		}
		switch ev.Kind {
		case EventStreamOpened:
			e.write(e.adopt(ev.Stream))
		case EventStreamReadable:
			if e.read(m) == 0 {
				e.Fatalf("stream %d was readable, but nothing was read", m.ID())
			}
		case EventStreamWritable:
			e.write(m)
		case EventStreamClosed:
			e.finish(m)
		}
	}
}

func (e *modelEnd) write(m *modelStream) {
	for !m.writeDone {
		if m.written >= m.resetAt {
			m.reliable = m.written - uint64(e.rnd.IntN(int(m.written)+1))
			m.ResetAt(uint64(m.ID())+1, m.reliable)
			if e.rnd.IntN(3) == 0 {
				m.reliable /= 2
				m.ResetAt(0, m.reliable)
			}
			m.writeDone, m.writeFail = true, true
			return
		}
		p := make([]byte, min(m.size-m.written, uint64(1+e.rnd.IntN(5000)), m.resetAt-m.written))
		for i := range p {
			p[i] = modelByte(m.ID(), m.written+uint64(i))
		}
		fin := m.written+uint64(len(p)) == m.size && m.size < m.resetAt
		loan := &testLoan{T: e.T, data: p}
		write := m.TryWrite
		if e.rnd.IntN(2) == 0 {
			write = func(p []byte, fin bool) (int, error) { return m.TryLend(p, fin, loan) }
		} else {
			loan = nil
		}
		n, err := write(p, fin)
		if loan != nil && n > 0 {
			e.loans = append(e.loans, loan)
		}
		m.written += uint64(n)
		var se *StreamError
		switch {
		case err == nil && n == len(p):
			m.writeDone = fin
		case err == nil && n < len(p):
		case err == ErrWouldBlock && n == 0:
			return
		case errors.As(err, &se) && se.Remote && se.Code == uint64(m.ID())+2:
			m.writeDone, m.writeFail = true, true
		default:
			e.Fatalf("TryWrite on stream %d: %d of %d bytes, %v", m.ID(), n, len(p), err)
		}
	}
}

// read reads all there is and returns how often there was something.
func (e *modelEnd) read(m *modelStream) (times int) {
	for ; !m.readDone; times++ {
		if m.read >= m.stopAt {
			m.StopSending(uint64(m.ID()) + 2)
			m.readDone = true
			return times + 1
		}
		var p []byte
		var err error
		if e.rnd.IntN(2) == 0 {
			p = make([]byte, 1+e.rnd.IntN(3000))
			var n int
			n, err = m.TryRead(p)
			p = p[:n]
		} else if p, err = m.Peek(); err == nil {
			p = slices.Clone(p[:1+e.rnd.IntN(len(p))])
			if n := m.Discard(len(p)); n != len(p) {
				e.Fatalf("discarded %d of %d bytes", n, len(p))
			}
		}
		for i, b := range p {
			if b != modelByte(m.ID(), m.read+uint64(i)) {
				e.Fatalf("stream %d has a wrong byte at %d", m.ID(), m.read+uint64(i))
			}
		}
		m.read += uint64(len(p))
		var se *StreamError
		switch {
		case err == nil && len(p) > 0:
		case err == ErrWouldBlock:
			return times
		case err == io.EOF:
			m.readDone, m.eof = true, true
		case errors.As(err, &se) && se.Remote && (se.Code == uint64(m.ID())+1 || se.Code == uint64(m.ID())+2):
			m.readDone = true
			if sender := e.peer.streams[m.ID()]; se.Code == uint64(m.ID())+1 && m.read < sender.reliable && sender.send.code == se.Code &&
				!sender.send.remote && sender.send.state != sendResetSent && sender.send.state != sendResetRecvd {
				e.Fatalf("stream %d: %d bytes read before its reset at %d", m.ID(), m.read, sender.reliable)
			}
		default:
			e.Fatalf("read from stream %d: %d bytes, %v", m.ID(), len(p), err)
		}
	}
	return times
}

func (e *modelEnd) finish(m *modelStream) {
	m.closed = true
	e.closed++
	e.read(m)
	if !m.readDone || !m.writeDone && m.send.state != sendResetRecvd && m.send.state != sendDataRecvd {
		e.Fatalf("stream %d is closed: read done %v, write done %v", m.ID(), m.readDone, m.writeDone)
	}
}

// transmit sends one packet into the network.
func (e *modelEnd) transmit() bool {
	size := 1200
	if e.rnd.IntN(4) == 0 {
		size = 40 + e.rnd.IntN(200) // what is left beside other frames
	}
	w := &packetWriter{buf: make([]byte, 0, size), limit: size, space: recovery.AppData, rec: &e.rec}
	e.appendFrames(w, e.now)
	e.rec.Abandon(recovery.AppData)
	if len(w.buf) == 0 {
		if size == 1200 && e.pending() {
			e.Fatal("something is pending, but nothing was sent")
		}
		return false
	}
	frames := parseFrames(e.T, w.buf)
	e.frames += len(frames)
	e.flight = append(e.flight, &modelPacket{bytes: w.buf, frames: frames})
	return true
}

// deliver passes a packet's frames to the other side.
func (e *modelEnd) deliver(p *modelPacket) {
	to := e.peer
	for _, f := range p.frames {
		to.must(to.handleFrame(f))
	}
	to.checkBounds()
}

// handleFrame passes a frame in the form that a table test shows it.
func (tt *tableTest) handleFrame(f sentFrame) error {
	id, code, size := uint64(0), uint64(0), uint64(0)
	dir := Bidi
	var name string
	fmt.Sscan(f.text, &name)
	switch name {
	case "STREAM":
		return tt.handleStream(tt.now, f.stream.ID, f.stream.Offset, f.stream.Data, f.stream.Fin)
	case "RESET_STREAM":
		fmt.Sscanf(f.text, "RESET_STREAM %d code %d size %d", &id, &code, &size)
		return tt.handleReset(id, code, size)
	case "RESET_STREAM_AT":
		var at uint64
		fmt.Sscanf(f.text, "RESET_STREAM_AT %d code %d size %d at %d", &id, &code, &size, &at)
		return tt.handleResetAt(wire.ResetStreamAtFrame{ID: id, Code: code, FinalSize: size, ReliableSize: at})
	case "STOP_SENDING":
		fmt.Sscanf(f.text, "STOP_SENDING %d code %d", &id, &code)
		return tt.handleStopSending(id, code)
	case "MAX_DATA":
		return tt.handleMaxData(f.record.Offset)
	case "MAX_STREAM_DATA":
		return tt.handleMaxStreamData(f.record.ID, f.record.Offset)
	case "DATA_BLOCKED":
		return tt.handleDataBlocked(f.record.Offset)
	case "STREAM_DATA_BLOCKED":
		return tt.handleStreamDataBlocked(f.record.ID, f.record.Offset)
	}
	if f.record.Type&1 != 0 {
		dir = Uni
	}
	if name == "MAX_STREAMS" {
		return tt.handleMaxStreams(dir, f.record.Offset)
	}
	return tt.handleStreamsBlocked(dir, f.record.Offset)
}

// checkBounds checks what must hold at any time.
func (tt *tableTest) checkBounds() {
	tt.Helper()
	t := &tt.streamTable
	if w := &t.window; w.Received() > w.Limit() || w.Consumed() > w.Received() {
		tt.Fatalf("the connection's window: received %d, consumed %d, limit %d", w.Received(), w.Consumed(), w.Limit())
	}
	unsent, open := 0, [2]uint64{}
	for id, s := range t.streams {
		if s.closed || s.id != id {
			tt.Fatalf("stream %d is in the table as %d, closed: %v", s.id, id, s.closed)
		}
		if t.isRemote(id) {
			open[id.Dir()]++
		}
		if s.send.active() {
			unsent += s.send.unsent()
		}
		b := &s.recv.buf
		held := 0
		for _, block := range b.blocks {
			held += cap(block)
		}
		if bound := int(s.recv.window.Received()-b.read) + 2*blocks.LargeSize; held > bound || b.read > b.have {
			tt.Fatalf("stream %d holds %d bytes, bound %d", id, held, bound)
		}
	}
	if unsent != t.unsent || unsent > t.sendLimit+len(t.streams)*streamReserve {
		tt.Fatalf("%d bytes unsent, counted %d", unsent, t.unsent)
	}
	for d, n := range open {
		if n > t.remote[d].atOne {
			tt.Fatalf("%d %v streams of the peer are open, %d allowed", n, Dir(d), t.remote[d].atOne)
		}
	}
}

// settle decides on the fate of a random packet in flight.
func (e *modelEnd) settle() {
	i := e.rnd.IntN(min(len(e.flight), 10))
	p := e.flight[i]
	switch e.rnd.IntN(10) {
	case 0: // lost
		e.lose(p.frames)
	case 1: // delivered, the acknowledgment comes too late
		e.deliver(p)
		e.lose(p.frames)
		if e.rnd.IntN(2) == 0 {
			e.ack(p.frames)
		}
	case 2: // declared lost, delivered and acknowledged later
		e.lose(p.frames)
		if e.rnd.IntN(2) == 0 {
			return
		}
		e.deliver(p)
		e.ack(p.frames)
	case 3: // delivered twice
		e.deliver(p)
		e.deliver(p)
		e.ack(p.frames)
	case 4: // delivered, acknowledged later
		e.deliver(p)
		return
	default:
		e.deliver(p)
		e.ack(p.frames)
	}
	e.flight = slices.Delete(e.flight, i, i+1)
}

// RFC 9000, Section 2.2 (MUST 1, 2).
func TestStreamsModel(t *testing.T) {
	for seed := range uint64(150) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { runModel(t, seed) })
	}
}

func runModel(t *testing.T, seed uint64) {
	rnd := rand.New(rand.NewPCG(seed, 0))
	cfg := Config{StreamWindow: 500 + rnd.IntN(20_000), ConnWindow: 700 + rnd.IntN(30_000),
		MaxBidiStreams: 1 + rnd.IntN(20), MaxUniStreams: 1 + rnd.IntN(20)}
	cfg.MaxStreamWindow, cfg.MaxConnWindow = cfg.StreamWindow*rnd.IntN(5), cfg.ConnWindow*rnd.IntN(5)
	window := uint64(cfg.StreamWindow)
	limits := streamLimits{maxData: uint64(cfg.ConnWindow), bidiLocal: window, bidiRemote: window, uni: window,
		maxStreams: [2]uint64{uint64(cfg.MaxBidiStreams), uint64(cfg.MaxUniStreams)}, resetAt: true}
	var ends [2]*modelEnd
	for side := range ends {
		ends[side] = &modelEnd{tableTest: newTableWith(t, Side(side), cfg, limits), rnd: rnd,
			streams: make(map[StreamID]*modelStream), toOpen: [2]int{20, 20}}
	}
	a, b := ends[0], ends[1]
	a.peer, b.peer = b, a

	for step := 0; ; step++ {
		e := ends[rnd.IntN(2)]
		e.now = e.now.Add(time.Duration(rnd.IntN(20)) * time.Millisecond)
		e.open(Dir(rnd.IntN(2)))
		e.events()
		for range rnd.IntN(4) {
			e.transmit()
		}
		for len(e.flight) > 0 && rnd.IntN(3) > 0 {
			e.settle()
		}
		e.checkBounds()
		done := true
		for _, e := range ends {
			done = done && e.closed == 80 && len(e.flight) == 0 && !e.pending() && e.toOpen == [2]int{}
		}
		if done {
			break
		}
		if step > 200_000 {
			t.Fatalf("no end: %d and %d streams closed of 80, %d and %d packets in flight", a.closed, b.closed,
				len(a.flight), len(b.flight))
		}
	}
	for _, e := range ends {
		e.wantIdle()
		for id, m := range e.streams {
			sender, receiver := m, e.peer.streams[id]
			if receiver.recv.state == recvNone || !receiver.eof {
				continue
			}
			if receiver.read != sender.written || sender.writeFail && !sender.send.state.terminal() {
				t.Errorf("stream %d: %d bytes written, %d read", id, sender.written, receiver.read)
			}
		}
		for _, l := range e.loans {
			if l.released != 1 {
				t.Fatalf("memory lent was given back %d times", l.released)
			}
		}
		if e.window.Received() != e.peer.credit.Used() {
			t.Errorf("received %d, sent %d", e.window.Received(), e.peer.credit.Used())
		}
	}
}
