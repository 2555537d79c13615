package quic

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/dunlin-quic/dunlin/internal/protect"
	"github.com/dunlin-quic/dunlin/internal/wire"
)

var (
	demuxNow  = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	demuxPath = Path{Local: netip.MustParseAddrPort("192.0.2.1:443"), Remote: netip.MustParseAddrPort("198.51.100.7:50000")}
	demuxKey  = [32]byte{1, 2, 3}
)

// seededRand is a source of bytes that repeats.
func seededRand(seed byte) *rand.ChaCha8 { return rand.NewChaCha8([32]byte{seed}) }

func newDemux(t testing.TB, cfg DemuxConfig) *Demux {
	t.Helper()
	if cfg.Rand == nil {
		cfg.Rand = seededRand(1)
	}
	if cfg.StatelessResetKey == nil {
		cfg.StatelessResetKey = &demuxKey
	}
	d, err := NewDemux(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// attempt is a client's connection attempt, as far as the front door is concerned.
type attempt struct {
	version    Version
	dcid, scid ConnectionID
	token      []byte
	size       int  // of the datagram
	noQUICBit  bool // RFC 9287
}

func newAttempt() attempt {
	return attempt{version: Version1, dcid: wire.NewConnectionID([]byte("12345678")), scid: wire.NewConnectionID([]byte("me")), size: 1200}
}

// initial returns the client's first datagram.
func (a attempt) initial(t testing.TB) []byte {
	t.Helper()
	sealer, _, err := protect.NewInitial(a.version, a.dcid, false)
	if err != nil {
		t.Fatal(err)
	}
	const pnLen = 2
	b := wire.AppendLong(make([]byte, 0, a.size), wire.Initial, a.version, a.dcid, a.scid, a.token, 0, pnLen)
	if a.noQUICBit {
		wire.ClearFixedBit(b)
	}
	pnOffset := len(b) - pnLen
	wire.PatchLength(b, pnOffset, a.size-pnOffset)
	b = wire.AppendPing(b)
	b = wire.AppendPadding(b, a.size-protect.Overhead-len(b))
	return sealer.Seal(b, pnOffset, pnLen, 0)
}

// knock hands a datagram to d and checks that it is left as it was.
func knock(t testing.TB, d *Demux, now time.Time, path Path, datagram []byte, underLoad bool) (Decision, []byte) {
	t.Helper()
	before := bytes.Clone(datagram)
	reply := make([]byte, 1500)
	dec := d.Handle(now, path, datagram, reply, underLoad)
	if !bytes.Equal(before, datagram) {
		t.Error("the datagram was changed")
	}
	if (dec.Kind == Reply) != (dec.Len > 0) {
		t.Errorf("%+v", dec)
	}
	return dec, reply[:dec.Len]
}

func wantReason(t testing.TB, what string, dec Decision, kind DecisionKind, reason DemuxReason) {
	t.Helper()
	if dec.Kind != kind || dec.Reason != reason {
		t.Errorf("%s: kind %d, reason %v; want kind %d, reason %v", what, dec.Kind, dec.Reason, kind, reason)
	}
}

// readClose opens an Initial packet from the server and returns its CONNECTION_CLOSE frame.
func (a attempt) readClose(t testing.TB, pkt []byte) wire.ConnectionCloseFrame {
	t.Helper()
	h, ok := wire.ParseLong(pkt)
	if !ok || h.Type != wire.Initial || h.DCID != a.scid || h.PacketLen != len(pkt) {
		t.Fatalf("reply %+v, %v", h, ok)
	}
	_, opener, err := protect.NewInitial(a.version, a.dcid, false)
	if err != nil {
		t.Fatal(err)
	}
	pn, pnLen, ok := opener.Unmask(pkt, h.PNOffset, 0)
	if !ok {
		t.Fatal("can't be unmasked")
	}
	payload, err := opener.Open(pkt, h.PNOffset+pnLen, pn)
	if err != nil {
		t.Fatal(err)
	}
	f, n := wire.ParseConnectionClose(payload)
	if n != len(payload) || f.App {
		t.Fatalf("frame %+v, %d of %d", f, n, len(payload))
	}
	return f
}

func TestDemuxDCID(t *testing.T) {
	d := newDemux(t, DemuxConfig{})
	for _, tt := range []struct {
		name     string
		datagram []byte
		want     string
		ok       bool
	}{
		{"Initial", newAttempt().initial(t), "12345678", true},
		{"short header", []byte("\x40abcdefgh-----"), "abcdefgh", true},
		{"short header, only the ID", []byte("\x40abcdefgh"), "abcdefgh", true},
		{"short header without fixed bit", []byte("\x00abcdefgh-----"), "abcdefgh", true},
		{"too short", []byte("\x40abcdefg"), "", false},
		{"empty", nil, "", false},
		{"unknown version", demuxLong(0xff, 0x12345678, "abc", "de"), "abc", true},
		{"Version Negotiation, no ID", demuxLong(0x80, 0, "", "de", 0, 0, 0, 1), "", true},
		{"ID of 20 bytes", demuxLong(0xff, 7, "abcdefghijklmnopqrst", ""), "abcdefghijklmnopqrst", true},
		{"ID of 21 bytes", demuxLong(0xff, 7, "abcdefghijklmnopqrstu", ""), "", false},
		{"ID cut short", []byte("\xff\x00\x00\x00\x01\x08abcd"), "", false},
	} {
		cid, ok := d.DCID(tt.datagram)
		if ok != tt.ok || string(cid.Bytes()) != tt.want {
			t.Errorf("%s: %v, %v", tt.name, cid, ok)
		}
	}
}

// demuxLong returns a long header of any version, with anything behind it.
func demuxLong(first byte, v uint32, dcid, scid string, rest ...byte) []byte {
	b := binary.BigEndian.AppendUint32([]byte{first}, v)
	b = append(append(b, byte(len(dcid))), dcid...)
	b = append(append(b, byte(len(scid))), scid...)
	return append(b, rest...)
}

// RFC 9000, Section 5.2.2 (MUST 1, 2), Section 6.1 (MUST 1), Section 7.2 (MUST 1), Section 10.3 (MUST 3), Section
// 14.1 (MUST 3) and Section 17.2 (MUST 1, 3).
func TestDemuxDrops(t *testing.T) {
	a := newAttempt()
	padded := func(b []byte, n int) []byte { return append(b, make([]byte, n-len(b))...) }
	long := func(typ wire.PacketType, dcid string) []byte {
		b := wire.AppendLong(nil, typ, wire.Version1, wire.NewConnectionID([]byte(dcid)), a.scid, nil, 0, 4)
		wire.PatchLength(b, len(b)-4, 1200-len(b)+4)
		return padded(b, 1200)
	}
	forged := a.initial(t)
	forged[1199] ^= 1
	short7 := a
	short7.dcid = wire.NewConnectionID([]byte("1234567"))
	empty := a
	empty.dcid = ConnectionID{}
	small := a
	small.size = 1199
	cutOff := a.initial(t)[:1199]
	retry := wire.AppendRetry(nil, 0, wire.Version1, a.dcid, a.scid, make([]byte, 1100))
	for _, tt := range []struct {
		name     string
		datagram []byte
		want     DemuxReason
	}{
		{"nothing", nil, DropNotQUIC},
		{"a byte", []byte{0x40}, DropNotQUIC},
		{"short header without fixed bit", padded([]byte{0x20}, 100), DropNotQUIC},
		{"STUN", padded([]byte{0x00, 0x01}, 100), DropNotQUIC},
		{"long header cut short", []byte{0xc0, 0, 0, 0, 1, 8}, DropNotQUIC},
		{"unknown version, 1199 bytes", padded(demuxLong(0xc0, 7, "12345678", ""), 1199), DropSmallUnknownVersion},
		{"Version Negotiation", padded(demuxLong(0xc0, 0, "12345678", "me"), 1200), DropVersionNegotiation},
		{"Initial in 1199 bytes", small.initial(t), DropSmallInitial},
		{"Initial that claims more than there is", cutOff, DropMalformed},
		{"DCID of 7 bytes", short7.initial(t), DropShortDCID},
		{"no DCID", empty.initial(t), DropShortDCID},
		{"DCID of 21 bytes", padded(demuxLong(0xc0, 1, "123456781234567812345", "me"), 1200), DropMalformed},
		{"QUIC bit zero", padded(append(demuxLong(0x80, 1, "12345678", "me"), 0, 0x40, 100), 1200), DropNotQUIC},
		{"0-RTT", long(wire.ZeroRTT, "12345678"), DropEarlyData},
		{"Handshake", long(wire.Handshake, "12345678"), DropStray},
		{"Retry", retry, DropStray},
		{"forged Initial", forged, DropForged},
		{"garbage for an Initial", long(wire.Initial, "12345678"), DropForged},
		{"Initial without payload", padded(demuxLong(0xc0, 1, "12345678", "me", 0, 4), 1200), DropForged},
		{"short header of 21 bytes", padded([]byte{0x40}, 21), DropUnknownShort},
	} {
		d := newDemux(t, DemuxConfig{})
		dec, _ := knock(t, d, demuxNow, demuxPath, tt.datagram, false)
		wantReason(t, tt.name, dec, Drop, tt.want)
		for _, r := range DemuxReasons() {
			want := uint64(0)
			if r == tt.want {
				want = 1
			}
			if got := d.Count(r); got != want {
				t.Errorf("%s: counted %d times as %v", tt.name, got, r)
			}
		}
	}
}

func TestDemuxNotAccepting(t *testing.T) {
	d := newDemux(t, DemuxConfig{NoAccept: true, Retry: RetryAlways})
	for name, b := range map[string][]byte{
		"Initial":         newAttempt().initial(t),
		"unknown version": append(demuxLong(0xc0, 7, "12345678", "me"), make([]byte, 1300)...),
	} {
		dec, _ := knock(t, d, demuxNow, demuxPath, b, true)
		wantReason(t, name, dec, Drop, DropNotAccepting)
	}
	// A client that lost its state says so.
	dec, _ := knock(t, d, demuxNow, demuxPath, append([]byte{0x40}, make([]byte, 60)...), false)
	wantReason(t, "short header", dec, Reply, ReplyStatelessReset)
}

func TestDemuxNoRoomForReply(t *testing.T) {
	d := newDemux(t, DemuxConfig{Retry: RetryAlways})
	dec := d.Handle(demuxNow, demuxPath, newAttempt().initial(t), make([]byte, MinReplyBuffer-1), false)
	wantReason(t, "Initial", dec, Drop, DropNoRoom)
	if n := d.Refuse(Accept{}, ConnectionRefused, "", nil); n != 0 {
		t.Errorf("Refuse wrote %d bytes", n)
	}
}

// RFC 9000, Section 6.1 (MUST 1) and Section 17.2.1 (MUST 2, 3, 4, 5).
func TestDemuxVersionNegotiation(t *testing.T) {
	d := newDemux(t, DemuxConfig{})
	long := string(bytes.Repeat([]byte("l"), 255))
	for _, v := range []uint32{2, 0x709a50c4, 0xff00001d, 0xffffffff, 0x0a0a0a0a, 0x1a2a3a4a} {
		for _, ids := range [][2]string{{"12345678", "me"}, {"", ""}, {"1", ""}, {long, long}} {
			for range 50 { // whatever is random
				b := append(demuxLong(0xc0, v, ids[0], ids[1]), make([]byte, 1200)...)
				dec, reply := knock(t, d, demuxNow, demuxPath, b, false)
				wantReason(t, "unknown version", dec, Reply, ReplyVersionNegotiation)
				p, ok := wire.ParseVersionNegotiation(reply)
				if !ok || string(p.DCID) != ids[1] || string(p.SCID) != ids[0] {
					t.Fatalf("%+v, %v", p, ok)
				}
				if p.Len() != 3 || !p.Contains(Version1) || !p.Contains(Version2) || !p.Version(0).Reserved() || p.Contains(wire.Version(v)) {
					t.Fatalf("answer to version %#x: %v, %v", v, p.Version(0), p.Version(1))
				}
				// RFC 9000, Section 6.1: the answer gets no answer.
				dec, _ = knock(t, d, demuxNow, demuxPath, append(reply, make([]byte, 1200)...), false)
				wantReason(t, "Version Negotiation", dec, Drop, DropVersionNegotiation)
			}
		}
	}
}

// Only the versions of the config are let in and told.
func TestDemuxVersions(t *testing.T) {
	for _, only := range []Version{Version1, Version2} {
		d := newDemux(t, DemuxConfig{Versions: []Version{only}})
		for _, v := range []Version{Version1, Version2} {
			a := newAttempt()
			a.version = v
			dec, reply := knock(t, d, demuxNow, demuxPath, a.initial(t), false)
			if v == only {
				wantReason(t, "version spoken", dec, NewAttempt, Accepted)
				if dec.Accept.Version != v {
					t.Errorf("version %v", dec.Accept.Version)
				}
				continue
			}
			wantReason(t, "version not spoken", dec, Reply, ReplyVersionNegotiation)
			if p, ok := wire.ParseVersionNegotiation(reply); !ok || p.Len() != 2 || p.Version(1) != only {
				t.Errorf("%+v, %v", p, ok)
			}
		}
	}
}

// RFC 9369, Sections 4.1 and 5: no token is good for another version.
func TestDemuxTokensOfVersions(t *testing.T) {
	versions := []Version{Version1, Version2}
	for i, v := range versions {
		d := newDemux(t, DemuxConfig{Retry: RetryAlways})
		a := newAttempt()
		a.version = v
		_, reply := knock(t, d, demuxNow, demuxPath, a.initial(t), false)
		p, ok := wire.ParseRetry(reply)
		if !ok || p.Version != v || !protect.VerifyRetry(&p, a.dcid) {
			t.Fatalf("%+v, %v", p, ok)
		}
		a.dcid, a.token = p.SCID, p.Token
		switched := a
		switched.version = versions[1-i]
		dec, reply := knock(t, d, demuxNow, demuxPath, switched.initial(t), false)
		wantReason(t, "Retry token of the other version", dec, Reply, ReplyInvalidToken)
		if f := switched.readClose(t, reply); TransportErrorCode(f.Code) != InvalidToken {
			t.Errorf("%+v", f)
		}
		dec, _ = knock(t, d, demuxNow, demuxPath, a.initial(t), false)
		wantReason(t, "Retry token", dec, NewAttempt, Accepted)

		b := newAttempt()
		b.token = d.secrets.newToken(demuxNow, v, demuxPath.Remote.Addr(), d.cfg.Rand)
		b.version = versions[1-i]
		dec, _ = knock(t, d, demuxNow, demuxPath, b.initial(t), false)
		wantReason(t, "NEW_TOKEN token of the other version", dec, Reply, ReplyRetry)
		b.version = v
		dec, _ = knock(t, d, demuxNow, demuxPath, b.initial(t), false)
		wantReason(t, "NEW_TOKEN token", dec, NewAttempt, Accepted)
	}
}

func TestDemuxAccept(t *testing.T) {
	d := newDemux(t, DemuxConfig{})
	a := newAttempt()
	// What follows the Initial in its datagram does not matter here.
	for _, rest := range []string{"", "0-RTT or anything"} {
		dec, _ := knock(t, d, demuxNow, demuxPath, append(a.initial(t), rest...), false)
		wantReason(t, "Initial", dec, NewAttempt, Accepted)
		in := dec.Accept
		if in.Path != demuxPath || in.Version != Version1 || in.DCID != a.dcid || in.SCID != a.scid || in.ODCID != a.dcid ||
			in.Retried || in.Validated || in.sealer == nil || in.opener == nil || in.secrets != d.secrets {
			t.Errorf("%+v", in)
		}
	}
	if d.Count(Accepted) != 2 {
		t.Errorf("%d counted", d.Count(Accepted))
	}
	// A token that means nothing here is none (RFC 9000, Section 8.1.3).
	a.token = []byte("from another server")
	dec, _ := knock(t, d, demuxNow, demuxPath, a.initial(t), false)
	wantReason(t, "foreign token", dec, NewAttempt, Accepted)
	if dec.Accept.Validated {
		t.Error("a foreign token validates")
	}
}

func TestDemuxRefuse(t *testing.T) {
	d := newDemux(t, DemuxConfig{})
	a := newAttempt()
	dec, _ := knock(t, d, demuxNow, demuxPath, a.initial(t), false)
	reply := make([]byte, 1500)
	for _, reason := range []string{"", "too many connections", string(make([]byte, 5000))} {
		n := d.Refuse(dec.Accept, ConnectionRefused, reason, reply)
		f := a.readClose(t, reply[:n])
		if f.Code != uint64(ConnectionRefused) || !bytes.HasPrefix([]byte(reason), f.Reason) ||
			len(reason) < 100 && string(f.Reason) != reason {
			t.Errorf("%+v", f)
		}
	}
	if d.Count(ReplyRefused) != 3 {
		t.Errorf("%d counted", d.Count(ReplyRefused))
	}
}

// retried returns the attempt after a Retry packet.
func (a attempt) retried(t testing.TB, pkt []byte) attempt {
	t.Helper()
	p, ok := wire.ParseRetry(pkt)
	if !ok || p.DCID != a.scid || p.SCID == a.dcid || !protect.VerifyRetry(&p, a.dcid) {
		t.Fatalf("Retry %+v, %v", p, ok)
	}
	a.dcid, a.token = p.SCID, bytes.Clone(p.Token)
	return a
}

// RFC 9000, Section 8.1.1 (MUST 1), Section 8.1.3 (MUST 7) and Section 17.2.5.1 (MUST 1).
func TestDemuxRetryPolicy(t *testing.T) {
	for _, tt := range []struct {
		policy    RetryPolicy
		underLoad bool
		retry     bool
	}{
		{RetryUnderLoad, false, false},
		{RetryUnderLoad, true, true},
		{RetryAlways, false, true},
		{RetryAlways, true, true},
		{RetryNever, false, false},
		{RetryNever, true, false},
	} {
		d := newDemux(t, DemuxConfig{Retry: tt.policy})
		a := newAttempt()
		dec, reply := knock(t, d, demuxNow, demuxPath, a.initial(t), tt.underLoad)
		if !tt.retry {
			wantReason(t, "Initial", dec, NewAttempt, Accepted)
			continue
		}
		wantReason(t, "Initial", dec, Reply, ReplyRetry)
		// RFC 9000, Section 8.1: less than three times of what came, of course.
		if len(reply) > 200 {
			t.Errorf("a Retry packet of %d bytes", len(reply))
		}
		b := a.retried(t, reply)
		dec, _ = knock(t, d, demuxNow.Add(time.Second), demuxPath, b.initial(t), tt.underLoad)
		wantReason(t, "Initial after Retry", dec, NewAttempt, Accepted)
		if in := dec.Accept; !in.Retried || !in.Validated || in.ODCID != a.dcid || in.DCID != b.dcid {
			t.Errorf("%+v", in)
		}
		// A client that has a token needs no Retry, and a token that is not good changes nothing.
		a.token = dec.Accept.secrets.newToken(demuxNow, Version1, demuxPath.Remote.Addr(), d.cfg.Rand)
		dec, _ = knock(t, d, demuxNow, demuxPath, a.initial(t), tt.underLoad)
		wantReason(t, "Initial with a NEW_TOKEN token", dec, NewAttempt, Accepted)
		if in := dec.Accept; in.Retried || !in.Validated || in.ODCID != a.dcid {
			t.Errorf("%+v", in)
		}
		a.token[20] ^= 1
		dec, _ = knock(t, d, demuxNow, demuxPath, a.initial(t), tt.underLoad)
		wantReason(t, "Initial with a damaged NEW_TOKEN token", dec, Reply, ReplyRetry)
	}
}

// Connection IDs of any length serve for Retry, even ones shorter than clients may choose.
func TestDemuxRetryCIDLengths(t *testing.T) {
	for n := range wire.MaxConnectionIDLen + 1 {
		gen, err := NewConnectionIDGenerator(n, seededRand(2))
		if err != nil {
			t.Fatal(err)
		}
		d := newDemux(t, DemuxConfig{Retry: RetryAlways, ConnectionIDs: gen})
		a := newAttempt()
		a.dcid = wire.NewConnectionID([]byte("12345678901234567890")[:8+n%13])
		_, reply := knock(t, d, demuxNow, demuxPath, a.initial(t), false)
		b := a.retried(t, reply)
		if b.dcid.Len() != n {
			t.Errorf("ID of %d bytes, want %d", b.dcid.Len(), n)
		}
		dec, _ := knock(t, d, demuxNow, demuxPath, b.initial(t), false)
		wantReason(t, "Initial after Retry", dec, NewAttempt, Accepted)
		if dec.Accept.ODCID != a.dcid {
			t.Errorf("ODCID %v", dec.Accept.ODCID)
		}
		// As long as those of this server is not enough without a token from here.
		if n < wire.MinClientDCIDLen {
			b.token = nil
			dec, _ = knock(t, d, demuxNow, demuxPath, b.initial(t), false)
			wantReason(t, "short DCID", dec, Drop, DropShortDCID)
			b.token = d.secrets.newToken(demuxNow, Version1, demuxPath.Remote.Addr(), d.cfg.Rand)
			dec, _ = knock(t, d, demuxNow, demuxPath, b.initial(t), false)
			wantReason(t, "short DCID with a NEW_TOKEN token", dec, Drop, DropShortDCID)
		}
	}
}

// RFC 9000, Section 8.1.4 (MUST 2).
func TestDemuxRetryToken(t *testing.T) {
	otherPort, otherIP := demuxPath, demuxPath
	otherPort.Remote = netip.AddrPortFrom(demuxPath.Remote.Addr(), 50001)
	otherIP.Remote = netip.AddrPortFrom(netip.MustParseAddr("198.51.100.8"), 50000)
	otherLocal := demuxPath
	otherLocal.Local = netip.MustParseAddrPort("192.0.2.2:443")
	for _, tt := range []struct {
		name   string
		change func(a *attempt)
		path   Path
		after  time.Duration
		other  DemuxConfig // of the server that gets the token
		good   bool
	}{
		{name: "at once", good: true},
		{name: "just in time", after: 10*time.Second - time.Millisecond, good: true},
		{name: "too late", after: 10 * time.Second},
		{name: "later where it lives longer", after: 15 * time.Second, other: DemuxConfig{RetryTokenLife: 20 * time.Second}, good: true},
		{name: "a clock that is a little slow", after: -4 * time.Second, good: true},
		{name: "from the future", after: -6 * time.Second},
		{name: "another port", path: otherPort},
		{name: "another address", path: otherIP},
		{name: "another address of the server", path: otherLocal, good: true},
		{name: "another DCID", change: func(a *attempt) { a.dcid = wire.NewConnectionID([]byte("87654321")) }},
		{name: "another source connection ID", change: func(a *attempt) { a.scid = wire.NewConnectionID([]byte("you")) }, good: true},
		{name: "the first byte changed", change: func(a *attempt) { a.token[1] ^= 1 }},
		{name: "the last byte changed", change: func(a *attempt) { a.token[len(a.token)-1] ^= 1 }},
		{name: "another server of the fleet", other: DemuxConfig{Rand: seededRand(99)}, good: true},
		{name: "another server", other: DemuxConfig{StatelessResetKey: &[32]byte{9}}},
	} {
		a := newAttempt()
		_, reply := knock(t, newDemux(t, DemuxConfig{Retry: RetryAlways}), demuxNow, demuxPath, a.initial(t), false)
		b := a.retried(t, reply)
		if tt.change != nil {
			tt.change(&b)
		}
		if tt.path == (Path{}) {
			tt.path = demuxPath
		}
		for _, policy := range []RetryPolicy{RetryAlways, RetryNever, RetryUnderLoad} {
			tt.other.Retry = policy
			d := newDemux(t, tt.other)
			dec, reply := knock(t, d, demuxNow.Add(tt.after), tt.path, b.initial(t), true)
			if tt.good {
				wantReason(t, tt.name, dec, NewAttempt, Accepted)
				if !dec.Accept.Validated || !dec.Accept.Retried || dec.Accept.ODCID != a.dcid {
					t.Errorf("%s: %+v", tt.name, dec.Accept)
				}
				continue
			}
			// RFC 9000, Section 8.1.2: no second Retry, but the end.
			wantReason(t, tt.name, dec, Reply, ReplyInvalidToken)
			if dec.Kind == Reply {
				if f := b.readClose(t, reply); f.Code != uint64(InvalidToken) {
					t.Errorf("%s: %+v", tt.name, f)
				}
			}
			// Only who can make an authentic packet gets that answer.
			pkt := b.initial(t)
			pkt[len(pkt)-1] ^= 1
			dec, _ = knock(t, d, demuxNow.Add(tt.after), tt.path, pkt, true)
			wantReason(t, tt.name+", forged", dec, Drop, DropForged)
		}
	}
}

// RFC 9000, Section 8.1.1 (MUST 1), Section 8.1.3 (MUST 7) and Section 8.1.4 (MUST 1, 2, 3, 4).
func TestDemuxNewToken(t *testing.T) {
	otherPort, otherIP, v6 := demuxPath, demuxPath, demuxPath
	otherPort.Remote = netip.AddrPortFrom(demuxPath.Remote.Addr(), 50001)
	otherIP.Remote = netip.AddrPortFrom(netip.MustParseAddr("198.51.100.8"), 50000)
	v6.Remote = netip.MustParseAddrPort("[2001:db8::1]:50000")
	for _, tt := range []struct {
		name   string
		change func(a *attempt)
		path   Path
		after  time.Duration
		other  DemuxConfig
		good   bool
	}{
		{name: "at once", good: true},
		{name: "just in time", after: 24*time.Hour - time.Millisecond, good: true},
		{name: "too late", after: 24 * time.Hour},
		{name: "too late for this server", after: time.Hour, other: DemuxConfig{TokenLife: time.Minute}},
		{name: "later where it lives longer", after: 48 * time.Hour, other: DemuxConfig{TokenLife: 7 * 24 * time.Hour}, good: true},
		{name: "where none is good", other: DemuxConfig{TokenLife: -1}},
		{name: "a clock that is a little slow", after: -4 * time.Second, good: true},
		{name: "from the future", after: -6 * time.Second},
		{name: "another port", path: otherPort, good: true},
		{name: "another address", path: otherIP},
		{name: "another address family", path: v6},
		{name: "damaged", change: func(a *attempt) { a.token[len(a.token)-1] ^= 1 }},
		{name: "as if from a Retry", change: func(a *attempt) { a.token[0] = retryTokenKind }},
		{name: "another server of the fleet", other: DemuxConfig{Rand: seededRand(99)}, good: true},
		{name: "another server", other: DemuxConfig{StatelessResetKey: &[32]byte{9}}},
	} {
		a := newAttempt()
		a.token = newDemux(t, DemuxConfig{}).secrets.newToken(demuxNow, Version1, demuxPath.Remote.Addr(), seededRand(3))
		if tt.change != nil {
			tt.change(&a)
		}
		if tt.path == (Path{}) {
			tt.path = demuxPath
		}
		dec, _ := knock(t, newDemux(t, tt.other), demuxNow.Add(tt.after), tt.path, a.initial(t), false)
		wantReason(t, tt.name, dec, NewAttempt, Accepted)
		if in := dec.Accept; in.Validated != tt.good || in.Retried || in.ODCID != a.dcid {
			t.Errorf("%s: %+v", tt.name, in)
		}
	}
}

// A token serves one attempt, however many of its Initial packets come, at whichever router of the listener.
// RFC 9000, Section 8.1.4 (MUST 5).
func TestDemuxTokenOnce(t *testing.T) {
	store := NewTokenStore(100)
	one, two := newDemux(t, DemuxConfig{Tokens: store}), newDemux(t, DemuxConfig{Tokens: store, Rand: seededRand(7)})
	a := newAttempt()
	a.token = one.secrets.newToken(demuxNow, Version1, demuxPath.Remote.Addr(), seededRand(3))
	b := a
	b.dcid = wire.NewConnectionID([]byte("another attempt"))
	for i, tt := range []struct {
		d         *Demux
		a         attempt
		validated bool
	}{{one, a, true}, {one, a, true}, {two, a, true}, {two, b, false}, {one, b, false}, {one, a, true}} {
		dec, _ := knock(t, tt.d, demuxNow, demuxPath, tt.a.initial(t), false)
		if dec.Kind != NewAttempt || dec.Accept.Validated != tt.validated {
			t.Errorf("step %d: %+v", i, dec)
		}
	}
	two.cfg.Retry = RetryAlways
	dec, _ := knock(t, two, demuxNow, demuxPath, b.initial(t), false)
	wantReason(t, "used token where a Retry is due", dec, Reply, ReplyRetry)

	// A forged packet uses no token up.
	c := newAttempt()
	c.token = one.secrets.newToken(demuxNow, Version1, demuxPath.Remote.Addr(), seededRand(4))
	forged := c
	forged.dcid = wire.NewConnectionID([]byte("forged attempt"))
	pkt := forged.initial(t)
	pkt[600] ^= 1
	dec, _ = knock(t, one, demuxNow, demuxPath, pkt, false)
	wantReason(t, "forged", dec, Drop, DropForged)
	if dec, _ = knock(t, one, demuxNow, demuxPath, c.initial(t), false); !dec.Accept.Validated {
		t.Error("the token was used up")
	}
}

// Tokens differ even for one client at one instant, so that nobody can link its connections by them.
// RFC 9000, Section 8.1.3 (MUST 3, 4).
func TestTokensDiffer(t *testing.T) {
	d := newDemux(t, DemuxConfig{})
	addr := demuxPath.Remote.Addr()
	x, y := d.secrets.newToken(demuxNow, Version1, addr, d.cfg.Rand), d.secrets.newToken(demuxNow, Version1, addr, d.cfg.Rand)
	if bytes.Equal(x[1:9], y[1:9]) || bytes.Equal(x[25:33], y[25:33]) || len(x) != newTokenLen || len(y) != newTokenLen {
		t.Errorf("%x and %x", x, y)
	}
}

// RFC 9000, Section 10.3 (MUST 2, 4) and Section 10.3.3 (MUST 1).
func TestDemuxStatelessReset(t *testing.T) {
	cid := wire.NewConnectionID([]byte("abcdefgh"))
	want := resetTokenUnder(&demuxKey, cid)
	d := newDemux(t, DemuxConfig{})
	sizes := make(map[int]bool)
	for size := range 1500 {
		if size < 9 {
			continue
		}
		b := append([]byte{0x40}, cid.Bytes()...)
		b = append(b, make([]byte, size-len(b))...)
		dec, reply := knock(t, d, demuxNow, demuxPath, b, false)
		// RFC 9000, Section 10.3: at least 21 bytes, and less than what it answers.
		if size < 22 {
			wantReason(t, "short header", dec, Drop, DropUnknownShort)
			continue
		}
		wantReason(t, "short header", dec, Reply, ReplyStatelessReset)
		n := len(reply)
		if n >= size || n < 21 || size <= 43 && n != size-1 || size > 43 && n < 42 {
			t.Fatalf("%d bytes in answer to %d", n, size)
		}
		if !bytes.Equal(reply[n-16:], want[:]) || wire.IsLong(reply[0]) || !wire.FixedBit(reply[0]) {
			t.Fatalf("reset %x", reply)
		}
		if bytes.Contains(reply, cid.Bytes()) {
			t.Error("the reset bears the connection ID")
		}
		if size > 200 {
			sizes[n] = true
		}
	}
	if len(sizes) < 20 {
		t.Errorf("the resets for long packets have %d different lengths", len(sizes))
	}
	// Two endpoints that know nothing of each other come to an end.
	ping := append([]byte{0x40}, make([]byte, 1400)...)
	for i := range 200 {
		dec, reply := knock(t, d, demuxNow, demuxPath, ping, false)
		if dec.Kind == Drop {
			break
		}
		if ping = reply; i == 199 {
			t.Error("they answer each other forever")
		}
	}
}

// Without connection IDs there is nothing to make a token of.
func TestDemuxResetWithoutCID(t *testing.T) {
	gen, err := NewConnectionIDGenerator(0, nil)
	if err != nil {
		t.Fatal(err)
	}
	dec, _ := knock(t, newDemux(t, DemuxConfig{ConnectionIDs: gen}), demuxNow, demuxPath, append([]byte{0x40}, make([]byte, 100)...), false)
	wantReason(t, "short header", dec, Drop, DropUnknownShort)
}

func TestDemuxReasonNames(t *testing.T) {
	seen := make(map[string]bool)
	for _, r := range DemuxReasons() {
		if s := r.String(); s == "" || s == "unknown" || seen[s] {
			t.Errorf("reason %d is named %q", r, s)
		} else {
			seen[s] = true
		}
	}
	if numDemuxReasons.String() != "unknown" || new(Demux).Count(numDemuxReasons) != 0 {
		t.Error("there is one more")
	}
}

// Floods are answered or dropped without garbage, but for the keys of what looks like a connection attempt.
func TestDemuxAllocations(t *testing.T) {
	a := newAttempt()
	small := a
	small.size = 1199
	reply := make([]byte, 1500)
	for _, tt := range []struct {
		name     string
		cfg      DemuxConfig
		datagram []byte
		want     float64
	}{
		{"garbage", DemuxConfig{}, make([]byte, 1200), 0},
		{"small Initial", DemuxConfig{}, small.initial(t), 0},
		{"unknown version", DemuxConfig{}, append(demuxLong(0xc0, 7, "12345678", "me"), make([]byte, 1200)...), 1},
		{"Retry", DemuxConfig{Retry: RetryAlways}, a.initial(t), 4},
		{"short header", DemuxConfig{}, append([]byte{0x40}, make([]byte, 100)...), 12},
	} {
		d := newDemux(t, tt.cfg)
		got := testing.AllocsPerRun(100, func() {
			d.DCID(tt.datagram)
			d.Handle(demuxNow, demuxPath, tt.datagram, reply, false)
		})
		if got > tt.want {
			t.Errorf("%s: %v allocations, want at most %v", tt.name, got, tt.want)
		}
	}
}

func FuzzDemux(f *testing.F) {
	d := newDemux(f, DemuxConfig{})
	a := newAttempt()
	f.Add(a.initial(f), false)
	a.token = d.secrets.newToken(demuxNow, Version1, demuxPath.Remote.Addr(), d.cfg.Rand)
	f.Add(a.initial(f), true)
	f.Add(append([]byte{0x40}, make([]byte, 60)...), false)
	f.Add(append(demuxLong(0xc0, 7, "12345678", "me"), make([]byte, 1200)...), true)
	f.Fuzz(func(t *testing.T, b []byte, underLoad bool) {
		d := newDemux(t, DemuxConfig{}) // the same input takes the same way
		d.DCID(b)
		before := bytes.Clone(b)
		reply := make([]byte, MinReplyBuffer)
		dec := d.Handle(demuxNow, demuxPath, b, reply, underLoad)
		if !bytes.Equal(b, before) {
			t.Fatal("the datagram was changed")
		}
		// Nothing is amplified, and every answer is to something that may be a connection's.
		if dec.Len > 3*len(b) || dec.Kind == Reply && dec.Reason < ReplyVersionNegotiation ||
			dec.Kind == Drop && dec.Reason >= ReplyVersionNegotiation {
			t.Fatalf("%+v in answer to %d bytes", dec, len(b))
		}
		if dec.Reason == ReplyStatelessReset && dec.Len >= len(b) {
			t.Fatalf("a reset of %d bytes in answer to %d", dec.Len, len(b))
		}
		if dec.Kind == NewAttempt {
			d.Refuse(dec.Accept, ConnectionRefused, "full", reply)
		}
	})
}

func FuzzToken(f *testing.F) {
	d := newDemux(f, DemuxConfig{})
	addr := demuxPath.Remote
	odcid, scid := wire.NewConnectionID([]byte("12345678")), wire.NewConnectionID([]byte("87654321"))
	good := d.secrets.newToken(demuxNow, Version1, addr.Addr(), d.cfg.Rand)
	goodRetry := d.secrets.appendRetryToken(nil, demuxNow, Version1, addr, odcid, scid, d.cfg.Rand)
	f.Add(good)
	f.Add(goodRetry)
	f.Fuzz(func(t *testing.T, token []byte) {
		o := d.secrets.openToken(demuxNow, Version1, addr, scid, token, d.lives)
		if (o.verdict == tokenNew) != bytes.Equal(token, good) || (o.verdict == tokenRetry) != bytes.Equal(token, goodRetry) {
			t.Fatalf("%x: %+v", token, o)
		}
	})
}
