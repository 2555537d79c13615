package quic

import (
	"net/netip"
	"testing"
	"time"

	"github.com/dunlin-quic/dunlin/internal/blocks"
	"github.com/dunlin-quic/dunlin/internal/protect"
	"github.com/dunlin-quic/dunlin/internal/recovery"
	"github.com/dunlin-quic/dunlin/internal/wire"
)

// scriptBytes is what the script of a fuzzed pair is read from. After its end come zeros.
type scriptBytes []byte

func (b *scriptBytes) byte() (v byte) {
	if len(*b) > 0 {
		v, *b = (*b)[0], (*b)[1:]
	}
	return v
}

// below returns an integer from 0 up to, not including, n.
func (b *scriptBytes) below(n int) int { return int(b.byte()) % max(n, 1) }

func (b *scriptBytes) take(n int) []byte {
	n = min(n, len(*b))
	p := (*b)[:n:n]
	*b = (*b)[n:]
	return p
}

// integer returns a small integer, or one at a bound of something.
func (b *scriptBytes) integer() uint64 {
	bounds := [...]uint64{
		63, 64, 1<<14 - 1, 1 << 14, 512 << 10, 768 << 10, 1<<20 + 1, 1<<30 - 1, 1 << 30, 1<<60 - 1, 1 << 60, 1<<60 + 1, wire.MaxVarint - 1, wire.MaxVarint,
	}
	v := int(b.byte())
	if v < 256-len(bounds) {
		return uint64(v)
	}
	return bounds[255-v]
}

// fuzzPair is a pair whose links, frames, time and applications follow a script.
type fuzzPair struct {
	*testPair
	script scriptBytes
	sides  [2]fuzzSide

	// What came from and went to each address of the client, as the server saw it.
	came, went map[netip.AddrPort]int
	proved     map[netip.AddrPort]bool

	loans []fuzzLoan
}

// fuzzSide is what the owner of one side knows.
type fuzzSide struct {
	streams []*Stream
	ids     map[ConnectionID]bool
	tokens  map[StatelessResetToken]netip.AddrPort
	closed  bool
	drained bool
}

var fuzzAddrs = []netip.AddrPort{testClientAddr, reboundPort, reboundAddr, netip.MustParseAddrPort("[2001:db8::1]:5")}

// pollSide drains what side has to say, and checks it.
func (p *fuzzPair) pollSide(side Side, size, segs int) {
	c, s := p.conn[side], &p.sides[side]
	if c == nil {
		return
	}
	for e := c.NextEvent(); e.Kind != EventNone; e = c.NextEvent() {
		if s.closed {
			p.t.Fatalf("%v: event %v after EventClosed", side, e.Kind)
		}
		switch e.Kind {
		case EventClosed:
			s.closed = true
			if e.Err == nil || e.Err != c.Err() {
				p.t.Fatalf("%v: EventClosed with %v", side, e.Err)
			}
		case EventStreamOpened:
			s.streams = append(s.streams, e.Stream)
		}
	}
	if n := len(c.events.endpoint); n > 64 {
		p.t.Fatalf("%v: %d endpoint events", side, n)
	}
	for e := c.NextEndpointEvent(); e.Kind != EndpointNone; e = c.NextEndpointEvent() {
		if s.drained {
			p.t.Fatalf("%v: endpoint event %v after EndpointDrained", side, e.Kind)
		}
		switch e.Kind {
		case EndpointCIDIssued:
			if s.ids[e.CID] && e.CID.Len() > 0 {
				p.t.Fatalf("%v: connection ID issued twice", side)
			}
			s.ids[e.CID] = true
		case EndpointCIDRetired:
			if !s.ids[e.CID] {
				p.t.Fatalf("%v: connection ID retired that was not issued", side)
			}
			delete(s.ids, e.CID)
		case EndpointResetTokenAdded:
			s.tokens[e.Token] = e.Remote
		case EndpointResetTokenRemoved:
			if remote, ok := s.tokens[e.Token]; !ok || remote != e.Remote {
				p.t.Fatalf("%v: reset token removed that was not added", side)
			}
			delete(s.tokens, e.Token)
		case EndpointDrained:
			s.drained = true
		}
	}
	if len(s.tokens) > activeConnectionIDLimit {
		p.t.Fatalf("%v: %d reset tokens", side, len(s.tokens))
	}
	if len(s.ids) > 2*maxIssuedCIDs+2 {
		p.t.Fatalf("%v: %d connection IDs", side, len(s.ids))
	}
	for n := 0; ; n++ {
		if n > 1000 {
			p.t.Fatalf("%v: sends without end", side)
		}
		tr, ok := c.PollTransmit(p.now, p.buf[:size], segs)
		if !ok {
			break
		}
		p.transmit(side, tr)
	}
	p.checkBounds(side)
}

// transmit puts datagrams on the link.
func (p *fuzzPair) transmit(side Side, tr Transmit) {
	if side == Server {
		p.noteProved()
		if p.went[tr.Path.Remote] += tr.Len; !p.proved[tr.Path.Remote] && p.went[tr.Path.Remote] > 3*p.came[tr.Path.Remote] {
			p.t.Fatalf("%d bytes to %v, from where %d came", p.went[tr.Path.Remote], tr.Path.Remote, p.came[tr.Path.Remote])
		}
	}
	path := Path{Local: tr.Path.Remote, Remote: tr.Path.Local}
	if p.rewrite != nil {
		if path = p.rewrite(side.Peer(), path); !path.Local.IsValid() {
			return // the client is not there any more
		}
	}
	for data := p.buf[:tr.Len]; len(data) > 0; {
		n := min(len(data), tr.SegmentSize)
		p.link[side.Peer()] = append(p.link[side.Peer()], testDatagram{
			p.now.Add(p.delay), append([]byte(nil), data[:n]...), 0, path, tr.ECN,
		})
		data = data[n:]
	}
}

// noteProved learns which addresses of the client the server has validated.
func (p *fuzzPair) noteProved() {
	c := p.conn[Server]
	for _, path := range c.allPaths() {
		if path != nil && path.validated {
			p.proved[path.addr.Remote] = true
		}
	}
}

// checkBounds checks that no side holds more than it should.
func (p *fuzzPair) checkBounds(side Side) {
	c := p.conn[side]
	check := func(what string, n, most int) {
		if n > most {
			p.t.Fatalf("%v holds %d %s, at most %d allowed", side, n, what, most)
		}
	}
	check("retired connection IDs", len(c.peer.retiring), maxRetiringCIDs)
	check("connection IDs of the peer", len(c.peer.active), activeConnectionIDLimit)
	check("bytes of datagrams received", c.datagrams.in.Cap(), 2*maxDatagramsIn)
	check("bytes of handshake data", cap(c.crypto.in.buf), 2*maxCryptoBuffer)
	check("gaps in handshake data", c.crypto.in.have.Len(), maxCryptoGaps)
	if c.hs != nil {
		check("packets put aside", len(c.hs.aside.packets), maxAsidePackets)
		for i := range c.hs.spaces {
			check("bytes of handshake data", cap(c.hs.spaces[i].crypto.in.buf), 2*maxCryptoBuffer)
		}
	}
	held := 0
	for _, s := range c.streams.streams {
		for _, b := range s.recv.buf.blocks[s.recv.buf.head:] {
			held += cap(b)
		}
	}
	check("bytes of stream data", held, 96<<10+32*2*blocks.LargeSize)
	check("streams", len(c.streams.streams), 64)
	if w := &c.streams.window; c.state == stateActive && w.Consumed() > w.Received() {
		p.t.Fatalf("%v: more data consumed than received", side)
	}
	if c.state == stateActive && c.rec.InFlight() < 0 {
		p.t.Fatalf("%v: %d bytes in flight", side, c.rec.InFlight())
	}
}

// stepTo goes on to the next instant at which something happens, false if that is later than limit.
func (p *fuzzPair) stepTo(limit time.Time) bool {
	p.pollSide(Client, len(p.buf), p.segs)
	p.pollSide(Server, len(p.buf), p.segs)
	next := limit.Add(1)
	for side, c := range p.conn {
		for _, d := range p.link[side] {
			if d.at.Before(next) {
				next = d.at
			}
		}
		if c != nil {
			if at, ok := c.NextTimeout(); ok && at.Before(next) {
				next = at
			}
		}
	}
	if next.After(limit) {
		return false
	}
	if next.After(p.now) {
		p.now, p.still = next, 0
	} else if p.still++; p.still > 200 {
		p.t.Fatal("timeouts that are due stay due: an owner would spin")
	}
	for side := range Side(2) {
		arrived := p.link[side]
		p.link[side] = nil
		for _, d := range arrived {
			if d.at.After(p.now) {
				p.link[side] = append(p.link[side], d)
			} else {
				p.arrive(side, d)
			}
		}
		if c := p.conn[side]; c != nil {
			if at, ok := c.NextTimeout(); ok && !at.After(p.now) {
				c.HandleTimeout(p.now)
			}
		}
	}
	return true
}

// arrive hands a datagram over.
func (p *fuzzPair) arrive(side Side, d testDatagram) {
	if side == Server {
		p.came[d.path.Remote] += len(d.data)
	}
	if p.conn[side] == nil {
		p.accept(d)
	}
	if c := p.conn[side]; c != nil {
		c.Receive(p.now, Inbound{Path: d.path, ECN: d.ecn, Data: d.data})
	}
}

// mishap does something to the datagrams that are under way to side.
func (p *fuzzPair) mishap(side Side) {
	link := p.link[side]
	if len(link) == 0 {
		return
	}
	i := p.script.below(len(link))
	d := &link[i]
	switch p.script.below(7) {
	case 0:
		p.link[side] = append(link[:i], link[i+1:]...)
	case 1:
		p.link[side] = nil
	case 2:
		again := *d
		again.data = append([]byte(nil), d.data...)
		again.at = d.at.Add(time.Duration(p.script.byte()) * time.Millisecond)
		p.link[side] = append(link, again)
	case 3:
		d.at = d.at.Add(time.Duration(p.script.byte()) * time.Millisecond)
	case 4:
		d.data[(p.script.below(256)<<8|p.script.below(256))%len(d.data)] ^= 1 << p.script.below(8)
	case 5:
		d.data = d.data[:1+(p.script.below(256)<<8|p.script.below(256))%len(d.data)]
	case 6:
		d.ecn = ECN(p.script.below(4))
	}
}

// forge gives side an authentic packet with frames of the script's making.
func (p *fuzzPair) forge(side Side) {
	peer := p.conn[side.Peer()]
	if p.conn[side] == nil || peer == nil || peer.state != stateActive {
		return
	}
	if p.conn[side].state != stateActive {
		return
	}
	space := recovery.Space(min(p.script.below(8), int(recovery.AppData)))
	from := p.script.below(16)
	w := packetWriter{space: space, rec: &peer.rec}
	b := make([]byte, 0, 4096)
	var u unsealed
	var body int
	var ok bool
	typ := wire.Initial // or Handshake, where the same frames are allowed
	switch {
	case space == recovery.AppData && peer.keys.CanSend():
		typ = wire.OneRTT
		u, body, ok = peer.begin1RTT(&w, b, cap(b), peer.path)
	case space == recovery.AppData && peer.sendsEarly():
		typ = wire.ZeroRTT
		u, body, ok = peer.beginLong(&w, b, cap(b))
	case space != recovery.AppData && peer.hs != nil && peer.hs.spaces[space].sealer != nil:
		u, body, ok = peer.beginLong(&w, b, cap(b))
	}
	if !ok {
		return
	}
	for range 1 + p.script.below(6) {
		n := len(w.buf)
		w.buf = p.appendFrame(w.buf, side, space)
		if len(w.buf) == n {
			break
		}
		if t := wire.PeekFrameType(w.buf[n:]); t.Known() && !t.AllowedIn(typ) && p.script.below(32) < 31 {
			w.buf = wire.AppendPing(w.buf[:n])
		}
	}
	if p.script.byte()&1 != 0 || space == recovery.Initial {
		w.buf = wire.AppendPadding(w.buf, max(0, 1200-len(w.buf)-protect.Overhead))
	}
	b = finishPacket(&w, &u, body)
	u.flags = recovery.AckEliciting | recovery.InFlight
	if !peer.sealAll(b, []unsealed{u}, false) {
		return
	}
	path := testPaths[side]
	if side == Server {
		path.Remote = fuzzAddrs[max(0, from-12)]
		if from&1 != 0 && p.cfg[Server].PreferredAddress != (PreferredAddress{}) {
			path.Local = preferredAddr
		}
	}
	p.arrive(side, testDatagram{data: b, path: path})
}

// appendFrame appends a frame for side, most often one that keeps the rules.
func (p *fuzzPair) appendFrame(b []byte, side Side, space recovery.Space) []byte {
	r, c, peer := &p.script, p.conn[side], p.conn[side.Peer()]
	wild := r.below(128) == 127
	// id returns the ID of a stream of which side has the receiving part, or else the sending part.
	id := func(receiving bool) uint64 {
		initiator, d, n := Side(r.byte()&1), Dir(r.byte()&1), uint64(r.below(4))
		if d == Uni {
			initiator = side
			if receiving {
				initiator = side.Peer()
			}
		}
		if wild {
			return r.integer()
		}
		// One that both sides know, if there is one: who opened it hears of all that becomes of it.
		if p.conn[initiator].streams.local[d].next == 0 {
			p.conn[initiator].OpenStream(d)
		}
		next := max(p.conn[initiator].streams.local[d].next, 1)
		return uint64(NewStreamID(initiator, d, next-1-min(next-1, n)))
	}
	data := make([]byte, r.below(4)*r.below(256))
	switch r.below(20) {
	case 0:
		if wild {
			return append(b, r.take(1+r.below(16))...)
		}
	case 1, 2:
		if space == recovery.AppData || c.hs != nil && !c.hs.spaces[space].gone {
			next := c.rec.NextPN(space)
			if next == 0 {
				break
			}
			largest := next - 1 - min(next-1, uint64(r.below(20)))
			if wild {
				largest = r.integer()
			}
			b = wire.AppendVarint(append(b, byte(wire.FrameAck)), largest)
			b = wire.AppendVarint(b, r.integer())
			return append(b, 0, byte(min(largest, uint64(r.below(3)))))
		}
	case 3:
		kind := r.below(4)
		if kind > 1 {
			break
		}
		f := wire.ResetStreamFrame{ID: id(true), Code: r.integer(), FinalSize: uint64(r.below(256))}
		if st := c.streams.get(StreamID(f.ID)); st != nil {
			f.FinalSize += st.recv.window.Received()
		}
		if kind == 0 {
			return wire.AppendResetStream(b, f)
		}
		reliable := min(r.integer()*uint64(1+r.below(64)), wire.MaxVarint)
		if !wild {
			reliable %= f.FinalSize + 1
		}
		return wire.AppendResetStreamAt(b, wire.ResetStreamAtFrame{ID: f.ID, Code: f.Code, FinalSize: f.FinalSize, ReliableSize: reliable})
	case 4:
		return wire.AppendStopSending(b, wire.StopSendingFrame{ID: id(false), Code: r.integer()})
	case 5:
		if wild || space != recovery.AppData {
			return append(wire.AppendCryptoHeader(b, r.integer(), len(data)), data...)
		}
	case 6, 7:
		offset := r.integer() * uint64(1+r.below(64))
		if !wild {
			offset %= 15 << 10
		}
		return append(wire.AppendStreamHeader(b, id(true), min(offset, wire.MaxVarint-1000), len(data), r.below(32) == 0), data...)
	case 8:
		return wire.AppendMaxData(b, r.integer())
	case 9:
		return wire.AppendMaxStreamData(b, wire.StreamLimitFrame{ID: id(false), Limit: r.integer()})
	case 10:
		return wire.AppendMaxStreams(b, wire.StreamsFrame{Uni: r.byte()&1 != 0, Limit: min(r.integer(), wire.MaxStreams)})
	case 11:
		return wire.AppendStreamDataBlocked(b, wire.StreamLimitFrame{ID: id(true), Limit: r.integer()})
	case 12:
		top := uint64(1000) // what the peer issues itself is far below
		for _, a := range c.peer.active {
			top = max(top, a.seq)
		}
		f := wire.NewConnectionIDFrame{Seq: top + uint64(r.below(3))}
		f.ID = testCID(f.Seq)
		f.ResetToken[0] = byte(f.Seq)
		if wild {
			f.RetirePriorTo = f.Seq - min(f.Seq, uint64(r.below(4)))
		}
		return wire.AppendNewConnectionID(b, f)
	case 13:
		seq := peer.path.dcidSeq + 1 + uint64(r.below(3))
		if wild {
			seq = c.local.next - min(c.local.next, uint64(r.below(3)))
		}
		if c.local.active[0].id.Len() > 0 && seq < c.local.told || wild {
			return wire.AppendRetireConnectionID(b, seq)
		}
	case 14, 15:
		return wire.AppendPathChallenge(b, [8]byte{r.byte()})
	case 16:
		response := [8]byte{r.byte()}
		if ch := c.path.challenge; ch != nil && r.byte()&3 != 0 {
			response = ch.data[r.below(3)]
		}
		return wire.AppendPathResponse(b, response)
	case 17:
		return append(wire.AppendDatagramHeader(b, len(data)), data...)
	case 18:
		return wire.AppendStreamsBlocked(b, wire.StreamsFrame{Limit: min(r.integer(), wire.MaxStreams)})
	case 19:
		if !wire.FrameAckFrequency.Known() && !wild {
			break
		}
		if r.byte()&1 != 0 {
			return wire.AppendImmediateAck(b)
		}
		return wire.AppendAckFrequency(b, wire.AckFrequencyFrame{
			Seq: r.integer(), Threshold: r.integer(), MaxAckDelay: r.integer(), Reordering: r.integer(),
		})
	}
	return wire.AppendPing(b)
}

// call lets the application of side do something.
func (p *fuzzPair) call(side Side) {
	c, s, r := p.conn[side], &p.sides[side], &p.script
	if c == nil {
		return
	}
	var st *Stream
	if len(s.streams) > 0 {
		st = s.streams[r.below(len(s.streams))]
	}
	how := r.byte()
	kind, variant := how%16, how>>4
	if kind < 9 && st == nil {
		kind = 9
	}
	buf := make([]byte, 1+r.below(4)*r.below(256)*16)
	switch kind {
	case 0, 1:
		st.TryRead(buf)
	case 2:
		if b, err := st.Peek(); err == nil {
			if r.byte()&1 != 0 {
				p.forge(side)
			}
			st.Discard(len(b) - r.below(3))
		}
	case 3, 4, 5:
		if fin := r.byte()&15 == 0; variant&1 != 0 {
			p.lend(st, buf, fin)
		} else {
			st.TryWrite(buf, fin)
		}
	case 6:
		if code := r.integer(); variant&1 != 0 {
			st.ResetAt(code, r.integer()*uint64(1+r.below(64)))
		} else {
			st.Reset(code)
		}
	case 7:
		st.StopSending(r.integer())
	case 8:
		if variant&1 != 0 {
			st.Announce()
		} else {
			st.SetPriority(r.byte(), r.byte()&1 != 0)
		}
	case 9, 10:
		if st, err := c.OpenStream(Dir(r.byte() & 1)); err == nil && len(s.streams) < 1000 {
			s.streams = append(s.streams, st)
		}
	case 11:
		c.TrySendDatagram(buf[:min(len(buf), c.MaxDatagramLen())])
	case 12:
		c.TryReceiveDatagram()
	case 13:
		switch how := r.byte() & 7; {
		case how < 3:
			_ = c.Probe(p.now, fuzzAddrs[r.below(len(fuzzAddrs))])
		case how < 6:
			_ = c.Migrate(p.now, fuzzAddrs[r.below(len(fuzzAddrs))])
		default:
			c.Ping()
		}
		for c.NextPathEvent().Kind != PathNone {
		}
		c.PathStats()
	case 14:
		c.InitiateKeyUpdate()
	case 15:
		c.RotateConnectionIDs()
	}
}

// act does the next thing that the script says.
func (p *fuzzPair) act() {
	r := &p.script
	op := r.byte()
	side := Side(op >> 7)
	switch op % 16 {
	case 0, 1, 2:
		p.stepTo(p.now.Add(time.Second))
	case 3:
		for limit := p.now.Add(time.Duration(1+r.below(64)) * 5 * time.Millisecond); p.stepTo(limit); {
		}
	case 4:
		p.now = p.now.Add(time.Duration(r.byte()) * time.Duration(r.byte()) * time.Millisecond / 8)
	case 5, 6, 7:
		p.mishap(side)
	case 8, 9, 10:
		p.forge(side)
	case 11, 12, 13:
		p.call(side)
	case 14:
		switch r.below(4) {
		case 0:
			p.rebind(fuzzAddrs[r.below(len(fuzzAddrs))])
		case 1:
			p.pollSide(side, 1200+r.below(256)*4, 1+r.below(4))
		case 2:
			if c := p.conn[side]; c != nil {
				c.HandleTimeout(p.now)
			}
		case 3:
			p.arrive(side, testDatagram{data: append([]byte(nil), r.take(r.below(64))...), path: testPaths[side]})
		}
	case 15:
		if r.byte() == 0 && p.conn[side] != nil {
			p.conn[side].Close(p.now, &ApplicationError{Code: r.integer()})
		}
	}
}

// A client and a server, whatever happens between them and whatever one of them makes of it, keep their bounds and their
// promises, and come to an end.
func FuzzPair(f *testing.F) {
	for seed := range byte(40) {
		script := make([]byte, 600)
		x := uint32(seed) + 1
		for i := range script {
			x ^= x << 13
			x ^= x >> 17
			x ^= x << 5
			script[i] = byte(x >> 11)
		}
		f.Add(script)
	}
	f.Fuzz(func(t *testing.T, script []byte) {
		if len(script) > 4096 {
			return
		}
		p := newFuzzPair(t, script)
		if p.script.byte()&3 != 0 {
			for p.conn[Server] == nil || !p.conn[Client].Confirmed() {
				if !p.stepTo(p.now.Add(time.Minute)) {
					t.Fatal("no handshake")
				}
			}
		}
		for len(p.script) > 0 {
			p.act()
		}
		// A client that is gone: the server must find that out.
		p.conn[Client].Close(p.now, nil)
		limit := p.now.Add(6 * time.Hour)
		for n := 0; p.stepTo(limit); n++ {
			if n > 100_000 {
				t.Fatal("no end after 100,000 steps")
			}
		}
		for side, c := range p.conn {
			if s := &p.sides[side]; c != nil && (!s.closed || !s.drained || c.state != stateDrained) {
				t.Errorf("%v: closed %v, drained %v, state %v: %v", Side(side), s.closed, s.drained, c.state, c.Err())
			}
		}
		for i := range p.loans {
			p.loans[i].check(t)
		}
	})
}
