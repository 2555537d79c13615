package quic

import (
	"crypto/tls"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/dunlin-quic/dunlin/internal/protect"
	"github.com/dunlin-quic/dunlin/internal/recovery"
	"github.com/dunlin-quic/dunlin/internal/wire"
)

// script plays the peer of a connection under test, frame by frame, with the keys of a real peer.
type script struct {
	*testPair
	t    *testing.T
	side Side  // of the connection under test
	c    *Conn // under test
	peer *Conn // whose part the script takes
	next uint64
}

// newScript establishes a connection, of which the side named is then under test.
func newScript(t *testing.T, side Side, opts ...func(*testPair)) *script {
	t.Helper()
	p := newTestPair(t, opts...)
	p.establish()
	p.idle(time.Second)
	return p.script(t, side)
}

// newHandshakeScript stops in the middle of the handshake, where both sides have the keys of packets of type typ and the
// side named has not sent the last packet of that type that it will.
func newHandshakeScript(t *testing.T, side Side, typ wire.PacketType) *script {
	t.Helper()
	var p *testPair
	lose := map[Side]bool{}
	p = newTestPair(t, func(p *testPair) {
		p.filter = func(from Side, _ []byte) bool { return !lose[from] }
	})
	switch {
	case side == Client && typ == wire.Initial:
		lose[Server] = true
		p.run("client Initial", func() bool {
			return p.conn[Server] != nil && p.conn[Server].tls != nil && p.conn[Server].keys.CanSend()
		})
	default:
		p.run("Handshake keys", func() bool {
			lose[Client] = p.conn[Server] != nil && p.conn[Server].keys.CanSend()
			c := p.conn[Client]
			return c.hs.spaces[recovery.Handshake].sealer != nil
		})
	}
	return p.script(t, side)
}

func (p *testPair) script(t *testing.T, side Side) *script {
	s := &script{testPair: p, t: t, side: side, c: p.conn[side], peer: p.conn[side.Peer()]}
	// What is under way is lost.
	p.poll(side)
	p.link = [2][]testDatagram{}
	s.next = expectedPN(&s.peer.recv)
	if s.c.complete {
		s.next = s.c.rec.NextPN(recovery.AppData)
	}
	return s
}

// seal returns a packet of type typ with the given frames.
func (s *script) seal(typ wire.PacketType, frames ...[]byte) []byte {
	s.t.Helper()
	space := recovery.AppData
	switch typ {
	case wire.Initial:
		space = recovery.Initial
	case wire.Handshake:
		space = recovery.Handshake
	}
	w := packetWriter{space: space, rec: &s.peer.rec}
	b := make([]byte, 0, 4096)
	var p unsealed
	var body int
	var ok bool
	if typ == wire.OneRTT {
		p, body, ok = s.peer.begin1RTT(&w, b, cap(b), s.peer.path)
	} else {
		p, body, ok = s.peer.beginLong(&w, b, cap(b))
	}
	if !ok {
		s.t.Fatal("no room")
	}
	for _, f := range frames {
		w.buf = append(w.buf, f...)
	}
	if typ == wire.Initial {
		w.buf = wire.AppendPadding(w.buf, max(0, 1200-len(w.buf)-protect.Overhead))
	}
	b = finishPacket(&w, &p, body)
	p.flags = recovery.AckEliciting | recovery.InFlight
	if !s.peer.sealAll(b, []unsealed{p}, false) {
		s.t.Fatal("not sealed")
	}
	return b
}

// receive gives datagrams to the connection under test.
func (s *script) receive(datagrams ...[]byte) { s.receiveFrom(testPaths[s.side], datagrams...) }

func (s *script) receiveFrom(path Path, datagrams ...[]byte) {
	for _, d := range datagrams {
		s.c.Receive(s.now, Inbound{Path: path, Data: append([]byte(nil), d...)})
	}
}

// send gives the connection under test a 1-RTT packet.
func (s *script) send(frames ...[]byte) { s.receive(s.seal(wire.OneRTT, frames...)) }

// seenFrame is a frame that the connection under test sent.
type seenFrame struct {
	typ  wire.FrameType
	b    []byte
	path Path
	size int // of the datagram
}

func (f seenFrame) String() string { return f.typ.String() }

// sent returns the frames of the 1-RTT packets that the connection under test now sends.
func (s *script) sent() []seenFrame {
	s.t.Helper()
	var out []seenFrame
	buf := make([]byte, 64<<10)
	for {
		tr, ok := s.c.PollTransmit(s.now, buf, 40)
		if !ok {
			return out
		}
		for b := buf[:tr.Len]; len(b) > 0; {
			d := b[:min(len(b), tr.SegmentSize)]
			b = b[len(d):]
			size := len(d)
			for len(d) > 0 && wire.IsLong(d[0]) {
				h, ok := wire.ParseLong(d)
				if !ok {
					s.t.Fatalf("sent nonsense: %x", d)
				}
				var o *protect.Opener
				if s.peer.hs != nil && h.Type == wire.Handshake {
					o = s.peer.hs.spaces[recovery.Handshake].opener
				} else if s.peer.hs != nil && h.Type == wire.Initial {
					o = s.peer.hs.spaces[recovery.Initial].opener
				}
				pkt := d[:h.PacketLen]
				d = d[h.PacketLen:]
				if o == nil {
					continue
				}
				pn, pnLen, ok := o.Unmask(pkt, h.PNOffset, 0)
				if !ok {
					s.t.Fatal("sent a packet that is too short")
				}
				payload, err := o.Open(pkt, h.PNOffset+pnLen, pn)
				if err != nil {
					s.t.Fatal(err)
				}
				out = s.appendFrames(out, payload, tr.Path, size)
			}
			if len(d) == 0 || !s.peer.keys.CanReceive() {
				continue
			}
			n := 0
			for _, l := range s.peer.local.active {
				n = l.id.Len()
			}
			o, err := s.peer.keys.Open(d, 1+n, s.next)
			if err != nil {
				s.t.Fatalf("sent what can't be opened: %v", err)
			}
			s.next = max(s.next, o.PN+1)
			out = s.appendFrames(out, o.Payload, tr.Path, size)
		}
	}
}

func (s *script) appendFrames(out []seenFrame, b []byte, path Path, size int) []seenFrame {
	for len(b) > 0 {
		t := wire.PeekFrameType(b)
		n := wire.FrameLen(b)
		if n == 0 {
			s.t.Fatalf("sent a malformed %v", t)
		}
		if t != wire.FramePadding {
			out = append(out, seenFrame{t, append([]byte(nil), b[:n]...), path, size})
		}
		b = b[n:]
	}
	return out
}

// find returns the frames of type typ among fs.
func find(fs []seenFrame, typ wire.FrameType) []seenFrame {
	var out []seenFrame
	for _, f := range fs {
		if f.typ == typ {
			out = append(out, f)
		}
	}
	return out
}

// wantOne returns the only frame of type typ among fs.
func (s *script) wantOne(fs []seenFrame, typ wire.FrameType) seenFrame {
	s.t.Helper()
	got := find(fs, typ)
	if len(got) != 1 {
		s.t.Fatalf("sent %v, want one %v", fs, typ)
	}
	return got[0]
}

// wantClosed checks that the connection under test closed with code, and tells its peer so.
func (s *script) wantClosed(code TransportErrorCode) {
	s.t.Helper()
	te, ok := errors.AsType[*TransportError](s.c.Err())
	if !ok || te.Remote || te.Code != code {
		s.t.Fatalf("connection error: %v, want %v", s.c.Err(), code)
	}
	for _, f := range s.sent() {
		if f.typ == wire.FrameConnectionClose {
			f, _ := wire.ParseConnectionClose(f.b)
			if f.Code != uint64(code) {
				s.t.Fatalf("CONNECTION_CLOSE with %v, want %v", TransportErrorCode(f.Code), code)
			}
			return
		}
	}
	s.t.Fatalf("no CONNECTION_CLOSE sent")
}

// wantOpen checks that the connection under test goes on.
func (s *script) wantOpen() {
	s.t.Helper()
	if err := s.c.Err(); err != nil {
		s.t.Fatalf("connection error: %v", err)
	}
}

// validFrames has one well-formed frame of every type.
func validFrames(s *script) map[wire.FrameType][]byte {
	id := wire.NewConnectionID([]byte{1, 2, 3, 4, 5, 6, 7, 8})
	f := map[wire.FrameType][]byte{
		wire.FramePadding:            {0},
		wire.FramePing:               {1},
		wire.FrameAck:                wire.AppendVarint(wire.AppendVarint(wire.AppendVarint(wire.AppendVarint([]byte{2}, 0), 0), 0), 0),
		wire.FrameAckECN:             {3, 0, 0, 0, 0, 0, 0, 0},
		wire.FrameResetStream:        wire.AppendResetStream(nil, wire.ResetStreamFrame{ID: uint64(NewStreamID(s.side.Peer(), Uni, 0))}),
		wire.FrameResetStreamAt:      wire.AppendResetStreamAt(nil, wire.ResetStreamAtFrame{ID: uint64(NewStreamID(s.side.Peer(), Uni, 0))}),
		wire.FrameImmediateAck:       wire.AppendImmediateAck(nil),
		wire.FrameAckFrequency:       wire.AppendAckFrequency(nil, wire.AckFrequencyFrame{MaxAckDelay: 1000}),
		wire.FrameStopSending:        wire.AppendStopSending(nil, wire.StopSendingFrame{ID: uint64(NewStreamID(s.side.Peer(), Bidi, 0))}),
		wire.FrameCrypto:             wire.AppendCryptoHeader(nil, 0, 0),
		wire.FrameNewToken:           wire.AppendNewToken(nil, []byte("token")),
		wire.FrameMaxData:            wire.AppendMaxData(nil, 1),
		wire.FrameMaxStreamData:      wire.AppendMaxStreamData(nil, wire.StreamLimitFrame{ID: uint64(NewStreamID(s.side.Peer(), Bidi, 0)), Limit: 1}),
		wire.FrameMaxStreamsBidi:     wire.AppendMaxStreams(nil, wire.StreamsFrame{Limit: 1}),
		wire.FrameMaxStreamsUni:      wire.AppendMaxStreams(nil, wire.StreamsFrame{Uni: true, Limit: 1}),
		wire.FrameDataBlocked:        wire.AppendDataBlocked(nil, 1),
		wire.FrameStreamDataBlocked:  wire.AppendStreamDataBlocked(nil, wire.StreamLimitFrame{ID: uint64(NewStreamID(s.side.Peer(), Bidi, 0)), Limit: 1}),
		wire.FrameStreamsBlockedBidi: wire.AppendStreamsBlocked(nil, wire.StreamsFrame{Limit: 1}),
		wire.FrameStreamsBlockedUni:  wire.AppendStreamsBlocked(nil, wire.StreamsFrame{Uni: true, Limit: 1}),
		wire.FrameNewConnectionID:    wire.AppendNewConnectionID(nil, wire.NewConnectionIDFrame{Seq: 7, ID: id}),
		wire.FrameRetireConnectionID: wire.AppendRetireConnectionID(nil, 1),
		wire.FramePathChallenge:      wire.AppendPathChallenge(nil, [8]byte{1}),
		wire.FramePathResponse:       wire.AppendPathResponse(nil, [8]byte{1}),
		wire.FrameConnectionClose:    wire.AppendConnectionClose(nil, wire.ConnectionCloseFrame{}, 100),
		wire.FrameConnectionCloseApp: wire.AppendConnectionClose(nil, wire.ConnectionCloseFrame{App: true}, 100),
		wire.FrameHandshakeDone:      wire.AppendHandshakeDone(nil),
		wire.FrameDatagramLen:        append(wire.AppendDatagramHeader(nil, 3), "abc"...),
		wire.FrameDatagram:           []byte("\x30abc"),
	}
	for t := wire.FrameStream; t < wire.FrameStream+8; t++ {
		b := []byte{byte(t), byte(NewStreamID(s.side.Peer(), Bidi, 0))}
		if t&4 != 0 {
			b = append(b, 0)
		}
		if t&2 != 0 {
			b = append(b, 1)
		}
		f[t] = append(b, 'x')
	}
	return f
}

// RFC 9000, Section 12.4 (MUST 3), Table 3: every frame in every type of packet, at both sides.
// RFC 9000, Section 12.5 (MUST 2), Section 17.2.4 (MUST 1), Section 19.7 (MUST 4) and Section 19.20 (MUST 2).
func TestFramePlaces(t *testing.T) {
	for side := range Side(2) {
		for _, typ := range []wire.PacketType{wire.Initial, wire.Handshake, wire.OneRTT} {
			for ft := wire.FrameType(0); ft <= wire.FrameAckFrequency; ft++ {
				if !ft.Known() {
					continue
				}
				t.Run(fmt.Sprintf("%v/%v/%v_%#x", side, typ, ft, uint64(ft)), func(t *testing.T) {
					var s *script
					if typ == wire.OneRTT {
						s = newScript(t, side)
					} else {
						s = newHandshakeScript(t, side, typ)
					}
					s.receive(s.seal(typ, validFrames(s)[ft]))
					allowed := ft.AllowedIn(typ)
					if side == Server && (ft == wire.FrameNewToken || ft == wire.FrameHandshakeDone) {
						// RFC 9000, Sections 19.7 and 19.20: for servers to send alone.
						allowed = false
					}
					switch {
					case ft == wire.FrameConnectionClose && allowed, ft == wire.FrameConnectionCloseApp && allowed:
						if s.c.state != stateDraining {
							t.Errorf("not draining: %v", s.c.Err())
						}
					case allowed:
						s.wantOpen()
					default:
						s.wantClosed(ProtocolViolation)
					}
				})
			}
		}
	}
}

// Frames that end too early, or whose fields have values that they may not have.
// RFC 9000, Section 5.2 (MUST 1), Section 7.5 (MUST 2), Section 11.1 (MUST 1), Section 12.4 (MUST 4, 5) and Section
// 19.7 (MUST 2).
func TestMalformedFrames(t *testing.T) {
	type frame struct {
		name string
		b    []byte
		code TransportErrorCode
	}
	var tests []frame
	s := newScript(t, Client)
	for ft, b := range validFrames(s) {
		if len(b) > 1 && ft != wire.FrameDatagram && !(ft.IsStream() && ft&2 == 0) {
			tests = append(tests, frame{fmt.Sprintf("truncated %v %#x", ft, uint64(ft)), b[:len(b)-1], FrameEncodingError})
		}
	}
	id := wire.NewConnectionID([]byte{1, 2, 3, 4})
	tests = append(tests,
		frame{"unknown type", []byte{0x21}, FrameEncodingError},
		frame{"unknown long type", wire.AppendVarint(nil, 0x1234), FrameEncodingError},
		frame{"type not minimal", []byte{0x40, 0x01}, ProtocolViolation},
		frame{"empty NEW_TOKEN", []byte{7, 0}, FrameEncodingError},
		frame{"too many streams", wire.AppendMaxStreams(nil, wire.StreamsFrame{Limit: 1<<60 + 1}), FrameEncodingError},
		frame{"Retire Prior To above sequence", wire.AppendNewConnectionID(nil, wire.NewConnectionIDFrame{Seq: 3, RetirePriorTo: 4, ID: id}), FrameEncodingError},
		frame{"acknowledgment of unsent", []byte{2, 0x7f, 0xff, 0, 0, 0}, ProtocolViolation},
		frame{"handshake data too far ahead", append(wire.AppendCryptoHeader(nil, 2*maxCryptoBuffer, 1), 0), CryptoBufferExceeded},
	)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newScript(t, Client)
			// With something before it, no padding for the sake of header protection follows.
			s.send([]byte{byte(wire.FramePing), byte(wire.FramePing), byte(wire.FramePing)}, tt.b)
			s.wantClosed(tt.code)
		})
	}
}

// RFC 9000, Section 12.4 (MUST 2): a packet holds at least one frame.
func TestEmptyPacket(t *testing.T) {
	for side := range Side(2) {
		s := newScript(t, side)
		pn := s.peer.rec.NextPN(recovery.AppData)
		b := wire.AppendShort(make([]byte, 0, 100), s.peer.path.dcid, false, s.peer.keys.KeyPhase(), pn, 4)
		p := unsealed{space: recovery.AppData, pnPos: len(b) - 4, pnLen: 4, pn: pn}
		b = b[:len(b)+protect.Overhead]
		s.peer.sealAll(b, []unsealed{p}, false)
		s.receive(b)
		s.wantClosed(ProtocolViolation)
	}
}

// RFC 9000, Section 12.4 (MUST 1): where no frame that waits has room, there is no packet.
func TestNoRoomNoPacket(t *testing.T) {
	s := newScript(t, Server)
	s.c.newToken, s.c.sendNewToken = make([]byte, 100), true
	if n := s.c.appendDatagram(make([]byte, 0, 1200), minUsefulDatagram, false); n != 0 {
		t.Errorf("a packet of %d bytes without a frame", n)
	}
	if got := find(s.sent(), wire.FrameNewToken); len(got) != 1 {
		t.Errorf("NEW_TOKEN %v", got)
	}
}

// RFC 9000, Section 17.3.1 (MUST 3).
// RFC 9000, Section 17.2 (MUST 7).
func TestReservedBits(t *testing.T) {
	for side := range Side(2) {
		s := newScript(t, side)
		w := packetWriter{space: recovery.AppData, rec: &s.peer.rec}
		p, body, _ := s.peer.begin1RTT(&w, make([]byte, 0, 100), 100, s.peer.path)
		w.buf[0] |= 0x18
		w.buf = wire.AppendPing(w.buf)
		b := finishPacket(&w, &p, body)
		s.peer.sealAll(b, []unsealed{p}, false)
		s.receive(b)
		s.wantClosed(ProtocolViolation)

		for _, space := range []recovery.Space{recovery.Initial, recovery.Handshake} {
			s := newHandshakeScript(t, side, wire.Handshake)
			if side == Client && space == recovery.Initial {
				s = newHandshakeScript(t, side, wire.Initial)
			}
			w := packetWriter{space: space, rec: &s.peer.rec}
			p, body, _ := s.peer.beginLong(&w, make([]byte, 0, 1300), 1300)
			w.buf[0] |= 0x04
			w.buf = wire.AppendPadding(wire.AppendPing(w.buf), 1200)
			b := finishPacket(&w, &p, body)
			s.peer.sealAll(b, []unsealed{p}, false)
			s.receive(b)
			s.wantClosed(ProtocolViolation)
		}
	}
}

// TLS messages after the handshake: session tickets for clients, and nothing else (RFC 9001, Section 6 (MUST 2)).
// RFC 9001, Section 4.4 (MUST 3).
func TestPostHandshakeMessages(t *testing.T) {
	ticket := []byte{4, 0, 0, 3, 1, 2, 3}
	keyUpdate := []byte{24, 0, 0, 1, 0}
	// RFC 9001, Section 4.4.
	certificateRequest := []byte{13, 0, 0, 3, 0, 0, 0}
	const unexpected = CryptoError + alertUnexpectedMessage
	for _, tt := range []struct {
		name  string
		side  Side
		cache tls.ClientSessionCache
		msg   []byte
		code  TransportErrorCode
	}{
		{"ticket", Client, nil, ticket, NoError},
		{"ticket", Server, nil, ticket, unexpected},
		{"key update", Client, nil, keyUpdate, unexpected},
		{"key update for TLS", Client, tls.NewLRUClientSessionCache(1), keyUpdate, unexpected},
		{"key update", Server, nil, keyUpdate, unexpected},
		{"certificate request", Client, nil, certificateRequest, ProtocolViolation},
		{"certificate request for TLS", Client, tls.NewLRUClientSessionCache(1), certificateRequest, ProtocolViolation},
		{"certificate request", Server, nil, certificateRequest, unexpected},
	} {
		t.Run(fmt.Sprintf("%v/%s", tt.side, tt.name), func(t *testing.T) {
			s := newScript(t, tt.side, func(p *testPair) { p.cfg[Client].TLS.ClientSessionCache = tt.cache })
			off := s.c.crypto.in.base
			for i := range tt.msg {
				if s.c.Err() != nil {
					break
				}
				s.send(append(wire.AppendCryptoHeader(nil, off+uint64(i), 1), tt.msg[i]))
			}
			if tt.code == NoError {
				s.wantOpen()
			} else {
				s.wantClosed(tt.code)
			}
		})
	}
}
