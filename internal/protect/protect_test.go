package protect

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/dunlin-quic/dunlin/internal/wire"
)

var suites = []Suite{AES128GCM, AES256GCM, ChaCha20Poly1305}

// secretFor returns a secret as long as the suite's hash.
func secretFor(s Suite, label string) []byte {
	sum := sha256.Sum256([]byte(label))
	if s == AES256GCM {
		return append(sum[:], sum[:16]...)
	}
	return sum[:]
}

func pair(t testing.TB, s Suite) (*Sealer, *Opener) {
	t.Helper()
	sealer, err := NewSealer(wire.Version1, s, secretFor(s, "secret"))
	if err != nil {
		t.Fatal(err)
	}
	opener, err := NewOpener(wire.Version1, s, secretFor(s, "secret"))
	if err != nil {
		t.Fatal(err)
	}
	if sealer.Suite() != s || opener.Suite() != s {
		t.Errorf("%v became %v and %v", s, sealer.Suite(), opener.Suite())
	}
	return sealer, opener
}

// Packets of both header forms, every packet number length and every small size come back.
func TestSealOpen(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 1))
	dcid := wire.NewConnectionID([]byte("12345678"))
	for _, suite := range suites {
		sealer, opener := pair(t, suite)
		for _, long := range []bool{false, true} {
			for pnLen := 1; pnLen <= 4; pnLen++ {
				for size := 4 - pnLen; size < 80; size++ {
					pn := rnd.Uint64() >> (2 + rnd.IntN(62))
					pkt := make([]byte, 0, 200)
					if long {
						pkt = wire.AppendLong(pkt, wire.Handshake, wire.Version1, dcid, dcid, nil, pn, pnLen)
					} else {
						pkt = wire.AppendShort(pkt, dcid, true, true, pn, pnLen)
					}
					pnOffset := len(pkt) - pnLen
					if long {
						wire.PatchLength(pkt, pnOffset, pnLen+size+Overhead)
					}
					for range size {
						pkt = append(pkt, byte(rnd.Uint32()))
					}
					plain := bytes.Clone(pkt)
					sealed := sealer.Seal(pkt, pnOffset, pnLen, pn)
					if len(sealed) != len(plain)+Overhead || &sealed[0] != &pkt[0] {
						t.Fatalf("%v: sealed %d bytes into %d", suite, len(plain), len(sealed))
					}
					gotPN, gotLen, ok := opener.Unmask(sealed, pnOffset, pn)
					if !ok || gotPN != pn || gotLen != pnLen {
						t.Fatalf("%v, long %v: Unmask = %d, %d, %v, want %d, %d", suite, long, gotPN, gotLen, ok, pn, pnLen)
					}
					payload, err := opener.Open(sealed, pnOffset+pnLen, pn)
					if err != nil || !bytes.Equal(sealed[:len(plain)], plain) || !bytes.Equal(payload, plain[pnOffset+pnLen:]) {
						t.Fatalf("%v, long %v, %d bytes: %x, %v", suite, long, size, payload, err)
					}
				}
			}
		}
	}
}

// sealShort returns a sealed 1-RTT packet without a connection ID: its packet number stands at 1.
func sealShort(s *Sealer, pn uint64, payload string) []byte {
	pkt := wire.AppendShort(make([]byte, 0, 100+len(payload)), wire.ConnectionID{}, false, false, pn, 4)
	return s.Seal(append(pkt, payload...), 1, 4, pn)
}

// No packet that differs in a single bit opens, and the last 16 bytes, which may be a stateless reset token, survive.
// RFC 9001, Section 5.4.2 (MUST 1).
func TestForgeries(t *testing.T) {
	for _, suite := range suites {
		sealer, opener := pair(t, suite)
		good := sealShort(sealer, 1000, "some payload")
		for bit := range 8 * len(good) {
			pkt := bytes.Clone(good)
			pkt[bit/8] ^= 1 << (bit % 8)
			tail := bytes.Clone(pkt[len(pkt)-16:])
			if wire.IsLong(pkt[0]) {
				continue // would not be taken for this packet
			}
			pn, pnLen, ok := opener.Unmask(pkt, 1, 1000)
			if !ok {
				t.Fatal("a packet long enough can't be unmasked")
			}
			if _, err := opener.Open(pkt, 1+pnLen, pn); !errors.Is(err, ErrOpen) {
				t.Errorf("%v: bit %d changed: %v", suite, bit, err)
			}
			if !bytes.Equal(pkt[len(pkt)-16:], tail) {
				t.Errorf("%v: bit %d changed: the end of the datagram is not what was received", suite, bit)
			}
		}
		for n := range good {
			if _, _, ok := opener.Unmask(bytes.Clone(good[:n]), 1, 1000); ok != (n >= 1+4+16) {
				t.Errorf("%v: unmasking %d bytes: %v", suite, n, ok)
			}
		}
	}
}

// RFC 9001, Section 5.3 (MUST 1).
func TestUnknownSuiteAndVersion(t *testing.T) {
	for _, tt := range []struct {
		v wire.Version
		s Suite
	}{{wire.Version1, 0x1304}, {wire.Version1, 0}, {0, AES128GCM}, {2, AES128GCM}} {
		secret := make([]byte, 32)
		_, errS := NewSealer(tt.v, tt.s, secret)
		_, errO := NewOpener(tt.v, tt.s, secret)
		var k AppKeys
		if errS == nil || errO == nil || k.SetSendSecret(tt.v, tt.s, secret) == nil || k.SetReceiveSecret(tt.v, tt.s, secret) == nil {
			t.Errorf("version %v, suite %v: no error", tt.v, tt.s)
		}
		if k.CanSend() || k.CanReceive() {
			t.Error("there are keys after an error")
		}
	}
	if _, _, err := NewInitial(2, wire.ConnectionID{}, true); err == nil {
		t.Error("Initial keys of an unknown version")
	}
	if tag := AppendRetryTag(nil, 2, wire.ConnectionID{}); len(tag) != wire.RetryTagLen {
		t.Errorf("tag of %d bytes", len(tag))
	}
	if VerifyRetry(&wire.RetryPacket{Version: 2}, wire.ConnectionID{}) {
		t.Error("a Retry of an unknown version verifies")
	}
}

func TestAllocations(t *testing.T) {
	for _, suite := range suites {
		sealer, opener := pair(t, suite)
		send, receive := appPair(t, suite)
		buf := make([]byte, 0, 1500)
		payload := make([]byte, 1150)
		var pn uint64
		check := func(what string, f func()) {
			if n := testing.AllocsPerRun(100, f); n != 0 {
				t.Errorf("%v: %s allocates %v times", suite, what, n)
			}
		}
		check("Sealer and Opener", func() {
			pn++
			pkt := wire.AppendShort(buf, wire.ConnectionID{}, false, false, pn, 4)
			pkt = sealer.Seal(append(pkt, payload...), 1, 4, pn)
			got, n, ok := opener.Unmask(pkt, 1, pn)
			if _, err := opener.Open(pkt, 1+n, got); !ok || err != nil {
				t.Fatal("does not open")
			}
		})
		check("AppKeys", func() {
			pn++
			pkt := wire.AppendShort(buf, wire.ConnectionID{}, false, send.KeyPhase(), pn, 4)
			pkt, err := send.Seal(append(pkt, payload...), 1, 4, pn)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := receive.Open(pkt, 1, pn); err != nil {
				t.Fatal(err)
			}
		})
		check("a forged packet", func() {
			pn++
			if _, err := receive.Open(append(buf, payload...), 1, pn); err == nil {
				t.Fatal("opens")
			}
		})
	}
	retry := make([]byte, 100, 300)
	odcid := wire.NewConnectionID([]byte("12345678"))
	if n := testing.AllocsPerRun(100, func() { AppendRetryTag(retry, wire.Version1, odcid) }); n != 0 {
		t.Errorf("AppendRetryTag allocates %v times", n)
	}
}

// Whatever bytes come, opening them neither panics nor succeeds.
func FuzzOpen(f *testing.F) {
	sealer, opener := pair(f, AES128GCM)
	f.Add(sealShort(sealer, 7, "payload"), uint(1))
	_, receive := appPair(f, ChaCha20Poly1305)
	f.Fuzz(func(t *testing.T, b []byte, pnOffset uint) {
		off := int(pnOffset%64) + 1
		for _, open := range []func([]byte) error{
			func(b []byte) error {
				pn, n, ok := opener.Unmask(b, off, 1)
				if !ok {
					return ErrOpen
				}
				_, err := opener.Open(b, off+n, pn)
				return err
			},
			func(b []byte) error { _, err := receive.Open(b, off, 1); return err },
		} {
			if err := open(bytes.Clone(b)); err == nil && !bytes.Equal(b, sealShort(sealer, 7, "payload")) {
				t.Errorf("%x opens", b)
			}
		}
	})
}

func BenchmarkSeal(b *testing.B) {
	for _, suite := range suites {
		b.Run(fmt.Sprint(suite), func(b *testing.B) {
			sealer, _ := pair(b, suite)
			buf := make([]byte, 1200)
			b.SetBytes(1200)
			b.ReportAllocs()
			var pn uint64
			for b.Loop() {
				buf[0] = 0x43
				sealer.Seal(buf[:1200-Overhead], 9, 4, pn)
				pn++
			}
		})
	}
}

func BenchmarkOpen(b *testing.B) {
	for _, suite := range suites {
		b.Run(fmt.Sprint(suite), func(b *testing.B) {
			send, receive := appPair(b, suite)
			dcid := wire.NewConnectionID([]byte("12345678"))
			pkt := wire.AppendShort(make([]byte, 0, 1200), dcid, false, false, 5, 4)
			pkt, err := send.Seal(wire.AppendPadding(pkt, 1200-Overhead-len(pkt)), 9, 4, 5)
			if err != nil {
				b.Fatal(err)
			}
			buf := make([]byte, 1200)
			b.SetBytes(1200)
			b.ReportAllocs()
			for b.Loop() {
				copy(buf, pkt)
				if _, err := receive.Open(buf, 9, 5); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// What a connection's keys cost to make, in time and memory.
func BenchmarkNewInitial(b *testing.B) {
	dcid := wire.NewConnectionID([]byte("12345678"))
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := NewInitial(wire.Version1, dcid, true); err != nil {
			b.Fatal(err)
		}
	}
}
