package quic

import (
	"testing"
	"time"

	"github.com/dunlin-quic/dunlin/internal/rangeset"
	"github.com/dunlin-quic/dunlin/internal/recovery"
	"github.com/dunlin-quic/dunlin/internal/wire"
)

// RFC 9001, Section 6: keys change while data flows, whoever begins.
// RFC 9001, Section 6.1 (MUST 1, 2) and Section 6.2 (MUST 1).
func TestKeyUpdate(t *testing.T) {
	for side := range Side(2) {
		p := newTestPair(t)
		if p.conn[Client].InitiateKeyUpdate() {
			t.Error("keys updated before the handshake")
		}
		p.establish()
		for i := range uint64(5) {
			p.transfer(side, 100_000)
			p.idle(2 * time.Second)
			if !p.conn[side].InitiateKeyUpdate() {
				t.Fatalf("%v: no key update", side)
			}
			// RFC 9001, Section 6.1: the next one not before the peer has acknowledged this one.
			if p.conn[side].InitiateKeyUpdate() {
				t.Errorf("%v: two key updates in a row", side)
			}
			p.transfer(side.Peer(), 100_000)
			p.transfer(side, 100_000)
			for s, c := range p.conn {
				if got := c.Stats().KeyUpdates; got != i+1 {
					t.Errorf("%v: %d key updates, want %d", Side(s), got, i+1)
				}
			}
		}
	}
}

// RFC 9001, Section 6.5: packets from before the update may come after it; three PTO later the old keys are gone.
// RFC 9001, Section 6.1 (MUST 3).
func TestKeyUpdateReordering(t *testing.T) {
	for side := range Side(2) {
		s := newScript(t, side)
		s.send(wire.AppendPing(nil))
		s.sent()
		late, tooLate := s.seal(wire.OneRTT, wire.AppendPing(nil)), s.seal(wire.OneRTT, wire.AppendPing(nil))
		s.peer.keys.Confirmed()
		if !s.peer.InitiateKeyUpdate() {
			t.Fatal("no key update")
		}
		s.send(wire.AppendPing(nil))
		s.wantOpen()
		got := s.c.Stats().PacketsReceived
		s.receive(late)
		if s.c.Stats().PacketsReceived != got+1 {
			t.Errorf("%v: a late packet of the old keys was not used", side)
		}
		s.now = s.now.Add(time.Second)
		s.c.HandleTimeout(s.now)
		s.receive(tooLate)
		if s.c.Stats().PacketsReceived != got+1 {
			t.Errorf("%v: the old keys are still there", side)
		}
		s.wantOpen()
	}
}

// Who has just come to a path keeps old keys no longer than a round trip there tells, so that a peer that knows the path can
// update again.
func TestKeyUpdatesAfterMigration(t *testing.T) {
	for side := range Side(2) {
		p := newTestPair(t)
		p.establish()
		p.idle(5 * time.Second)
		p.migrate(movedAddr)
		for range 2 {
			p.run("key update", func() bool {
				// The owner asks again, whatever else there is to do.
				p.now = p.now.Add(time.Millisecond)
				return p.conn[side].InitiateKeyUpdate()
			})
			start := p.now
			p.transfer(side, 100_000)
			if d := p.now.Sub(start); d > time.Second {
				t.Errorf("%v: 100 kB after a key update take %v", side, d)
			}
		}
	}
}

// RFC 9001, Section 6.2 (MUST 2): a peer that acknowledges a packet under new keys has them, and must use them.
// RFC 9001, Section 6.4 (MUST 1).
func TestKeyUpdateNotFollowed(t *testing.T) {
	for side := range Side(2) {
		s := newScript(t, side)
		s.send(wire.AppendPing(nil))
		s.send(wire.AppendPing(nil))
		s.sent()
		pn := s.c.rec.NextPN(recovery.AppData)
		old := s.seal(wire.OneRTT, wire.AppendAck(nil, []rangeset.Range{{Start: pn, End: pn + 1}}, 0, nil, 100))
		if !s.peer.InitiateKeyUpdate() {
			t.Fatal("no key update")
		}
		s.send(wire.AppendPing(nil))
		s.send(wire.AppendPing(nil))
		if len(s.sent()) == 0 || s.c.Stats().KeyUpdates != 1 {
			t.Fatal("did not follow")
		}
		s.receive(old)
		s.wantClosed(KeyUpdateError)
	}
}

// RFC 9001, Section 6.6 (MUST 5, 6): forged packets count, and too many of them end the connection; those that are none
// of ours do no harm.
func TestForgedPackets(t *testing.T) {
	for side := range Side(2) {
		s := newScript(t, side)
		for range 1000 {
			b := s.seal(wire.OneRTT, wire.AppendPing(nil))
			b[len(b)-1] ^= 1
			s.receive(b)
		}
		s.wantOpen()
		if got := s.c.keys.Failed(); got != 1000 {
			t.Errorf("%v: %d forged packets counted", side, got)
		}
		// RFC 9000, Section 12.3 (MUST 5): also those with the number of a genuine one, since what is a duplicate shows
		// only after decryption.
		b := s.seal(wire.OneRTT, wire.AppendPing(nil))
		s.receive(b)
		b[len(b)-1] ^= 1
		s.receive(b)
		if got := s.c.keys.Failed(); got != 1001 {
			t.Errorf("%v: %d forged packets counted", side, got)
		}

		// Under all keys.
		s = newHandshakeScript(t, side, wire.Handshake)
		b = s.seal(wire.Handshake, wire.AppendPing(nil))
		b[len(b)-1] ^= 1
		s.receive(b)
		if got := s.c.keys.Failed(); got != 1 {
			t.Errorf("%v: %d forged Handshake packets counted", side, got)
		}
	}
}
