package quic

import (
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/dunlin-quic/dunlin/internal/recovery"
	"github.com/dunlin-quic/dunlin/internal/wire"
)

// crypto returns a CRYPTO frame.
func crypto(offset uint64, data ...byte) []byte {
	return append(wire.AppendCryptoHeader(nil, offset, len(data)), data...)
}

// RFC 9001, Section 4.1.3 (MUST 1, 2): once there are keys for the next encryption level, nothing new is sent at this one,
// whether or not it leaves a gap.
func TestDataAtEarlierLevel(t *testing.T) {
	for side := range Side(2) {
		typ, space := wire.Initial, recovery.Initial
		if side == Client {
			typ, space = wire.Handshake, recovery.Handshake
		}
		for _, gap := range []uint64{0, 1, 100} {
			s := newHandshakeScript(t, side, wire.Handshake)
			base := s.c.hs.spaces[space].crypto.in.base
			if base == 0 || s.c.hs.spaces[space].gone {
				t.Fatalf("%v: nothing received at that level", side)
			}
			s.receive(s.seal(typ, crypto(base-2, 1, 2))) // seen before
			s.wantOpen()
			s.receive(s.seal(typ, crypto(base-2+gap, 1, 2, 3)))
			s.wantClosed(ProtocolViolation)
		}
	}
}

// RFC 9001, Section 4.1.3 (MUST 3): nothing may follow the message with which TLS goes on to other keys, in the same
// frame or another one.
func TestDataBehindHello(t *testing.T) {
	for _, extra := range []int{0, 1, 100} {
		// A ClientHello takes several frames.
		p := newTestPair(t)
		_, h := firstInitial(t, p)
		hello := append([]byte(nil), p.conn[Client].hs.spaces[recovery.Initial].crypto.out.buf...)
		var err error
		p.conn[Server], err = NewServer(p.now, testConfig(Server), Accept{
			Path: testPaths[Server], Version: Version1, DCID: h.DCID, SCID: h.SCID, ODCID: h.DCID, Validated: true,
		})
		if err != nil {
			t.Fatal(err)
		}
		server := p.script(t, Server)
		client := newHandshakeScript(t, Client, wire.Initial)
		for _, tt := range []struct {
			s     *script
			hello []byte
		}{{server, hello}, {client, client.peer.hs.spaces[recovery.Initial].crypto.out.buf}} {
			b := append(append([]byte(nil), tt.hello...), make([]byte, extra)...)
			for at := 0; at < len(b); {
				tt.s.wantOpen()
				n := min(1000, len(b)-at)
				tt.s.receive(tt.s.seal(wire.Initial, crypto(uint64(at), b[at:at+n]...)))
				at += n
			}
			if extra > 0 {
				tt.s.wantClosed(ProtocolViolation)
				continue
			}
			tt.s.wantOpen()
			if tt.s.c.hs.spaces[recovery.Handshake].sealer == nil {
				t.Errorf("%v: no keys for Handshake packets", tt.s.side)
			}
		}
	}
}

// sessionTicket returns a NewSessionTicket message with extensions, given as types and contents.
func sessionTicket(extensions ...any) []byte {
	var exts []byte
	for i := 0; i < len(extensions); i += 2 {
		content := extensions[i+1].([]byte)
		exts = binary.BigEndian.AppendUint16(exts, uint16(extensions[i].(int)))
		exts = binary.BigEndian.AppendUint16(exts, uint16(len(content)))
		exts = append(exts, content...)
	}
	body := []byte{0, 0, 100, 0, 1, 2, 3, 4, 3, 9, 9, 9} // lifetime, age_add, nonce
	body = binary.BigEndian.AppendUint16(body, 300)
	body = append(body, make([]byte, 300)...)
	body = binary.BigEndian.AppendUint16(body, uint16(len(exts)))
	body = append(body, exts...)
	return append([]byte{tlsNewSessionTicket, 0, byte(len(body) >> 8), byte(len(body))}, body...)
}

// RFC 9001, Section 4.6.1 (MUST 2): a ticket is good for early data without limit, or for none.
func TestTicketWithLimit(t *testing.T) {
	unlimited, limited := []byte{0xff, 0xff, 0xff, 0xff}, []byte{0, 0, 0x40, 0}
	const other = 0x5a5a
	for _, tt := range []struct {
		name     string
		messages []byte
		ok       bool
	}{
		{"no extension", sessionTicket(), true},
		{"unlimited", sessionTicket(tlsEarlyData, unlimited), true},
		{"limited", sessionTicket(tlsEarlyData, limited), false},
		{"none", sessionTicket(tlsEarlyData, make([]byte, 4)), false},
		{"limited, after another extension", sessionTicket(other, []byte("other"), tlsEarlyData, limited), false},
		{"what another extension says does not matter", sessionTicket(other, limited, tlsEarlyData, unlimited), true},
		{"two tickets", append(sessionTicket(tlsEarlyData, unlimited), sessionTicket()...), true},
		{"two tickets, one limited", append(sessionTicket(tlsEarlyData, unlimited), sessionTicket(tlsEarlyData, limited)...), false},
	} {
		for _, cache := range []tls.ClientSessionCache{nil, tls.NewLRUClientSessionCache(1)} {
			for _, step := range []int{1, 7, 1000} {
				t.Run(fmt.Sprintf("%s/%v/%d", tt.name, cache != nil, step), func(t *testing.T) {
					s := newScript(t, Client, func(p *testPair) { p.cfg[Client].TLS.ClientSessionCache = cache })
					off := s.c.crypto.in.base
					for at := 0; at < len(tt.messages) && s.c.Err() == nil; at += step {
						b := tt.messages[at:min(at+step, len(tt.messages))]
						s.send(crypto(off+uint64(at), b...))
					}
					if tt.ok {
						s.wantOpen()
					} else {
						s.wantClosed(ProtocolViolation)
					}
				})
			}
		}
	}
}

// The messages after the handshake are judged in the same way whatever pieces they come in.
func FuzzPostHandshake(f *testing.F) {
	f.Add([]byte{tlsNewSessionTicket, 0, 0, 3, 1, 2, 3, tlsNewSessionTicket, 0, 0, 0}, uint8(1))
	f.Add([]byte{tlsNewSessionTicket, 0, 0, 22, 0, 0, 0, 1, 0, 0, 0, 2, 1, 9, 0, 1, 8, 0, 8, 0, 42, 0, 4, 0, 0, 0, 7, 0}, uint8(3))
	f.Add([]byte{tlsNewSessionTicket, 0, 0, 22, 0, 0, 0, 1, 0, 0, 0, 2, 1, 9, 0, 1, 8, 0, 8, 0, 42, 0, 4, 255, 255, 255, 255, 0}, uint8(5))
	f.Add([]byte{tlsCertificateRequest, 0, 0, 0, 24, 0, 0, 1, 0}, uint8(0))
	f.Fuzz(func(t *testing.T, data []byte, size uint8) {
		for side := range Side(2) {
			var whole, pieces postHandshake
			want := whole.check(side, data)
			var got *TransportError
			for rest := data; len(rest) > 0 && got == nil; {
				n := min(1+int(size), len(rest))
				got = pieces.check(side, rest[:n])
				rest = rest[n:]
			}
			if (got == nil) != (want == nil) || got != nil && got.Code != want.Code {
				t.Errorf("%v: %v in pieces, %v as a whole", side, got, want)
			}
		}
		var whole, pieces tlsMessages
		want, got := len(whole.upToTurn(data)), 0
		for got < len(data) {
			n := min(1+int(size), len(data)-got)
			k := len(pieces.upToTurn(data[got : got+n]))
			if got += k; k < n {
				break
			}
			if got == want {
				break // where a turn ends with a piece, only the next one could tell
			}
		}
		if got != want {
			t.Errorf("the turn is after %d bytes in pieces, %d as a whole", got, want)
		}
	})
}
