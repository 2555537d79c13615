package quic

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"github.com/dunlin-quic/dunlin/internal/wire"
)

func TestDatagrams(t *testing.T) {
	for side := range Side(2) {
		p := newTestPair(t)
		p.establish()
		p.events = [2][]Event{}
		c, peer := p.conn[side], p.conn[side.Peer()]
		for i := range 10 {
			if err := c.TrySendDatagram(bytes.Repeat([]byte{byte(i)}, i*100)); err != nil {
				t.Fatal(err)
			}
		}
		p.idle(time.Second)
		p.poll(side.Peer())
		n := 0
		for _, e := range p.events[side.Peer()] {
			if e.Kind == EventDatagramReceived {
				n++
			}
		}
		if n != 1 {
			t.Errorf("%d times EventDatagramReceived before anything is read", n)
		}
		for i := range 10 {
			b, err := peer.TryReceiveDatagram()
			if err != nil || !bytes.Equal(b, bytes.Repeat([]byte{byte(i)}, i*100)) {
				t.Errorf("datagram %d: %d bytes, %v", i, len(b), err)
			}
		}
		if _, err := peer.TryReceiveDatagram(); err != ErrWouldBlock {
			t.Errorf("after the last: %v", err)
		}
		c.TrySendDatagram([]byte("again"))
		p.events = [2][]Event{}
		p.idle(time.Second)
		p.poll(side.Peer())
		if e := p.events[side.Peer()]; len(e) != 1 || e[0].Kind != EventDatagramReceived {
			t.Errorf("events %v", e)
		}
	}
}

// RFC 9000, Section 19.21 (MUST 1).
func TestDatagramErrors(t *testing.T) {
	p := newTestPair(t, func(p *testPair) { p.cfg[Server].MaxDatagramFrame = -1 })
	p.establish()
	if err := p.conn[Client].TrySendDatagram([]byte("x")); err != ErrDatagramUnsupported {
		t.Errorf("to a peer that takes none: %v", err)
	}
	if n := p.conn[Client].MaxDatagramLen(); n != 0 {
		t.Errorf("MaxDatagramLen %d", n)
	}
	if err := p.conn[Server].TrySendDatagram([]byte("x")); err != nil {
		t.Errorf("to a peer that takes some: %v", err)
	}
	n := p.conn[Server].MaxDatagramLen()
	if err := p.conn[Server].TrySendDatagram(make([]byte, n+1)); err != ErrDatagramTooLarge {
		t.Errorf("one byte too long: %v", err)
	}
	if err := p.conn[Server].TrySendDatagram(make([]byte, n)); err != nil {
		t.Errorf("as long as may be: %v", err)
	}
	p.idle(time.Second)
	p.conn[Client].TryReceiveDatagram()
	if b, err := p.conn[Client].TryReceiveDatagram(); len(b) != n || err != nil {
		t.Errorf("%d bytes arrived, %v", len(b), err)
	}

	// RFC 9221, Section 3.
	s := newScript(t, Server, func(p *testPair) { p.cfg[Server].MaxDatagramFrame = -1 })
	s.send([]byte("\x31\x01x"))
	s.wantClosed(ProtocolViolation)
	s = newScript(t, Server, func(p *testPair) { p.cfg[Server].MaxDatagramFrame = 5 })
	s.send([]byte("\x31\x03xyz"))
	s.wantOpen()
	s.send([]byte("\x31\x04wxyz"))
	s.wantClosed(ProtocolViolation)
}

// A sender that is faster than the network waits, and hears when it can go on.
// RFC 9000, Section 19.21 (MUST 2).
func TestDatagramBackpressure(t *testing.T) {
	p := newTestPair(t)
	p.establish()
	p.events = [2][]Event{}
	c := p.conn[Client]
	b := make([]byte, 1000)
	n := 0
	for c.TrySendDatagram(b) == nil {
		if n++; n > 1000 {
			t.Fatal("no bound")
		}
	}
	if err := c.TrySendDatagram(b); err != ErrWouldBlock {
		t.Fatal(err)
	}
	p.run("EventDatagramsWritable", func() bool {
		for _, e := range p.events[Client] {
			if e.Kind == EventDatagramsWritable {
				return true
			}
		}
		return false
	})
	if err := c.TrySendDatagram(b); err != nil {
		t.Error(err)
	}
}

// Datagrams that no longer fit the path make room as they are dropped.
func TestDatagramsTooLargeByNow(t *testing.T) {
	s := newScript(t, Client)
	s.c.path.mtu.size = 1452
	b := make([]byte, s.c.MaxDatagramLen())
	for s.c.TrySendDatagram(b) == nil {
	}
	s.c.path.mtu.blackHole(s.c.now)
	if fs := s.sent(); len(fs) > 0 {
		t.Errorf("sent %v", fs)
	}
	if e := s.c.NextEvent(); e.Kind != EventDatagramsWritable {
		t.Errorf("event %v, want EventDatagramsWritable", e.Kind)
	}
	if err := s.c.TrySendDatagram(b); err != ErrDatagramTooLarge {
		t.Error(err)
	}
}

// Datagrams give way to what streams have to send, but don't wait for what they no longer have to.
func TestDatagramsWaitForNothing(t *testing.T) {
	s := newScript(t, Client)
	for d := range Dir(2) {
		for err := error(nil); err == nil; {
			_, err = s.c.OpenStream(d)
		}
	}
	for range 2 {
		if err := s.c.TrySendDatagram(make([]byte, s.c.MaxDatagramLen())); err != nil {
			t.Fatal(err)
		}
	}
	// The first one leaves no room for both STREAMS_BLOCKED frames, and then nobody is blocked.
	buf := make([]byte, 2000)
	if _, ok := s.c.PollTransmit(s.now, buf, 1); !ok || !s.c.streams.pending() {
		t.Fatal("nothing is left for streams to send")
	}
	// Not in a packet, whose acknowledgment would go out first.
	for d := range Dir(2) {
		s.c.streams.handleMaxStreams(d, 500)
	}
	if fs := s.sent(); len(find(fs, wire.FrameDatagramLen)) != 1 {
		t.Errorf("sent %v, want the other datagram", fs)
	}
}

// Datagrams that do not fill packets leave in one train, as long as they are of one length.
func TestDatagramTrain(t *testing.T) {
	for _, test := range []struct {
		lengths []int
		trains  []int // packets of each
	}{
		{[]int{800, 800, 800, 800, 800}, []int{5}},
		{[]int{800, 800, 700, 800, 800}, []int{3, 2}},
		{[]int{800, 900, 900}, []int{1, 2}},
		{[]int{300, 300, 300, 300, 300, 300, 300, 300}, []int{3}},
	} {
		p := newTestPair(t)
		p.establish()
		p.idle(time.Second)
		c, peer := p.conn[Client], p.conn[Server]
		for _, n := range test.lengths {
			if err := c.TrySendDatagram(make([]byte, n)); err != nil {
				t.Fatal(err)
			}
		}
		var trains []int
		buf := make([]byte, 64<<10)
		for {
			tr, ok := c.PollTransmit(p.now, buf, 40)
			if !ok {
				break
			}
			trains = append(trains, (tr.Len+tr.SegmentSize-1)/tr.SegmentSize)
			peer.Receive(p.now, Inbound{Path: testPaths[Server], Data: buf[:tr.Len], SegmentSize: tr.SegmentSize})
		}
		if !slices.Equal(trains, test.trains) {
			t.Errorf("datagrams of %v bytes: trains of %v packets, want %v", test.lengths, trains, test.trains)
		}
		for i, n := range test.lengths {
			if b, err := peer.TryReceiveDatagram(); err != nil || len(b) != n {
				t.Errorf("datagrams of %v bytes: number %d has %d, %v", test.lengths, i, len(b), err)
			}
		}
	}
}

// A receiver that does not read loses datagrams, and holds no more than its bound.
func TestDatagramFlood(t *testing.T) {
	s := newScript(t, Server)
	f := append(wire.AppendDatagramHeader(nil, 1000), make([]byte, 1000)...)
	for range 1000 {
		s.send(f)
		s.sent()
	}
	st := s.c.Stats()
	if st.DatagramFramesReceived+st.DatagramFramesDropped != 1000 || st.DatagramFramesReceived != maxDatagramsIn/1002 {
		t.Errorf("%d received, %d dropped", st.DatagramFramesReceived, st.DatagramFramesDropped)
	}
	if n := s.c.datagrams.in.Cap(); n > 2*maxDatagramsIn {
		t.Errorf("%d bytes held", n)
	}
	// Read and forgotten, they leave nothing behind.
	for {
		if _, err := s.c.TryReceiveDatagram(); err != nil {
			break
		}
	}
	s.now = s.now.Add(2 * time.Second)
	s.c.HandleTimeout(s.now)
	if n := s.c.datagrams.in.Cap(); n > 0 {
		t.Errorf("%d bytes held by an idle connection", n)
	}
}

// Datagrams and streams share what there is.
func TestDatagramsAndStreams(t *testing.T) {
	p := newTestPair(t)
	p.establish()
	b := make([]byte, 1000)
	old := p.filter
	p.filter = func(from Side, d []byte) bool {
		for p.conn[Client].TrySendDatagram(b) == nil {
		}
		return old == nil || old(from, d)
	}
	p.transfer(Client, 1<<20)
	if n := p.conn[Server].Stats(); n.DatagramFramesReceived+n.DatagramFramesDropped < 100 {
		t.Errorf("%d datagrams arrived beside the stream", n.DatagramFramesReceived)
	}
}

func TestDatagramAllocations(t *testing.T) {
	p := newTestPair(t)
	p.establish()
	c, s := p.conn[Client], p.conn[Server]
	b := make([]byte, 1000)
	buf := make([]byte, 64<<10)
	pass := func(from, to *Conn) {
		for {
			tr, ok := from.PollTransmit(p.now, buf, 40)
			if !ok {
				return
			}
			to.Receive(p.now, Inbound{Path: testPaths[to.side], Data: buf[:tr.Len], SegmentSize: tr.SegmentSize})
		}
	}
	round := func() {
		p.now = p.now.Add(time.Millisecond)
		c.HandleTimeout(p.now)
		s.HandleTimeout(p.now)
		for range 5 {
			c.TrySendDatagram(b)
		}
		pass(c, s)
		for {
			if _, err := s.TryReceiveDatagram(); err != nil {
				break
			}
		}
		pass(s, c)
		c.NextEvent()
		s.NextEvent()
	}
	for range 500 {
		round()
	}
	if n := testing.AllocsPerRun(500, round); n > 0 {
		t.Errorf("%v allocations per round", n)
	}
}

// A datagram is delivered once, whatever becomes of its packet: that counts as old when it comes again, or it was refused
// for want of room. RFC 9000, Section 12.3 (MUST 4).
func TestDatagramDeliveredOnce(t *testing.T) {
	datagram := append(wire.AppendDatagramHeader(nil, 4), "once"...)
	for side := range Side(2) {
		for name, play := range map[string]func(s *script) (again []byte){
			"old": func(s *script) []byte {
				first := s.seal(wire.OneRTT, datagram)
				s.receive(first)
				for range 1000 {
					s.seal(wire.OneRTT, wire.AppendPing(nil)) // is lost
					s.send(wire.AppendPing(nil))
				}
				return first
			},
			"refused": func(s *script) []byte {
				id := uint64(NewStreamID(side.Peer(), Uni, 0))
				piece := func(i int) []byte {
					return append(wire.AppendStreamHeader(nil, id, uint64(1+2*i), 1, false), 'x')
				}
				for i := range maxGaps {
					s.send(piece(i))
				}
				dropped := s.c.Stats().PacketsDropped
				first := s.seal(wire.OneRTT, datagram, piece(maxGaps+1))
				s.receive(first)
				if s.c.Stats().PacketsDropped != dropped+1 {
					t.Errorf("%v: a packet with a gap too many was not refused", side)
				}
				return first
			},
		} {
			s := newScript(t, side)
			again := play(s)
			if b, err := s.c.TryReceiveDatagram(); string(b) != "once" || err != nil {
				t.Errorf("%v, %s: %q, %v", side, name, b, err)
			}
			s.receive(again)
			if b, err := s.c.TryReceiveDatagram(); err != ErrWouldBlock {
				t.Errorf("%v, %s: %q, %v for the second time", side, name, b, err)
			}
			s.wantOpen()
		}
	}
}
