package protect

import (
	"errors"
	"math"

	"github.com/dunlin-quic/dunlin/internal/wire"
)

// What an endpoint must close the connection for (RFC 9001, Section 6).
var (
	// ErrKeyUpdate is a KEY_UPDATE_ERROR.
	ErrKeyUpdate = errors.New("protect: the peer updated keys against the rules")
	// ErrAEADLimit is an AEAD_LIMIT_REACHED.
	ErrAEADLimit = errors.New("protect: the cipher's limit of use is reached")
)

// AppKeys is the protection of 1-RTT packets in both directions, with key updates (RFC 9001, Section 6). The zero value
// has no keys. It is not safe for concurrent use, and must not be copied once it has keys.
//
// Its owner calls Confirmed when the handshake is, Acked for each ACK frame in a 1-RTT packet, InitiateUpdate when
// UpdateDue says so, and DropPrevious three PTO after Open reported Updated.
//
// Two sets of receive keys are held at a time (RFC 9001, Section 6.5): the current one, and either the next one or, for a
// while after an update, the previous one. So the key phase bit alone selects between them, and whichever it selects,
// the work is the same: no time taken tells an observer the value of the protected bit (Section 9.5).
// RFC 9001, Section 9.5 (MUST 1).
//
// A connection that is quiet keeps the secrets alone, by Rest: what ciphers make of them takes twenty times the memory. Then
// all keys of a direction are made again before the first packet is looked at, so that this takes no longer for one bit than
// for the other either.
type AppKeys struct {
	suite Suite
	of    *versionSecrets

	send      direction
	sendPhase uint64
	sealed    uint64 // packets sealed with the present key
	firstSent uint64 // the first packet number sealed with it, if sealed > 0
	acked     bool   // the peer acknowledged one of those packets
	confirmed bool
	limit     uint64 // of sealed
	softLimit uint64 // of sealed, for an update

	receive       direction
	other         *key // the previous receive key or, if not hasPrevious, the next one; nil before the first packet
	hasPrevious   bool
	receivePhase  uint64
	firstReceived uint64 // lowest packet number received in the present phase
	failed        uint64 // packets that failed authentication, all keys together
	failLimit     uint64
}

// direction is the protection of the packets that one side sends.
type direction struct {
	installed bool
	secret    [maxSecretLen]byte // of the present key phase
	hp        [maxKeyLen]byte    // of header protection, which key updates leave alone

	// Both are nil while the connection rests.
	key    *key
	header *headerKey
}

// present returns the secret of the present key phase.
func (d *direction) present(s Suite) secret { return s.newSecret(d.secret[:s.hashLen()]) }

// install makes the first keys of a direction.
func (d *direction) install(of *versionSecrets, first secret) error {
	d.installed = true
	copy(d.secret[:], first.key)
	d.hp = first.headerProtection(of)
	return d.expand(of, first.suite)
}

// expand makes the keys of the present phase.
func (d *direction) expand(of *versionSecrets, s Suite) error {
	k, h := new(key), new(headerKey)
	if err := errors.Join(k.init(of, d.present(s)), h.init(s, d.hp)); err != nil {
		return err
	}
	d.key, d.header = k, h
	return nil
}

// rest drops what can be made again.
func (d *direction) rest() { d.key, d.header = nil, nil }

// SetSendSecret installs the first send key. Servers have it before they have the receive key.
func (k *AppKeys) SetSendSecret(v wire.Version, s Suite, secret []byte) error {
	of, err := checked(v, s)
	if err != nil {
		return err
	}
	k.suite, k.of = s, of
	k.limit = s.ConfidentialityLimit()
	k.softLimit = k.limit / 2
	return k.send.install(of, s.newSecret(secret))
}

// SetReceiveSecret installs the first receive key.
func (k *AppKeys) SetReceiveSecret(v wire.Version, s Suite, secret []byte) error {
	of, err := checked(v, s)
	if err != nil {
		return err
	}
	k.suite, k.of = s, of
	k.failLimit = s.IntegrityLimit()
	k.firstReceived = math.MaxUint64
	return k.receive.install(of, s.newSecret(secret))
}

// CanSend reports whether there is a send key.
func (k *AppKeys) CanSend() bool { return k.send.installed }

// CanReceive reports whether there is a receive key.
func (k *AppKeys) CanReceive() bool { return k.receive.installed }

// KeyPhase returns the key phase bit for the next packet to send.
func (k *AppKeys) KeyPhase() bool { return k.sendPhase&1 != 0 }

// Updates returns how many key updates there were, by either side.
func (k *AppKeys) Updates() uint64 { return k.sendPhase }

// Suite returns the cipher suite.
func (k *AppKeys) Suite() Suite { return k.suite }

// CountFailure counts a packet that failed authentication under keys other than these: the limit is for all keys of a
// connection together (RFC 9001, Section 6.6 (MUST 5, 6)).
func (k *AppKeys) CountFailure() { k.failed++ }

// Failed returns how many packets failed authentication.
func (k *AppKeys) Failed() uint64 { return k.failed }

// Seal protects a packet as [Sealer.Seal] does; its header must bear KeyPhase. Its error is ErrAEADLimit: the key has sealed as
// many packets as it may, and no update was possible. The connection is then of no use any more.
func (k *AppKeys) Seal(pkt []byte, pnOffset, pnLen int, pn uint64) ([]byte, error) {
	if k.sealed >= k.limit {
		return nil, ErrAEADLimit
	}
	if k.sealed == 0 {
		k.firstSent = pn
	}
	if k.send.key == nil {
		if err := k.send.expand(k.of, k.suite); err != nil {
			return nil, err
		}
	}
	k.sealed++
	pkt = k.send.key.seal(pkt, pnOffset+pnLen, pn)
	k.send.header.protect(pkt, pnOffset, pnLen)
	return pkt, nil
}

// Opened is a 1-RTT packet without its protection.
type Opened struct {
	PN      uint64
	PNLen   int
	Payload []byte
	// Phase counts the key updates up to the key that protected the packet.
	Phase uint64
	// Updated: the packet is the first one under new keys. The owner starts the timer for DropPrevious.
	Updated bool
}

// Open removes a packet's protection in place. expected is as in [Opener.Unmask]. ErrOpen means that the packet is to be
// dropped; ErrKeyUpdate and ErrAEADLimit that the connection is to be closed.
func (k *AppKeys) Open(pkt []byte, pnOffset int, expected uint64) (Opened, error) {
	if k.other == nil {
		// The first packet of all, or the first one after Rest, or after DropPrevious, which prepared nothing if it
		// failed: whatever the packet's key phase is, so that the time this takes tells nothing about it.
		if err := k.prepare(); err != nil {
			return Opened{}, ErrOpen
		}
	}
	truncated, pnLen, ok := k.receive.header.unprotect(pkt, pnOffset)
	if !ok {
		return Opened{}, ErrOpen
	}
	o := Opened{PN: wire.DecodePN(expected, truncated, pnLen), PNLen: pnLen, Phase: k.receivePhase}
	use := k.receive.key
	inPhase := wire.KeyPhase(pkt[0]) == (k.receivePhase&1 != 0)
	if !inPhase {
		use = k.other
	}
	var err error
	if o.Payload, err = use.open(pkt, pnOffset+pnLen, o.PN); err != nil {
		if k.failed++; k.failed > k.failLimit {
			return Opened{}, ErrAEADLimit
		}
		return Opened{}, err
	}
	switch {
	case inPhase:
		k.firstReceived = min(k.firstReceived, o.PN)
	case k.hasPrevious:
		// RFC 9001, Section 6.4: older keys after newer ones.
		if o.PN > k.firstReceived {
			return Opened{}, ErrKeyUpdate
		}
		o.Phase--
	default:
		o.Phase++
		o.Updated = true
		// RFC 9001, Section 6.4: higher numbers than this one were protected with older keys.
		if o.PN < expected {
			return Opened{}, ErrKeyUpdate
		}
		if err := k.updated(o.PN); err != nil {
			return Opened{}, err
		}
	}
	return o, nil
}

// updated moves on to the next receive keys, which packet pn was protected with.
func (k *AppKeys) updated(pn uint64) error {
	// RFC 9001, Section 6.2: the peer may update again only after we acknowledged a packet of the present phase, by a
	// packet of the same phase. It can't have seen one if none was sent.
	if k.receivePhase == k.sendPhase && k.receivePhase > 0 && k.sealed == 0 {
		return ErrKeyUpdate
	}
	k.receivePhase++
	k.firstReceived = pn
	k.receive.secret = k.receive.present(k.suite).next(k.of)
	k.receive.key, k.other = k.other, k.receive.key
	k.hasPrevious = true
	if k.sendPhase < k.receivePhase {
		return k.updateSend()
	}
	return nil
}

// updateSend moves on to the next send key.
func (k *AppKeys) updateSend() error {
	before := k.send.secret
	k.send.secret = k.send.present(k.suite).next(k.of)
	if err := k.send.expand(k.of, k.suite); err != nil {
		k.send.secret = before
		return err
	}
	k.sendPhase++
	k.sealed = 0
	k.acked = false
	return nil
}

// prepare makes the next receive key, and after a rest also those of the present phase.
func (k *AppKeys) prepare() error {
	if k.receive.key == nil {
		if err := k.receive.expand(k.of, k.suite); err != nil {
			return err
		}
	}
	next := k.receive.present(k.suite).next(k.of)
	n := new(key)
	if err := n.init(k.of, k.suite.newSecret(next[:k.suite.hashLen()])); err != nil {
		return err
	}
	k.other = n
	return nil
}

// Rested reports whether Rest has nothing to drop, or may not.
func (k *AppKeys) Rested() bool {
	return k.hasPrevious || k.send.key == nil && k.receive.key == nil
}

// Rest drops the keys of a connection that is quiet and leaves their secrets. The next packets make them again.
func (k *AppKeys) Rest() {
	// Of the previous key there is no secret any more.
	if !k.hasPrevious {
		k.send.rest()
		k.receive.rest()
		k.other = nil
	}
}

// HasPrevious reports whether receive keys of the phase before are kept, for packets that were reordered.
func (k *AppKeys) HasPrevious() bool { return k.hasPrevious }

// DropPrevious drops the receive keys of the phase before, and prepares those of the next one. To be called three PTO
// after Open reported Updated (RFC 9001, Section 6.5).
func (k *AppKeys) DropPrevious() {
	if !k.hasPrevious {
		return
	}
	k.hasPrevious = false
	k.other = nil
	// On failure, Open tries again.
	_ = k.prepare()
}

// Acked tells that an ACK frame in a packet that Open gave as of the given phase acknowledges packets up to number
// largest. Its error is ErrKeyUpdate.
func (k *AppKeys) Acked(largest, phase uint64) error {
	if k.sealed == 0 || largest < k.firstSent {
		return nil
	}
	// RFC 9001, Section 6.2: who has received a packet under new keys must answer with new keys.
	if phase < k.sendPhase {
		return ErrKeyUpdate
	}
	k.acked = true
	return nil
}

// Confirmed tells that the handshake is confirmed: from now on, keys may be updated (RFC 9001, Section 6.1).
func (k *AppKeys) Confirmed() { k.confirmed = true }

// InitiateUpdate updates the send keys, and reports whether it did: not before the handshake is confirmed, a packet of
// the present phase is acknowledged and the previous receive keys are dropped (RFC 9001, Sections 6.1 and 6.5).
func (k *AppKeys) InitiateUpdate() bool {
	if !k.confirmed || !k.acked || k.hasPrevious || k.sendPhase != k.receivePhase {
		return false
	}
	return k.updateSend() == nil
}

// UpdateDue reports whether so many packets were sealed with the present key that it should be updated: half of what it
// may seal (RFC 9001, Section 6.6).
func (k *AppKeys) UpdateDue() bool { return k.sealed >= k.softLimit }
