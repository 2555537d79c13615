package quic

import (
	"errors"
	"runtime"
	"testing"
	"time"

	"github.com/dunlin-quic/dunlin/internal/recovery"
	"github.com/dunlin-quic/dunlin/internal/wire"
)

// docs/SECURITY-TESTS.md says which attack each test plays, and where others are.

// liveHeap returns how many bytes are in use.
func liveHeap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// repeat returns n times frame.
func repeat(n int, frame []byte) (b []byte) {
	for range n {
		b = append(b, frame...)
	}
	return b
}

// A peer sends packets full of one kind of frame, thousands of them, and acknowledges nothing. Whatever it is, that costs no memory
// to speak of, and is answered by far less than it took; or it ends the connection, with the code that the RFC names.
// RFC 9000, Section 21.9.
func TestFloods(t *testing.T) {
	const packets = 3000
	ownBidi := uint64(NewStreamID(Server, Bidi, 0))
	peerBidi := uint64(NewStreamID(Client, Bidi, 0))
	for _, tt := range []struct {
		name  string
		frame func(s *script, i int) []byte
		code  TransportErrorCode // NoError: the connection goes on
	}{
		{"PING", func(*script, int) []byte { return repeat(1000, wire.AppendPing(nil)) }, NoError},
		{"PADDING", func(*script, int) []byte { return wire.AppendPadding(nil, 1000) }, NoError},
		{"PATH_CHALLENGE", func(_ *script, i int) []byte {
			return repeat(100, wire.AppendPathChallenge(nil, [8]byte{byte(i), byte(i >> 8)}))
		}, NoError},
		{"PATH_RESPONSE", func(_ *script, i int) []byte {
			return repeat(100, wire.AppendPathResponse(nil, [8]byte{byte(i), byte(i >> 8)}))
		}, NoError},
		{"NEW_CONNECTION_ID", func(_ *script, i int) []byte {
			f := wire.NewConnectionIDFrame{Seq: uint64(i + maxIssuedCIDs), RetirePriorTo: uint64(i + maxIssuedCIDs)}
			f.ID = wire.NewConnectionID([]byte{byte(i >> 16), byte(i >> 8), byte(i), 1, 2, 3, 4, 5})
			return wire.AppendNewConnectionID(nil, f)
		}, ConnectionIDLimitError},
		{"RETIRE_CONNECTION_ID", func(s *script, i int) []byte {
			// The newest, as soon as it is known: no more than the congestion window allows, with nothing acknowledged.
			if s.c.local.told < s.c.local.next {
				return wire.AppendPing(nil)
			}
			return wire.AppendRetireConnectionID(nil, s.c.local.next-1)
		}, NoError},
		{"STREAM without data", func(*script, int) []byte { return repeat(100, wire.AppendStreamHeader(nil, peerBidi, 0, 0, false)) }, NoError},
		{"STREAM repeated", func(*script, int) []byte {
			return append(wire.AppendStreamHeader(nil, peerBidi, 0, 1000, false), make([]byte, 1000)...)
		}, NoError},
		{"STREAM of one byte, one more left out each time", func(_ *script, i int) (b []byte) {
			for k := range 50 {
				b = append(wire.AppendStreamHeader(b, peerBidi, uint64(1+2*(50*i+k)), 1, false), 'x')
			}
			return b
		}, NoError},
		{"STOP_SENDING", func(_ *script, i int) []byte {
			return repeat(100, wire.AppendStopSending(nil, wire.StopSendingFrame{ID: ownBidi, Code: uint64(i)}))
		}, NoError},
		{"RESET_STREAM", func(*script, int) []byte {
			return repeat(100, wire.AppendResetStream(nil, wire.ResetStreamFrame{ID: peerBidi}))
		}, NoError},
		{"MAX_DATA and its like", func(_ *script, i int) (b []byte) {
			b = wire.AppendMaxData(b, uint64(1<<30+i))
			b = wire.AppendMaxStreamData(b, wire.StreamLimitFrame{ID: ownBidi, Limit: uint64(1<<30 + i)})
			return repeat(50, wire.AppendMaxStreams(b, wire.StreamsFrame{Limit: uint64(1000 + i)}))
		}, NoError},
		{"the BLOCKED frames", func(_ *script, i int) (b []byte) {
			b = wire.AppendStreamDataBlocked(b, wire.StreamLimitFrame{ID: peerBidi, Limit: uint64(i)})
			return repeat(50, wire.AppendStreamsBlocked(b, wire.StreamsFrame{Limit: uint64(i)}))
		}, NoError},
		{"CRYPTO of one byte, one more left out each time", func(s *script, i int) (b []byte) {
			for k := range 50 {
				b = append(wire.AppendCryptoHeader(b, s.c.crypto.in.base+uint64(1+2*(50*i+k)), 1), 'x')
			}
			return b
		}, CryptoBufferExceeded},
		{"CRYPTO, all but the first byte", func(s *script, i int) (b []byte) {
			return append(wire.AppendCryptoHeader(b, s.c.crypto.in.base+uint64(1+1000*i), 1000), make([]byte, 1000)...)
		}, CryptoBufferExceeded},
		{"DATAGRAM", func(*script, int) []byte { return repeat(100, append(wire.AppendDatagramHeader(nil, 1), 'x')) }, NoError},
		{"IMMEDIATE_ACK", func(*script, int) []byte { return repeat(1000, wire.AppendImmediateAck(nil)) }, NoError},
		{"ACK_FREQUENCY", func(_ *script, i int) []byte {
			return repeat(50, wire.AppendAckFrequency(nil, wire.AckFrequencyFrame{Seq: uint64(i), Threshold: 1, MaxAckDelay: 1000}))
		}, NoError},
		{"packet numbers left out", func(s *script, i int) []byte {
			s.seal(wire.OneRTT, wire.AppendPing(nil)) // never sent
			return wire.AppendPing(nil)
		}, NoError},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newScript(t, Server)
			own, err := s.c.OpenStream(Bidi)
			if err != nil {
				t.Fatal(err)
			}
			own.Announce()
			s.send(wire.AppendStreamHeader(nil, peerBidi, 0, 0, false))
			s.sent()
			before, received, answered := liveHeap(), 0, 0
			buf := make([]byte, 64<<10)
			for i := 0; i < packets && s.c.Err() == nil; i++ {
				s.now = s.now.Add(100 * time.Microsecond)
				b := s.seal(wire.OneRTT, tt.frame(s, i))
				received += len(b)
				s.receive(b)
				for s.c.NextEvent().Kind != EventNone {
				}
				for s.c.NextEndpointEvent().Kind != EndpointNone {
				}
				for {
					tr, ok := s.c.PollTransmit(s.now, buf, 40)
					if !ok {
						break
					}
					answered += tr.Len
				}
			}
			if tt.code != NoError {
				te, ok := errors.AsType[*TransportError](s.c.Err())
				if !ok || te.Remote || te.Code != tt.code {
					t.Errorf("connection error: %v, want %v", s.c.Err(), tt.code)
				}
				return
			}
			s.wantOpen()
			// The attacker's side remembers its packets.
			s.peer, s.conn[Client] = nil, nil
			grown := liveHeap() - before
			t.Logf("%d bytes in %d packets: %d bytes kept, %d answered", received, packets, grown, answered)
			// Of which there are at most 4,096 packets of ours, or 256 KiB of datagrams that the application has not read.
			if grown > 512<<10 {
				t.Errorf("%d bytes more are held", grown)
			}
			// One small datagram for each, even where every one of them makes a gap.
			if answered > max(received, 400*packets) {
				t.Errorf("%d bytes were answered by %d", received, answered)
			}
			runtime.KeepAlive(s)
		})
	}
}

// A client's last handshake message comes with an acknowledgment behind it, in one packet, or with one in a packet of another
// level in front: processing the first drops keys and spaces that the second is about.
func TestAcknowledgmentBehindFinished(t *testing.T) {
	for _, tt := range []struct {
		name   string
		frames func(finished []byte) [][]byte
	}{
		{"ACK behind CRYPTO", func(finished []byte) [][]byte { return [][]byte{finished, {2, 0, 0, 0, 0}} }},
		{"ACK before CRYPTO", func(finished []byte) [][]byte { return [][]byte{{2, 0, 0, 0, 0}, finished} }},
		{"CRYPTO twice, ACK twice", func(finished []byte) [][]byte {
			return [][]byte{finished, {2, 0, 0, 0, 0}, finished, {2, 0, 0, 0, 0}, {1}}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newHandshakeScript(t, Server, wire.Handshake)
			finished := s.peer.hs.spaces[recovery.Handshake].crypto.out.buf
			if len(finished) == 0 {
				t.Fatal("the client has no handshake message to send")
			}
			frame := append(wire.AppendCryptoHeader(nil, 0, len(finished)), finished...)
			packet := s.seal(wire.Handshake, tt.frames(frame)...)
			s.receive(packet, packet)
			s.wantOpen()
			if !s.c.Established() {
				t.Fatal("the handshake is not complete")
			}
			s.sent()
			// Initial packets and those of the handshake again, of which the keys are gone.
			s.receive(packet)
			s.wantOpen()
		})
	}
}

// HANDSHAKE_DONE before the client's handshake is complete can only be in a packet that it has no keys for yet.
func TestHandshakeDoneTooEarly(t *testing.T) {
	s := newHandshakeScript(t, Client, wire.Initial)
	if !s.peer.keys.CanSend() {
		t.Fatal("the server has no keys")
	}
	for range 100 {
		s.receive(s.seal(wire.OneRTT, []byte{byte(wire.FrameHandshakeDone)}))
	}
	s.wantOpen()
	if s.c.Established() || s.c.Confirmed() {
		t.Error("the handshake is said to be complete")
	}
	if n := len(s.c.hs.aside.packets); n == 0 || n > maxAsidePackets {
		t.Errorf("%d packets put aside", n)
	}
}

// Before the handshake is complete, datagrams bring crowds of packets behind a good Initial packet: with other connection IDs, of
// other versions, cut short, or that can't be opened. They are dropped and counted, and leave nothing behind.
func TestCoalescedGarbage(t *testing.T) {
	for _, side := range []Side{Server, Client} {
		s := newHandshakeScript(t, side, wire.Initial)
		before := liveHeap()
		stats := s.c.Stats()
		const datagrams = 2000
		for i := range datagrams {
			b := s.seal(wire.Initial, wire.AppendPing(nil))
			for k := range 20 {
				dcid := s.peer.path.dcid.Bytes()
				if k < 10 {
					dcid = []byte{byte(i), byte(i >> 8), byte(k), 1}
				}
				b = append(b, 0xc0|byte(k&3)<<4, 0, 0, 0, byte(k&4|1), byte(len(dcid)))
				b = append(append(append(b, dcid...), 0, 40), make([]byte, 40)...)
			}
			s.receive(append(b, 0xc0, 0, 0))
			s.sent()
		}
		s.wantOpen()
		after := s.c.Stats()
		if n := after.PacketsDropped - stats.PacketsDropped; n < datagrams {
			t.Errorf("%v: %d packets dropped", side, n)
		}
		s.peer, s.conn[side.Peer()] = nil, nil
		if grown := liveHeap() - before; grown > 200<<10 {
			t.Errorf("%v: %d bytes more are held", side, grown)
		}
		runtime.KeepAlive(s)
	}
}

// A client has probes of many paths declared lost: after the paths have been forgotten, and while others are validated.
func TestLostPathProbes(t *testing.T) {
	s := newScript(t, Server)
	for i := range 200 {
		s.now = s.now.Add(5 * time.Millisecond)
		from := fuzzAddrs[i%len(fuzzAddrs)]
		id := s.c.local.active[i%len(s.c.local.active)]
		s.peer.path.dcid, s.peer.path.dcidSeq = id.id, id.seq
		var frames []byte
		if i%3 == 0 {
			frames = wire.AppendRetireConnectionID(frames, s.c.local.active[(i+1)%len(s.c.local.active)].seq)
		}
		frames = wire.AppendPathChallenge(frames, [8]byte{byte(i)})
		if i%5 == 0 {
			frames = append(frames, byte(wire.FramePing))
		}
		s.receiveFrom(serverPath(from), s.seal(wire.OneRTT, frames, wire.AppendPadding(nil, 1100)))
		if s.c.Err() != nil {
			break
		}
		s.sent()
		// Only the newest packet arrived, as the attacker has it, which makes those before lost.
		if i%4 == 3 && s.next > 0 {
			ack := wire.AppendVarint([]byte{byte(wire.FrameAck)}, s.next-1)
			s.receiveFrom(serverPath(from), s.seal(wire.OneRTT, append(ack, 0, 0, 0)))
			s.sent()
		}
		s.now = s.now.Add(time.Duration(i%7) * 100 * time.Millisecond)
		if at, ok := s.c.NextTimeout(); ok && !at.After(s.now) {
			s.c.HandleTimeout(s.now)
		}
	}
	s.wantOpen()
}
