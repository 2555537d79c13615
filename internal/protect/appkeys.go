package protect

import (
	"errors"

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
// has no keys. It is not safe for concurrent use.
//
// The owner's duties: give Sent and Acked what they ask for, call DropPrevious three PTO after PreviousSince changed,
// and call InitiateUpdate when UpdateDue.
type AppKeys struct{ _ int }

// SetSendSecret installs the first send key. Servers have it before they have the receive key.
func (k *AppKeys) SetSendSecret(v wire.Version, s Suite, secret []byte) error { panic("skeleton") }

// SetReceiveSecret installs the first receive key.
func (k *AppKeys) SetReceiveSecret(v wire.Version, s Suite, secret []byte) error { panic("skeleton") }

// CanSend reports whether there is a send key.
func (k *AppKeys) CanSend() bool { panic("skeleton") }

// CanReceive reports whether there is a receive key.
func (k *AppKeys) CanReceive() bool { panic("skeleton") }

// KeyPhase returns the key phase bit for the next packet to send.
func (k *AppKeys) KeyPhase() bool { panic("skeleton") }

// Seal protects a packet as [Sealer.Seal] does. The only error is ErrAEADLimit: the key has sealed as many packets as
// it may, and no update was possible.
func (k *AppKeys) Seal(pkt []byte, pnOffset, pnLen int, pn uint64) ([]byte, error) {
	panic("skeleton")
}

// Opened is a 1-RTT packet without its protection.
type Opened struct {
	PN      uint64
	PNLen   int
	Payload []byte
	// Updated: the packet is the first one under new keys. The owner starts the timer for DropPrevious.
	Updated bool
}

// Open removes a packet's protection in place. expected is as in [Opener.Unmask]. ErrOpen means that the packet is to be
// dropped; ErrKeyUpdate and ErrAEADLimit that the connection is to be closed.
func (k *AppKeys) Open(pkt []byte, pnOffset int, expected uint64) (Opened, error) { panic("skeleton") }

// HasPrevious reports whether receive keys of the phase before are kept, for packets that were reordered.
func (k *AppKeys) HasPrevious() bool { panic("skeleton") }

// DropPrevious drops the receive keys of the phase before, and prepares those of the next one. To be called three PTO
// after Open reported Updated (RFC 9001, Section 6.5).
func (k *AppKeys) DropPrevious() { panic("skeleton") }

// Acked tells that the peer acknowledged packet pn, in a packet of the key phase that receivedPhase is. Its error is
// ErrKeyUpdate.
func (k *AppKeys) Acked(pn uint64) error { panic("skeleton") }

// Confirmed tells that the handshake is confirmed: from now on, keys may be updated (RFC 9001, Section 6.1).
func (k *AppKeys) Confirmed() { panic("skeleton") }

// InitiateUpdate updates the send keys, and reports whether it did: not before the handshake is confirmed, a packet of
// the present phase is acknowledged and the previous receive keys are dropped.
func (k *AppKeys) InitiateUpdate() bool { panic("skeleton") }

// UpdateDue reports whether so many packets were sealed with the present key that it should be updated.
func (k *AppKeys) UpdateDue() bool { panic("skeleton") }

// Updates returns how many key updates there were, by either side.
func (k *AppKeys) Updates() uint64 { panic("skeleton") }
