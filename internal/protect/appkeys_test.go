package protect

import (
	"errors"
	"testing"

	"github.com/dunlin-quic/dunlin/internal/wire"
)

// appPair returns one side that sends and one that receives.
func appPair(t testing.TB, s Suite) (send, receive *AppKeys) {
	t.Helper()
	a, b := newEnd(t, s), newEnd(t, s)
	return &a.keys, &b.keys
}

// end is one end of a connection, as far as keys are concerned. Both ends use the same secrets in both directions.
type end struct {
	t        testing.TB
	keys     AppKeys
	nextPN   uint64
	expected uint64
}

func newEnd(t testing.TB, s Suite) *end {
	t.Helper()
	e := &end{t: t}
	secret := secretFor(s, "1-RTT")
	if e.keys.CanSend() || e.keys.CanReceive() {
		t.Fatal("keys before there are any")
	}
	errS, errR := e.keys.SetSendSecret(wire.Version1, s, secret), e.keys.SetReceiveSecret(wire.Version1, s, secret)
	if err := errors.Join(errS, errR); err != nil {
		t.Fatal(err)
	}
	if !e.keys.CanSend() || !e.keys.CanReceive() || e.keys.Suite() != s {
		t.Fatal("no keys")
	}
	return e
}

// send returns the next packet.
func (e *end) send() []byte {
	e.t.Helper()
	pn := e.nextPN
	e.nextPN++
	return e.sendAs(pn)
}

func (e *end) sendAs(pn uint64) []byte {
	e.t.Helper()
	pkt := wire.AppendShort(make([]byte, 0, 100), wire.ConnectionID{}, false, e.keys.KeyPhase(), pn, 4)
	pkt, err := e.keys.Seal(append(pkt, "payload"...), 1, 4, pn)
	if err != nil {
		e.t.Fatal(err)
	}
	return pkt
}

// receive opens a packet that must open.
func (e *end) receive(pkt []byte) Opened {
	e.t.Helper()
	o, err := e.tryReceive(pkt)
	if err != nil || string(o.Payload) != "payload" || o.PNLen != 4 {
		e.t.Fatalf("%+v, %v", o, err)
	}
	return o
}

func (e *end) tryReceive(pkt []byte) (Opened, error) {
	o, err := e.keys.Open(append([]byte(nil), pkt...), 1, e.expected)
	if err == nil {
		e.expected = max(e.expected, o.PN+1)
	}
	return o, err
}

// exchange sends a packet each way and acknowledges both.
func exchange(a, b *end) {
	a.t.Helper()
	oa := b.receive(a.send())
	ob := a.receive(b.send())
	a.ack(a.nextPN-1, ob.Phase)
	b.ack(b.nextPN-1, oa.Phase)
}

func (e *end) ack(largest, phase uint64) {
	e.t.Helper()
	if err := e.keys.Acked(largest, phase); err != nil {
		e.t.Fatal(err)
	}
}

// RFC 9369, Section 3.3.2: version 2 derives the keys after an update by a label of its own.
func TestKeyUpdateLabel(t *testing.T) {
	for v, label := range map[wire.Version]string{wire.Version1: "quic ku", wire.Version2: "quicv2 ku"} {
		for _, suite := range suites {
			secret := secretFor(suite, "1-RTT")
			next := make([]byte, len(secret))
			suite.newSecret(secret).expand(label, next)
			var k AppKeys
			if err := errors.Join(k.SetSendSecret(v, suite, secret), k.updateSend()); err != nil {
				t.Fatal(err)
			}
			pkt := wire.AppendShort(make([]byte, 0, 100), wire.ConnectionID{}, false, k.KeyPhase(), 7, 4)
			pkt, err := k.Seal(append(pkt, "payload"...), 1, 4, 7)
			if err != nil {
				t.Fatal(err)
			}
			first, err1 := NewOpener(v, suite, secret)
			second, err2 := NewOpener(v, suite, next)
			if err := errors.Join(err1, err2); err != nil {
				t.Fatal(err)
			}
			pn, pnLen, ok := first.Unmask(pkt, 1, 7)
			if got, err := second.Open(pkt, 1+pnLen, pn); !ok || err != nil || string(got) != "payload" {
				t.Errorf("version %v, %v: %q, %v", v, suite, got, err)
			}
		}
	}
}

// Many updates, by either side in turn, each followed by packets both ways.
// RFC 9001, Section 6.1 (MUST 2, 3) and Section 6.2 (MUST 1, 2).
func TestKeyUpdates(t *testing.T) {
	for _, suite := range suites {
		a, b := newEnd(t, suite), newEnd(t, suite)
		exchange(a, b)
		a.keys.Confirmed()
		b.keys.Confirmed()
		for i := range uint64(10) {
			if !a.keys.InitiateUpdate() || a.keys.KeyPhase() != (i%2 == 0) {
				t.Fatalf("%v: no update %d", suite, i)
			}
			if a.keys.InitiateUpdate() {
				t.Fatal("updated again before the first was answered")
			}
			late := b.send() // under the old keys, on its way while the update happens
			o := b.receive(a.send())
			if !o.Updated || o.Phase != i+1 || b.keys.Updates() != i+1 || b.keys.KeyPhase() != a.keys.KeyPhase() {
				t.Fatalf("update %d: %+v", i, o)
			}
			if o := a.receive(late); o.Updated || o.Phase != i {
				t.Fatalf("late packet: %+v", o)
			}
			later := b.send()
			if o := a.receive(later); !o.Updated || o.Phase != i+1 {
				t.Fatalf("answer: %+v", o)
			}
			if o := b.receive(a.send()); o.Updated {
				t.Fatal("updated twice")
			}
			exchange(a, b)
			if a.keys.InitiateUpdate() || !a.keys.HasPrevious() {
				t.Fatal("updated while the previous keys are kept")
			}
			a.keys.DropPrevious()
			b.keys.DropPrevious()
			b.keys.DropPrevious()
			a, b = b, a
		}
	}
}

// RFC 9001, Section 6.1 (MUST 1, 2): when an update may be started.
func TestInitiateUpdate(t *testing.T) {
	a, b := newEnd(t, AES128GCM), newEnd(t, AES128GCM)
	pkt := b.send()
	a.receive(pkt)
	b.ack(0, 0)
	if b.keys.InitiateUpdate() {
		t.Error("before the handshake is confirmed")
	}
	pkt = a.send()
	a.keys.Confirmed()
	if a.keys.InitiateUpdate() {
		t.Error("before a packet of this phase is acknowledged")
	}
	b.receive(pkt)
	a.ack(0, 0)
	if !a.keys.InitiateUpdate() {
		t.Fatal("not when it may be")
	}
	a.ack(0, 0) // of a packet before the update: nothing wrong, nothing new
	a.send()
	a.ack(0, 0)
	if a.keys.acked {
		t.Error("a packet under the old keys counts for the new ones")
	}
}

// Both sides may start the same update at the same time.
func TestSimultaneousUpdate(t *testing.T) {
	a, b := newEnd(t, AES128GCM), newEnd(t, AES128GCM)
	exchange(a, b)
	a.keys.Confirmed()
	b.keys.Confirmed()
	if !a.keys.InitiateUpdate() || !b.keys.InitiateUpdate() {
		t.Fatal("no update")
	}
	fromA, fromB := a.send(), b.send()
	if oa, ob := b.receive(fromA), a.receive(fromB); !oa.Updated || !ob.Updated {
		t.Error("not updated")
	}
	if a.keys.Updates() != 1 || b.keys.Updates() != 1 {
		t.Errorf("%d and %d updates", a.keys.Updates(), b.keys.Updates())
	}
	exchange(a, b)
}

// The first packet that arrives may be under the second keys: those before were lost.
func TestFirstPacketUpdated(t *testing.T) {
	a, b := newEnd(t, ChaCha20Poly1305), newEnd(t, ChaCha20Poly1305)
	lost := a.send()
	a.ack(0, 0)
	a.keys.Confirmed()
	if !a.keys.InitiateUpdate() {
		t.Fatal("no update")
	}
	if o := b.receive(a.send()); !o.Updated || o.Phase != 1 {
		t.Fatalf("%+v", o)
	}
	if o := b.receive(lost); o.Phase != 0 || o.Updated {
		t.Fatalf("%+v", o)
	}
}

// A packet of the old phase is dropped, not more, once the old keys are gone.
// RFC 9001, Section 5.5 (MUST 2).
func TestTooLateForPreviousKeys(t *testing.T) {
	a, b := newEnd(t, AES128GCM), newEnd(t, AES128GCM)
	exchange(a, b)
	a.keys.Confirmed()
	late := a.send()
	a.keys.InitiateUpdate()
	b.receive(a.send())
	b.keys.DropPrevious()
	if _, err := b.tryReceive(late); !errors.Is(err, ErrOpen) {
		t.Errorf("%v", err)
	}
	// A forged phase bit makes no update either.
	forged := b.sendAs(50)
	forged[0] ^= 0x04
	if _, err := a.tryReceive(forged); !errors.Is(err, ErrOpen) || a.keys.Updates() != 1 || a.keys.HasPrevious() {
		t.Errorf("%v, %d updates", err, a.keys.Updates())
	}
	if b.keys.Failed() != 1 || a.keys.Failed() != 1 {
		t.Errorf("%d and %d failures counted", b.keys.Failed(), a.keys.Failed())
	}
}

// RFC 9001, Section 6.4 (MUST 2): packet numbers and phases ascend together.
// RFC 9001, Section 5.5 (MUST 1).
func TestOldKeysAfterNew(t *testing.T) {
	t.Run("old keys, higher number", func(t *testing.T) {
		a, b := newEnd(t, AES128GCM), newEnd(t, AES128GCM)
		exchange(a, b)
		a.keys.Confirmed()
		bad := a.sendAs(20)
		a.keys.InitiateUpdate()
		b.receive(a.sendAs(10))
		if _, err := b.tryReceive(bad); !errors.Is(err, ErrKeyUpdate) {
			t.Errorf("%v", err)
		}
	})
	t.Run("new keys, lower number", func(t *testing.T) {
		a, b := newEnd(t, AES128GCM), newEnd(t, AES128GCM)
		exchange(a, b)
		a.keys.Confirmed()
		b.receive(a.sendAs(20))
		a.keys.InitiateUpdate()
		if _, err := b.tryReceive(a.sendAs(10)); !errors.Is(err, ErrKeyUpdate) {
			t.Errorf("%v", err)
		}
	})
}

// RFC 9001, Section 6.2: a second update before the first was acknowledged.
func TestConsecutiveUpdates(t *testing.T) {
	a, b := newEnd(t, AES128GCM), newEnd(t, AES128GCM)
	exchange(a, b)
	a.keys.Confirmed()
	a.keys.InitiateUpdate()
	b.receive(a.send())
	b.keys.DropPrevious()
	// A peer that breaks the rules: it behaves as if b had answered.
	a.keys.receivePhase++
	a.keys.acked = true
	if !a.keys.InitiateUpdate() {
		t.Fatal("no update")
	}
	if _, err := b.tryReceive(a.send()); !errors.Is(err, ErrKeyUpdate) {
		t.Errorf("%v", err)
	}
}

// RFC 9001, Section 6.2: an acknowledgment under old keys of a packet under new keys.
func TestAckUnderOldKeys(t *testing.T) {
	a, b := newEnd(t, AES128GCM), newEnd(t, AES128GCM)
	exchange(a, b)
	a.keys.Confirmed()
	a.keys.InitiateUpdate()
	a.send()
	o := a.receive(b.send())
	if err := a.keys.Acked(a.nextPN-1, o.Phase); !errors.Is(err, ErrKeyUpdate) {
		t.Errorf("%v", err)
	}
}

// RFC 9001, Section 6.6 (MUST 1, 2, 3, 5, 6).
// RFC 9001, Section 5.3 (MUST 3).
func TestLimits(t *testing.T) {
	for suite, want := range map[Suite][2]uint64{
		AES128GCM: {1 << 23, 1 << 52}, AES256GCM: {1 << 23, 1 << 52}, ChaCha20Poly1305: {1 << 62, 1 << 36},
	} {
		if suite.ConfidentialityLimit() != want[0] || suite.IntegrityLimit() != want[1] {
			t.Errorf("%v: %d, %d", suite, suite.ConfidentialityLimit(), suite.IntegrityLimit())
		}
	}
	t.Run("confidentiality", func(t *testing.T) {
		a, b := newEnd(t, AES128GCM), newEnd(t, AES128GCM)
		a.keys.limit, a.keys.softLimit = 8, 4
		a.keys.Confirmed()
		for i := range 8 {
			if a.keys.UpdateDue() != (i >= 4) {
				t.Errorf("update due after %d packets: %v", i, a.keys.UpdateDue())
			}
			b.receive(a.send())
		}
		if _, err := a.keys.Seal(make([]byte, 20, 100), 1, 4, 9); !errors.Is(err, ErrAEADLimit) {
			t.Errorf("past the limit: %v", err)
		}
		a.ack(7, 0)
		if !a.keys.InitiateUpdate() || a.keys.UpdateDue() {
			t.Fatal("no update")
		}
		b.receive(a.send())
	})
	t.Run("integrity", func(t *testing.T) {
		a := newEnd(t, AES128GCM)
		a.keys.failLimit = 3
		for i := range 5 {
			want := ErrOpen
			if i >= 3 {
				want = ErrAEADLimit
			}
			if _, err := a.tryReceive(make([]byte, 50)); !errors.Is(err, want) {
				t.Errorf("forgery %d: %v", i, err)
			}
		}
	})
	t.Run("too short to be counted", func(t *testing.T) {
		a := newEnd(t, AES128GCM)
		if _, err := a.tryReceive(make([]byte, 20)); !errors.Is(err, ErrOpen) || a.keys.Failed() != 0 {
			t.Errorf("%v, %d", err, a.keys.Failed())
		}
	})
}

// The next keys are there before the key phase can change, except while the previous ones are kept: the work for a
// packet does not depend on its key phase.
// RFC 9001, Section 6.3 (MUST 1, 2).
func TestKeysHeld(t *testing.T) {
	a, b := newEnd(t, AES128GCM), newEnd(t, AES128GCM)
	if b.keys.other != nil {
		t.Error("next keys before any packet came")
	}
	exchange(a, b)
	next := b.keys.other
	if next == nil || b.keys.HasPrevious() {
		t.Fatal("no next keys")
	}
	previous := b.keys.receive.key
	a.keys.Confirmed()
	a.keys.InitiateUpdate()
	b.receive(a.send())
	if b.keys.receive.key != next || b.keys.other != previous || !b.keys.HasPrevious() {
		t.Error("after an update, the next keys are current and the current ones are kept")
	}
	b.keys.DropPrevious()
	if b.keys.other == nil || b.keys.other == previous || b.keys.HasPrevious() {
		t.Error("the next keys are not ready")
	}
}

// A connection that is quiet keeps no key, and everything goes on afterwards: in every key phase, with header protection
// that updates have not changed, and with an update by the first packet.
func TestRest(t *testing.T) {
	for _, suite := range suites {
		a, b := newEnd(t, suite), newEnd(t, suite)
		exchange(a, b)
		a.keys.Confirmed()
		b.keys.Confirmed()
		for i := range 3 {
			for _, e := range []*end{a, b} {
				if e.keys.Rested() {
					t.Errorf("%v, phase %d: rests of itself", suite, i)
				}
				e.keys.Rest()
				if k := &e.keys; !k.Rested() || k.send.key != nil || k.send.header != nil ||
					k.receive.key != nil || k.receive.header != nil || k.other != nil {
					t.Errorf("%v, phase %d: keeps keys", suite, i)
				}
			}
			if i%2 == 0 {
				exchange(a, b)
				a.keys.Rest()
				b.keys.Rest()
			}
			if !a.keys.InitiateUpdate() {
				t.Fatalf("%v, phase %d: no update", suite, i)
			}
			if o := b.receive(a.send()); !o.Updated {
				t.Errorf("%v, phase %d: %+v", suite, i, o)
			}
			// The previous key could not be made again.
			late := b.keys.other
			if b.keys.Rest(); !b.keys.Rested() || b.keys.other != late || late == nil {
				t.Errorf("%v, phase %d: rests with keys of the phase before", suite, i)
			}
			exchange(a, b)
			a.keys.DropPrevious()
			b.keys.DropPrevious()
		}
	}
}

// What a quiet connection's next packets cost more than others: the keys of both directions.
func BenchmarkRest(b *testing.B) {
	for _, suite := range suites {
		b.Run(suite.String(), func(b *testing.B) {
			send, receive := appPair(b, suite)
			buf := make([]byte, 0, 100)
			b.ReportAllocs()
			for pn := uint64(0); b.Loop(); pn++ {
				pkt := wire.AppendShort(buf, wire.ConnectionID{}, false, send.KeyPhase(), pn&0xff, 1)
				pkt, err := send.Seal(append(pkt, "payload"...), 1, 1, pn&0xff)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := receive.Open(pkt, 1, pn&0xff); err != nil {
					b.Fatal(err)
				}
				send.Rest()
				receive.Rest()
			}
		})
	}
}
