package wire

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"testing"
)

// RFC 9000, Section 17.2, and RFC 9369, Section 3.2.
func TestPacketTypes(t *testing.T) {
	for _, tt := range []struct {
		v     Version
		typ   PacketType
		first byte
	}{
		{Version1, Initial, 0xc0}, {Version1, ZeroRTT, 0xd0}, {Version1, Handshake, 0xe0}, {Version1, Retry, 0xf0},
		{Version2, Initial, 0xd0}, {Version2, ZeroRTT, 0xe0}, {Version2, Handshake, 0xf0}, {Version2, Retry, 0xc0},
	} {
		b := AppendRetry(nil, 0, tt.v, cid("client"), cid("server"), make([]byte, 50))
		if tt.typ != Retry {
			b = AppendPadding(AppendLong(nil, tt.typ, tt.v, cid("client"), cid("server"), nil, 0, 1), 50)
		}
		if h, ok := ParseLong(b); !ok || b[0] != tt.first || h.Type != tt.typ || h.Version != tt.v {
			t.Errorf("version %v, %v: first byte %#x, parsed as %+v, %v", tt.v, tt.typ, b[0], h, ok)
		}
	}
}

// RFC 9000, Section 17.2 (MUST 6).
func TestLongHeader(t *testing.T) {
	const pn, payload = 0x1234567, 30
	for i, typ := range []PacketType{Initial, ZeroRTT, Handshake, Initial, ZeroRTT, Handshake} {
		v := []Version{Version1, Version2}[i/3]
		for _, token := range []string{"", "token", string(make([]byte, 100))} {
			for pnLen := 1; pnLen <= 4; pnLen++ {
				name := fmt.Sprintf("version %v, %v, token of %d, packet number of %d", v, typ, len(token), pnLen)
				dcid, scid := cid("12345678"), cid("source")
				b := AppendLong(nil, typ, v, dcid, scid, []byte(token), pn, pnLen)
				if got := LongHeaderLen(typ, dcid, scid, len(token), pnLen); got != len(b) {
					t.Errorf("%s: LongHeaderLen %d, is %d", name, got, len(b))
				}
				pnOffset := len(b) - pnLen
				PatchLength(b, pnOffset, pnLen+payload)
				b = AppendPadding(b, payload)
				whole := len(b)
				h, ok := ParseLong(append(b, "the next packet"...))
				if !ok || h.Type != typ || h.Version != v || h.DCID != dcid || h.SCID != scid ||
					h.PNOffset != pnOffset || h.PacketLen != whole || h.PayloadLen() != pnLen+payload {
					t.Errorf("%s: %+v, %v", name, h, ok)
				}
				if typ == Initial && string(h.Token) != token || typ != Initial && h.Token != nil {
					t.Errorf("%s: token %q", name, h.Token)
				}
				if got := ParsePN(b[pnOffset:], int(b[0]&3)+1); got != pn&(1<<(8*pnLen)-1) {
					t.Errorf("%s: packet number %#x", name, got)
				}
				if !ReservedBitsZero(b[0]) || ReservedBitsZero(b[0]|0x04) || ReservedBitsZero(b[0]|0x08) {
					t.Errorf("%s: reserved bits", name)
				}
				for i := range whole {
					if h, ok := ParseLong(b[:i]); ok {
						t.Errorf("%s: the first %d bytes parsed as %+v", name, i, h)
					}
				}
			}
		}
	}
}

// RFC 9000, Section 17.3.1 (MUST 2).
func TestShortHeader(t *testing.T) {
	for _, spin := range []bool{false, true} {
		for _, phase := range []bool{false, true} {
			for pnLen := 1; pnLen <= 4; pnLen++ {
				b := AppendShort(nil, cid("conn"), spin, phase, 0x1234567, pnLen)
				if len(b) != ShortHeaderLen(cid("conn"), pnLen) || IsLong(b[0]) || !FixedBit(b[0]) || Spin(b[0]) != spin ||
					KeyPhase(b[0]) != phase || int(b[0]&3)+1 != pnLen || !bytes.Equal(b[1:5], []byte("conn")) {
					t.Errorf("spin %v, phase %v, packet number of %d: %x", spin, phase, pnLen, b)
				}
				if !ReservedBitsZero(b[0]) || ReservedBitsZero(b[0]|0x08) || ReservedBitsZero(b[0]|0x10) {
					t.Error("reserved bits")
				}
				if inv, ok := ParseInvariant(b, 4); !ok || inv.Long || string(inv.DCID) != "conn" || inv.SCID != nil {
					t.Errorf("invariant %+v, %v", inv, ok)
				}
			}
		}
	}
	if _, ok := ParseInvariant([]byte("\x40con"), 4); ok {
		t.Error("a packet shorter than its connection ID")
	}
	if inv, ok := ParseInvariant([]byte{0x40}, 0); !ok || len(inv.DCID) != 0 {
		t.Error("no connection ID")
	}
}

// longPacket returns a long header of any version with connection IDs of any length.
func longPacket(first byte, v Version, dcid, scid string, rest ...byte) []byte {
	b := binary.BigEndian.AppendUint32([]byte{first}, uint32(v))
	b = append(append(b, byte(len(dcid))), dcid...)
	b = append(append(b, byte(len(scid))), scid...)
	return append(b, rest...)
}

// RFC 8999: connection IDs may be up to 255 bytes long, and nothing else has a meaning.
func TestInvariant(t *testing.T) {
	long := string(bytes.Repeat([]byte("l"), 255))
	for _, tt := range []struct{ dcid, scid string }{{"", ""}, {"12345678", ""}, {"", "s"}, {long, long}} {
		for _, v := range []Version{0, 1, 0xff00001d, 0xffffffff} {
			b := longPacket(0x80, v, tt.dcid, tt.scid)
			inv, ok := ParseInvariant(b, 8)
			if !ok || !inv.Long || inv.Version != v || string(inv.DCID) != tt.dcid || string(inv.SCID) != tt.scid {
				t.Errorf("%+v, %v", inv, ok)
			}
			for i := range b {
				if _, ok := ParseInvariant(b[:i], 8); ok {
					t.Errorf("the first %d bytes parse", i)
				}
			}
		}
	}
}

// RFC 9000, Section 17.2 (MUST 3, 5) and Section 17.2.5.2 (MUST 4).
func TestMalformedLongHeaders(t *testing.T) {
	id21 := string(make([]byte, 21))
	payload := append([]byte{0, 20}, make([]byte, 20)...) // no token, then 20 bytes
	if _, ok := ParseLong(longPacket(0xc0, 1, "12345678", "", payload...)); !ok {
		t.Fatal("the packet that the others differ from does not parse")
	}
	for name, b := range map[string][]byte{
		"short header":         append([]byte{0x40}, make([]byte, 50)...),
		"unknown version":      longPacket(0xc0, 2, "12345678", "", payload...),
		"version negotiation":  longPacket(0xc0, 0, "12345678", "", payload...),
		"DCID of 21 bytes":     longPacket(0xc0, 1, id21, "", payload...),
		"SCID of 21 bytes":     longPacket(0xc0, 1, "12345678", id21, payload...),
		"token too long":       longPacket(0xc0, 1, "12345678", "", 0x7f, 0xff, 0),
		"length too long":      longPacket(0xc0, 1, "12345678", "", 0, 3, 0, 0),
		"huge length":          longPacket(0xc0, 1, "12345678", "", append([]byte{0}, bytes.Repeat([]byte{0xff}, 30)...)...),
		"no length":            longPacket(0xe0, 1, "12345678", ""),
		"Retry, empty token":   longPacket(0xf0, 1, "12345678", "", make([]byte, 16)...),
		"Retry without a tag":  longPacket(0xf0, 1, "12345678", ""),
		"IDs that do not end":  longPacket(0xc0, 1, "12345678", "")[:10],
		"nothing":              nil,
		"only the first byte":  {0xc0},
		"first byte, version":  {0xc0, 0, 0, 0, 1},
		"no source connection": {0xc0, 0, 0, 0, 1, 0},
	} {
		if h, ok := ParseLong(b); ok {
			t.Errorf("%s: %+v", name, h)
		}
	}
}

// RFC 9000, Section 17.2.1 (MUST 1, 2).
func TestVersionNegotiation(t *testing.T) {
	grease := ReservedVersion(0x12345678)
	if !grease.Reserved() || Version1.Reserved() || grease == ReservedVersion(0x87654321) {
		t.Errorf("reserved version %v", grease)
	}
	long := bytes.Repeat([]byte("l"), 255)
	b := AppendVersionNegotiation(nil, 0x35, long, []byte("s"), grease, Version1)
	p, ok := ParseVersionNegotiation(b)
	if !ok || !bytes.Equal(p.DCID, long) || string(p.SCID) != "s" || p.Len() != 2 ||
		p.Version(0) != grease || p.Version(1) != Version1 {
		t.Fatalf("%+v, %v", p, ok)
	}
	if !p.Contains(Version1) || !p.Contains(grease) || p.Contains(2) {
		t.Error("Contains")
	}
	if !IsLong(b[0]) || !FixedBit(b[0]) {
		t.Errorf("first byte %#x", b[0])
	}
	for _, i := range []int{1, 2, 3, 5, 8} {
		if p, ok := ParseVersionNegotiation(b[:len(b)-i]); ok != (i%4 == 0 && i < 8) {
			t.Errorf("%d bytes less: %+v, %v", i, p, ok)
		}
	}
	b[4] = 1
	if _, ok := ParseVersionNegotiation(b); ok {
		t.Error("a packet of version 1")
	}
}

// RFC 9000, Section 17.2.5 (MUST 1).
func TestRetry(t *testing.T) {
	tag := []byte("0123456789abcdef")
	b := AppendRetry(nil, 0xab, Version1, cid("client"), cid("server"), []byte("a token"))
	b = append(b, tag...)
	p, ok := ParseRetry(b)
	if !ok || p.Version != Version1 || p.DCID != cid("client") || p.SCID != cid("server") || string(p.Token) != "a token" ||
		!bytes.Equal(p.Tag[:], tag) || !bytes.Equal(p.Pseudo, b[:len(b)-16]) {
		t.Errorf("%+v, %v", p, ok)
	}
	if b[0] != 0xfb {
		t.Errorf("first byte %#x", b[0])
	}
	b[0] &^= fixedBit
	if _, ok := ParseRetry(b); ok {
		t.Error("a Retry packet without the QUIC bit is one")
	}
	if _, ok := ParseRetry(longPacket(0xc0, 1, "12345678", "", 0, 0)); ok {
		t.Error("an Initial packet parsed as Retry")
	}
}

func FuzzHeader(f *testing.F) {
	f.Add(longPacket(0xc0, 1, "12345678", "s", append([]byte{3, 't', 'o', 'k', 20}, make([]byte, 20)...)...))
	f.Add(longPacket(0xd0, 1, "12345678", "s", append([]byte{20}, make([]byte, 20)...)...))
	f.Add(longPacket(0xf0, 1, "", "s", make([]byte, 20)...))
	f.Add(longPacket(0xd0, Version2, "12345678", "s", append([]byte{0, 20}, make([]byte, 20)...)...))
	f.Add(longPacket(0xc0, Version2, "", "s", make([]byte, 20)...))
	f.Add(AppendVersionNegotiation(nil, 0, []byte("d"), []byte("s"), 1, 2))
	f.Add(AppendShort(nil, cid("12345678"), true, true, 7, 2))
	f.Fuzz(func(t *testing.T, b []byte) {
		inv, ok := ParseInvariant(b, 8)
		h, okLong := ParseLong(b)
		vn, okVN := ParseVersionNegotiation(b)
		retry, okRetry := ParseRetry(b)
		if okLong {
			if !ok || !inv.Long || !bytes.Equal(inv.DCID, h.DCID.Bytes()) || !bytes.Equal(inv.SCID, h.SCID.Bytes()) ||
				inv.Version != h.Version {
				t.Fatalf("%+v does not agree with %+v", h, inv)
			}
			if h.PacketLen > len(b) || h.PNOffset > h.PacketLen || h.PayloadLen() < 0 {
				t.Fatalf("%+v of %d bytes", h, len(b))
			}
		}
		if okVN {
			if !ok || okLong || inv.Version != 0 || vn.Len() < 1 {
				t.Fatalf("%+v and %+v", vn, h)
			}
			vn.Contains(vn.Version(vn.Len() - 1))
		}
		if okRetry {
			again := AppendRetry(nil, b[0], retry.Version, retry.DCID, retry.SCID, retry.Token)
			if !bytes.Equal(again, retry.Pseudo) || !okLong || h.Type != Retry {
				t.Fatalf("%x came back as %x", retry.Pseudo, again)
			}
		}
	})
}
